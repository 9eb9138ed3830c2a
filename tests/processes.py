"""What tests ask of processes that they did not start themselves."""

from __future__ import annotations

from pathlib import Path


def gone(pid: int) -> bool:
    """Whether there is no such process, or one that only waits to be reaped by its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may go between the opening and the reading
        return True
