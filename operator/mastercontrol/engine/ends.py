"""How a job ends: at once, or after what undoes the states that are done and what runs at the end.

A part of `flow`, pure as that is. `closing` knows what is left to do and in which order; here it is done.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from mastercontrol.api.names import Phase, Reason
from mastercontrol.api.status import ActiveStep, JobError, Outcome
from mastercontrol.engine.facts import Note
from mastercontrol.engine.scopes import index_of, join
from mastercontrol.engine.track import Track
from mastercontrol.workflow.definition import COMPENSATE, inner_block
from mastercontrol.workflow.machine import DONE, FAILED, Trigger, in_progress, machine_of
from mastercontrol_worker.contract import StepError


class Ends(Track):
    """A job that may end."""

    def _end(self, error: StepError, path: str, entry: ActiveStep | None = None, worker: str = "") -> None:
        """The job fails."""
        self.resumable = self._standing(self._broken or path)
        if self.closing.first(Phase.FAILED) is not None:
            outcome = Outcome(Phase.FAILED, 0, error=JobError(str(error.code), error.message, path))
            self._note(Reason.STEP_FAILED, path, entry.attempt if entry else 1, error, "the job closes and then fails")
            self._close(outcome, error.code, entry, worker, error.message)
            return
        self.state = machine_of(self.definition).fire(self.state, Trigger.FAIL)
        self._line(FAILED, error.code, entry, worker, error.message)
        self.error = (error, path)
        attempt = f", attempt {entry.attempt}" if entry is not None else ""
        self.notes.append(Note(Reason.JOB_FAILED, f"{path}{attempt}: {error.code}: {error.message}"))
        self._forget_all()

    def _close(
        self,
        outcome: Outcome,
        reason: str,
        entry: ActiveStep | None = None,
        worker: str = "",
        message: str | None = None,
    ) -> None:
        """It is known how the job ends, and something is to be done before."""
        name = self.closing.first(outcome.phase)
        assert name is not None  # noqa: S101  # callers ask first
        self._forget_all()
        if outcome.phase is not Phase.FAILED or self.closing.stack:
            # What was undone, or ended otherwise, is not retried.
            self.groups.clear()
            self.scopes.forget_blocks()
            self.resumable = ()
        self.closing.begin(replace(outcome, seq=self.sequence + 1))
        self._enter_closing(name, reason, entry, worker, message)

    def _enter_closing(
        self, name: str, reason: str, entry: ActiveStep | None = None, worker: str = "", message: str | None = None
    ) -> None:
        to = in_progress(name)
        self.state = machine_of(self.definition).fire(self.state, Trigger.CLOSE, to)
        self._line(to, reason, entry, worker, message)
        self._later(name, partial(self._begin_closing, name))

    def _begin_closing(self, name: str) -> None:
        scope = self.closing.scope if name == COMPENSATE else name
        state = self.definition.find(name)
        block = None if state is None else inner_block(state, index_of(scope))
        assert block is not None  # noqa: S101  # it is of the Definition
        self.scopes.drop(scope)
        self.sequence += 1
        self._line(in_progress(join(scope, block.start)), Reason.STARTED, counted=True)
        self._enter(scope, block.start, self.sequence)

    def _closing_over(self, name: str, scope: str, error: StepError | None) -> None:
        if error is not None:
            self._note(Reason.CLEAN_UP_FAILED, scope, 1, error, "the rest of the clean-up goes on")
        self._drop_inside(scope)
        following = self.closing.over(name, scope, error)
        if following is None:
            self._finish()
        elif following == name:
            self._later(name, partial(self._begin_closing, name))
        else:
            self._enter_closing(following, Reason.STEP_SUCCEEDED if error is None else error.code)

    def _finish(self) -> None:
        """Nothing is left to do: the job ends as was known when it began to close."""
        outcome = self.closing.outcome
        assert outcome is not None  # noqa: S101  # it is closing
        machine = machine_of(self.definition)
        if outcome.phase is Phase.SUCCEEDED:
            self.state = machine.fire(self.state, Trigger.SUCCEED, DONE)
            self._line(self.state, Reason.STEP_SUCCEEDED)
            self.output, self.is_done = outcome.output, True
        else:
            cause = outcome.error
            assert cause is not None  # noqa: S101  # what does not end well has one
            cancelled = outcome.phase is Phase.CANCELLED
            self.state = machine.fire(self.state, Trigger.CANCEL if cancelled else Trigger.FAIL)
            self._line(self.state, cause.code, message=cause.message)
            if cancelled:
                self.is_cancelled = True
            else:
                self.error = (StepError(cause.code, cause.message), cause.state or "")
                self.notes.append(Note(Reason.JOB_FAILED, f"{cause.state}: {cause.code}: {cause.message}"))
        self._forget_all()
