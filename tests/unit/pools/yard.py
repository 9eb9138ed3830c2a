"""A ReplicaSet, its pods and their workers, for tests: everything that a scale-down meets, with delays.

The ReplicaSet takes pods as Kubernetes does: not ready before ready, then the lowest deletion cost, then whom it
likes. It sees marks late. Workers take steps at any moment while they consume. Who is ended while it holds a step, or
gets one after it was ended, is in `wronged`.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.leaving import DELETION_COST
from mastercontrol_worker.presence import Command, CommandMessage, Doing, PresenceMessage

QUEUE = "mcp.pool.shop.resize"


@dataclass
class Worker:
    """One pod and the worker in it. `left` are the seconds that each of its steps still takes."""

    name: str
    ready: bool = True
    speaks: bool = True
    draining: bool = False
    obeys: str = ""
    left: list[float] = field(default_factory=list)
    cost: str | None = None
    cost_seen: str | None = None  # by the ReplicaSet
    start: int | None = None  # seconds until it was ready; None: its pod does not tell

    @property
    def presence(self) -> PresenceMessage:
        doing = Doing.DRAINING if self.draining else Doing.CONSUMING
        return PresenceMessage(QUEUE, self.name, doing, len(self.left), 1, self.obeys)

    def as_pod(self) -> RawObject:
        annotations = {} if self.cost is None else {DELETION_COST: self.cost}
        ready = {"type": "Ready", "status": "True" if self.ready else "False"}
        if self.start is not None:
            ready["lastTransitionTime"] = f"2030-01-01T00:{self.start // 60:02}:{self.start % 60:02}Z"
        conditions = [ready]
        meta = {"name": self.name, "annotations": annotations, "creationTimestamp": "2030-01-01T00:00:00Z"}
        return {"metadata": meta, "status": {"phase": "Running", "conditions": conditions}}


class Yard:
    """`replicas` is what the ReplicaSet is told to have."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.workers: dict[str, Worker] = {}
        self.replicas = 0
        self.wronged: list[str] = []
        self.ended: list[str] = []
        self.said: deque[PresenceMessage] = deque()
        self._mail: deque[tuple[str, CommandMessage]] = deque()

    def add(self, name: str, **properties: Any) -> Worker:
        worker = self.workers[name] = Worker(name, **properties)
        self.replicas = max(self.replicas, len(self.workers))
        self.speak(worker)
        return worker

    def pods(self) -> list[RawObject]:
        return [worker.as_pod() for worker in self.workers.values()]

    def speak(self, worker: Worker) -> None:
        if worker.speaks and worker.ready:
            self.said.append(worker.presence)

    def post(self, name: str, order: CommandMessage) -> None:
        """A command is on its way."""
        self._mail.append((name, order))

    def annotate(self, name: str, cost: str | None) -> bool:
        """Whether there is such a pod."""
        if name in self.workers:
            self.workers[name].cost = cost
        return name in self.workers

    def hand_out(self, seconds: float) -> bool:
        """The queue gives a step to a worker that consumes; False when there is none."""
        free = [w for w in self.workers.values() if w.ready and not w.draining and not w.left]
        if free:
            self.random.choice(free).left.append(seconds)
        return bool(free)

    def carry(self) -> None:
        """All commands arrive."""
        while self._mail:
            name, order = self._mail.popleft()
            worker = self.workers.get(name)
            if worker is not None and worker.speaks:
                worker.draining, worker.obeys = order.command is Command.DRAIN, order.order
                self.speak(worker)

    def work(self, seconds: float) -> None:
        """Time passes for the steps."""
        for worker in self.workers.values():
            before = len(worker.left)
            worker.left = [left - seconds for left in worker.left if left > seconds]
            if worker.draining and len(worker.left) != before:
                self.speak(worker)

    def reconcile(self) -> None:
        """The ReplicaSet acts on the marks that it knows of."""
        order = sorted(self.workers.values(), key=lambda w: (w.ready, int(w.cost_seen or 0), self.random.random()))
        for worker in order[: max(len(self.workers) - self.replicas, 0)]:
            if worker.left:
                self.wronged.append(worker.name)
            self.ended.append(worker.name)
            del self.workers[worker.name]

    def sync(self) -> None:
        """The ReplicaSet sees the marks."""
        for worker in self.workers.values():
            worker.cost_seen = worker.cost
