"""A broker in one process: `engine.ports.Broker` for `mastercontrol dev` and for tests, and the workers' side of it.

It does what the engine relies on of RabbitMQ: publishes are confirmed in a later turn of the loop or not at all, a
step for an unknown queue is returned, what is not acknowledged comes back when a connection goes, a step that comes
back too often is a dead letter and a copy of it reaches the operator, the data has an epoch.
Tests, and nobody else, use `faults`, `stop`, `resume`, `restart`, `wipe`, `cut` and `lose_queue`.

All methods are for the event loop that `start` ran on; from another thread use `loop.call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import Any

from mastercontrol.engine.ports import (
    BrokerUnavailable,
    Depth,
    DepthUnknown,
    OnConnected,
    OnDelivery,
    OnHeartbeat,
    Unroutable,
)
from mastercontrol.memory.broker_data import BrokerData, Faults, Pool, PublishFault
from mastercontrol.memory.deliveries import ResultDelivery, StepDelivery, WorkerConsumer
from mastercontrol.memory.queues import Consumer, Message, Queue
from mastercontrol.pools.deadletters.ports import DeadMessage, VisitDead
from mastercontrol_worker.contract import StepMessage


class MemoryBroker:
    """`engine.ports.Broker` in memory. `start` it, `close` it, once each.

    :param publish_timeout_seconds: how long a publish waits for a confirm that does not come.
    :param new_epoch: makes the id of each new epoch; by default they are numbered.
    """

    def __init__(
        self,
        *,
        on_delivery: OnDelivery,
        on_connected: OnConnected,
        on_lost: Callable[[str], None] | None = None,
        on_heartbeat: OnHeartbeat | None = None,
        prefetch: int = 256,
        publish_timeout_seconds: float = 10.0,
        new_epoch: Callable[[], str] | None = None,
    ) -> None:
        self.faults = Faults()
        self._on_delivery, self._on_connected, self._on_lost = on_delivery, on_connected, on_lost
        self._on_heartbeat = on_heartbeat or (lambda _message_id, _body: None)
        self._prefetch = prefetch
        self._timeout = publish_timeout_seconds
        numbers = itertools.count(1)
        self._new_epoch = new_epoch or (lambda: f"{next(numbers):08x}")
        self._data = BrokerData(self._new_epoch())
        self._limits: dict[Pool, int] = {}
        self._leaving: set[Pool] = set()
        self._workers: list[tuple[Pool, WorkerConsumer]] = []
        self._up = True
        self._closed = False
        self._results: Consumer | None = None
        self._confirms: set[asyncio.Future[None]] = set()
        self._held_back: list[asyncio.Future[None]] | None = None

    # The operator's side: engine.ports.Broker

    async def start(self) -> None:
        """Connect soon. Returns at once."""
        asyncio.get_running_loop().call_soon(self._connect)

    async def close(self) -> None:
        """End the operator's connection. Unacknowledged results go back."""
        self._closed = True
        self._disconnect("closed")

    @property
    def epoch(self) -> str | None:
        """The epoch of the data; None while there is no connection."""
        return self._data.epoch if self._results else None

    async def publish(self, namespace: str, pool: str, message: StepMessage, *, high: bool = False) -> None:
        """See `engine.ports.Broker`."""
        self._require_connection()
        fault = self.faults.publishes.popleft() if self.faults.publishes else None
        confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        match fault:
            case PublishFault.REFUSED:
                raise BrokerUnavailable("the broker refused the message")
            case PublishFault.LOST:
                pass
            case PublishFault.CONFIRM_LOST | PublishFault.CONFIRM_LATE | None:
                self._route((namespace, pool), message, high=high)
        match fault:
            case None:
                self._confirm(confirm)
            case PublishFault.LOST | PublishFault.CONFIRM_LOST:
                confirm.set_exception(BrokerUnavailable("the connection was lost before the confirm"))
            case PublishFault.CONFIRM_LATE:
                pass
        await self._confirmed(confirm)

    async def declare_pool(
        self, namespace: str, pool: str, delivery_limit: int, consumer_timeout_seconds: int | None = None
    ) -> None:
        """See `engine.ports.Broker`. Workers here are not timed: `consumer_timeout_seconds` does nothing."""
        del consumer_timeout_seconds
        self._limits[namespace, pool] = delivery_limit
        self._leaving.discard((namespace, pool))
        self._require_connection()
        self._declare((namespace, pool))

    async def forget_pool(self, namespace: str, pool: str) -> None:
        """See `engine.ports.Broker`."""
        self._limits.pop((namespace, pool), None)
        self._leaving.add((namespace, pool))
        self._remove_leaving()

    async def depth(self, namespace: str, pool: str) -> Depth:
        """See `engine.ports.Broker`."""
        if self._results is None:
            raise DepthUnknown("disconnected", "not connected")
        if self.faults.depth_unknown:
            raise DepthUnknown("timeout", "a fault that was asked for")
        queue = self._data.pools.get((namespace, pool))
        if queue is None:
            raise DepthUnknown("missing", f"there is no queue for pool {namespace}/{pool}")
        return Depth(queue.ready, queue.unacknowledged, queue.consumers)

    async def depths(self) -> dict[Pool, Depth] | None:
        """The depths of all declared pools; those that are not known are left out, None: none is known."""
        if self._results is None or self.faults.depth_unknown:
            return None
        found: dict[Pool, Depth] = {}
        for pool in tuple(self._limits):
            with contextlib.suppress(DepthUnknown):  # then it is left out
                found[pool] = await self.depth(*pool)
        return found

    async def count_dead(self, namespace: str, pool: str) -> int | None:
        """See `pools.deadletters.ports.DeadLetterBroker`."""
        await asyncio.sleep(0)
        if self._results is None or (namespace, pool) not in self._data.pools:
            return None
        return len(self._data.dead.get((namespace, pool), ()))

    async def visit_dead(self, namespace: str, pool: str, visit: VisitDead) -> None:
        """See `pools.deadletters.ports.DeadLetterBroker`."""
        await asyncio.sleep(0)
        self._require_connection()
        if (namespace, pool) not in self._data.pools:
            raise BrokerUnavailable(f"there is no queue for pool {namespace}/{pool}")
        letters = self._data.dead.get((namespace, pool))
        if letters is not None:
            stay = [one for one in letters if not visit(DeadMessage(one.message_id, one.body, one.headers))]
            letters.clear()
            letters.extend(stay)

    async def heard_all(self) -> bool:
        """See `engine.ports.Broker`."""
        await asyncio.sleep(0)
        return self._results is not None

    async def worker_url(self, namespace: str, pool: str) -> str:
        """A URL that names the pool; workers in memory use `consume` instead."""
        self._require_connection()
        return f"memory://{namespace}/{pool}"

    # The workers' side

    def consume(
        self, namespace: str, pool: str, prefetch: int, on_step: Callable[[StepDelivery], None]
    ) -> WorkerConsumer:
        """Be a worker of a pool, from the moment on that its queue exists."""
        worker = WorkerConsumer(prefetch, on_step)
        self._workers.append(((namespace, pool), worker))
        self._attach_workers()
        return worker

    async def publish_result(self, message_id: str | None, body: bytes, headers: dict[str, Any] | None = None) -> None:
        """Send a result, as a worker does; returns when it is confirmed.

        :raises BrokerUnavailable: the broker is stopped.
        """
        if not self._up:
            raise BrokerUnavailable("the broker is stopped")
        self._data.results.put(Message(message_id, body, headers=dict(headers or {})))
        await asyncio.sleep(0)

    def publish_heartbeat(self, message_id: str | None, body: bytes) -> bool:
        """Send a heartbeat, as a worker does; False: the broker is stopped. Without an operator nobody hears it."""
        if self._up:
            asyncio.get_running_loop().call_soon(self._hear, self._results, message_id, body)
        return self._up

    # For people and tests: what is there, and what goes wrong

    def dead_letters(self, namespace: str, pool: str) -> list[Message]:
        """Steps of a pool that nobody could do, oldest first."""
        return list(self._data.dead.get((namespace, pool), ()))

    def dead_results(self) -> list[Message]:
        """Results that the operator refused, oldest first."""
        return list(self._data.dead_results)

    @property
    def results_waiting(self) -> int:
        """Results that are not acknowledged, in the operator's hands or not."""
        return self._data.results.ready + self._data.results.unacknowledged

    def hold_confirms(self) -> None:
        """From now on publishes arrive, but their confirms are held back."""
        self._held_back = self._held_back or []

    def release_confirms(self) -> None:
        """Send the confirms that were held back, and hold none from now on."""
        held, self._held_back = self._held_back or [], None
        for confirm in held:
            self._confirm(confirm)

    def stop(self) -> None:
        """The broker is down; what it has on its disk stays. Workers and the operator lose their connections."""
        self._up = False
        self._disconnect("the broker stopped")
        for _, worker in self._workers:  # those that drain lose what they hold too
            worker.detach()

    def resume(self) -> None:
        """The broker is up again; workers come back at once, the operator in the next turn of the loop."""
        self._up = True
        self._attach_workers()
        asyncio.get_running_loop().call_soon(self._connect)

    def restart(self) -> None:
        """Stop and resume."""
        self.stop()
        self.resume()

    def wipe(self) -> None:
        """Restart with an empty disk: a new epoch."""
        self.stop()
        self._data = BrokerData(self._new_epoch())
        self.resume()

    def cut(self) -> None:
        """The operator's connection alone is lost; it comes back in the next turn of the loop."""
        self._disconnect("the connection was cut")
        asyncio.get_running_loop().call_soon(self._connect)

    def lose_queue(self, namespace: str, pool: str) -> None:
        """Somebody deletes a pool's queue with all that is in it."""
        queue = self._data.pools.pop((namespace, pool), None)
        if queue is not None:
            queue.limit = None  # what its workers held is lost, not dead
        for one, worker in self._workers:
            if one == (namespace, pool):
                worker.detach()

    # Inside

    def _hear(self, connection: Consumer | None, message_id: str | None, body: bytes) -> None:
        if connection is not None and connection is self._results:
            self._on_heartbeat(message_id, body)

    def _connect(self) -> None:
        if not self._up or self._closed or self._results is not None:
            return
        for pool in self._limits:
            self._declare(pool)
        epoch = self._data.epoch
        self._results = self._data.results.consume(
            self._prefetch, lambda held: self._on_delivery(ResultDelivery(held, epoch))
        )
        self._on_connected(epoch)
        self._remove_leaving()

    def _disconnect(self, reason: str) -> None:
        if self._results is None:
            return
        self._results.close()
        self._results = None
        if self._held_back is not None:
            self._held_back = []
        confirms, self._confirms = self._confirms, set()
        for confirm in confirms:
            if not confirm.done():
                confirm.set_exception(BrokerUnavailable(reason))
        if self._on_lost is not None:
            self._on_lost(reason)

    def _require_connection(self) -> None:
        if self._results is None:
            raise BrokerUnavailable("not connected")

    def _declare(self, pool: Pool) -> Queue:
        queue = self._data.pools.get(pool)
        if queue is None:
            queue = self._data.make_pool(pool, self._remove_leaving)
            self._attach_workers()
        queue.limit = self._limits[pool]
        return queue

    def _attach_workers(self) -> None:
        self._workers = [(pool, worker) for pool, worker in self._workers if not worker.ended]
        for pool, worker in self._workers:
            queue = self._data.pools.get(pool)
            if queue is not None and self._up:
                worker.attach(queue)

    def _route(self, pool: Pool, message: StepMessage, *, high: bool) -> None:
        queue = self._declare(pool) if pool in self._limits else self._data.pools.get(pool)
        if queue is None:
            raise Unroutable(f"there is no queue for pool {pool[0]}/{pool[1]}")
        queue.put(Message(message.id, message.encode(), message.step, dict(message.headers), high=high))

    def _confirm(self, confirm: asyncio.Future[None]) -> None:
        if self._held_back is not None:
            self._held_back.append(confirm)
        else:
            asyncio.get_running_loop().call_soon(_settle, confirm)

    async def _confirmed(self, confirm: asyncio.Future[None]) -> None:
        self._confirms.add(confirm)
        try:
            async with asyncio.timeout(self._timeout):
                await confirm
        except TimeoutError:
            raise BrokerUnavailable(f"no confirm in {self._timeout:g} s") from None
        finally:
            self._confirms.discard(confirm)

    def _remove_leaving(self) -> None:
        for pool in tuple(self._leaving):
            queue = self._data.pools.get(pool)
            if queue is None or not (queue.ready or queue.unacknowledged or queue.consumers):
                self._data.pools.pop(pool, None)
                self._data.dead.pop(pool, None)
                self._leaving.discard(pool)


def _settle(confirm: asyncio.Future[None]) -> None:
    """The confirm arrives; its publish may have been given up."""
    if not confirm.done():
        confirm.set_result(None)
