"""Pools and loads that nobody chose, until so many decisions were made: is a worker ever ended that is at work?

Each world is drawn from a seed: the pool's fields, the load, how long everything takes; in many of them operators die
and the broker is out of the operator's reach for a while, or does not tell a depth.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from autoscaling.loads import Arrival, poisson
from autoscaling.pool import OperatorPool
from autoscaling.site import Pods, Site, Ways
from autoscaling.tally import Tally
from autoscaling.timeline import Timeline
from mastercontrol.pools.settings import PoolSettings

REST = 400.0
"""Seconds without new steps at the end of a world: more than any window and any drain."""

LONG = 0.05
"""The share of long steps."""


@dataclass(frozen=True, slots=True)
class World:
    """One pool and what happens to it; all of it follows from the seed."""

    seed: str
    spec: dict[str, Any]
    pods: Pods
    ways: Ways
    arrivals: tuple[Arrival, ...]
    seconds: float
    restarts: tuple[float, ...] = ()
    outages: tuple[tuple[float, float], ...] = ()  # when, and for how long
    unread: float = 0.0  # the share of depths that the broker does not tell


@dataclass
class Found:
    """All worlds together; `stuck` are seeds of worlds in which work or too many workers were left."""

    worlds: int = 0
    decisions: int = 0
    steps: int = 0
    changes: int = 0
    ended: int = 0
    chosen: int = 0
    killed: int = 0
    again: int = 0
    wronged: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    def add(self, world: World, tally: Tally, left: int) -> None:
        """Count a world, in which so many pods were left."""
        self.worlds += 1
        self.decisions += tally.decisions
        self.steps += len(tally.steps)
        self.changes += tally.changes
        self.ended += tally.ended
        self.chosen += tally.chosen
        self.killed += tally.killed
        self.again += tally.again
        if tally.chosen:
            self.wronged.append(world.seed)
        if tally.unfinished or left > world.spec["minReplicas"]:
            self.stuck.append(world.seed)

    def __str__(self) -> str:
        lines = [
            f"decisions              {self.decisions:10,}   in {self.worlds:,} worlds, about {self.steps:,} steps",
            f"changes of the number  {self.changes:10,}",
            f"pods ended             {self.ended:10,}",
            f"busy pods chosen       {self.chosen:10,}",
            f"busy pods killed       {self.killed:10,}",
            f"executed again         {self.again:10,}",
        ]
        lines += [f"wronged: {seed}" for seed in self.wronged[:10]]
        lines += [f"did not come to rest: {seed}" for seed in self.stuck[:10]]
        return "\n".join(lines)


def soak(seed: int, decisions: int, settings: PoolSettings | None = None) -> Found:
    """Go through worlds until there were so many decisions."""
    found, number = Found(), 0
    while found.decisions < decisions:
        number += 1
        world = draw(f"{seed}/{number}")
        found.add(world, *play(world, settings))
    return found


def play(world: World, settings: PoolSettings | None = None) -> tuple[Tally, int]:
    """One world from its beginning to its end: what was measured, and how many pods are left."""
    timeline = Timeline()
    site = Site(timeline, world.seed, world.ways, world.pods)
    pool = OperatorPool(site, world.spec, settings, unread=world.unread)
    for arrival in world.arrivals:
        timeline.at(arrival.at, _publish(site, arrival.seconds))
    for at in world.restarts:
        timeline.at(at, pool.begin)
    for at, seconds in world.outages:
        timeline.at(at, lambda: pool.connected(is_connected=False))
        timeline.at(at + seconds, lambda: pool.connected(is_connected=True))
    timeline.run(world.seconds)
    end = world.seconds
    while site.tally.unfinished and timeline.now < 2 * world.seconds:
        end = timeline.now + 60
        timeline.run(end)
    timeline.run(end + REST)
    site.close()
    return site.tally, site.existing


def _publish(site: Site, seconds: float) -> Callable[[], None]:
    return lambda: site.publish(seconds)


def draw(seed: str) -> World:
    """A world from its seed."""
    dice = random.Random(seed)
    seconds = dice.uniform(1800, 5400)
    least = dice.choice((0, 0, 0, 1, 3))
    most = least + dice.randint(1, 25)
    concurrency = dice.choice((1, 1, 1, 2, 4))
    autoscaling = {
        "targetBacklog": dice.choice((1, 1, 2, 4)),
        "scaleDownStabilizationSeconds": dice.choice((0, 1, 3, 10, 60, None)),
    }
    faulty = dice.random() < 0.5  # noqa: PLR2004
    return World(
        seed=seed,
        spec={"minReplicas": least, "maxReplicas": most, "autoscaling": autoscaling},
        pods=Pods(concurrency=concurrency, nodes=dice.choice((1, 3, 20))),
        ways=Ways(
            message=(0.001, dice.choice((0.01, 0.1, 1.0))),
            watch=(0.005, dice.choice((0.05, 0.2, 0.45))),
            connect=(0.3, dice.choice((2.0, 8.0))),
            start=dice.choice(((0.5, 3.0), (0.5, 3.0), (5.0, 40.0))),
        ),
        arrivals=tuple(_arrivals(dice, seconds, most * concurrency)),
        seconds=seconds,
        restarts=tuple(_times(dice, seconds, 600.0)) if faulty else (),
        outages=tuple((at, dice.expovariate(1 / 20)) for at in _times(dice, seconds, 600.0)) if faulty else (),
        unread=dice.choice((0.0, 0.1)) if faulty else 0.0,
    )


def _times(dice: random.Random, until: float, mean: float) -> Iterator[float]:
    at = 0.0
    while (at := at + dice.expovariate(1 / mean)) < until:
        yield at


def _arrivals(dice: random.Random, until: float, slots: int) -> Iterator[Arrival]:
    """Rates that change all the time, up to about what the pool can do, and bursts between."""
    mean = dice.choice((2.0, 5.0, 10.0, 30.0))
    longest = dice.choice((10.0, 60.0, 400.0))

    def length() -> float:
        return dice.uniform(longest / 3, longest) if dice.random() < LONG else min(dice.expovariate(1 / mean), longest)

    highest = slots / (mean + LONG * longest)
    pauses = dice.choice((20.0, 60.0, 200.0))
    shares = [dice.choice((0.0, 0.0, 0.1, 0.4, 0.9)) for _ in range(int(until / pauses) + 1)]
    found = list(poisson(dice, lambda at: highest * shares[int(at / pauses)], highest, until, length))
    for at in _times(dice, until, 900.0):
        found += [Arrival(at, length()) for _ in range(dice.randint(1, 2 * slots))]
    yield from sorted(found, key=lambda arrival: arrival.at)
