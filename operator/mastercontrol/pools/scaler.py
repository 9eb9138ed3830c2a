"""Reads a pool's queue when that is due, asks `scaling.py`, and sets the replicas.

`controller.py` calls it in each turn. A pool without workers whose queue is known to be empty is not read at all,
a busy one once in `scale_interval_seconds`; coming up from zero waits for no reading.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable

from mastercontrol.api.pool import WorkerPool
from mastercontrol.api.values import format_time
from mastercontrol.engine.ports import Broker, Depth
from mastercontrol.pools import metrics
from mastercontrol.pools.deployment import child_name
from mastercontrol.pools.ports import PoolCluster
from mastercontrol.pools.readings import read
from mastercontrol.pools.scaling import decide_replicas, policy_of
from mastercontrol.pools.settings import PoolSettings
from mastercontrol.pools.state import PoolState

logger = logging.getLogger(__name__)


class Scaler:
    """One for all pools; what it knows of a pool is in its PoolState."""

    def __init__(
        self,
        cluster: PoolCluster,
        broker: Broker,
        settings: PoolSettings,
        clock: Callable[[], dt.datetime],
        monotonic: Callable[[], float],
        outstanding: Callable[[str, str], int],
    ) -> None:
        self._cluster = cluster
        self._broker = broker
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._outstanding = outstanding

    async def scale(self, state: PoolState, pool: WorkerPool) -> None:
        """Set the number of workers to what it should be now.

        :raises StoreError: it could not be set.
        """
        await self._decide(state, pool, None)  # what needs no reading does not wait for one
        if self.reading_due(state, pool) == 0:
            state.depth = await read(self._broker, state, pool)
            state.depth_at = self._monotonic()
            await self._decide(state, pool, state.depth)

    def reading_due(self, state: PoolState, pool: WorkerPool) -> float | None:
        """Seconds until the queue is to be read; None when nothing can be learned from it."""
        if state.depth_at is None:
            return 0
        outstanding = self._outstanding(pool.namespace, pool.name)
        unknown = state.depth is None and self._broker.epoch is not None
        backlog = 0 if state.depth is None else state.depth.backlog
        if not unknown and not backlog and not outstanding and state.live.replicas == 0:
            return None
        return max(0.0, state.depth_at + self._settings.scale_interval_seconds - self._monotonic())

    def rises(self, state: PoolState, pool: WorkerPool) -> bool:
        """Whether the steps that the operator knows of call for more workers than the Deployment is told to have."""
        if state.live.raw is None:
            return False
        policy = policy_of(pool)
        outstanding = self._outstanding(pool.namespace, pool.name)
        return policy.automatic and policy.recommend(outstanding) > state.live.replicas

    async def _decide(self, state: PoolState, pool: WorkerPool, depth: Depth | None) -> None:
        if not state.live.known or state.live.raw is None:
            return
        current, outstanding = state.live.replicas, self._outstanding(pool.namespace, pool.name)
        now = self._monotonic()
        decision = decide_replicas(now, policy_of(pool), current, depth, outstanding, state.history)
        state.history = decision.history
        if decision.replicas is None:
            return
        logger.info(
            "pool %s/%s: from %d to %d workers (%s, backlog %s, outstanding %d)",
            *(pool.namespace, pool.name, current, decision.replicas, decision.reason.name.lower()),
            *("unknown" if depth is None else depth.backlog, outstanding),
        )
        await self._cluster.scale(pool.namespace, child_name(pool.name), decision.replicas)
        metrics.SCALINGS.labels(decision.reason.name.lower()).inc()
        state.live.scaled(decision.replicas)
        state.last_scale_time = format_time(self._clock())
