"""The status of a Schedule: made from what is known, compared with what stands there. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mastercontrol.api.names import ConditionType, Reason
from mastercontrol.api.schedule import ScheduleStatus
from mastercontrol.api.values import format_time
from mastercontrol.schedules.due import Due, Plan
from mastercontrol.schedules.runs import Run
from mastercontrol.schedules.timetable import Timetable


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a Schedule makes Jobs or does not, for its condition Ready."""

    ready: bool
    reason: Reason
    message: str


def verdict(timetable: Timetable, planned: Plan) -> Verdict:
    """What is to be said of a Schedule that is valid, and for which nothing failed."""
    if planned.due is None:
        return Verdict(ready=True, reason=Reason.SUSPENDED, message="spec.suspend is set: no run starts")
    ahead = _ahead(timetable, planned.due)
    if planned.held_by and planned.due.run is not None:
        names, run = ", ".join(run.name for run in planned.held_by[:3]), timetable.shown(planned.due.run)
        message = f"the run of {run} waits until {names} has ended, as concurrencyPolicy is Forbid; {ahead}"
        return Verdict(ready=True, reason=Reason.JOB_ALREADY_ACTIVE, message=message)
    if planned.due.late is not None:
        message = f"the run of {timetable.shown(planned.due.late)} missed its startingDeadlineSeconds; {ahead}"
        return Verdict(ready=True, reason=Reason.MISS_SCHEDULE, message=message)
    return Verdict(ready=True, reason=Reason.READY, message=ahead)


def _ahead(timetable: Timetable, due: Due) -> str:
    return "there is no further run" if due.next is None else f"the next run is at {timetable.shown(due.next)}"


def build(
    generation: int,
    kept: ScheduleStatus,
    runs: Iterable[Run],
    said: Verdict,
    old: Mapping[str, Any],
    now: dt.datetime,
) -> dict[str, Any]:
    """The status that says what is known. A field that is None is to be removed."""
    active = sorted((run for run in runs if run.active), key=lambda run: run.scheduled)
    return {
        "observedGeneration": generation,
        "lastScheduleTime": _time(kept.last_schedule),
        "lastSuccessfulTime": _time(kept.last_successful),
        "timetable": kept.timetable,
        "timetableSince": _time(kept.timetable_since),
        "active": [run.name for run in active] or None,
        "conditions": [_condition(generation, said, old, now)],
    }


def differs(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether a status says something that does not stand there. Absent and None are the same."""
    return any(new.get(name) != old.get(name) for name in new)


def _time(moment: dt.datetime | None) -> str | None:
    return None if moment is None else format_time(moment)


def _condition(generation: int, said: Verdict, old: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    kind, status = ConditionType.READY.value, str(said.ready)
    before: Mapping[str, Any] = next((c for c in old.get("conditions") or () if c.get("type") == kind), {})
    same = before.get("status") == status
    return {
        "type": kind,
        "status": status,
        "reason": said.reason.value,
        "message": said.message,
        "observedGeneration": generation,
        "lastTransitionTime": before.get("lastTransitionTime") if same else format_time(now),
    }
