"""The PodDisruptionBudget of a pool."""

from __future__ import annotations

from typing import Any

import pytest

from mastercontrol.api.pool import parse_pool
from mastercontrol.engine.ports import RawObject, StoreUnavailable
from mastercontrol.pools.disruption import Act, budget, decide
from unit.pools.world import World, pool

KEY = ("PodDisruptionBudget", "shop", "mcp-worker-resize")
OWNER = {"kind": "WorkerPool", "name": "resize", "uid": "u1"}


def with_budget(**bound: Any) -> dict[str, Any]:
    return {"disruptionBudget": bound}


def foreign(**metadata: Any) -> RawObject:
    """A PodDisruptionBudget of that name that somebody else made."""
    meta = {"name": KEY[2], "namespace": "shop", "uid": "theirs", **metadata}
    return {"kind": KEY[0], "metadata": meta, "spec": {"maxUnavailable": 3}}


async def test_a_budget_is_made_of_the_option_and_goes_with_its_pool(world: World) -> None:
    await world.add(pool(**with_budget(maxUnavailable=1)))
    made = world.cluster.budget
    assert made is not None
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == ("u1", True)
    assert made["spec"] == {
        "selector": {"matchLabels": {"mastercontrol.dev/pool": "resize"}},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "maxUnavailable": 1,
    }
    selected = world.cluster.deployment()["spec"]["template"]["metadata"]["labels"]
    assert made["spec"]["selector"]["matchLabels"].items() <= selected.items()


@pytest.mark.parametrize("bound", [{"maxUnavailable": 0}, {"minAvailable": 0}, {"minAvailable": "50%"}])
async def test_each_bound_is_written_as_it_is(world: World, bound: dict[str, Any]) -> None:
    await world.add(pool(**with_budget(**bound)))
    assert world.cluster.budget is not None
    assert bound.items() <= world.cluster.budget["spec"].items()


async def test_a_pool_without_the_option_has_none_and_is_looked_at_once(world: World) -> None:
    await world.add(pool())
    await world.after(2 * world.settings.resync_seconds + 10)
    assert world.cluster.budget is None
    assert (world.cluster.calls["read budget"], world.cluster.calls["delete budget"]) == (1, 0)


async def test_an_edited_option_changes_the_budget(world: World) -> None:
    await world.add(pool(**with_budget(maxUnavailable=1)))
    await world.add(pool(generation=2, **with_budget(maxUnavailable="25%")))
    assert world.cluster.budget is not None
    assert world.cluster.budget["spec"]["maxUnavailable"] == "25%"


async def test_the_other_bound_takes_the_place_of_the_first(world: World) -> None:
    await world.add(pool(**with_budget(maxUnavailable=1)))
    await world.add(pool(generation=2, **with_budget(minAvailable=2)))
    assert world.cluster.budget is not None
    assert {"minAvailable": 2}.items() <= world.cluster.budget["spec"].items()
    assert "maxUnavailable" not in world.cluster.budget["spec"]


async def test_the_budget_goes_with_the_option(world: World) -> None:
    await world.add(pool(**with_budget(maxUnavailable=1)))
    await world.add(pool(generation=2))
    assert world.cluster.budget is None
    assert world.journal[-1] == "delete PodDisruptionBudget"


async def test_a_budget_whose_option_went_while_no_operator_led_is_deleted(world: World) -> None:
    await world.add(pool(**with_budget(maxUnavailable=1)))
    await world.stop()
    world.controller = world.new_controller()
    world.connect()
    world.start()
    await world.add(pool(generation=2))
    assert world.cluster.budget is None


async def test_a_budget_that_somebody_changed_or_deleted_is_put_right_at_the_next_resync(world: World) -> None:
    await world.add(pool(**with_budget(maxUnavailable=1)))
    assert world.cluster.budget is not None
    world.cluster.budget["spec"]["maxUnavailable"] = 9
    await world.after(world.settings.resync_seconds + 1)
    assert world.cluster.budget["spec"]["maxUnavailable"] == 1
    del world.cluster.objects[KEY]
    await world.after(world.settings.resync_seconds + 1)
    assert world.cluster.budget is not None


async def test_an_unchanged_budget_is_not_written_again(world: World) -> None:
    await world.add(pool(**with_budget(maxUnavailable=1)))
    writes = world.cluster.calls["apply"]
    await world.after(3 * world.settings.resync_seconds)
    assert world.cluster.calls["apply"] == writes
    assert world.cluster.calls["read budget"] >= 3


async def test_a_budget_of_somebody_else_is_neither_taken_over_nor_deleted(world: World) -> None:
    world.cluster.objects[KEY] = foreign()
    await world.add(pool(**with_budget(maxUnavailable=1)))
    assert world.cluster.objects[KEY] == foreign()
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ApplyFailed")
    assert "there is another PodDisruptionBudget mcp-worker-resize; delete or rename it" in ready["message"]
    await world.add(pool(generation=2))
    assert world.cluster.objects[KEY] == foreign()
    assert world.condition("Ready")["status"] == "True"


async def test_workers_do_not_wait_for_a_budget_that_can_not_be_made(world: World) -> None:
    world.cluster.objects[KEY] = foreign()
    await world.add(pool(minReplicas=2, **with_budget(maxUnavailable=1)))
    assert world.cluster.replicas() == 2
    world.publish(5)
    await world.after(2)
    assert world.cluster.replicas() == 5


async def test_a_budget_is_made_as_soon_as_the_api_server_answers_again(world: World) -> None:
    await world.add(pool())
    world.cluster.fails = StoreUnavailable("no answer")
    await world.add(pool(generation=2, **with_budget(maxUnavailable=1)))
    assert world.cluster.budget is None
    world.cluster.fails = None
    await world.after(60)
    assert world.cluster.budget is not None


def test_a_budget_of_a_pool_of_the_same_name_before_is_left_to_the_garbage_collector() -> None:
    read = parse_pool(pool())
    of_another = foreign(ownerReferences=[OWNER | {"uid": "before"}])
    assert decide(read, None, of_another) is Act.NOTHING
    assert decide(read, None, foreign(ownerReferences=[OWNER])) is Act.DELETE


def test_a_budget_that_is_being_deleted_is_waited_for() -> None:
    read = parse_pool(pool(**with_budget(maxUnavailable=1)))
    live = foreign(ownerReferences=[OWNER], deletionTimestamp="2030-01-01T00:00:00Z")
    assert decide(read, budget(read), live) is Act.WAIT


def test_a_budget_that_somebody_made_select_fewer_pods_is_made_anew() -> None:
    read = parse_pool(pool(**with_budget(maxUnavailable=1)))
    wanted = budget(read)
    assert wanted is not None
    live = wanted | {"metadata": {**wanted["metadata"], "uid": "u2", "resourceVersion": "7"}}
    assert decide(read, wanted, live) is Act.NOTHING
    narrow = {"matchLabels": {**wanted["spec"]["selector"]["matchLabels"], "tier": "none"}}
    assert decide(read, wanted, live | {"spec": {**wanted["spec"], "selector": narrow}}) is Act.REPLACE
