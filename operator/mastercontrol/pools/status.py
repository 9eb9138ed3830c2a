"""The status of a WorkerPool: made from what is known, compared with what stands there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from mastercontrol.api.names import ConditionType, Reason
from mastercontrol.pools.backoff import Problem
from mastercontrol.pools.deadletters.state import Known
from mastercontrol.pools.live import Counts
from mastercontrol.pools.scaling import ScalingPolicy
from mastercontrol.pools.scheduling import Scheduling

Status = Mapping[str, Any]

_MAX_CHARS = 300
"""Of a text that comes from elsewhere."""


@dataclass(frozen=True, slots=True)
class View:
    """All that a status is made of. `policy` is None for a pool that was never valid, `wanted` without a Deployment.

    `unread` says why the last reading of the queue failed, if it did.
    """

    generation: int
    selector: str
    policy: ScalingPolicy | None
    counts: Counts
    wanted: int | None
    backlog: int | None
    leaving: int
    mute: str | None
    limit: Problem | None
    busy: int | None
    dead_letters: Known | None
    last_scale_time: str | None
    unread: str | None
    problem: Problem | None
    trouble: str | None
    scheduling: Scheduling | None


@dataclass(frozen=True, slots=True)
class _Condition:
    type: ConditionType
    status: str
    reason: Reason
    message: str


class Change(Enum):
    """How two statuses differ."""

    NONE = auto()
    COUNTS = auto()  # numbers and the texts that contain them
    MEANING = auto()  # a condition's status or reason, or the generation


def build(view: View, old: Status, now: str) -> dict[str, Any]:
    """The status that says what `view` knows. `now` is an RFC 3339 time for conditions that change.

    A field that is None is to be removed.
    """
    conditions = [_ready(view), *_scaling_active(view), *_pods_scheduled(view)]
    before = {item.get("type"): item for item in old.get("conditions") or ()}
    unknown = before.get(ConditionType.PODS_SCHEDULED.value) if view.scheduling is None else None
    return {
        "observedGeneration": view.generation,
        "replicas": view.counts.replicas,
        "readyReplicas": view.counts.ready,
        "wantedReplicas": view.wanted,
        "backlog": view.backlog,
        "busy": view.busy,
        **_dead_letters(view.dead_letters),
        "selector": view.selector,
        "lastScaleTime": view.last_scale_time,
        "conditions": [
            *(_as_json(item, view.generation, before.get(item.type.value), now) for item in conditions),
            *([] if unknown is None else [dict(unknown)]),  # what is not known yet stays as it was
        ],
    }


def _dead_letters(known: Known | None) -> dict[str, Any]:
    """None of either where it is not known, and no empty list: most pools have none for ever."""
    newest = None if known is None else known.newest
    return {"deadLetters": None if known is None else known.count, "newestDeadLetters": list(newest or ()) or None}


def compare(new: Status, old: Status) -> Change:
    """How the status that should be differs from the one that stands there. Absent and None are the same."""
    if all(new.get(name) == old.get(name) for name in new):
        return Change.NONE
    return Change.COUNTS if _meaning(new) == _meaning(old) else Change.MEANING


def _meaning(status: Status) -> object:
    conditions = status.get("conditions") or ()
    told = [item for item in conditions if item.get("type") != ConditionType.SCALING_LIMITED.value]  # as a count is
    return status.get("observedGeneration"), [tuple(map(item.get, ("type", "status", "reason"))) for item in told]


def _ready(view: View) -> _Condition:
    if view.problem is not None:
        return _false(ConditionType.READY, view.problem.reason, view.problem.message)
    if view.wanted is None:
        return _false(ConditionType.READY, Reason.NOT_READY, "there is no Deployment yet")
    if view.policy is not None and view.policy.maximum == 0:
        return _true(ConditionType.READY, Reason.PAUSED, "paused: maxReplicas is 0, so no worker runs")
    if view.wanted == 0:
        return _true(ConditionType.READY, Reason.READY, "no worker is needed now")
    message = f"{min(view.counts.ready, view.wanted)} of {view.wanted} workers are ready"
    if view.trouble is not None:
        rolls = "" if view.counts.ready < view.wanted else "their replacements are not: "
        message += f"; {rolls}{view.trouble}"
    if view.counts.ready == 0:
        return _false(ConditionType.READY, Reason.NOT_READY, message)
    return _true(ConditionType.READY, Reason.READY, message)


def _scaling_active(view: View) -> list[_Condition]:
    kind = ConditionType.SCALING_ACTIVE
    if view.policy is None:
        return []
    if view.policy.maximum == 0:
        return [_false(kind, Reason.PAUSED, "maxReplicas is 0")]
    if not view.policy.automatic:
        return [_false(kind, Reason.SCALING_DISABLED, "autoscaling.enabled is false")]
    if view.backlog is None:
        why = "it was not read yet" if view.unread is None else view.unread
        text = f"the queue can't be read, so no worker is stopped ({why[:_MAX_CHARS]})"
        return [_false(kind, Reason.DEPTH_UNKNOWN, text)]
    message = "the number of workers follows the backlog"
    if view.leaving:
        message += f"; {view.leaving} finish their steps before they are stopped"
    if view.mute is not None:
        message += f"; only idle workers are stopped, as none can be asked to drain: {view.mute[:_MAX_CHARS]}"
    return [_true(kind, Reason.FOLLOWS_BACKLOG, message), _scaling_limited(view)]


def _scaling_limited(view: View) -> _Condition:
    kind = ConditionType.SCALING_LIMITED
    if view.limit is not None:
        return _true(kind, view.limit.reason, view.limit.message)
    return _false(kind, Reason.DESIRED_WITHIN_RANGE, "there are as many workers as the steps call for")


def _pods_scheduled(view: View) -> list[_Condition]:
    kind = ConditionType.PODS_SCHEDULED
    if view.scheduling is None:
        return []
    if view.scheduling.message is not None:
        return [_false(kind, Reason.UNSCHEDULABLE, view.scheduling.message)]
    return [_true(kind, Reason.SCHEDULED, "no pod lacks a node")]


def _true(kind: ConditionType, reason: Reason, message: str) -> _Condition:
    return _Condition(kind, "True", reason, message)


def _false(kind: ConditionType, reason: Reason, message: str) -> _Condition:
    return _Condition(kind, "False", reason, message)


def _as_json(condition: _Condition, generation: int, before: Mapping[str, Any] | None, now: str) -> dict[str, Any]:
    same = before is not None and before.get("status") == condition.status
    since = before.get("lastTransitionTime", now) if before is not None and same else now
    return {
        "type": condition.type.value,
        "status": condition.status,
        "reason": condition.reason.value,
        "message": condition.message,
        "observedGeneration": generation,
        "lastTransitionTime": since,
    }
