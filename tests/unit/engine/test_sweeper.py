"""The sweep: Jobs that vanished unseen, dispatches that their queue lost, revisions that nobody needs."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from mastercontrol.engine.ports import Depth, RawObject, StoreUnavailable
from mastercontrol.engine.recovery import Sweeper
from unit.engine.builders import parallel, state, step
from unit.engine.world import World, until


def sweeper_of(world: World, seconds: float = 300) -> Sweeper:
    return Sweeper(
        world.engine,
        world.engine.outside.definitions,
        world.jobs.list_jobs,
        seconds=seconds,
        watched=frozenset({"shop"}),
    )


def later(world: World, seconds: float) -> None:
    world.clock.time += dt.timedelta(seconds=seconds)


async def test_a_job_that_vanished_while_the_watch_was_away_is_forgotten(world: World) -> None:
    await world.begun()
    del world.jobs.objects["shop", "j"]
    await sweeper_of(world).sweep()
    await until(lambda: list(world.engine.mailboxes) == [])
    assert world.engine.outstanding("shop", "a-pool") == 0


async def test_a_job_that_the_watch_never_showed_is_found(world: World) -> None:
    world.jobs.put("j", "u1")
    await sweeper_of(world).sweep()
    await world.finish()


async def test_a_job_that_was_made_while_the_listing_was_under_way_is_not_taken_for_a_vanished_one(
    world: World,
) -> None:
    await world.begun("j", "u1")

    async def list_and_recreate() -> list[RawObject]:
        del world.jobs.objects["shop", "j"]
        listed = await world.jobs.list_jobs()
        world.submit("j", "u2")
        await until(lambda: world.jobs.state() == "InProgress.a" and world.quiet())
        return listed

    sweeper = sweeper_of(world)
    sweeper.list_jobs = list_and_recreate
    await sweeper.sweep()
    cell = world.engine.mailboxes.find(("shop", "j"))
    assert cell is not None
    assert cell.job is not None
    assert cell.job.uid == "u2"


async def test_a_dispatch_that_is_in_no_queue_is_sent_again_after_two_empty_looks(world: World) -> None:
    await world.begun()
    sweeper = sweeper_of(world)
    later(world, 301)
    await sweeper.sweep()
    await world.rest()
    assert world.journal.count("publish 1:1") == 1, "one look proves nothing"
    later(world, 300)
    await sweeper.sweep()
    await world.rest()
    assert world.journal.count("publish 1:1") == 2, "under the same id"
    assert world.jobs.status()["sequence"] == 1
    await sweeper.sweep()
    await world.rest()
    assert world.journal.count("publish 1:1") == 2, "and two more looks are taken before the next"


async def test_a_dispatch_is_suspected_only_after_the_time_between_two_sweeps(world: World) -> None:
    await world.begun()
    sweeper = sweeper_of(world)
    later(world, 300)
    for _ in range(3):
        await sweeper.sweep()
    await world.rest()
    assert world.journal.count("publish 1:1") == 1


async def test_a_job_that_moved_since_its_last_turn_does_not_disturb_the_sweep(world: World) -> None:
    await world.begun()
    cell = world.engine.mailboxes.find(("shop", "j"))
    assert cell is not None
    world.engine.mailboxes.set_outstanding(cell, ("a-pool", "b-pool"))
    later(world, 301)
    await sweeper_of(world).sweep()
    await world.finish()


async def test_a_dispatch_of_a_moment_ago_is_not_suspected(world: World) -> None:
    await world.begun()
    sweeper = sweeper_of(world)
    for _ in range(3):
        later(world, 60)
        await sweeper.sweep()
    await world.rest()
    assert world.journal.count("publish 1:1") == 1


@pytest.mark.parametrize("depth", [None, Depth(1, 0, 0), Depth(0, 1, 1)], ids=["unknown", "ready", "unacknowledged"])
async def test_a_queue_that_is_not_known_to_be_empty_loses_nothing(world: World, depth: Depth | None) -> None:
    await world.begun()
    world.broker.depths["a-pool"] = depth
    sweeper = sweeper_of(world)
    for _ in range(4):
        later(world, 301)
        await sweeper.sweep()
    await world.rest()
    assert world.journal.count("publish 1:1") == 1


async def test_an_empty_look_before_an_unknown_one_does_not_count(world: World) -> None:
    await world.begun()
    sweeper = sweeper_of(world)
    later(world, 301)
    depths: list[Depth | None] = [Depth(0, 0, 1), None, Depth(0, 0, 1)]
    for depth in depths:
        world.broker.depths["a-pool"] = depth
        await sweeper.sweep()
    await world.rest()
    assert world.journal.count("publish 1:1") == 1


async def test_a_step_that_moved_on_between_two_looks_is_not_sent_again(world: World) -> None:
    step = await world.begun()
    sweeper = sweeper_of(world)
    later(world, 301)
    await sweeper.sweep()
    world.answer(step)
    await world.rest()
    later(world, 301)
    await sweeper.sweep()
    await world.rest()
    assert world.journal.count("publish 1:1") == world.journal.count("publish 2:1") == 1


async def test_of_a_step_beside_a_child_job_it_is_the_step_that_is_sent_again(world: World) -> None:
    world.workflows.put("charge", name="billing")
    world.workflows.put(parallel("fan", [state("SubJob", "bill", workflow="billing")], [step("b")]))
    world.submit()
    await until(lambda: {"charge", "b"} <= world.steps_sent and world.quiet())
    world.broker.depths["charge-pool"] = Depth(1, 0, 1)  # the child's own step is in its queue
    sent = world.sent("b")
    sweeper = sweeper_of(world)
    for _ in range(2):
        later(world, 301)
        await sweeper.sweep()
    await world.rest()
    assert [m.id for _, m in world.broker.sent if m.step == "b"] == [sent.id, sent.id]
    assert len([m for _, m in world.broker.sent if m.step == "charge"]) == 1


async def test_a_revision_is_deleted_when_nobody_needed_it_in_two_sweeps(world: World) -> None:
    await world.begun()
    old = next(iter(world.workflows.revisions))
    world.engine.outside.definitions.observe(world.workflows.put("a", "b", "c"))
    sweeper = sweeper_of(world)
    for _ in range(3):
        await sweeper.sweep()
    assert old in world.workflows.revisions, "a running job needs it"
    await world.finish()
    await sweeper.sweep()
    assert old in world.workflows.revisions
    await sweeper.sweep()
    assert old not in world.workflows.revisions


async def test_the_revision_of_a_job_that_began_after_the_listing_is_kept(world: World) -> None:
    listed = [world.submit()]
    await until(lambda: world.jobs.state() == "InProgress.a" and world.quiet())
    (old,) = world.workflows.revisions
    world.engine.outside.definitions.observe(world.workflows.put("a", "b", "c"))
    sweeper = sweeper_of(world)

    async def list_as_of_before() -> list[RawObject]:
        return listed

    sweeper.list_jobs = list_as_of_before
    for _ in range(3):
        await sweeper.sweep()
    assert old in world.workflows.revisions


async def test_revisions_of_a_namespace_that_is_not_watched_are_left_alone(world: World) -> None:
    await world.begun()
    ((_, name), raw) = next(iter(world.workflows.revisions.items()))
    world.workflows.revisions["elsewhere", name] = {**raw, "metadata": {**raw["metadata"], "namespace": "elsewhere"}}
    sweeper = sweeper_of(world)
    for _ in range(3):
        await sweeper.sweep()
    assert ("elsewhere", name) in world.workflows.revisions


async def test_the_revision_of_a_workflow_as_it_is_now_is_kept_without_any_job(world: World) -> None:
    world.submit()
    await world.finish()
    sweeper = sweeper_of(world)
    for _ in range(3):
        await sweeper.sweep()
    assert len(world.workflows.revisions) == 1


async def test_the_sweep_goes_on_after_a_listing_that_failed(world: World, caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    async def list_jobs() -> list[RawObject]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StoreUnavailable("503")
        return await world.jobs.list_jobs()

    sweeper = sweeper_of(world, seconds=0.001)
    sweeper.list_jobs = list_jobs
    running = asyncio.create_task(sweeper.run())
    await until(lambda: calls >= 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert "the sweep could not read: 503" in caplog.text
