"""What keeps a pool from having as many workers as its steps call for: its own bounds, its pace, the namespace's quota.

`scaler.py` asks it before each decision. It looks at the pool, at the others of its namespace and at what was changed
lately, and remembers whose turn it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from mastercontrol.api.names import Reason
from mastercontrol.api.pool import WorkerPool
from mastercontrol.pools import fairness, pace
from mastercontrol.pools.backoff import Problem
from mastercontrol.pools.fairness import Demand
from mastercontrol.pools.scaling import ScalingPolicy, policy_of
from mastercontrol.pools.settings import PoolSettings
from mastercontrol.pools.state import PoolState
from mastercontrol.pools.turns import Candidate, Turns


@dataclass(frozen=True, slots=True)
class Bounds:
    """What holds for a decision: the policy, how far the pool may grow now (None: as it likes), and what holds it back.

    `presses`: others have workers that this one should have.
    """

    policy: ScalingPolicy
    ceiling: int | None = None
    limit: Problem | None = None
    presses: bool = False


class Limiter:
    """One for all pools.

    :param neighbours: the pools of a namespace.
    """

    def __init__(
        self,
        settings: PoolSettings,
        monotonic: Callable[[], float],
        outstanding: Callable[[str, str], int],
        neighbours: Callable[[str], Iterable[PoolState]],
    ) -> None:
        self._quota = settings.max_workers
        self._monotonic, self._outstanding, self._neighbours = monotonic, outstanding, neighbours
        self._turns: dict[str, Turns] = {}

    def bounds(self, state: PoolState, pool: WorkerPool) -> Bounds:
        """What holds for a pool now."""
        policy = policy_of(pool, state.start_seconds)
        if not policy.automatic or policy.maximum == 0:
            return Bounds(policy)
        needed = policy.needed(self._backlog(state))
        wanted = policy.clamp(needed)
        limit = None
        if needed > policy.maximum:
            message = f"the steps call for {needed} workers, maxReplicas is {policy.maximum}"
            limit = Problem(Reason.TOO_MANY_REPLICAS, message)
        current = state.live.replicas
        ceiling = pace.most(self._monotonic(), pool.autoscaling.scale_up, current, state.changes)
        if ceiling is not None and ceiling < wanted:
            message = f"the steps call for {wanted} workers, autoscaling.scaleUp allows {ceiling} now"
            limit = Problem(Reason.SCALE_UP_LIMIT, message)
        return self._shared(state, policy, wanted, Bounds(policy, ceiling, limit))

    def _shared(self, state: PoolState, policy: ScalingPolicy, wanted: int, alone: Bounds) -> Bounds:
        if self._quota is None:
            return alone
        others = [other for other in self._neighbours(state.namespace) if other.active is not None]
        demands = [self._demand(other) for other in others]
        if not all(other.live.known for other in others if other is not state):
            current = state.live.replicas  # how many they have is not known yet
            return Bounds(_without_room(policy, current), current, alone.limit)
        room = fairness.room(self._quota, state.name, demands)
        ceiling = room if alone.ceiling is None else min(room, alone.ceiling)
        shares = fairness.shares(self._quota, demands, self._first(self._quota, others, demands))
        if shares is None:
            return Bounds(policy, ceiling, alone.limit)
        share = shares[state.name]
        allowed = min(share, max(ceiling, min(state.live.replicas, share)))
        policy = _without_room(policy.within(share), max(room, state.live.replicas))
        if allowed >= wanted:
            return Bounds(policy, ceiling, alone.limit)
        asks = "the steps call" if self._backlog(state) else "minReplicas calls"
        has = f"this pool's part of the namespace's {self._quota} is {share}"
        if not share:
            has = f"all that the namespace may have, {self._quota}, are other pools' now"
        message = f"{asks} for {wanted} workers, {has}"
        return Bounds(policy, ceiling, Problem(Reason.NAMESPACE_QUOTA, message), presses=room < share)

    def _demand(self, state: PoolState) -> Demand:
        pool = state.active
        assert pool is not None, "only pools that are worked for are asked"  # noqa: S101 - the caller has looked
        policy, current = policy_of(pool), max(state.live.replicas, state.reserved)
        if not policy.automatic:
            # Somebody wrote that number: it is taken, and comes before all that is shared.
            return Demand(state.name, current, current, 1, current, fixed=True)
        wanted = policy.recommend(self._backlog(state))
        ceiling = pace.most(self._monotonic(), pool.autoscaling.scale_up, current, state.changes)
        if ceiling is not None:  # what it can't have yet is no reason to keep it from others
            wanted = min(wanted, max(ceiling, current))
        return Demand(state.name, wanted, policy.minimum, pool.autoscaling.weight, current)

    def _first(self, quota: int, pools: Sequence[PoolState], demands: Sequence[Demand]) -> frozenset[str]:
        """The pools with work that have a worker before all else."""
        working = [
            Candidate(
                state.name,
                demand.weight,
                ready=state.live.counts.ready > 0,
                room=demand.current > 0 or fairness.room(quota, state.name, demands) > 0,
            )
            for state, demand in zip(pools, demands, strict=True)
            if demand.wanted and not demand.fixed and self._backlog(state)
        ]
        if not working:
            self._turns.pop(pools[0].namespace, None)
            return frozenset()
        turns = self._turns.setdefault(pools[0].namespace, Turns())
        return turns.first(self._monotonic(), fairness.places(quota, demands), working)

    def _backlog(self, state: PoolState) -> int:
        read = 0 if state.depth is None else state.depth.backlog
        return max(self._outstanding(state.namespace, state.name), read)


def _without_room(policy: ScalingPolicy, most: int) -> ScalingPolicy:
    """The same where `minReplicas` has to wait for the places that others have still."""
    return replace(policy, minimum=min(policy.minimum, most))
