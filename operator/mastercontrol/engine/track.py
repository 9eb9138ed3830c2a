"""What a job has on its way, and the bookkeeping of a decision: states, blocks, transitions, history, what follows.

The lowest part of `flow`, which builds on it in this order: how a job ends (`ends`), what blocks do (`blocks`), how a
state is entered (`entering`), how one is left (`flow`). Pure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

from mastercontrol.api.job import Job
from mastercontrol.api.names import Reason
from mastercontrol.api.status import ActiveStep, Group, HistoryEntry, JobStatus
from mastercontrol.engine.closing import Closing
from mastercontrol.engine.facts import Facts, Note
from mastercontrol.engine.moves import MESSAGE_CHARS, WORKER_CHARS
from mastercontrol.engine.scopes import Scopes, is_inside, name_of
from mastercontrol.workflow.definition import Definition
from mastercontrol.workflow.machine import Trigger, TriggerRefused, in_progress, machine_of
from mastercontrol_worker.contract import StepError


class Track(ABC):
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

    def require_state(self, path: str) -> None:
        """Make sure that the job is where an active state says it is.

        :raises TriggerRefused: it is elsewhere, so nothing of it may move.
        """
        expected = in_progress(path.partition(".")[0].partition("[")[0])
        if machine_of(self.definition).fire(self.state, Trigger.RETRY) != expected:
            raise TriggerRefused(f"{path} is active while the job is in {self.state}")

    # -- what may happen to a state: `entering` and `flow` say how

    @abstractmethod
    def _enter(self, scope: str, name: str, seq: int, before: ActiveStep | None = None) -> None: ...

    @abstractmethod
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
    ) -> None: ...

    @abstractmethod
    def _failed(
        self,
        path: str,
        error: StepError,
        *,
        entry: ActiveStep | None = None,
        worker: str = "",
        of_task: bool,
    ) -> None: ...

    # -- bookkeeping

    def _standing(self, *first: str) -> tuple[str, ...]:
        """The states that the job is in. Its blocks and their data stay as they are, so a retry goes on from there."""
        here = (*first, *self.active, *(p for p, _ in self._waiting if p not in self.groups))
        return tuple(dict.fromkeys(here))

    def _drop(self, path: str) -> None:
        """Forget a state and all that runs inside it."""
        self._broken = None
        self.active.pop(path, None)
        if self.groups.pop(path, None) is not None:
            self._drop_inside(path)

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


def error_variable(error: StepError, path: str) -> dict[str, Any]:
    """An error as expressions see it."""
    return {"code": str(error.code), "message": error.message, "state": name_of(path)}  # a Reason is no JSON
