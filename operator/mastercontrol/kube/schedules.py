"""Schedules and the Jobs that they make at the API server: `schedules.ports.ScheduleCluster`."""

from __future__ import annotations

import contextlib
from typing import Any

from mastercontrol.api import names
from mastercontrol.engine.ports import Gone, RawObject
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.jobs import KubeJobStore
from mastercontrol.kube.lists import list_all
from mastercontrol.kube.paths import JOBS, SCHEDULES, Target


class KubeSchedules:
    """Implements `ScheduleCluster`."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._jobs = KubeJobStore(client)

    async def list_schedules(self, namespace: str | None) -> list[RawObject]:
        """All Schedules of a namespace, or of all namespaces."""
        return await list_all(self._client, SCHEDULES, namespace)

    async def list_scheduled_jobs(self, namespace: str | None, schedule: str | None = None) -> list[RawObject]:
        """See `ScheduleCluster.list_scheduled_jobs`."""
        selector = names.LABEL_SCHEDULE if schedule is None else f"{names.LABEL_SCHEDULE}={schedule}"
        return await list_all(self._client, JOBS, namespace, selector)

    async def create_job(self, manifest: RawObject) -> RawObject:
        """See `ScheduleCluster.create_job`."""
        return await self._client.create(Target(JOBS, manifest["metadata"]["namespace"]), manifest)

    async def cancel_job(self, namespace: str, name: str) -> None:
        """See `ScheduleCluster.cancel_job`."""
        with contextlib.suppress(Gone):
            await self._client.patch(Target(JOBS, namespace, name), {"spec": {"cancel": True}}, PatchType.MERGE)

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """See `ScheduleCluster.delete_job`."""
        await self._jobs.delete(namespace, name, uid)

    async def patch_schedule_status(self, namespace: str, name: str, status: dict[str, Any]) -> RawObject:
        """See `ScheduleCluster.patch_schedule_status`."""
        target = Target(SCHEDULES, namespace, name, "status")
        return await self._client.patch(target, {"status": status}, PatchType.MERGE)
