"""How the workers that a namespace may have are shared between its pools. Pure.

Weighted max-min fairness: each pool gets what it asks for as long as that is no more than its part by weight, and what
one does not need goes to the others, again by weight. Each that needs a worker has one before anything else, so that
neither weights nor `minReplicas` leave another one none; where there are fewer than that, pools take turns, one of
weight 2 twice as often as one of 1. Then come `minReplicas`, and last idle workers within their stabilization window:
they go only as far as their places are needed.
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


def shares(quota: int, demands: Sequence[Demand], turn: int = 0) -> dict[str, int] | None:
    """How many workers each pool may have in a turn, counted from anywhere; None while there is enough for all."""
    if sum(max(demand.wanted, demand.current) for demand in demands) <= quota:
        return None
    given = dict.fromkeys((demand.name for demand in demands), 0)
    wanted = {demand.name: demand.wanted for demand in demands}
    left = _one_each(quota, given, wanted, demands, turn)
    left = _fill(left, given, {demand.name: min(demand.minimum, demand.wanted) for demand in demands}, demands)
    left = _fill(left, given, wanted, demands)
    _fill(left, given, {demand.name: max(demand.wanted, demand.current) for demand in demands}, demands)
    return given


def room(quota: int, name: str, demands: Sequence[Demand]) -> int:
    """How many workers a pool could have beside those that the others have still."""
    return max(quota - sum(demand.current for demand in demands if demand.name != name), 0)


def _one_each(left: int, given: dict[str, int], upto: dict[str, int], demands: Sequence[Demand], turn: int) -> int:
    """Give one to each pool that has none; where that can't be, to those whose turn it is. What is left."""
    waiting = sorted(
        (demand for demand in demands if given[demand.name] == 0 < upto[demand.name]), key=lambda one: one.name
    )
    if left >= len(waiting):
        given.update((demand.name, 1) for demand in waiting)
        return left - len(waiting)
    heaviest = max(demand.weight for demand in waiting)
    places = [demand.name for i in range(heaviest) for demand in waiting if demand.weight > i]
    at = turn * left
    while left > 0:
        name = places[at % len(places)]
        at += 1
        if given[name] < upto[name]:
            given[name] += 1
            left -= 1
    return left


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
