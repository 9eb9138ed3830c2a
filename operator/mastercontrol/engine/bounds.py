"""A status that the store would not take: what is left out, and how a job ends for its size.

A part of `decide`, pure as that is.
"""

from __future__ import annotations

from dataclasses import replace

from mastercontrol.api.names import Phase, Reason
from mastercontrol.api.status import JobError, JobStatus, Outcome
from mastercontrol.engine import moves, operations, silence
from mastercontrol.engine.draft import Draft
from mastercontrol.engine.facts import Missing, Note
from mastercontrol.engine.flow import Flow
from mastercontrol.engine.moves import status_bytes
from mastercontrol.workflow.machine import step_of
from mastercontrol_worker.contract import StepError


class Bounds(Draft):
    """A decision whose status is to fit."""

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
        # One that ends in the turn in which it begins fails instead of beginning: nothing leads on from its end.
        base = self.was if self.was.sequence or self.status.ended else self.status
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
