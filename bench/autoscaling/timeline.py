"""Virtual time: what is to happen, in order. What is planned for the same moment happens in the order of planning."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Timeline:
    """`now` is in seconds from the beginning."""

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Plan something; what should have happened already happens next."""
        self._count += 1
        heapq.heappush(self._planned, (max(when, self.now), self._count, act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Plan something for so much later."""
        self.at(self.now + seconds, act)

    def run(self, until: float) -> None:
        """Let everything happen up to that time."""
        while self._planned and self._planned[0][0] <= until:
            self.now, _, act = heapq.heappop(self._planned)
            act()
        self.now = until
