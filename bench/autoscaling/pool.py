"""The operator's own policy at a site: the real Scaler and Reducer, with their ports to it. What they await is at once.

The pools of one `Operator` are of one namespace and share a Limiter.

What stands here is what `pools/controller.py` does around them: when a turn is taken. A decision is a turn of the
Scaler, in which it asks `scaling.decide_replicas` once or twice, and `leaving.plan` where there are too many workers.
"""

from __future__ import annotations

import asyncio
import atexit
import math
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar, cast

from autoscaling.operators import SOON, Allowance, Operator
from autoscaling.site import NOW, Site
from mastercontrol.api.pool import WorkerPool, parse_pool
from mastercontrol.engine.ports import Broker, BrokerUnavailable, Depth, Gone, RawObject
from mastercontrol.pools.leaving import DELETION_COST
from mastercontrol.pools.ports import PoolCluster
from mastercontrol.pools.reducer import Reducer
from mastercontrol.pools.scaler import Scaler
from mastercontrol.pools.settings import PoolSettings
from mastercontrol.pools.state import PoolState
from mastercontrol_worker.presence import CommandMessage, Doing, PresenceMessage

T = TypeVar("T")

START = 1000.0
"""The monotonic clock at the beginning of the run."""


class OperatorPool:
    """One pool.

    :param spec: that of the WorkerPool, without its template.
    :param unread: the share of readings that fail.
    :param operator: of which it is one of several pools; it goes by its `settings` then.
    """

    def __init__(
        self,
        site: Site,
        spec: dict[str, Any],
        settings: PoolSettings | None = None,
        *,
        unread: float = 0.0,
        operator: Operator | None = None,
    ) -> None:
        self.site, self._unread = site, unread
        self._operator = operator or Operator(settings)
        self._settings = self._operator.settings
        self._name = f"work{len(self._operator.pools)}"
        self._operator.pools[self._name] = self
        self.spec = spec
        self.pool = self._parse(spec)
        self.allowance = Allowance(self.pool, site.timeline)
        self.outstanding = 0
        self.epoch: str | None = "e"
        self._version = 1
        self._due = math.inf
        self._scaler = self._make_scaler()
        self.begin()
        site.listener = self

    def _make_scaler(self) -> Scaler:
        """As `PoolController` does it."""
        cluster, times = cast("PoolCluster", _Cluster(self, self._operator)), (lambda: NOW, self._monotonic)
        limiter = self._operator.limiter(self._monotonic)
        reducer = Reducer(cluster, self, self._settings, self._monotonic)
        return Scaler(
            *(cluster, cast("Broker", self), self._settings, *times),
            *(self._outstanding, reducer, limiter, lambda _: self._operator.hurry()),
        )

    def begin(self, after: float = 0.0) -> None:
        """A new process leads: it knows nothing yet. It sees the Deployment after so many seconds."""
        self.allowance.forget()
        self.state = PoolState("bench", self._name, "u", self._settings)
        self.state.pool = self.pool
        self.state.crew.listen(self._monotonic())
        if after:
            self.site.timeline.after(after, self.counted)
        else:
            self.state.live.observe(self._deployment())
        self.plan(SOON)

    def _parse(self, spec: dict[str, Any]) -> WorkerPool:
        template = {"image": "bench", "handlers": "bench", "concurrency": self.site.kind.concurrency}
        meta = {"namespace": "bench", "name": self._name, "uid": "u", "generation": 1}
        return parse_pool({"metadata": meta, "spec": {**spec, "template": template}})

    def pause(self, *, paused: bool) -> None:
        """The user writes `maxReplicas: 0`, or takes that back."""
        bounds = {"minReplicas": 0, "maxReplicas": 0} if paused else {}
        self.pool = self.state.pool = self._parse({**self.spec, **bounds})
        self.plan(SOON)

    def roll(self) -> None:
        """The pool's template was edited: the operator applies the Deployment, and learns of it by the answer."""
        self.site.roll()
        self.counted()

    def connected(self, *, is_connected: bool) -> None:
        """The broker is away, or back."""
        self.epoch = "e" if is_connected else None
        if is_connected:
            self.state.crew.listen(self._monotonic())
            self.state.depth_at = None
        self.plan(SOON)

    # What the site tells.

    def published(self) -> None:
        """As `PoolController.poke`."""
        self.outstanding += 1
        self.plan(SOON if self._scaler.rises(self.state, self.pool) else self._settings.scale_interval_seconds)

    def answered(self) -> None:
        """A step is done, as the engine knows."""
        self.outstanding -= 1

    def heard(self, message: PresenceMessage) -> None:
        """As `PoolController.on_presence`."""
        if self.epoch is None:
            return
        self.state.crew.hear(message, message.worker, self._monotonic())
        if self.state.target is not None and message.doing is not Doing.CONSUMING and not message.held:
            self.plan(SOON)

    def counted(self) -> None:
        """As `PoolController.on_deployment`."""
        self._version += 1
        self.state.live.observe(self._deployment())
        self.plan(SOON)

    # The broker, as far as Scaler and Reducer need it.

    async def depth(self, namespace: str, pool: str) -> Depth | None:  # noqa: ARG002 - there is one pool
        """What the broker says of the queue."""
        if self._unread and self.site.random.random() < self._unread:
            raise BrokerUnavailable("no answer")
        return self.site.queue.depth()

    async def held(self, namespace: str, pool: str) -> dict[str, int] | None:  # noqa: ARG002 - there is one pool
        """What the broker knows of the workers."""
        return None if self.epoch is None else self.site.queue.statistics

    async def tell(self, letters: Sequence[tuple[str, bytes]]) -> None:
        """Send commands to workers."""
        if self.epoch is None:
            raise BrokerUnavailable("away")
        for address, body in letters:
            self.site.tell(address, CommandMessage.decode(body))

    # Turns.

    def plan(self, seconds: float) -> None:
        """Take a turn in so many seconds, if there is none before."""
        due = self.site.timeline.now + seconds
        if due < self._due:
            self._due = due
            self.site.timeline.at(due, lambda: self._turn(due))

    def _turn(self, due: float) -> None:
        if due != self._due:
            return  # there was an earlier one
        self._due = math.inf
        self.site.tally.decisions += 1
        at_once(self._scaler.scale(self.state, self.pool))
        at_once(self._scaler.lower(self.state, self.pool))
        delay = self._scaler.reading_due(self.state, self.pool)
        if delay is not None:
            self.plan(max(delay, SOON))

    def _monotonic(self) -> float:
        return START + self.site.timeline.now

    def _outstanding(self, namespace: str, name: str) -> int:  # noqa: ARG002 - there is one pool
        return self.outstanding

    def _deployment(self) -> RawObject:
        deployment, workers = self.site.deployment, self.site.workers.values()
        ready = sum(worker.ready_at is not None for worker in workers)
        status = {
            "observedGeneration": deployment.observed,
            "replicas": len(workers),
            "updatedReplicas": deployment.updated(),
            "readyReplicas": ready,
        }
        meta = {"uid": "d", "generation": deployment.generation, "resourceVersion": str(self._version)}
        return {
            "metadata": meta,
            "spec": {"replicas": deployment.replicas},
            "status": {name: count for name, count in status.items() if count},  # as Kubernetes leaves out a zero
        }


class _Cluster:
    """The API server, as far as Scaler and Reducer need it."""

    def __init__(self, pool: OperatorPool, operator: Operator) -> None:
        self._pool, self._operator = pool, operator

    async def scale(self, namespace: str, name: str, replicas: int) -> None:  # noqa: ARG002
        before = self._pool.site.replicas
        self._pool.site.scale(replicas)
        self._operator.scaled(self._pool, before)

    async def annotate_pod(self, namespace: str, name: str, annotations: dict[str, str | None]) -> None:  # noqa: ARG002
        if not self._pool.site.annotate(name, annotations[DELETION_COST]):
            raise Gone("no such pod")

    async def list_pods(self, namespace: str, selector: str) -> list[RawObject]:  # noqa: ARG002
        return [worker.as_pod() for worker in self._pool.site.workers.values()]


_LOOP = asyncio.new_event_loop()
atexit.register(_LOOP.close)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run what waits for nothing but itself to its end."""
    return _LOOP.run_until_complete(work)
