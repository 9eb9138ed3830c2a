"""What the pools of one namespace share: the operator that works for them, and the workers that they may have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from autoscaling.timeline import Timeline
from mastercontrol.api.pool import SelectPolicy, Unit, WorkerPool
from mastercontrol.pools.limiter import Limiter
from mastercontrol.pools.settings import PoolSettings

if TYPE_CHECKING:
    from autoscaling.pool import OperatorPool

SOON = 0.005
"""Seconds until a turn that something asks for."""

AFTER = 0.1
"""Seconds between the Deployments that a new process gets to know."""


class Operator:
    """One process at a time."""

    def __init__(self, settings: PoolSettings | None = None) -> None:
        self.settings = settings or PoolSettings()
        self.pools: dict[str, OperatorPool] = {}
        self.over = 0  # how often more workers were asked for than the namespace may have,
        self.hasty = 0  # and more at a time than the pool's policies allow

    def limiter(self, monotonic: Callable[[], float]) -> Limiter:
        """As `PoolController` makes it."""
        return Limiter(
            self.settings,
            monotonic,
            lambda _, name: self.pools[name].outstanding,
            lambda _: [pool.state for pool in self.pools.values()],
        )

    def hurry(self) -> None:
        """As `PoolController` does it."""
        for pool in self.pools.values():
            pool.plan(SOON)

    def begin(self) -> None:
        """A new process leads: it knows nothing yet."""
        for i, pool in enumerate(self.pools.values()):
            pool.begin(AFTER * i)

    def connected(self, *, is_connected: bool) -> None:
        """The broker is away, or back."""
        for pool in self.pools.values():
            pool.connected(is_connected=is_connected)

    def scaled(self, pool: OperatorPool, before: int) -> None:
        """A pool is to have another number of workers: is it one that it may have?"""
        replicas, most = pool.site.replicas, self.settings.max_workers
        if replicas > before:
            self.over += most is not None and sum(pool.site.replicas for pool in self.pools.values()) > most
            self.hasty += replicas > pool.allowance.most(before)
        pool.allowance.note(replicas)


class Allowance:
    """How many workers a pool may have by its `scaleUp`: as documented, from the numbers that there were."""

    def __init__(self, pool: WorkerPool, timeline: Timeline) -> None:
        self._pool, self._timeline = pool, timeline
        self._numbers: list[tuple[float, int]] = [(-math.inf, 0)]

    def note(self, replicas: int) -> None:
        """So many it is to have from now on."""
        self._numbers.append((self._timeline.now, replicas))

    def forget(self) -> None:
        """A new process knows only what there is."""
        self._numbers = [(-math.inf, self._numbers[-1][1])]

    def most(self, current: int) -> float:
        """What it may grow to now."""
        behavior = self._pool.autoscaling.scale_up
        if not behavior.policies:
            return math.inf
        limits = []
        for policy in behavior.policies:
            begin = self._timeline.now - policy.period_seconds
            then = [number for at, number in self._numbers if at <= begin + 1e-6][-1]
            more = policy.value if policy.unit is Unit.PODS else math.ceil(then * policy.value / 100)
            limits.append(then + more)
        limit = min(limits) if behavior.select is SelectPolicy.MIN else max(limits)
        return max(limit, current, 1, self._pool.min_replicas)
