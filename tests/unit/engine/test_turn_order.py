"""The order of publish, write and acknowledgement in each kind of turn, as the outside sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mastercontrol.api.job import Job, JobSpec
from mastercontrol.engine.ports import (
    BrokerUnavailable,
    Gone,
    JsonPatch,
    RawObject,
    Refused,
    Rejected,
    StoreUnavailable,
    Unroutable,
)
from mastercontrol.engine.turn import PUBLISHED_AT_ONCE, job_reference
from mastercontrol_worker.contract import JobRef, StepError, StepMessage
from unit.engine.builders import parallel, seconds, state, step
from unit.engine.fakes import Fault
from unit.engine.world import World, until


async def test_the_first_step_is_confirmed_before_the_first_status_is_written(world: World) -> None:
    await world.begun()
    assert world.journal == ["publish 1:1", "write 1"]


async def test_a_result_is_written_then_its_next_step_published_then_it_is_acknowledged(world: World) -> None:
    step = await world.begun()
    world.journal.clear()
    world.answer(step)
    await world.rest()
    assert world.journal == ["write 2", "publish 2:1", "ack 1:1"]


async def test_the_last_result_is_acknowledged_after_the_write(world: World) -> None:
    await world.begun()
    await world.finish()
    assert world.journal[-2:] == ["write 3", "ack 2:1"]


async def test_a_job_of_two_steps_costs_three_writes_and_no_read(world: World) -> None:
    await world.begun()
    await world.finish()
    assert [e for e in world.journal if e.startswith(("write", "read"))] == ["write 1", "write 2", "write 3"]


async def test_a_failed_attempt_is_written_acknowledged_and_later_published_and_marked(world: World) -> None:
    step = await world.begun()
    world.journal.clear()
    world.jitter = 0.0
    world.answer(step, error=StepError("Broken", "no"))
    await until(lambda: "publish 2:2" in world.journal and world.quiet())
    assert world.journal == ["write 2", "ack 1:1", "publish 2:2", "write 2"]


async def test_a_result_that_waits_for_a_write_holds_up_none_behind_it(world: World) -> None:
    """Another operator sent the first step and died; the second one is of no dispatch that was ever made."""
    world.jobs.put("j", "u1")
    job = JobRef("shop", "j", "u1")
    first, foreign = (world.answer(StepMessage(id_, job, "a", 1, None)) for id_ in ("u1:1:1", "u1:7:1"))
    await until(lambda: first.settled and foreign.settled)
    assert world.journal == ["read", "write 1", "ack 7:1", "write 2", "publish 2:1", "ack 1:1"]


async def test_a_result_is_not_acknowledged_while_its_next_step_has_no_confirm(world: World) -> None:
    step = await world.begun()
    world.broker.gate.clear()
    delivery = world.answer(step)
    await until(lambda: world.jobs.status()["sequence"] == 2)
    assert delivery.settled is None
    world.broker.gate.set()
    await world.rest()
    assert delivery.settled == "ack"


async def test_a_result_is_not_acknowledged_while_its_write_is_under_way(world: World) -> None:
    step = await world.begun()
    world.jobs.gate.clear()
    delivery = world.answer(step)
    await until(lambda: world.jobs.writing)
    assert delivery.settled is None
    assert len(world.broker.sent) == 1, "nor is anything sent that the write may refuse"
    world.jobs.gate.set()
    await world.rest()
    assert delivery.settled == "ack"


@pytest.mark.parametrize("error", [BrokerUnavailable("nack"), Unroutable("no queue")])
async def test_a_publish_that_fails_after_the_write_is_tried_again_and_then_the_result_acknowledged(
    world: World, error: Exception
) -> None:
    step = await world.begun()
    world.journal.clear()
    world.broker.faults.extend([error, error])
    delivery = world.answer(step)
    await until(lambda: delivery.settled)
    assert world.journal == ["write 2", "no confirm 2:1", "no confirm 2:1", "publish 2:1", "ack 1:1"]


async def test_a_first_step_without_a_confirm_is_tried_again_before_anything_is_written(world: World) -> None:
    world.broker.faults.append(BrokerUnavailable("no confirm in time"))
    await world.begun()
    assert world.journal == ["no confirm 1:1", "publish 1:1", "write 1"]


async def test_a_refused_write_is_followed_by_a_read_and_another_decision(world: World) -> None:
    step = await world.begun()
    world.journal.clear()
    world.jobs.faults.append(Fault(Refused("409")))
    delivery = world.answer(step)
    await until(lambda: delivery.settled)
    assert world.journal == ["read", "write 2", "publish 2:1", "ack 1:1"]


async def test_a_first_write_that_is_refused_does_not_send_the_first_step_twice(world: World) -> None:
    world.jobs.faults.append(Fault(Refused("409"), meanwhile=lambda: world.jobs.edit("j", suspend=False)))
    await world.begun()
    assert world.journal == ["publish 1:1", "read", "write 1"]


@pytest.mark.parametrize(
    "first",
    [{"name": "a", "pool": "other"}, {"name": "a", "pool": "a-pool", "input": {"size": 2}}],
    ids=["of another pool", "with another input"],
)
async def test_a_first_step_of_the_workflow_before_its_edit_does_not_stand_for_that_after_it(
    world: World, first: dict[str, Any]
) -> None:
    world.jobs.faults.append(Fault(Refused("409"), meanwhile=lambda: _edit(world, first)))
    await world.begun()
    (_, before), (pool, after) = world.broker.sent
    assert before.id == after.id
    assert (pool, after.input) == (first["pool"], first.get("input", {"n": 1}))


async def test_a_first_write_that_lands_late_has_its_own_step_sent_to_the_next_broker(world: World) -> None:
    """The write was taken for lost, the Workflow was edited, and the broker has the new first step only."""
    patches: list[JsonPatch] = []
    write = world.jobs.patch_status

    async def patch_status(namespace: str, name: str, patch: JsonPatch) -> RawObject:
        patches.append(patch)
        return await write(namespace, name, patch)

    world.jobs.patch_status = patch_status  # type: ignore[method-assign]

    def everything_changes() -> None:
        _edit(world, {"name": "a", "pool": "other"})
        world.broker.lose_everything("e2")

    world.jobs.faults.append(Fault(StoreUnavailable("time-out"), meanwhile=everything_changes))
    world.jobs.faults.append(Fault(Refused("409"), meanwhile=lambda: world.jobs._patch("shop", "j", patches[0])))
    await world.begun()
    assert [pool for pool, _ in world.broker.sent] == ["a-pool", "other", "a-pool"]
    assert world.jobs.status()["brokerEpoch"] == "e2"


def _edit(world: World, first: dict[str, Any]) -> None:
    """Somebody edits the Workflow, and the watch shows it."""
    world.engine.outside.definitions.observe(world.workflows.put(first, "b"))


async def test_the_first_write_is_fenced_by_the_resource_version(world: World) -> None:
    old = world.jobs.put("j", "u1")
    world.jobs.edit("j", ttlSecondsAfterFinished=5)
    world.engine.observe(old)
    await until(lambda: world.jobs.state() == "InProgress.a" and world.quiet())
    assert world.journal == ["publish 1:1", "refused", "read", "write 1"]


async def test_a_later_write_does_not_mind_an_edit_that_is_no_transition(world: World) -> None:
    step = await world.begun()
    world.jobs.edit("j", ttlSecondsAfterFinished=5)
    world.journal.clear()
    world.answer(step)
    await world.rest()
    assert world.journal == ["write 2", "publish 2:1", "ack 1:1"]


async def test_a_user_who_suspends_while_the_write_is_refused_is_heard(world: World) -> None:
    step = await world.begun()
    world.jobs.faults.append(Fault(Refused("409"), meanwhile=lambda: world.jobs.edit("j", suspend=True)))
    world.answer(step)
    await until(lambda: world.jobs.status()["phase"] == "Suspended")
    assert world.jobs.state() == "InProgress.b"
    assert [m.id for _, m in world.broker.sent] == ["u1:1:1"]


async def test_a_write_whose_answer_was_lost_but_which_was_written_is_found_by_reading(world: World) -> None:
    step = await world.begun()
    world.journal.clear()
    world.jobs.faults.append(Fault(StoreUnavailable("time-out"), written=True))
    delivery = world.answer(step)
    await until(lambda: delivery.settled)
    assert world.journal == ["write 2", "read", "publish 2:1", "ack 1:1"]
    assert world.jobs.status()["sequence"] == 2


async def test_a_write_whose_answer_was_lost_and_which_was_not_written_is_written_again(world: World) -> None:
    step = await world.begun()
    world.journal.clear()
    world.jobs.faults.append(Fault(StoreUnavailable("time-out")))
    delivery = world.answer(step)
    await until(lambda: delivery.settled)
    assert world.journal == ["read", "write 2", "publish 2:1", "ack 1:1"]


@pytest.mark.parametrize("written", [True, False])
async def test_a_first_write_with_an_unknown_outcome_sends_the_first_step_once(world: World, *, written: bool) -> None:
    world.jobs.faults.append(Fault(StoreUnavailable("time-out"), written=written))
    world.submit()
    await until(lambda: world.journal[-2:] == (["write 1", "read"] if written else ["read", "write 1"]))
    assert [e for e in world.journal if e.startswith("publish")] == ["publish 1:1"]


async def test_an_unavailable_store_is_asked_again_with_the_results_still_unacknowledged(world: World) -> None:
    step = await world.begun()
    world.jobs.faults.extend([Fault(StoreUnavailable("503"))] * 3)
    world.jobs.read_faults.extend([StoreUnavailable("503")] * 3)
    delivery = world.answer(step)
    await until(lambda: delivery.settled)
    assert world.jobs.state() == "InProgress.b"


async def test_a_job_that_could_not_be_read_is_read_before_anything_is_written(world: World) -> None:
    step = await world.begun()
    world.journal.clear()
    world.jobs.faults.append(Fault(Refused("409")))
    world.jobs.read_faults.append(StoreUnavailable("503"))
    delivery = world.answer(step)
    await until(lambda: delivery.settled)
    assert world.journal == ["read", "write 2", "publish 2:1", "ack 1:1"]


async def test_the_results_of_a_job_that_is_gone_at_the_write_are_acknowledged(world: World) -> None:
    step = await world.begun()
    world.jobs.faults.append(Fault(Gone("404")))
    del world.jobs.objects["shop", "j"]
    delivery = world.answer(step)
    await until(lambda: delivery.settled)
    assert delivery.settled == "ack"
    await until(lambda: world.engine.mailboxes.find(("shop", "j")) is None, "it is forgotten")


async def test_a_write_that_the_store_does_not_take_is_tried_again_later_and_settles_nothing(world: World) -> None:
    step = await world.begun()
    world.jobs.faults.extend([Fault(Rejected("422"))] * 1000)
    delivery = world.answer(step)
    await until(lambda: len(world.jobs.faults) < 997 and world.quiet())
    assert delivery.settled is None
    world.jobs.faults.clear()
    await until(lambda: delivery.settled)


async def test_a_turn_does_not_fight_for_ever_with_somebody_who_changes_the_job_each_time(world: World) -> None:
    step = await world.begun()
    world.jobs.faults.extend([Fault(Refused("409"))] * 40)
    delivery = world.answer(step)
    await until(lambda: delivery.settled)
    assert world.jobs.state() == "InProgress.b"


async def test_a_dispatch_confirmed_in_an_epoch_that_is_over_is_sent_again_when_its_cause_comes_back(
    world: World,
) -> None:
    step = await world.begun()
    world.answer(step)
    await world.rest()
    world.broker.lose_everything("e2")
    world.journal.clear()
    world.engine.connected("e2")
    await world.rest()
    assert world.journal == ["publish 2:1", "write 2"]
    assert world.jobs.status()["brokerEpoch"] == "e2"


async def test_a_redelivered_result_whose_next_step_is_confirmed_is_acknowledged_and_nothing_sent(
    world: World,
) -> None:
    step = await world.begun()
    world.answer(step)
    await world.rest()
    world.journal.clear()
    world.answer(step)
    await world.rest()
    assert world.journal == ["ack 1:1"]


async def test_a_redelivered_result_is_no_more_than_acknowledged_where_the_first_state_is_no_step(world: World) -> None:
    world.workflows.put(state("Pass", "first"), "a", "b")
    step = await world.begun()
    world.answer(step)
    await world.rest()
    world.journal.clear()
    world.answer(step)
    await world.rest()
    assert world.journal == ["ack 2:1"]


async def test_the_steps_of_a_first_block_are_sent_again_when_a_job_that_was_held_up_begins(world: World) -> None:
    """Before it has begun nobody knows which of the answers to the first ones are its own, and they are not kept."""
    world.workflows.put(parallel("fan", [step("a")], [step("b")]))
    world.jobs.faults.append(Fault(Refused("409"), meanwhile=lambda: world.jobs.edit("j", suspend=True)))
    world.submit()
    await until(lambda: world.jobs.status().get("phase") == "Suspended" and world.quiet())
    assert world.work() == 2
    await world.rest()
    world.edit(suspend=False)
    await world.finish()
    assert world.jobs.status()["output"] == ["output of a", "output of b"]


async def test_a_finished_job_needs_nothing_of_its_workflow_to_be_deleted(world: World) -> None:
    await world.begun(ttlSecondsAfterFinished=60)
    await world.finish()
    await world.crash()
    world.workflows.faults.append(StoreUnavailable("503"))
    world.clock.time += seconds(61)
    world.engine.look_at_namespace("shop")
    await until(lambda: ("shop", "j") not in world.jobs.objects)
    assert world.workflows.faults, "none of it was read"


async def test_a_finished_job_whose_time_to_live_is_over_is_deleted_and_forgotten(world: World) -> None:
    await world.begun(ttlSecondsAfterFinished=0)
    await until(lambda: world.work() >= 0 and ("shop", "j") not in world.jobs.objects)
    assert world.journal[-1] == "delete"
    await until(lambda: world.engine.mailboxes.find(("shop", "j")) is None)


async def test_a_delete_that_fails_settles_no_result_twice(world: World) -> None:
    step = await world.begun(ttlSecondsAfterFinished=60)
    await world.finish()
    world.clock.time = world.clock.time.replace(hour=13)
    world.jobs.delete_faults.extend([StoreUnavailable("503")] * 2)
    delivery = world.answer(step)
    await until(lambda: delivery.settled)
    assert world.journal[-2:] == ["delete", "ack 1:1"]


async def test_the_events_of_a_job_name_it(world: World) -> None:
    world.workflows.workflows.clear()
    world.submit()
    await until(lambda: world.jobs.status().get("message"))
    assert world.reporter.events == [("j", "UnknownWorkflow", "there is no Workflow 'order' in this namespace")]


def test_an_event_can_name_a_job_in_full() -> None:
    job = Job("shop", "order-1", "u1", "7", 1, JobSpec("order"), None)
    assert job_reference(job) == {
        "apiVersion": "mastercontrol.dev/v1alpha1",
        "kind": "Job",
        "metadata": {"namespace": "shop", "name": "order-1", "uid": "u1", "resourceVersion": "7"},
    }


async def test_a_pool_that_the_watch_has_not_shown_yet_is_asked_for(world: World) -> None:
    world.pools.unseen = {"a-pool"}
    await world.begun()
    assert world.pools.asked == ["a-pool"]


async def test_the_pool_of_a_step_is_told_that_one_was_sent(world: World) -> None:
    await world.begun()
    assert world.pools.poked == ["a-pool"]
    assert world.engine.outstanding("shop", "a-pool") == 1
    await world.finish()
    assert world.pools.poked == ["a-pool", "b-pool"]
    assert world.engine.outstanding("shop", "a-pool") == world.engine.outstanding("shop", "b-pool") == 0


async def _many(world: World) -> None:
    """A job in front of a Map: the answer to its first step makes a hundred steps due."""
    block = [{"name": "s", "pool": "s-pool"}]
    items = {"name": "all", "type": "Map", "items": list(range(100)), "states": block}
    world.workflows.put({"name": "a", "pool": "a-pool"}, items)
    world.submit()
    await until(lambda: len(world.broker.queue) == 1 and world.quiet())


async def test_of_many_steps_that_are_sent_together_only_those_without_a_confirm_are_sent_again(world: World) -> None:
    await _many(world)
    world.broker.faults.extend([None] * 40 + [BrokerUnavailable("nacked")] * 3)
    world.work()
    await until(lambda: len(world.broker.sent) >= 101 and world.quiet())
    assert len({message.id for _, message in world.broker.sent}) == len(world.broker.sent) == 101
    await world.finish()
    assert len(world.jobs.status()["output"]) == 100


async def test_a_step_whose_confirm_is_under_way_is_not_sent_again_because_another_one_failed(world: World) -> None:
    publish, confirmed, asked = world.broker.publish, asyncio.Event(), list[str]()

    async def slowly(namespace: str, pool: str, message: StepMessage, *, high: bool = False) -> None:
        asked.append(message.step)
        if message.step == "b":
            await confirmed.wait()
        await publish(namespace, pool, message, high=high)

    world.workflows.put(step("first"), parallel("fan", [step("a")], [step("b")]))
    first = await world.begun()
    world.broker.publish = slowly  # type: ignore[method-assign]
    world.broker.faults.append(BrokerUnavailable("nacked"))
    world.answer(first)
    await until(lambda: "no confirm 3:1" in world.journal)
    await asyncio.sleep(0.02)  # longer than it is until the next try
    assert asked == ["a", "b"]
    confirmed.set()
    await world.finish()
    assert asked == ["a", "b", "a"]


async def test_a_broker_that_is_away_is_not_asked_for_each_of_many_steps(world: World) -> None:
    await _many(world)
    world.broker.faults.extend([BrokerUnavailable("no confirm in 10 s")] * PUBLISHED_AT_ONCE)
    world.work()
    await until(lambda: len(world.broker.sent) >= 101 and world.quiet())
    assert len([line for line in world.journal if line.startswith("no confirm")]) == PUBLISHED_AT_ONCE
    await world.finish()
