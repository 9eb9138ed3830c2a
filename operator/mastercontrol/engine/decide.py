"""The decision: what one turn does for one Job. All policy is here, in `flow` (how a job moves) and in `sending`.

`decide` is pure. It looks at the Job as it is (level, not edge), so it does not matter which event caused the turn,
whether an event was missed, or how often it came.

Here is the order, what the user's spec asks for, and how a job begins. What results do is in `answers`, what time and
signals do in `timing`, the size of a status in `bounds`; `draft` is what all of these work on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mastercontrol.api.job import Job
from mastercontrol.api.names import ConditionType, Phase, Reason, ResultReason
from mastercontrol.api.operation import Operation, OperationType
from mastercontrol.api.status import JobError, JobStatus, Outcome
from mastercontrol.engine import moves, operations, silence
from mastercontrol.engine.answers import Answers
from mastercontrol.engine.beginning import answers_state
from mastercontrol.engine.bounds import Bounds
from mastercontrol.engine.draft import no_pool
from mastercontrol.engine.facts import Decision, Facts, Kept, Missing, Note, Result
from mastercontrol.engine.operated import OperatedFlow
from mastercontrol.engine.places import Admitted, Held, NoKey, RejectedBy, Replaced
from mastercontrol.engine.subjobs import why_orphaned
from mastercontrol.engine.timing import Timing
from mastercontrol.workflow import errors
from mastercontrol.workflow.definition import Definition, TaskState
from mastercontrol.workflow.machine import step_of
from mastercontrol_worker.contract import StepError


def decide(job: Job, results: Sequence[Result], facts: Facts) -> Decision:
    """What to do for a Job that these results came for. Results of another uid are of a Job that is gone."""
    if not facts.fresh and any(result.uid != job.uid for result in results):
        return Decision(read_again=True)  # or of one that has the name since, and is not known here yet
    if job.deleting:
        return Decision(verdicts=(ResultReason.JOB_GONE,) * len(results))
    turn = _Turn(job, facts)
    turn.run(results)
    return turn.decision()


class _Turn(Answers, Timing, Bounds):
    """One decision in the making, in the order in which it is made."""

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
            self._wait(Reason.UNKNOWN_POOL, no_pool(state))
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
        self._give_up(StepError(code, text), None)

    # -- child Jobs

    def _follow_children(self) -> None:
        if self.flow is not None and self.children is not None:
            self.children.follow()

    def _create_children(self) -> None:
        if self.flow is not None and self.children is not None and self.sender is not None:
            self.create = self.children.create()
            self.sender.drop_answered()


def _waits_for_place(status: JobStatus) -> bool:
    return any(c.type is ConditionType.WAITING and c.reason == Reason.CONCURRENCY_LIMIT for c in status.conditions)
