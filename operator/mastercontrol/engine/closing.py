"""What is left to do once it is known how a job ends: undo what was done, then clean up.

The states that are done and say what undoes them stand on a stack, in the order in which they were done. A job that
does not end well takes them from its top, one at a time, in the closing state `compensate`; then, however it ends, the
closing state `onExit` runs. What fails in there is noted, and the rest goes on: half a clean-up is better than none.

Pure. `flow` owns one for each decision and moves the job; this is only what it has to remember.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from mastercontrol.api.names import Phase
from mastercontrol.api.status import JobError, JobStatus, Outcome, Undo
from mastercontrol.workflow.definition import COMPENSATE, ON_EXIT, ClosingState, Definition
from mastercontrol_worker.contract import StepError

MOST_FAILURES: Final = 20
FAILURE_CHARS: Final = 200


class Closing:
    """The end of one job, during one decision. `outcome` is None until it is known."""

    def __init__(self, definition: Definition, status: JobStatus) -> None:
        self.definition = definition
        self.outcome: Outcome | None = status.outcome
        self.stack: tuple[Undo, ...] = status.compensations

    def remember(self, path: str, data: Any) -> None:
        """A state that says what undoes it is done."""
        self.stack = (*self.stack, Undo(path, data))

    def first(self, phase: Phase) -> str | None:
        """The closing state that a job enters which is to end in this phase; None where it ends at once."""
        if phase is not Phase.SUCCEEDED and self.stack:
            return COMPENSATE
        return ON_EXIT if ON_EXIT in self.definition.closing else None

    def begin(self, outcome: Outcome) -> None:
        """It is known how the job ends."""
        self.outcome = outcome
        if outcome.phase is Phase.SUCCEEDED:
            self.stack = ()

    @property
    def scope(self) -> str:
        """The block that undoes what stands on top of the stack."""
        state = self.definition.find(self.stack[-1].path)
        assert state is not None  # noqa: S101  # it was done, so it is of the Definition
        assert state.compensation is not None  # noqa: S101  # it would not be on the stack
        return f"{COMPENSATE}[{state.compensation.number}]"

    def over(self, name: str, scope: str, error: StepError | None) -> str | None:
        """A block of a closing state is over; the closing state that the job is in from here on, None at its end."""
        if error is not None:
            about = self.stack[-1].path if name == COMPENSATE else ON_EXIT
            self._failed(f"{about} ({scope}): {error.code}: {error.message}", error, name)
        if name == ON_EXIT:
            return None
        self.stack = self.stack[:-1]
        if self.stack:
            return COMPENSATE
        return ON_EXIT if ON_EXIT in self.definition.closing else None

    def _failed(self, text: str, error: StepError, name: str) -> None:
        assert self.outcome is not None  # noqa: S101  # closing states run after it is known
        known = (*self.outcome.failures, text[:FAILURE_CHARS])[:MOST_FAILURES]
        self.outcome = replace(self.outcome, failures=known)
        if self.outcome.phase is Phase.SUCCEEDED:
            # A job whose clean-up failed did not do all that it should: somebody has to look.
            cause = JobError(str(error.code), error.message, name)
            self.outcome = replace(self.outcome, phase=Phase.FAILED, output=None, error=cause)

    def is_closing(self, path: str) -> bool:
        """Whether a path is that of a closing state."""
        return "." not in path and isinstance(self.definition.find(path), ClosingState)

    def input(self, name: str) -> Any:
        """What the first state of a closing state's block gets."""
        assert self.outcome is not None  # noqa: S101  # closing states run after it is known
        if name == COMPENSATE:
            return self.stack[-1].input
        return {"phase": self.outcome.phase.value, "output": self.outcome.output, "error": self.error}

    @property
    def error(self) -> Mapping[str, Any] | None:
        """Why the job does not end well, as expressions see it."""
        known = self.outcome.error if self.outcome is not None else None
        return None if known is None else {"code": known.code, "message": known.message, "state": known.state}
