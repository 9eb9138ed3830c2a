"""How long a worker that is told to end may go on."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mastercontrol.engine.ports import StoreUnavailable
from mastercontrol.pools import grace
from mastercontrol.pools.podtemplate import STOP_MARGIN_SECONDS
from unit.pools.world import World, pool

DAY = 86400


@pytest.mark.parametrize(
    ("longest", "seconds"),
    [
        *((1, 30), (30, 30), (31, 60), (60, 60), (61, 300), (301, 900), (901, 1800), (1801, 3600)),
        *((3601, 3 * 3600), (3 * 3600 + 1, 6 * 3600), (6 * 3600 + 1, 12 * 3600), (12 * 3600 + 1, DAY)),
        *((DAY, DAY), (DAY + 1, 2 * DAY), (10 * DAY - 1, 10 * DAY)),
    ],
)
def test_the_longest_step_is_rounded_up_to_a_coarse_series(longest: int, seconds: int) -> None:
    assert grace.coarse(longest) == seconds


def given(world: World) -> int:
    """What the pods of the pool have; the worker itself is told the same without the margin."""
    spec = world.cluster.deployment()["spec"]["template"]["spec"]
    told = {item["name"]: item.get("value") for item in spec["containers"][0]["env"]}
    assert spec["terminationGracePeriodSeconds"] == int(told["MCP_GRACE_SECONDS"]) + STOP_MARGIN_SECONDS
    return int(told["MCP_GRACE_SECONDS"])


async def workflow(world: World, longest: int) -> None:
    """A Workflow is edited: this is the longest step of the pool now."""
    world.steps["resize"] = longest
    world.controller.on_workflow("shop")
    await world.settle()


def stored(world: World, **changes: Any) -> dict[str, Any]:
    """The pool as the API server has it, its status included."""
    return {**pool(**changes), "status": copy.deepcopy(world.status())}


async def restart(world: World) -> None:
    """Another process leads, which has seen nothing yet."""
    await world.stop()
    world.controller = world.new_controller()
    world.connect()
    world.start()


@pytest.mark.parametrize(
    ("longest", "template", "seconds"),
    [
        (20, {}, 30),
        (60, {}, 60),
        (2000, {}, 3600),
        (60, {"gracePeriodSeconds": 77}, 77),
        (2000, {"gracePeriodSeconds": 77}, 3600),
        (2000, {"gracePeriodSeconds": 4000}, 4000),
        (0, {}, 3600),
        (0, {"gracePeriodSeconds": 7200}, 7200),
    ],
    ids=[
        "short",
        "rounded",
        "long",
        "own is larger",
        "own is smaller",
        "own is not rounded",
        "no time-out",
        "own limit",
    ],
)
async def test_a_worker_may_finish_the_longest_step(
    world: World, longest: int, template: dict[str, Any], seconds: int
) -> None:
    world.steps["resize"] = longest
    await world.add(pool(template=template))
    assert given(world) == seconds


async def test_a_pool_that_no_step_uses_has_what_it_says() -> None:
    world = World()
    world.controller = world.new_controller(longest_step=lambda *_: 0)
    world.connect()
    world.start()
    await world.add(pool())
    assert given(world) == 30
    await world.close()


async def test_a_longer_step_replaces_the_pods_and_one_of_the_same_order_does_not(world: World) -> None:
    await world.add(pool())
    applies = world.cluster.calls["apply"]
    await workflow(world, 45)
    await workflow(world, 60)
    assert world.cluster.calls["apply"] == applies
    await workflow(world, 61)
    assert (given(world), world.cluster.calls["apply"]) == (300, applies + 1)
    await workflow(world, 290)
    assert world.cluster.calls["apply"] == applies + 1


async def test_an_edited_workflow_lowers_nothing_until_the_pool_is_edited(world: World) -> None:
    world.steps["resize"] = 2000
    await world.add(pool())
    applies = world.cluster.calls["apply"]
    await workflow(world, 20)
    await world.after(world.settings.resync_seconds + 1)
    assert (given(world), world.cluster.calls["apply"]) == (3600, applies)
    await world.add(pool(generation=2, maxReplicas=5))
    assert given(world) == 30


async def test_another_operator_goes_on_from_what_the_pods_have(world: World) -> None:
    world.steps["resize"] = 2000
    await world.add(pool())
    world.steps["resize"] = 20
    applies = world.cluster.calls["apply"]
    await restart(world)
    await world.add(stored(world))
    await world.after(5)
    assert given(world) == 3600
    assert world.cluster.calls["apply"] == applies + 1, "the Secret, which is applied once in the life of a process"


async def test_a_pool_that_was_edited_while_no_operator_led_has_what_is_asked_for_now(world: World) -> None:
    world.steps["resize"] = 2000
    await world.add(pool())
    world.steps["resize"] = 20
    await restart(world)
    await world.add(stored(world, generation=2))
    assert given(world) == 30


async def test_an_operator_that_could_not_read_the_deployment_at_first_lowers_nothing(world: World) -> None:
    world.steps["resize"] = 2000
    await world.add(pool())
    world.steps["resize"] = 20
    await restart(world)
    world.cluster.fails = StoreUnavailable("no answer")
    await world.add(stored(world))
    world.cluster.fails = None
    await world.after(60)
    assert given(world) == 3600


async def test_a_deployment_that_was_deleted_is_made_again_with_the_same(world: World) -> None:
    world.steps["resize"] = 2000
    await world.add(pool())
    await workflow(world, 20)
    world.cluster.delete_deployment()
    await world.settle()
    assert given(world) == 3600
