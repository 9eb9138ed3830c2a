"""WorkerPools and what they own at the API server: `pools.ports.PoolCluster`."""

from __future__ import annotations

import contextlib
from typing import Any

from mastercontrol.api import names
from mastercontrol.engine.ports import Gone, JsonPatch, RawObject, Refused, Rejected, StoreUnavailable
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.lists import list_all
from mastercontrol.kube.paths import BUDGETS, DEPLOYMENTS, PODS, POOLS, Target, resource_of


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
        return await self._read(Target(DEPLOYMENTS, namespace, name))

    async def scale(self, namespace: str, name: str, replicas: int) -> None:
        """See `PoolCluster.scale`."""
        target = Target(DEPLOYMENTS, namespace, name, "scale")
        await self._client.patch(target, {"spec": {"replicas": replicas}}, PatchType.MERGE)

    async def patch_pool_status(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        """See `PoolCluster.patch_pool_status`."""
        target = Target(POOLS, namespace, name, "status")
        await self._client.patch(target, {"status": status}, PatchType.MERGE)

    async def annotate_pod(self, namespace: str, name: str, annotations: dict[str, str | None]) -> None:
        """See `PoolCluster.annotate_pod`."""
        target = Target(PODS, namespace, name)
        await self._client.patch(target, {"metadata": {"annotations": annotations}}, PatchType.MERGE)

    async def delete_pod(self, namespace: str, name: str) -> None:
        """See `PoolCluster.delete_pod`."""
        with contextlib.suppress(Gone):
            await self._client.delete(Target(PODS, namespace, name), {})

    async def read_budget(self, namespace: str, name: str) -> RawObject | None:
        """See `PoolCluster.read_budget`."""
        return await self._read(Target(BUDGETS, namespace, name))

    async def delete_budget(self, namespace: str, name: str, uid: str) -> None:
        """See `PoolCluster.delete_budget`."""
        try:
            await self._client.delete(Target(BUDGETS, namespace, name), {"preconditions": {"uid": uid}})
        except Gone:
            return
        except Refused as error:
            # Of another uid, or changed in the very moment: only the first is a success.
            found = await self.read_budget(namespace, name)
            if found is not None and found["metadata"]["uid"] == uid:
                raise StoreUnavailable(str(error)) from error

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
        return await self._read(Target(POOLS, namespace, name))

    async def list_pools(self, namespace: str | None) -> list[RawObject]:
        """All WorkerPools of a namespace, or of all namespaces."""
        return await list_all(self._client, POOLS, namespace)

    async def _read(self, target: Target) -> RawObject | None:
        try:
            return await self._client.get(target)
        except Gone:
            return None
        except Rejected as error:
            raise StoreUnavailable(str(error)) from error
