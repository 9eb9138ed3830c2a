"""The fenced write, as the API server gets it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mastercontrol.api.status import JobStatus
from mastercontrol.api.status_json import to_raw
from mastercontrol.engine.commit import status_patch
from unit.engine.builders import UID, Run

NEXT = JobStatus(message="next")


def unless(path: str, value: Any) -> dict[str, Any]:
    return {"op": "test", "path": path, "value": value}


UNCHANGED = unless("/metadata/resourceVersion", "1")
SAME = unless("/metadata/uid", UID)


def test_the_first_write_adds_a_status_to_the_object_that_was_read() -> None:
    assert status_patch(Run("a").job, NEXT) == [
        SAME,
        UNCHANGED,
        {"op": "add", "path": "/status", "value": to_raw(NEXT)},
    ]


def test_a_job_that_has_not_begun_is_written_as_it_was_read_and_nothing_newer() -> None:
    waiting = replace(Run("a").job, status=JobStatus(message="waits"))
    assert status_patch(waiting, NEXT) == [
        SAME,
        UNCHANGED,
        unless("/status/sequence", 0),
        unless("/status/operationsTaken", None),
        {"op": "replace", "path": "/status", "value": to_raw(NEXT)},
    ]


def test_a_job_that_has_begun_is_written_where_neither_a_transition_nor_an_operation_came_between() -> None:
    begun = replace(Run("a").job, status=JobStatus(sequence=3, operations_taken=2))
    assert status_patch(begun, NEXT) == [
        SAME,
        unless("/status/sequence", 3),
        unless("/status/operationsTaken", 2),
        {"op": "replace", "path": "/status", "value": to_raw(NEXT)},
    ]
