"""Handlers by step name, and the two exceptions by which a handler says more than that it failed.

`@step("name")` fills the registry when a module of handlers is imported; the Python mode reads it. A handler takes
`(input)` or `(input, context)`, may be a plain or an `async def` function, and returns a JSON value.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mastercontrol_worker.contract import STEP_FAILED

Handler = Callable[..., Any]
AnyHandler = TypeVar("AnyHandler", bound=Handler)


class StepFailure(Exception):
    """Raised by a handler: the step failed, with this code, and another attempt may help or not.

    :param message: for people; it becomes the Job's error message.
    :param code: a word that a Workflow can match.
    :param retryable: False when another attempt cannot help; the step's retry policy is then not used.
    """

    def __init__(self, message: str = "", *, code: str = STEP_FAILED, retryable: bool = True) -> None:
        super().__init__(message)
        self.message = str(message)
        self.code = str(code) or STEP_FAILED
        self.retryable = bool(retryable)


class GiveBack(Exception):
    """Raised by a handler: nothing failed, but the step goes back to its queue and runs again elsewhere.

    For long steps when `context.draining` is set. The attempt stays the same. The queue's delivery limit bounds how
    often a step can be given back.
    """


class DuplicateStep(ValueError):
    """Two handlers for one step name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A handler and how it is called."""

    function: Handler
    takes_context: bool
    is_async: bool


class Registry:
    """Handlers by step name. Filled at import, read afterwards."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def step(self, name: str) -> Callable[[AnyHandler], AnyHandler]:
        """Register the decorated function as the handler of a step, and leave the function as it is.

        :raises DuplicateStep: the name has a handler already.
        :raises TypeError: the name is no text, or the function takes neither `(input)` nor `(input, context)`.
        """
        if not isinstance(name, str) or not name:
            raise TypeError('a step needs its name: @step("name")')

        def register(function: AnyHandler) -> AnyHandler:
            known = self._entries.get(name)
            if known is not None:
                raise DuplicateStep(f"step {name!r} has two handlers: {_where(known.function)} and {_where(function)}")
            self._entries[name] = Entry(function, _takes_context(function), _is_async(function))
            return function

        return register

    def get(self, name: str) -> Entry | None:
        """The handler of a step; None when there is none."""
        return self._entries.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The steps that have a handler, sorted."""
        return tuple(sorted(self._entries))


registry = Registry()
"""The registry that `step` fills and that `mastercontrol-worker --handlers` serves."""

step = registry.step


def _takes_context(function: Handler) -> bool:
    wrong = TypeError(f"{_where(function)}: a handler takes (input) or (input, context)")
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        raise wrong from None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    others = [p for p in parameters if p not in positional]
    if len(positional) not in (1, 2) or any(p.kind is not p.KEYWORD_ONLY or p.default is p.empty for p in others):
        raise wrong
    return len(positional) == 2  # noqa: PLR2004  input and context


def _is_async(function: Handler) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004  an object with an async __call__ is a handler too


def _where(function: Handler) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    name = getattr(function, "__qualname__", repr(function))
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name
