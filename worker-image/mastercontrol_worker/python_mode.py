"""Python functions as handlers. Owned by an Executor; the handlers come from a Registry.

A plain function runs on a thread of its own, a coroutine on the thread that all coroutines share: one that blocks
holds up the other coroutines, not the worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mastercontrol_worker.contract import STEP_UNKNOWN, Failed, StepError, Succeeded
from mastercontrol_worker.runs import CoroutineRun, CoroutineThread, ThreadRun

if TYPE_CHECKING:
    from collections.abc import Callable

    from mastercontrol_worker.context import Context
    from mastercontrol_worker.contract import ResultMessage, StepMessage
    from mastercontrol_worker.execute import Outcome, Run
    from mastercontrol_worker.steps import Entry, Registry


class PythonRunner:
    """Runs the handlers of a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._coroutines = CoroutineThread()

    def start(self, message: StepMessage, context: Context, seal: Callable[[Outcome], ResultMessage | None]) -> Run:
        """Start the handler of the step; a step without one fails with STEP_UNKNOWN.

        That failure is retryable: while new workers replace old ones, the next attempt may meet a newer worker. The
        step's retry limit bounds it when the name is simply wrong.
        """
        entry = self._registry.get(message.step)
        if entry is None:
            return ThreadRun(context, lambda: self._unknown(message.step), seal)
        if entry.is_async:
            return CoroutineRun(self._coroutines.loop(), context, lambda: _await(entry, message, context), seal)
        return ThreadRun(context, lambda: Succeeded(_call(entry, message, context)), seal)

    def close(self) -> None:
        """End the coroutines' thread."""
        self._coroutines.close()

    def _unknown(self, step: str) -> Failed:
        known = ", ".join(self._registry.names) or "none at all"
        return Failed(StepError(STEP_UNKNOWN, f"this worker has no handler for step {step!r}; it has: {known}"))


async def _await(entry: Entry, message: StepMessage, context: Context) -> Outcome:
    return Succeeded(await _call(entry, message, context))


def _call(entry: Entry, message: StepMessage, context: Context) -> Any:
    return entry.function(message.input, context) if entry.takes_context else entry.function(message.input)
