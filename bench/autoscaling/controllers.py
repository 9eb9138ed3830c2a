"""The Deployment of a site and its ReplicaSets: when they act, and which pods they take.

A ReplicaSet takes pods as Kubernetes' does (pkg/controller/controller_utils.go, ActivePodsWithRanks): not ready first,
then the lowest deletion cost, then those on nodes with the most of them, then the younger ones (in powers of two of
their age), then whom it likes. It acts in the moment in which the Deployment's controller tells it to.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from enum import Enum, auto
from typing import TYPE_CHECKING

from autoscaling import deployment

if TYPE_CHECKING:
    from autoscaling.site import Site, Worker


class Why(Enum):
    """Why a pod is told to end."""

    SCALE_DOWN = auto()  # there are to be fewer
    ROLL_OUT = auto()  # it is of an old template
    EVICTION = auto()  # its node is drained


class Deployment:
    """`replicas`, `revision` (of the template) and `generation` are as written; `observed` is what was acted on."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.replicas = 0
        self.revision = 1
        self.generation = 1
        self.observed = 1
        self.sets: dict[int, int] = {1: 0}
        self._seen_replicas = 0
        self._seen_revision = 1

    def scale(self, replicas: int) -> None:
        """Write another number of replicas."""
        self.replicas = replicas
        self._written()

    def roll(self) -> None:
        """Write another template."""
        self.revision += 1
        self._written()

    @property
    def rolls(self) -> bool:
        """Whether there are pods of old templates, or are to be."""
        old = any(size for revision, size in self.sets.items() if revision != self._seen_revision)
        return old or self.revision != self._seen_revision

    def updated(self) -> int:
        """How many pods have the newest template that was acted on."""
        return sum(worker.revision == self._seen_revision for worker in self._site.workers.values())

    def pods_changed(self) -> None:
        """A pod became ready, or went for other reasons than that there are to be fewer."""
        if self.rolls:
            self._site.aside(self._site.ways.watch, self._act)

    def replenish(self) -> None:
        """A pod went: the ReplicaSet sees it a little later."""
        self._site.aside(self._site.ways.watch, self._fill)

    def _written(self) -> None:
        self.generation += 1
        self._site.later(self._site.ways.watch, self._act)

    def _act(self) -> None:
        if self.observed != self.generation:
            self.observed = self.generation
            self._site.tell_observed()
        before, why = self.sets, Why.ROLL_OUT
        if self.replicas != self._seen_replicas and any(before.values()):
            self.sets = deployment.scaled(before, self._seen_replicas, self.replicas)
            why = Why.SCALE_DOWN
        else:
            self._seen_revision = self.revision
            workers = self._site.workers.values()
            available = Counter(worker.revision for worker in workers if worker.ready_at is not None)
            self.sets = deployment.rolled(before, self.revision, self.replicas, available)
        self._seen_replicas = self.replicas
        self.sets = {each: size for each, size in self.sets.items() if size or each == self._seen_revision}
        self._take(why, {*before, *self.sets})
        self._fill()
        if self.rolls and (why is Why.SCALE_DOWN or self.sets != before):
            self._site.aside(self._site.ways.watch, self._act)  # it sees what it has changed itself

    def _take(self, why: Why, revisions: Iterable[int]) -> None:
        site = self._site
        for revision in sorted(revisions):
            pods = self._pods(revision)
            surplus = len(pods) - self.sets.get(revision, 0)
            if surplus > 0:
                nodes = Counter(worker.node for worker in site.workers.values())
                for worker in sorted(pods, key=lambda worker: self._rank(worker, nodes))[:surplus]:
                    site.delete(worker, why)
                site.tell_counts()

    def _fill(self) -> None:
        for revision, size in sorted(self.sets.items()):
            missing = size - len(self._pods(revision))
            for _ in range(missing):
                self._site.create(revision)
            if missing > 0:
                self._site.tell_counts()

    def _pods(self, revision: int) -> list[Worker]:
        return [worker for worker in self._site.workers.values() if worker.revision == revision]

    def _rank(self, worker: Worker, nodes: Counter[int]) -> tuple[bool, int, int, float, float]:
        ready_for = 0.0 if worker.ready_at is None else self._site.timeline.now - worker.ready_at
        age = math.floor(math.log2(ready_for)) if ready_for > 0 else -math.inf
        return worker.ready_at is not None, int(worker.cost_seen or 0), -nodes[worker.node], age, worker.luck
