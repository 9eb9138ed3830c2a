"""Jobs at the API server: `engine.ports.JobStore`, and the list that recovery starts from."""

from __future__ import annotations

from mastercontrol.engine.ports import Gone, JsonPatch, RawObject, Refused, Rejected, StoreUnavailable
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.lists import list_all
from mastercontrol.kube.paths import JOBS, Target


class KubeJobStore:
    """Implements `JobStore`."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def read(self, namespace: str, name: str) -> RawObject | None:
        """See `JobStore.read`."""
        try:
            return await self._client.get(Target(JOBS, namespace, name))
        except Gone:
            return None
        except Rejected as error:
            # Not allowed to look: that says nothing about the Job.
            raise StoreUnavailable(str(error)) from error

    async def patch_status(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        """See `JobStore.patch_status`."""
        return await self._client.patch(Target(JOBS, namespace, name, "status"), list(patch), PatchType.JSON)

    async def patch(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        """See `DeadLetterJobs.patch`."""
        return await self._client.patch(Target(JOBS, namespace, name), list(patch), PatchType.JSON)

    async def delete(self, namespace: str, name: str, uid: str) -> None:
        """See `JobStore.delete`."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._client.delete(Target(JOBS, namespace, name), options)
        except Gone:
            return
        except Refused as error:
            # Of another uid, or changed in the very moment: only the first is a success.
            found = await self.read(namespace, name)
            if found is not None and found["metadata"]["uid"] == uid:
                raise StoreUnavailable(str(error)) from error
        except Rejected as error:
            raise StoreUnavailable(str(error)) from error

    async def create(self, manifest: RawObject) -> RawObject:
        """See `JobStore.create`."""
        return await self._client.create(Target(JOBS, manifest["metadata"]["namespace"]), manifest)

    async def list_jobs(self, namespace: str | None) -> list[RawObject]:
        """All Jobs of a namespace, or of all namespaces."""
        return await list_all(self._client, JOBS, namespace)
