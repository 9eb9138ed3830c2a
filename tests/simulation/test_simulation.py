"""The protocol is attacked for a while, with schedules that nobody chose; and what breaks it is found.

MCP_SIMULATION_SECONDS sets for how long (default 300).
"""

from __future__ import annotations

import os
import subprocess
import sys

from simulation.__main__ import line, why
from simulation.faults import Fault
from simulation.mutants import MUTANTS
from simulation.search import SCHEDULES, proof, search, search_mutants
from simulation.world import explore

SECONDS = float(os.environ.get("MCP_SIMULATION_SECONDS", "300"))
FIRST_SEED = 1
ENOUGH = 500
"""Schedules after which each fault must have happened."""

DIGEST = """
import hashlib
from simulation.world import explore
logs = "".join(explore(seed).log.lines() for seed in range(100, 106))
print(hashlib.sha256(logs.encode()).hexdigest(), len(logs))
"""


def test_a_seed_is_the_same_schedule_in_each_process() -> None:
    found = set()
    for hash_seed in ("1", "2"):
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", DIGEST], env=environ, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1


def test_a_seed_is_the_same_schedule_the_second_time() -> None:
    first, second = explore(7), explore(7)
    assert first.log is not None
    assert second.log is not None
    assert first.log.lines() == second.log.lines()
    assert first.faults == second.faults


def test_no_schedule_breaks_the_protocol() -> None:
    report = search(FIRST_SEED, SECONDS)
    print(report)
    assert report.failed is None, why(report)
    if report.runs >= ENOUGH:
        assert {kind.value for kind in Fault} == set(report.faults), "a fault that never happens proves nothing"


def test_each_broken_protocol_is_found() -> None:
    missed = []
    for name, report in search_mutants(MUTANTS, FIRST_SEED, SCHEDULES):
        print(line(name, report))
        if proof(report) is None:
            missed.append(name)
    assert missed == []
