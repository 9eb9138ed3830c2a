"""What the controller remembers of one Schedule between two turns. Owned by `controller.py`, on its event loop."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mastercontrol.api.schedule import Schedule, ScheduleStatus, parse_schedule, parse_schedule_status
from mastercontrol.api.values import InvalidObject
from mastercontrol.engine.ports import RawObject
from mastercontrol.schedules.runs import Run, read_run
from mastercontrol.schedules.timetable import Timetable, timetable

Key = tuple[str, str]
"""Namespace and name."""


@dataclass(slots=True)
class ScheduleState:
    """One Schedule. `schedule` and `timetable` are None, and `invalid` says why, where it can't be read.

    `kept` only grows: a status that the watch shows may be older than what this process has done since.
    `listed`: all of its runs are known, those that were made before this process began as well.
    """

    raw: RawObject
    schedule: Schedule | None = None
    timetable: Timetable | None = None
    invalid: str | None = None
    kept: ScheduleStatus = ScheduleStatus()  # noqa: RUF009  # frozen
    runs: dict[str, Run] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    listed: bool = False
    failures: int = 0
    told: dt.datetime | None = None  # the run of the last warning, so that each is told once
    news: bool = True  # something happened since its last turn began, or that turn failed
    idle_until: dt.datetime | None = None  # without news there is nothing to do before

    @property
    def uid(self) -> str:
        """Which object this is."""
        return str(self.raw["metadata"].get("uid", ""))

    @property
    def generation(self) -> int:
        """Of its spec."""
        return int(self.raw["metadata"].get("generation", 1))

    @property
    def deleting(self) -> bool:
        """Whether it is being deleted: then nothing is started any more."""
        return self.raw["metadata"].get("deletionTimestamp") is not None

    def learn(self, raw: RawObject) -> bool:
        """Take a newer object; False where it is older than, or the same as, what is known."""
        if raw is not self.raw and _version(raw) <= _version(self.raw):
            return False
        self.raw = raw
        seen = parse_schedule_status(raw.get("status") or {})
        self.kept = ScheduleStatus(
            last_schedule=_later(self.kept.last_schedule, seen.last_schedule),
            last_successful=_later(self.kept.last_successful, seen.last_successful),
            timetable=self.kept.timetable or seen.timetable,
            timetable_since=_later(self.kept.timetable_since, seen.timetable_since),
        )
        self.schedule, self.timetable, self.invalid = None, None, None
        try:
            self.schedule = parse_schedule(raw)
            self.timetable = timetable(self.schedule.spec)
        except InvalidObject as error:
            self.invalid = str(error)
        return True

    def learn_job(self, raw: RawObject) -> bool:
        """Take in a Job of this Schedule; False where it says nothing new.

        :raises ValueError: it can't be read; somebody else has changed what the operator wrote.
        """
        name = str(raw["metadata"]["name"])
        if _version(raw) < self.versions.get(name, 0):
            return False
        run = read_run(raw)
        self.versions[name] = _version(raw)
        if self.runs.get(name) == run:
            return False
        self.runs[name] = run
        self.started(run.scheduled)
        if run.succeeded:
            self.kept = replace(self.kept, last_successful=_later(self.kept.last_successful, run.completed))
        return True

    def lose_job(self, raw: RawObject) -> bool:
        """A Job is gone; False where it was not known."""
        name = str(raw["metadata"]["name"])
        known = self.runs.get(name)
        if known is None or known.uid != str(raw["metadata"].get("uid", "")):
            return False
        self.learn_job(raw)  # how it ended, where that was not seen
        self.forget(name)
        return True

    def forget(self, name: str) -> None:
        """A Job is gone."""
        self.runs.pop(name, None)
        self.versions.pop(name, None)

    def started(self, run: dt.datetime) -> None:
        """A run was made, so it and those before it are dealt with."""
        self.kept = replace(self.kept, last_schedule=_later(self.kept.last_schedule, run))

    def hold_to(self, text: str, now: dt.datetime) -> None:
        """Note which timetable holds. Runs of a new one that lie before its beginning were never due."""
        if self.kept.timetable is not None and self.kept.timetable != text:
            self.kept = replace(self.kept, timetable_since=_later(self.kept.timetable_since, now))
        self.kept = replace(self.kept, timetable=text)

    def since(self, created: dt.datetime) -> dt.datetime:
        """The moment up to which no run is due any more."""
        known = (self.kept.last_schedule, self.kept.timetable_since)
        return max([created, *(moment for moment in known if moment is not None)])

    def all_runs(self) -> Iterable[Run]:
        """The runs that are known, in order."""
        return sorted(self.runs.values(), key=lambda run: run.scheduled)


def _later(one: dt.datetime | None, other: dt.datetime | None) -> dt.datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)


def _version(raw: RawObject) -> int:
    return int(raw["metadata"].get("resourceVersion") or 0)
