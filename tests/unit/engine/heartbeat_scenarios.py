"""What can go wrong with steps that report, each as a story that the engine survives; see `scenarios`."""

from __future__ import annotations

import datetime as dt

from mastercontrol.engine.engine import REDELIVERY_SECONDS
from mastercontrol_worker.contract import StepMessage
from mastercontrol_worker.heartbeat import Beat
from unit.engine.scenarios import Scenario, ends_well
from unit.engine.world import World


async def _begun(world: World) -> StepMessage:
    """A step that has to report every 30 seconds, and has, to an operator that listens since a while."""
    world.workflows.put({"name": "a", "pool": "a-pool", "heartbeatSeconds": 30, "retry": {"limit": 0}})
    world.engine.connected("e1")
    step = await world.begun()
    await _later(world, REDELIVERY_SECONDS)
    world.beat(step, worker="w-1", beat=Beat.BEGUN)
    await world.rest()
    return step


async def _later(world: World, seconds: float) -> None:
    world.clock.time += dt.timedelta(seconds=seconds)
    world.engine.look_at_namespace("shop")
    await world.rest()


async def the_operator_is_away_for_longer_than_a_step_may_be_silent(world: World) -> None:
    await _begun(world)
    await _later(world, 0)
    world.clock.time += dt.timedelta(seconds=3600)
    await world.crash()
    world.engine.connected("e1")
    await _later(world, 20)
    await ends_well(world)


async def the_broker_is_away_for_longer_than_a_step_may_be_silent(world: World) -> None:
    await _begun(world)
    world.broker.epoch = None
    await _later(world, 3600)
    world.broker.epoch = "e1"
    world.engine.connected("e1")
    await _later(world, 20)
    await ends_well(world)


async def the_operator_is_held_up_while_steps_report(world: World) -> None:
    step = await _begun(world)
    world.broker.before_echo = lambda: world.beat(step, worker="w-1")
    await _later(world, 60)
    await ends_well(world)


async def the_broker_takes_nothing_for_a_while(world: World) -> None:
    await _begun(world)
    world.broker.hears_all = False
    await _later(world, 60)
    world.broker.hears_all = True
    await _later(world, 20)
    await ends_well(world)


async def a_step_waits_for_another_worker_after_its_own_gave_it_back(world: World) -> None:
    step = await _begun(world)
    world.beat(step, worker="w-1", beat=Beat.GIVEN_BACK)
    await world.rest()
    await _later(world, 600)
    await world.crash()
    world.engine.connected("e1")
    await _later(world, 600)
    await ends_well(world)


async def the_broker_loses_its_data_and_a_step_that_was_begun_waits_again(world: World) -> None:
    await _begun(world)
    world.broker.lose_everything("e2")
    world.engine.connected("e2")
    await world.rest()
    await _later(world, 600)
    await ends_well(world)


async def a_hundred_heartbeats_come_within_one_interval(world: World) -> None:
    step = await _begun(world)
    for number in range(100):
        world.beat(step, number, worker="w-1")
        await _later(world, 0.2)
    assert world.journal.count("write 1") == 2, "the beginning and the first heartbeat"
    await ends_well(world)


HEARTBEAT_SCENARIOS: tuple[Scenario, ...] = (
    the_operator_is_away_for_longer_than_a_step_may_be_silent,
    the_broker_is_away_for_longer_than_a_step_may_be_silent,
    the_operator_is_held_up_while_steps_report,
    the_broker_takes_nothing_for_a_while,
    a_step_waits_for_another_worker_after_its_own_gave_it_back,
    the_broker_loses_its_data_and_a_step_that_was_begun_waits_again,
    a_hundred_heartbeats_come_within_one_interval,
)
