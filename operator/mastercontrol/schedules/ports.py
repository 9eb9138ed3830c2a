"""What the controller of Schedules needs of the API server, as a small protocol.

`kube.schedules` implements it for a cluster, `memory.schedules` for one process. Both raise the errors of
`engine.ports`.
"""

from __future__ import annotations

from typing import Any, Protocol

from mastercontrol.engine.ports import RawObject


class ScheduleCluster(Protocol):
    """The API server, as far as Schedules and the Jobs that they make go."""

    async def list_scheduled_jobs(self, namespace: str | None, schedule: str | None = None) -> list[RawObject]:
        """The newest Jobs with the label of a Schedule (None: of any), of one namespace or of all.

        :raises StoreError: Rejected or StoreUnavailable.
        """
        ...

    async def create_job(self, manifest: RawObject) -> RawObject:
        """Create a Job; the Job as it is after it.

        :raises StoreError: Refused (there is one of that name), Rejected, Gone (no namespace) or StoreUnavailable.
        """
        ...

    async def cancel_job(self, namespace: str, name: str) -> None:
        """Set `spec.cancel` of a Job. One that is absent is a success.

        :raises StoreError: Rejected or StoreUnavailable.
        """
        ...

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete the Job of that uid. One that is absent or has another uid is a success.

        :raises StoreUnavailable: no answer.
        """
        ...

    async def patch_schedule_status(self, namespace: str, name: str, status: dict[str, Any]) -> RawObject:
        """Merge `status` into the status of a Schedule, a None removes its field; the object as it is after it.

        :raises StoreError: Gone, Rejected or StoreUnavailable.
        """
        ...
