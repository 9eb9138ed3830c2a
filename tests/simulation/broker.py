"""RabbitMQ of one run: its data, connections of operators and workers, and `engine.ports.Broker` on one of them.

The queues are those of `mastercontrol.memory`. What this adds is what lies between: each connection keeps the order of
what is sent on it, each way takes its time, what is under way when a connection goes is lost or not, and several
operators may be connected at once, as a zombie and its successor are. The agreement on the epoch is the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mastercontrol.broker.epoch import agree
from mastercontrol.engine.ports import BrokerUnavailable, Depth, DepthUnknown, StoreError, Unroutable
from mastercontrol.memory.broker_data import BrokerData, Pool
from mastercontrol.memory.queues import Consumer, Held, Message, Queue
from mastercontrol_worker.contract import StepMessage
from simulation.faults import PUBLISHES, Fault

if TYPE_CHECKING:
    from simulation.api import Api
    from simulation.loop import Process
    from simulation.world import World

T = TypeVar("T")

PUBLISH_SECONDS: Final = 10.0
SETUP_SECONDS: Final = 30.0
FIRST_RECONNECT_SECONDS: Final = 0.5
RECONNECT_SECONDS: Final = 8.0
LATE_SECONDS: Final = 12.0
DELIVERY_LIMIT: Final = 20


class Lost(Exception):
    """The connection is gone."""


class Disk(BrokerData):
    """What a broker has on its disk: also the marks of epochs, and whether an operator has declared anything yet."""

    def __init__(self, number: int, world: World) -> None:
        super().__init__(f"disk {number}")
        self.marks: set[str] = set()
        self.declared = False
        self._world = world

    @property
    def newest(self) -> str | None:
        """The epoch of this data, for the log."""
        return max(self.marks) if self.marks else None

    def _bury(self, pool: Pool, message: Message, reason: str) -> None:
        super()._bury(pool, message, reason)
        self._world.history.dead_lettered(message, reason)


class Connection:
    """One connection. What is sent on it keeps its order, each way."""

    def __init__(self, server: Server, process: Process) -> None:
        self.server = server
        self.world = server.world
        self.process = process
        self.open = True
        self.ended: asyncio.Future[str] = self.world.loop.create_future()
        self.consumers: list[Consumer] = []
        self.hears: Callable[[str | None, bytes], None] | None = None
        self._context = self.world.loop.within(process)
        self._out = 0.0
        self._in = 0.0

    def send(self, act: Callable[[], None]) -> None:
        """To the broker: done there when it comes, unless the connection goes before."""
        if not self.open:
            return
        self._out = max(self._out, self.world.loop.time() + self.world.delay())
        self.world.loop.call_at(self._out, self._if_open, act, context=self.world.context)

    def push(self, act: Callable[[], None]) -> None:
        """To the process: done in it when it comes, unless the connection goes before."""
        if not self.open:
            return
        self._in = max(self._in, self.world.loop.time() + self.world.delay())
        self.world.loop.call_at(self._in, self._if_open, act, context=self._context)

    def _if_open(self, act: Callable[[], None]) -> None:
        if self.open:
            act()

    async def ask(self, act: Callable[[], T]) -> T:
        """Have something done at the broker and wait for the answer.

        :raises Lost: the connection went before that.
        """
        if not self.open:
            raise Lost
        reply: asyncio.Future[T] = self.world.loop.create_future()

        def serve() -> None:
            answer = act()
            self.push(lambda: None if reply.done() else reply.set_result(answer))

        self.send(serve)
        await asyncio.wait((reply, self.ended), return_when=asyncio.FIRST_COMPLETED)
        if not reply.done():
            raise Lost
        return reply.result()

    def consume(self, queue: Queue, prefetch: int, take: Callable[[Held], None]) -> Consumer:
        """Subscribe (at the broker)."""
        consumer = queue.consume(prefetch, take)
        self.consumers.append(consumer)
        return consumer

    def close(self, reason: str) -> None:
        """It is gone, for both sides. What its consumers hold goes back."""
        if not self.open:
            return
        self.open = False
        for consumer in self.consumers:
            consumer.close()
        self.server.connections.remove(self)
        if self.process.alive:
            self._context.run(self.ended.set_result, reason)


class Server:
    """The broker itself."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.up = True
        self._disks = 1
        self.disk = Disk(1, world)
        self.connections: list[Connection] = []

    def connect(self, process: Process) -> Connection:
        """:raises Lost: it is down."""
        if not self.up:
            raise Lost
        connection = Connection(self, process)
        self.connections.append(connection)
        return connection

    def stop(self) -> None:
        """All connections are gone."""
        self.up = False
        for connection in list(self.connections):
            connection.close("the broker stopped")

    def wipe(self) -> None:
        """All data is gone; call it while it is stopped."""
        for queue in self.disk.pools.values():
            queue.limit = None
        self.world.history.lost_all(self.disk)
        self._disks += 1
        self.disk = Disk(self._disks, self.world)

    def declare(self, pool: Pool) -> Queue:
        """The queue of a pool, made if there is none."""
        queue = self.disk.pools.get(pool)
        if queue is None:
            queue = self.disk.make_pool(pool, lambda: None)
        queue.limit = DELIVERY_LIMIT
        return queue

    def purge(self, pool: Pool, *, all_of_it: bool) -> int:
        """Somebody purges a queue, or deletes it with what is in workers' hands. How many messages are gone."""
        queue = self.disk.pools.get(pool)
        if queue is None:
            return 0
        gone = queue._ready.messages()
        if all_of_it:
            gone += [message for consumer in queue._consumers for message in consumer._held.values()]
            del self.disk.pools[pool]
            queue.limit = None  # what workers held is lost, not dead
            for connection in list(self.connections):
                if any(consumer.queue is queue for consumer in connection.consumers):
                    connection.close("its queue was deleted")
        queue._ready.clear()
        for message in gone:
            self.world.history.lost(message.message_id, "step")
        return len(gone)

    def broadcast(self, message_id: str | None, body: bytes) -> None:
        """Hand a heartbeat to each operator."""
        for connection in self.connections:
            if (hears := connection.hears) is not None:
                connection.push(lambda hears=hears: hears(message_id, body))  # type: ignore[misc]


class ResultDelivery:
    """`engine.ports.Delivery` on one connection."""

    def __init__(self, connection: Connection, held: Held, epoch: str) -> None:
        self.message_id = held.message.message_id
        self.body = held.message.body
        self.headers: dict[str, Any] = dict(held.message.headers)
        self.epoch = epoch
        self._connection = connection
        self._held = held

    def ack(self) -> None:
        self._connection.send(self._acked)

    def _acked(self) -> None:
        self._connection.world.history.acked(self._connection.process.name, self.message_id, "result")
        self._held.ack()

    def reject(self) -> None:
        self._connection.send(self._rejected)

    def _rejected(self) -> None:
        self._connection.world.history.rejected(self._connection.process.name, self.message_id, "result", self.body)
        self._held.reject()


class OperatorBroker:
    """`engine.ports.Broker` for one operator process; connects again and again."""

    def __init__(
        self,
        world: World,
        process: Process,
        api: Api,
        *,
        prefetch: int,
        on_delivery: Callable[[ResultDelivery], None],
        on_connected: Callable[[str], None],
        on_heartbeat: Callable[[str | None, bytes], None],
    ) -> None:
        self.world = world
        self.process = process
        self.api = api
        self.pools: dict[Pool, None] = {}
        self._prefetch = prefetch
        self._on_delivery, self._on_connected, self._on_heartbeat = on_delivery, on_connected, on_heartbeat
        self._connection: Connection | None = None
        self._epoch: str | None = None

    @property
    def epoch(self) -> str | None:
        return self._epoch

    async def run(self) -> None:
        """Be connected."""
        attempts = 0
        while True:
            try:
                async with asyncio.timeout(SETUP_SECONDS):
                    connection = await self._set_up()
                attempts = 0
                await connection.ended
            except (Lost, TimeoutError, StoreError):
                pass
            self._connection, self._epoch = None, None
            longest = min(RECONNECT_SECONDS, FIRST_RECONNECT_SECONDS * 2**attempts)
            attempts += 1
            await asyncio.sleep(longest * (1 + self.world.dice.random()) / 2)

    async def _set_up(self) -> Connection:
        await asyncio.sleep(self.world.delay())
        server = self.world.broker
        connection = server.connect(self.process)
        await connection.ask(self._declare_all)
        epoch = await agree(self.api, _Marks(connection), self.world.new_epoch)
        await connection.ask(self._declare_all)
        if not connection.open:
            raise Lost
        self._connection, self._epoch = connection, epoch
        self.world.log_connected(self.process, epoch)
        self._on_connected(epoch)
        await connection.ask(lambda: self._consume(connection, epoch))
        return connection

    def _declare_all(self) -> None:
        self.world.broker.disk.declared = True
        for pool in self.pools:
            self.world.broker.declare(pool)

    def _consume(self, connection: Connection, epoch: str) -> None:
        connection.hears = self._on_heartbeat

        def take(held: Held) -> None:
            delivery = ResultDelivery(connection, held, epoch)

            def arrive() -> None:
                self.world.history.taken(self.process.name, delivery.message_id)
                self._on_delivery(delivery)

            connection.push(arrive)

        connection.consume(self.world.broker.disk.results, self._prefetch, take)

    def declare_soon(self, pool: Pool) -> None:
        """A pool is known: its queue is declared, now and at each connection."""
        self.pools[pool] = None
        self.declare_again()

    def declare_again(self) -> None:
        """Somebody may have deleted a queue."""
        if self._connection is not None:
            self._connection.send(self._declare_all)

    def forget(self, pool: Pool) -> None:
        """A pool is gone. Its queue stays here, as somebody may still work on it."""
        self.pools.pop(pool, None)

    async def publish(self, namespace: str, pool: str, message: StepMessage, *, high: bool = False) -> None:
        """See `engine.ports.Broker`."""
        connection, world = self._connection, self.world
        if connection is None or not connection.open:
            raise BrokerUnavailable("not connected")
        fault = world.faults.strike(*PUBLISHES)
        death = world.strike_process(self.process, "publish")
        if fault is not None:
            world.note_fault(fault, "publish", self.process.name)
        if death.before:
            await world.death(self.process)
        if fault is Fault.NACK:
            await asyncio.sleep(world.delay())
            raise BrokerUnavailable("the broker refused the message")
        confirm: asyncio.Future[bool] = world.loop.create_future()
        dies = self.process if death.after else None
        serve = partial(self._publish, connection, confirm, (namespace, pool), message, fault, dies, high=high)
        if fault is Fault.PUBLISH_LATE:
            world.later(self._late(), connection.send, serve)
        elif fault is not Fault.PUBLISH_LOST:
            connection.send(serve)
        await self._confirmed(connection, confirm)
        world.history.confirmed(self.process.name, message.id)

    def _late(self) -> float:
        return PUBLISH_SECONDS + self.world.dice.random() * LATE_SECONDS

    def _publish(
        self,
        connection: Connection,
        confirm: asyncio.Future[bool],
        place: Pool,
        message: StepMessage,
        fault: Fault | None,
        dies: Process | None,
        *,
        high: bool,
    ) -> None:
        """At the broker."""
        routed = self._route(place, message, high=high)
        if dies is not None:
            self.world.end(dies)
        answer = partial(_answer, confirm, routed=routed)
        if fault is Fault.CONFIRM_LATE:
            self.world.later(self._late(), connection.push, answer)
        elif fault is not Fault.CONFIRM_LOST:
            connection.push(answer)

    async def _confirmed(self, connection: Connection, confirm: asyncio.Future[bool]) -> None:
        await asyncio.wait((confirm, connection.ended), timeout=PUBLISH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not confirm.done():
            raise BrokerUnavailable("no confirm")
        if not confirm.result():
            raise Unroutable("there is no queue for this pool")

    def _route(self, place: Pool, message: StepMessage, *, high: bool) -> bool:
        server = self.world.broker
        queue = server.declare(place) if place in self.pools else server.disk.pools.get(place)
        if queue is None:
            return False
        self.world.history.dispatched(self.process.name, place[1], message, server.disk.newest)
        queue.put(Message(message.id, message.encode(), message.step, dict(message.headers), high=high))
        return True

    async def depth(self, namespace: str, pool: str) -> Depth:
        """See `engine.ports.Broker`."""
        if self._connection is None:
            raise DepthUnknown("disconnected", "not connected")

        def count() -> Depth | None:
            queue = self.world.broker.disk.pools.get((namespace, pool))
            return None if queue is None else Depth(queue.ready, queue.unacknowledged, queue.consumers)

        try:
            depth = await self._connection.ask(count)
        except Lost:
            raise DepthUnknown("disconnected", "the connection was lost") from None
        if depth is None:
            raise DepthUnknown("missing", f"there is no queue for pool {pool}")
        return depth

    async def heard_all(self) -> bool:
        """See `engine.ports.Broker`."""
        if self._connection is None:
            return False
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                return await self._connection.ask(lambda: True)
        except (Lost, TimeoutError):
            return False

    async def declare_pool(
        self, namespace: str, pool: str, delivery_limit: int, consumer_timeout_seconds: int | None = None
    ) -> None:
        raise AssertionError((namespace, pool, delivery_limit, consumer_timeout_seconds))  # the engine never does

    async def forget_pool(self, namespace: str, pool: str) -> None:
        raise AssertionError((namespace, pool))

    async def worker_url(self, namespace: str, pool: str) -> str:
        raise AssertionError((namespace, pool))


class _Marks:
    """`EpochMarks` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._server = connection.server

    async def exists(self, epoch: str) -> bool:
        return await self._connection.ask(lambda: epoch in self._server.disk.marks)

    async def create(self, epoch: str) -> None:
        await self._connection.ask(lambda: self._server.disk.marks.add(epoch))

    async def delete(self, epoch: str) -> None:
        await self._connection.ask(lambda: self._server.disk.marks.discard(epoch))


def _answer(confirm: asyncio.Future[bool], *, routed: bool) -> None:
    if not confirm.done():
        confirm.set_result(routed)
