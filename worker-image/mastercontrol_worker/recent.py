"""The results that this worker sent lately, by dispatch id and step name.

A step whose acknowledgement was lost with its connection is handed out again. If it comes to the same worker it is
answered from here and does not run twice. The answer is sent again, not only acknowledged: the broker may have lost
the first one with all its data.

The id alone does not tell a step: where a Workflow is edited at the moment that a job begins, the first steps of both
versions may be sent, under one id.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mastercontrol_worker.contract import ResultMessage, StepMessage


class RecentResults:
    """The newest results, bounded by their count and by the sum of their encoded sizes in bytes."""

    def __init__(self, max_count: int, max_bytes: int) -> None:
        self._max_count, self._max_bytes = max_count, max_bytes
        self._results: OrderedDict[tuple[str, str], tuple[ResultMessage, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._results)

    def get(self, step: StepMessage) -> ResultMessage | None:
        """The result of that step, if it is still known."""
        key = step.id, step.step
        found = self._results.get(key)
        if found is None:
            return None
        self._results.move_to_end(key)
        return found[0]

    def put(self, result: ResultMessage) -> None:
        """Remember a result, and forget the oldest ones that no longer fit."""
        key = result.id, result.step
        _, old = self._results.pop(key, (result, 0))
        size = len(result.encode())
        self._results[key] = (result, size)
        self._bytes += size - old
        while len(self._results) > self._max_count or self._bytes > self._max_bytes:
            _, (_, dropped) = self._results.popitem(last=False)
            self._bytes -= dropped
