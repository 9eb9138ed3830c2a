"""WorkerPools and what they own at the API server: `pools.ports.PoolCluster`."""

from __future__ import annotations

from typing import Any

from mastercontrol.api import names
from mastercontrol.engine.ports import Gone, JsonPatch, RawObject, Rejected, StoreUnavailable
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.lists import list_all
from mastercontrol.kube.paths import DEPLOYMENTS, PODS, POOLS, Target, resource_of


class KubePools:
    """Implements `PoolCluster`."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def apply(self, manifest: RawObject) -> RawObject:
        """See `PoolCluster.apply`."""
        metadata = manifest["metadata"]
        target = Target(resource_of(manifest), metadata["namespace"], metadata["name"])
        params = {"fieldManager": names.FIELD_MANAGER, "force": "true"}
        # JSON is YAML, so the body needs no other encoder.
        return await self._client.patch(target, manifest, PatchType.APPLY, params)

    async def read_deployment(self, namespace: str, name: str) -> RawObject | None:
        """See `PoolCluster.read_deployment`."""
        try:
            return await self._client.get(Target(DEPLOYMENTS, namespace, name))
        except Gone:
            return None
        except Rejected as error:
            raise StoreUnavailable(str(error)) from error

    async def scale(self, namespace: str, name: str, replicas: int) -> None:
        """See `PoolCluster.scale`."""
        target = Target(DEPLOYMENTS, namespace, name, "scale")
        await self._client.patch(target, {"spec": {"replicas": replicas}}, PatchType.MERGE)

    async def patch_pool_status(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        """See `PoolCluster.patch_pool_status`."""
        target = Target(POOLS, namespace, name, "status")
        await self._client.patch(target, {"status": status}, PatchType.MERGE)

    async def patch_pool(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        """See `DeadLetterPools.patch_pool`."""
        return await self._client.patch(Target(POOLS, namespace, name), list(patch), PatchType.JSON)

    async def list_pods(self, namespace: str, selector: str) -> list[RawObject]:
        """See `PoolCluster.list_pods`."""
        try:
            return await list_all(self._client, PODS, namespace, selector)
        except Rejected as error:
            raise StoreUnavailable(str(error)) from error

    async def read_pool(self, namespace: str, name: str) -> RawObject | None:
        """A WorkerPool; None when there is none.

        :raises StoreUnavailable: no answer.
        """
        try:
            return await self._client.get(Target(POOLS, namespace, name))
        except Gone:
            return None
        except Rejected as error:
            raise StoreUnavailable(str(error)) from error

    async def list_pools(self, namespace: str | None) -> list[RawObject]:
        """All WorkerPools of a namespace, or of all namespaces."""
        return await list_all(self._client, POOLS, namespace)
