"""Why workers are not ready, read from their Pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mastercontrol.engine.ports import RawObject

_ON_ITS_WAY = frozenset({"ContainerCreating", "PodInitializing"})
_MAX_CHARS = 300


def why_not_ready(pods: Iterable[RawObject]) -> str | None:
    """The first reason in the order of the pods' names, as `Reason: message`; None when they are just starting.

    Only where nothing else is the matter, that a worker runs and has not loaded its handlers yet.
    """
    by_name = sorted(pods, key=lambda pod: str(pod.get("metadata", {}).get("name", "")))
    found = (text for reasons in (_reasons, _loading) for pod in by_name for text in reasons(pod))
    return next(found, None)


def _reasons(pod: RawObject) -> Iterator[str]:
    status = pod.get("status", {})
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            yield _text(condition)
    for container in status.get("containerStatuses") or ():
        waiting = container.get("state", {}).get("waiting")
        if waiting is not None and waiting.get("reason") not in _ON_ITS_WAY:
            yield _text(waiting) + _last_exit(container)


def _loading(pod: RawObject) -> Iterator[str]:
    for container in pod.get("status", {}).get("containerStatuses") or ():
        if "running" in container.get("state", {}) and container.get("started") is False:
            yield "a worker runs and is still loading what it needs" + _last_exit(container)


def _last_exit(container: dict[str, Any]) -> str:
    ended = container.get("lastState", {}).get("terminated")
    return "" if ended is None else f" (it ended with exit code {ended.get('exitCode')}, {ended.get('reason')})"


def _text(data: dict[str, Any]) -> str:
    reason, message = data.get("reason", "Unknown"), str(data.get("message", ""))
    return f"{reason}: {message}"[:_MAX_CHARS] if message else str(reason)
