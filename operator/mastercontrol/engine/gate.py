"""The gate: which Jobs may begin where their Workflow limits how many run at once (`spec.concurrency`).

Owned by the engine, one per leadership, in memory only. It holds an index of the live Jobs of each limited Workflow,
by key, and is asked in each turn, synchronously. What it promises:

- A place is held by a Job that has begun (`status.sequence` above zero) and has neither ended nor is being deleted:
  that is in the Jobs themselves, so there is no lock that could leak, and a restart forgets nothing.
- A Job is admitted only if fewer than `limit` hold a place or are admitted. To be admitted is a reservation in memory.
  It lasts until the Job has begun, or until it is sure that the write which would begin it did not and will not land:
  a newer version of the Job is known (the write is fenced by the version), or the store refused it for good.
- Nobody is admitted before all Jobs of the namespace were listed once.
- Whoever is first in line is woken when there is a place for him, and nobody else is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import Gauge

from mastercontrol import metrics
from mastercontrol.api.job import Job
from mastercontrol.api.names import LimitPolicy
from mastercontrol.engine import places
from mastercontrol.engine.facts import Missing
from mastercontrol.engine.inbox import JobKey
from mastercontrol.engine.lines import Line, Member, in_line, member_of
from mastercontrol.engine.mailbox import version
from mastercontrol.engine.places import Admitted, Held, NoKey, Place, Replaced
from mastercontrol.engine.scopes import job_variable
from mastercontrol.workflow.concurrency import Concurrency
from mastercontrol.workflow.definition import Definition
from mastercontrol.workflow.expressions import ExpressionError

NEAR: Final = 100
"""So many at the front of a line are told anew whom they wait for, in a turn that is taken anyway."""


@dataclass(slots=True)
class _Group:
    """The live Jobs of one Workflow that has a limit. `held` is its sample of the metric."""

    concurrency: Concurrency
    held: Gauge
    members: dict[str, Member] = field(default_factory=dict)
    lines: dict[str | None, Line] = field(default_factory=dict)
    waiting: int = 0

    def line(self, member: Member) -> Line | None:
        """The line that a Job belongs to; None where it has no key."""
        if member.fault is not None:
            return None
        line = self.lines.get(member.key)
        if line is None:
            line = self.lines[member.key] = Line(self.concurrency, member.key)
        return line

    def count(self, more: int) -> None:
        """So many more wait."""
        if more:
            self.waiting += more
            self.held.set(self.waiting)


class Gate:
    """All limited Workflows. Every method is called on the engine's event loop and does no I/O."""

    def __init__(
        self,
        wake: Callable[[JobKey], None],
        list_jobs: Callable[[str], None],
        known: Callable[[str, str], Iterable[Job]],
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make a gate.

        :param wake: see to it that a Job gets a turn.
        :param list_jobs: begin to list all Jobs of a namespace; `listed` or `not_listed` is called when that is done.
        :param known: the Jobs of a namespace and a Workflow that the engine knows.
        :param leads: whether this process may act as the leader right now.
        """
        self._wake = wake
        self._list_jobs = list_jobs
        self._known = known
        self._leads = leads
        self._groups: dict[JobKey, _Group] = {}
        self._by_job: dict[JobKey, _Group] = {}
        self._listed: set[str] = set()
        self._faults: dict[str, str | None] = {}

    # -- what is known of the Jobs

    def observe(self, job: Job) -> None:
        """The newest known object of a Job, after an event, a read or a write."""
        group = self._groups.get((job.namespace, job.spec.workflow))
        before = self._by_job.get((job.namespace, job.name))
        if before is not None and before.members[job.name].job.uid != job.uid:
            self._remove(before, before.members[job.name])  # the name was taken again, perhaps for another Workflow
        if group is None:
            return
        member = group.members.get(job.name)
        if member is not None and (member.job is job or version(job) < version(member.job)):
            return
        if _is_over(job):
            if member is not None:
                self._remove(group, member)
        elif member is None:
            self._add(group, job)
        else:
            self._change(group, member, job)

    def forget(self, key: JobKey) -> None:
        """A Job is gone, or ended and forgotten by the engine."""
        group = self._by_job.get(key)
        if group is not None:
            self._remove(group, group.members[key[1]])

    def failed(self, key: JobKey, *, unwritten: bool) -> None:
        """A turn of a Job did not get through. `unwritten`: it is sure that what it wanted to write is not written."""
        group = self._by_job.get(key)
        if group is None:
            return
        member = group.members[key[1]]
        if member.admitted is not None and not unwritten:
            member.in_doubt = True
        elif not member.holds and not member.in_doubt:
            # Others need not wait for it: it asks again in its next turn.
            self._leave(group, member)

    def listed(self, namespace: str) -> None:
        """All Jobs of a namespace, as of a moment of this leadership, were observed."""
        self._listed.add(namespace)
        self._faults.pop(namespace, None)
        self._rouse(namespace)

    def not_listed(self, namespace: str, why: str) -> None:
        """They could not be listed; it will be tried again."""
        self._faults[namespace] = why
        self._rouse(namespace)

    # -- what a turn asks

    def place(self, job: Job, definition: Definition | Missing, *, wants: bool) -> Place | None:
        """What the gate says to a Job in its turn; None: nothing, so no limit stands in its way.

        :param definition: what it would begin with now, if it has not begun.
        :param wants: it has not begun, and would in this turn.
        """
        if wants and isinstance(definition, Definition):
            self._follow((job.namespace, job.spec.workflow), definition.concurrency)
        group = self._groups.get((job.namespace, job.spec.workflow))
        if group is None:
            return None
        self.observe(job)
        member = group.members.get(job.name)
        if member is None or member.job.uid != job.uid:
            return None
        member.woken = False
        line = group.line(member)
        if line is None:
            return NoKey(member.fault or "") if wants else None
        if wants:
            return self._ask(group, line, member)
        if not member.holds:
            self._pass_by(group, member)
            return None
        return _replaced(line, member)

    def place_again(self, job: Job, definition: Definition | Missing) -> Held | None:
        """What the gate says to a failed Job that is to go on; None: it may, and has its place from here on.

        It holds the place as what runs does. If it does not go on after all, the write that says so, or the next look
        at it, gives the place back.

        :param definition: what its Workflow is now.
        """
        key = (job.namespace, job.spec.workflow)
        if isinstance(definition, Definition):
            self._follow(key, definition.concurrency)
        group = self._groups.get(key)
        if group is None or job.name in group.members:
            return None
        member = member_of(job, *_key(group.concurrency, job))
        line = group.line(member)
        if line is None:
            return None
        if job.namespace not in self._listed:
            if job.namespace not in self._faults:
                self._faults[job.namespace] = None
                self._list_jobs(job.namespace)
            return places.unlisted(self._faults[job.namespace])
        if line.free <= 0:
            limit, count = line.concurrency.limit, len(line.holders) + len(line.admitted)
            names = line.occupants(places.NAMED)
            return places.held_by(line.key, names, count, limit, replaces=False, is_near=True)
        group.members[job.name] = member
        self._by_job[job.namespace, job.name] = group
        self._put(group, line, member)
        return None

    def _ask(self, group: _Group, line: Line, member: Member) -> Place:
        member.leaving = False
        if member.admitted is not None and line.free < 0 and version(member.job) > member.admitted:
            # The limit was lowered since, and the write that would have begun it can land no more.
            member.admitted = None
            self._put(group, line, member)
        if not member.asked or member.aside:
            member.asked, member.aside = True, False
            self._put(group, line, member)
        namespace = member.job.namespace
        if namespace not in self._listed:
            if namespace not in self._faults:
                self._faults[namespace] = None
                self._list_jobs(namespace)
            return places.unlisted(self._faults[namespace])
        found: Place | None = _replaced(line, member)
        if found is None and (member.admitted is not None or _may_begin(line, member)):
            found = self._admit(group, line, member)
        if line.concurrency.policy is LimitPolicy.REPLACE:
            self._call(line)  # that it asks may be what ends others
        return found or _answer(line, member)

    def _admit(self, group: _Group, line: Line, member: Member) -> Place:
        if not self._leads():
            return Held(None)  # this process is about to end; the next leader admits
        member.admitted = version(member.job)
        self._put(group, line, member)
        return Admitted()

    def _pass_by(self, group: _Group, member: Member) -> None:
        """Its turn found that it can't begin: it does not stand in the way of others."""
        if member.admitted is not None and member.admitted == version(member.job):
            member.leaving = (
                True  # a write of this version may still land: until there is a newer one, it has the place
            )
            return
        self._leave(group, member)

    # -- how the lines change

    def _add(self, group: _Group, job: Job) -> None:
        key, fault = _key(group.concurrency, job)
        member = group.members[job.name] = member_of(job, key, fault)
        self._by_job[job.namespace, job.name] = group
        line = group.line(member)
        if line is not None:
            self._put(group, line, member)

    def _change(self, group: _Group, member: Member, job: Job) -> None:
        if job.spec.suspend != member.job.spec.suspend or job.spec.cancel != member.job.spec.cancel:
            member.asked = False  # what can't begin takes no place from others; resumed, it asks in its turn
        is_newer = version(job) > version(member.job)
        member.job = job
        member.in_doubt = member.in_doubt and not is_newer
        if member.holds:
            member.admitted, member.leaving = None, False
        elif member.leaving and is_newer:
            self._leave(group, member)
            return
        line = group.line(member)
        if line is None:
            return
        line.look_again()
        if not line.is_in_place(member):
            self._put(group, line, member)
            self._call(line)

    def _leave(self, group: _Group, member: Member) -> None:
        """It stands in line no more, until it asks again."""
        if member.aside and member.admitted is None:
            return
        member.admitted, member.leaving, member.in_doubt, member.asked, member.aside = None, False, False, False, True
        line = group.line(member)
        if line is not None:
            self._put(group, line, member)
            self._call(line)

    def _remove(self, group: _Group, member: Member) -> None:
        del group.members[member.name]
        del self._by_job[member.job.namespace, member.name]
        line = group.line(member)
        if line is not None:
            before = len(line.waiting)
            line.take(member)
            group.count(len(line.waiting) - before)
            self._call(line)
            if line.is_empty:
                del group.lines[line.key]

    def _put(self, group: _Group, line: Line, member: Member) -> None:
        before = len(line.waiting)
        line.put(member)
        group.count(len(line.waiting) - before)

    # -- who is woken

    def _call(self, line: Line) -> None:
        """Wake those that there is a place for now, and those that are to end."""
        for member in line.front(line.free):
            self._wake_once(member)
        for member in line.to_end():
            self._wake_once(member)
        if line.concurrency.policy is LimitPolicy.REJECT and not line.admitted:
            for member in list(line.waiting.values()):
                if member.asked:  # it waited to see whether another one begins
                    self._wake_once(member)

    def _wake_once(self, member: Member) -> None:
        if not member.woken:
            member.woken = True
            self._wake((member.job.namespace, member.name))

    def _rouse(self, namespace: str) -> None:
        """Wake those of a namespace that have something to do or to say now."""
        for (place, _), group in self._groups.items():
            for line in group.lines.values() if place == namespace else ():
                self._call(line)
                for member in list(line.waiting.values()):
                    if member.asked and not member.is_told:
                        self._wake_once(member)

    # -- the Workflows

    def _follow(self, key: JobKey, concurrency: Concurrency | None) -> None:
        """Take the limit of a Workflow as it is now."""
        old = self._groups.get(key)
        if concurrency == (None if old is None else old.concurrency):
            return
        before = self._groups.pop(key).members if old is not None else {}
        for name in before:
            del self._by_job[key[0], name]
        metrics.JOBS_HELD.labels(*key).set(0)
        if concurrency is not None:
            same_key = old is not None and old.concurrency.key == concurrency.key
            self._build(key, concurrency, before, same_key=same_key)
        for member in before.values():
            if not member.holds:  # another answer may be true for each of them now
                self._wake((key[0], member.name))

    def _build(self, key: JobKey, concurrency: Concurrency, before: dict[str, Member], *, same_key: bool) -> None:
        group = self._groups[key] = _Group(concurrency, metrics.JOBS_HELD.labels(*key))
        # In about the order of the lines: what is put at the end of a list costs least.
        for job in sorted(self._known(*key), key=in_line):
            if _is_over(job):
                continue
            self._by_job[key[0], job.name] = group
            member = before.get(job.name)
            if member is None or member.job.uid != job.uid:
                member = member_of(job, *_key(concurrency, job))
            elif not same_key:
                member.key, member.fault = _key(concurrency, job)
            member.job, member.woken, member.rank = job, False, None
            group.members[job.name] = member
            line = group.line(member)
            if line is not None:
                self._put(group, line, member)


def _is_over(job: Job) -> bool:
    """Whether a Job moves no more, so that it holds no place: one that is being deleted is left alone too."""
    return job.deleting or (job.status is not None and job.status.ended)


def _key(concurrency: Concurrency, job: Job) -> tuple[str | None, str | None]:
    """The key of a Job, and why it has none. One that runs without a key takes no place from others."""
    try:
        return concurrency.key_of({"input": job.spec.input, "job": job_variable(job)}), None
    except ExpressionError as error:
        return None, str(error)


def _may_begin(line: Line, member: Member) -> bool:
    if line.free <= 0:
        return False
    # Under Reject nobody waits, so whoever asks first is first.
    return line.concurrency.policy is LimitPolicy.REJECT or line.before(member) < line.free


def _replaced(line: Line, member: Member) -> Replaced | None:
    newer = line.replaced().get(member.name)
    return None if newer is None else places.replaced_by(line.key, newer, line.concurrency.limit)


def _answer(line: Line, member: Member) -> Place:
    limit, policy = line.concurrency.limit, line.concurrency.policy
    if policy is LimitPolicy.REJECT:
        if len(line.holders) < limit:
            return Held(None)  # who is admitted may yet not begin
        return places.rejected_by(line.key, line.occupants(places.NAMED), len(line.holders), limit)
    before = line.before(member)
    if line.free > 0:
        first = [m.name for m in line.front(min(before, places.NAMED))]
        return places.after(line.key, first, before, limit, is_near=before < NEAR)
    count = len(line.holders) + len(line.admitted)
    replaces = policy is LimitPolicy.REPLACE
    names = line.occupants(places.NAMED)
    return places.held_by(line.key, names, count, limit, replaces=replaces, is_near=before < NEAR)
