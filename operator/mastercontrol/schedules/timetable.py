"""When the runs of a Schedule are: a cron expression in a time zone, as moments. Pure.

`due.py` asks. The cron language is cronsim's, which is that of Debian's cron; it is asked for wall-clock times only,
and what a change of the clock does to them is decided here, the same whether one looks forward or back:

- a run with a fixed minute and hour is made once on each of its days. Where the clock jumps over it, it is made right
  after the jump; where the clock goes back over it, at the first of the two;
- any other (the minute or the hour begins with `*`) goes by the time that passes: nothing is made up for an hour
  that is jumped over, and in an hour that comes twice it is made twice.
"""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cronsim import CronSim, CronSimError

from mastercontrol.api.schedule import ScheduleSpec
from mastercontrol.api.values import InvalidObject

MACROS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS: Final = 5
_WHAT_TO_WRITE: Final = (
    "write five fields (minute, hour, day of the month, month, day of the week), as in 30 6 * * MON-FRI, or one of "
    + ", ".join(MACROS)
)
_MARGIN: Final = dt.timedelta(hours=3)
"""More than a clock is ever put back: moments whose wall-clock times are further apart are in the same order."""
_MINUTE: Final = dt.timedelta(minutes=1)
_ANY_TIME: Final = dt.datetime(2000, 1, 1)  # noqa: DTZ001  # a wall clock's


@dataclass(frozen=True, slots=True)
class Timetable:
    """The runs of one cron expression in one time zone. All moments that go in and out are aware."""

    cron: str
    zone: zoneinfo.ZoneInfo

    @property
    def text(self) -> str:
        """The same for the same runs."""
        return f"{self.cron} {self.zone.key}"

    @property
    def is_fixed(self) -> bool:
        """Whether minute and hour are fixed, so that a change of the clock must not lose or double a run."""
        return not any(field.startswith("*") for field in self.cron.split()[:2])

    def after(self, moment: dt.datetime) -> Iterator[dt.datetime]:
        """The runs after a moment, in order. There may be no end."""
        ahead: list[dt.datetime] = []
        last = moment
        walls: Iterator[dt.datetime | None] = itertools.chain(CronSim(self.cron, self._wall(moment) - _MARGIN), [None])
        for wall in walls:
            while ahead and (wall is None or self._wall(ahead[0]) <= wall - _MARGIN):
                run = heapq.heappop(ahead)
                if run > last:
                    last = run
                    yield run
            if wall is not None:
                for run in self._moments(wall):
                    if run > moment:
                        heapq.heappush(ahead, run)

    def latest(self, after: dt.datetime, until: dt.datetime) -> dt.datetime | None:
        """The last run after one moment and not after another."""
        best: dt.datetime | None = None
        end = self._wall(after)
        for wall in CronSim(self.cron, self._wall(until) + _MARGIN, reverse=True):
            if wall < end - _MARGIN or (best is not None and wall < self._wall(best) - _MARGIN):
                break
            found = [run for run in self._moments(wall) if after < run <= until]
            best = max(found if best is None else [*found, best], default=None)
        return best

    def shown(self, moment: dt.datetime) -> str:
        """A moment as a person of that time zone writes it, to the minute."""
        return moment.astimezone(self.zone).strftime("%Y-%m-%d %H:%M %Z")

    def _wall(self, moment: dt.datetime) -> dt.datetime:
        """What a clock on the wall shows, in whole seconds."""
        return moment.astimezone(self.zone).replace(tzinfo=None, microsecond=0)

    def _moments(self, wall: dt.datetime) -> list[dt.datetime]:
        """When the clock on the wall shows that: once, twice, or (where it jumps) not at all."""
        local = wall.replace(tzinfo=self.zone)
        if not self._is_shown(local):
            return [self._after_the_jump(wall)] if self.is_fixed else []
        first, second = local.astimezone(dt.UTC), local.replace(fold=1).astimezone(dt.UTC)
        return [first] if self.is_fixed or first == second else [first, second]

    def _is_shown(self, local: dt.datetime) -> bool:
        return local.astimezone(dt.UTC).astimezone(self.zone).replace(tzinfo=None) == local.replace(tzinfo=None)

    def _after_the_jump(self, wall: dt.datetime) -> dt.datetime:
        while not self._is_shown(wall.replace(tzinfo=self.zone)):
            wall += _MINUTE
        return wall.replace(tzinfo=self.zone).astimezone(dt.UTC)


def timetable(spec: ScheduleSpec) -> Timetable:
    """Read the cron expression and the time zone of a Schedule.

    :raises InvalidObject: one of them can't be, and what to write instead.
    """
    return Timetable(_cron(spec.schedule), _zone(spec.time_zone))


def _cron(text: str) -> str:
    fields = MACROS.get(text.strip().lower(), text).split()
    if "TZ=" in text:
        raise InvalidObject("spec.schedule: write the time zone in spec.timeZone")
    if len(fields) != _FIELDS:
        raise InvalidObject(f"spec.schedule: {text!r} is not understood; {_WHAT_TO_WRITE}")
    try:
        if next(CronSim(" ".join(fields), _ANY_TIME), None) is None:
            raise InvalidObject(f"spec.schedule: {text!r} never comes; write a day that there is")
    except CronSimError as error:
        fault = str(error).replace("Bad ", "a bad ").replace("day-of-", "day of the ")
        raise InvalidObject(f"spec.schedule: {text!r} has {fault}; {_WHAT_TO_WRITE}") from None
    return " ".join(fields)


def _zone(name: str | None) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        text = f"spec.timeZone: there is no time zone {name!r}; write its IANA name, as in Europe/Berlin or Etc/UTC"
        raise InvalidObject(text) from None
