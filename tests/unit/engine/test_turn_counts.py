"""What a turn counts, so that the metrics say what happened."""

from __future__ import annotations

from time import perf_counter

import pytest
from prometheus_client import REGISTRY

from mastercontrol.engine.ports import BrokerUnavailable, Gone, Refused, Unroutable
from mastercontrol.engine.turn import MAX_ROUNDS
from mastercontrol_worker.contract import StepError
from unit.engine.fakes import Fault
from unit.engine.world import World, until


def samples(name: str) -> dict[str, float]:
    """The samples of a metric by the values of its labels."""
    found = (sample for metric in REGISTRY.collect() for sample in metric.samples if sample.name == name)
    return {",".join(sample.labels.values()): sample.value for sample in found}


class Counted:
    """What was counted since this was made; what did not move is left out."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.before = samples(name)

    @property
    def now(self) -> dict[str, float]:
        after = samples(self.name)
        moved = {labels: value - self.before.get(labels, 0) for labels, value in after.items()}
        return {labels: value for labels, value in moved.items() if value}


async def test_each_transition_is_counted_once(world: World) -> None:
    transitions = Counted("mcp_transitions_total")
    step = await world.begun()
    assert transitions.now == {"": 1}
    world.edit(suspend=True)
    await until(lambda: world.jobs.status()["phase"] == "Suspended" and world.quiet())
    assert transitions.now == {"": 1}, "a write without a transition is none"
    world.answer(step)
    await until(lambda: world.jobs.state() == "InProgress.b" and world.quiet())
    world.edit(suspend=False)
    await world.finish()
    assert transitions.now == {"": world.jobs.status()["sequence"]} == {"": 3}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_the_end_of_a_job_is_counted_by_its_phase(world: World, phase: str) -> None:
    ends = Counted("mcp_jobs_ended_total")
    step = await world.begun()
    if phase == "Failed":
        world.answer(step, error=StepError("Broken", "no", retryable=False))
        await until(lambda: world.jobs.state() == "Failed" and world.quiet())
    else:
        await world.finish()
    assert ends.now == {phase: 1}


async def test_a_write_is_counted_by_whether_it_was_refused(world: World) -> None:
    commits = Counted("mcp_commits_total")
    step = await world.begun()
    assert commits.now == {"done": 1}
    world.jobs.faults.extend([Fault(Refused("409"))] * 2)
    world.answer(step)
    await world.rest()
    assert commits.now == {"done": 2, "refused": 2}


async def test_a_step_is_counted_by_whether_a_result_made_it_due(world: World) -> None:
    dispatches = Counted("mcp_dispatches_total")
    step = await world.begun()
    assert dispatches.now == {"due": 1}
    world.answer(step)
    await world.rest()
    assert dispatches.now == {"due": 1, "result": 1}


@pytest.mark.parametrize(
    ("error", "reason"),
    [(Unroutable("no queue"), "unroutable"), (BrokerUnavailable("nack"), "unavailable")],
    ids=["unroutable", "unavailable"],
)
async def test_a_step_without_a_confirm_is_counted_by_why(world: World, error: Exception, reason: str) -> None:
    failures, dispatches = Counted("mcp_publish_failures_total"), Counted("mcp_dispatches_total")
    world.broker.faults.extend([error, error])
    await world.begun()
    assert failures.now == {reason: 2}
    assert dispatches.now == {"due": 1}


async def test_a_result_is_counted_by_what_became_of_it(world: World) -> None:
    results = Counted("mcp_results_total")
    step = await world.begun()
    world.answer(step)
    await world.rest()
    world.answer(step)
    await world.rest()
    assert results.now == {"applied": 1, "stale": 1}


async def test_a_turn_is_timed_in_seconds(world: World) -> None:
    turns, seconds, began = Counted("mcp_turn_seconds_count"), Counted("mcp_turn_seconds_sum"), perf_counter()
    await world.begun()
    assert turns.now == {"": 1}
    assert 0 < seconds.now[""] <= perf_counter() - began


async def test_a_job_that_is_gone_at_the_write_is_no_failure(world: World) -> None:
    step = await world.begun()
    failures = Counted("mcp_turn_failures_total")
    world.jobs.faults.append(Fault(Gone("404")))
    world.answer(step)
    await until(lambda: world.engine.mailboxes.find(("shop", "j")) is None)
    assert failures.now == {}


async def test_a_job_that_others_change_each_time_lets_them_go_first(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    step = await world.begun()
    failures = Counted("mcp_turn_failures_total")
    world.jobs.faults.extend([Fault(Refused("409"))] * MAX_ROUNDS)
    delivery = world.answer(step)
    await until(lambda: delivery.settled)
    assert failures.now == {"Contended": 1}
    assert f"('shop', 'j') was changed {MAX_ROUNDS} times during one turn" in caplog.text
