"""Which run of a Schedule is due, and what its concurrency policy makes of it. Pure: the clock is an argument.

`controller.py` asks before it acts. As with a CronJob, of all runs that were missed only the latest is made up for.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mastercontrol.api.schedule import ConcurrencyPolicy, ScheduleSpec
from mastercontrol.schedules.runs import Run
from mastercontrol.schedules.timetable import Timetable

MANY_MISSED: Final = 100
"""More missed runs than this are told as a warning: the clock, or who administers it, is likely wrong."""


@dataclass(frozen=True, slots=True)
class Due:
    """What the timetable says at a moment.

    `run` is to be made now; `missed` runs before it never were (counted up to MANY_MISSED + 1). `late` is the latest
    run where it is too late for it. `next` is the first run that lies ahead; None where there is none.
    """

    run: dt.datetime | None
    missed: int
    late: dt.datetime | None
    next: dt.datetime | None

    @property
    def too_many(self) -> bool:
        """Whether so many were missed that it deserves a warning."""
        return self.missed > MANY_MISSED


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: first `cancel`, then `start`. `held_by` are the runs that an overdue one waits for."""

    due: Due | None
    start: dt.datetime | None = None
    cancel: tuple[Run, ...] = ()
    held_by: tuple[Run, ...] = ()


def due(timetable: Timetable, since: dt.datetime, now: dt.datetime, deadline_seconds: int | None = None) -> Due:
    """The run that is due at `now`, where all those up to `since` are dealt with or do not count."""
    ahead = next(timetable.after(now), None)
    run = timetable.latest(since, now)
    if run is None:
        return Due(None, 0, None, ahead)
    if deadline_seconds is None:
        return Due(run, _count(timetable, since, run), None, ahead)
    earliest = now - dt.timedelta(seconds=deadline_seconds)
    if run < earliest:
        return Due(None, 0, run, ahead)
    return Due(run, _count(timetable, max(since, earliest), run), None, ahead)


def _count(timetable: Timetable, since: dt.datetime, run: dt.datetime) -> int:
    """The runs after `since` and before `run`."""
    missed = itertools.takewhile(lambda moment: moment < run, timetable.after(since))
    return sum(1 for _ in itertools.islice(missed, MANY_MISSED + 1))


def plan(spec: ScheduleSpec, timetable: Timetable, runs: Iterable[Run], since: dt.datetime, now: dt.datetime) -> Plan:
    """What a Schedule is to do at `now`."""
    if spec.suspend:
        return Plan(None)
    found = due(timetable, since, now, spec.starting_deadline_seconds)
    if found.run is None:
        return Plan(found)
    active = tuple(run for run in runs if run.active)
    match spec.concurrency:
        case ConcurrencyPolicy.ALLOW:
            return Plan(found, found.run)
        case ConcurrencyPolicy.FORBID:
            return Plan(found, held_by=active) if active else Plan(found, found.run)
        case ConcurrencyPolicy.REPLACE:
            return Plan(found, found.run, cancel=tuple(run for run in active if not run.leaving))
