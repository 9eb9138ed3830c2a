"""The decision: what one turn does for one Job. All policy is here, in `flow` (how a job moves) and in `sending`.

`decide` is pure. It looks at the Job as it is (level, not edge), so it does not matter which event caused the turn,
whether an event was missed, or how often it came.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

from mastercontrol.api.job import ActiveStep, Job, JobError, JobStatus, Outcome
from mastercontrol.api.names import ConditionType, Phase, Reason, ResultReason
from mastercontrol.api.operation import Operation, OperationType
from mastercontrol.engine import moves, operations, silence
from mastercontrol.engine.beginning import answers_first, answers_state
from mastercontrol.engine.facts import Decision, Facts, Kept, Missing, NewChild, Note, Result, Verdict
from mastercontrol.engine.flow import Flow
from mastercontrol.engine.moves import status_bytes
from mastercontrol.engine.operated import OperatedFlow
from mastercontrol.engine.places import Admitted, Held, NoKey, RejectedBy, Replaced
from mastercontrol.engine.scopes import name_of
from mastercontrol.engine.sending import Sender
from mastercontrol.engine.subjobs import Children, why_orphaned
from mastercontrol.engine.workers import lacking, lacking_at
from mastercontrol.workflow import errors
from mastercontrol.workflow.definition import (
    Definition,
    MapState,
    ParallelState,
    SignalState,
    SubJobState,
    TaskState,
    WaitState,
)
from mastercontrol.workflow.machine import TriggerRefused, step_of
from mastercontrol_worker.contract import Failed, StepError, Succeeded


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
    """One decision in the making. Lives for one call of `decide`.

    `flow` moves the job and `sender` its messages; both are None where its Definition is missing, and once it ended.
    """

    def __init__(self, job: Job, facts: Facts) -> None:
        self.job = job
        self.facts = facts
        self.was = job.status or JobStatus()
        self.was_active = {a.path: a for a in self.was.active}
        self.status = self.was
        self.flow: Flow | None = None
        self.sender: Sender | None = None
        self.verdicts: list[Verdict] = []
        self.notes: list[Note] = []
        self.read_again = False
        self.children: Children | None = None  # there is one as long as there is a flow
        self.create: tuple[NewChild, ...] = ()
        self.shown = silence.Shown(self.was)
        self.listen = False

    def run(self, results: Sequence[Result]) -> None:
        if not self.status.ended:
            self._follow_spec()
        if not self.status.ended and self.status.sequence > 0 and isinstance(self.facts.definition, Definition):
            self._load(self.facts.definition)
        closes = not self.status.ended and self._cancel()
        if self.job.asked and not closes:
            self._operate(len(results))
            return
        if not self.status.ended and self.status.sequence == 0:
            self._begin(results)
        self.verdicts = [self._take(result) for result in results]
        self._follow_children()
        self._follow_clock()
        self._create_children()
        if self.flow is not None and self.sender is not None and self.was.sequence > 0:
            stamp = self.sender.send_due(self.status.broker_epoch)
            self.status = replace(self.status, broker_epoch=stamp)
        self._absorb()
        self.shown = silence.shown(self.was, self.status, self.facts)
        self.status = self.shown.status
        if self.status.sequence > 0 and not self.status.ended:
            self._explain()

    def decision(self) -> Decision:
        if self.read_again:
            return Decision(read_again=True)
        if self.listen:
            return Decision(listen=True)
        if self.status != self.was:
            self.status = replace(self.status, observed_generation=self.job.generation)
            self._bound_size()
        return Decision(
            status=None if self.status == self.was else self.status,
            publish_first=tuple(self.sender.first) if self.sender else (),
            publish=tuple(self.sender.after) if self.sender else (),
            verdicts=tuple(self.verdicts),
            notes=tuple(self.notes),
            wake_at=self._wake_at(),
            delete=self._life_is_over(),
            create=self.create if self.flow is not None else (),
            shows_heartbeats=self.shown.changed,
        )

    # -- the spec: cancel and suspend

    def _follow_spec(self) -> None:
        now, spec = self.facts.now, self.job.spec
        if self._cancelled() is not None:
            # What is left to do before the end is not held up.
            if self.status.phase is Phase.SUSPENDED:
                self.status = moves.resume(self.status, now)
        elif spec.suspend and self.status.phase is not Phase.SUSPENDED:
            self.status = moves.suspend(self.status, now)
        elif not spec.suspend and self.status.phase is Phase.SUSPENDED:
            self.status = moves.resume(self.status, now)

    def _cancelled(self) -> JobError | None:
        """Why the job is to be cancelled, if it is."""
        if self.job.spec.cancel:
            return JobError(Reason.CANCELLED.value, "spec.cancel was set", step_of(self.status.state))
        if isinstance(self.facts.place, Replaced):
            return JobError(Reason.REPLACED.value, self.facts.place.text, step_of(self.status.state))
        orphaned = why_orphaned(self.job, self.facts.parent)
        return None if orphaned is None else JobError(Reason.CANCELLED.value, orphaned, step_of(self.status.state))

    def _cancel(self) -> bool:
        """End the job if it is to be cancelled; whether it begins to close now, and ends later."""
        error = self._cancelled()
        if error is None or self.status.outcome is not None:  # or it is closing already
            return False
        outcome = Outcome(Phase.CANCELLED, 0, error=error)
        if error.code == Reason.REPLACED:
            self.notes.append(Note(Reason.REPLACED, error.message))
        if self.flow is not None and self.flow.stop(outcome, error.code, error.message):
            return True
        self.status = moves.cancel(self.status, self.facts, error)
        self._unload()
        return False

    @property
    def _suspended(self) -> bool:
        return self.status.phase is Phase.SUSPENDED

    def _load(self, definition: Definition) -> None:
        self._use(Flow(self.job, self.status, definition, self.facts))

    def _use(self, flow: Flow) -> None:
        self.flow = flow
        self.sender = Sender(self.job, self.was, self.facts, flow, suspended=self._suspended)
        self.children = Children(self.job, self.was, self.facts, flow, suspended=self._suspended)

    def _unload(self) -> None:
        self.flow = self.sender = self.children = None

    # -- what the user asked for

    def _operate(self, results: int) -> None:
        """Deal with the operations up to the first that has an effect. Results and the clock have the next turn."""
        self.verdicts = [Kept()] * results
        if self._knows_no_place:
            return
        for operation in self.job.asked:
            refused = self._try(operation)
            if refused is not None:
                note = operations.said(self.status, operation, refused)
                self.notes.append(Note(Reason.OPERATION_REFUSED, note))
            self.status = operations.noted(self.status, operation, refused, self.facts.now)
            if refused is None:
                break
        self._absorb()
        if self.flow is not None:
            self._explain()

    @property
    def _knows_no_place(self) -> bool:
        """Whether the jobs that may hold a place are being listed: it is tried again in a moment."""
        return self.status.ended and isinstance(self.facts.place, Held) and self.facts.place.text is None

    def _try(self, operation: Operation) -> str | None:
        """Do an operation; why not, if it is refused."""
        definition = self.facts.definition
        refused = operations.refusal(operation, self.job, self.status, definition)
        if refused is None and self.status.ended and isinstance(self.facts.place, Held):
            refused = f"it {self.facts.place.text}; ask again when one has ended"
        if refused is not None or isinstance(definition, Missing):
            return refused
        status = self.status
        if status.ended:
            status = operations.revived(status, self.facts.now, anew=operation.type is OperationType.RESTART)
            status = moves.suspend(status, self.facts.now) if self.job.spec.suspend else status
        flow = OperatedFlow(self.job, status, definition, self.facts)
        refused = flow.operate(operation, self.status.resumable)
        if refused is None:
            self.status = status
            self._use(flow)
        return refused

    # -- the first steps: published before the status that names them is written

    def _begin(self, results: Sequence[Result]) -> None:
        definition = self.facts.definition
        if isinstance(definition, Missing):
            if not self._suspended:
                self._wait(definition.reason, definition.message)
            return
        state = definition.states[definition.start]
        answered = next((r for r in results if answers_state(self.job, r, state)), None)
        if isinstance(state, TaskState) and answered is not None:
            # Somebody published the first step and died before the write: it need not be sent again.
            self._start(definition, answered.epoch, sent_before=True)
        elif self._suspended:
            return
        elif isinstance(state, TaskState) and not self.facts.pool_known(state.pool):
            self._wait(Reason.UNKNOWN_POOL, _no_pool(state))
        elif self.facts.epoch is not None:  # without a connection: it will come, and a turn with it
            self._start(definition, self.facts.epoch, sent_before=False)

    def _start(self, definition: Definition, epoch: str, *, sent_before: bool) -> None:
        if definition.concurrency is not None and not self._has_place():
            return
        self._load(definition)
        assert self.flow is not None  # noqa: S101  # just loaded
        assert self.sender is not None  # noqa: S101  # just loaded
        self.flow.begin()
        if definition.concurrency is not None and not sent_before:
            # Its place is what is written, so nothing is sent before that; the next turn sends it.
            self.flow.due.clear()
        sent = self.sender.begin(sent_before=sent_before)
        self.status = moves.started(self.status, definition, self.facts.now, epoch if sent else None)

    # -- a place, where the Workflow limits how many jobs run at once

    def _has_place(self) -> bool:
        """Whether the job may begin; where it may not, what is to be done about it is done."""
        match self.facts.place:
            case Admitted():
                return True
            case Held(text=text, is_near=is_near):
                if text is not None and (is_near or not _waits_for_place(self.status)):
                    self._wait(Reason.CONCURRENCY_LIMIT, text)
            case RejectedBy(text=text):
                self._never(Reason.CONCURRENCY_LIMIT, text)
            case NoKey(text=text):
                self._never(errors.QUERY, text)
            case Replaced() | None:  # it has ended; or nobody asked for a place, so there is none
                pass
        return False

    def _never(self, code: str, text: str) -> None:
        """The job ends before it began."""
        self._give_up(StepError(code, text, retryable=False), None)

    def _wait(self, reason: Reason, message: str) -> None:
        waiting = moves.wait(self.status, reason, message, self.facts.now)
        if waiting != self.status and reason not in {Reason.BACK_OFF, Reason.CONCURRENCY_LIMIT}:
            self.notes.append(Note(reason, message))
        self.status = waiting

    # -- results

    def _take(self, result: Result) -> Verdict:
        if result.uid != self.job.uid:
            return ResultReason.JOB_GONE
        if self._has_ended:
            return ResultReason.STALE
        if self.was.sequence == 0:
            # The first dispatches are published before the status that knows of them.
            return Kept() if self._may_be_first(result) else self._ahead()
        entry = self._entry(result)
        if entry is not None:
            fits = result.step in {None, name_of(entry.path)}
            return self._apply(entry, result) if fits else ResultReason.FOREIGN
        return self._ahead() if result.seq > self.was.sequence else self._stale(result)

    @property
    def _has_ended(self) -> bool:
        return self.status.ended or (self.flow is not None and self.flow.ended)

    def _may_be_first(self, result: Result) -> bool:
        """Whether a result may be of what the beginning sends: known for sure after the first write."""
        begun = self.flow is not None and any(
            (a.seq, a.attempt) == (result.seq, result.attempt) for a in self.flow.active.values()
        )
        return begun or answers_first(self.job, result)

    def _ahead(self) -> Verdict:
        """A result that is ahead of the job may only mean that we are behind."""
        self.read_again = self.read_again or not self.facts.fresh
        return ResultReason.FOREIGN

    def _entry(self, result: Result) -> ActiveStep | None:
        active = self.status.active if self.flow is None else self.flow.active.values()
        return next(
            (a for a in active if (a.seq, a.attempt) == (result.seq, result.attempt) and self._is_task(a)), None
        )

    def _is_task(self, entry: ActiveStep) -> bool:
        return self.sender is None or self.sender.task(entry) is not None

    def _stale(self, result: Result) -> Verdict:
        """A result that was applied before. If what it caused may not have been sent, send it again."""
        if result.seq == 0:
            return ResultReason.FOREIGN  # no dispatch has it: the first transition makes the first step due
        if self.flow is None or self.sender is None:
            return ResultReason.STALE
        caused = [a for a in self.flow.active.values() if a.attempt == 1 and _cause(a) == result.seq]
        sent = [self.sender.republish(a) for a in caused if a == self.was_active.get(a.path)]
        return ResultReason.REPUBLISHED if any(sent) else ResultReason.STALE

    def _apply(self, entry: ActiveStep, result: Result) -> Verdict:
        if self.flow is None or self.sender is None:
            missing = self.facts.definition
            assert isinstance(missing, Missing)  # noqa: S101  # otherwise there is a flow
            self._give_up(StepError(missing.reason, missing.message), entry, result.worker)
            return result.origin
        try:
            self.flow.require_state(entry.path)
            match result.outcome:
                case Succeeded(output):
                    self.flow.succeed(entry, output, result.worker)
                case Failed(error):
                    self.flow.fail(entry, error, result.worker)
        except TriggerRefused as refused:
            self.notes.append(Note(Reason.MACHINE_REFUSED, str(refused)))
            return ResultReason.STALE
        self.sender.drop_answered()
        others = any(a.dispatched_at is not None and self._is_task(a) for a in self.flow.active.values())
        if self.sender.hand_over():
            self.status = replace(self.status, broker_epoch=self._stamp(result.epoch, others=others))
        return result.origin

    def _stamp(self, epoch: str, *, others: bool) -> str | None:
        """The epoch of all that is out now that a result of `epoch` made more due.

        Where what was out before is of another broker, the stamp must not say that the broker of now has it all.
        """
        return self.status.broker_epoch if others and epoch == self.facts.epoch else epoch

    def _give_up(self, error: StepError, entry: ActiveStep | None, worker: str = "") -> None:
        self.status = moves.fail(self.status, self.facts, error, entry, worker)
        self.notes.append(Note(Reason.JOB_FAILED, self.status.message or error.message))

    # -- child Jobs

    def _follow_children(self) -> None:
        if self.flow is not None and self.children is not None:
            self.children.follow()

    def _create_children(self) -> None:
        if self.flow is not None and self.children is not None and self.sender is not None:
            self.create = self.children.create()
            self.sender.drop_answered()

    # -- the clock and the user's signals

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

    # -- what it comes to

    def _absorb(self) -> None:
        """Take the moved job into the status."""
        flow = self.flow
        if flow is None:
            return
        self.notes += flow.notes
        flow.notes = []
        self.status = moves.absorb(self.status, flow, self.facts.now)
        if flow.ended:
            self._unload()

    def _explain(self) -> None:
        """Say in one line what the job waits for."""
        if self._suspended:
            return
        if self.flow is None or self.sender is None:
            missing = self.facts.definition
            if isinstance(missing, Missing):
                self._wait(missing.reason, missing.message)
            return
        unknown = {t.pool for t in self.flow.definition.tasks() if not self.facts.pool_known(t.pool)}
        for entry in self.status.active if unknown else ():
            task = self.sender.task(entry)
            if task is not None and task.pool in unknown:
                self._wait(Reason.UNKNOWN_POOL, _no_pool(task))
                return
        lacks = lacking(self.status, self.flow.definition, self.facts)
        if lacks is not None:
            self.status = moves.wait(self.status, Reason.NO_WORKER, lacks, self.facts.now)
            return
        waits = self.children.explained(self.status) if self.children is not None else None
        self.status = waits or moves.explained(self.status, self.flow.definition, self.facts.now)

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

    def _bound_size(self) -> None:
        """A status that the store would not take fails the job, in a status that it takes."""
        size, limit = status_bytes(self.status), self.facts.limits.status_bytes
        if size <= limit:
            return
        for smaller in silence.cut_down(self.status):  # a heartbeat must not fail a job
            self.status = smaller
            self._explain()
            if status_bytes(self.status) <= limit:
                return
        message = f"the status would have {size} bytes, the limit is {limit}"
        if self.job.asked:
            self._take_back(message)
            return
        if status_bytes(moves.without_rest(self.status)) <= limit and self.status.phase is Phase.FAILED:
            self.status = moves.without_rest(self.status)
            return
        base = self.was if self.was.sequence else replace(self.status, output=None)
        error = StepError(Reason.STATUS_TOO_LARGE, message, retryable=False)
        if self._close_for_size(base, error):
            return
        self.status = moves.fail(base, self.facts, error, None, "")
        self.status = replace(self.status, observed_generation=self.job.generation)
        if status_bytes(self.status) > limit:
            self.status = moves.without_rest(self.status)
        self._unload()
        self.notes = [Note(Reason.STATUS_TOO_LARGE, message)]

    def _close_for_size(self, base: JobStatus, error: StepError) -> bool:
        """Let the job close before it fails for its size, from the last status that fitted. Whether that fits too."""
        definition = self.facts.definition
        if isinstance(definition, Missing) or base.sequence == 0 or base.outcome is not None:
            return False
        flow = Flow(self.job, base, definition, self.facts)
        cause = JobError(str(error.code), error.message, step_of(base.state))
        if not flow.stop(Outcome(Phase.FAILED, 0, error=cause), error.code, error.message):
            return False
        status = replace(moves.absorb(base, flow, self.facts.now), observed_generation=self.job.generation)
        if status_bytes(status) > self.facts.limits.status_bytes:
            status = replace(status, scopes=(), groups=(), resumable=())  # it can't be retried then
        if status_bytes(status) > self.facts.limits.status_bytes:
            return False
        self.status, self.create = status, ()
        self._load(definition)  # nothing is sent in this turn, but the next one is woken for it
        self.notes = [Note(Reason.STATUS_TOO_LARGE, error.message)]
        return True

    def _take_back(self, why: str) -> None:
        """Refuse an operation whose effect the store would not take. The job stays as it was."""
        last = self.status.operations_taken - 1
        operation, before = self.job.spec.operations[last], replace(self.was, operations_taken=last)
        self.status = operations.noted(before, operation, why, self.facts.now)
        self.status = replace(self.status, observed_generation=self.job.generation)
        self._unload()
        kept = [note for note in self.notes if note.reason is Reason.OPERATION_REFUSED]
        self.notes = [*kept, Note(Reason.OPERATION_REFUSED, operations.said(before, operation, why))]


def _waits_for_place(status: JobStatus) -> bool:
    return any(c.type is ConditionType.WAITING and c.reason == Reason.CONCURRENCY_LIMIT for c in status.conditions)


def _cause(entry: ActiveStep) -> int:
    """The sequence of the dispatch whose result made an entry due."""
    return entry.seq - 1 if entry.cause is None else entry.cause


def _no_pool(state: TaskState) -> str:
    return f"state {state.name!r} needs the WorkerPool {state.pool!r}, which is not in this namespace"
