"""What can go wrong between the two stores, each as a story that a sound protocol survives.

`test_protocol.py` tells each of them of the engine as it is; `test_mutants.py` of engines that are broken on purpose,
to show that the story would notice. A story fails with an AssertionError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from mastercontrol.engine.ports import BrokerUnavailable, StoreUnavailable
from mastercontrol_worker.contract import StepError, StepMessage
from unit.engine.fakes import Fault
from unit.engine.world import World, until

Scenario = Callable[[World], Awaitable[None]]


async def ends_well(world: World) -> None:
    """The job ends Done, each transition written exactly once."""
    await world.finish(seconds=world.patience)
    assert world.jobs.state() == "Done"
    moves_only_forward(world)
    each_id_is_one_step(world)


def moves_only_forward(world: World) -> None:
    """No transition is written twice, none is taken back, none is left out."""
    at, known = 0, None
    for _, status in world.jobs.written:
        assert status["sequence"] >= at, f"from {at} back to {status['sequence']}"
        moved = (status["state"], status.get("outputs"), status["history"])
        if status["sequence"] == at and known is not None:
            assert moved == known, "another transition under the same sequence"
        at, known = status["sequence"], moved
    history = world.jobs.status()["history"]
    assert [line["seq"] for line in history] == list(range(1, at + 1))


def each_id_is_one_step(world: World) -> None:
    """A dispatch id that is sent again is sent with the same step in it."""
    known: dict[str, tuple[str, object]] = {}
    for _, message in world.broker.sent:
        said = (message.step, message.input)
        assert known.setdefault(message.id, said) == said, f"{message.id} is {known[message.id]} and {said}"


async def the_operator_dies_between_taking_a_result_and_writing_it(world: World) -> None:
    step = await world.begun()
    world.jobs.gate.clear()
    world.answer(step)
    await until(lambda: world.jobs.writing)
    await world.crash()
    world.jobs.gate.set()
    await ends_well(world)


async def the_operator_dies_between_writing_and_publishing(world: World) -> None:
    step = await world.begun()
    world.broker.gate.clear()
    world.answer(step)
    await until(lambda: world.jobs.status()["sequence"] == 2)
    await asyncio.sleep(0.005)
    await world.crash()
    world.broker.gate.set()
    await ends_well(world)


async def the_operator_dies_between_publishing_and_acknowledging(world: World) -> None:
    step = await world.begun()
    delivery = world.answer(step)
    delivery.ack = lambda: None  # type: ignore[method-assign]  # it never leaves the process
    await until(lambda: "publish 2:1" in world.journal)
    await world.crash()
    await ends_well(world)


async def the_operator_dies_between_the_first_publish_and_the_first_write(world: World) -> None:
    world.jobs.gate.clear()
    world.submit()
    await until(lambda: world.jobs.writing)
    await world.crash()
    world.jobs.gate.set()
    await ends_well(world)


async def the_operator_dies_between_the_first_write_and_more(world: World) -> None:
    """Whatever there is to be done after the first write, the operator does not come to it."""
    world.jobs.gate.clear()
    world.submit()
    await until(lambda: world.jobs.writing)
    world.broker.gate.clear()
    world.jobs.gate.set()
    await until(world.jobs.status)
    await asyncio.sleep(0.005)
    await world.crash()
    world.broker.gate.set()
    await ends_well(world)


async def the_operator_dies_between_publishing_an_attempt_and_marking_it(world: World) -> None:
    step = await world.begun()
    world.jitter = 0.0
    world.answer(step, error=StepError("Broken", "no"))
    await until(lambda: world.jobs.status()["sequence"] == 2)
    world.jobs.gate.clear()
    await until(lambda: "publish 2:2" in world.journal)
    await world.crash()
    world.jobs.gate.set()
    await ends_well(world)


async def the_broker_refuses_the_next_step_for_a_while(world: World) -> None:
    step = await world.begun()
    world.broker.faults.extend([BrokerUnavailable("nack")] * 3)
    world.answer(step)
    await until(lambda: not world.broker.faults, seconds=world.patience)
    await ends_well(world)


async def the_broker_loses_its_data_while_a_step_waits(world: World) -> None:
    await world.begun()
    world.broker.lose_everything("e2")
    world.engine.connected("e2")
    await ends_well(world)


async def the_broker_loses_its_data_while_the_operator_is_away(world: World) -> None:
    await world.begun()
    world.broker.lose_everything("e2")
    await world.crash()
    await ends_well(world)


async def a_result_of_the_broker_that_lost_its_data_is_applied_and_the_operator_dies(world: World) -> None:
    """What it made due was never published, and its result, in the old broker's queue, is gone."""
    step = await world.begun()
    world.answer(step)
    world.broker.lose_everything("e2")  # before the turn that takes the answer
    world.broker.faults.extend([BrokerUnavailable("the channel is closed")] * 100)
    await until(lambda: world.jobs.status()["sequence"] == 2)
    await world.crash()
    world.broker.faults.clear()
    world.engine.connected("e2")
    await ends_well(world)


async def a_worker_answers_before_the_first_write(world: World) -> None:
    world.jobs.gate.clear()
    world.submit()
    await until(world.work)
    await asyncio.sleep(0.005)
    world.jobs.gate.set()
    await ends_well(world)


async def a_worker_answers_while_the_first_write_is_tried_again(world: World) -> None:
    world.jobs.gate.clear()
    world.jobs.faults.append(Fault(StoreUnavailable("503")))
    world.submit()
    await until(world.work)
    world.jobs.gate.set()
    await ends_well(world)


async def an_operator_that_lost_the_lease_applies_a_result_again(world: World) -> None:
    """Its watch is behind: it knows of the first attempt only, and holds a result of it."""
    step = await world.begun()
    zombie = world.new_engine()
    for raw in await world.jobs.list_jobs():
        zombie.observe(raw)
    await until(lambda: all(not cell.running for cell in zombie.mailboxes))
    world.answer(step, "the first")
    await world.rest()
    await _hand_to(world, zombie, step)
    await ends_well(world)


async def an_operator_that_lost_the_lease_fails_an_attempt_again(world: World) -> None:
    """The state has the same name before and after a retry: only the sequence tells them apart."""
    world.workflows.put({"name": "a", "pool": "a-pool", "retry": {"limit": 5, "backoffSeconds": 0}})
    step = await world.begun()
    zombie = world.new_engine()
    for raw in await world.jobs.list_jobs():
        zombie.observe(raw)
    await until(lambda: all(not cell.running for cell in zombie.mailboxes))
    error = StepError("Broken", "no")
    world.answer(step, error=error)
    await until(lambda: "publish 2:2" in world.journal and world.quiet())
    await _hand_to(world, zombie, step, error)
    await ends_well(world)
    assert [m.attempt for _, m in world.broker.sent] == [1, 2]


async def _hand_to(world: World, zombie: object, step: StepMessage, error: StepError | None = None) -> None:
    leader, world.engine = world.engine, zombie  # type: ignore[assignment]
    delivery = world.answer(step, "again", error=error)
    world.engine = leader
    await until(lambda: delivery.settled, seconds=world.patience)


async def a_late_answer_of_an_older_attempt_comes(world: World) -> None:
    """The first attempt timed out and its worker answers in the end, while the second is under way."""
    step = await world.begun()
    world.jitter = 0.0
    world.answer(step, error=StepError("Timeout", "too late"))
    await until(lambda: "publish 2:2" in world.journal and world.quiet())
    late = world.answer(step, "late")
    await until(lambda: late.settled, seconds=world.patience)
    assert world.jobs.state() == "InProgress.a", "the late answer moved the job"
    await ends_well(world)


SCENARIOS: tuple[Scenario, ...] = (
    the_operator_dies_between_taking_a_result_and_writing_it,
    the_operator_dies_between_writing_and_publishing,
    the_operator_dies_between_publishing_and_acknowledging,
    the_operator_dies_between_the_first_publish_and_the_first_write,
    the_operator_dies_between_the_first_write_and_more,
    the_operator_dies_between_publishing_an_attempt_and_marking_it,
    the_broker_refuses_the_next_step_for_a_while,
    the_broker_loses_its_data_while_a_step_waits,
    the_broker_loses_its_data_while_the_operator_is_away,
    a_result_of_the_broker_that_lost_its_data_is_applied_and_the_operator_dies,
    a_worker_answers_before_the_first_write,
    a_worker_answers_while_the_first_write_is_tried_again,
    an_operator_that_lost_the_lease_applies_a_result_again,
    an_operator_that_lost_the_lease_fails_an_attempt_again,
    a_late_answer_of_an_older_attempt_comes,
)
