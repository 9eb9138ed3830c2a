"""How the workers that a namespace may have are shared between its pools. Pure.

Weighted max-min fairness: each pool gets what it asks for as long as that is no more than its part by weight, and
what one does not need goes to the others, again by weight. What somebody wrote for a pool that does not scale itself is
taken off before. Each pool with work has one worker before anything else, so that neither weights nor `minReplicas`
leave it none; where there are fewer than that, `turns.py` says who is first. Then come `minReplicas`, and last idle
workers within their stabilization window: they go only as far as their places are needed.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """What one pool asks for: `wanted` workers, of which `minimum` come before others' more. It has `current`.

    `fixed`: it does not scale itself, so it has them, whatever others need.
    """

    name: str
    wanted: int
    minimum: int
    weight: int
    current: int
    fixed: bool = False


def places(quota: int, demands: Sequence[Demand]) -> int:
    """How many workers there are to be shared: those that nobody wrote for a pool."""
    return max(quota - sum(demand.current for demand in demands if demand.fixed), 0)


def shares(quota: int, demands: Sequence[Demand], first: Collection[str]) -> dict[str, int] | None:
    """How many workers each pool may have; None while there is enough for all.

    Those that are `first` have one before all else; no more than there are places.
    """
    if sum(max(demand.wanted, demand.current) for demand in demands) <= quota:
        return None
    sharing = [demand for demand in demands if not demand.fixed]
    given = {demand.name: int(demand.name in first) for demand in sharing}
    wanted = {demand.name: demand.wanted for demand in sharing}
    left = places(quota, demands) - sum(given.values())
    left = _fill(left, given, {demand.name: min(demand.minimum, demand.wanted) for demand in sharing}, sharing)
    left = _fill(left, given, wanted, sharing)
    _fill(left, given, {demand.name: max(demand.wanted, demand.current) for demand in sharing}, sharing)
    return given | {demand.name: demand.current for demand in demands if demand.fixed}


def room(quota: int, name: str, demands: Sequence[Demand]) -> int:
    """How many workers a pool could have beside those that the others have still."""
    return max(quota - sum(demand.current for demand in demands if demand.name != name), 0)


def _fill(left: int, given: dict[str, int], upto: dict[str, int], demands: Sequence[Demand]) -> int:
    """Give one after the other to who has the least for its weight; what is left."""
    weights = {demand.name: demand.weight for demand in demands}
    waiting = [((given[name] + 1) / weights[name], name) for name in given if given[name] < upto[name]]
    heapq.heapify(waiting)
    while left > 0 and waiting:
        _, name = heapq.heappop(waiting)
        given[name] += 1
        left -= 1
        if given[name] < upto[name]:
            heapq.heappush(waiting, ((given[name] + 1) / weights[name], name))
    return left
