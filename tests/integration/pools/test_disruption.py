"""The PodDisruptionBudget of a pool on a real API server."""

from __future__ import annotations

from typing import Any

import pytest

from integration.pools.conftest import Pools, eventually
from mastercontrol.kube.client import PatchType
from mastercontrol.kube.paths import BUDGETS, Target

NAME = "mcp-worker-resize"


async def budget(pools: Pools, **spec: Any) -> dict[str, Any]:
    """The pool's budget, once it says that."""

    async def look() -> dict[str, Any] | None:
        raw = await pools.cluster.read_budget(pools.namespace, NAME)
        return raw if raw is not None and spec.items() <= raw["spec"].items() else None

    found: dict[str, Any] = await eventually(look, f"a budget with {spec}")
    return found


async def is_gone(pools: Pools) -> None:
    async def look() -> bool:
        return await pools.cluster.read_budget(pools.namespace, NAME) is None

    await eventually(look, "the budget is gone")


async def test_the_budget_follows_the_option(pools: Pools) -> None:
    await pools.apply(disruptionBudget={"maxUnavailable": 1})
    made = await budget(pools, maxUnavailable=1, unhealthyPodEvictionPolicy="AlwaysAllow")
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("WorkerPool", "resize", True)
    await pools.apply(disruptionBudget={"maxUnavailable": "25%"})
    await budget(pools, maxUnavailable="25%")
    await pools.apply(disruptionBudget={"minAvailable": 2})
    assert "maxUnavailable" not in (await budget(pools, minAvailable=2))["spec"]
    await pools.apply()
    await is_gone(pools)


@pytest.mark.parametrize(
    "change",
    [{"maxUnavailable": 9}, {"maxUnavailable": None, "minAvailable": 1}, {"selector": {"matchLabels": {"a": "b"}}}],
    ids=["another number", "the other bound", "another selector"],
)
async def test_what_somebody_changed_is_put_right(pools: Pools, change: dict[str, Any]) -> None:
    await pools.apply(disruptionBudget={"maxUnavailable": 1})
    wanted = (await budget(pools, maxUnavailable=1))["spec"]
    await pools.client.patch(Target(BUDGETS, pools.namespace, NAME), {"spec": change}, PatchType.MERGE)

    async def is_right() -> bool:
        raw = await pools.cluster.read_budget(pools.namespace, NAME)
        spec = {} if raw is None else raw["spec"]
        return bool(spec == wanted)

    await eventually(is_right, "the budget is as it should be")
    await condition_is(pools, "True")


async def test_one_that_was_deleted_is_made_again(pools: Pools) -> None:
    await pools.apply(disruptionBudget={"maxUnavailable": 1})
    made = await budget(pools, maxUnavailable=1)
    await pools.cluster.delete_budget(pools.namespace, NAME, made["metadata"]["uid"])
    again = await budget(pools, maxUnavailable=1)
    assert again["metadata"]["uid"] != made["metadata"]["uid"]


async def test_one_of_somebody_else_stays_and_the_pool_says_so(pools: Pools) -> None:
    theirs = await pools.create(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"namespace": pools.namespace, "name": NAME},
            "spec": {"maxUnavailable": 3, "selector": {"matchLabels": {"app": "theirs"}}},
        }
    )
    await pools.apply(disruptionBudget={"maxUnavailable": 1})
    assert "there is another PodDisruptionBudget" in (await condition_is(pools, "False"))["message"]
    await pools.apply()
    await condition_is(pools, "True")
    assert (await budget(pools))["spec"] == theirs["spec"]


async def condition_is(pools: Pools, status: str) -> dict[str, Any]:
    """The condition Ready, once it has that status."""

    async def look() -> dict[str, Any] | None:
        found = await pools.condition("Ready")
        return found if found.get("status") == status else None

    found: dict[str, Any] = await eventually(look, f"Ready is {status}")
    return found
