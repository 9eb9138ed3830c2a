"""Schedules and the Jobs that they make in a `MemoryStore`: `schedules.ports.ScheduleCluster`."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from mastercontrol.api import names
from mastercontrol.engine.ports import Gone, RawObject
from mastercontrol.memory.objects import Kind
from mastercontrol.memory.store import JOB, MemoryStore

SCHEDULE: Final[Kind] = (names.API_VERSION, names.KIND_SCHEDULE)


class MemorySchedules:
    """Implements `ScheduleCluster`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def list_schedules(self, namespace: str | None) -> list[RawObject]:
        """All Schedules of a namespace, or of all."""
        return (await self._store.listing(SCHEDULE, namespace)).items

    async def list_scheduled_jobs(self, namespace: str | None, schedule: str | None = None) -> list[RawObject]:
        """See `ScheduleCluster.list_scheduled_jobs`."""
        selector = names.LABEL_SCHEDULE if schedule is None else f"{names.LABEL_SCHEDULE}={schedule}"
        return (await self._store.listing(JOB, namespace, selector)).items

    async def create_job(self, manifest: RawObject) -> RawObject:
        """See `ScheduleCluster.create_job`."""
        return await self._store.create(manifest)

    async def cancel_job(self, namespace: str, name: str) -> None:
        """See `ScheduleCluster.cancel_job`."""
        with contextlib.suppress(Gone):
            await self._store.merge(JOB, namespace, name, {"spec": {"cancel": True}})

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """See `ScheduleCluster.delete_job`."""
        await self._store.delete(namespace, name, uid)

    async def patch_schedule_status(self, namespace: str, name: str, status: dict[str, Any]) -> RawObject:
        """See `ScheduleCluster.patch_schedule_status`."""
        return await self._store.merge_status(SCHEDULE, namespace, name, status)
