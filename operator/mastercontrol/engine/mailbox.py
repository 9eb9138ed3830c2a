"""The mailboxes: one cell per Job, with what is known of it and what came for it since its last turn.

Owned by the engine, on its event loop. A cell never writes or reads anything outside; it only remembers.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from mastercontrol import metrics
from mastercontrol.api.job import Job
from mastercontrol.engine.facts import Result
from mastercontrol.engine.heartbeats import Heartbeats
from mastercontrol.engine.inbox import JobKey
from mastercontrol.engine.ports import Delivery

DROPPED_KEPT: Final = 10_000
"""Jobs whose end is remembered, for events that come late."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A result and the delivery that is to be settled once it is dealt with."""

    result: Result
    delivery: Delivery


@dataclass(slots=True)
class Cell:
    """One Job's place in the engine.

    `job` is the newest object known. `must_read`: do not trust it, read it first. `confirmed` maps the ids of the
    last dispatches to the epoch in which the broker confirmed them; `resend` are dispatch ids to be sent again.
    `sent_for` is the revision that the confirmed ones are steps of: a Workflow may be edited before the first write.
    `children` are the names of the child Jobs that it waited for after its last turn, by dispatch id; `told` are those
    of them that have ended since, by name.
    """

    key: JobKey
    job: Job | None = None
    letters: list[Letter] = field(default_factory=list)
    must_read: bool = False
    running: bool = False
    wanted: bool = False
    failures: int = 0
    confirmed: dict[str, str] = field(default_factory=dict)
    sent_for: str | None = None
    resend: set[str] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None
    pools: tuple[str, ...] = ()
    children: dict[str, str] = field(default_factory=dict)
    told: dict[str, Job] = field(default_factory=dict)
    heartbeats: Heartbeats = field(default_factory=Heartbeats)

    def knows(self, uid: str, resource_version: int) -> bool:
        """Whether this version of the object, or a newer one, is known."""
        return self.job is not None and self.job.uid == uid and resource_version <= version(self.job)

    def learn(self, job: Job) -> bool:
        """Take a newer object; False where it is older than, or the same as, what is known.

        A watch event may be older than the answer to our own write, which is the newer truth.
        """
        if self.knows(job.uid, version(job)):
            return False
        if self.job is not None and self.job.uid != job.uid:
            if version(job) < version(self.job):
                return False
            self.confirmed.clear()
            self.resend.clear()
            self.heartbeats.reset()
        self.job = job
        return True

    def confirm(self, dispatch_id: str, epoch: str) -> None:
        """Remember that the broker has a dispatch."""
        self.resend.discard(dispatch_id)
        self.confirmed[dispatch_id] = epoch
        active = 0 if self.job is None or self.job.status is None else len(self.job.status.active)
        while len(self.confirmed) > max(4, 2 * len(self.pools), 2 * active):
            del self.confirmed[next(iter(self.confirmed))]

    def drain(self) -> list[Letter]:
        """Take what came."""
        letters, self.letters = self.letters, []
        return letters

    def put_back(self, letters: Iterable[Letter]) -> None:
        """Put back what was not dealt with, before what came meanwhile."""
        self.letters = [*letters, *self.letters]

    def cancel_timer(self) -> None:
        """Forget when to wake."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def version(job: Job) -> int:
    """A Job's resourceVersion as a number: the API promises that they can be compared within one kind."""
    return int(job.resource_version or 0)


class Mailboxes:
    """All cells, by key and by uid, and how many steps are out in each pool."""

    def __init__(self) -> None:
        self._cells: dict[JobKey, Cell] = {}
        self._keys: dict[str, JobKey] = {}
        self._uids: dict[JobKey, str] = {}
        self._outstanding: Counter[JobKey] = Counter()
        self._dropped: OrderedDict[str, int] = OrderedDict()

    def __iter__(self) -> Iterator[Cell]:
        return iter(list(self._cells.values()))

    def cell(self, key: JobKey) -> Cell:
        """The cell of a Job, made if there is none."""
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Cell(key)
            metrics.JOBS_ACTIVE.set(len(self._cells))
        return cell

    def find(self, key: JobKey) -> Cell | None:
        """The cell of a Job, if there is one."""
        return self._cells.get(key)

    def jobs_of(self, namespace: str, workflow: str) -> list[Job]:
        """The Jobs of a Workflow that are known."""
        jobs = (cell.job for cell in self._cells.values() if cell.key[0] == namespace and cell.job is not None)
        return [job for job in jobs if job.spec.workflow == workflow]

    def key_of(self, uid: str) -> JobKey | None:
        """Which Job has a uid, as far as is known here."""
        return self._keys.get(uid)

    def index(self, job: Job) -> None:
        """Let a Job be found by its uid."""
        key = (job.namespace, job.name)
        before = self._uids.get(key)
        if before is not None and before != job.uid:
            self._keys.pop(before, None)  # the name was taken again
        self._keys[job.uid], self._uids[key] = key, job.uid

    def drop(self, cell: Cell) -> None:
        """Forget a Job that ended or is gone."""
        cell.cancel_timer()
        self.set_outstanding(cell, ())
        if self._cells.get(cell.key) is cell:
            del self._cells[cell.key]
            metrics.JOBS_ACTIVE.set(len(self._cells))
        indexed = self._uids.pop(cell.key, None)
        if indexed is not None:
            self._keys.pop(indexed, None)
        if cell.job is not None:
            self._dropped[cell.job.uid] = version(cell.job)
            while len(self._dropped) > DROPPED_KEPT:
                self._dropped.popitem(last=False)

    def is_old(self, job: Job) -> bool:
        """Whether a watch event tells less of a Job than was known when it was dropped: the watch may be behind."""
        return version(job) <= self._dropped.get(job.uid, -1)

    def set_outstanding(self, cell: Cell, pools: tuple[str, ...]) -> set[str]:
        """Note which pools have a step of this Job; the pools that have one more than before."""
        before, after = Counter(cell.pools), Counter(pools)
        cell.pools = pools
        for pool in before | after:
            key = (cell.key[0], pool)
            self._outstanding[key] += after[pool] - before[pool]
            metrics.OUTSTANDING.labels(*key).set(self._outstanding[key])
        return set(after - before)

    def outstanding(self, namespace: str, pool: str) -> int:
        """Steps of a pool that are sent and not answered."""
        return self._outstanding[(namespace, pool)]
