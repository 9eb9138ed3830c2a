"""Error names: which rule of retry and catch matches which error.

The reserved names are those of the Amazon States Language and keep their meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

ALL: Final = "States.ALL"
TASK_FAILED: Final = "States.TaskFailed"
TIMEOUT: Final = "States.Timeout"
HEARTBEAT: Final = "States.HeartbeatTimeout"
RUNTIME: Final = "States.Runtime"
DATA_LIMIT: Final = "States.DataLimitExceeded"
QUERY: Final = "States.QueryEvaluationError"
TOLERATED: Final = "States.ExceedToleratedFailureThreshold"
TRANSITIONS: Final = "MaxTransitionsExceeded"

ALIASES: Final = {"Timeout": TIMEOUT, "ResultTooLarge": DATA_LIMIT}
"""What workers call an error that has a reserved name. Both match."""

NEVER_CAUGHT: Final = frozenset({RUNTIME, TRANSITIONS})
"""What no rule catches, not even by its name: another attempt cannot help, and no handler could rely on its data."""


def matches(names: Iterable[str], code: str, *, of_task: bool) -> bool:
    """Whether a rule with these names is for an error of this code.

    :param of_task: the error is that of a step, not of a state's own data.
    """
    if code in NEVER_CAUGHT:
        return False
    known = {code, ALIASES.get(code, code)}
    if HEARTBEAT in known:
        known.add(
            TIMEOUT
        )  # a step that is silent for too long is one that takes too long: the general name is for both
    for name in names:
        if name == ALL or name in known:
            return True
        if name == TASK_FAILED and of_task and TIMEOUT not in known:
            return True
    return False


def first_match(rules: Sequence[Sequence[str]], code: str, *, of_task: bool) -> int | None:
    """The index of the first rule that matches."""
    return next((i for i, names in enumerate(rules) if matches(names, code, of_task=of_task)), None)
