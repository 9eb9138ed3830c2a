"""The handlers of the relay: each pauses, adds its name to the path, and hands the baton on.

A handler is a function of its input and nothing else: it knows neither the other step nor where the job goes next.
That is the control program's business. Doing a step twice gives the same output, so a redelivery does no harm.
"""

from __future__ import annotations

import math
import time
from typing import Any

import mastercontrol_worker as worker

DEFAULT_PAUSE_SECONDS = 0.2


@worker.step("first")
def first(baton: Any) -> dict[str, Any]:
    return carry(baton, "first")


@worker.step("second")
def second(baton: Any) -> dict[str, Any]:
    return carry(baton, "second")


def carry(baton: Any, name: str) -> dict[str, Any]:
    """Pause for `pauseForSeconds` and return the baton with `name` at the end of its `path`."""
    if baton is None:  # a Job without input
        baton = {}
    if not isinstance(baton, dict):
        raise worker.StepFailure(f"write an object as input, not {baton!r}", code="BadInput", retryable=False)
    time.sleep(pause_seconds(baton))
    return {**baton, "path": [*baton.get("path", []), name]}


def pause_seconds(baton: dict[str, Any]) -> float:
    pause = baton.get("pauseForSeconds", DEFAULT_PAUSE_SECONDS)
    if isinstance(pause, bool) or not isinstance(pause, (int, float)) or not 0 <= pause < math.inf:
        # Another attempt gets the same input, so it could not do better.
        text = f"pauseForSeconds: write a number of seconds, 0 or more, not {pause!r}"
        raise worker.StepFailure(text, code="BadInput", retryable=False)
    return float(pause)
