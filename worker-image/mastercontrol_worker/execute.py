"""One step message to one result message, with no transport in it.

The worker loop calls it for messages from AMQP, `mastercontrol dev` calls it in the process of the operator: both run
the same code. All of `Executor` belongs to one event loop; handlers never run on that loop, so neither a slow nor a
stuck one holds up what else runs there (heartbeats, for one).

Promises:
- a step whose deadline has passed is answered with STEP_TIMEOUT and does not run;
- at the deadline there is a result, STEP_TIMEOUT, whatever the handler does. A program is killed then and a coroutine
  is cancelled; a thread cannot be killed, so it goes on and its late result is dropped;
- a step with heartbeatSeconds says that it has begun, and what its handler reports; a handler that reports nothing for
  longer is treated like one past its deadline, with HEARTBEAT_TIMEOUT;
- the slot of a run is free when the handler has ended, which may be later than its result: see `Execution.ended`;
- every result that leaves here can be encoded: it is JSON and not too large.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from mastercontrol_worker.context import Context, context_of
from mastercontrol_worker.contract import (
    HEARTBEAT_TIMEOUT,
    STEP_TIMEOUT,
    Failed,
    ResultMessage,
    StepError,
    StepMessage,
    Succeeded,
    UnfitOutput,
    parse_time,
)
from mastercontrol_worker.pulse import Pulse

if TYPE_CHECKING:
    from collections.abc import Callable

    from mastercontrol_worker.heartbeat import HeartbeatMessage

logger = logging.getLogger(__name__)


class GivenBack:
    """The third way a run can end: no result, the step is to run again elsewhere."""


Outcome = Succeeded | Failed | GivenBack


class Run(Protocol):
    """A handler at work."""

    @property
    def finished(self) -> asyncio.Future[ResultMessage | None]:
        """Resolved once the handler has ended; never failed, never cancelled by the executor."""
        ...

    def stop(self) -> None:
        """End it as far as that is possible. Returns at once; `finished` tells when it has ended."""
        ...


class Runner(Protocol):
    """Runs handlers: Python functions or a program."""

    def start(self, message: StepMessage, context: Context, seal: Callable[[Outcome], ResultMessage | None]) -> Run:
        """Start the handler of a step, from the event loop; it works elsewhere.

        :param seal: makes the result message of an outcome, None of GivenBack. To be called where the handler runs,
            for a large output takes time to encode.
        """
        ...

    def close(self) -> None:
        """Release what runs are made with. Runs that have not ended are left to themselves."""
        ...


class Execution:
    """One run of one step, as its caller sees it."""

    def __init__(self, message: StepMessage, loop: asyncio.AbstractEventLoop) -> None:
        self.message = message
        self.result: asyncio.Future[ResultMessage | None] = loop.create_future()
        """The answer, at the deadline at the latest; None: give the step back."""

        self.ended: asyncio.Future[None] = loop.create_future()
        """Resolved when the handler no longer runs: its slot is free."""

        self.pulse: Pulse | None = None
        """Its heartbeats, where the step asks for them."""

    def settle(self, result: ResultMessage | None) -> None:
        """Set the result, unless there is one already. From here on there are no heartbeats of it."""
        if self.result.done():
            return
        if self.pulse is not None and result is None:
            self.pulse.give_back()
        elif self.pulse is not None:
            self.pulse.close()
        self.result.set_result(result)

    def end(self) -> None:
        """Say that nothing runs any more."""
        if not self.ended.done():
            self.ended.set_result(None)


def _now() -> datetime:
    return datetime.now(UTC)


def _to_nobody(_heartbeat: HeartbeatMessage) -> bool:
    return True


class Executor:
    """Runs steps with one runner. It has no limit of its own: the caller starts as many as it has slots.

    :param worker: the identity that results carry.
    :param now: the clock that deadlines are compared with.
    """

    def __init__(self, runner: Runner, worker: str = "", now: Callable[[], datetime] = _now) -> None:
        self._runner = runner
        self._worker = worker
        self._now = now
        self._drain = threading.Event()
        self._at_work: dict[Execution, Run] = {}
        self.on_heartbeat: Callable[[HeartbeatMessage], bool] = _to_nobody
        """Called on the event loop with each heartbeat that is to be sent; False: it could not be, try again later."""

    async def run(self, message: StepMessage) -> ResultMessage | None:
        """Do a step; None: it was given back. For callers that do not count slots."""
        return await self.start(message).result

    def start(self, message: StepMessage) -> Execution:
        """Start a step."""
        loop = asyncio.get_running_loop()
        execution = Execution(message, loop)
        deadline = parse_time(message.deadline) if message.deadline is not None else None
        pulse = execution.pulse = self._pulse(execution)
        context = context_of(message, deadline, self._drain, self._now, pulse)
        remaining = context.remaining()
        if remaining == 0.0:
            context.logger.warning("the deadline passed before the step could start: %s", message.deadline)
            execution.settle(self._timeout(message, "before the step could start"))
            execution.end()
            return execution
        if pulse is not None:
            pulse.begin()
        run = self._runner.start(message, context, lambda outcome: seal(message, outcome, self._worker))
        self._at_work[execution] = run
        timer = None if remaining is None else loop.call_later(remaining, self._overdue, execution, context)
        run.finished.add_done_callback(lambda finished: self._finished(execution, finished, timer))
        return execution

    @property
    def at_work(self) -> int:
        """How many handlers run now, those past their deadline included."""
        return len(self._at_work)

    def drain(self) -> None:
        """Tell the handlers (`context.draining`) that the worker is going to end."""
        self._drain.set()

    def abandon(self) -> None:
        """Stop waiting: whatever has no result yet is given back. Programs and coroutines are stopped, threads left."""
        for execution, run in tuple(self._at_work.items()):
            run.stop()
            execution.settle(None)
            execution.end()

    def close(self) -> None:
        """Release the runner."""
        self._runner.close()

    def _overdue(self, execution: Execution, context: Context) -> None:
        context.logger.warning("the deadline passed before the step was done: %s", execution.message.deadline)
        execution.settle(self._timeout(execution.message, "before the step was done"))
        self._at_work[execution].stop()

    def _pulse(self, execution: Execution) -> Pulse | None:
        message = execution.message
        if message.heartbeat_seconds is None:
            return None

        def silent() -> None:
            self._silent(execution)

        loop = asyncio.get_running_loop()
        return Pulse(message, self._worker, message.heartbeat_seconds, self.on_heartbeat, silent, loop)

    def _silent(self, execution: Execution) -> None:
        message = execution.message
        text = f"no heartbeat for {message.heartbeat_seconds} s"
        logger.warning("the handler of %s is given up: %s", message.id, text)
        execution.settle(ResultMessage.of(message, Failed(StepError(HEARTBEAT_TIMEOUT, text)), self._worker))
        self._at_work[execution].stop()

    def _timeout(self, message: StepMessage, when: str) -> ResultMessage:
        error = StepError(STEP_TIMEOUT, f"the deadline {message.deadline} passed {when}")
        return ResultMessage.of(message, Failed(error), self._worker)

    def _finished(
        self,
        execution: Execution,
        finished: asyncio.Future[ResultMessage | None],
        timer: asyncio.TimerHandle | None,
    ) -> None:
        if timer is not None:
            timer.cancel()
        self._at_work.pop(execution, None)
        if execution.result.done():
            logger.info("the handler of %s ended after it was given up; its result is dropped", execution.message.id)
        execution.settle(finished.result())
        execution.end()


def seal(message: StepMessage, outcome: Outcome, worker: str) -> ResultMessage | None:
    """The result message of an outcome; one that no message can carry becomes a Failed. None: given back."""
    match outcome:
        case GivenBack():
            return None
        case Failed():
            return ResultMessage.of(message, outcome, worker)
        case Succeeded():
            result = ResultMessage.of(message, outcome, worker)
            try:
                result.encode()
            except UnfitOutput as unfit:
                error = StepError(unfit.code, f"the step's output: {unfit.reason}", retryable=False)
                return ResultMessage.of(message, Failed(error), worker)
            return result
