"""Worlds of the soak: pools, loads, times and what goes wrong, each drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from autoscaling.disturbances import Drain, Failure
from autoscaling.loads import Arrival, poisson
from autoscaling.site import Pods, Ways
from mastercontrol.pools.grace import coarse
from mastercontrol.pools.podtemplate import STOP_MARGIN_SECONDS

LONG = 0.05
"""The share of long steps."""


@dataclass(frozen=True, slots=True)
class Rolled:
    """The pool's template changes: the operator itself writes it, or somebody else does."""

    at: float
    by_operator: bool


@dataclass(frozen=True, slots=True)
class Paused:
    """The user writes `maxReplicas: 0` for so many seconds; `rolls`: and another template in the same edit."""

    at: float
    seconds: float
    rolls: bool


@dataclass(frozen=True, slots=True)
class PlannedPool:
    """One pool and its load."""

    spec: dict[str, Any]
    pods: Pods
    ways: Ways
    arrivals: tuple[Arrival, ...]
    rolls: tuple[Rolled, ...] = ()
    pauses: tuple[Paused, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """The pools of one namespace and what happens to them; all of it follows from the seed."""

    seed: str
    pools: tuple[PlannedPool, ...]
    seconds: float
    restarts: tuple[float, ...] = ()
    outages: tuple[tuple[float, float], ...] = ()  # when, and for how long
    unread: float = 0.0  # the share of depths that the broker does not tell
    max_workers: int | None = None  # what the namespace may have
    nodes: int = 1
    drains: tuple[Drain, ...] = ()
    failures: tuple[Failure, ...] = ()


def draw(seed: str) -> World:
    """A world from its seed."""
    dice, more = random.Random(seed), random.Random(f"{seed} more")
    seconds = dice.uniform(1800, 5400)
    nodes = dice.choice((1, 3, 6, 20))
    shared = more.random() < 0.3  # noqa: PLR2004
    rolls, drains, fails, paces = (more.random() < share for share in (0.5, 0.5, 0.5, 0.4))
    disturbed = rolls or (drains and nodes > 1)
    pools = tuple(
        _pool(dice, seconds, nodes, more if paces else None, is_patient=disturbed)
        for _ in range(more.randint(2, 4) if shared else 1)
    )
    if rolls:
        pools = tuple(replace(pool, rolls=tuple(_rolls(more, seconds))) for pool in pools)
    if more.random() < 0.2:  # noqa: PLR2004
        pools = tuple(replace(pool, pauses=tuple(_pauses(more, seconds, rolls=rolls))) for pool in pools)
    faulty = dice.random() < 0.5  # noqa: PLR2004
    return World(
        seed=seed,
        pools=pools,
        seconds=seconds,
        restarts=tuple(_times(dice, seconds, 600.0)) if faulty else (),
        outages=tuple((at, dice.expovariate(1 / 20)) for at in _times(dice, seconds, 600.0)) if faulty else (),
        unread=dice.choice((0.0, 0.1)) if faulty else 0.0,
        max_workers=_quota(more, pools) if shared else None,
        nodes=nodes,
        drains=tuple(_drains(more, seconds, nodes)) if drains and nodes > 1 else (),
        failures=tuple(_failures(more, seconds, nodes)) if fails and nodes > 1 else (),
    )


def _pool(
    dice: random.Random, seconds: float, nodes: int, paced: random.Random | None, *, is_patient: bool
) -> PlannedPool:
    least = dice.choice((0, 0, 0, 1, 3))
    most = least + dice.randint(1, 25)
    concurrency = dice.choice((1, 1, 1, 2, 4))
    autoscaling: dict[str, Any] = {
        "targetBacklog": dice.choice((1, 1, 2, 4)),
        "scaleDownStabilizationSeconds": dice.choice((0, 1, 3, 10, 60, None)),
        "weight": dice.choice((1, 1, 2, 5)),
    }
    if paced is not None:
        autoscaling["scaleUp"] = _pace(paced)
    spec: dict[str, Any] = {"minReplicas": least, "maxReplicas": most, "autoscaling": autoscaling}
    budget = dice.choice((None, {"maxUnavailable": 1}, {"maxUnavailable": "25%"}, {"minAvailable": 2}))
    if budget is not None:
        spec["disruptionBudget"] = budget
    mean, longest = dice.choice((2.0, 5.0, 10.0, 30.0)), dice.choice((10.0, 60.0, 400.0))
    return PlannedPool(
        spec=spec,
        # A step may go on when its pod is told to end: the operator's own rule makes the grace period that long.
        pods=Pods(concurrency, coarse(int(longest)) + STOP_MARGIN_SECONDS if is_patient else 30.0, nodes),
        ways=Ways(
            message=(0.001, dice.choice((0.01, 0.1, 1.0))),
            watch=(0.005, dice.choice((0.05, 0.2, 0.45))),
            connect=(0.3, dice.choice((2.0, 8.0))),
            start=dice.choice(((0.5, 3.0), (0.5, 3.0), (5.0, 40.0))),
        ),
        arrivals=tuple(_arrivals(dice, seconds, most * concurrency, mean, longest)),
    )


def _pace(dice: random.Random) -> dict[str, Any]:
    kinds: list[dict[str, Any]] = [
        {"type": "Pods", "value": dice.randint(1, 8)},
        {"type": "Percent", "value": dice.choice((20, 100))},
    ]
    chosen = dice.sample(kinds, dice.randint(1, 2))
    return {
        "policies": [{**each, "periodSeconds": dice.choice((5, 15, 60))} for each in chosen],
        "selectPolicy": dice.choice(("Max", "Min")),
    }


def _quota(dice: random.Random, pools: tuple[PlannedPool, ...]) -> int:
    together: int = sum(pool.spec["maxReplicas"] for pool in pools)
    return max(1, round(together * dice.uniform(0.1, 0.9)))  # also fewer than there are pools: they take turns


def _rolls(dice: random.Random, until: float) -> Iterator[Rolled]:
    for at in _times(dice, until, 400.0):
        yield Rolled(at, by_operator=dice.random() < 0.8)  # noqa: PLR2004


def _pauses(dice: random.Random, until: float, *, rolls: bool) -> Iterator[Paused]:
    end = 0.0
    for at in _times(dice, until, 600.0):
        if at > end:
            pause = Paused(at, dice.uniform(5.0, 120.0), rolls and dice.random() < 0.5)  # noqa: PLR2004
            end = at + pause.seconds
            yield pause


def _drains(dice: random.Random, until: float, nodes: int) -> Iterator[Drain]:
    for at in _times(dice, until, 200.0):
        yield Drain(at, dice.randrange(nodes), dice.uniform(10.0, 120.0))


def _failures(dice: random.Random, until: float, nodes: int) -> Iterator[Failure]:
    for at in _times(dice, until, 300.0):
        noticed = dice.uniform(5.0, 45.0)
        gone = noticed + dice.uniform(1.0, 60.0)
        yield Failure(at, dice.randrange(nodes), noticed, gone, gone + dice.uniform(1.0, 120.0))


def _times(dice: random.Random, until: float, mean: float) -> Iterator[float]:
    at = 0.0
    while (at := at + dice.expovariate(1 / mean)) < until:
        yield at


def _arrivals(dice: random.Random, until: float, slots: int, mean: float, longest: float) -> Iterator[Arrival]:
    """Rates that change all the time, up to about what the pool can do, and bursts between."""

    def length() -> float:
        return dice.uniform(longest / 3, longest) if dice.random() < LONG else min(dice.expovariate(1 / mean), longest)

    highest = slots / (mean + LONG * longest)
    pauses = dice.choice((20.0, 60.0, 200.0))
    shares = [dice.choice((0.0, 0.0, 0.1, 0.4, 0.9)) for _ in range(int(until / pauses) + 1)]
    found = list(poisson(dice, lambda at: highest * shares[int(at / pauses)], highest, until, length))
    for at in _times(dice, until, 900.0):
        found += [Arrival(at, length()) for _ in range(dice.randint(1, 2 * slots))]
    yield from sorted(found, key=lambda arrival: arrival.at)
