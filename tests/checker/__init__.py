"""The history checker: from the events of one run it says of each job whether the protocol kept its promises.

`python -m checker FILE…`, with `tests` on PYTHONPATH, reads JSON lines; `check.check` takes the events themselves. It
knows the documented language and status and nothing of the operator's code: it imports the standard library alone.
"""
