"""More stories like those in `scenarios.py`: of several steps at a time, of waits and of caught errors."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

from mastercontrol.engine.ports import BrokerUnavailable
from mastercontrol_worker.contract import StepError, StepMessage
from unit.engine.scenarios import Scenario, ends_well
from unit.engine.world import World, until

State = dict[str, Any]
LOST = BrokerUnavailable("the channel is closed")


def task(name: str, **more: Any) -> State:
    return {"name": name, "type": "Task", "pool": f"{name}-pool", "retry": {"limit": 0}, **more}


def parallel(name: str, *branches: list[State], **more: Any) -> State:
    return {"name": name, "type": "Parallel", "branches": [{"states": b} for b in branches], **more}


async def answered(world: World, step: StepMessage, output: Any = None) -> None:
    """The result of a step is taken and written."""
    before = world.jobs.status()["sequence"]
    world.answer(step, output)
    await until(lambda: world.jobs.status()["sequence"] > before and world.quiet())


async def the_operator_dies_when_two_of_five_branches_are_sent(world: World) -> None:
    world.workflows.put(task("a"), parallel("fan", *([task(f"b{i}")] for i in range(5))))
    step = await world.begun()
    world.broker.faults.extend([None, None, *[LOST] * 100])
    world.answer(step)
    await until(
        lambda: world.jobs.status()["sequence"] > 1 and not any(cell.running for cell in world.engine.mailboxes)
    )
    assert world.steps_sent == {"a", "b0", "b1"}
    await world.crash()
    world.broker.faults.clear()
    await ends_well(world)


async def the_operator_dies_before_the_handler_of_an_error_is_sent(world: World) -> None:
    catch = [{"errors": ["States.ALL"], "next": "repair"}]
    world.workflows.put(task("a", catch=catch, end=True), task("repair"))
    step = await world.begun()
    world.broker.faults.extend([LOST] * 100)
    world.answer(step, error=StepError("Broken", "no"))
    await until(lambda: world.jobs.state() == "InProgress.repair")
    await world.crash()
    world.broker.faults.clear()
    await ends_well(world)


async def the_operator_dies_before_a_write_and_another_result_is_taken_first(world: World) -> None:
    """Both items are at their first step; what is done about one must not be seen before it is written."""
    states = [task("first"), task("second")]
    world.workflows.put({"name": "each", "type": "Map", "items": [10, 20], "states": states})
    await world.begun()
    one, two = (m for _, m in world.broker.sent)
    world.jobs.gate.clear()
    world.answer(one, "one")
    await until(lambda: world.jobs.writing)
    world.answer(two, "two")
    world.broker.unsettled.reverse()
    await world.crash()
    world.jobs.gate.set()
    world.worker = lambda step: f"after {step.input}"
    await ends_well(world)
    assert world.jobs.status()["output"] == ["after one", "after two"]


async def the_operator_dies_before_the_step_after_a_wait_is_sent(world: World) -> None:
    world.workflows.put(task("a"), {"name": "pause", "type": "Wait", "seconds": 60}, task("b"))
    await answered(world, await world.begun())
    world.broker.faults.extend([LOST] * 100)
    world.clock.time += dt.timedelta(seconds=61)
    world.edit(ttlSecondsAfterFinished=1000)  # something that makes the engine look at the job
    await until(lambda: world.jobs.state() == "InProgress.b")
    await asyncio.sleep(0.005)
    await world.crash()
    world.broker.faults.clear()
    await ends_well(world)


async def a_branch_answers_after_another_one_failed(world: World) -> None:
    """What it leads to in its branch is not done any more."""
    catch = [{"errors": ["States.ALL"], "next": "repair"}]
    fan = parallel("fan", [task("a")], [task("b"), task("c")], catch=catch, end=True)
    world.workflows.put(parallel("outer", [fan, task("repair")]))
    await world.begun()
    late = world.sent("b")
    world.answer(world.sent("a"), error=StepError("Broken", "no"))
    await until(lambda: "repair" in world.steps_sent and world.quiet())
    delivery = world.answer(late, "late")
    await until(lambda: delivery.settled and world.quiet(), seconds=world.patience)
    assert world.steps_sent == {"a", "b", "repair"}
    await ends_well(world)


async def a_branch_fails_while_another_one_is_on_its_way(world: World) -> None:
    """Both happen in one turn, before anything of the second branch is sent."""
    catch = [{"errors": ["States.ALL"], "next": "repair"}]
    fails: list[State] = [{"name": "stop", "type": "Fail", "code": "Stop"}]
    goes_on: list[State] = [{"name": "go", "type": "Pass"}, task("c")]
    world.workflows.put(parallel("fan", fails, goes_on, catch=catch, end=True), task("repair"))
    await world.begun()
    assert world.steps_sent == {"repair"}
    await ends_well(world)


async def a_later_state_reads_an_early_output(world: World) -> None:
    world.workflows.put(task("a"), task("b"), task("c", input="${steps.a.output}"))
    await answered(world, await world.begun(), "of a")
    await answered(world, world.sent("b"), "of b")
    assert world.steps_sent == {"a", "b", "c"}, "the state that reads it was never begun"
    assert world.sent("c").input == "of a"
    await ends_well(world)


async def two_branches_move_in_one_turn(world: World) -> None:
    branch: list[State] = [{"name": "go", "type": "Pass"}, task("work", input="${input}")]
    other: list[State] = [{"name": "go", "type": "Pass", "output": "other"}, task("work", input="${input}")]
    world.workflows.put(parallel("fan", branch, other))
    await world.begun()
    await ends_well(world)


async def the_broker_loses_its_data_and_one_of_two_branches_answers_the_new_one(world: World) -> None:
    """Its worker held the answer over the loss. The other branch's step is gone and must be sent again."""
    world.workflows.put(parallel("fan", [task("a"), task("c")], [task("b")]))
    await world.begun()
    step = world.sent("a")
    world.broker.lose_everything("e2")
    await answered(world, step)
    world.engine.connected("e2")
    await ends_well(world)


BLOCK_SCENARIOS: tuple[Scenario, ...] = (
    the_operator_dies_when_two_of_five_branches_are_sent,
    the_operator_dies_before_the_handler_of_an_error_is_sent,
    the_operator_dies_before_a_write_and_another_result_is_taken_first,
    the_operator_dies_before_the_step_after_a_wait_is_sent,
    a_branch_answers_after_another_one_failed,
    a_branch_fails_while_another_one_is_on_its_way,
    a_later_state_reads_an_early_output,
    two_branches_move_in_one_turn,
    the_broker_loses_its_data_and_one_of_two_branches_answers_the_new_one,
)
