"""The steps of a Job with a priority above 0 are sent as high ones, each time that they are sent."""

from __future__ import annotations

import pytest

from mastercontrol_worker.contract import StepError
from unit.engine.world import World, until


def publishes(world: World) -> list[str]:
    return [entry for entry in world.journal if entry.startswith("publish")]


@pytest.mark.parametrize(("priority", "suffix"), [(0, ""), (1, " high"), (9, " high")])
async def test_every_step_of_a_job_with_a_priority_is_high(world: World, priority: int, suffix: str) -> None:
    await world.begun(priority=priority)
    await world.finish()
    assert publishes(world) == [f"publish 1:1{suffix}", f"publish 2:1{suffix}"]


async def test_a_step_that_is_tried_again_is_high_again(world: World) -> None:
    step = await world.begun(priority=5)
    world.jitter = 0.0
    world.answer(step, error=StepError("Broken", "no"))
    await until(lambda: len(publishes(world)) == 2 and world.quiet())
    assert publishes(world)[-1] == "publish 2:2 high"


async def test_a_step_that_is_sent_again_is_high_again(world: World) -> None:
    step = await world.begun(priority=5)
    world.engine.resend(("shop", "j"), step.id)
    await until(lambda: len(publishes(world)) == 2 and world.quiet())
    assert publishes(world)[-1] == "publish 1:1 high"


async def test_a_step_that_the_broker_lost_with_its_data_is_high_again(world: World) -> None:
    await world.begun(priority=5)
    world.broker.lose_everything("e2")
    world.engine.connected("e2")
    await until(lambda: len(publishes(world)) == 2 and world.quiet())
    assert publishes(world)[-1] == "publish 1:1 high"


async def test_a_step_that_the_operator_did_not_live_to_send_is_high(world: World) -> None:
    step = await world.begun(priority=5)
    world.broker.gate.clear()
    world.answer(step)
    await until(lambda: world.jobs.status()["sequence"] == 2)
    await world.crash()
    world.broker.gate.set()
    await until(lambda: len(publishes(world)) == 2 and world.quiet())
    assert publishes(world)[-1] == "publish 2:1 high"


async def test_a_priority_that_is_raised_while_the_job_runs_counts_for_its_next_steps(world: World) -> None:
    step = await world.begun()
    world.edit(priority=5)
    await world.rest()
    world.answer(step)
    await world.rest()
    assert publishes(world) == ["publish 1:1", "publish 2:1 high"]
