"""Workflows at the API server, and the ControllerRevisions that running Jobs are pinned to."""

from __future__ import annotations

import contextlib
from typing import Any

from mastercontrol.api import names
from mastercontrol.engine.ports import Gone, RawObject, Refused, Rejected, StoreUnavailable
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.lists import list_all
from mastercontrol.kube.paths import REVISIONS, WORKFLOWS, Target


class KubeWorkflows:
    """Reads Workflows, reports on them, keeps their revisions."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def list_workflows(self, namespace: str | None) -> list[RawObject]:
        """All Workflows of a namespace, or of all namespaces."""
        return await list_all(self._client, WORKFLOWS, namespace)

    async def read_workflow(self, namespace: str, name: str) -> RawObject | None:
        """See `WorkflowStore.read_workflow`."""
        return await self._read(Target(WORKFLOWS, namespace, name))

    async def patch_workflow_status(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        """Merge `status` into the status of a Workflow; a None removes its field.

        :raises StoreError: Gone, Rejected or StoreUnavailable.
        """
        await self._client.patch(Target(WORKFLOWS, namespace, name, "status"), {"status": status}, PatchType.MERGE)

    async def create_revision(self, manifest: RawObject) -> None:
        """Create a ControllerRevision. One that is there already is a success: its name is made of its content.

        :raises StoreError: Gone (its namespace is missing), Rejected or StoreUnavailable.
        """
        try:
            await self._client.create(Target(REVISIONS, manifest["metadata"]["namespace"]), manifest)
        except Refused:
            return

    async def read_revision(self, namespace: str, name: str) -> RawObject | None:
        """See `WorkflowStore.read_revision`."""
        return await self._read(Target(REVISIONS, namespace, name))

    async def list_revisions(self, namespace: str | None) -> list[RawObject]:
        """See `WorkflowStore.list_revisions`."""
        return await list_all(self._client, REVISIONS, namespace, names.LABEL_WORKFLOW)

    async def delete_revision(self, namespace: str, name: str) -> None:
        """See `WorkflowStore.delete_revision`. One that is gone is a success."""
        with contextlib.suppress(Gone):
            await self._client.delete(Target(REVISIONS, namespace, name), {})

    async def _read(self, target: Target) -> RawObject | None:
        try:
            return await self._client.get(target)
        except Gone:
            return None
        except Rejected as error:
            raise StoreUnavailable(str(error)) from error
