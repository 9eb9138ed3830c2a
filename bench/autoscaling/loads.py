"""Work that comes to a pool: when, and how long each step takes. Generated from a seed, or read from a file.

A recorded load is a text of JSON lines, one for each step, in any order: `{"at": 12.5, "seconds": 3.2}`. `at` is when
it was dispatched, in seconds from the beginning; `seconds` is how long a worker was at it.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"

HOUR = 3600.0
AFTERWARDS = 900.0
"""How long is looked on after the last step came: going down to zero belongs to the costs."""

CACHED = (1.0, 4.0)
"""Seconds from a pod's creation to its start, where the node has the image."""

PULLED = (30.0, 90.0)
"""The same where the image must be pulled, or the node must come first."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A step that is dispatched `at` a time and keeps a worker for so many `seconds`."""

    at: float
    seconds: float

    def line(self) -> str:
        """As it is recorded."""
        return json.dumps({"at": round(self.at, 3), "seconds": round(self.seconds, 3)})


@dataclass(frozen=True, slots=True)
class Load:
    """`start` are the least and the most seconds that a pod takes to start."""

    name: str
    about: str
    arrivals: tuple[Arrival, ...]
    start: tuple[float, float] = CACHED

    @property
    def duration(self) -> float:
        """Seconds that are looked at."""
        return max(arrival.at + arrival.seconds for arrival in self.arrivals) + AFTERWARDS


def all_loads(seed: int) -> list[Load]:
    """Every kind, from one seed, and those that are recorded in this folder."""
    found = [make(random.Random(f"{seed} {name}")) for name, make in KINDS.items()]
    return found + [recorded(path) for path in sorted(RECORDED.glob("*.jsonl"))]


def recorded(path: Path) -> Load:
    """Read a load.

    :raises ValueError: a line is not of the form above.
    """
    with path.open(encoding="utf-8") as lines:
        arrivals = sorted((_arrival(line) for line in lines if line.strip()), key=lambda arrival: arrival.at)
    if not arrivals:
        raise ValueError(f"{path} has no line")
    return Load(path.stem, "as it was recorded", tuple(arrivals))


def from_history(path: Path) -> list[Arrival]:
    """The steps of a run's history (docs/reference/run-histories.md), as its commits show them.

    `seconds` is the time from dispatch to answer, as nothing else stands there: what a step waited for is in it.
    """
    began: dict[str, float] = {}
    found: list[Arrival] = []
    active: dict[str, set[str]] = {}
    with path.open(encoding="utf-8") as lines:
        for event in map(json.loads, lines):
            if event["kind"] != "commit":
                continue
            now = {each["id"] for each in event["active"] if "id" in each}
            for gone in active.get(event["job"], set()) - now:
                at = began.pop(gone)
                found.append(Arrival(at, event["t"] - at))
            for come in now - active.get(event["job"], set()):
                began[come] = event["t"]
            active[event["job"]] = now
    first = min((arrival.at for arrival in found), default=0.0)
    return sorted((Arrival(one.at - first, one.seconds) for one in found), key=lambda arrival: arrival.at)


def _arrival(line: str) -> Arrival:
    data = json.loads(line)
    try:
        found = Arrival(float(data["at"]), float(data["seconds"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no line of a recorded load: {line.strip()[:80]}") from error
    if not (found.at >= 0 and 0 <= found.seconds < math.inf):
        raise ValueError(f"no times of a recorded load: {line.strip()[:80]}")
    return found


def poisson(
    dice: random.Random, rate: Callable[[float], float], most: float, until: float, seconds: Callable[[], float]
) -> Iterator[Arrival]:
    """Steps that come independently of each other; `rate` per second at a time is at `most` that."""
    at = 0.0
    while (at := at + dice.expovariate(most)) < until:
        if dice.random() * most < rate(at):
            yield Arrival(at, seconds())


def _steps(dice: random.Random) -> Load:
    rates = (0.5, 2.0, 5.0, 1.0, 3.0, 0.2)
    arrivals = poisson(
        dice, lambda at: rates[int(at // 1200) % len(rates)], 5.0, 2 * HOUR, lambda: dice.uniform(2.0, 8.0)
    )
    return Load("steps", "the rate jumps each 20 minutes, between 0.2 and 5 a second; 2 to 8 s each", tuple(arrivals))


def _burst(dice: random.Random) -> Load:
    arrivals = [Arrival(at, dice.uniform(5.0, 15.0)) for at in (60.0, 2400.0, 2700.0) for _ in range(1000)]
    return Load("burst", "1,000 steps at once, three times; 5 to 15 s each", tuple(arrivals))


def _daily(dice: random.Random) -> Load:
    def rate(at: float) -> float:
        return float(1.5 * max(0.0, math.sin(math.pi * (at / HOUR - 6) / 14)) ** 2)  # from 6 to 20 o'clock

    arrivals = poisson(dice, rate, 1.5, 24 * HOUR, lambda: min(dice.expovariate(1 / 8.0), 60.0))
    return Load("daily", "a day: nothing at night, 1.5 a second at the height; 8 s in the mean", tuple(arrivals))


def _long(dice: random.Random) -> Load:
    def seconds() -> float:
        return dice.uniform(120.0, 3600.0) if dice.randrange(20) == 0 else dice.uniform(1.0, 10.0)

    def rate(at: float) -> float:
        return (0.12, 0.01)[int(at // 900) % 2]

    arrivals = poisson(dice, rate, 0.12, 6 * HOUR, seconds)
    return Load(
        "long", "one of twenty takes 2 to 60 minutes, the others 1 to 10 s; busy and calm by turns", tuple(arrivals)
    )


def _slow_start(dice: random.Random) -> Load:
    times = [60.0 + 1200.0 * i + dice.uniform(0, 600.0) for i in range(9)]
    arrivals = [Arrival(at, dice.uniform(5.0, 20.0)) for at in sorted(times) for _ in range(200)]
    return Load(
        "slow-start", "200 steps at once, 9 times in 3 hours; a pod takes 30 to 90 s to start", tuple(arrivals), PULLED
    )


def _pulses(dice: random.Random) -> Load:
    times = [60.0 + 210.0 * i + dice.uniform(0, 60.0) for i in range(40)]
    arrivals = [Arrival(at, dice.uniform(5.0, 20.0)) for at in times for _ in range(20)]
    return Load(
        "pulses", "20 steps at once each 3 to 4 minutes; a pod takes 30 to 90 s to start", tuple(arrivals), PULLED
    )


def pulses(seed: int, pause: float, start: tuple[float, float]) -> Load:
    """Two hours of 20 steps at once, with pauses and starts of pods other than those of the load `pulses`."""
    dice = random.Random(f"{seed} {pause} {start}")
    arrivals, at = list[Arrival](), 60.0
    while at < 2 * HOUR:
        arrivals += [Arrival(at, dice.uniform(5.0, 20.0)) for _ in range(20)]
        at += dice.uniform(0.9 * pause, 1.1 * pause)
    name = f"each {pause:g} s, pods {start[0]:g}-{start[1]:g} s"
    return Load(name, "20 steps at once", tuple(arrivals), start)


def _trickle(dice: random.Random) -> Load:
    arrivals = poisson(dice, lambda _: 1 / 300, 1 / 300, 12 * HOUR, lambda: dice.uniform(2.0, 20.0))
    return Load("trickle", "a step every five minutes in the mean; 2 to 20 s each", tuple(arrivals))


KINDS: dict[str, Callable[[random.Random], Load]] = {
    "steps": _steps,
    "burst": _burst,
    "daily": _daily,
    "long": _long,
    "slow-start": _slow_start,
    "pulses": _pulses,
    "trickle": _trickle,
}
