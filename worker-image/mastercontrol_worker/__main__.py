"""`python -m mastercontrol_worker`: the same as `mastercontrol-worker`."""

from mastercontrol_worker.cli import main

if __name__ == "__main__":
    main()
