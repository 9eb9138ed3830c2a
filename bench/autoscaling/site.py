"""A queue, a Deployment, its pods and their workers, with the time that everything takes. No policy.

A policy sets the number of replicas and may annotate pods; what it hears of comes through `Listener`. Which pods the
ReplicaSets take, `controllers.py` says. A pod that is to end takes no more steps once the signal has reached it, and is
killed after its grace period; what it held then goes back into the queue.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Protocol

from autoscaling.controllers import Deployment, Why
from autoscaling.queue import Queue
from autoscaling.speech import Speech
from autoscaling.tally import Sample, Step, Tally
from autoscaling.timeline import Timeline
from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.leaving import DELETION_COST
from mastercontrol_worker.presence import CommandMessage, PresenceMessage

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
"""The time at the beginning of a run."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How long things take, as the least and the most seconds; each time is drawn anew."""

    message: tuple[float, float] = (0.001, 0.05)  # over the broker, either way
    watch: tuple[float, float] = (0.01, 0.3)  # until a controller of the cluster sees a write
    connect: tuple[float, float] = (0.3, 2.0)  # from a container's start, when its pod is ready, to its first step
    signal: tuple[float, float] = (0.05, 1.0)  # from a pod's deletion to its SIGTERM
    start: tuple[float, float] = (1.0, 4.0)  # from a pod's creation to its container's start
    heartbeat: tuple[float, float] = (5.0, 60.0)  # until the broker gives up a consumer whose node has failed


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
    revision: int = 1  # of its template
    ending: Why | None = None  # its pod was deleted
    touched: bool = False  # it was deleted while it held something, or got something then
    gone: bool = False
    dead: bool = False  # its node has failed
    cost: str | None = None
    cost_seen: str | None = None  # by the ReplicaSet
    draining: bool = False
    order: str = ""
    drained_until: float = -math.inf
    said_until: float = 0.0  # what it says arrives in order,
    told_until: float = 0.0  # as does what it is told

    @property
    def runs(self) -> bool:
        """Whether there is a process that nobody has told to end."""
        return self.ending is None and not self.gone and not self.dead

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
    """One pool's."""

    def __init__(self, timeline: Timeline, seed: str, ways: Ways | None = None, pods: Pods | None = None) -> None:
        self.timeline, self.random = timeline, random.Random(seed)
        self.other = random.Random(f"{seed} aside")
        self.ways, self.kind = ways or Ways(), pods or Pods()
        self.tally = Tally()
        self.deployment, self.speech = Deployment(self), Speech(self)
        self.closed: AbstractSet[int] = frozenset()  # nodes that take no new pods
        self.workers: dict[str, Worker] = {}  # whose pods count as replicas
        self._pods: dict[Worker, None] = {}  # with those that end
        self.ending: list[Worker] = []  # that do not know it yet
        self.listener: Listener | None = None
        self._names = 0
        self._counted_at = 0.0
        self.queue = Queue(self)

    @property
    def replicas(self) -> int:
        """What the Deployment is told to have."""
        return self.deployment.replicas

    @property
    def existing(self) -> int:
        """How many pods there are, with those that end."""
        return len(self._pods)

    # What a policy may do and look at.

    def scale(self, replicas: int) -> None:
        """Set the number of replicas; the ReplicaSet sees it a little later."""
        if replicas == self.replicas:
            return
        self.tally.changes += 1
        self.deployment.scale(replicas)
        self.tell_counts()  # the Deployment has changed

    def roll(self) -> None:
        """Somebody changes the template."""
        self.tally.rolls += 1
        self.deployment.roll()
        self.tell_counts()

    def annotate(self, name: str, cost: str | None) -> bool:
        """Set or remove a pod's deletion cost; whether there is such a pod."""
        worker = self.workers.get(name)
        if worker is None:
            return False
        worker.cost = cost

        def see() -> None:
            worker.cost_seen = worker.cost

        self.later(self.ways.watch, see)
        return True

    def tell(self, name: str, command: CommandMessage) -> None:
        """Send something to a worker."""
        worker = self.workers.get(name)
        if worker is not None:
            self.speech.tell(worker, command)

    def publish(self, seconds: float) -> None:
        """A step comes."""
        step = Step(self.timeline.now, seconds)
        self.tally.steps.append(step)
        self.queue.put(step)
        if self.listener is not None:
            self.listener.published()

    @property
    def has_work(self) -> bool:
        """Whether a step waits or is at work."""
        return self.queue.depth().backlog > 0

    def sample(self) -> None:
        """Take note of how it is."""
        self.tally.samples.append(Sample(self.timeline.now, self.existing, self.queue.depth().backlog))

    def close(self) -> None:
        """The end of the run: count what is still there."""
        self._count()

    # What the ReplicaSets and the nodes do.

    def create(self, revision: int) -> None:
        """A new pod."""
        self._names += 1
        dice = self.random
        nodes = [node for node in range(self.kind.nodes) if node not in self.closed]
        node = nodes[dice.randrange(len(nodes))]
        worker = Worker(f"w{self._names}", node, self.timeline.now, dice.random(), revision=revision)
        self.workers[worker.name] = worker
        self._count()
        self._pods[worker] = None
        self.later(self.ways.start, lambda: self._start(worker))

    def delete(self, worker: Worker, why: Why) -> None:
        """A pod is to end: a signal, and its grace period."""
        del self.workers[worker.name]
        worker.ending = why
        self.ending.append(worker)
        self.tally.ended[why] += 1
        if worker.held:
            self._touch(worker, why)
        began = self.timeline.now
        self.later(self.ways.signal, lambda: self._signal(worker))
        self.timeline.at(began + self.kind.grace_seconds, lambda: self._kill(worker))

    def on(self, node: int) -> list[Worker]:
        """All whose pods are on a node and not gone, those that end as well."""
        return [worker for worker in self._pods if worker.node == node]

    def evict(self, worker: Worker) -> None:
        """Its node is drained."""
        self.delete(worker, Why.EVICTION)
        self.deployment.replenish()
        self.tell_counts()

    def die(self, worker: Worker) -> None:
        """Its node has failed, of which nobody knows yet: to the broker it consumes until the heartbeat is missed."""
        if worker.dead or worker.gone:
            return
        self.tally.lost_pods += 1
        self.tally.lost_steps += len(worker.held)
        for step in worker.held:
            step.lost += 1
        ghost = replace(worker, dead=True)
        if worker.consuming or worker.held:
            self.queue.haunt(ghost)
        worker.dead, worker.consuming, worker.held = True, False, []
        if worker.ending is not None:
            self._remove(worker)

    def unready(self, worker: Worker) -> None:
        """The cluster has noticed that its node is not there."""
        worker.ready_at = None
        self.tell_counts()

    def vanish(self, worker: Worker) -> None:
        """The cluster takes a pod of a node that is not there for gone."""
        if self.workers.pop(worker.name, None) is not None:
            self._remove(worker)
            self.deployment.replenish()
            self.tell_counts()

    def tell_counts(self) -> None:
        """The Deployment's status has changed."""
        if self.listener is not None:
            self.later(self.ways.watch, self.listener.counted)

    def tell_observed(self) -> None:
        """Its status says that the cluster's controller has seen what was written."""
        if self.listener is not None:
            self.aside(self.ways.watch, self.listener.counted)

    def _count(self) -> None:
        now = self.timeline.now
        self.tally.pod_seconds += self.existing * (now - self._counted_at)
        self._counted_at = now

    # A pod's life.

    def _start(self, worker: Worker) -> None:
        if not worker.runs:
            return
        worker.ready_at = self.timeline.now
        self.deployment.pods_changed()
        self.tell_counts()
        self.later(self.ways.connect, lambda: self._connect(worker))

    def _connect(self, worker: Worker) -> None:
        if not worker.runs:
            return
        worker.consuming = True
        self.speech.begin(worker)
        self.queue.hand_out()

    def _signal(self, worker: Worker) -> None:
        worker.consuming = False
        self.ending.remove(worker)
        if worker.held:
            self.speech.end(worker)
        else:
            self._remove(worker)

    def _kill(self, worker: Worker) -> None:
        if worker.gone:
            return
        if worker.held:
            self.tally.killed += 1
            self.tally.lost_seconds += sum(self.timeline.now - step.latest for step in worker.held)
            self.queue.take_back(worker)
        self._remove(worker)
        self.queue.hand_out()

    def _remove(self, worker: Worker) -> None:
        if not worker.gone:
            worker.gone, worker.consuming = True, False
            self._count()
            del self._pods[worker]

    # Work.

    def _touch(self, worker: Worker, why: Why) -> None:
        worker.touched = True
        self.tally.busy[why] += 1

    def work(self, worker: Worker, step: Step) -> None:
        """A worker begins a step."""
        if worker.ending is not None and not worker.touched:
            self._touch(worker, worker.ending)
        step.begin(self.timeline.now)
        self.timeline.after(step.seconds, lambda: self._end(worker, step))

    def _end(self, worker: Worker, step: Step) -> None:
        if step not in worker.held:
            return  # the worker was killed
        self.queue.settle(worker, step)
        step.ended = self.timeline.now
        if self.listener is not None:
            self.later(self.ways.message, self.listener.answered)
        if worker.ending is not None:
            if not worker.held and not worker.consuming:
                self._remove(worker)
        elif worker.draining:
            self.speech.speak(worker)
        self.queue.hand_out()

    def later(self, way: tuple[float, float], act: Callable[[], None]) -> None:
        """Plan something that takes its time."""
        self.timeline.after(self.random.uniform(*way), act)

    def aside(self, way: tuple[float, float], act: Callable[[], None]) -> None:
        """The same with dice of their own: a site to which nothing happens stays as it is without them."""
        self.timeline.after(self.other.uniform(*way), act)
