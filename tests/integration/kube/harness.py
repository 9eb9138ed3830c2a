"""The adapters of `kube` as the contract tests take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.store import Cluster
from mastercontrol.engine.ports import RawObject
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.epoch import ConfigMapEpochStore
from mastercontrol.kube.jobs import KubeJobStore
from mastercontrol.kube.paths import Target, resource_of
from mastercontrol.kube.pools import KubePools
from mastercontrol.kube.workflows import KubeWorkflows

WriteConfig = Callable[..., str]


def cluster_of(client: KubeClient, namespace: str, other: str = "") -> Cluster:
    """The adapters of a client, as the contract tests take them."""

    async def create(manifest: RawObject) -> RawObject:
        return await client.create(Target(resource_of(manifest), manifest["metadata"]["namespace"]), manifest)

    async def edit(subject: RawObject, change: dict[str, Any]) -> RawObject:
        metadata = subject["metadata"]
        target = Target(resource_of(subject), metadata["namespace"], metadata["name"])
        return await client.patch(target, change, PatchType.MERGE)

    epochs = ConfigMapEpochStore(client, namespace, "broker-epoch")
    jobs, pools, workflows = KubeJobStore(client), KubePools(client), KubeWorkflows(client)
    return Cluster(namespace, other, jobs, epochs, pools, workflows, create, edit)
