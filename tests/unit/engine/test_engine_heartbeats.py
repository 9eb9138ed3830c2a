"""Heartbeats through the engine: what is acknowledged, written and woken for, and what another operator knows of it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from mastercontrol import metrics
from mastercontrol.api.status_json import parse_status
from mastercontrol.engine.engine import REDELIVERY_SECONDS
from mastercontrol.engine.facts import Limits
from mastercontrol.engine.heartbeats import MOST_KNOWN
from mastercontrol.engine.ports import StoreUnavailable
from mastercontrol_worker.contract import HEARTBEAT_TIMEOUT, JobRef, StepMessage, dispatch_id
from mastercontrol_worker.heartbeat import Beat
from unit.engine.fakes import Fault
from unit.engine.world import World, until

SILENT = HEARTBEAT_TIMEOUT


def long(name: str = "a", **more: Any) -> dict[str, Any]:
    """A step that has to report more often than every 30 seconds, and is tried once."""
    return {"name": name, "pool": f"{name}-pool", "heartbeatSeconds": 30, "retry": {"limit": 0}, **more}


@pytest.fixture
async def step(world: World) -> StepMessage:
    """The step of a Job of one long step, sent to an operator that listens since a while."""
    world.workflows.put(long())
    world.engine.connected("e1")
    sent = await world.begun()
    later(world, REDELIVERY_SECONDS)
    return sent


def later(world: World, seconds: float) -> None:
    world.clock.time += dt.timedelta(seconds=seconds)


def at_work(world: World, index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = world.jobs.status()["active"][index]
    return found


async def look(world: World) -> None:
    """The timer of the job goes off."""
    world.engine.look_at_namespace("shop")
    await world.rest()


def counted(reason: str) -> float:
    return float(metrics.HEARTBEATS.labels(reason)._value.get())


async def test_the_first_heartbeat_is_seen_and_the_job_goes_on_to_its_end(world: World, step: StepMessage) -> None:
    world.beat(step, {"page": 1}, worker="w-7", beat=Beat.BEGUN)
    await until(lambda: "heartbeatAt" in at_work(world))
    assert (at_work(world)["worker"], at_work(world)["progress"]) == ("w-7", {"page": 1})
    assert world.jobs.status()["message"] == 'a is with pool a-pool: {"page": 1}'
    await world.finish()
    assert world.journal == ["publish 1:1", "write 1", "write 1", "write 2", "ack 1:1"]


async def test_of_a_thousand_heartbeats_few_are_written(world: World, step: StepMessage) -> None:
    for second in range(300):
        world.beat(step, second)
        await look(world)
        later(world, 1)
    beats = world.journal.count("write 1") - 1
    assert 10 <= beats <= 1 + 10
    assert int(at_work(world)["progress"]) >= 270


async def test_a_heartbeat_is_not_written_when_one_was_just_before(world: World, step: StepMessage) -> None:
    world.beat(step, "first")
    await world.rest()
    later(world, 29)
    world.beat(step, "second")
    await look(world)
    assert at_work(world)["progress"] == "first"
    later(world, 1)
    await look(world)
    assert at_work(world)["progress"] == "second"


async def test_a_heartbeat_that_is_not_the_first_is_no_turn_by_itself(world: World, step: StepMessage) -> None:
    world.beat(step)
    await world.rest()
    turns = metrics.TURNS._sum.get()
    for number in range(100):
        world.beat(step, number)
        assert world.quiet()
    assert metrics.TURNS._sum.get() == turns


async def test_the_last_progress_is_written_when_its_time_has_come_though_nothing_follows(
    world: World,
) -> None:
    world.workflows.put(long())
    world.limits = Limits(heartbeat_seconds=0.05)
    world.engine = world.new_engine()
    step = await world.begun()
    world.beat(step, "first")
    await until(lambda: at_work(world).get("progress") == "first")
    world.beat(step, "last")
    later(world, 0.06)
    await until(lambda: at_work(world).get("progress") == "last")


async def test_progress_that_comes_during_a_turn_is_written_when_its_time_has_come(world: World) -> None:
    world.workflows.put(long())
    world.limits = Limits(heartbeat_seconds=0.05)
    world.engine = world.new_engine()
    step = await world.begun()
    world.beat(step, "first")
    await until(lambda: at_work(world).get("progress") == "first" and world.quiet())
    world.jobs.gate.clear()
    world.edit(suspend=True)
    await until(lambda: world.jobs.writing)
    world.beat(step, "last")
    world.jobs.gate.set()
    await world.rest()
    later(world, 0.06)
    await until(lambda: at_work(world).get("progress") == "last")


async def test_what_was_heard_of_a_step_is_forgotten_when_it_is_done(world: World) -> None:
    world.workflows.put(long(), "b")
    step = await world.begun()
    world.beat(step)
    await world.rest()
    cell = world.engine.mailboxes.find(("shop", "j"))
    assert cell is not None
    assert list(cell.heartbeats.known) == [(1, 1)]
    world.answer(step)
    await world.rest()
    assert cell.heartbeats.known == {}


async def test_progress_does_not_put_off_what_the_job_is_woken_for(world: World) -> None:
    world.workflows.put(long())
    step = await world.begun(activeDeadlineSeconds=5)
    world.beat(step)
    await world.rest()
    cell = world.engine.mailboxes.find(("shop", "j"))
    assert cell is not None
    timer = cell.timer
    assert timer is not None
    world.beat(step, "half of it")
    assert cell.timer is timer


async def test_a_step_that_falls_silent_fails_once_the_broker_said_all(world: World, step: StepMessage) -> None:
    world.beat(step)
    await world.rest()
    later(world, 29)
    await look(world)
    assert "echo" not in world.journal
    later(world, 1)
    await look(world)
    assert world.jobs.status()["error"]["code"] == SILENT
    assert world.journal[-2:] == ["echo", "write 2"]


async def test_a_heartbeat_that_was_under_way_when_its_step_seemed_silent_saves_it(
    world: World, step: StepMessage
) -> None:
    world.beat(step)
    await world.rest()
    later(world, 300)  # this process was held up, and so is what it would have heard
    world.broker.before_echo = lambda: world.beat(step, "still here")
    await look(world)
    assert world.jobs.state() == "InProgress.a"
    assert at_work(world)["progress"] == "still here"


async def test_where_nothing_comes_through_the_silence_counts_anew(world: World, step: StepMessage) -> None:
    world.beat(step)
    await world.rest()
    world.broker.hears_all = False  # an alarm: no worker can report
    later(world, 300)
    await look(world)
    world.broker.hears_all = True
    later(world, 29)
    await look(world)
    assert world.jobs.state() == "InProgress.a"
    later(world, 1)
    await look(world)
    assert world.jobs.state() == "Failed"


async def test_the_engine_wakes_by_itself_when_a_step_is_silent(world: World) -> None:
    world.workflows.put(long(heartbeatSeconds=1))
    step = await world.begun()
    world.beat(step)
    await world.rest()
    later(world, 0.99)
    await look(world)
    later(world, 0.02)
    await until(lambda: world.jobs.state() == "Failed", "nothing woke the job")


async def test_another_operator_gives_a_step_its_whole_time_after_it_has_connected(
    world: World, step: StepMessage
) -> None:
    world.beat(step, "before")
    await world.rest()
    later(world, 3600)
    await world.crash()
    world.engine.connected("e1")
    await look(world)
    later(world, REDELIVERY_SECONDS + 29)
    await look(world)
    assert (world.jobs.state(), at_work(world)["progress"]) == ("InProgress.a", "before")
    later(world, 1)
    await look(world)
    assert world.jobs.status()["error"]["code"] == SILENT


async def test_an_operator_that_dies_before_it_has_written_the_first_heartbeat_loses_nothing_but_that(
    world: World, step: StepMessage
) -> None:
    world.jobs.gate.clear()
    world.beat(step, beat=Beat.BEGUN)
    await until(lambda: world.jobs.writing)
    await world.crash()
    world.jobs.gate.set()
    later(world, 1000)
    await look(world)
    assert world.jobs.state() == "InProgress.a"
    world.beat(step, "alive")
    await until(lambda: at_work(world).get("progress") == "alive")
    await world.finish()
    assert world.jobs.state() == "Done"


async def test_an_operator_that_dies_after_it_wrote_that_a_step_is_silent_makes_the_next_attempt_once(
    world: World,
) -> None:
    world.workflows.put(long(retry={"limit": 1, "backoffSeconds": 5, "jitter": "none"}))
    step = await world.begun()
    world.beat(step)
    await world.rest()
    later(world, 30)
    await look(world)
    await world.crash()
    late = world.answer(step, "late")
    await until(lambda: late.settled == "ack")
    assert world.jobs.state() == "InProgress.a"
    later(world, 5)
    await look(world)
    await world.finish()
    assert world.jobs.state() == "Done"
    assert [m.attempt for _, m in world.broker.sent] == [1, 2]
    assert [line["seq"] for line in world.jobs.status()["history"]] == [1, 2, 3]


async def test_a_write_that_is_refused_for_a_silent_step_is_decided_again(world: World, step: StepMessage) -> None:
    world.beat(step)
    await world.rest()
    later(world, 30)
    world.jobs.faults.append(Fault(StoreUnavailable("503"), written=True))
    await look(world)
    await until(lambda: world.jobs.state() == "Failed" and world.quiet())
    assert world.jobs.status()["sequence"] == 2


async def test_two_operators_hear_the_same_and_one_of_them_fails_the_step(world: World, step: StepMessage) -> None:
    zombie = world.new_engine()
    for raw in await world.jobs.list_jobs():
        zombie.observe(raw)
    leader = world.engine
    for engine in (zombie, leader):
        world.engine = engine
        world.beat(step)
    await until(lambda: all(not c.running for e in (zombie, leader) for c in e.mailboxes))
    later(world, 30)
    for engine in (zombie, leader):
        engine.look_at_namespace("shop")
    await until(lambda: all(not c.running for e in (zombie, leader) for c in e.mailboxes))
    assert world.jobs.status()["error"]["code"] == SILENT
    assert [line["seq"] for line in world.jobs.status()["history"]] == [1, 2]


async def test_after_the_broker_lost_its_data_the_step_waits_in_its_queue_again(
    world: World, step: StepMessage
) -> None:
    world.beat(step)
    await world.rest()
    world.broker.lose_everything("e2")
    world.engine.connected("e2")
    await world.rest()
    assert "heartbeatAt" not in at_work(world)
    later(world, 10_000)
    await look(world)
    assert world.jobs.state() == "InProgress.a"
    await world.finish()
    assert world.jobs.state() == "Done"


async def test_a_step_that_its_worker_gave_back_is_not_silent_until_another_one_begins_it(
    world: World, step: StepMessage
) -> None:
    world.beat(step, "half", worker="w-1")
    await world.rest()
    world.beat(step, worker="w-1", beat=Beat.GIVEN_BACK)
    await until(lambda: "heartbeatAt" not in at_work(world))
    later(world, 1000)
    await world.crash()
    world.engine.connected("e1")
    later(world, 1000)
    await look(world)
    assert world.jobs.state() == "InProgress.a"
    world.beat(step, worker="w-2", beat=Beat.BEGUN)
    await until(lambda: at_work(world).get("worker") == "w-2")


async def test_a_give_back_that_comes_after_another_worker_has_begun_says_nothing(
    world: World, step: StepMessage
) -> None:
    world.beat(step, worker="w-2", beat=Beat.BEGUN)
    world.beat(step, worker="w-1", beat=Beat.GIVEN_BACK)
    await world.rest()
    assert at_work(world)["worker"] == "w-2"


# -- whose it is


async def test_what_came_before_the_job_was_known_is_not_lost(world: World) -> None:
    world.workflows.put(long())
    before = counted("unknown_job")
    message = StepMessage(dispatch_id("u1", 1, 1), JobRef("shop", "j", "u1"), "a", 1, None)
    world.beat(message, "early")
    assert counted("unknown_job") == before + 1
    await world.begun()
    await until(lambda: at_work(world).get("progress") == "early")


async def test_heartbeats_of_what_is_over_are_counted_and_move_nothing(world: World, step: StepMessage) -> None:
    stale = counted("stale")
    world.workflows.put(long())
    old = StepMessage(dispatch_id("u1", 0, 1), step.job, "a", 1, None)
    world.beat(old)
    assert counted("stale") == stale + 1
    await world.finish()
    unknown, journal = counted("unknown_job"), list(world.journal)
    for _ in range(50):
        world.beat(step)
    await world.rest()
    assert counted("unknown_job") == unknown + 50
    assert world.journal == journal, "not even a read"


async def test_a_heartbeat_of_a_job_that_had_the_name_before_is_not_this_one_s(world: World, step: StepMessage) -> None:
    world.remove()
    await until(lambda: list(world.engine.mailboxes) == [])
    await world.begun(uid="u2")
    world.beat(step, "of u1")
    await world.rest()
    assert "heartbeatAt" not in at_work(world)


async def test_what_is_no_heartbeat_or_of_another_namespace_is_counted() -> None:
    world = World(watched=frozenset({"elsewhere"}))
    before = [counted(reason) for reason in ("malformed", "foreign")]
    world.engine.hear("no id", b"{}")
    world.engine.hear(None, b"\xff")
    world.beat(StepMessage("u1:1:1", JobRef("shop", "j", "u1"), "a", 1, None))
    assert [counted(reason) for reason in ("malformed", "foreign")] == [before[0] + 2, before[1] + 1]
    await world.close()


async def test_a_worker_that_makes_dispatches_up_does_not_fill_the_memory(world: World, step: StepMessage) -> None:
    for seq in range(2, 2 * MOST_KNOWN):
        world.beat(StepMessage(dispatch_id("u1", seq, 1), step.job, "a", 1, None))
    (cell,) = world.engine.mailboxes
    assert len(cell.heartbeats.known) <= MOST_KNOWN
    for number in range(3000):
        job = JobRef("shop", f"none-{number}", f"n{number}")
        world.beat(StepMessage(dispatch_id(job.uid, 1, 1), job, "a", 1, None))
    assert len(world.engine._hearing._strays) <= 1000
    await world.rest()


async def test_a_hundred_steps_that_begin_together_are_written_together(world: World) -> None:
    block = [long("s", pool="s-pool")]
    world.workflows.put({"name": "all", "type": "Map", "items": list(range(100)), "states": block})
    world.submit()
    await until(lambda: len(world.broker.queue) == 100 and world.quiet())
    before = len(world.jobs.written)
    for message in world.broker.queue:
        world.beat(message, 1)
    await world.rest()
    assert all(entry.heartbeat_at is not None for entry in parse_status(world.jobs.status()).active)
    assert len(world.jobs.written) - before <= 2
