"""Pods of a pool at a real API server: found by their label, and marked."""

from __future__ import annotations

import pytest

from contracts.store import Cluster
from mastercontrol.engine.ports import Gone
from mastercontrol.kube.client import KubeClient
from mastercontrol.kube.paths import PODS, Target
from mastercontrol.pools.leaving import DELETION_COST, MARK, Pod, pods_of


async def test_a_pod_is_marked_and_the_mark_is_taken_away(cluster: Cluster, client: KubeClient) -> None:
    for name, pool in (("a", "payments"), ("b", "other")):
        meta = {"name": name, "namespace": cluster.namespace, "labels": {"pool": pool}, "annotations": {"mine": "1"}}
        spec = {"containers": [{"name": "worker", "image": "worker:1"}], "automountServiceAccountToken": False}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        await client.create(Target(PODS, cluster.namespace), pod)

    async def seen() -> list[Pod]:
        return pods_of(await cluster.pools.list_pods(cluster.namespace, "pool=payments"))

    [before] = await seen()
    assert (before.name, before.ready, before.marked) == ("a", False, False)
    await cluster.pools.annotate_pod(cluster.namespace, "a", {DELETION_COST: MARK})
    [marked] = await seen()
    assert marked.marked
    await cluster.pools.annotate_pod(cluster.namespace, "a", {DELETION_COST: None})
    assert await seen() == [before]
    raw = await client.get(Target(PODS, cluster.namespace, "a"))
    assert raw["metadata"]["annotations"] == {"mine": "1"}
    with pytest.raises(Gone):
        await cluster.pools.annotate_pod(cluster.namespace, "nobody", {DELETION_COST: MARK})
