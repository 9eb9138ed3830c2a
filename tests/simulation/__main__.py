"""`python -m simulation`: search for a schedule that breaks the protocol, replay one, or search the broken variants."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from simulation.faults import NO_EMPHASIS
from simulation.mutants import EMPHASIS, MUTANTS
from simulation.search import PROCESSES, SCHEDULES, Report, proof, search, search_mutants
from simulation.world import explore

SHOWN = 5
SHOWN_CHARS = 140


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, all held; 1, a fault was found (or, of broken variants, one was not)."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="schedules for so many seconds")
    run.add_argument("--seconds", type=float, default=300.0)
    run.add_argument("--seed", type=int, default=None, help="the first one; by default a random one")
    run.add_argument("--processes", type=int, default=PROCESSES)
    replay = commands.add_parser("replay", help="one schedule again")
    replay.add_argument("seed", type=int)
    replay.add_argument("--mutant", choices=sorted(MUTANTS), default=None)
    replay.add_argument("--events", type=Path, default=None, help="write what happened there, as JSON lines")
    mutants = commands.add_parser("mutants", help="broken variants: each must be found")
    mutants.add_argument("names", nargs="*", help="some of them; by default all", metavar="NAME")
    mutants.add_argument("--schedules", type=int, default=SCHEDULES, help="for each at most")
    mutants.add_argument("--seed", type=int, default=1)
    mutants.add_argument("--processes", type=int, default=PROCESSES)
    asked = parser.parse_args(arguments)
    match asked.command:
        case "run":
            first = random.SystemRandom().randrange(10**9) if asked.seed is None else asked.seed
            report = search(first, asked.seconds, asked.processes)
            print(f"first seed {first}: {report}")
            return _told(report)
        case "replay":
            return _replay(asked.seed, asked.mutant, asked.events)
        case _:
            status = 0
            names = asked.names or list(MUTANTS)
            for name, report in search_mutants(names, asked.seed, asked.schedules, asked.processes):
                print(line(name, report), flush=True)
                status = status if proof(report) else 1
            return status


def line(name: str, report: Report) -> str:
    """How many schedules a broken variant took, and what it was found by."""
    found = proof(report)
    what = f"seed {report.failed[0]}: {found}" if report.failed and found else f"NOT FOUND {report.failed or ''}"
    return f"{report.runs:6} schedules {report.seconds:6.1f} s  {name}: {what[:SHOWN_CHARS]}"


def why(report: Report) -> str:
    """What did not hold, and how to see it again."""
    assert report.failed is not None
    seed, violations = report.failed
    lines = [f"seed {seed} breaks the protocol:", *(f"  {text}" for text in violations[:SHOWN])]
    return "\n".join([*lines, f"replay: make replay SEED={seed}"])


def _told(report: Report) -> int:
    if report.failed is None:
        return 0
    print(why(report), file=sys.stderr)
    return 1


def _replay(seed: int, mutant: str | None, events: Path | None) -> int:
    with pytest.MonkeyPatch.context() as patch:
        if mutant is not None:
            MUTANTS[mutant](patch)
        outcome = explore(seed, EMPHASIS.get(mutant or "", NO_EMPHASIS))
    assert outcome.log is not None
    if events is not None:
        events.write_text(outcome.log.lines(), encoding="utf-8")
    report = Report()
    report.add(outcome)
    print(report)
    return _told(report)


if __name__ == "__main__":
    sys.exit(main())
