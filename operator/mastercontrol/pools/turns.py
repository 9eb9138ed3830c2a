"""Which pools have a worker where a namespace may have fewer than there are pools with work. No clock, no I/O.

A pool keeps its place until its workers were ready for a while, so that long steps and slow starts cost nobody their
turn; then that one comes which has waited longest. A pool whose workers never become ready keeps it by far longer, but
not for ever. `limiter.py` keeps one `Turns` for each namespace.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TURN_SECONDS: Final = 120.0
"""How long a pool works before another one comes, times its weight beside the lightest one's."""

HEAVIEST: Final = 10.0
"""No turn is more than so many times as long as another one."""

START_SECONDS: Final = 600.0
"""How long a pool has to get its first worker ready."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pool with work.

    `ready`: a worker of it is. `room`: it has a worker, or there is a place for one that no other pool has still.
    """

    name: str
    weight: int
    ready: bool
    room: bool


@dataclass
class _Turn:
    """Since when a pool had room and a ready worker, in seconds of a monotonic clock."""

    room_at: float = math.inf
    ready_at: float = math.inf

    def see(self, now: float, candidate: Candidate) -> None:
        if candidate.room:
            self.room_at = min(self.room_at, now)
        if candidate.ready:
            self.ready_at = min(self.ready_at, now)

    def over_at(self, seconds: float) -> float:
        """When it is over, as far as can be said."""
        return self.room_at + START_SECONDS if self.ready_at == math.inf else self.ready_at + seconds


class Turns:
    """Of one namespace."""

    def __init__(self) -> None:
        self._held: dict[str, _Turn] = {}
        self._since: dict[str, float] = {}  # who has no place, and since when

    def first(self, now: float, places: int, candidates: Sequence[Candidate]) -> frozenset[str]:
        """Who has a place now: all, where there are enough."""
        by_name = {candidate.name: candidate for candidate in candidates}
        self._held = {name: turn for name, turn in self._held.items() if name in by_name}
        self._since = {name: self._since.get(name, now) for name in by_name if name not in self._held}
        for name, turn in self._held.items():
            turn.see(now, by_name[name])
        lightest = min((candidate.weight for candidate in candidates), default=1)
        ends = {
            name: turn.over_at(TURN_SECONDS * min(by_name[name].weight / lightest, HEAVIEST))
            for name, turn in self._held.items()
        }
        oldest = sorted(ends, key=lambda name: (ends[name], name))
        while len(self._held) > places:
            self._end(oldest.pop(0), now)
        for name in sorted(self._since, key=lambda name: (self._since[name], name)):
            if len(self._held) >= places:
                if not places or not oldest or ends[oldest[0]] > now:
                    break
                self._end(oldest.pop(0), now)
            del self._since[name]
            self._held[name] = _Turn()
            self._held[name].see(now, by_name[name])
        return frozenset(self._held)

    def _end(self, name: str, now: float) -> None:
        del self._held[name]
        self._since[name] = now
