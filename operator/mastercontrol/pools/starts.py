"""How long the pods of a pool take to start, read from those that there are. Pure.

`reducer.py` asks when it looks at the pods of a pool that has too many; `scaling.py` says what follows from it.
"""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Iterable
from typing import Any, Final

from mastercontrol.api.values import parse_time
from mastercontrol.engine.ports import RawObject

LOADS_SECONDS: Final = 600.0
"""At most so long after its container began a worker has loaded its handlers and is ready. One that is ready later has
become so anew, as when its node was away for a moment."""


def start_seconds(pods: Iterable[RawObject]) -> float | None:
    """The median of the seconds from a pod's creation until it was ready; None where no pod tells.

    A pod tells while it is ready and none of its containers was ever restarted: after a restart it became ready anew.
    So it may without one, and long after: then it counts when its last container began (LOADS_SECONDS).
    """
    found = [seconds for pod in pods if (seconds := _seconds(pod)) is not None]
    return statistics.median(found) if found else None


def _seconds(pod: RawObject) -> float | None:
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or ()
    if any(container.get("restartCount") for container in containers):
        return None
    created, ready = _time(pod["metadata"].get("creationTimestamp")), _ready_since(status)
    if created is None or ready is None or ready < created:
        return None
    began = max((time for container in containers if (time := _began(container)) is not None), default=ready)
    anew = (ready - began).total_seconds() > LOADS_SECONDS
    return max(0.0, ((began if anew else ready) - created).total_seconds())


def _ready_since(status: dict[str, Any]) -> dt.datetime | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            return _time(condition.get("lastTransitionTime"))
    return None


def _began(container: dict[str, Any]) -> dt.datetime | None:
    running = (container.get("state") or {}).get("running") or {}
    return _time(running.get("startedAt"))


def _time(text: object) -> dt.datetime | None:
    """None for what is no time with a zone."""
    try:
        time = parse_time(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return time if time is not None and time.tzinfo is not None else None
