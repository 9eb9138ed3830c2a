"""Whether the pods of a pool have nodes, read from the pods. Pure.

`report.py` asks when workers are not ready for some time, and the condition `PodsScheduled` says it. What the scheduler
says of one pod changes with the cluster, so the first by name speaks for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mastercontrol.engine.ports import RawObject

_MAX_CHARS = 300


@dataclass(frozen=True, slots=True)
class Scheduling:
    """What is known of the pods' nodes: `message` says which pods have none, None that all have one."""

    message: str | None = None


def look(pods: Iterable[RawObject]) -> Scheduling:
    """What the pods say. Those that are being deleted do not count: nobody waits for them."""
    current = sorted(
        (pod for pod in pods if pod.get("metadata", {}).get("deletionTimestamp") is None),
        key=lambda pod: str(pod.get("metadata", {}).get("name", "")),
    )
    without = [(pod, condition) for pod in current if (condition := _unscheduled(pod)) is not None]
    if not without:
        return Scheduling()
    pod, condition = without[0]
    name = pod.get("metadata", {}).get("name", "")
    why = condition.get("message") or condition.get("reason", "Unknown")
    return Scheduling(f"{len(without)} of {len(current)} pods have no node; {name}: {why}"[:_MAX_CHARS])


def _unscheduled(pod: RawObject) -> Mapping[str, Any] | None:
    """The condition by which the scheduler says that it has no node for a pod."""
    conditions: Iterable[Mapping[str, Any]] = pod.get("status", {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == "PodScheduled" and c.get("status") == "False"), None)
