"""Jobs that come and go: deleted in the middle, made again under the same name, ended, and the engine's own end."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
from typing import Any

import pytest

from mastercontrol.engine.ports import RawObject, Refused, StoreUnavailable
from mastercontrol_worker.contract import JobRef, StepMessage
from unit.engine.fakes import FakeDelivery, Fault
from unit.engine.world import World, until


async def settled(delivery: FakeDelivery) -> str | None:
    await until(lambda: delivery.settled)
    return delivery.settled


async def test_a_job_that_is_deleted_with_letters_waiting_settles_them_and_is_forgotten(world: World) -> None:
    step = await world.begun()
    world.jobs.faults.extend([Fault(StoreUnavailable("503"))] * 3)
    delivery = world.answer(step)
    await asyncio.sleep(0)
    world.remove()
    assert await settled(delivery) == "ack"
    await until(lambda: list(world.engine.mailboxes) == [])
    assert world.engine.outstanding("shop", "a-pool") == 0


async def test_a_job_that_is_deleted_while_its_write_is_answered_is_forgotten(world: World) -> None:
    step = await world.begun()
    world.broker.gate.clear()
    world.answer(step)
    await until(lambda: world.jobs.status()["sequence"] == 2)
    world.remove()
    world.broker.gate.set()
    await until(lambda: list(world.engine.mailboxes) == [], "it stayed in memory for ever")
    assert world.engine.outstanding("shop", "b-pool") == 0


async def test_a_job_that_is_deleted_just_before_its_write_is_answered_is_forgotten(world: World) -> None:
    step = await world.begun()

    def gone_meanwhile() -> None:
        world.engine.gone(world.jobs.objects["shop", "j"])

    original = world.jobs._patch

    def patch(namespace: str, name: str, operations: Any) -> Any:
        raw = original(namespace, name, operations)
        gone_meanwhile()  # the watch is faster than the answer
        del world.jobs.objects[namespace, name]
        return raw

    world.jobs._patch = patch  # type: ignore[method-assign,assignment]
    world.answer(step)
    await until(lambda: list(world.engine.mailboxes) == [], "it stayed in memory for ever")


async def test_another_job_of_the_same_name_begins_anew_and_old_results_do_not_touch_it(world: World) -> None:
    step = await world.begun("j", "u1")
    world.remove()
    world.submit("j", "u2")
    await until(lambda: world.jobs.state() == "InProgress.a" and world.quiet())
    delivery = world.answer(step, "of the old one")
    assert await settled(delivery) == "ack"
    assert world.jobs.status()["sequence"] == 1
    await world.finish()
    assert {m.id.partition(":")[0] for _, m in world.broker.sent[1:]} == {"u2"}


async def test_a_job_that_takes_a_name_while_the_end_of_the_old_one_is_found_out_is_not_lost(world: World) -> None:
    step = await world.begun("j", "u1")
    del world.jobs.objects["shop", "j"]
    read = world.jobs.read

    async def read_and_recreate(namespace: str, name: str) -> Any:
        world.jobs.read = read  # type: ignore[method-assign]
        raw = await read(namespace, name)
        world.submit("j", "u2")
        return raw

    world.jobs.faults.append(Fault(Refused("409")))
    world.jobs.read = read_and_recreate  # type: ignore[method-assign]
    delivery = world.answer(step)
    assert await settled(delivery) == "ack"
    await until(lambda: world.jobs.state() == "InProgress.a" and world.quiet())
    cell = world.engine.mailboxes.find(("shop", "j"))
    assert cell is not None
    assert cell.job is not None
    assert cell.job.uid == "u2"
    await world.finish()
    assert world.engine.outstanding("shop", "a-pool") == 0


async def test_the_result_of_a_newer_job_of_the_name_is_not_lost_where_only_the_older_one_is_known(
    world: World,
) -> None:
    await world.begun("j", "u1")
    old = world.jobs.objects["shop", "j"]
    world.jobs.put("j", "u2")
    world.engine = world.new_engine()  # it is new, and its listing is of before
    delivery = world.answer(StepMessage("u2:1:1", JobRef("shop", "j", "u2"), "a", 1, None))
    world.engine.observe(old)
    assert await settled(delivery) == "ack"
    await world.rest()
    assert world.jobs.state() == "InProgress.b"


async def test_an_event_of_the_deletion_of_an_older_job_of_the_name_is_ignored(world: World) -> None:
    old = world.jobs.put("j", "u1")
    await world.begun("j", "u2")
    world.engine.gone(old)
    assert world.engine.mailboxes.find(("shop", "j")) is not None
    world.engine.gone({"metadata": {"namespace": "shop", "name": "never-was", "uid": "x"}})
    await world.finish()


@pytest.mark.parametrize(
    "meta",
    [{"namespace": "shop", "name": "j", "uid": "u1", "resourceVersion": "7"}, {"name": "j"}],
    ids=["whole", "bare"],
)
async def test_an_object_that_is_known_is_not_looked_at_again(world: World, meta: dict[str, str]) -> None:
    world.engine.observe({"metadata": meta, "spec": {"workflow": "order"}})
    world.engine.observe({"metadata": meta, "spec": {}})
    assert world.reporter.events == [], "mostly it is the echo of our own write"


async def test_a_job_that_does_not_say_where_it_is_is_in_the_namespace_default(world: World) -> None:
    world.engine.observe({"metadata": {"name": "j", "uid": "u1"}, "spec": {"workflow": "order"}})
    cell = world.engine.mailboxes.find(("default", "j"))
    assert cell is not None
    world.engine.gone({"metadata": {"name": "j", "uid": "u1"}})
    assert cell.must_read, "its turn is under way, and finds out"


async def test_a_job_that_another_operator_ended_takes_no_place_any_more(world: World) -> None:
    await world.begun()
    other, world.engine = world.engine, world.new_engine()
    for raw in await world.jobs.list_jobs():
        world.engine.observe(raw)
    await world.finish()
    assert other.mailboxes.find(("shop", "j")) is not None
    other.observe(world.jobs.objects["shop", "j"])
    await until(lambda: list(other.mailboxes) == [])


async def test_an_event_that_comes_after_the_end_and_tells_of_before_makes_no_place(world: World) -> None:
    await world.begun()
    before = copy.deepcopy(world.jobs.objects["shop", "j"])
    await world.finish()
    world.engine.observe(before)
    assert list(world.engine.mailboxes) == []


async def test_a_job_that_takes_the_name_of_one_that_goes_in_its_turn_has_its_turns_after_it(world: World) -> None:
    step = await world.begun("j", "u1")
    world.jobs.gate.clear()
    world.answer(step)
    await until(lambda: world.jobs.writing)
    world.remove()
    world.submit("j", "u2")
    await asyncio.sleep(0.01)
    world.jobs.gate.set()
    await world.finish()
    assert world.jobs.overlaps == 0


async def test_a_job_that_its_schema_should_have_refused_is_complained_of_and_does_nothing(world: World) -> None:
    world.engine.observe({"metadata": {"namespace": "shop", "name": "odd", "uid": "u"}, "spec": {"workflow": 3}})
    assert [(name, reason) for name, reason, _ in world.reporter.events] == [("odd", "InvalidSpec")]
    assert list(world.engine.mailboxes) == []


@pytest.mark.parametrize(
    ("raw", "about", "why"),
    [
        ({"metadata": {"name": "odd"}, "spec": {}}, {"name": "odd"}, "spec.workflow: write a text, it is required"),
        ({}, {}, "metadata.name: write a text, it is required"),
    ],
    ids=["no-workflow", "nothing"],
)
async def test_a_complaint_names_the_object_and_its_fault(
    world: World, raw: RawObject, about: RawObject, why: str
) -> None:
    told: list[tuple[RawObject, str, str]] = []
    world.reporter.warn = lambda *event: told.append(event)  # type: ignore[method-assign]
    world.engine.observe(raw)
    reference = {"apiVersion": "mastercontrol.dev/v1alpha1", "kind": "Job", "metadata": about}
    assert told == [(reference, "InvalidSpec", why)]


async def test_an_ended_job_in_a_listing_takes_no_place(world: World) -> None:
    world.submit()
    await world.finish()
    world.journal.clear()
    for raw in await world.jobs.list_jobs():
        world.engine.observe(raw)
    assert list(world.engine.mailboxes) == []
    assert world.journal == []


async def test_an_ended_job_that_a_new_operator_lists_takes_no_place(world: World) -> None:
    world.submit()
    await world.finish()
    world.engine = world.new_engine()
    world.engine.observe(world.jobs.objects["shop", "j"])
    assert list(world.engine.mailboxes) == []


async def test_an_ended_job_that_is_given_a_time_to_live_is_deleted(world: World) -> None:
    world.submit()
    await world.finish()
    world.edit(ttlSecondsAfterFinished=0)
    await until(lambda: ("shop", "j") not in world.jobs.objects)


async def test_after_close_no_turn_begins_and_nothing_is_settled(world: World) -> None:
    step = await world.begun()
    await world.engine.close()
    delivery = world.answer(step)
    world.submit("k", "u2")
    await asyncio.sleep(0.01)
    assert delivery.settled is None
    assert world.jobs.state("k") is None


async def test_close_lets_a_turn_under_way_come_to_its_end(world: World) -> None:
    step = await world.begun()
    world.jobs.gate.clear()
    delivery = world.answer(step)
    await until(lambda: world.jobs.writing)
    closing = asyncio.create_task(world.engine.close())
    await asyncio.sleep(0.01)
    world.jobs.gate.set()
    await closing
    assert delivery.settled == "ack"


async def test_close_waits_for_a_turn_that_it_had_to_break_off(world: World) -> None:
    world.jobs.gate.clear()
    world.submit()
    await until(lambda: world.jobs.writing)
    await world.engine.close(0)
    assert not world.jobs.writing


async def test_a_dispatch_of_an_unknown_job_is_not_sent_again(world: World) -> None:
    world.engine.resend(("shop", "never-was"), "u:1:1")
    await world.begun()
    world.engine.resend(("shop", "j"), "u1:1:1")
    await until(lambda: world.journal.count("publish 1:1") == 2)
    await world.rest()
    world.engine.connected("e1")
    await world.rest()
    assert world.journal.count("publish 1:1") == 2, "once"


async def test_a_step_that_was_answered_in_time_while_no_operator_led_is_not_late(world: World) -> None:
    retry = {"limit": 0}
    world.workflows.put({"name": "a", "pool": "a-pool", "timeoutSeconds": 30, "retry": retry}, "b")
    step = await world.begun()
    await world.engine.close(0)
    world.clock.time += dt.timedelta(seconds=3600)
    engine = world.engine = world.new_engine()
    engine.connected("e1")
    for raw in await world.jobs.list_jobs():
        engine.observe(raw)
    await world.rest()
    assert world.jobs.state() == "InProgress.a", "its answer may lie in the queue"
    world.answer(step)
    await until(lambda: world.jobs.state() == "InProgress.b")
