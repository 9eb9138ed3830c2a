"""The decision: what one turn does for one Job. All policy is here; nothing else in the engine decides.

`decide` is pure. It looks at the Job as it is (level, not edge), so it does not matter which event caused the turn,
whether an event was missed, or how often it came.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

from mastercontrol.api.job import ActiveStep, Job, JobStatus
from mastercontrol.api.names import Phase, Reason, ResultReason
from mastercontrol.engine import moves
from mastercontrol.engine.facts import Decision, Dispatch, Facts, Kept, Missing, Note, Result, Verdict
from mastercontrol.engine.moves import status_bytes
from mastercontrol.workflow.definition import Definition, TaskState
from mastercontrol.workflow.machine import TriggerRefused
from mastercontrol.workflow.retry import backoff_seconds, may_retry
from mastercontrol_worker.contract import Failed, StepError, StepMessage, Succeeded, dispatch_id


def decide(job: Job, results: Sequence[Result], facts: Facts) -> Decision:
    """What to do for a Job that these results came for. Results of another uid are of a Job that is gone."""
    if not facts.fresh and any(result.uid != job.uid for result in results):
        return Decision(read_again=True)  # or of one that has the name since, and is not known here yet
    if job.deleting:
        return Decision(verdicts=(ResultReason.JOB_GONE,) * len(results))
    turn = _Turn(job, facts)
    turn.run(results)
    return turn.decision()


class _Turn:
    """One decision in the making. Lives for one call of `decide`."""

    def __init__(self, job: Job, facts: Facts) -> None:
        self.job = job
        self.facts = facts
        self.was = job.status or JobStatus()
        self.status = self.was
        self.first: list[Dispatch] = []
        self.after: list[Dispatch] = []
        self.verdicts: list[Verdict] = []
        self.notes: list[Note] = []
        self.read_again = False

    def run(self, results: Sequence[Result]) -> None:
        if not self.status.ended:
            self._follow_spec()
        if self._not_begun:
            self._begin(results)
        self.verdicts = [self._take(result) for result in results]
        if self.status.sequence > 0 and not self.status.ended:
            self._follow_clock()
            self._send_due()
            self._explain()

    def decision(self) -> Decision:
        if self.read_again:
            return Decision(read_again=True)
        if self.status != self.was:
            self.status = replace(self.status, observed_generation=self.job.generation)
            self._bound_size()
        return Decision(
            status=None if self.status == self.was else self.status,
            publish_first=tuple(self.first),
            publish=tuple(self.after),
            verdicts=tuple(self.verdicts),
            notes=tuple(self.notes),
            wake_at=self._wake_at(),
            delete=self._life_is_over(),
        )

    # -- the spec: cancel and suspend

    @property
    def _not_begun(self) -> bool:
        """Whether the first step is still to be sent."""
        return not self.status.ended and self.status.sequence == 0

    def _follow_spec(self) -> None:
        now, spec = self.facts.now, self.job.spec
        if spec.cancel:
            self.status = moves.cancel(self.status, self.facts)
        elif spec.suspend and self.status.phase is not Phase.SUSPENDED:
            self.status = moves.suspend(self.status, now)
        elif not spec.suspend and self.status.phase is Phase.SUSPENDED:
            self.status = moves.resume(self.status, now)

    # -- the first step: published before the status that names it is written

    def _begin(self, results: Sequence[Result]) -> None:
        definition = self.facts.definition
        if isinstance(definition, Missing):
            if self.status.phase is not Phase.SUSPENDED:
                self._wait(definition.reason, definition.message)
            return
        state = definition.states[definition.start]
        # One for another step is of a Workflow that was edited before the first write.
        answered = next((r for r in results if self._answers_first(r) and r.step in {None, state.name}), None)
        if answered is not None:
            # Somebody published the first step and died before the write: it need not be sent again.
            self._started(definition, state, answered.epoch)
        elif self.status.phase is Phase.SUSPENDED:
            return
        elif not self.facts.pool_known(state.pool):
            self._wait(Reason.UNKNOWN_POOL, _no_pool(state))
        elif self.facts.epoch is not None:  # without a connection: it will come, and a turn with it
            entry = self._started(definition, state, self.facts.epoch)
            self._send_first(entry, state)

    def _started(self, definition: Definition, state: TaskState, epoch: str) -> ActiveStep:
        started = moves.start(self.status, definition, self.facts)
        entry = self._dispatched(started.active[0], state)
        self.status = replace(started, active=(entry,), broker_epoch=epoch)
        return entry

    def _answers_first(self, result: Result) -> bool:
        return result.uid == self.job.uid and (result.seq, result.attempt) == (1, 1)

    def _wait(self, reason: Reason, message: str) -> None:
        waiting = moves.wait(self.status, reason, message, self.facts.now)
        if waiting != self.status and reason is not Reason.BACK_OFF:
            self.notes.append(Note(reason, message))
        self.status = waiting

    # -- results

    def _take(self, result: Result) -> Verdict:
        if result.uid != self.job.uid:
            return ResultReason.JOB_GONE
        if self.status.ended:
            return ResultReason.STALE
        entry = self._entry(result.seq, result.attempt)
        if entry is not None:
            return self._apply(entry, result) if result.step in {None, entry.path} else ResultReason.FOREIGN
        if self.was.sequence == 0 and self._answers_first(result):
            return Kept()  # the first dispatch is published before the status that knows of it
        return ResultReason.FOREIGN if self._was_never_sent(result) else self._stale(result)

    def _was_never_sent(self, result: Result) -> bool:
        """Whether no dispatch can have this sequence. One that is ahead of us may only mean that we are behind."""
        if result.seq > self.status.sequence:
            self.read_again = self.read_again or not self.facts.fresh
            return True
        return result.seq == 0  # the first transition makes the first step due

    def _entry(self, seq: int, attempt: int) -> ActiveStep | None:
        """The active step of a dispatch. One that this very turn begins has no result yet that could be trusted."""
        return next((a for a in self.status.active if self.was.sequence and (a.seq, a.attempt) == (seq, attempt)), None)

    def _stale(self, result: Result) -> Verdict:
        """A result that was applied before. If what it caused may not have been sent, send it again."""
        caused = next((a for a in self.status.active if a.attempt == 1 and a.seq == result.seq + 1), None)
        if caused is None or caused.dispatched_at is None or not isinstance(result.outcome, Succeeded):
            return ResultReason.STALE
        if self._id(caused) in self.facts.confirmed or self._goes_out(caused):
            return ResultReason.STALE
        state = self._state(caused)
        if state is None:
            return ResultReason.STALE
        self.after.append(self._dispatch(caused, state))
        return ResultReason.REPUBLISHED

    def _apply(self, entry: ActiveStep, result: Result) -> Verdict:
        match result.outcome:
            case Succeeded(output):
                applied = self._succeed(entry, output, result)
            case Failed(error):
                applied = self._failed(entry, error, result.worker)
        return result.origin if applied else ResultReason.STALE

    def _succeed(self, entry: ActiveStep, output: object, result: Result) -> bool:
        definition = self.facts.definition
        if isinstance(definition, Missing):
            return self._give_up(entry, StepError(definition.reason, definition.message), result.worker)
        try:
            moved = moves.advance(self.status, definition, entry, output, self.facts, result.worker)
        except TriggerRefused as error:
            self.notes.append(Note(Reason.MACHINE_REFUSED, str(error)))
            return False
        self._drop_publish(entry)
        self.status = moved
        for following in moved.active:
            if following.seq == moved.sequence:
                self._hand_over(following, definition, result.epoch)
        return True

    def _hand_over(self, entry: ActiveStep, definition: Definition, epoch: str) -> None:
        """The step that a result made due: in the same commit, to be published after it and before the result's ack."""
        state = definition.states[entry.path]
        if self.status.phase is Phase.SUSPENDED or not self.facts.pool_known(state.pool):
            return
        sent = self._dispatched(entry, state)
        self.status = replace(moves.put_entry(self.status, entry, sent), broker_epoch=epoch)
        self.after.append(self._dispatch(sent, state))

    def _failed(self, entry: ActiveStep, error: StepError, worker: str) -> bool:
        state = self._state(entry)
        self._drop_publish(entry)
        if state is None or not error.retryable or not may_retry(state.retry, entry.attempt):
            return self._give_up(entry, error, worker)
        wait = dt.timedelta(seconds=backoff_seconds(state.retry, entry.attempt, self.facts.jitter))
        definition = self.facts.definition
        assert isinstance(definition, Definition)  # noqa: S101  # _state found a state in it
        try:
            self.status = moves.retry(self.status, definition, entry, error, wait, self.facts, worker)
        except TriggerRefused as refused:
            self.notes.append(Note(Reason.MACHINE_REFUSED, str(refused)))
            return False
        left = state.retry.limit + 1 - entry.attempt
        self.notes.append(Note(_reason(error), f"{_failure(entry, error)}; {left} more to be made"))
        return True

    def _give_up(self, entry: ActiveStep, error: StepError, worker: str) -> bool:
        self.status = moves.fail(self.status, self.facts, error, entry, worker)
        self.notes.append(Note(Reason.JOB_FAILED, _failure(entry, error)))
        return True

    def _drop_publish(self, entry: ActiveStep) -> None:
        """Do not send what was answered within the same turn."""
        self.after = [d for d in self.after if d.message.id != self._id(entry)]

    def _goes_out(self, entry: ActiveStep) -> bool:
        """Whether this turn sends it already: the same result came twice."""
        return any(d.message.id == self._id(entry) for d in (*self.first, *self.after))

    # -- the clock

    def _follow_clock(self) -> None:
        limit, started = self.job.spec.active_deadline_seconds, self.status.start_time
        suspended = self.status.phase is Phase.SUSPENDED
        if limit and started and not suspended and started + dt.timedelta(seconds=limit) <= self.facts.now:
            message = f"the job was active for longer than its {limit} s (activeDeadlineSeconds)"
            error = StepError(Reason.DEADLINE_EXCEEDED, message, retryable=False)
            self.status = moves.fail(self.status, self.facts, error, None, "")
            self.first, self.after = [], []
            self.notes.append(Note(Reason.DEADLINE_EXCEEDED, message))
            return
        for entry in self.status.active:
            late_at = self._late_at(entry)
            if late_at is not None and late_at <= self.facts.now:
                self._failed(entry, StepError(Reason.STEP_TIMEOUT, "no result before its deadline"), "")

    def _late_at(self, entry: ActiveStep) -> dt.datetime | None:
        """When a step is to be given up for its deadline; None: not by time alone.

        Without a connection its answer may lie in the results queue, and no other attempt could be sent anyway.
        """
        if entry.deadline is None or self.facts.epoch is None:
            return None
        return max(entry.deadline, self.facts.late_from or entry.deadline)

    def _send_due(self) -> None:
        """Publish what is due and not known to be sent: before the commit that says it was sent.

        Only what is committed already: a worker's answer to anything else would be ahead of its job.
        """
        if self.facts.epoch is None or self.status.ended:
            return
        another_broker = self.status.broker_epoch != self.facts.epoch
        all_sent = True
        for entry in self.status.active:
            if entry not in self.was.active:
                all_sent = False
            elif entry.dispatched_at is None:
                self._send_waiting(entry)
            elif another_broker or self._id(entry) in self.facts.resend:
                all_sent = self._send_again(entry) and all_sent
        if another_broker and all_sent and any(a.dispatched_at for a in self.status.active):
            self.status = replace(self.status, broker_epoch=self.facts.epoch)

    def _send_waiting(self, entry: ActiveStep) -> None:
        state = self._state(entry)
        if state is None or self._held(entry) or not self.facts.pool_known(state.pool):
            return
        sent = self._dispatched(entry, state)
        self.status = moves.put_entry(self.status, entry, sent)
        self._send_first(sent, state)

    def _send_first(self, entry: ActiveStep, state: TaskState) -> None:
        """Publish before the commit, unless that was done already and only the commit did not get through."""
        if self._id(entry) not in self.facts.confirmed:
            self.first.append(self._dispatch(entry, state))

    def _send_again(self, entry: ActiveStep) -> bool:
        state = self._state(entry)
        if state is None or not self.facts.pool_known(state.pool):
            return False
        again = self._dispatch(entry, state)
        # A stale cause may have asked for the same in this turn; one publish serves both.
        self.after = [d for d in self.after if d.message.id != again.message.id]
        self.first.append(again)
        return True

    def _held(self, entry: ActiveStep) -> bool:
        early = entry.not_before is not None and entry.not_before > self.facts.now
        return early or self.status.phase is Phase.SUSPENDED

    def _explain(self) -> None:
        """Say in one line what the job waits for."""
        if self.status.phase is Phase.SUSPENDED:
            return
        for entry in self.status.active:
            state = self._state(entry)
            if state is None:
                missing = self.facts.definition
                reason = missing.reason if isinstance(missing, Missing) else Reason.INVALID_WORKFLOW
                text = missing.message if isinstance(missing, Missing) else f"there is no state {entry.path!r}"
                self._wait(reason, text)
            elif not self.facts.pool_known(state.pool):
                self._wait(Reason.UNKNOWN_POOL, _no_pool(state))
            elif entry.dispatched_at is not None:
                self.status = moves.with_pool(self.status, entry, state.pool)

    # -- the end

    def _life_is_over(self) -> bool:
        end = self._end_of_life()
        return end is not None and end <= self.facts.now and self.status == self.was

    def _end_of_life(self) -> dt.datetime | None:
        ttl, done = self.job.spec.ttl_seconds_after_finished, self.status.completion_time
        if not self.status.ended or ttl is None or done is None:
            return None
        return done + dt.timedelta(seconds=ttl)

    def _wake_at(self) -> dt.datetime | None:
        if self.status.ended:
            return self._end_of_life()
        times = [self._late_at(a) for a in self.status.active]
        if self._of_older_epoch():
            times.append(self.facts.now)
        if self.status.phase is not Phase.SUSPENDED:
            times += [a.not_before for a in self.status.active if self._waits_for_time(a)]
            limit, started = self.job.spec.active_deadline_seconds, self.status.start_time
            if limit and started:
                times.append(started + dt.timedelta(seconds=limit))
        return min((t for t in times if t is not None), default=None)

    def _waits_for_time(self, entry: ActiveStep) -> bool:
        """Whether time alone makes it due. What is due and not sent waits for a connection or a pool: they tell."""
        if entry.dispatched_at is not None or entry.not_before is None:
            return False
        return entry.not_before > self.facts.now or entry not in self.was.active

    def _of_older_epoch(self) -> bool:
        """Whether this turn leaves dispatches that the broker of now may not have: the next one sends them again.

        It happens where a result of the last connection is applied after the broker came back without its data.
        """
        stamp, epoch = self.status.broker_epoch, self.facts.epoch
        sent = any(a.dispatched_at is not None for a in self.status.active)
        return epoch is not None and stamp != epoch and sent and self.status != self.was

    def _bound_size(self) -> None:
        """A status that the store would not take fails the job, in a status that it takes."""
        size, limit = status_bytes(self.status), self.facts.limits.status_bytes
        if size <= limit:
            return
        message = f"the status would have {size} bytes, the limit is {limit}"
        base = self.was if self.was.sequence else replace(self.status, outputs={}, output=None)
        error = StepError(Reason.STATUS_TOO_LARGE, message, retryable=False)
        entry = base.active[0] if base.active else None
        self.status = moves.fail(base, self.facts, error, entry, "")
        self.status = replace(self.status, observed_generation=self.job.generation)
        self.first, self.after = [], []
        self.notes = [Note(Reason.STATUS_TOO_LARGE, message)]

    # -- small helpers

    def _state(self, entry: ActiveStep) -> TaskState | None:
        definition = self.facts.definition
        return None if isinstance(definition, Missing) else definition.states.get(entry.path)

    def _id(self, entry: ActiveStep) -> str:
        return dispatch_id(self.job.uid, entry.seq, entry.attempt)

    def _dispatched(self, entry: ActiveStep, state: TaskState) -> ActiveStep:
        now, timeout = self.facts.now, state.timeout_seconds
        deadline = None if timeout is None else now + dt.timedelta(seconds=timeout)
        return replace(entry, dispatched_at=now, deadline=deadline)

    def _dispatch(self, entry: ActiveStep, state: TaskState) -> Dispatch:
        definition = self.facts.definition
        assert isinstance(definition, Definition)  # noqa: S101  # `state` is of it
        return Dispatch(state.pool, _message(self.job, self.status, definition, entry))


def _message(job: Job, status: JobStatus, definition: Definition, entry: ActiveStep) -> StepMessage:
    deadline = None if entry.deadline is None else moves.format_time(entry.deadline)
    data = moves.step_input(job, status, definition, entry.path)
    ref = moves.job_ref(job)
    return StepMessage(dispatch_id(job.uid, entry.seq, entry.attempt), ref, entry.path, entry.attempt, data, deadline)


def _no_pool(state: TaskState) -> str:
    return f"state {state.name!r} needs the WorkerPool {state.pool!r}, which is not in this namespace"


def _failure(entry: ActiveStep, error: StepError) -> str:
    return f"{entry.path}, attempt {entry.attempt}: {error.code}: {error.message}"


def _reason(error: StepError) -> Reason:
    """The reason of an Event: a code of ours as it is, a handler's own under StepFailed."""
    return Reason(error.code) if error.code in set(Reason) else Reason.STEP_FAILED
