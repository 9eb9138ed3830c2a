"""How the workers that a namespace may have are shared between its pools. Pure.

Weighted max-min fairness: each pool gets what it asks for as long as that is no more than its part by weight, and what
one does not need goes to the others, again by weight. `minReplicas` come first, and idle workers within their
stabilization window last: they go only as far as their places are needed.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """What one pool asks for: `wanted` workers, of which `minimum` come first. It has `current`."""

    name: str
    wanted: int
    minimum: int
    weight: int
    current: int


def shares(quota: int, demands: Sequence[Demand]) -> dict[str, int] | None:
    """How many workers each pool may have; None while there is enough for all."""
    if sum(max(demand.wanted, demand.current) for demand in demands) <= quota:
        return None
    given = dict.fromkeys((demand.name for demand in demands), 0)
    left = _fill(quota, given, {demand.name: min(demand.minimum, demand.wanted) for demand in demands}, demands)
    left = _fill(left, given, {demand.name: demand.wanted for demand in demands}, demands)
    _fill(left, given, {demand.name: max(demand.wanted, demand.current) for demand in demands}, demands)
    return given


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
