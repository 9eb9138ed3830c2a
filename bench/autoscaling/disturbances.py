"""What comes over the pods of a namespace from outside: nodes that are drained, and nodes that fail.

A drained node takes no new pods; each of its pods is evicted as soon as its pool's PodDisruptionBudget allows it. With
a failed node its pods are gone at once: after a while the cluster notices, later it takes them for gone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoscaling.site import Site, Worker
from autoscaling.timeline import Timeline

AGAIN = 5.0
"""Seconds until `kubectl drain` asks again for what it was refused."""

GIVE_UP = 300.0
"""Seconds after which it asks no more."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Of a node, which takes pods again so many seconds after the last was evicted."""

    at: float
    node: int
    closed_seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Of a node. Seconds after it: its pods are not ready any more, are taken for gone, and the node is back."""

    at: float
    node: int
    noticed: float
    gone: float
    back: float


@dataclass(frozen=True, slots=True)
class Evictable:
    """A pool, with the spec of its PodDisruptionBudget if it has one."""

    site: Site
    budget: Mapping[str, Any] | None

    def allows(self, worker: Worker) -> bool:
        """Whether this pod may be evicted now. One that is not ready always may."""
        if self.budget is None or worker.ready_at is None:
            return True
        ready = sum(each.ready_at is not None for each in self.site.workers.values())
        return ready > self._needed(self.site.replicas)

    def _needed(self, replicas: int) -> int:
        assert self.budget is not None
        if "minAvailable" in self.budget:
            return _of(self.budget["minAvailable"], replicas)
        return replicas - _of(self.budget["maxUnavailable"], replicas)


def _of(bound: int | str, replicas: int) -> int:
    return math.ceil(replicas * int(bound.removesuffix("%")) / 100) if isinstance(bound, str) else bound


class Nodes:
    """All that the pools of a namespace have; one at least stays open."""

    def __init__(self, timeline: Timeline, pools: Sequence[Evictable], count: int) -> None:
        self._timeline, self._pools, self._count = timeline, pools, count
        self._closed: set[int] = set()
        self.drained = self.failed = 0
        for pool in pools:
            pool.site.closed = self._closed

    def drain(self, drain: Drain) -> None:
        """Begin to evict all pods of a node."""
        if self._close(drain.node):
            self.drained += 1
            self._evict(drain, self._timeline.now + GIVE_UP)

    def fail(self, failure: Failure) -> None:
        """Let a node fail."""
        if not self._close(failure.node):
            return
        self.failed += 1
        for pool in self._pools:
            for worker in pool.site.on(failure.node):
                pool.site.die(worker)
                self._timeline.after(failure.noticed, lambda site=pool.site, worker=worker: site.unready(worker))  # type: ignore[misc]
                self._timeline.after(failure.gone, lambda site=pool.site, worker=worker: site.vanish(worker))  # type: ignore[misc]
        self._timeline.after(failure.back, lambda: self._closed.discard(failure.node))

    def _close(self, node: int) -> bool:
        if node in self._closed or len(self._closed) + 1 >= self._count:
            return False
        self._closed.add(node)
        return True

    def _evict(self, drain: Drain, until: float) -> None:
        refused = False
        for pool in self._pools:
            for worker in pool.site.on(drain.node):
                if worker.ending is None and not pool.allows(worker):
                    refused = True
                elif worker.ending is None:
                    pool.site.evict(worker)
        if refused and self._timeline.now < until:
            self._timeline.after(AGAIN, lambda: self._evict(drain, until))
        else:
            self._timeline.after(drain.closed_seconds, lambda: self._closed.discard(drain.node))
