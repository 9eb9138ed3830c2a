"""What time and a user's signals do to a job, and when it is to be looked at again.

A part of `decide`, pure as that is: what the time is stands in Facts.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from mastercontrol.api.names import Phase, Reason
from mastercontrol.api.status import ActiveStep, JobError, Outcome
from mastercontrol.engine import moves, silence
from mastercontrol.engine.draft import Draft
from mastercontrol.engine.facts import Missing, Note
from mastercontrol.engine.flow import Flow
from mastercontrol.engine.workers import lacking_at
from mastercontrol.workflow.definition import (
    MapState,
    ParallelState,
    SignalState,
    SubJobState,
    TaskState,
    WaitState,
)
from mastercontrol.workflow.machine import step_of
from mastercontrol_worker.contract import StepError


class Timing(Draft):
    """A decision that looks at the clock."""

    def _follow_clock(self) -> None:
        if self._has_ended or self.status.sequence == 0:
            return
        limit, started = self.job.spec.active_deadline_seconds, self.status.start_time
        if self._may_expire and limit and started and started + dt.timedelta(seconds=limit) <= self.facts.now:
            message = f"the job was active for longer than its {limit} s (activeDeadlineSeconds)"
            reason = Reason.DEADLINE_EXCEEDED
            error = JobError(reason.value, message, step_of(self.status.state))
            if self.flow is None or not self.flow.stop(Outcome(Phase.FAILED, 0, error=error), reason, message):
                self._absorb()
                cause = StepError(reason, message, retryable=False)
                self.status = moves.fail(self.status, self.facts, cause, None, "")
                self._unload()
            self.notes.append(Note(reason, message))
        elif self.flow is not None and self.was.sequence > 0:
            self._move_by_time(self.flow)
        elif self.flow is None:
            late = next((a for a in self.status.active if self._is_late(a)), None)
            if late is not None:  # and nobody knows any more whether another attempt would be allowed
                self._give_up(StepError(Reason.STEP_TIMEOUT, "no result before its deadline"), late)

    @property
    def _may_expire(self) -> bool:
        """Whether the job's active deadline counts: not while it is suspended, nor while it closes."""
        closing = self.status if self.flow is None else self.flow.closing
        return not self._suspended and closing.outcome is None

    def _move_by_time(self, flow: Flow) -> None:
        """What time or a signal makes due is committed first; the next turn sends it."""
        for entry in self.was.active:
            if flow.ended or flow.active.get(entry.path) != entry:
                continue  # it moved already in this turn
            overdue = entry.deadline is not None and entry.deadline <= self.facts.now
            silent = silence.is_silent(entry, self.was, self.facts)
            if entry.dispatched_at is not None and not overdue and not silent:
                continue  # it is with its worker
            come = entry.not_before is not None and entry.not_before <= self.facts.now
            match flow.definition.find(entry.path):
                case TaskState() if silent or self._is_late(entry):
                    self._time_out(flow, entry)
                case SignalState(signal=name):
                    self._signal(flow, entry, name, overdue=overdue)
                case SubJobState() if self._is_late(entry):
                    flow.fail(entry, StepError(Reason.STEP_TIMEOUT, "its Job did not end before the deadline"))
                case WaitState() if come and not self._suspended:
                    flow.come(entry)
                case ParallelState() | MapState() if come and not self._suspended:
                    flow.again(entry)
                case _:
                    pass
            flow.due.clear()
        if self.sender is not None:
            self.sender.drop_answered()

    def _time_out(self, flow: Flow, entry: ActiveStep) -> None:
        if self._is_late(entry):
            flow.fail(entry, StepError(Reason.STEP_TIMEOUT, "no result before its deadline"))
        elif self.facts.heard.complete:
            flow.fail(entry, silence.error(entry, self.facts), silence.worker(entry, self.facts))
        else:
            self.listen = True

    def _late_at(self, entry: ActiveStep) -> dt.datetime | None:
        """When a step is to be given up for its deadline; None: not by time alone.

        Without a connection its answer may lie in the results queue, and no other attempt could be sent anyway.
        """
        if entry.deadline is None or entry.dispatched_at is None:
            # Of a Signal. One that came while the job is suspended is taken when it goes on, however late.
            return None if self._suspended and self._is_signalled(entry) else entry.deadline
        return None if self.facts.epoch is None else max(entry.deadline, self.facts.late_from or entry.deadline)

    def _is_late(self, entry: ActiveStep) -> bool:
        late_at = self._late_at(entry)
        return late_at is not None and late_at <= self.facts.now

    def _is_signalled(self, entry: ActiveStep) -> bool:
        """Whether what an entry waits for has been sent already."""
        definition = self.facts.definition
        state = None if isinstance(definition, Missing) else definition.find(entry.path)
        return isinstance(state, SignalState) and self._untaken(state.signal) is not None

    def _is_sub_job(self, entry: ActiveStep) -> bool:
        return self.flow is not None and isinstance(self.flow.definition.find(entry.path), SubJobState)

    def _untaken(self, name: str) -> int | None:
        """The earliest signal of a name that no state has taken yet."""
        taken = set(self.status.signals_taken)
        return next((i for i, s in enumerate(self.job.spec.signals) if s.name == name and i not in taken), None)

    def _signal(self, flow: Flow, entry: ActiveStep, name: str, *, overdue: bool) -> None:
        index = self._untaken(name)
        if index is not None and not self._suspended:
            self.status = replace(self.status, signals_taken=(*self.status.signals_taken, index))
            flow.succeed(entry, self.job.spec.signals[index].payload)
        elif index is None and overdue:
            flow.fail(entry, StepError(Reason.STEP_TIMEOUT, f"no signal {name!r} before its deadline"))

    # -- when to look again

    def _life_is_over(self) -> bool:
        end = self._end_of_life()
        return end is not None and end <= self.facts.now and self.status == self.was

    def _end_of_life(self) -> dt.datetime | None:
        ttl, done = self.job.spec.ttl_seconds_after_finished, self.status.completion_time
        if not self.status.ended or ttl is None or done is None:
            return None
        return done + dt.timedelta(seconds=ttl)

    def _wake_at(self) -> dt.datetime | None:
        if self.job.asked:
            # This turn did nothing else.
            return self.facts.now + dt.timedelta(seconds=1 if self._knows_no_place else 0)
        if self.status.ended:
            return self._end_of_life()
        times = [self._late_at(a) for a in self.status.active]
        times += [silence.silent_at(a, self.status, self.facts) for a in self.status.active]
        times.append(self.shown.look_at)
        if self._of_older_epoch():
            times.append(self.facts.now)
        if not self._suspended:
            times += [self._due_at(a) for a in self.status.active if a.dispatched_at is None]
            if self.flow is not None:
                times.append(lacking_at(self.status, self.flow.definition, self.facts))
            limit, started = self.job.spec.active_deadline_seconds, self.status.start_time
            if limit and started and self.status.outcome is None:
                times.append(started + dt.timedelta(seconds=limit))
        return min((t for t in times if t is not None), default=None)

    def _due_at(self, entry: ActiveStep) -> dt.datetime | None:
        """When time makes an entry due that is not sent. What waits for a connection or a pool hears of these."""
        new = entry != self.was_active.get(entry.path)
        if entry.not_before is not None and (new or entry.not_before > self.facts.now):
            return entry.not_before
        if new and (self._is_signalled(entry) or self._is_sub_job(entry)):
            return self.facts.now
        task = None if self.sender is None else self.sender.task(entry)
        if new and task is not None and self.facts.pool_known(task.pool):
            return self.facts.now
        return None

    def _of_older_epoch(self) -> bool:
        """Whether this turn leaves dispatches that the broker of now may not have: the next one sends them again.

        It happens where a result of the last connection is applied after the broker came back without its data.
        """
        stamp, epoch = self.status.broker_epoch, self.facts.epoch
        sent = any(a.dispatched_at is not None and self._is_task(a) for a in self.status.active)
        return epoch is not None and stamp != epoch and sent and self.status != self.was
