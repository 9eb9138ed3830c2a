"""More stories like those in `scenarios.py`: of jobs that failed and that a user has go on."""

from __future__ import annotations

import asyncio

from mastercontrol.engine.engine import Engine
from mastercontrol.engine.ports import StoreUnavailable
from mastercontrol_worker.contract import StepError
from unit.engine.block_scenarios import LOST, answered, parallel, task
from unit.engine.fakes import Fault
from unit.engine.scenarios import Scenario, ends_well
from unit.engine.world import World, until

RETRY = {"type": "Retry", "reason": "ann"}
SKIP_B = {"type": "Skip", "state": "b", "output": "by hand"}


async def failed(world: World) -> None:
    """A chain of three, whose second step has failed for good. The job is in nobody's memory any more."""
    world.workflows.put(task("a"), task("b"), task("c"))
    await answered(world, await world.begun(), "of a")
    world.answer(world.sent("b"), error=StepError("Broken", "no"))
    await until(lambda: world.jobs.state() == "Failed" and not list(world.engine.mailboxes))


async def ends_well_after(world: World, *reasons: str) -> None:
    """The job ends Done, and each of its operations was done once."""
    await ends_well(world)
    await world.rest()
    status = world.jobs.status()
    assert status["operationsTaken"] == len(world.jobs.objects["shop", "j"]["spec"]["operations"])
    assert [line["reason"] for line in status["history"] if line.get("reason") in reasons] == list(reasons)


async def the_operator_dies_before_a_retry_is_written(world: World) -> None:
    await failed(world)
    world.jobs.gate.clear()
    world.edit(operations=[RETRY])
    await until(lambda: world.jobs.writing)
    await world.crash()
    world.jobs.gate.set()
    await ends_well_after(world, "Retried")


async def the_operator_dies_between_writing_a_retry_and_sending_its_step(world: World) -> None:
    await failed(world)
    world.broker.faults.extend([LOST] * 100)
    world.edit(operations=[RETRY])
    await until(lambda: world.jobs.state() == "InProgress.b")
    await asyncio.sleep(0.005)
    await world.crash()
    world.broker.faults.clear()
    await ends_well_after(world, "Retried")


async def the_operator_dies_between_sending_a_retried_step_and_marking_it(world: World) -> None:
    await failed(world)
    world.edit(operations=[RETRY])
    await until(lambda: world.jobs.status()["sequence"] == 4)
    world.jobs.gate.clear()
    await until(lambda: "publish 4:1" in world.journal)
    await world.crash()
    world.jobs.gate.set()
    await ends_well_after(world, "Retried")


async def a_retry_is_written_and_nobody_is_told(world: World) -> None:
    await failed(world)
    world.jobs.faults.append(Fault(StoreUnavailable("a time-out"), written=True))
    world.edit(operations=[RETRY])
    await ends_well_after(world, "Retried")


async def a_retry_is_asked_for_while_no_operator_is_there(world: World) -> None:
    await failed(world)
    await world.engine.close(0)
    world.jobs.edit("j", operations=[RETRY])
    await world.crash()
    await ends_well_after(world, "Retried")


async def a_skip_is_written_and_the_operator_dies_before_the_next_step_is_sent(world: World) -> None:
    world.workflows.put(task("a"), task("b"), task("c"))
    await answered(world, await world.begun())
    late = world.sent("b")
    world.broker.faults.extend([LOST] * 100)
    world.edit(operations=[SKIP_B])
    await until(lambda: world.jobs.state() == "InProgress.c")
    await asyncio.sleep(0.005)
    await world.crash()
    world.broker.faults.clear()
    world.answer(late, "late")
    await until(lambda: "c" in world.steps_sent)
    assert world.sent("c").input == "by hand"
    await ends_well_after(world, "Skipped")


async def two_operators_see_the_same_retry(world: World) -> None:
    """One of them has lost the Lease and does not know it yet."""
    await failed(world)
    zombie = await _zombie(world)
    raw = world.jobs.edit("j", operations=[RETRY])
    zombie.observe(raw)
    world.engine.observe(raw)
    await until(lambda: not any(cell.running for cell in zombie.mailboxes))
    await ends_well_after(world, "Retried")


async def an_operator_that_lost_the_lease_has_missed_the_retry(world: World) -> None:
    """It knows of the Job as one that runs its first b, and holds a result of that."""
    world.workflows.put(task("a"), task("b"), task("c"))
    await answered(world, await world.begun())
    old = world.sent("b")
    zombie = await _zombie(world)
    world.answer(old, error=StepError("Broken", "no"))
    await until(lambda: world.jobs.state() == "Failed" and world.quiet())
    world.edit(operations=[RETRY])
    await until(lambda: world.jobs.state() == "InProgress.b" and world.quiet())
    leader, world.engine = world.engine, zombie
    delivery = world.answer(old, "late")
    world.engine = leader
    await until(lambda: delivery.settled, seconds=world.patience)
    assert world.jobs.state() == "InProgress.b", "the late answer moved the job"
    await ends_well_after(world, "Retried")


async def a_result_of_before_the_failure_comes_after_the_retry(world: World) -> None:
    world.workflows.put(parallel("fan", [task("a")], [task("b"), task("c")]))
    await world.begun()
    late = world.sent("b")
    world.answer(world.sent("a"), error=StepError("Broken", "no"))
    await until(lambda: world.jobs.state() == "Failed" and world.quiet())
    world.edit(operations=[RETRY])
    await until(lambda: sum(m.step == "b" for _, m in world.broker.sent) == 2 and world.quiet())
    delivery = world.answer(late, "late")
    await until(lambda: delivery.settled, seconds=world.patience)
    assert "c" not in world.steps_sent, "the late answer moved the job"
    await ends_well_after(world, "Retried", "Retried", "Retried")  # the whole, and each branch of it


async def a_result_comes_in_the_turn_of_a_skip(world: World) -> None:
    """The skip counts, and the result is neither lost before it is written nor applied after."""
    world.workflows.put(task("a"), task("b"), task("c"))
    await answered(world, await world.begun())
    step = world.sent("b")
    raw = world.jobs.edit("j", operations=[SKIP_B])
    world.jobs.faults.append(Fault(StoreUnavailable("503")))
    delivery = world.answer(step, "late")
    world.engine.observe(raw)
    await until(lambda: delivery.settled and world.quiet(), seconds=world.patience)
    await until(lambda: "c" in world.steps_sent)
    assert world.sent("c").input == "by hand"
    await ends_well_after(world, "Skipped")


async def a_result_comes_with_an_operation_that_is_refused(world: World) -> None:
    world.workflows.put(task("a"), task("b"), task("c"))
    await answered(world, await world.begun())
    step = world.sent("b")
    raw = world.jobs.edit("j", operations=[RETRY])
    world.jobs.faults.append(Fault(StoreUnavailable("503")))
    delivery = world.answer(step, "of b")
    world.engine.observe(raw)
    await until(lambda: delivery.settled and world.quiet(), seconds=world.patience)
    await until(lambda: "c" in world.steps_sent, "the result was lost", seconds=world.patience)
    assert world.sent("c").input == "of b"
    assert [reason for _, reason, _ in world.reporter.events] == ["OperationRefused"]
    await ends_well_after(world)


async def the_broker_lost_its_data_before_the_retry(world: World) -> None:
    await failed(world)
    world.broker.lose_everything("e2")
    world.engine.connected("e2")
    world.edit(operations=[RETRY])
    await until(lambda: "publish 4:1" in world.journal and world.quiet())
    assert world.jobs.status()["brokerEpoch"] == "e2"
    world.broker.lose_everything("e3")
    world.engine.connected("e3")
    await ends_well_after(world, "Retried")


async def a_change_of_the_spec_is_seen_in_the_answer_to_a_write_only(world: World) -> None:
    """The watch is slower than the write, whose answer has the change already."""
    world.workflows.put(task("a"), task("b"), task("c"))
    step = await world.begun()
    world.jobs.gate.clear()
    world.answer(step)
    await until(lambda: world.jobs.writing)
    raw = world.jobs.edit("j", operations=[SKIP_B])
    world.jobs.gate.set()
    await until(lambda: world.jobs.status()["sequence"] > 1)
    world.engine.observe(raw)  # too late: a newer version is known
    await until(lambda: world.jobs.status().get("operationsTaken"), "it was never seen", seconds=world.patience)
    await ends_well_after(world, "Skipped")


async def _zombie(world: World) -> Engine:
    zombie = world.new_engine()
    for raw in await world.jobs.list_jobs():
        zombie.observe(raw)
    await until(lambda: all(not cell.running for cell in zombie.mailboxes))
    return zombie


OPERATION_SCENARIOS: tuple[Scenario, ...] = (
    the_operator_dies_before_a_retry_is_written,
    the_operator_dies_between_writing_a_retry_and_sending_its_step,
    the_operator_dies_between_sending_a_retried_step_and_marking_it,
    a_retry_is_written_and_nobody_is_told,
    a_retry_is_asked_for_while_no_operator_is_there,
    a_skip_is_written_and_the_operator_dies_before_the_next_step_is_sent,
    two_operators_see_the_same_retry,
    an_operator_that_lost_the_lease_has_missed_the_retry,
    a_result_of_before_the_failure_comes_after_the_retry,
    a_result_comes_in_the_turn_of_a_skip,
    a_result_comes_with_an_operation_that_is_refused,
    the_broker_lost_its_data_before_the_retry,
    a_change_of_the_spec_is_seen_in_the_answer_to_a_write_only,
)
