"""`python -m model`: search within all bounds, and the broken variants; a table. Exit code 1 if a promise is broken."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from model.bounds import FAULTS, LARGE, SMALL, Bound
from model.broken import Broken
from model.protocol import Protocol
from model.search import Found, search

ROW = "{:<58} {:>5} {:>7} {:>10} {:>10} {:>6} {:>6}  {}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Search; the exit code."""
    parser = argparse.ArgumentParser(prog="model", description="Search all states of the protocol's model.")
    parser.add_argument("--small", action="store_true", help="only what the tests search")
    given = parser.parse_args(arguments)
    print(ROW.format("accidents", "steps", "workers", "states", "edges", "depth", "s", "found"))
    right = [_row(bound, None) for bound in (*SMALL, *(() if given.small else LARGE))]
    wrong = [_row(Bound(broken.name.lower(), budget), broken) for broken, budget in FAULTS.items()]
    as_expected = all(f.fault is None and f.complete for f in right) and all(f.fault is not None for f in wrong)
    return 0 if as_expected else 1


def _row(bound: Bound, broken: Broken | None) -> Found:
    began = time.perf_counter()
    protocol = Protocol(bound.steps, broken)
    found = search(protocol, protocol.begin(bound.budget, bound.workers))
    seconds = f"{time.perf_counter() - began:.0f}"
    what = "nothing wrong" if found.fault is None else found.fault.what
    print(
        ROW.format(bound.name, bound.steps, bound.workers, found.states, found.edges, found.depth, seconds, what),
        flush=True,
    )
    if found.fault is not None and broken is None:
        print("".join(f"    {action}\n" for action in found.fault.trace))
    return found


if __name__ == "__main__":
    sys.exit(main())
