"""The grace period of a pool's pods on a real API server: a Workflow that is edited replaces no pods without need."""

from __future__ import annotations

from typing import Any

from integration.pools.conftest import Pools, eventually
from mastercontrol.engine.ports import RawObject

NAME = "mcp-worker-resize"


async def deployment(pools: Pools, seconds: int) -> RawObject:
    """The Deployment, once its pods have so long to end, the ten seconds beyond the worker's own included."""

    async def look() -> RawObject | None:
        raw = await pools.cluster.read_deployment(pools.namespace, NAME)
        spec: dict[str, Any] = {} if raw is None else raw["spec"]["template"]["spec"]
        return raw if spec.get("terminationGracePeriodSeconds") == seconds + 10 else None

    found: RawObject = await eventually(look, f"a grace of {seconds} s")
    return found


async def resynced(pools: Pools) -> None:
    """The controller has looked at everything again after this was called."""
    reads = pools.reads

    async def look() -> bool:
        return pools.reads >= reads + 3

    await eventually(look, "three looks at the Deployment")


async def test_the_pods_follow_the_longest_step_and_are_not_replaced_without_need(pools: Pools) -> None:
    pools.longest = 20
    await pools.apply()
    await deployment(pools, 30)
    pools.edit_workflow(2000)
    raised = await deployment(pools, 3600)
    for shorter in (3000, 3600, 61, 20):
        pools.edit_workflow(shorter)
        await resynced(pools)
        now = await deployment(pools, 3600)
        assert now["metadata"]["generation"] == raised["metadata"]["generation"], "nothing was applied"


async def test_another_leader_replaces_no_pods_and_an_edit_of_the_pool_counts_anew(pools: Pools) -> None:
    pools.longest = 2000
    await pools.apply()
    before = await deployment(pools, 3600)
    await eventually(lambda: pools.condition("Ready"), "the status")
    await pools.another_leader()
    pools.edit_workflow(20)
    await resynced(pools)
    after = await deployment(pools, 3600)
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    await pools.apply(maxReplicas=5)
    await deployment(pools, 30)


async def test_an_edit_of_the_pool_while_nobody_led_counts_too(pools: Pools) -> None:
    pools.longest = 2000
    await pools.apply()
    await deployment(pools, 3600)
    await eventually(lambda: pools.condition("Ready"), "the status")
    await pools.stop()
    await pools.apply(maxReplicas=5)
    pools.longest = 20
    await pools.another_leader()
    await deployment(pools, 30)
