"""The fenced write: one JSON Patch that does nothing unless the Job is where the decision thought it was."""

from __future__ import annotations

from typing import Any

from mastercontrol.api.job import Job
from mastercontrol.api.status import JobStatus
from mastercontrol.api.status_json import to_raw


def status_patch(job: Job, status: JobStatus) -> list[dict[str, Any]]:
    """The patch that takes a Job from the status that was read to the next one.

    Each transition counts `sequence` up, retries included, so a write that is based on an older transition is
    refused. A Job without status has no sequence yet: its first write is fenced by the resourceVersion. So is every
    write of a Job that has not begun: one that would begin it and is late must not land once something else was
    written of it (a place under a limit may have gone to another Job). An operation that is refused is no transition,
    so a write that does not know of it yet is refused by the count of those that were dealt with.
    """
    fence: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": job.uid}]
    if job.status is None or job.status.sequence == 0:
        fence.append({"op": "test", "path": "/metadata/resourceVersion", "value": job.resource_version})
    if job.status is None:
        return [*fence, {"op": "add", "path": "/status", "value": to_raw(status)}]
    fence.append({"op": "test", "path": "/status/sequence", "value": job.status.sequence})
    # Absent where there was none, which a test for null says.
    fence.append({"op": "test", "path": "/status/operationsTaken", "value": job.status.operations_taken or None})
    return [*fence, {"op": "replace", "path": "/status", "value": to_raw(status)}]
