"""An event loop of its own for one run: virtual time, processes that can die or stand still, a scheduler with dice.

Whatever runs belongs to a `Process`: tasks and callbacks inherit it from the context they are made in. Within a
process, callbacks run in the order in which they were made ready, as asyncio promises; which process is next is drawn
from a seeded Random. Time goes on only when nothing is ready. A process that is killed runs no further line, not even
a `finally`, as with SIGKILL; one that stands still goes on later with all that became ready meanwhile.

Only the public interface of event loops is used, and only the part of it that the engine and the worker need.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, Final, TypeVar, TypeVarTuple, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MOST_STEPS: Final = 300_000
"""Callbacks of one run: more can only be a loop without end at one moment of virtual time."""

PRUNE: Final = 2000


class Stuck(Exception):
    """Nothing can happen any more, or things happen without end while no time passes."""


class Over(RuntimeError):
    """Something is asked of a loop whose run is over."""


class Process:
    """Something that can die or stand still by itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        self.stood_still = False  # at some time
        self.ready: deque[asyncio.Handle] = deque()

    def __repr__(self) -> str:
        return self.name


PROCESS: Final[ContextVar[Process]] = ContextVar("PROCESS")


def new_loop(dice: Random, report: Callable[[str], None]) -> SimulatedLoop:
    """A loop. `report` is called with what went wrong in a callback."""
    made: SimulatedLoop = cast("Any", SimulatedLoop)(dice, report)  # of all that a loop may have it has what is used
    return made


class SimulatedLoop(asyncio.AbstractEventLoop):
    """One run's loop; `new_loop` makes it."""

    def __init__(self, dice: Random, report: Callable[[str], None]) -> None:
        self._dice = dice
        self._report = report
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Process]] = []
        self._numbers = itertools.count()
        self._runnable: list[Process] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._prune_at = PRUNE
        self._is_over = False
        self.steps = 0
        self.stopped = False
        self.world = Process("simulation")

    # -- processes

    def within(self, process: Process) -> Context:
        """A context whose tasks and callbacks belong to a process."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return context

    def kill(self, process: Process) -> None:
        """End a process at once."""
        process.alive = False
        process.ready.clear()
        self._retire(process)

    def freeze(self, process: Process) -> None:
        """Let a process stand still."""
        process.frozen = process.stood_still = True
        self._retire(process)

    def thaw(self, process: Process) -> None:
        """Let it go on."""
        process.frozen = False
        if process.alive and process.ready and process not in self._runnable:
            self._runnable.append(process)

    def _retire(self, process: Process) -> None:
        if process in self._runnable:
            self._runnable.remove(process)

    # -- running

    def run(self, main: Coroutine[Any, Any, T]) -> T | None:
        """Run a coroutine of the world to its end, or until `stopped` is set: None."""
        events._set_running_loop(self)
        # Generators that are left open are closed by `bury`.
        try:
            task = self.create_task(main, context=self.within(self.world))
            while not task.done() and not self.stopped:
                self._step()
            return task.result() if task.done() else None
        finally:
            self.bury()
            events._set_running_loop(None)

    def _step(self) -> None:
        while not self._runnable:
            self._pass_time()
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise Stuck(f"{MOST_STEPS} callbacks and no end, at {self._now:.1f} s")
        many = len(self._runnable)
        at = 0 if many == 1 else int(self._dice.random() * many)
        process = self._runnable[at]
        handle = process.ready.popleft()
        if not process.ready:
            del self._runnable[at]
        if not handle.cancelled():
            handle._run()

    def _pass_time(self) -> None:
        if not self._timers:
            raise Stuck(f"nothing will ever happen again, at {self._now:.1f} s")
        when, _, timer, process = heapq.heappop(self._timers)
        if not timer.cancelled() and process.alive:
            self._now = max(self._now, when)
            self._enqueue(timer, process)

    def _enqueue(self, handle: asyncio.Handle, process: Process) -> None:
        if not process.alive or self._is_over:
            return
        if not process.ready and not process.frozen:
            self._runnable.append(process)
        process.ready.append(handle)

    def bury(self) -> None:
        """The run is over: end what is left of it, those killed included, where nothing can come of it any more."""
        self._is_over = True
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with contextlib.suppress(Exception):
                    coroutine: Any = task.get_coro()
                    coroutine.close()
        self._tasks.clear()
        self._timers.clear()

    # -- what asyncio asks of a loop

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._enqueue(handle, context[PROCESS])
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        if not self._is_over:
            heapq.heappush(self._timers, (when, next(self._numbers), timer, context[PROCESS]))
        return timer

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        if self._is_over:
            coro.close()
            raise Over
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self, name=name, context=context)
        # A task of a killed process is never finished, nor may its `finally` run: it is kept to the end of the run.
        self._tasks.append(task)
        if len(self._tasks) > self._prune_at:
            self._tasks = [t for t in self._tasks if not t.done()]
            self._prune_at = len(self._tasks) + PRUNE
        return task

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self._is_over

    def is_closed(self) -> bool:
        return self._is_over

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._is_over:
            self._report(f"{context.get('message')}: {context.get('exception')!r}")

    def _timer_handle_cancelled(self, _handle: asyncio.TimerHandle) -> None:
        """asyncio counts these; here they are skipped when their time comes."""
