"""Where handlers run: on a thread of their own, or as coroutines on the thread that all coroutines share.

The two runners (`python_mode`, `exec_mode`) make runs; an Executor waits for them. Whatever a handler raises becomes an
outcome here, so a run always finishes with one.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from mastercontrol_worker.contract import STEP_FAILED, Failed, ResultMessage, StepError
from mastercontrol_worker.execute import GivenBack, Outcome
from mastercontrol_worker.steps import GiveBack, StepFailure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mastercontrol_worker.context import Context

Sealed = ResultMessage | None
MAX_ERROR_CHARS = 2000
"""The longest message made of an exception, in characters."""


class ThreadRun:
    """Work on a new daemon thread: one that never ends takes no place in a pool and does not keep the process alive."""

    def __init__(
        self,
        context: Context,
        work: Callable[[], Outcome],
        seal: Callable[[Outcome], Sealed],
        stop: Callable[[], None] | None = None,
    ) -> None:
        self._context, self._work, self._seal, self._stop = context, work, seal, stop
        self._loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[Sealed] = self._loop.create_future()
        threading.Thread(target=self._body, name=f"step {context.idempotency_key}", daemon=True).start()

    def stop(self) -> None:
        """Do what the work's owner gave for it. A thread itself cannot be killed."""
        if self._stop is not None:
            self._stop()

    def _body(self) -> None:
        try:
            sealed = self._seal(self._work())
        except BaseException as error:  # noqa: BLE001  a handler may raise anything, SystemExit included
            sealed = self._seal(outcome_of(error, self._context))
        _tell(self._loop, self.finished, sealed)


class CoroutineRun:
    """A coroutine on another loop; `stop` cancels it."""

    def __init__(
        self,
        home: asyncio.AbstractEventLoop,
        context: Context,
        work: Callable[[], Awaitable[Outcome]],
        seal: Callable[[Outcome], Sealed],
    ) -> None:
        self._home, self._context, self._work, self._seal = home, context, work, seal
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Sealed] | None = None
        self.finished: asyncio.Future[Sealed] = self._loop.create_future()
        home.call_soon_threadsafe(self._begin)

    def stop(self) -> None:
        """Cancel it. It may take its time to end, or refuse to."""
        with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended
            self._home.call_soon_threadsafe(self._cancel)

    def _begin(self) -> None:
        self._task = self._home.create_task(self._body())
        self._task.add_done_callback(self._done)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _body(self) -> Sealed:
        try:
            return self._seal(await self._work())
        except BaseException as error:  # noqa: BLE001  SystemExit would end the loop of all coroutines
            return self._seal(outcome_of(error, self._context))

    def _done(self, task: asyncio.Task[Sealed]) -> None:
        # Cancelled here means before its first line ran; otherwise _body has made a result of it.
        _tell(self._loop, self.finished, None if task.cancelled() else task.result())


class CoroutineThread:
    """The thread with the event loop of all coroutines. Started by the first one."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed: asyncio.Event | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        if self._loop is None:
            ready = threading.Event()
            self._thread = threading.Thread(target=self._serve, args=(ready,), name="coroutines", daemon=True)
            self._thread.start()
            ready.wait()
        assert self._loop is not None  # noqa: S101  _serve has set it
        return self._loop

    def close(self) -> None:
        """Cancel what still runs and end the thread. A coroutine that blocks is left behind after a second."""
        if self._loop is not None and self._closed is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._closed.set)
            self._thread.join(timeout=1)

    def _serve(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._until_closed(ready))

    async def _until_closed(self, ready: threading.Event) -> None:
        self._closed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        ready.set()
        await self._closed.wait()


def outcome_of(error: BaseException, context: Context) -> Outcome:
    """What an exception means for the step; it is logged here, under the step's name."""
    match error:
        case GiveBack():
            context.logger.info("the handler gives the step back")
            return GivenBack()
        case StepFailure():
            text = error.message[:MAX_ERROR_CHARS]
            context.logger.warning("failed with code %s (retryable: %s): %s", error.code, error.retryable, text)
            return Failed(StepError(error.code, text, error.retryable))
        case _:
            context.logger.error("the handler raised", exc_info=error)
            return Failed(StepError(STEP_FAILED, describe(error)))


def describe(error: BaseException) -> str:
    """`TypeName: text`, bounded."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  somebody else's __str__
        text = "(its text cannot be made)"
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:MAX_ERROR_CHARS]


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Sealed], sealed: Sealed) -> None:
    # A loop that is closed has nobody left who waits.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_resolve, future, sealed)


def _resolve(future: asyncio.Future[Sealed], sealed: Sealed) -> None:
    if not future.done():
        future.set_result(sealed)
