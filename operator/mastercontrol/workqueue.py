"""A queue of keys, as the controllers of Kubernetes have it.

A key that is added twice before its turn gets one turn; one that is added during its turn gets another one after it;
turns of one key never overlap, those of different keys do. Everything happens on one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """`turn(key)` does the work; it returns the seconds until the next turn or None, and must not raise."""

    def __init__(self, turn: Callable[[K], Awaitable[float | None]], workers: int) -> None:
        self._turn = turn
        self._workers = workers
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: set[K] = set()  # in _ready
        self._running: set[K] = set()
        self._again: set[K] = set()  # added during its turn
        self._timers: dict[K, asyncio.TimerHandle] = {}

    def add(self, key: K) -> None:
        """Give the key a turn as soon as possible."""
        self._cancel_timer(key)
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Give the key a turn after that time, unless it gets one earlier."""
        if key in self._waiting or key in self._again:
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_later(seconds, self.add, key)

    def forget(self, key: K) -> None:
        """No more timed turns for the key."""
        self._cancel_timer(key)

    async def run(self) -> None:
        """Give turns until cancelled. What was added and not done is kept for the next run."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._work())
        finally:
            for key in list(self._timers):
                self._cancel_timer(key)

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._running.add(key)
            delay: float | None = None
            try:
                delay = await self._turn(key)
            finally:
                self._running.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)
            if delay is not None:
                self.add_after(key, delay)

    def _cancel_timer(self, key: K) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
