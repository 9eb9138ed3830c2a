"""`python -m checker FILE…`: one line a fault, then a table. Exit code 1 with faults, 2 where a file can't be read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from checker.check import Verdict, check
from checker.events import Unreadable, read
from checker.report import jobs_table, table

READ_ERRORS = (OSError, Unreadable, KeyError, TypeError, ValueError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check files; the exit code."""
    parser = argparse.ArgumentParser(prog="checker", description="Judge the histories of runs, as JSON lines.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--jobs", action="store_true", help="a row for each job")
    given = parser.parse_args(arguments)
    verdicts: dict[str, Verdict] = {}
    for path in given.files:
        try:
            with path.open(encoding="utf-8") as lines:
                verdicts[str(path)] = check(read(lines))
        except READ_ERRORS as error:
            print(f"{path}: {type(error).__name__}: {error}", file=sys.stderr)
            return 2
    for name, verdict in verdicts.items():
        for fault in verdict.faults:
            print(f"{name}: {fault}")
    if given.jobs:
        print("\n".join(jobs_table(verdicts)))
    print("\n".join(table(verdicts)))
    return 1 if any(verdict.faults for verdict in verdicts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
