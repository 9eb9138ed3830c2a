"""How long to wait before something is tried again: exponential, with jitter, up to a limit."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_random = random.SystemRandom().random


class Backoff:
    """Seconds to wait, longer each time.

    :param first: the first wait, before jitter.
    :param limit: the longest.
    :param jitter: a number from [0, 1); the wait is between half and the whole of the nominal one, so that workers
        which lost the same broker do not all come back at once.
    """

    def __init__(self, first: float, limit: float, jitter: Callable[[], float] = _random) -> None:
        self._first, self._limit, self._jitter = first, limit, jitter
        self._nominal = first

    def next(self) -> float:
        """The next wait."""
        wait = min(self._nominal, self._limit) * (0.5 + self._jitter() / 2)
        self._nominal = min(self._nominal * 2, self._limit)
        return wait

    def reset(self) -> None:
        """It worked: begin at the first wait again."""
        self._nominal = self._first
