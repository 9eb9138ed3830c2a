"""How a job moves through its Definition: a state is entered, done, failed, caught; blocks begin, join and end.

`decide` makes one Flow a decision, tells it what happened, and takes the moved status from it. Pure: the clock, the
dice and the outside are in Facts. Nothing here publishes; steps that became due are in `due`.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from mastercontrol.api.job import ActiveStep, Group, HistoryEntry, Job, JobError, JobStatus, Outcome
from mastercontrol.api.names import Phase, Reason
from mastercontrol.engine.closing import Closing
from mastercontrol.engine.facts import Facts, Note
from mastercontrol.engine.moves import MESSAGE_CHARS, WORKER_CHARS
from mastercontrol.engine.scopes import Scopes, group_of, index_of, is_inside, join, name_of, parent
from mastercontrol.workflow import errors
from mastercontrol.workflow.definition import (
    COMPENSATE,
    ChoiceState,
    Definition,
    FailState,
    MapState,
    ParallelState,
    PassState,
    RetryRule,
    SignalState,
    State,
    SubJobState,
    SucceedState,
    TaskState,
    WaitState,
    inner_block,
)
from mastercontrol.workflow.expressions import ExpressionError
from mastercontrol.workflow.machine import DONE, FAILED, Trigger, TriggerRefused, in_progress, machine_of
from mastercontrol.workflow.retry import backoff_seconds, may_retry
from mastercontrol_worker.contract import StepError

LONGEST_WAIT: Final = dt.timedelta(days=3660)
MOST_AT_ONCE: Final = 10_000
"""Transitions of one decision: a loop that waits for nothing would hold up all other jobs, so it is an error."""


class Flow:
    """One job on its way, for one decision. `ended` tells how, once it has."""

    def __init__(self, job: Job, status: JobStatus, definition: Definition, facts: Facts) -> None:
        self.job = job
        self.facts = facts
        self.definition = definition
        self.closing = Closing(definition, status)
        self.scopes = Scopes(job, definition, status.scope, {s.path: s for s in status.scopes}, self.closing)
        self.active: dict[str, ActiveStep] = {a.path: a for a in status.active}
        self.groups: dict[str, Group] = {g.path: g for g in status.groups}
        self.state, self.sequence = status.state, status.sequence
        self.history: list[HistoryEntry] = list(status.history)
        self.due: list[str] = []  # paths of steps that became due by what is happening now
        self.notes: list[Note] = []
        self.output: Any = None
        self.error: tuple[StepError, str] | None = None  # with the path where it came from
        self.is_done = False
        self.is_cancelled = False
        self.resumable = status.resumable  # of a job that failed: the states that it was in, the failed one first
        self._broken: str | None = None  # where the error came from that is on its way up
        self._counted_from = status.counted_from
        self._came_from = status.sequence
        self._cause = 0  # the sequence of the dispatch whose answer moves the job now; 0: none
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()  # with the path of the state that it is about

    @property
    def ended(self) -> bool:
        """Whether the job is at its end."""
        return self.is_done or self.is_cancelled or self.error is not None

    # -- what happens

    def begin(self) -> None:
        """Enter the first state."""
        self.state = machine_of(self.definition).fire(self.state, Trigger.START)
        self._line(self.state, Reason.STARTED)
        self._enter("", self.definition.start, self.sequence)
        self._run()

    def require_state(self, path: str) -> None:
        """Make sure that the job is where an active state says it is.

        :raises TriggerRefused: it is elsewhere, so nothing of it may move.
        """
        expected = in_progress(path.partition(".")[0].partition("[")[0])
        if machine_of(self.definition).fire(self.state, Trigger.RETRY) != expected:
            raise TriggerRefused(f"{path} is active while the job is in {self.state}")

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

    def fail(self, entry: ActiveStep, error: StepError, worker: str = "", *, of_task: bool = True) -> None:
        """A step, a wait or a signal failed."""
        self._cause = entry.seq
        self._failed(entry.path, error, entry=entry, worker=worker, of_task=of_task)
        self._run()

    def again(self, entry: ActiveStep) -> None:
        """The back-off of a Parallel or a Map is over: begin it again."""
        self.active.pop(entry.path)
        self._cause = 0
        self._enter(parent(entry.path), name_of(entry.path), entry.seq, entry)
        self._run()

    # -- the end from outside, where something is left to do before it

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

    # -- entering

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

    # -- Parallel and Map

    def _open(self, path: str, seq: int, size: int, begin: int, before: ActiveStep | None) -> None:
        attempt, tried = (before.attempt, before.tried) if before is not None else (1, ())
        self.groups[path] = Group(path, seq, size, begin, attempt=attempt, tried=tried)
        if size == 0:
            self._later(path, partial(self._join, path))
        for index in range(begin):
            self._later(path, partial(self._begin_block, path, index))

    def _begin_block(self, path: str, index: int) -> None:
        state = self.definition.find(path)
        block = None if state is None else inner_block(state, index)
        assert block is not None  # noqa: S101  # the group was opened for as many
        scope = f"{path}[{index}]"
        self.sequence += 1
        self._line(in_progress(join(scope, block.start)), Reason.STARTED, counted=True)
        self._enter(scope, block.start, self.sequence)

    def _block_done(self, scope: str, output: Any) -> None:
        path, index = group_of(scope), index_of(scope)
        if self.closing.is_closing(path):
            self._closing_over(path, scope, None)
            return
        group = self.groups[path]
        self.scopes.forget(scope)
        self._settle(replace(group, results={**group.results, index or 0: output}))

    def _settle(self, group: Group) -> None:
        """A block of a group is over: begin the next one, or join."""
        if group.started < group.size:
            following = group.started
            group = replace(group, started=following + 1)
            self._later(group.path, partial(self._begin_block, group.path, following))
        self.groups[group.path] = group
        if len(group.results) == group.size:
            self._later(group.path, partial(self._join, group.path))

    def _join(self, path: str) -> None:
        group = self.groups[path]
        self._done(path, [group.results[i] for i in range(group.size)])

    def _block_failed(self, path: str, error: StepError, *, of_task: bool) -> None:
        """A state failed for good and nothing in its block catches it: the block fails.

        What runs beside it is dropped by what handles the error. If nothing does, a retry of the job needs all of it.
        """
        self._broken = self._broken or path
        scope = parent(path)
        if not scope:
            self._end(error, path)
            return
        holder, index = group_of(scope), index_of(scope)
        if self.closing.is_closing(holder):
            self._closing_over(holder, scope, error)
            return
        state, group = self.definition.find(holder), self.groups[holder]
        if isinstance(state, MapState) and self._tolerates(state, group):
            self._drop(path)
            self.scopes.forget(scope)
            result = {"error": _error(error, path)}
            results = {**group.results, index or 0: result}
            self._settle(replace(group, failed=group.failed + 1, results=results))
            return
        if isinstance(state, MapState) and not (state.tolerated_count is None and state.tolerated_percentage is None):
            text = f"{group.failed + 1} of {group.size} items failed; the last: {error.code}: {error.message}"
            error, of_task = StepError(errors.TOLERATED, text), False
        if not of_task:
            # What the same state could only do wrong again may go well where the whole is done again.
            error = replace(error, retryable=True)
        # The other blocks end with it: what of theirs is with workers comes back as stale results.
        self._failed(holder, error, of_task=of_task)

    def _tolerates(self, state: MapState, group: Group) -> bool:
        count, percentage = state.tolerated_count, state.tolerated_percentage
        if count is None and percentage is None:
            return False
        failed = group.failed + 1
        return (count is None or failed <= count) and (percentage is None or failed * 100 <= percentage * group.size)

    # -- leaving

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
        of_task: bool = True,
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
            self.scopes.catch(path, _error(error, path), following)
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

    def _standing(self, *first: str) -> tuple[str, ...]:
        """The states that the job is in. Its blocks and their data stay as they are, so a retry goes on from there."""
        here = (*first, *self.active, *(p for p, _ in self._waiting if p not in self.groups))
        return tuple(dict.fromkeys(here))

    # -- closing: what undoes states that are done, and what runs at the end

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

    def _drop_inside(self, scope: str) -> None:
        """Forget all that is inside of a state or a block, also what was still to be done there in this decision."""
        for known in (self.active, self.groups):
            for inside in [p for p in known if is_inside(p, scope)]:
                del known[inside]
        self.scopes.forget(scope)
        self.scopes.drop(scope)
        self.due = [p for p in self.due if p in self.active]
        self._waiting = deque((p, act) for p, act in self._waiting if p != scope and not is_inside(p, scope))

    def _forget_all(self) -> None:
        self.active.clear()
        self.due.clear()
        self._waiting.clear()

    def _drop(self, path: str) -> None:
        """Forget a state and all that runs inside it."""
        self._broken = None
        self.active.pop(path, None)
        if self.groups.pop(path, None) is not None:
            self._drop_inside(path)

    # -- bookkeeping

    def _later(self, path: str, act: Callable[[], None]) -> None:
        """Do it after what is being done now, unless the state is dropped first. So no chain is a deep recursion."""
        self._waiting.append((path, act))

    def _run(self) -> None:
        while self._waiting and not self.ended:
            _, act = self._waiting.popleft()
            act()

    def _line(
        self,
        state: str,
        reason: str,
        entry: ActiveStep | None = None,
        worker: str = "",
        message: str | None = None,
        *,
        counted: bool = False,
    ) -> None:
        """Count a transition and leave a line of it in the history."""
        if not counted:
            self.sequence += 1
        line = HistoryEntry(
            seq=self.sequence,
            time=self.facts.now,
            state=state,
            reason=str(reason),
            attempt=entry.attempt if entry and (entry.attempt > 1 or reason != Reason.STEP_SUCCEEDED) else None,
            message=message[:MESSAGE_CHARS] if message else None,
            worker=worker[:WORKER_CHARS] or None,
        )
        self.history = [*self.history, line][-self.facts.limits.history :]

    def _note(self, reason: Reason, path: str, attempt: int, error: StepError, then: str) -> None:
        known = Reason(error.code) if error.code in set(Reason) else reason
        self.notes.append(Note(known, f"{path}, attempt {attempt}: {error.code}: {error.message}; {then}"))


def _counts(tried: tuple[int, ...], attempt: int, rules: int, rule: int) -> tuple[int, ...]:
    """Failed attempts by rule, this one included. With one rule they are all its own."""
    if rules == 1:
        return (attempt,)
    counts = list(tried) or [0] * rules
    counts[rule] += 1
    return tuple(counts)


def _error(error: StepError, path: str) -> dict[str, Any]:
    """An error as expressions see it."""
    return {"code": str(error.code), "message": error.message, "state": name_of(path)}  # a Reason is no JSON
