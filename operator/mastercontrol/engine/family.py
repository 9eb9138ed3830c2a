"""Parents and children at work: what is known of them in memory, what is read where it is not, and who looks again.

The engine calls it, and each turn does through it what `subjobs` decides. Telling others to look is only what makes it
quick after the first look: a Job that is not in memory is not told, as it looks when it comes there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from mastercontrol.api.family import Parent, parent_of
from mastercontrol.api.job import Job, parse_job
from mastercontrol.api.names import Reason
from mastercontrol.api.status import ActiveStep
from mastercontrol.api.values import InvalidObject
from mastercontrol.engine import subjobs
from mastercontrol.engine.definitions import Found
from mastercontrol.engine.facts import Absent, ChildState, Missing, NewChild, NoParent, Running, Unusable
from mastercontrol.engine.mailbox import Cell, Mailboxes
from mastercontrol.engine.ports import Forbidden, JobStore, RawObject, Refused, Rejected
from mastercontrol_worker.contract import dispatch_id

T = TypeVar("T")

AT_ONCE: Final = 16
"""Children that one turn reads or creates at a time."""


class Family:
    """What the turns of one engine ask of other Jobs, and tell them."""

    def __init__(
        self,
        mailboxes: Mailboxes,
        jobs: JobStore,
        observe: Callable[[RawObject], None],
        want: Callable[[Cell], None],
    ) -> None:
        """`observe` takes a Job that was read or created; `want` gives the Job of a cell a turn."""
        self._mailboxes = mailboxes
        self._jobs = jobs
        self._observe = observe
        self._want = want

    # -- what a turn gathers

    async def children(self, cell: Cell, job: Job, definition: Found) -> dict[str, ChildState]:
        """What has become of the children that were created, by dispatch id.

        :raises StoreUnavailable: no answer.
        """
        if job.status is None or isinstance(definition, Missing):
            return {}
        made = [e for e, _ in subjobs.entries(job.status, definition) if e.dispatched_at is not None]
        found = {_id(job, e): self._remembered(cell, job, e) for e in made}
        unknown = [e for e in made if found[_id(job, e)] is None]
        for at in range(0, len(unknown), AT_ONCE):
            some = unknown[at : at + AT_ONCE]
            read = await _all(*(self._read_child(job, e) for e in some))
            found |= {_id(job, e): state for e, state in zip(some, read, strict=True)}
        return {id_: state for id_, state in found.items() if state is not None}

    def _remembered(self, cell: Cell, job: Job, entry: ActiveStep) -> ChildState | None:
        """A child that is in memory. It may have ended since: then it is told."""
        name = subjobs.child_name(job, entry)
        told = cell.told.get(name)
        if told is not None and subjobs.is_child(job, entry, told.parent):
            return subjobs.child_state(told)
        its = self._mailboxes.find((job.namespace, name))
        if its is None or its.must_read or its.job is None or not subjobs.is_child(job, entry, its.job.parent):
            return None
        return subjobs.child_state(its.job)

    async def _read_child(self, job: Job, entry: ActiveStep) -> ChildState:
        raw = await self._jobs.read(job.namespace, subjobs.child_name(job, entry))
        if raw is None or not subjobs.is_child(job, entry, parent_of(raw["metadata"])):
            return Absent()
        try:
            child = parse_job(raw)
        except InvalidObject:
            return Running("this operator cannot read it")  # a newer one may
        state = subjobs.child_state(child)
        if isinstance(state, Running):
            self._observe(raw)  # so that it can tell of its end
        return state

    async def parent(self, job: Job) -> Job | NoParent | None:
        """Who waits for a child; None: it is nobody's, it has ended, or it is not known.

        :raises StoreUnavailable: no answer.
        """
        parent = job.parent
        if parent is None or (job.status is not None and job.status.ended):
            return None
        cell = self._mailboxes.find((job.namespace, parent.name))
        if cell is not None and not cell.must_read and cell.job is not None and _has_seen(cell.job, parent):
            return cell.job
        raw = await self._jobs.read(job.namespace, parent.name)
        if raw is None or raw["metadata"].get("uid") != parent.uid:
            return NoParent()
        try:
            return parse_job(raw)
        except InvalidObject:
            return None

    # -- what a turn does

    async def create(self, new: Sequence[NewChild]) -> dict[str, Unusable]:
        """Create children; those that cannot be, by dispatch id. One that is there already is a success.

        :raises StoreError: some may be created, others not.
        """
        refused: dict[str, Unusable] = {}
        for at in range(0, len(new), AT_ONCE):
            some = new[at : at + AT_ONCE]
            found = await _all(*(self._create(child) for child in some))
            refused |= {child.id: why for child, why in zip(some, found, strict=True) if why is not None}
        return refused

    async def _create(self, new: NewChild) -> Unusable | None:
        meta = new.manifest["metadata"]
        try:
            raw = await self._jobs.create(new.manifest)
        except Refused:
            found = await self._jobs.read(meta["namespace"], meta["name"])
            if found is None:
                raise  # it was deleted just now, or it was another conflict than that
            if parent_of(found["metadata"]) != parent_of(meta):
                text = f"there is a Job {meta['name']!r} already, and it is not this job's"
                return Unusable(Reason.SUB_JOB_CONFLICT, text)
            raw = found
        except Forbidden:
            raise
        except Rejected as error:
            return Unusable(Reason.SUB_JOB_REJECTED, f"the API server refuses the Job {meta['name']!r}: {error}")
        self._observe(raw)
        return None

    # -- who is to look again

    def ended(self, child: Job) -> None:
        """A Job ended: if somebody waits for it, that one looks."""
        self._tell(child.namespace, child.parent, child)

    def gone(self, raw: RawObject, cell: Cell | None) -> None:
        """A Job was deleted: its parent and its children look. `raw` is as much of it as is known."""
        meta = raw["metadata"]
        known = cell.job if cell is not None and cell.job is not None and cell.job.uid == meta.get("uid") else None
        self._tell(meta.get("namespace", "default"), known.parent if known is not None else parent_of(meta))
        if known is not None and cell is not None:
            self._poke(cell, cell.children)

    def settle(self, cell: Cell, children: Mapping[str, str]) -> None:
        """A turn is over, and these are the children that the Job waits for now, by dispatch id: others look."""
        self._poke(cell, {id_: name for id_, name in cell.children.items() if id_ not in children})
        cell.children = dict(children)
        waited = set(children.values())
        cell.told = {name: child for name, child in cell.told.items() if name in waited}

    def _tell(self, namespace: str, parent: Parent | None, child: Job | None = None) -> None:
        """One that is not in memory has ended, or looks when it comes there."""
        cell = None if parent is None else self._mailboxes.find((namespace, parent.name))
        if cell is None:
            return
        if child is not None:
            cell.told[child.name] = child
        self._want(cell)

    def _poke(self, cell: Cell, children: Mapping[str, str]) -> None:
        for name in children.values():
            its = self._mailboxes.find((cell.key[0], name))
            if its is not None:
                self._want(its)


def waited_for(job: Job, definition: Found) -> dict[str, str]:
    """The names of the children that a Job waits for, by dispatch id, those still to be created included."""
    if job.status is None or isinstance(definition, Missing):
        return {}
    return {_id(job, e): subjobs.child_name(job, e) for e, _ in subjobs.entries(job.status, definition)}


def _id(job: Job, entry: ActiveStep) -> str:
    return dispatch_id(job.uid, entry.seq, entry.attempt)


def _has_seen(job: Job, parent: Parent) -> bool:
    """Whether this is the parent, not older than the transition that made the child."""
    return job.uid == parent.uid and job.status is not None and job.status.sequence >= parent.seq


async def _all(*calls: Coroutine[Any, Any, T]) -> list[T]:
    """The answers of calls that are made at once; when one fails the others are waited for."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    done: list[T] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        done.append(answer)
    return done
