"""What Parallel and Map do: their blocks begin, are done or fail, and join. A part of `flow`, pure as that is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from mastercontrol.api.names import Reason
from mastercontrol.api.status import ActiveStep, Group
from mastercontrol.engine.ends import Ends
from mastercontrol.engine.scopes import group_of, index_of, join, parent
from mastercontrol.engine.track import error_variable
from mastercontrol.workflow import errors
from mastercontrol.workflow.definition import MapState, inner_block
from mastercontrol.workflow.machine import in_progress
from mastercontrol_worker.contract import StepError


class Blocks(Ends):
    """A job whose states may have blocks of states in them."""

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
            result = {"error": error_variable(error, path)}
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
