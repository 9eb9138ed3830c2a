"""A queue, a ReplicaSet, its pods and their workers, with the time that everything takes. No policy.

A policy sets the number of replicas and may annotate pods; what it hears of comes through `Listener`. The ReplicaSet
takes pods as Kubernetes' does (pkg/controller/controller_utils.go, ActivePodsWithRanks): not ready first, then the
lowest deletion cost, then those on nodes with the most of them, then the younger ones (in powers of two of their age),
then whom it likes. A pod that is to end takes no more steps once the signal has reached it, and is killed after its
grace period; what it held then goes back into the queue.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from autoscaling.tally import Sample, Step, Tally
from autoscaling.timeline import Timeline
from mastercontrol.engine.ports import Depth, RawObject
from mastercontrol.pools.leaving import DELETION_COST
from mastercontrol_worker.presence import (
    PRESENCE_SECONDS,
    Command,
    CommandMessage,
    Doing,
    PresenceMessage,
)

QUEUE = "mcp.pool.bench.work"

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
"""The time at the beginning of a run."""

STATISTICS_SECONDS = 5.0
"""Between two updates of what RabbitMQ's management interface says."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How long things take, as the least and the most seconds; each time is drawn anew."""

    message: tuple[float, float] = (0.001, 0.05)  # over the broker, either way
    watch: tuple[float, float] = (0.01, 0.3)  # until a controller of the cluster sees a write
    connect: tuple[float, float] = (0.3, 2.0)  # from a container's start, when its pod is ready, to its first step
    signal: tuple[float, float] = (0.05, 1.0)  # from a pod's deletion to its SIGTERM
    start: tuple[float, float] = (1.0, 4.0)  # from a pod's creation to its container's start


@dataclass(frozen=True, slots=True)
class Pods:
    """How the pods of the pool are."""

    concurrency: int = 1
    grace_seconds: float = 30.0
    nodes: int = 10


class Listener(Protocol):
    """What a policy may hear."""

    def published(self) -> None:
        """A step was put into the queue."""
        ...

    def answered(self) -> None:
        """The answer to a step has come."""
        ...

    def heard(self, message: PresenceMessage) -> None:
        """A worker says something of itself."""
        ...

    def counted(self) -> None:
        """The Deployment or its status changed."""
        ...


@dataclass(eq=False, slots=True)
class Worker:
    """A pod and the worker in it."""

    name: str
    node: int
    created: float
    luck: float
    held: list[Step] = field(default_factory=list)
    ready_at: float | None = None
    consuming: bool = False
    ending: bool = False  # its pod was deleted
    touched: bool = False  # it was deleted while it held something, or got something then
    gone: bool = False
    cost: str | None = None
    cost_seen: str | None = None  # by the ReplicaSet
    draining: bool = False
    order: str = ""
    drained_until: float = -math.inf
    said_until: float = 0.0  # what it says arrives in order,
    told_until: float = 0.0  # as does what it is told

    def as_pod(self) -> RawObject:
        """As the API server shows it."""
        annotations = {} if self.cost is None else {DELETION_COST: self.cost}
        since = self.created if self.ready_at is None else self.ready_at
        ready = {"type": "Ready", "status": str(self.ready_at is not None), "lastTransitionTime": _time(since)}
        meta = {"name": self.name, "annotations": annotations, "creationTimestamp": _time(self.created)}
        return {"metadata": meta, "status": {"phase": "Running", "conditions": [ready]}}


def _time(seconds: float) -> str:
    """As the API server writes it: whole seconds."""
    return (NOW + dt.timedelta(seconds=math.floor(seconds))).strftime("%Y-%m-%dT%H:%M:%SZ")


class Site:
    """One pool's. `replicas` is what the Deployment is told to have."""

    def __init__(self, timeline: Timeline, seed: str, ways: Ways | None = None, pods: Pods | None = None) -> None:
        self.timeline, self.random = timeline, random.Random(seed)
        self.ways, self.kind = ways or Ways(), pods or Pods()
        self.tally = Tally()
        self.replicas = 0
        self.workers: dict[str, Worker] = {}  # whose pods count as replicas
        self.existing = 0  # with those that end
        self.waiting: deque[Step] = deque()
        self.held = 0
        self._ending: list[Worker] = []  # that do not know it yet
        self._statistics: dict[str, int] = {}
        self.listener: Listener | None = None
        self._seen_replicas = 0
        self._names = 0
        self._counted_at = 0.0
        self._publish_statistics()

    # What a policy may do and look at.

    def scale(self, replicas: int) -> None:
        """Set the number of replicas; the ReplicaSet sees it a little later."""
        if replicas == self.replicas:
            return
        self.replicas = replicas
        self.tally.changes += 1
        self._later(self.ways.watch, lambda: self._see(self.replicas))
        self._tell_counts()  # the Deployment has changed

    def annotate(self, name: str, cost: str | None) -> bool:
        """Set or remove a pod's deletion cost; whether there is such a pod."""
        worker = self.workers.get(name)
        if worker is None:
            return False
        worker.cost = cost

        def see() -> None:
            worker.cost_seen = worker.cost

        self._later(self.ways.watch, see)
        return True

    def depth(self) -> Depth:
        """What the broker says."""
        return Depth(len(self.waiting), self.held, sum(worker.consuming for worker in self.workers.values()))

    def statistics(self) -> dict[str, int]:
        """The steps that each consumer holds, as the broker's management interface says it: some seconds old."""
        return self._statistics

    def tell(self, name: str, command: CommandMessage) -> None:
        """Send something to a worker."""
        worker = self.workers.get(name)
        if worker is not None:
            worker.told_until = max(worker.told_until, self.timeline.now + self.random.uniform(*self.ways.message))
            self.timeline.at(worker.told_until, lambda: self._obey(worker, command))

    def publish(self, seconds: float) -> None:
        """A step comes."""
        step = Step(self.timeline.now, seconds)
        self.tally.steps.append(step)
        self.waiting.append(step)
        self._hand_out()
        if self.listener is not None:
            self.listener.published()

    def sample(self) -> None:
        """Take note of how it is."""
        backlog = len(self.waiting) + self.held
        self.tally.samples.append(Sample(self.timeline.now, self.existing, backlog))

    def close(self) -> None:
        """The end of the run: count what is still there."""
        self._count(0)

    # The ReplicaSet.

    def _see(self, replicas: int) -> None:
        self._seen_replicas = replicas
        missing = replicas - len(self.workers)
        for _ in range(missing):
            self._create()
        if missing < 0:
            nodes = Counter(worker.node for worker in self.workers.values())
            order = sorted(self.workers.values(), key=lambda worker: self._rank(worker, nodes))
            for worker in order[:-missing]:
                self._delete(worker)
        if missing:
            self._tell_counts()

    def _rank(self, worker: Worker, nodes: Counter[int]) -> tuple[bool, int, int, float, float]:
        ready_for = 0.0 if worker.ready_at is None else self.timeline.now - worker.ready_at
        age = math.floor(math.log2(ready_for)) if ready_for > 0 else -math.inf
        return worker.ready_at is not None, int(worker.cost_seen or 0), -nodes[worker.node], age, worker.luck

    def _create(self) -> None:
        self._names += 1
        dice = self.random
        worker = Worker(f"w{self._names}", dice.randrange(self.kind.nodes), self.timeline.now, dice.random())
        self.workers[worker.name] = worker
        self._count(1)
        self._later(self.ways.start, lambda: self._start(worker))

    def _delete(self, worker: Worker) -> None:
        del self.workers[worker.name]
        worker.ending = True
        self._ending.append(worker)
        self.tally.ended += 1
        if worker.held:
            worker.touched = True
            self.tally.chosen += 1
        began = self.timeline.now
        self._later(self.ways.signal, lambda: self._signal(worker))
        self.timeline.at(began + self.kind.grace_seconds, lambda: self._kill(worker))

    def _tell_counts(self) -> None:
        if self.listener is not None:
            self._later(self.ways.watch, self.listener.counted)

    def _count(self, change: int) -> None:
        now = self.timeline.now
        self.tally.pod_seconds += self.existing * (now - self._counted_at)
        self._counted_at = now
        self.existing += change

    def _publish_statistics(self) -> None:
        self._statistics = {one.name: len(one.held) for one in self._consumers()}
        self.timeline.after(STATISTICS_SECONDS, self._publish_statistics)

    # A pod's life.

    def _start(self, worker: Worker) -> None:
        if worker.ending:
            return
        worker.ready_at = self.timeline.now
        self._tell_counts()
        self._later(self.ways.connect, lambda: self._connect(worker))

    def _connect(self, worker: Worker) -> None:
        if worker.gone or worker.ending:
            return
        worker.consuming = True
        self._speak(worker)
        self._speak_again(worker)
        self._hand_out()

    def _signal(self, worker: Worker) -> None:
        worker.consuming = False
        self._ending.remove(worker)
        if not worker.held:
            self._remove(worker)

    def _kill(self, worker: Worker) -> None:
        if worker.gone:
            return
        if worker.held:
            self.tally.killed += 1
            for step in reversed(worker.held):
                self.tally.lost_seconds += self.timeline.now - step.latest
                self.waiting.appendleft(step)
            self.held -= len(worker.held)
            worker.held = []
        self._remove(worker)
        self._hand_out()

    def _remove(self, worker: Worker) -> None:
        if not worker.gone:
            worker.gone, worker.consuming = True, False
            self._count(-1)

    # Work.

    def _hand_out(self) -> None:
        if not self.waiting:
            return
        slots = self.kind.concurrency
        free = [one for one in self._consumers() if len(one.held) < slots]
        while self.waiting and free:
            worker = free[int(self.random.random() * len(free))]
            self._begin(worker, self.waiting.popleft())
            if len(worker.held) >= slots:
                free.remove(worker)

    def _consumers(self) -> list[Worker]:
        return [one for one in (*self.workers.values(), *self._ending) if one.consuming]

    def _begin(self, worker: Worker, step: Step) -> None:
        if worker.ending and not worker.touched:
            worker.touched = True
            self.tally.chosen += 1
        step.begin(self.timeline.now)
        worker.held.append(step)
        self.held += 1
        self.timeline.after(step.seconds, lambda: self._end(worker, step))

    def _end(self, worker: Worker, step: Step) -> None:
        if step not in worker.held:
            return  # the worker was killed
        worker.held.remove(step)
        self.held -= 1
        step.ended = self.timeline.now
        if self.listener is not None:
            self._later(self.ways.message, self.listener.answered)
        if worker.ending:
            if not worker.held and not worker.consuming:
                self._remove(worker)
        elif worker.draining:
            self._speak(worker)
        self._hand_out()

    # What a worker says and is told.

    def _obey(self, worker: Worker, command: CommandMessage) -> None:
        """As the worker does it: it stops to consume, and then says so; what comes until then it takes."""
        if worker.gone or worker.ending or worker.ready_at is None:
            return
        worker.order = command.order
        drains = command.command is Command.DRAIN
        worker.drained_until = self.timeline.now + command.seconds if drains else -math.inf
        self._later(self.ways.message, lambda: self._carry_out(worker, command.order))
        if drains:
            self.timeline.at(worker.drained_until, lambda: self._carry_out(worker, command.order))

    def _carry_out(self, worker: Worker, order: str) -> None:
        if worker.gone or worker.ending or order != worker.order:
            return
        worker.draining = worker.drained_until > self.timeline.now
        worker.consuming = not worker.draining
        self._speak(worker)
        self._hand_out()

    def _speak_again(self, worker: Worker) -> None:
        def speak() -> None:
            if not worker.gone and not worker.ending:
                self._speak(worker)
                self._speak_again(worker)

        self.timeline.after(PRESENCE_SECONDS * self.random.uniform(0.75, 1.0), speak)

    def _speak(self, worker: Worker) -> None:
        listener = self.listener
        if listener is None:
            return
        doing = Doing.DRAINING if worker.draining else Doing.CONSUMING
        slots = self.kind.concurrency
        said = PresenceMessage(QUEUE, worker.name, doing, len(worker.held), slots, worker.order)
        worker.said_until = max(worker.said_until, self.timeline.now + self.random.uniform(*self.ways.message))
        self.timeline.at(worker.said_until, lambda: listener.heard(said))

    def _later(self, way: tuple[float, float], act: Callable[[], None]) -> None:
        self.timeline.after(self.random.uniform(*way), act)
