"""The recorder sees all that happens in a real run, so that the checker's verdict on it means something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import all_states
from checker.check import Verdict
from integration.conftest import Service
from integration.operator.conftest import GROUP, World
from recording.recorder import Recorder, judge


@pytest.fixture
def busy(bare_world: World) -> World:
    """With an operator, and workers that say what they execute."""
    bare_world.environ |= {"MCP_HISTORY_LIMIT": str(all_states.HISTORY)}
    bare_world.operator()
    for pool in all_states.POOLS:
        bare_world.worker(pool, "handlers")
    spec = {"states": all_states.STATES}
    bare_world.apply({"apiVersion": GROUP, "kind": "Workflow", "metadata": {"name": all_states.NAME}, "spec": spec})
    return bare_world


def _run(world: World, name: str, *, seconds: float = 0) -> None:
    data = {"sleepSeconds": seconds}
    spec = {"workflow": all_states.NAME, "input": data, "signals": all_states.GO}
    world.apply({"apiVersion": GROUP, "kind": "Job", "metadata": {"name": name}, "spec": spec})
    world.wait("end of the job", 90, lambda: "completionTime" in world.statuses()[name])


def _verdict(world: World, recorder: Recorder, folder: Path) -> Verdict:
    recorder.stop()
    return judge(recorder.history(world.worker_logs()), folder / "history.jsonl")


def test_every_transition_and_every_message_is_seen(recorder: Recorder, busy: World, tmp_path: Path) -> None:
    _run(busy, "seen")
    verdict = _verdict(busy, recorder, tmp_path)
    assert [str(fault) for fault in verdict.faults] == []
    (job,) = verdict.jobs.values()
    assert (job.ended, job.sequence, job.unseen) == (True, all_states.ENTERED.total(), 0)
    steps = all_states.DISPATCHES.total()
    assert [len(job.dispatched), len(job.executed), len(job.answered)] == [steps, steps, steps]
    assert verdict.sees == {"commit", "dispatch", "result", "execute"}
    # Each turn is a write of its own, and none of them is missing: the history of each goes on where it stood.
    assert job.commits > steps


def test_a_status_that_somebody_changes_by_hand_is_a_fault(recorder: Recorder, busy: World, tmp_path: Path) -> None:
    _run(busy, "spoilt")
    patch = json.dumps({"status": {"state": "InProgress.one", "sequence": 2, "completionTime": None}})
    busy.kubectl("patch", "mcpjob", "spoilt", "--subresource=status", "--type=merge", "-p", patch)
    verdict = _verdict(busy, recorder, tmp_path)
    assert {"sequence", "once"} <= {fault.rule.value for fault in verdict.faults}


def test_a_broker_that_restarts_leaves_a_gap_that_is_told(
    recorder: Recorder, busy: World, rabbitmq: Service, tmp_path: Path
) -> None:
    rabbitmq.run("restart")
    _run(busy, "after")
    verdict = _verdict(busy, recorder, tmp_path)
    assert verdict.sees == {"commit", "execute"}
    assert [str(fault) for fault in verdict.faults] == []
    (job,) = verdict.jobs.values()
    assert len(job.executed) == all_states.DISPATCHES.total()
