"""The workers of one run: the real worker loop and executor on the broker of `broker`, with handlers that take time.

A handler does what the workload's script says, after a time from the dice. Each process may die at each of its calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mastercontrol.memory.queues import Consumer, Held, Message
from mastercontrol_worker.context import Context
from mastercontrol_worker.contract import ResultMessage, StepMessage
from mastercontrol_worker.execute import Executor, Outcome
from mastercontrol_worker.recent import RecentResults
from mastercontrol_worker.transport import Delivery, NotConfirmed
from mastercontrol_worker.worker import Worker
from simulation.broker import Connection, Lost
from simulation.faults import Fault
from simulation.processes import SURVIVES

if TYPE_CHECKING:
    from simulation.loop import Process
    from simulation.world import World

RECONNECT_SECONDS: Final = 5.0
GRACE_SECONDS: Final = 5.0
NAMESPACE: Final = "shop"


class StepDelivery:
    """`transport.Delivery` on one connection."""

    def __init__(self, connection: Connection, held: Held) -> None:
        self._connection, self._held = connection, held
        self.message_id = held.message.message_id
        self.body = held.message.body
        self.headers: Mapping[str, Any] = dict(held.message.headers)
        self.redelivered = held.message.returns > 0

    @property
    def lost(self) -> bool:
        return not self._connection.open

    def ack(self) -> None:
        self._connection.send(self._acked)

    def _acked(self) -> None:
        self._connection.world.history.acked(self._connection.process.name, self.message_id, "step")
        self._held.ack()

    def give_back(self) -> None:
        self._connection.send(self._held.requeue)

    def refuse(self) -> None:
        self._connection.send(self._refused)

    def _refused(self) -> None:
        self._connection.world.history.rejected(self._connection.process.name, self.message_id, "step", self.body)
        self._held.reject()


class SimulatedTransport:
    """`transport.Transport` of one worker process; connects again and again."""

    def __init__(self, world: World, process: Process, pool: str, prefetch: int) -> None:
        self.world, self.process = world, process
        self._pool, self._prefetch = (NAMESPACE, pool), prefetch
        self._connection: Connection | None = None
        self._consumer: Consumer | None = None
        self._connected = asyncio.Event()
        self._consuming = True
        self._keeper: asyncio.Task[None] | None = None

    def start(self, on_delivery: Callable[[Delivery], None]) -> None:
        self._keeper = asyncio.get_running_loop().create_task(self._keep(on_delivery))

    async def _keep(self, on_delivery: Callable[[Delivery], None]) -> None:
        while True:
            try:
                await asyncio.sleep(self.world.delay())
                connection = self.world.broker.connect(self.process)
                try:
                    await self._serve(connection, on_delivery)
                finally:
                    self._connection = None
                    self._connected.clear()
                    connection.close("the worker closes it")
            except Lost:
                pass
            await asyncio.sleep(self.world.dice.random() * RECONNECT_SECONDS)

    async def _serve(self, connection: Connection, on_delivery: Callable[[Delivery], None]) -> None:
        if self._consuming and not await connection.ask(lambda: self._consume(connection, on_delivery)):
            return  # the queue is not there (yet)
        self._connection = connection
        self._connected.set()
        await connection.ended

    def _consume(self, connection: Connection, on_delivery: Callable[[Delivery], None]) -> bool:
        queue = self.world.broker.disk.pools.get(self._pool)
        if queue is None:
            return False

        def take(held: Held) -> None:
            delivery = StepDelivery(connection, held)
            holds = sum(consumer.held for consumer in connection.consumers)
            if holds > self._prefetch:
                self.world.violation(f"{self.process} was handed {holds} steps, its prefetch is {self._prefetch}")

            def arrive() -> None:
                self.world.history.delivered(self.process.name, delivery.message_id, redelivered=delivery.redelivered)
                on_delivery(delivery)

            connection.push(arrive)

        consumer = self._consumer = connection.consume(queue, self._prefetch, take)
        return consumer.active

    async def publish(self, message_id: str, step: str, body: bytes, headers: Mapping[str, str]) -> None:
        await self._connected.wait()
        connection, world = self._connection, self.world
        if connection is None:
            raise NotConfirmed("the connection was lost")
        death = world.strike_process(self.process, "result")
        fault = world.faults.strike(Fault.RESULT_UNCONFIRMED)
        if fault is not None:
            world.note_fault(fault, "result", self.process.name)
        if death.before:
            await world.death(self.process)
        message = Message(message_id, body, headers={**headers, "type": step})
        try:
            if not await connection.ask(lambda: self._put(connection, message, fault, dies=death.after)):
                raise NotConfirmed("no queue took it")
        except Lost:
            raise NotConfirmed("the connection was lost") from None
        if world.strike_process(self.process, "confirm of a result") != SURVIVES:
            await world.death(self.process)

    def _put(self, connection: Connection, message: Message, fault: Fault | None, *, dies: bool) -> bool:
        """At the broker; whether a queue took it."""
        world, disk = self.world, self.world.broker.disk
        if not disk.declared:
            return False
        world.history.answered(self.process.name, message.message_id or "", message.body, disk.newest)
        disk.results.put(message)
        if dies:
            world.end(self.process)
        if fault is not None:
            connection.close("the connection broke")
        return True

    def beat(self, message_id: str, step: str, body: bytes, headers: Mapping[str, str]) -> bool:
        del step, headers
        if self._connection is None:
            return False
        self._connection.send(lambda: self.world.broker.broadcast(message_id, body))
        return True

    async def stop_consuming(self) -> None:
        self._consuming = False
        if self._connection is not None and self._consumer is not None:
            try:
                await self._connection.ask(self._consumer.cancel)
            except Lost:
                return

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))


class HandlerRun:
    """`execute.Run`: a handler that takes its time, and reports meanwhile where it is to."""

    def __init__(
        self, world: World, message: StepMessage, context: Context, seal: Callable[[Outcome], ResultMessage | None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[ResultMessage | None] = loop.create_future()
        self._seal = seal
        self._context = context
        self._seconds, self._outcome, self._reports = world.work(message)
        if world.faults.strike(Fault.SLOW_STEP) is not None:
            self._seconds *= 20
        self._timers = [loop.call_later(self._seconds, self._end)]
        if message.heartbeat_seconds is not None and self._reports:
            self._beat(message.heartbeat_seconds)

    def _beat(self, seconds: int) -> None:
        if not self.finished.done():
            self._context.heartbeat({"at": "work"})
            self._timers.append(asyncio.get_running_loop().call_later(seconds / 2, self._beat, seconds))

    def _end(self) -> None:
        if not self.finished.done():
            self.finished.set_result(self._seal(self._outcome))

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._end()


class Handlers:
    """`execute.Runner` of one worker process. Counts what runs at once: never more than its slots."""

    def __init__(self, world: World, process: Process, slots: int) -> None:
        self._world, self._process, self._slots = world, process, slots
        self._running = 0

    def start(
        self, message: StepMessage, context: Context, seal: Callable[[Outcome], ResultMessage | None]
    ) -> HandlerRun:
        self._world.history.executed(self._process.name, message)
        self._running += 1
        if self._running > self._slots:
            self._world.violation(f"{self._process} does {self._running} steps at once, its slots are {self._slots}")
        run = HandlerRun(self._world, message, context, seal)
        run.finished.add_done_callback(self._ended)
        return run

    def _ended(self, _: object) -> None:
        self._running -= 1

    def close(self) -> None:
        """Nothing to release."""


def new_worker(world: World, process: Process, pool: str, slots: int) -> Worker:
    """The worker of one process; to be made and run in its context."""
    return Worker(
        SimulatedTransport(world, process, pool, slots + world.spare),
        Executor(Handlers(world, process, slots), worker=process.name, now=world.now),
        RecentResults(100, 1024 * 1024),
        concurrency=slots,
        grace_seconds=GRACE_SECONDS,
    )
