"""Which workers go when there are too many, and when their pods may: never one that is at work. Pure.

`reducer.py` calls `plan` with the pods that there are and what the workers say of themselves, again and again until
there are no more than wanted. In this order:

1. The workers that are to go are chosen: first pods that are not ready and silent, then idle workers, then those that
   hold the fewest steps, then strangers. They are asked to drain: to take no more steps, and to finish those they have.
2. Who has nothing left is marked, so that the ReplicaSet takes these pods and no others.
3. Once the marks stand, the number of replicas goes down by as many. Until the ReplicaSet has taken them, `reducer.py`
   changes nothing that it chooses by.

So no step reaches a worker in the last moment, and a worker with an hour's step is waited for, taking nothing new.
If there is work again meanwhile, it is asked to go on. Nothing here needs to be remembered: a new operator sees the
same pods, marks and workers, and goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.crew import Member
from mastercontrol_worker.presence import Doing

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
"""By this annotation a ReplicaSet chooses among ready pods: the lowest go first, and without it a pod has 0."""

MARK: Final = "-1000"

_ENDED: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that counts as a replica. `marked`: it is to go first. `created` is an RFC 3339 time."""

    name: str
    ready: bool
    marked: bool = False
    created: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now; names of pods. `replicas` is what the Deployment should have as soon as `settled`.

    `busy` of those that are to go still hold something; the number is for those that are `going`.
    """

    replicas: int
    drain: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    mark: tuple[str, ...] = ()
    unmark: tuple[str, ...] = ()
    busy: int = 0
    going: tuple[str, ...] = ()


def pods_of(raw: Iterable[RawObject]) -> list[Pod]:
    """Those of these Pods that a ReplicaSet counts: not ended, and not on their way out."""
    return [
        Pod(
            str(pod["metadata"]["name"]), _is_ready(pod), _is_marked(pod), str(pod["metadata"].get("creationTimestamp"))
        )
        for pod in raw
        if pod["metadata"].get("deletionTimestamp") is None and pod.get("status", {}).get("phase") not in _ENDED
    ]


def plan(
    pods: Collection[Pod],
    crew: Mapping[str, Member],
    orders: Mapping[str, str],
    wanted: int,
    idle: Collection[str],
    settled: Collection[str],
    *,
    may_go: bool = True,
) -> Plan:
    """What to do so that `wanted` workers are left.

    :param orders: by worker, the order to drain that holds for it.
    :param idle: of the workers that say nothing of themselves, those that may go: they hold no step as far as the
        broker knows. They can't be asked to drain, so one may get a step in the last moment, and its grace period.
    """
    chosen = sorted(pods, key=lambda pod: _order(pod, crew.get(pod.name), idle))[: max(len(pods) - wanted, 0)]
    names = {pod.name for pod in chosen}

    def is_done(pod: Pod) -> bool:
        member = crew.get(pod.name)
        if member is None:
            return not pod.ready or pod.name in idle
        return member.is_done(orders.get(pod.name))  # one that speaks is at work, whatever the pod's status says

    done = [pod for pod in chosen if is_done(pod)]
    resume = tuple(pod.name for pod in pods if pod.name not in names and _drains(crew.get(pod.name)))
    drain = tuple(pod.name for pod in chosen if pod.name in crew and crew[pod.name].doing is not Doing.ENDING)
    busy = len(chosen) - len(done)
    if len(done) == len(pods):
        return Plan(wanted, drain, resume, going=tuple(pod.name for pod in chosen))  # all, so none need be marked
    unmark = tuple(pod.name for pod in pods if pod.marked and pod not in done)
    mark = tuple(pod.name for pod in done if not pod.marked)
    if unmark or not may_go:
        return Plan(len(pods), drain, resume, mark, unmark, busy)
    going = tuple(pod.name for pod in done if pod.name in settled)
    return Plan(max(wanted, len(pods) - len(going)), drain, resume, mark, unmark, busy, going)


def _order(pod: Pod, member: Member | None, idle: Collection[str]) -> tuple[int, int, bool, str, str]:
    """The smallest go first. Among equals those that drain already, or the choice would never come to rest."""
    if member is None and not pod.ready:
        return 0, 0, False, pod.created, pod.name
    if member is None:
        return (3 if pod.name in idle else 4), 0, False, pod.created, pod.name
    return (2 if member.held else 1), member.held, not _drains(member), pod.created, pod.name


def _drains(member: Member | None) -> bool:
    return member is not None and member.doing is Doing.DRAINING


def _is_ready(pod: RawObject) -> bool:
    conditions: list[dict[str, Any]] = pod.get("status", {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _is_marked(pod: RawObject) -> bool:
    annotations = pod["metadata"].get("annotations") or {}
    return annotations.get(DELETION_COST) == MARK
