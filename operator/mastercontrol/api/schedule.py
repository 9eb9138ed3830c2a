"""Schedule: when Jobs are made, and of what, as frozen values.

`spec.schedule` and `spec.timeZone` stay as written: `schedules/timetable.py` reads them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mastercontrol.api import job, values
from mastercontrol.api.values import parse_time


class ConcurrencyPolicy(StrEnum):
    """What becomes of a run that is due while an earlier one has not ended. The words are those of batch/v1."""

    ALLOW = "Allow"  # it starts beside it
    FORBID = "Forbid"  # it is held back
    REPLACE = "Replace"  # the earlier one is cancelled


@dataclass(frozen=True, slots=True)
class JobTemplate:
    """What the Jobs look like. `spec` is a Job's spec as written, which has been checked."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """What the user asked for. Times are in seconds."""

    schedule: str
    template: JobTemplate
    time_zone: str | None = None
    starting_deadline_seconds: int | None = None
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy.ALLOW
    suspend: bool = False
    successful_jobs_history_limit: int = 3
    failed_jobs_history_limit: int = 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """A Schedule object without its status, which `parse_schedule_status` reads."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: dt.datetime
    spec: ScheduleSpec


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """What the operator knows of a Schedule from before. `timetable` has held since `timetable_since`.

    Both are None where the timetable is the one that the Schedule was created with.
    """

    last_schedule: dt.datetime | None = None
    last_successful: dt.datetime | None = None
    timetable: str | None = None
    timetable_since: dt.datetime | None = None


_SPEC_FIELDS = frozenset(
    {
        "schedule",
        "timeZone",
        "startingDeadlineSeconds",
        "concurrencyPolicy",
        "suspend",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
        "jobTemplate",
    }
)
_NOT_IN_A_TEMPLATE = frozenset({"cancel", "signals", "operations"})
_TEMPLATE = "spec.jobTemplate"


def parse_schedule(raw: Mapping[str, Any]) -> Schedule:
    """Read a Schedule.

    :raises InvalidObject: with the first fault, those of the cron expression and the time zone apart.
    """
    meta = values.mapping(raw, "metadata", "")
    return Schedule(
        namespace=str(meta.get("namespace", "default")),
        name=values.text(meta, "name", "metadata"),
        uid=str(meta.get("uid", "")),
        generation=int(meta.get("generation", 1)),
        created=dt.datetime.fromisoformat(values.text(meta, "creationTimestamp", "metadata")),
        spec=_spec(values.mapping(raw, "spec", "")),
    )


def parse_schedule_status(raw: Mapping[str, Any]) -> ScheduleStatus:
    """Read the status of a Schedule, as the operator wrote it."""
    return ScheduleStatus(
        last_schedule=parse_time(raw.get("lastScheduleTime")),
        last_successful=parse_time(raw.get("lastSuccessfulTime")),
        timetable=raw.get("timetable"),
        timetable_since=parse_time(raw.get("timetableSince")),
    )


def _spec(spec: Mapping[str, Any]) -> ScheduleSpec:
    values.known(spec, _SPEC_FIELDS, "spec")
    return ScheduleSpec(
        schedule=values.text(spec, "schedule", "spec"),
        template=_template(values.mapping(spec, "jobTemplate", "spec")),
        time_zone=values.optional_text(spec, "timeZone", "spec"),
        starting_deadline_seconds=values.optional_whole(spec, "startingDeadlineSeconds", "spec", 1, 2**31 - 1),
        concurrency=values.choice(spec, "concurrencyPolicy", "spec", ConcurrencyPolicy, ConcurrencyPolicy.ALLOW),
        suspend=values.flag(spec, "suspend", "spec", default=False),
        successful_jobs_history_limit=values.whole(spec, "successfulJobsHistoryLimit", "spec", 0, 1000, 3),
        failed_jobs_history_limit=values.whole(spec, "failedJobsHistoryLimit", "spec", 0, 1000, 1),
    )


def _template(template: Mapping[str, Any]) -> JobTemplate:
    values.known(template, frozenset({"metadata", "spec"}), _TEMPLATE)
    meta = values.mapping(template, "metadata", _TEMPLATE)
    values.known(meta, frozenset({"labels", "annotations"}), f"{_TEMPLATE}.metadata")
    spec = values.mapping(template, "spec", _TEMPLATE)
    for name in sorted(_NOT_IN_A_TEMPLATE & set(spec)):
        raise values.InvalidObject(f"{_TEMPLATE}.spec.{name}: leave it out, it is for a Job that runs")
    try:
        job.parse_spec(spec)
    except values.InvalidObject as error:
        raise values.InvalidObject(f"{_TEMPLATE}.{error}") from None
    return JobTemplate(_texts(meta, "labels"), _texts(meta, "annotations"), spec)


def _texts(meta: Mapping[str, Any], name: str) -> Mapping[str, str]:
    found = values.mapping(meta, name, f"{_TEMPLATE}.metadata")
    return {key: values.text(found, key, f"{_TEMPLATE}.metadata.{name}") if found[key] != "" else "" for key in found}
