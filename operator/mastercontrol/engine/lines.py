"""One line of Jobs: those that hold the places of one key of a Workflow, and those that wait for one.

Owned by `gate`, which puts Jobs in and takes them out; nothing here knows of events or of other lines. All that a line
says is derived from the Jobs in it, so it is the same after a restart. Each change costs O(log n) comparisons.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

from mastercontrol.api.job import Job
from mastercontrol.api.names import ConditionType, LimitPolicy, Reason
from mastercontrol.engine.mailbox import version
from mastercontrol.engine.places import UNLISTED
from mastercontrol.workflow.concurrency import Concurrency

Rank = tuple[int, int, str]
"""Where a Job stands among those that wait: the smallest comes first."""


@dataclass(slots=True, eq=False)
class Member:
    """A Job of a limited Workflow.

    `key` is its key as JSON; `fault` says why it has none. `seen` is the first version of it that was seen here.
    `admitted` is the version that it was admitted at, None where it was not. `asked`: its turn asked for a place, so it
    could begin. `aside`: its turn found that it could not. `woken`: it is to ask, and has not yet. `leaving`: it gives
    its place up once a newer version of it is known. `in_doubt`: a write of this version may have begun it, or may yet.
    """

    job: Job
    key: str | None
    fault: str | None
    seen: int
    admitted: int | None = None
    asked: bool = False
    aside: bool = False
    woken: bool = False
    leaving: bool = False
    in_doubt: bool = False
    rank: Rank | None = None

    @property
    def name(self) -> str:
        """The Job's name."""
        return self.job.name

    @property
    def holds(self) -> bool:
        """Whether it has begun, and so holds a place until it ends."""
        return self.job.status is not None and self.job.status.sequence > 0

    @property
    def waits(self) -> bool:
        """Whether it stands in line. What cannot begin does not stand in the way of others."""
        spec = self.job.spec
        return not (self.holds or self.admitted is not None or self.aside or spec.suspend or spec.cancel)

    @property
    def goes(self) -> bool:
        """Whether it will end soon by itself: it is being cancelled, or it is known how it ends."""
        return self.job.spec.cancel or (self.job.status is not None and self.job.status.outcome is not None)

    @property
    def is_told(self) -> bool:
        """Whether its status says what it waits for."""
        conditions = self.job.status.conditions if self.job.status is not None else ()
        waiting = next((c for c in conditions if c.type is ConditionType.WAITING), None)
        is_ours = waiting is not None and waiting.reason == Reason.CONCURRENCY_LIMIT
        return is_ours and waiting is not None and not waiting.message.startswith(UNLISTED)

    @property
    def age(self) -> tuple[int, bool, int, str]:
        """Larger is newer. Times are whole seconds: within one, what has not begun is newer than what has."""
        return (_seconds(self.job), not self.holds and self.admitted is None, self.seen, self.name)


@dataclass(slots=True, eq=False)
class Line:
    """The Jobs of one key."""

    concurrency: Concurrency
    key: str | None
    holders: dict[str, Member] = field(default_factory=dict)
    admitted: dict[str, Member] = field(default_factory=dict)
    waiting: dict[str, Member] = field(default_factory=dict)
    _queue: list[Rank] = field(default_factory=list)
    _replaced: dict[str, str] | None = None

    @property
    def free(self) -> int:
        """Places that nobody holds; negative where a limit was lowered."""
        return self.concurrency.limit - len(self.holders) - len(self.admitted)

    @property
    def is_empty(self) -> bool:
        """Whether there is no Job in it."""
        return not (self.holders or self.admitted or self.waiting)

    def put(self, member: Member) -> None:
        """Put a Job where it belongs, also one that is in the line already."""
        self.take(member)
        self._replaced = None
        if member.holds:
            self.holders[member.name] = member
        elif member.admitted is not None:
            self.admitted[member.name] = member
        elif member.waits:
            member.rank = self._rank(member)
            insort(self._queue, member.rank)
            self.waiting[member.name] = member

    def take(self, member: Member) -> None:
        """Take a Job out."""
        self._replaced = None
        self.holders.pop(member.name, None)
        self.admitted.pop(member.name, None)
        if self.waiting.pop(member.name, None) is not None and member.rank is not None:
            del self._queue[bisect_left(self._queue, member.rank)]
        member.rank = None

    def look_again(self) -> None:
        """Something of a Job changed that may change who is to end."""
        self._replaced = None

    def is_in_place(self, member: Member) -> bool:
        """Whether a Job stands where it belongs, so that `put` would change nothing."""
        if member.holds:
            return member.name in self.holders
        if member.admitted is not None:
            return member.name in self.admitted
        return (member.name in self.waiting) == member.waits and (not member.waits or member.rank == self._rank(member))

    def before(self, member: Member) -> int:
        """How many come before a Job that waits."""
        return bisect_left(self._queue, member.rank) if member.rank is not None else 0

    def front(self, count: int) -> Iterator[Member]:
        """The first of those that wait."""
        return (self.waiting[rank[2]] for rank in self._queue[: max(count, 0)])

    def occupants(self, count: int) -> list[str]:
        """The names of some that have a place."""
        return list(islice(chain(self.holders, self.admitted), count))

    def to_end(self) -> list[Member]:
        """Those that `replaced` names."""
        found = (self.holders.get(n) or self.admitted.get(n) or self.waiting.get(n) for n in self.replaced())
        return [member for member in found if member is not None]

    def replaced(self) -> dict[str, str]:
        """Under Replace: the Jobs that are to end, each with the Job that takes its place."""
        if self._replaced is None:
            self._replaced = self._replace() if self.concurrency.policy is LimitPolicy.REPLACE else {}
        return self._replaced

    def _replace(self) -> dict[str, str]:
        """Of all that could run the newest stay, as many as there are places.

        A place is taken from a Job that runs only for one that waits: a lowered limit alone ends nothing. One that is
        being cancelled, or cleans up, goes anyway: it keeps its place until then, and takes none from others.
        """
        running = [m for m in (*self.holders.values(), *self.admitted.values()) if not m.goes]
        asking = [m for m in self.waiting.values() if m.asked]
        if not asking:
            return {}
        limit = self.concurrency.limit
        newest = sorted((*running, *asking), key=_age)[-limit:]
        stay = {m.name for m in newest}
        winners = sorted((m for m in asking if m.name in stay), key=_age)
        ends = [m for m in asking if m.name not in stay]
        if winners:
            excess = len(running) + len(winners) - limit
            ends += sorted(running, key=_age)[: max(excess, 0)]
        instead = winners or newest
        return {m.name: instead[min(i, len(instead) - 1)].name for i, m in enumerate(sorted(ends, key=_age))}

    def _rank(self, member: Member) -> Rank:
        if self.concurrency.policy is LimitPolicy.REPLACE:
            return (-_seconds(member.job), -member.seen, member.name)
        return in_line(member.job)


def member_of(job: Job, key: str | None, fault: str | None) -> Member:
    """A Job that was not known here."""
    return Member(job, key, fault, version(job))


def in_line(job: Job) -> Rank:
    """The order under Queue: the higher priority first, then the older, then the name."""
    return (-job.spec.priority, _seconds(job), job.name)


def _age(member: Member) -> tuple[int, bool, int, str]:
    return member.age


def _seconds(job: Job) -> int:
    return int(job.created.timestamp()) if job.created is not None else 0
