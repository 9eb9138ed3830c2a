"""How a state is entered: what each type does when a job comes to it. A part of `flow`, pure as that is."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from functools import partial
from typing import Any, Final

from mastercontrol.api.status import ActiveStep
from mastercontrol.engine.blocks import Blocks
from mastercontrol.engine.scopes import join
from mastercontrol.workflow import errors
from mastercontrol.workflow.definition import (
    ChoiceState,
    FailState,
    MapState,
    ParallelState,
    PassState,
    SignalState,
    State,
    SubJobState,
    SucceedState,
    TaskState,
    WaitState,
)
from mastercontrol.workflow.expressions import ExpressionError
from mastercontrol_worker.contract import StepError

LONGEST_WAIT: Final = dt.timedelta(days=3660)
MOST_AT_ONCE: Final = 10_000
"""Transitions of one decision: a loop that waits for nothing would hold up all other jobs, so it is an error."""


class Entering(Blocks):
    """A job that may enter states."""

    def _enter(self, scope: str, name: str, seq: int, before: ActiveStep | None = None) -> None:
        """Enter a state. `seq` is the number of the transition that leads to it: blocks beside it move on meanwhile."""
        path = join(scope, name)
        state = self.definition.find(path)
        assert state is not None  # noqa: S101  # a compiled Definition leads to states that there are
        made = self.sequence - (self.closing.outcome.seq if self.closing.outcome is not None else self._counted_from)
        if made > self.definition.max_transitions:
            text = f"the job made more than {self.definition.max_transitions} transitions (maxTransitions)"
            self._too_many(path, text)
            return
        if self.sequence - self._came_from > MOST_AT_ONCE:
            text = f"the job made more than {MOST_AT_ONCE} transitions without a state that waits for something"
            self._too_many(path, text)
            return
        try:
            self._begin_state(path, state, seq, before)
        except ExpressionError as error:
            self._failed(path, StepError(errors.QUERY, str(error), retryable=False), of_task=False)

    def _too_many(self, path: str, text: str) -> None:
        error = StepError(errors.TRANSITIONS, text, retryable=False)
        if self.closing.outcome is None:
            self._end(error, path)
        else:
            self._failed(path, error, of_task=False)  # of the clean-up, and what is left of it still runs

    def _begin_state(self, path: str, state: State, seq: int, before: ActiveStep | None) -> None:
        data = self.scopes.input(path)  # what cannot be evaluated fails here, not when it is sent or read inside
        match state:
            case TaskState():
                self._activate(ActiveStep(path, seq))
                self.due.append(path)
            case PassState() | SucceedState():
                self._later(path, partial(self._done, path, data, passes=True))
            case ChoiceState():
                self._choose(path, state, data)
            case WaitState():
                self._activate(ActiveStep(path, seq, not_before=self._until(path, state, data)))
            case SignalState(timeout_seconds=seconds):
                deadline = None if seconds is None else self.facts.now + dt.timedelta(seconds=seconds)
                self._activate(ActiveStep(path, seq, deadline=deadline))
            case FailState():
                self._fail_state(path, state, data)
            case ParallelState(branches=branches):
                self._open(path, seq, len(branches), len(branches), before)
            case MapState(max_concurrency=most):
                size = len(self.scopes.items(path))
                self._open(path, seq, size, min(size, most or size), before)
            case SubJobState():
                self._activate(ActiveStep(path, seq))

    def _activate(self, entry: ActiveStep) -> None:
        cause = self._cause if self._cause != entry.seq - 1 else None
        self.active[entry.path] = replace(entry, cause=cause)

    def _choose(self, path: str, state: ChoiceState, data: Any) -> None:
        names = self.scopes.names(path, data)
        for when, following in state.rules:
            if when.evaluate(names):
                self._later(path, partial(self._done, path, data, passes=True, to=following))
                return
        self._later(path, partial(self._done, path, data, passes=True))

    def _until(self, path: str, state: WaitState, data: Any) -> dt.datetime:
        names = self.scopes.names(path, data)
        if state.seconds is not None:
            seconds = state.seconds.evaluate(names)
            if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 0:
                raise ExpressionError(f"the seconds of a Wait must be a whole number from 0, not {seconds!r}")
            if seconds > LONGEST_WAIT.total_seconds():
                raise ExpressionError(f"a Wait may take {LONGEST_WAIT.days} days, not {seconds} seconds")
            return self.facts.now + dt.timedelta(seconds=seconds)
        assert state.until is not None  # noqa: S101  # one of the two is given
        text = state.until.evaluate(names)
        try:
            found = dt.datetime.fromisoformat(text)
        except (TypeError, ValueError):
            raise ExpressionError(f"the until of a Wait must be a timestamp (RFC 3339), not {text!r}") from None
        if found.tzinfo is None:
            raise ExpressionError(f"the until of a Wait needs a time zone, as in 2030-01-31T12:00:00Z, not {text!r}")
        try:
            found = found.astimezone(dt.UTC)
        except OverflowError:
            raise ExpressionError(f"the until of a Wait is a time that UTC does not have: {text!r}") from None
        return found.replace(microsecond=found.microsecond // 1000 * 1000)

    def _fail_state(self, path: str, state: FailState, data: Any) -> None:
        names = self.scopes.names(path, data)
        code, message = state.code.evaluate(names), state.message.evaluate(names)
        error = StepError(str(code), str(message))
        self._later(path, partial(self._block_failed, path, error, of_task=False))
