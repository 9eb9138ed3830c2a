"""Runs one after the other until the time is up or one of them finds a fault, in several processes at once.

Each process takes every n-th seed from the first one on. Broken variants of the protocol are searched the same way.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import pytest

from simulation.faults import NO_EMPHASIS, Emphasis
from simulation.mutants import EMPHASIS, MUTANTS
from simulation.operators import OWN_FAULT
from simulation.world import Outcome, explore

PROCESSES: Final = 2
SCHEDULES: Final = 500
"""Within so many each broken variant must be found."""


@dataclass
class Report:
    """What many runs came to. `failed`: the seed of a run in which something did not hold, and what."""

    runs: int = 0
    jobs: int = 0
    commits: int = 0
    unchecked: int = 0
    virtual_seconds: float = 0.0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    failed: tuple[int, tuple[str, ...]] | None = None

    def add(self, outcome: Outcome) -> None:
        """Count one run."""
        self.runs += 1
        self.jobs += outcome.jobs
        self.commits += outcome.commits
        self.unchecked += outcome.unchecked
        self.virtual_seconds += outcome.seconds
        self.faults.update({str(kind): count for kind, count in outcome.faults.items()})
        if outcome.violations:
            self.failed = outcome.seed, tuple(outcome.violations)

    def merge(self, other: Report) -> None:
        """Take in what another process found."""
        self.runs += other.runs
        self.jobs += other.jobs
        self.commits += other.commits
        self.unchecked += other.unchecked
        self.virtual_seconds += other.virtual_seconds
        self.seconds = max(self.seconds, other.seconds)
        self.faults.update(other.faults)
        self.failed = self.failed or other.failed

    def __str__(self) -> str:
        hours = self.virtual_seconds / 3600
        lines = [
            f"{self.runs} schedules in {self.seconds:.0f} s ({hours:.1f} h of virtual time)",
            f"{self.jobs} jobs, {self.commits} commits; of {self.unchecked} jobs it was only checked that they end",
            f"{sum(self.faults.values())} faults:",
            *(
                f"  {count:7} {kind}"
                for kind, count in sorted(self.faults.items(), key=lambda pair: (-pair[1], pair[0]))
            ),
        ]
        return "\n".join(lines)


def look(seeds: Iterable[int], seconds: float = math.inf, emphasis: Emphasis = NO_EMPHASIS) -> Report:
    """Runs in this process, until there are no more seeds, the seconds are over or one fails."""
    report, began = Report(), time.monotonic()
    for seed in seeds:
        if time.monotonic() - began >= seconds:
            break
        report.add(explore(seed, emphasis))
        if report.failed is not None:
            break
    report.seconds = time.monotonic() - began
    return report


def search(first_seed: int, seconds: float, processes: int = PROCESSES) -> Report:
    """Runs in several processes."""
    report = Report()
    with _pool(processes) as pool:
        work = [pool.submit(look, itertools.count(first_seed + i, processes), seconds) for i in range(processes)]
        for future in work:
            report.merge(future.result())
    return report


def look_at_mutant(name: str, seeds: Iterable[int]) -> Report:
    """Runs of one broken variant in this process. What it is found by must hold where nothing is broken."""
    emphasis = EMPHASIS.get(name, NO_EMPHASIS)
    with pytest.MonkeyPatch.context() as patch:
        MUTANTS[name](patch)
        report = look(seeds, emphasis=emphasis)
    if report.failed is not None:
        seed = report.failed[0]
        unbroken = explore(seed, emphasis).violations
        if unbroken:
            report.failed = seed, (f"{OWN_FAULT}: it does not hold without the variant either: {unbroken[0]}",)
    return report


def search_mutants(
    names: Iterable[str], first_seed: int, schedules: int, processes: int = PROCESSES
) -> Iterator[tuple[str, Report]]:
    """Runs of broken variants, so many for each at most; several of them at once. The same every time."""
    seeds = range(first_seed, first_seed + schedules)
    with _pool(processes) as pool:
        work = {name: pool.submit(look_at_mutant, name, seeds) for name in names}
        for name, future in work.items():
            yield name, future.result()


def proof(report: Report) -> str | None:
    """What a broken variant was found by; None: by nothing, or by an error that has to do with no protocol."""
    if report.failed is None or report.failed[1][0].startswith(OWN_FAULT):
        return None
    return report.failed[1][0]


def _pool(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
