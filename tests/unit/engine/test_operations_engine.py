"""spec.operations in the engine: an ended job is looked at again, its revision is kept, its end counts again."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from mastercontrol import metrics
from mastercontrol.api.job import parse_job
from mastercontrol.engine.commit import status_patch
from mastercontrol.engine.ports import Refused
from mastercontrol.engine.recovery import Sweeper
from mastercontrol_worker.contract import StepError
from unit.engine.block_scenarios import task
from unit.engine.operation_scenarios import RETRY, failed
from unit.engine.world import World, until

SKIP = {"type": "Skip", "state": "nowhere"}


async def taken(world: World, number: int) -> None:
    await until(lambda: world.jobs.status().get("operationsTaken") == number and world.quiet())


def sweeper_of(world: World) -> Sweeper:
    return Sweeper(
        world.engine,
        world.engine.outside.definitions,
        world.jobs.list_jobs,
        seconds=300,
        watched=frozenset({"shop"}),
    )


async def test_a_failed_job_takes_no_place_in_memory_until_it_is_asked_for_more(world: World) -> None:
    await failed(world)
    world.edit(suspend=True)
    await world.rest()
    assert list(world.engine.mailboxes) == []
    world.edit(suspend=False, operations=[RETRY])
    await until(lambda: "publish 4:1" in world.journal)
    await until(lambda: world.engine.outstanding("shop", "b-pool") == 1)
    await world.finish()
    assert world.jobs.state() == "Done"
    assert list(world.engine.mailboxes) == []


async def test_a_write_that_does_not_know_of_a_refused_operation_cannot_take_it_back(world: World) -> None:
    await world.begun()
    stale = parse_job(world.jobs.objects["shop", "j"])  # as one knows it that led before
    assert stale.status is not None
    world.edit(operations=[{"type": "Skip", "state": "b", "reason": "too early"}])
    await until(lambda: world.jobs.status().get("operationsTaken") == 1 and world.quiet())
    assert world.jobs.status()["sequence"] == stale.status.sequence
    with pytest.raises(Refused):
        await world.jobs.patch_status("shop", "j", status_patch(stale, replace(stale.status, message="a mark")))
    await world.finish()
    assert [line for line in world.jobs.status()["history"] if line.get("reason") == "Skipped"] == []


async def test_a_refused_operation_of_an_ended_job_leaves_no_place_in_memory(world: World) -> None:
    await failed(world)
    world.edit(operations=[SKIP])
    await taken(world, 1)
    await until(lambda: list(world.engine.mailboxes) == [])
    writes = len(world.jobs.written)
    for raw in await world.jobs.list_jobs():
        world.engine.observe(raw)
    assert list(world.engine.mailboxes) == []
    assert len(world.jobs.written) == writes
    assert [reason for _, reason, _ in world.reporter.events][-1] == "OperationRefused"


async def test_an_event_that_is_older_than_the_end_starts_nothing(world: World) -> None:
    await failed(world)
    old = world.jobs.objects["shop", "j"]
    world.edit(operations=[RETRY])
    await world.finish()
    world.engine.observe(old)
    assert list(world.engine.mailboxes) == []


async def test_each_end_of_a_job_is_counted_once(world: World) -> None:
    ended = metrics.JOBS_ENDED.labels("Failed")
    before = ended._value.get()
    await failed(world)
    world.edit(operations=[SKIP])
    await taken(world, 1)
    assert ended._value.get() == before + 1, "a refusal is no end"
    world.edit(operations=[SKIP, RETRY])
    await until(lambda: "publish 4:1" in world.journal and world.quiet())
    world.answer(world.sent("b"), error=StepError("Broken", "again"))
    await until(lambda: world.jobs.state() == "Failed" and world.quiet())
    assert ended._value.get() == before + 2


async def test_a_job_whose_time_to_live_is_over_is_retried_if_it_is_asked_for_in_time(world: World) -> None:
    world.workflows.put(task("a"))
    step = await world.begun(ttlSecondsAfterFinished=60)
    world.answer(step, error=StepError("Broken", "no"))
    await until(lambda: world.jobs.state() == "Failed" and world.quiet())
    world.clock.time += dt.timedelta(seconds=61)
    world.edit(operations=[RETRY])
    await until(lambda: world.jobs.state() == "InProgress.a" and world.quiet())
    await world.finish()
    assert world.jobs.state() == "Done"


async def test_the_revision_of_a_failed_job_is_kept_and_that_of_a_done_one_is_not(world: World) -> None:
    await failed(world)
    world.workflows.put(task("other"))
    world.engine.outside.definitions.observe(world.workflows.workflows["shop", "order"])
    sweeper = sweeper_of(world)
    for _ in range(3):
        await sweeper.sweep()
    assert world.jobs.status()["revision"] in {name for _, name in world.workflows.revisions}
    await world.crash()  # nothing of it is in memory
    world.edit(operations=[RETRY])
    await world.finish()
    assert world.jobs.state() == "Done"
    assert [m.step for _, m in world.broker.sent] == ["a", "b", "b", "c"], "with the revision that it began with"
    sweeper = sweeper_of(world)
    for _ in range(3):
        await sweeper.sweep()
    assert world.jobs.status()["revision"] not in {name for _, name in world.workflows.revisions}


async def test_a_job_that_never_learns_of_an_operation_by_the_watch_has_it_from_the_sweep(world: World) -> None:
    await failed(world)
    world.jobs.edit("j", operations=[RETRY])
    await sweeper_of(world).sweep()
    await world.finish()
    assert world.jobs.state() == "Done"


async def test_a_cancel_that_the_watch_shows_after_our_own_write_is_heard(world: World) -> None:
    """The answer to the write has it already, and what the watch shows is then older than what is known."""
    step = await world.begun()
    world.jobs.gate.clear()
    world.answer(step)
    await until(lambda: world.jobs.writing)
    raw = world.jobs.edit("j", cancel=True)
    world.jobs.gate.set()
    await until(lambda: world.jobs.status()["sequence"] > 1)
    world.engine.observe(raw)
    await until(lambda: world.jobs.state() == "Cancelled")
