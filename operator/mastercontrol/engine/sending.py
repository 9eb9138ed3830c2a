"""Which step messages a decision sends, and whether before or after its commit. Pure; `decide` calls it.

Three rules, each with its reason:
- what a result made due is sent after the commit and before the result's acknowledgement: a crash in between brings
  the result back, and with it the message;
- what time or the user made due has no result behind it: it is committed without `dispatched_at`, then sent, then
  marked, so a crash leaves an entry that the next start sends;
- only what is committed is sent early (but for the very first steps): a worker's answer to anything else would be
  ahead of its job.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from mastercontrol.api.job import Job
from mastercontrol.api.status import ActiveStep, JobStatus
from mastercontrol.api.values import format_time
from mastercontrol.engine.facts import Dispatch, Facts
from mastercontrol.engine.flow import Flow
from mastercontrol.engine.scopes import name_of
from mastercontrol.workflow.definition import TaskState
from mastercontrol_worker.contract import JobRef, StepMessage, dispatch_id


class Sender:
    """The messages of one decision. `epoch` is what the status is to be stamped with, where that changes."""

    def __init__(self, job: Job, was: JobStatus, facts: Facts, flow: Flow, *, suspended: bool) -> None:
        self.job = job
        self.was = {a.path: a for a in was.active}
        self.facts = facts
        self.flow = flow
        self.suspended = suspended
        self.first: list[Dispatch] = []
        self.after: list[Dispatch] = []

    def id(self, entry: ActiveStep) -> str:
        """The dispatch id of an entry."""
        return dispatch_id(self.job.uid, entry.seq, entry.attempt)

    def task(self, entry: ActiveStep) -> TaskState | None:
        """The Task state of an entry; None where it is in another kind of state."""
        state = self.flow.definition.find(entry.path)
        return state if isinstance(state, TaskState) else None

    def hand_over(self) -> bool:
        """Send after the commit what the result just taken made due; whether anything is."""
        sent = False
        for path in self.flow.due:
            entry = self.flow.active[path]
            task = self.task(entry)
            if task is None or self.suspended or not self.facts.pool_known(task.pool):
                continue
            self.after.append(self._message(self._mark(entry, task), task))
            sent = True
        self.flow.due.clear()
        return sent

    def begin(self, *, sent_before: bool) -> bool:
        """Send before the commit what the beginning made due; whether anything is with the broker then."""
        sent = False
        for path in self.flow.due:
            entry = self.flow.active[path]
            task = self.task(entry)
            if task is None or not self.facts.pool_known(task.pool):
                continue
            self._early(self._mark(entry, task), task, sent_before=sent_before)
            sent = True
        self.flow.due.clear()
        return sent

    def send_due(self, stamp: str | None) -> str | None:
        """Send what is committed and not known to be sent; the epoch to stamp the status with."""
        if self.facts.epoch is None or self.flow.ended:
            return stamp
        another_broker, all_sent = stamp != self.facts.epoch, True
        for entry in list(self.flow.active.values()):
            if entry.dispatched_at is not None and not another_broker and self.id(entry) not in self.facts.resend:
                continue
            task = self.task(entry)
            if task is None:
                continue
            if entry != self.was.get(entry.path):
                all_sent = False
            elif entry.dispatched_at is None:
                if not self.is_held(entry) and self.facts.pool_known(task.pool):
                    self._early(self._mark(entry, task), task, sent_before=False)
            elif self.id(entry) in self.facts.resend or (another_broker and self.id(entry) not in self.facts.confirmed):
                all_sent = self._again(entry, task) and all_sent
        with_broker = any(a.dispatched_at and self.task(a) for a in self.flow.active.values())
        return self.facts.epoch if another_broker and all_sent and with_broker else stamp

    def republish(self, entry: ActiveStep) -> bool:
        """A stale result asks for what it caused: send it, unless it surely was or will be."""
        task = self.task(entry)
        if task is None or entry.dispatched_at is None or self.id(entry) in self.facts.confirmed:
            return False
        if any(d.message.id == self.id(entry) for d in (*self.first, *self.after)):
            return False
        self.after.append(self._message(entry, task))
        return True

    def drop_answered(self) -> None:
        """Do not send what was answered, or ended, within this turn.

        None of `first` is: the turn that begins a job takes no results, and in others `send_due` comes last.
        """
        if self.after:
            alive = {self.id(a) for a in self.flow.active.values()}
            self.after = [d for d in self.after if d.message.id in alive]

    def is_held(self, entry: ActiveStep) -> bool:
        """Whether an entry may not be sent yet."""
        early = entry.not_before is not None and entry.not_before > self.facts.now
        return early or self.suspended

    def _mark(self, entry: ActiveStep, task: TaskState) -> ActiveStep:
        now, timeout = self.facts.now, task.timeout_seconds
        deadline = None if timeout is None else now + dt.timedelta(seconds=timeout)
        marked = replace(entry, dispatched_at=now, deadline=deadline)
        self.flow.active[entry.path] = marked
        return marked

    def _early(self, entry: ActiveStep, task: TaskState, *, sent_before: bool) -> None:
        """Before the commit, unless that was done already and only the commit did not get through."""
        if not sent_before and self.id(entry) not in self.facts.confirmed:
            self.first.append(self._message(entry, task))

    def _again(self, entry: ActiveStep, task: TaskState) -> bool:
        if not self.facts.pool_known(task.pool):
            return False
        again = self._message(entry, task)
        # A stale cause may have asked for the same in this turn; one publish serves both.
        self.after = [d for d in self.after if d.message.id != again.message.id]
        self.first.append(again)
        return True

    def _message(self, entry: ActiveStep, task: TaskState) -> Dispatch:
        deadline = None if entry.deadline is None else format_time(entry.deadline)
        ref = JobRef(self.job.namespace, self.job.name, self.job.uid)
        # It was evaluated when the state was entered, and its block stands still since.
        data = self.flow.scopes.input(entry.path)
        beat = task.heartbeat_seconds
        step = StepMessage(
            self.id(entry), ref, name_of(entry.path), entry.attempt, data, deadline, heartbeat_seconds=beat
        )
        return Dispatch(task.pool, step, high=self.job.spec.priority > 0)
