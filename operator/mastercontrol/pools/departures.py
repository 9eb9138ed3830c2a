"""What one operator knows of the workers of a pool that are to go, between its looks at them.

Only `reducer.py` changes it. Nothing of it must survive: a new operator asks anew, and finds the marks at the pods.
Times are seconds of a monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from mastercontrol.pools.leaving import Pod

GONE_SECONDS: Final = 10.0
"""For so long the ReplicaSet may need to end a pod for which the number went down."""


@dataclass(frozen=True, slots=True)
class Order:
    """To drain: what the worker echoes, and when it was sent last."""

    text: str
    at: float


@dataclass(slots=True)
class Departures:
    """By the name of a pod, unless it says otherwise."""

    orders: dict[str, Order] = field(default_factory=dict)
    resumed: dict[str, float] = field(default_factory=dict)  # who was asked to go on, and when
    marked: dict[str, float] = field(default_factory=dict)  # who is marked to go first, and since when
    unmarked_at: float = -math.inf
    going: dict[str, float] = field(default_factory=dict)  # for whom the number went down, and when
    busy: int = 0  # how many are to go and still hold a step
    mute: str | None = None  # why workers can't be told anything
    mute_at: float = -math.inf
    idle: tuple[float, frozenset[str]] | None = None  # when it was looked up who is idle, and who was
    idle_before: frozenset[str] = frozenset()  # and who was the time before
    silent: dict[str, float] = field(default_factory=dict)  # who is ready and says nothing, and since when that is seen
    tidied: bool = False  # whether marks of a former operator were looked for

    def compare(self, pods: Iterable[Pod], replicas: int, now: float) -> list[Pod]:
        """These pods there are, of which `replicas` are to be; those of them that are to be thought of.

        Whom the number went down for is the ReplicaSet's now, until there are no more than that (it may have taken
        another one, as one that was not ready any more) or that takes too long.
        """
        here = list(pods)
        names = {pod.name for pod in here}
        self.orders = {name: order for name, order in self.orders.items() if name in names}
        self.resumed = _of(self.resumed, names)
        self.marked = _of(self.marked, names)
        self.going = {name: at for name, at in _of(self.going, names).items() if now - at < GONE_SECONDS}
        if len(here) <= replicas:
            self.going = {}
        left = [pod for pod in here if pod.name not in self.going]
        for pod in left:
            if pod.marked:
                self.marked.setdefault(pod.name, now)
        return left

    def free(self, names: Iterable[str], before: float) -> tuple[str, ...]:
        """Of these, those that may be asked to go on or lose their mark now.

        None that is marked, as long as the ReplicaSet has not taken those that it is to take: it may take this one. Nor
        one whose mark is not from `before`: a former operator may have made it, and the number smaller.
        """

        def is_free(name: str) -> bool:
            return name not in self.marked or (not self.going and self.marked[name] <= before)

        return tuple(filter(is_free, names))

    def went(self, names: Iterable[str], now: float) -> None:
        """The number goes down for these."""
        for name in names:
            self.going[name] = now
            self.marked.pop(name, None)
            self.orders.pop(name, None)


def _of(times: dict[str, float], names: Collection[str]) -> dict[str, float]:
    return {name: at for name, at in times.items() if name in names}
