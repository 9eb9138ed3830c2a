"""How long a worker may hold a step before the broker takes it away."""

from __future__ import annotations

import pytest

from unit.pools.test_grace import restart, stored
from unit.pools.world import World, pool


@pytest.mark.parametrize(
    ("longest", "hold"),
    [(60, 1800), (1500, 1800), (7200, 7500), (0, 86700)],
    ids=["short steps", "up to the broker's own limit", "longer steps", "a step without a time-out"],
)
async def test_the_broker_waits_longer_than_the_longest_step(world: World, longest: int, hold: int) -> None:
    world.steps["resize"] = longest
    await world.add(pool())
    assert world.broker.holds["shop", "resize"] == hold


async def test_a_changed_workflow_changes_the_limit_of_its_pools(world: World) -> None:
    await world.add(pool())
    world.steps["resize"] = 7200
    world.controller.on_workflow("elsewhere")
    await world.settle()
    assert world.broker.holds["shop", "resize"] == 1800
    world.controller.on_workflow("shop")
    await world.settle()
    assert world.broker.holds["shop", "resize"] == 7500


async def test_a_new_leader_lowers_nothing_before_it_can_have_read_what_jobs_run(world: World) -> None:
    """A job runs a revision with a step of two hours; the Workflow is shorter now, and the revision not read yet."""
    world.steps["resize"] = 7200
    await world.add(pool())
    world.steps["resize"] = 60
    await restart(world)
    await world.add(stored(world))
    await world.after(world.settings.resync_seconds - 10)
    assert world.broker.holds["shop", "resize"] == 3 * 3600 + 300, "what the pods have of grace"
    await world.after(20)
    assert world.broker.holds["shop", "resize"] == 1800


async def test_the_grace_of_pods_that_this_process_made_says_nothing_of_older_steps(world: World) -> None:
    world.steps["resize"] = 7200
    await world.add(pool())
    world.steps["resize"] = 60
    world.controller.on_workflow("shop")
    await world.settle()
    assert world.broker.holds["shop", "resize"] == 1800
