"""How a job moves through its Definition: a state is entered, done, failed, caught; blocks begin, join and end.

`decide` makes one Flow a decision, tells it what happened, and takes the moved status from it. Pure: the clock, the
dice and the outside are in Facts. Nothing here publishes; steps that became due are in `due`.

Here is what others tell it, and how a state is left. The rest is in the classes that Flow is built on: `entering`,
`blocks`, `ends` and, lowest, `track`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial
from typing import Any

from mastercontrol.api.names import Phase, Reason
from mastercontrol.api.status import ActiveStep, Outcome
from mastercontrol.engine.entering import Entering
from mastercontrol.engine.scopes import join, name_of, parent
from mastercontrol.engine.track import error_variable
from mastercontrol.workflow import errors
from mastercontrol.workflow.definition import RetryRule
from mastercontrol.workflow.expressions import ExpressionError
from mastercontrol.workflow.machine import DONE, Trigger, in_progress, machine_of
from mastercontrol.workflow.retry import backoff_seconds, may_retry
from mastercontrol_worker.contract import StepError


class Flow(Entering):
    """One job on its way, for one decision. `ended` tells how, once it has."""

    # -- what happens

    def begin(self) -> None:
        """Enter the first state."""
        self.state = machine_of(self.definition).fire(self.state, Trigger.START)
        self._line(self.state, Reason.STARTED)
        self._enter("", self.definition.start, self.sequence)
        self._run()

    def succeed(self, entry: ActiveStep, result: Any, worker: str = "") -> None:
        """A step or a signal is done. `result` is its output."""
        self._cause = entry.seq
        self._done(entry.path, result, entry=entry, worker=worker)
        self._run()

    def come(self, entry: ActiveStep) -> None:
        """The time that a Wait waited for has come."""
        self._cause = 0
        self._done(entry.path, self.scopes.input(entry.path), passes=True, entry=entry)
        self._run()

    def fail(self, entry: ActiveStep, error: StepError, worker: str = "") -> None:
        """A step, a signal or a child Job failed."""
        self._cause = entry.seq
        self._failed(entry.path, error, entry=entry, worker=worker, of_task=True)
        self._run()

    def again(self, entry: ActiveStep) -> None:
        """The back-off of a Parallel or a Map is over: begin it again."""
        self.active.pop(entry.path)
        self._cause = 0
        self._enter(parent(entry.path), name_of(entry.path), entry.seq, entry)
        self._run()

    def stop(self, outcome: Outcome, reason: str, message: str) -> bool:
        """End the job for a reason outside its states; False where nothing is left to do, so it may end at once.

        `outcome.seq` is filled in here.
        """
        if self.closing.outcome is not None or self.closing.first(outcome.phase) is None:
            return False
        self._cause = 0
        self.resumable = self._standing()
        self._close(outcome, reason, message=message)
        self._run()
        self.due.clear()  # no result stands behind it: it is sent once it is committed
        return True

    # -- leaving a state

    def _done(
        self,
        path: str,
        result: Any,
        *,
        passes: bool = False,
        to: str | None = None,
        entry: ActiveStep | None = None,
        worker: str = "",
        reason: Reason = Reason.STEP_SUCCEEDED,
        message: str | None = None,
    ) -> None:
        state = self.definition.find(path)
        assert state is not None  # noqa: S101  # what is active is of the Definition
        following = to if to is not None else state.next
        try:
            output = self.scopes.leave(path, state, result, passes=passes, following=following)
        except ExpressionError as error:
            self._failed(path, StepError(errors.QUERY, str(error), retryable=False), entry=entry, of_task=False)
            return
        self._drop(path)
        scope = parent(path)
        if following is not None:
            self._move(scope, Trigger.SUCCEED, following, reason, entry, worker, message)
        elif scope:
            self.sequence += 1
            self._line(in_progress(scope), reason, entry, worker, message, counted=True)
            self._block_done(scope, output)
        elif self.closing.first(Phase.SUCCEEDED) is not None:
            outcome = Outcome(Phase.SUCCEEDED, 0, output=output)
            self._close(outcome, reason, entry, worker, message)
        else:
            self.state = machine_of(self.definition).fire(self.state, Trigger.SUCCEED, DONE)
            self._line(self.state, reason, entry, worker, message)
            self.output, self.is_done = output, True
            self._forget_all()

    def _failed(
        self,
        path: str,
        error: StepError,
        *,
        entry: ActiveStep | None = None,
        worker: str = "",
        of_task: bool,
    ) -> None:
        state = self.definition.find(path)
        retry: tuple[RetryRule, ...] = getattr(state, "retry", ())
        group = self.groups.get(path)
        tried = entry.tried if entry is not None else group.tried if group is not None else ()
        attempt = entry.attempt if entry is not None else group.attempt if group is not None else 1
        rule = errors.first_match([r.errors for r in retry], error.code, of_task=of_task)
        if rule is not None and error.retryable:
            counts = _counts(tried, attempt, len(retry), rule)
            if may_retry(retry[rule].policy, counts[rule]):
                self._retry(path, error, retry, rule, counts, attempt, worker)
                return
        caught = errors.first_match([c.errors for c in getattr(state, "catch", ())], error.code, of_task=of_task)
        if caught is not None:
            following = getattr(state, "catch")[caught].next  # noqa: B009  # not all states have it
            self._note(Reason.STEP_FAILED, path, attempt, error, f"goes on in {following}")
            self._drop(path)
            scope = parent(path)
            self.scopes.catch(path, error_variable(error, path), following)
            self._move(scope, Trigger.CATCH, following, error.code, entry, worker, error.message)
            return
        self._block_failed_with(path, error, entry, worker, of_task=of_task)

    def _block_failed_with(
        self, path: str, error: StepError, entry: ActiveStep | None, worker: str, *, of_task: bool
    ) -> None:
        if parent(path):
            self.sequence += 1
            self._line(in_progress(path), error.code, entry, worker, error.message, counted=True)
            self._block_failed(path, error, of_task=of_task)
        else:
            self._end(error, path, entry, worker)

    def _retry(
        self,
        path: str,
        error: StepError,
        rules: Sequence[RetryRule],
        rule: int,
        counts: tuple[int, ...],
        attempt: int,
        worker: str,
    ) -> None:
        policy = rules[rule].policy
        backoff = dt.timedelta(seconds=backoff_seconds(policy, counts[rule], self.facts.jitter))
        left = policy.limit + 1 - counts[rule]
        self._note(Reason.STEP_FAILED, path, attempt, error, f"{left} more to be made")
        self._drop(path)
        if not parent(path):
            self.state = machine_of(self.definition).fire(self.state, Trigger.RETRY)
        self._line(in_progress(path), error.code, ActiveStep(path, 0, attempt), worker, error.message)
        tried = counts if len(rules) > 1 else ()
        due = self.facts.now + backoff
        self.active[path] = ActiveStep(path, self.sequence, attempt + 1, not_before=due, tried=tried)

    def _move(
        self,
        scope: str,
        trigger: Trigger,
        following: str,
        reason: str,
        entry: ActiveStep | None,
        worker: str,
        message: str | None = None,
    ) -> None:
        """From one state of a block to another; at the top it is the machine that says whether it may be."""
        to = in_progress(join(scope, following))
        if not scope:
            self.state = machine_of(self.definition).fire(self.state, trigger, to)
        self._line(to, reason, entry, worker, message)
        self._later(join(scope, following), partial(self._enter, scope, following, self.sequence))


def _counts(tried: tuple[int, ...], attempt: int, rules: int, rule: int) -> tuple[int, ...]:
    """Failed attempts by rule, this one included. With one rule they are all its own."""
    if rules == 1:
        return (attempt,)
    counts = list(tried) or [0] * rules
    counts[rule] += 1
    return tuple(counts)
