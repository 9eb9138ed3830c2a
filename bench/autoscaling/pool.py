"""The operator's own policy at a site: the real Scaler and Reducer, with their ports to it. What they await is at once.

What stands here is what `pools/controller.py` does around them: when a turn is taken. A decision is a turn of the
Scaler, in which it asks `scaling.decide_replicas` once or twice, and `leaving.plan` where there are too many workers.
"""

from __future__ import annotations

import asyncio
import atexit
import math
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar, cast

from autoscaling.site import NOW, Site
from mastercontrol.api.pool import parse_pool
from mastercontrol.engine.ports import Broker, BrokerUnavailable, Depth, Gone, RawObject
from mastercontrol.pools.leaving import DELETION_COST
from mastercontrol.pools.limiter import Limiter
from mastercontrol.pools.ports import PoolCluster
from mastercontrol.pools.reducer import Reducer
from mastercontrol.pools.scaler import Scaler
from mastercontrol.pools.settings import PoolSettings
from mastercontrol.pools.state import PoolState
from mastercontrol_worker.presence import CommandMessage, Doing, PresenceMessage

T = TypeVar("T")

SOON = 0.005
"""Seconds until a turn that something asks for."""

START = 1000.0
"""The monotonic clock at the beginning of the run."""


class OperatorPool:
    """One pool.

    :param spec: that of the WorkerPool, without its template.
    :param unread: the share of readings that fail.
    """

    def __init__(
        self, site: Site, spec: dict[str, Any], settings: PoolSettings | None = None, *, unread: float = 0.0
    ) -> None:
        self._site, self._unread = site, unread
        self._settings = settings or PoolSettings()
        template = {"image": "bench", "handlers": "bench", "concurrency": site.kind.concurrency}
        meta = {"namespace": "bench", "name": "work", "uid": "u", "generation": 1}
        self._pool = parse_pool({"metadata": meta, "spec": {**spec, "template": template}})
        self.outstanding = 0
        self.epoch: str | None = "e"
        self._version = 1
        self._due = math.inf
        self._scaler = self._make_scaler()
        self.begin()
        site.listener = self

    def _make_scaler(self) -> Scaler:
        """As `PoolController` does it."""
        cluster, times = cast("PoolCluster", _Cluster(self._site)), (lambda: NOW, self._monotonic)
        limiter = Limiter(self._settings, self._monotonic, self._outstanding, lambda _: (self._state,))
        reducer = Reducer(cluster, self, self._settings, self._monotonic)
        return Scaler(
            *(cluster, cast("Broker", self), self._settings, *times),
            *(self._outstanding, reducer, limiter, lambda _: self._plan(SOON)),
        )

    def begin(self) -> None:
        """A new process leads: it knows nothing yet."""
        self._state = PoolState("bench", "work", "u", self._settings)
        self._state.pool = self._pool
        self._state.crew.listen(self._monotonic())
        self._state.live.observe(self._deployment())
        self._plan(SOON)

    def connected(self, *, is_connected: bool) -> None:
        """The broker is away, or back."""
        self.epoch = "e" if is_connected else None
        if is_connected:
            self._state.crew.listen(self._monotonic())
            self._state.depth_at = None
        self._plan(SOON)

    # What the site tells.

    def published(self) -> None:
        """As `PoolController.poke`."""
        self.outstanding += 1
        self._plan(SOON if self._scaler.rises(self._state, self._pool) else self._settings.scale_interval_seconds)

    def answered(self) -> None:
        """A step is done, as the engine knows."""
        self.outstanding -= 1

    def heard(self, message: PresenceMessage) -> None:
        """As `PoolController.on_presence`."""
        if self.epoch is None:
            return
        self._state.crew.hear(message, message.worker, self._monotonic())
        if self._state.target is not None and message.doing is not Doing.CONSUMING and not message.held:
            self._plan(SOON)

    def counted(self) -> None:
        """As `PoolController.on_deployment`."""
        self._version += 1
        self._state.live.observe(self._deployment())
        self._plan(SOON)

    # The broker, as far as Scaler and Reducer need it.

    async def depth(self, namespace: str, pool: str) -> Depth | None:  # noqa: ARG002 - there is one pool
        """What the broker says of the queue."""
        if self._unread and self._site.random.random() < self._unread:
            raise BrokerUnavailable("no answer")
        return self._site.depth()

    async def held(self, namespace: str, pool: str) -> dict[str, int] | None:  # noqa: ARG002 - there is one pool
        """What the broker knows of the workers."""
        return None if self.epoch is None else self._site.statistics()

    async def tell(self, letters: Sequence[tuple[str, bytes]]) -> None:
        """Send commands to workers."""
        if self.epoch is None:
            raise BrokerUnavailable("away")
        for address, body in letters:
            self._site.tell(address, CommandMessage.decode(body))

    # Turns.

    def _plan(self, seconds: float) -> None:
        due = self._site.timeline.now + seconds
        if due < self._due:
            self._due = due
            self._site.timeline.at(due, lambda: self._turn(due))

    def _turn(self, due: float) -> None:
        if due != self._due:
            return  # there was an earlier one
        self._due = math.inf
        self._site.tally.decisions += 1
        at_once(self._scaler.scale(self._state, self._pool))
        at_once(self._scaler.lower(self._state, self._pool))
        delay = self._scaler.reading_due(self._state, self._pool)
        if delay is not None:
            self._plan(max(delay, SOON))

    def _monotonic(self) -> float:
        return START + self._site.timeline.now

    def _outstanding(self, namespace: str, name: str) -> int:  # noqa: ARG002 - there is one pool
        return self.outstanding

    def _deployment(self) -> RawObject:
        workers = self._site.workers.values()
        ready = sum(worker.ready_at is not None for worker in workers)
        status = {"replicas": len(workers), "updatedReplicas": len(workers), "readyReplicas": ready}
        meta = {"uid": "d", "generation": self._version, "resourceVersion": str(self._version)}
        return {
            "metadata": meta,
            "spec": {"replicas": self._site.replicas},
            "status": {**status, "observedGeneration": self._version},
        }


class _Cluster:
    """The API server, as far as Scaler and Reducer need it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def scale(self, namespace: str, name: str, replicas: int) -> None:  # noqa: ARG002
        self._site.scale(replicas)

    async def annotate_pod(self, namespace: str, name: str, annotations: dict[str, str | None]) -> None:  # noqa: ARG002
        if not self._site.annotate(name, annotations[DELETION_COST]):
            raise Gone("no such pod")

    async def list_pods(self, namespace: str, selector: str) -> list[RawObject]:  # noqa: ARG002
        return [worker.as_pod() for worker in self._site.workers.values()]


_LOOP = asyncio.new_event_loop()
atexit.register(_LOOP.close)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run what waits for nothing but itself to its end."""
    return _LOOP.run_until_complete(work)
