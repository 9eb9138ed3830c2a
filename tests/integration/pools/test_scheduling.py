"""The condition PodsScheduled on a real API server: it has no scheduler, so the test says what one would say."""

from __future__ import annotations

from typing import Any

from integration.pools.conftest import Pools, eventually
from mastercontrol.kube.client import PatchType
from mastercontrol.kube.paths import DEPLOYMENTS, PODS, Resource, Target


async def scheduler_says(pools: Pools, status: str, **more: str) -> None:
    condition = {"type": "PodScheduled", "status": status, **more}
    target = Target(PODS, pools.namespace, "resize-1", "status")
    await pools.client.patch(target, {"status": {"conditions": [condition]}}, PatchType.MERGE)


async def condition_is(pools: Pools, status: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        found = await pools.condition("PodsScheduled")
        return found if found.get("status") == status else None

    found: dict[str, Any] = await eventually(look, f"PodsScheduled is {status}")
    return found


async def test_a_pod_without_a_node_is_said_and_taken_back(pools: Pools) -> None:
    await pools.apply(minReplicas=1, maxReplicas=1)

    async def made() -> bool:
        return await pools.cluster.read_deployment(pools.namespace, "mcp-worker-resize") is not None

    await eventually(made, "the Deployment")
    accounts = Target(Resource("v1", "ServiceAccount", "serviceaccounts"), pools.namespace)
    await pools.client.create(accounts, {"metadata": {"name": "default"}})  # no controller makes it here
    labels = {"mastercontrol.dev/pool": "resize"}
    await pools.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": pools.namespace, "name": "resize-1", "labels": labels},
            "spec": {"containers": [{"name": "worker", "image": "worker:1"}]},
        }
    )
    status = {"observedGeneration": 1, "replicas": 1, "unavailableReplicas": 1}
    target = Target(DEPLOYMENTS, pools.namespace, "mcp-worker-resize", "status")
    await pools.client.patch(target, {"status": status}, PatchType.MERGE)
    await scheduler_says(pools, "False", reason="Unschedulable", message="0/0 nodes are available")
    said = await condition_is(pools, "False")
    assert said["reason"] == "Unschedulable"
    assert said["message"] == "1 of 1 pods have no node; resize-1: 0/0 nodes are available"
    await scheduler_says(pools, "True")
    await condition_is(pools, "True")
