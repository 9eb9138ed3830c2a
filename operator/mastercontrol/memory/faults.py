"""Faults that a test asks for: what an API server does to its clients on a bad day. Used by `MemoryStore` alone.

Each fault counts down by itself; when none is asked for, every call succeeds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from mastercontrol.engine.ports import Refused, StoreUnavailable


class WriteFault(Enum):
    """What becomes of one write."""

    REFUSED = auto()  # nothing is written, and the caller knows
    DROPPED = auto()  # nothing is written, and there is no answer
    REPLY_LOST = auto()  # it is written, and there is no answer


class Faults:
    """What is to go wrong next."""

    def __init__(self) -> None:
        self._writes: deque[WriteFault] = deque()
        self._unavailable = 0
        self._stale_reads = 0
        self._open = asyncio.Event()
        self._open.set()

    def next_write(self, fault: WriteFault, times: int = 1) -> None:
        """The next write, after those that are already to fail, has this fault."""
        self._writes.extend([fault] * times)

    def unavailable(self, calls: int) -> None:
        """The next calls of any sort do nothing and get no answer."""
        self._unavailable += calls

    def stale_read(self, times: int = 1) -> None:
        """The next reads of one object answer with its version before the last."""
        self._stale_reads += times

    def hold_writes(self) -> Callable[[], None]:
        """Writes wait, from now until the function that is returned is called."""
        self._open.clear()
        return self._open.set

    def before_call(self) -> None:
        """:raises StoreUnavailable: this call is one of those that fail."""
        if self._unavailable:
            self._unavailable -= 1
            raise StoreUnavailable("a fault that was asked for: unavailable")

    async def before_write(self) -> WriteFault | None:
        """What becomes of this write; returns when writes are not held.

        :raises StoreError: it is not done.
        """
        self.before_call()
        await self._open.wait()
        fault = self._writes.popleft() if self._writes else None
        if fault is WriteFault.REFUSED:
            raise Refused("a fault that was asked for: refused")
        if fault is WriteFault.DROPPED:
            raise StoreUnavailable("a fault that was asked for: not written, no answer")
        return fault

    def is_stale_read(self) -> bool:
        """Whether this read is to be a stale one."""
        if not self._stale_reads:
            return False
        self._stale_reads -= 1
        return True
