"""One turn: gather, decide, commit, act, acknowledge. The order is the protocol; each arrow of it is kept here.

A turn either gets through or raises; what it did not get through with is put back by the engine and tried again.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mastercontrol import metrics
from mastercontrol.api.job import Job, parse_job
from mastercontrol.api.names import API_VERSION, KIND_JOB, Reason, ResultReason
from mastercontrol.api.status import JobStatus
from mastercontrol.engine.beginning import would_begin
from mastercontrol.engine.commit import status_patch
from mastercontrol.engine.decide import decide
from mastercontrol.engine.definitions import Definitions, Found
from mastercontrol.engine.facts import Decision, Dispatch, Facts, Kept, Limits, Missing, NoParent, Note, Unusable
from mastercontrol.engine.family import Family, waited_for
from mastercontrol.engine.gate import Gate
from mastercontrol.engine.heartbeats import Attention
from mastercontrol.engine.mailbox import Cell, Letter
from mastercontrol.engine.ports import (
    Broker,
    BrokerUnavailable,
    Gone,
    JobStore,
    PoolDirectory,
    RawObject,
    Refused,
    Reporter,
    Unroutable,
)
from mastercontrol.engine.workers import sent
from mastercontrol.workflow.definition import Definition, TaskState

log = logging.getLogger(__name__)

MAX_ROUNDS: Final = 16
"""How often one turn decides again after a refused write before it lets others go first."""

PUBLISHED_AT_ONCE: Final = 64
"""Publishes of one turn that wait for their confirms at once. More would let one job hold up all others."""


class Contended(Exception):
    """The Job was changed by somebody else each time this turn wanted to write."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What a turn works with: the two stores, the clock, the dice."""

    jobs: JobStore
    broker: Broker
    definitions: Definitions
    pools: PoolDirectory
    reporter: Reporter
    clock: Callable[[], dt.datetime]
    random: Callable[[], float]
    limits: Limits


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a turn leaves: the Job as it is now (None: gone), when to wake it, and which pools hold its steps.

    `children` are the names of the child Jobs that it waits for, by dispatch id.
    """

    job: Job | None
    wake_at: dt.datetime | None = None
    pools: tuple[str, ...] = ()
    children: Mapping[str, str] = field(default_factory=dict)


async def take_turn(
    cell: Cell,
    letters: Sequence[Letter],
    outside: Outside,
    gate: Gate,
    late_from: dt.datetime | None,
    family: Family,
    attention: Attention | None = None,
) -> Outcome:
    """Take one turn for the Job of a cell, with the results that came for it. `late_from`: see `Facts`.

    `attention` begins anew where the turn finds that heartbeats do not come through.

    Every letter is settled or back in the cell when it returns. When it raises, none is settled.

    :raises StoreError, BrokerError, Contended: the turn did not get through.
    """
    began = time.perf_counter()
    turn = _Turn(cell, list(letters), outside, gate, late_from, family, attention or Attention())
    outcome = await turn.run()
    metrics.TURNS.observe(time.perf_counter() - began)
    return outcome


class _Turn:
    def __init__(
        self,
        cell: Cell,
        letters: list[Letter],
        outside: Outside,
        gate: Gate,
        late_from: dt.datetime | None,
        family: Family,
        attention: Attention,
    ) -> None:
        self.cell = cell
        self.letters = letters
        self.outside = outside
        self.gate = gate
        self.late_from = late_from
        self.fresh = False
        self.family = family
        self.created: dict[str, Unusable | None] = {}  # by dispatch id; None: it is there
        self.read_without_parent = False
        self.attention = attention
        self.listened = False

    async def run(self) -> Outcome:
        job = self.cell.job
        if job is None or self.cell.must_read:
            job = await self._read()
        for _ in range(MAX_ROUNDS):
            if job is None:
                self._settle([ResultReason.JOB_GONE] * len(self.letters))
                return Outcome(None)
            facts = await self._gather(job)
            decision = decide(job, [letter.result for letter in self.letters], facts)
            if decision.read_again or decision.listen or self._lost_its_parent(facts):
                job = await self._learn_more(job, decision)
                continue
            if await self._create(decision):
                continue  # not all can be: decide again
            # A dispatch that no result stands behind is published before the write that says so.
            await self._publish(decision.publish_first, "due")
            try:
                after = await self._commit(job, decision)
            except Refused:
                metrics.COMMITS.labels("refused").inc()
                job = await self._read()
                continue
            except Gone:
                job = None
                continue
            # What a result made due is published after the write that made it so, and before the result's ack.
            await self._act(decision)
            if decision.delete:
                await self.outside.jobs.delete(after.namespace, after.name, after.uid)
            self._report(after, decision.notes)
            # Last, so that a turn that raises has settled nothing.
            self._settle(decision.verdicts, again=decision.status is not None)
            if decision.delete:
                return Outcome(None)
            children = waited_for(after, facts.definition)
            return Outcome(after, decision.wake_at, _pools(after, facts.definition), children)
        raise Contended(f"{self.cell.key} was changed {MAX_ROUNDS} times during one turn")

    async def _read(self) -> Job | None:
        # Before the call: what asks for a read while the answer is under way asks for another one.
        self.cell.must_read = False
        try:
            raw = await self.outside.jobs.read(*self.cell.key)
        except Exception:
            self.cell.must_read = True
            raise
        self.fresh = True
        if raw is None:
            return None
        job = parse_job(raw)
        self.cell.learn(job)
        self.gate.observe(job)
        return job

    async def _learn_more(self, job: Job, decision: Decision) -> Job | None:
        """Read; or hear what is under way before a step is called silent. Else silence says nothing."""
        if decision.read_again or not decision.listen:
            return await self._read()
        self.listened = await self.outside.broker.heard_all()
        if not self.listened:
            self.attention.begin(self.outside.clock())
        return job

    async def _gather(self, job: Job) -> Facts:
        definition = await self._definition(job)
        unknown = [p for p in _pools_ahead(definition) if not self.outside.pools.known(job.namespace, p)]
        found = {p for p in unknown if await self.outside.pools.find(job.namespace, p)}
        epoch = self.outside.broker.epoch
        facts = Facts(
            now=self.outside.clock(),
            jitter=self.outside.random(),
            epoch=epoch,
            definition=definition,
            pool_known=lambda pool: pool in found or self.outside.pools.known(job.namespace, pool),
            fresh=self.fresh,
            confirmed=self._confirmed(job, definition, epoch),
            resend=frozenset(self.cell.resend),
            late_from=self.late_from,
            limits=self.outside.limits,
            children={
                **await self.family.children(self.cell, job, definition),
                **{id_: why for id_, why in self.created.items() if why is not None},
            },
            parent=await self.family.parent(job),
            heard=self.cell.heartbeats.heard(
                self.attention.since, self.outside.limits.heartbeat_seconds, complete=self.listened
            ),
            workers=lambda pool: self.outside.pools.workers(job.namespace, pool),
        )
        if job.asked and job.status is not None and job.status.ended:
            workflow = await self.outside.definitions.current(job.namespace, job.spec.workflow)
            return replace(facts, place=self.gate.place_again(job, workflow))
        # The last thing before the decision: what the gate says is true until something else is awaited.
        wants = would_begin(job, [letter.result for letter in self.letters], facts)
        return replace(facts, place=self.gate.place(job, definition, wants=wants))

    def _lost_its_parent(self, facts: Facts) -> bool:
        """Whether the Job is to be read once more: who deletes a parent alone first makes its children nobody's."""
        first, self.read_without_parent = not self.read_without_parent, isinstance(facts.parent, NoParent)
        return first and self.read_without_parent

    async def _create(self, decision: Decision) -> bool:
        """Create the children that a decision says are there; whether one cannot be."""
        new = [child for child in decision.create if child.id not in self.created]
        refused = await self.family.create(new)
        self.created |= {child.id: refused.get(child.id) for child in new}
        return bool(refused)

    def _confirmed(self, job: Job, definition: Found, epoch: str | None) -> frozenset[str]:
        if not isinstance(definition, Missing) and self.cell.sent_for != definition.revision:
            # What was sent first, under the same id, may have been a step of the Workflow as it was before an edit.
            self.cell.confirmed.clear()
            self.cell.sent_for = definition.revision
        found = frozenset(i for i, e in self.cell.confirmed.items() if e == epoch)
        begun = job.status is not None and job.status.sequence > 0
        if begun or isinstance(definition, Missing):
            return found
        # Only the answer to a first step that is the first state is known again if the beginning was held up
        # meanwhile, so that it need not be sent again.
        return found if isinstance(definition.states[definition.start], TaskState) else frozenset()

    async def _definition(self, job: Job) -> Found:
        status = job.status
        if status is not None and status.ended and not (job.asked and status.revision):
            return Missing(Reason.COMPLETED, "the job has ended")  # nothing of it is looked at
        if status is None or status.revision is None:
            return await self.outside.definitions.current(job.namespace, job.spec.workflow)
        return await self.outside.definitions.pinned(job.namespace, status.revision)

    async def _commit(self, job: Job, decision: Decision) -> Job:
        if decision.status is None:
            return job
        patch = status_patch(job, decision.status)
        try:
            raw = await self.outside.jobs.patch_status(job.namespace, job.name, patch)
        except Exception:
            self.cell.must_read = True  # without an answer nobody knows which object is the newest
            raise
        metrics.COMMITS.labels("done").inc()
        _count(job.status, decision.status)
        after = parse_job(raw, decision.status)
        self.cell.learn(after)
        if after.generation != job.generation:
            self.cell.wanted = True  # the user changed it meanwhile, and the watch will tell us nothing new
        self.gate.observe(after)
        if decision.shows_heartbeats:
            self.cell.heartbeats.shown_at = self.outside.clock()
        return after

    async def _act(self, decision: Decision) -> None:
        # If this process lives and the publish fails, the dispatch is owed even if no result comes again.
        self.cell.resend.update(d.message.id for d in decision.publish)
        await self._publish(decision.publish, "result")

    async def _publish(self, dispatches: Sequence[Dispatch], why: str) -> None:
        """Publish all, many at once: a broker confirms a hundred in little more time than one.

        Who waits for a confirm is not told to give up when another one fails: it would have to be sent again for it.
        """
        for start in range(0, len(dispatches), PUBLISHED_AT_ONCE):
            some = dispatches[start : start + PUBLISHED_AT_ONCE]
            outcomes = await asyncio.gather(*(self._send(each, why) for each in some), return_exceptions=True)
            for outcome in outcomes:
                if outcome is not None:
                    raise outcome

    async def _send(self, dispatch: Dispatch, why: str) -> None:
        epoch = self.outside.broker.epoch
        try:
            await self.outside.broker.publish(self.cell.key[0], dispatch.pool, dispatch.message, high=dispatch.high)
        except Unroutable:
            metrics.PUBLISH_FAILURES.labels("unroutable").inc()
            raise
        except BrokerUnavailable:
            metrics.PUBLISH_FAILURES.labels("unavailable").inc()
            raise
        metrics.DISPATCHES.labels(why).inc()
        if epoch is not None and epoch == self.outside.broker.epoch:
            self.cell.confirm(dispatch.message.id, epoch)

    def _settle(self, verdicts: Sequence[ResultReason | Kept], *, again: bool = False) -> None:
        kept = []
        for letter, verdict in zip(self.letters, verdicts, strict=True):
            if isinstance(verdict, Kept):
                kept.append(letter)
                continue
            letter.delivery.ack()
            metrics.RESULTS.labels(verdict.value).inc()
        self.cell.put_back(kept)
        # A kept result waits for a write. If this turn wrote, the next one can take it.
        self.cell.wanted = self.cell.wanted or (again and bool(kept))

    def _report(self, job: Job, notes: Sequence[Note]) -> None:
        for note in notes:
            self.outside.reporter.warn(job_reference(job), note.reason.value, note.message)


def job_reference(job: Job) -> RawObject:
    """As much of a Job as an Event needs to name it."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND_JOB,
        "metadata": {
            "namespace": job.namespace,
            "name": job.name,
            "uid": job.uid,
            "resourceVersion": job.resource_version,
        },
    }


def _pools_ahead(definition: Found) -> set[str]:
    """The pools that this turn could send a step to."""
    return set() if isinstance(definition, Missing) else {task.pool for task in definition.tasks()}


def _pools(job: Job, definition: Definition | Missing) -> tuple[str, ...]:
    """The pools that a Job's steps are with, one entry a step."""
    if isinstance(definition, Missing) or job.status is None:
        return ()
    return tuple(pool for _, pool in sent(job.status, definition))


def _count(before: JobStatus | None, after: JobStatus) -> None:
    moved = after.sequence - (before.sequence if before else 0)
    metrics.TRANSITIONS.inc(moved)
    if after.ended and moved:
        metrics.JOBS_ENDED.labels(after.phase.value).inc()
