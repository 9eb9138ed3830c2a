"""Reads a pool's queue when that is due, asks `scaling.py`, and sets the replicas.

`controller.py` calls it in each turn. A pool without workers whose queue is known to be empty is not read at all,
a busy one once in `scale_interval_seconds`; coming up from zero waits for no reading.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import Final

from mastercontrol.api.names import Reason
from mastercontrol.api.pool import WorkerPool
from mastercontrol.api.values import format_time
from mastercontrol.engine.ports import Broker, Depth
from mastercontrol.pools import metrics
from mastercontrol.pools.deployment import child_name
from mastercontrol.pools.limiter import Limiter
from mastercontrol.pools.pace import Change, kept
from mastercontrol.pools.ports import PoolCluster
from mastercontrol.pools.readings import read
from mastercontrol.pools.reducer import Reducer
from mastercontrol.pools.scaling import ScalingReason, decide_replicas, initial_replicas, policy_of
from mastercontrol.pools.settings import PoolSettings
from mastercontrol.pools.state import PoolState

logger = logging.getLogger(__name__)

UNKNOWN_SECONDS: Final = 15.0
"""For so long a depth that is not known leaves a scale-down as it is; then it is undone."""


class Scaler:
    """One for all pools; what it knows of a pool is in its PoolState.

    `hurry(namespace)` gives the pools of a namespace a turn: workers of one are to become workers of another.
    """

    def __init__(
        self,
        cluster: PoolCluster,
        broker: Broker,
        settings: PoolSettings,
        clock: Callable[[], dt.datetime],
        monotonic: Callable[[], float],
        outstanding: Callable[[str, str], int],
        reducer: Reducer,
        limiter: Limiter,
        hurry: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._reducer, self._limiter, self._hurry = reducer, limiter, hurry
        self._broker = broker
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._outstanding = outstanding

    async def scale(self, state: PoolState, pool: WorkerPool) -> None:
        """Set the number of workers to what it should be now.

        :raises StoreError: it could not be set.
        """
        state.reserved = 0
        await self._decide(state, pool, None)  # what needs no reading does not wait for one
        if self.reading_due(state, pool) == 0:
            state.depth = await read(self._broker, state, pool)
            state.depth_at = self._monotonic()
            decided = await self._decide(state, pool, state.depth)
            if state.depth is not None:
                state.known_at = state.depth_at
                if not decided:
                    state.target = None

    async def lower(self, state: PoolState, pool: WorkerPool) -> None:
        """Go one step towards the smaller number that was decided on, if it was.

        :raises StoreError: a pod could not be looked at or marked, or the number not be set.
        """
        if not _is_seen(state):
            return
        if self._broker.epoch is None:
            state.crew.miss()
        if state.depth is None and (state.target is None or state.target[1] is ScalingReason.SHRINK):
            # What was begun stands still for a while: one answer that is missing is no reason to undo it.
            if self._monotonic() - state.known_at >= UNKNOWN_SECONDS:
                state.target = None
                await self._reducer.keep(state)
        elif state.target is None:
            await self._reducer.keep(state)
        else:
            await self._lower(state, pool, *state.target)

    def initial(self, state: PoolState, pool: WorkerPool) -> int:
        """The number that the Deployment is made with."""
        bounds, outstanding = self._limiter.bounds(state, pool), self._outstanding(pool.namespace, pool.name)
        state.reserved = number = initial_replicas(bounds.policy, state.depth, outstanding, bounds.ceiling)
        state.changes = (Change(self._monotonic(), number),)  # it counts as grown from none
        return number

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
        """Whether the steps that the operator knows of call for more workers than there are to be."""
        if state.live.raw is None:
            return False
        if state.limit is not None and state.target is None:
            return False  # it is looked at again when its queue is read
        settled = state.live.replicas if state.target is None else min(state.target[0], state.live.replicas)
        policy = policy_of(pool)
        outstanding = self._outstanding(pool.namespace, pool.name)
        return policy.automatic and policy.recommend(outstanding) > settled

    async def _decide(self, state: PoolState, pool: WorkerPool, depth: Depth | None) -> bool:
        """Set a larger number at once, and take note of a smaller one; False where it is to stay."""
        if not _is_seen(state):
            return False
        current, outstanding = state.live.replicas, self._outstanding(pool.namespace, pool.name)
        now, bounds = self._monotonic(), self._limiter.bounds(state, pool)
        if bounds.presses and (state.limit is None or state.limit.reason is not Reason.NAMESPACE_QUOTA):
            self._hurry(pool.namespace)
        state.limit = bounds.limit
        decision = decide_replicas(now, bounds.policy, current, depth, outstanding, state.history, bounds.ceiling)
        state.history = decision.history
        if decision.replicas is None:
            return False
        if decision.replicas > current:
            state.target = None
            await self._set(state, pool, decision.replicas, decision.reason)
        else:
            state.target = decision.replicas, decision.reason
        return True

    async def _lower(self, state: PoolState, pool: WorkerPool, target: int, why: ScalingReason) -> None:
        policy = self._limiter.bounds(state, pool).policy
        if policy.automatic:  # there may be more work than at the last reading
            target = max(target, policy.recommend(self._outstanding(pool.namespace, pool.name)))
        if target >= state.live.replicas:
            await self._reducer.keep(state)
            return
        replicas, fault = await self._reducer.reduce(state, target, why)
        if replicas < state.live.replicas:
            await self._set(state, pool, replicas, why)
        if fault is not None:
            raise fault

    async def _set(self, state: PoolState, pool: WorkerPool, replicas: int, why: ScalingReason) -> None:
        logger.info(
            "pool %s/%s: from %d to %d workers (%s, backlog %s, outstanding %d)",
            *(pool.namespace, pool.name, state.live.replicas, replicas, why.name.lower()),
            "unknown" if state.depth is None else state.depth.backlog,
            self._outstanding(pool.namespace, pool.name),
        )
        before = state.live.replicas
        state.reserved = replicas  # others of the namespace count it from here on
        await self._cluster.scale(pool.namespace, child_name(pool.name), replicas)
        now = self._monotonic()
        changes = (*state.changes, Change(now, replicas - before))
        state.changes = kept(now, pool.autoscaling.scale_up, changes)
        if replicas < before and self._settings.max_workers is not None:
            self._hurry(pool.namespace)  # another may have them now
        metrics.SCALINGS.labels(why.name.lower()).inc()
        state.live.scaled(replicas)
        state.last_scale_time = format_time(self._clock())


def _is_seen(state: PoolState) -> bool:
    """Whether it is known that there is a Deployment, and how it is."""
    return state.live.known and state.live.raw is not None
