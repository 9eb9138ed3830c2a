"""The worker loop: takes steps from a transport, has an executor do them, sends results, and drains.

`cli` runs it. Everything here happens on one event loop; handlers run elsewhere.

Promises:
- a step is acknowledged after the broker has confirmed its result, never before (at least once);
- no more than `concurrency` handlers run, and a handler that goes on after its deadline keeps its slot, and its
  delivery, until it ends;
- a step that is delivered again while it still runs here, or was answered lately, does not run twice;
- a message that is no step is refused, with the reason in the log, and goes to the dead letters;
- after `drain` no step is started: what was not begun is given back at once, what runs may finish within the grace
  period, and the rest is given back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mastercontrol_worker.backoff import Backoff
from mastercontrol_worker.contract import MalformedMessage, ResultMessage, StepMessage
from mastercontrol_worker.transport import Delivery, NotConfirmed, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mastercontrol_worker.execute import Execution, Executor
    from mastercontrol_worker.heartbeat import HeartbeatMessage
    from mastercontrol_worker.recent import RecentResults

logger = logging.getLogger(__name__)

DRAINED = 0
STUCK = 1
FLUSH_SECONDS = 2.0
"""How long the last answers are waited for after the grace period."""

RETRY_FIRST_SECONDS = 0.2
RETRY_LIMIT_SECONDS = 10.0


@dataclass(eq=False)
class _Work:
    """A step that this worker holds. Further copies of it, of the same id and name, join it."""

    message: StepMessage
    deliveries: list[Delivery] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        return self.message.id, self.message.step

    @property
    def lost(self) -> bool:
        return all(delivery.lost for delivery in self.deliveries)


class Worker:
    """One worker process' loop.

    :param concurrency: slots: how many handlers may run at once.
    :param grace_seconds: how long running handlers may go on after `drain`.
    :param stuck_seconds: when every slot is held by a handler that is this long past its deadline, the worker ends
        with exit code STUCK, for threads cannot be killed but a process can be started anew. None: never.
    """

    def __init__(
        self,
        transport: Transport,
        executor: Executor,
        recent: RecentResults,
        *,
        concurrency: int = 1,
        grace_seconds: float = 30.0,
        stuck_seconds: float | None = None,
    ) -> None:
        self._transport, self._executor, self._recent = transport, executor, recent
        executor.on_heartbeat = self._beat
        self.on_settled: Callable[[], None] = lambda: None
        """Called when a step was settled, and when the end begins. Must not block."""
        self._concurrency, self._grace_seconds, self._stuck_seconds = concurrency, grace_seconds, stuck_seconds
        self._works: dict[tuple[str, str], _Work] = {}  # by dispatch id and step name: see recent
        self._waiting: deque[_Work] = deque()
        self._busy = 0
        self._stuck = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = asyncio.Event()
        self._hurry = asyncio.Event()
        self._exit_code = DRAINED

    async def run(self) -> int:
        """Work until `drain`, then end in order; the exit code, DRAINED or STUCK."""
        self._transport.start(self._on_delivery)
        try:
            await self._draining.wait()
            logger.info("draining: %d steps at work, %g s for them", self._busy, self._grace_seconds)
            end = asyncio.get_running_loop().time() + self._grace_seconds
            self._executor.drain()
            self._give_back_waiting()
            await self._transport.stop_consuming()
            if not await self._idle(end):
                logger.warning("giving back %d steps that did not finish", self._busy)
                self._hurry.clear()
                self._executor.abandon()
                await self._idle(asyncio.get_running_loop().time() + FLUSH_SECONDS)
        finally:
            await self._cancel_tasks()
            await self._transport.close()
            self._executor.close()
        return self._exit_code

    @property
    def held(self) -> int:
        """Deliveries in hand, or rather what is done for them: 0 means that nothing is left to settle."""
        return len(self._waiting) + len(self._tasks)

    @property
    def ends(self) -> bool:
        """Whether `drain` was called, by whomever."""
        return self._draining.is_set()

    def drain(self) -> None:
        """Begin to end; called a second time, end without waiting for handlers."""
        if self._draining.is_set():
            self._hurry.set()
        self._draining.set()
        self.on_settled()

    def _on_delivery(self, delivery: Delivery) -> None:
        try:
            message = StepMessage.decode(delivery.message_id, delivery.body, delivery.headers)
        except MalformedMessage as reason:
            logger.error("refused a message that is no step: %s (message id %.80r)", reason, delivery.message_id)  # noqa: TRY400  a trace says nothing here
            delivery.refuse()
            return
        new = _Work(message, [delivery])
        if self._draining.is_set():
            delivery.give_back()
        elif (result := self._recent.get(message)) is not None:
            logger.info("%s was delivered again; answering it as before", message.id)
            self._spawn(self._answer(result, new))
        elif (work := self._works.get(new.key)) is not None:
            logger.info("%s was delivered again while it is at work here", message.id)
            work.deliveries.append(delivery)
        else:
            self._works[new.key] = new
            self._waiting.append(new)
            self._fill()

    def _fill(self) -> None:
        """Start what waits, as far as slots are free."""
        while self._waiting and self._busy < self._concurrency and not self._draining.is_set():
            work = self._waiting.popleft()
            if work.lost:  # the broker hands it out again, maybe to another worker
                del self._works[work.key]
                continue
            self._busy += 1
            self._spawn(self._do(work))

    async def _do(self, work: _Work) -> None:
        try:
            execution = self._executor.start(work.message)
            result = await execution.result
            if result is not None:
                await self._answer(result, work, execution)
                self._recent.put(result)
        finally:
            _give_back(work)
            del self._works[work.key]
            self._busy -= 1
            self._fill()

    async def _answer(self, result: ResultMessage, work: _Work, execution: Execution | None = None) -> None:
        """Send the result, then acknowledge the deliveries that were there before it was sent.

        One that joined later is answered anew: it may be there because the broker lost the answer.
        """
        try:
            while work.deliveries:
                count = len(work.deliveries)
                await self._send(result, work.message)
                if execution is not None:
                    await self._slot_free(execution)
                for delivery in work.deliveries[:count]:
                    delivery.ack()
                del work.deliveries[:count]
        finally:
            _give_back(work)

    async def _send(self, result: ResultMessage, message: StepMessage) -> None:
        body, backoff = result.encode(), Backoff(RETRY_FIRST_SECONDS, RETRY_LIMIT_SECONDS)
        while True:
            try:
                await self._transport.publish(result.id, result.step, body, message.headers)
            except NotConfirmed as reason:
                logger.warning("the result of %s is not confirmed, sending it again: %s", result.id, reason)
                await asyncio.sleep(backoff.next())
            else:
                return

    def _beat(self, heartbeat: HeartbeatMessage) -> bool:
        work = self._works.get((heartbeat.id, heartbeat.step))
        headers = {} if work is None else work.message.headers
        return self._transport.beat(heartbeat.id, heartbeat.step, heartbeat.encode(), headers)

    async def _slot_free(self, execution: Execution) -> None:
        """Wait until the handler has ended. Only one that is past its deadline has not when there is a result."""
        if execution.ended.done() or self._stuck_seconds is None:
            await execution.ended
            return
        await asyncio.wait({execution.ended}, timeout=self._stuck_seconds)
        if execution.ended.done():
            return
        self._stuck += 1
        logger.error("the handler of %s does not end; it holds its slot", execution.message.id)
        if self._stuck >= self._concurrency:
            logger.error("every slot is held by a handler past its deadline: ending, to be started anew")
            self._exit_code = STUCK
            self.drain()
            self.drain()
        await execution.ended
        self._stuck -= 1

    def _give_back_waiting(self) -> None:
        for work in self._waiting:
            _give_back(work)
            del self._works[work.key]
        self._waiting.clear()

    async def _idle(self, end: float) -> bool:
        """Wait until nothing is at work; False when it still is at the end (loop time) or there is a hurry."""
        hurry = asyncio.ensure_future(self._hurry.wait())
        try:
            loop = asyncio.get_running_loop()
            while self._tasks and not hurry.done() and (left := end - loop.time()) > 0:
                await asyncio.wait({hurry, *self._tasks}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurry.cancel()
        return not self._tasks

    async def _cancel_tasks(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_ended)

    def _spawned_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.on_settled()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a step was given back because of a fault in the worker", exc_info=error)


def _give_back(work: _Work) -> None:
    """Give back what is not acknowledged."""
    for delivery in work.deliveries:
        delivery.give_back()
    work.deliveries.clear()
