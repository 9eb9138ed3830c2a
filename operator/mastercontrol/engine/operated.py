"""How a job moves because a user asked for it: a failed one goes on or begins anew, a state is skipped.

`decide` makes an OperatedFlow for a turn in which `spec.operations` has something new, and for nothing else. What it
makes due has no result behind it, so it is committed first and sent by the next turn, as what time makes due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from mastercontrol.api.names import Reason
from mastercontrol.api.operation import Operation, OperationType
from mastercontrol.engine.flow import Flow
from mastercontrol.engine.scopes import is_inside, name_of, parent
from mastercontrol.workflow.definition import split_index
from mastercontrol.workflow.expressions import ExpressionError
from mastercontrol.workflow.machine import Trigger, TriggerRefused, in_progress, machine_of


class OperatedFlow(Flow):
    """A Flow for one operation. The status that it is made of is that of a running job."""

    def operate(self, operation: Operation, left: Sequence[str]) -> str | None:
        """Do it; why not, if it can't be done. Then nothing of this Flow is to be used.

        :param left: the paths that a failed job was in; none for one that runs.
        """
        try:
            match operation.type:
                case OperationType.RETRY:
                    self._resume(left, operation)
                case OperationType.RESTART:
                    self._restart(operation)
                case OperationType.SKIP:
                    self._skip(operation, left)
        except TriggerRefused as refused:
            return f"{refused}; write Restart"
        except ExpressionError as error:
            return f"the state could not be left so: {error}; write an output that its expressions can read"
        self._run()
        self.due.clear()
        return None

    def _resume(self, left: Sequence[str], operation: Operation) -> None:
        """Enter again what a failed job was in, each under a number of its own; its groups go on as they stood."""
        skipped = operation.state
        top = split_index(left[0].partition(".")[0])[0]
        self.state = machine_of(self.definition).fire(self.state, Trigger.RESUME, in_progress(top))
        self._line(self.state, Reason.RETRIED, message=operation.reason)
        for path in left:
            if path in self.groups or path == skipped or (skipped and is_inside(path, skipped)):
                continue
            if parent(path):
                self._line(in_progress(path), Reason.RETRIED, message=operation.reason)
            self._later(path, partial(self._enter, parent(path), name_of(path), self.sequence))
        busy = {parent(path) for path in (*left, *self.groups)}
        for path in list(self.groups):
            if path != skipped and not (skipped and is_inside(path, skipped)):
                self._go_on(path, busy)

    def _go_on(self, path: str, busy: set[str]) -> None:
        """A group: what was about to happen in it when the job failed. Its attempts count anew."""
        group = self.groups[path] = replace(self.groups[path], attempt=1, tried=())
        for index in range(group.started):
            if index not in group.results and f"{path}[{index}]" not in busy:
                self._later(path, partial(self._begin_block, path, index))
        if len(group.results) == group.size:
            self._later(path, partial(self._join, path))

    def _restart(self, operation: Operation) -> None:
        self.state = machine_of(self.definition).fire(self.state, Trigger.RESTART)
        self._line(self.state, Reason.RESTARTED, message=operation.reason)
        self._enter("", self.definition.start, self.sequence)

    def _skip(self, operation: Operation, left: Sequence[str]) -> None:
        """Take a state for done, with all that runs inside it. Of a failed job the rest goes on."""
        path = operation.state or ""
        state = self.definition.find(path)
        assert state is not None  # noqa: S101  # what the job is in is of the Definition
        result = operation.output if operation.has_output else self.scopes.input(path)
        self.scopes.check(path, state, result)
        if left:
            self._resume(left, operation)
        else:
            self.require_state(path)
        self._done(
            path,
            result,
            passes=not operation.has_output,
            entry=self.active.get(path),
            reason=Reason.SKIPPED,
            message=operation.reason,
        )
