"""A real RabbitMQ as `contracts.broker.Stage`: a vhost of its own, the operator behind a proxy, workers beside it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from contracts.broker import DEADLINE_SECONDS, Seen, connected_again, eventually
from integration.broker.proxy import Proxy
from mastercontrol.broker.adapter import RabbitBroker
from mastercontrol.engine.ports import StoreUnavailable
from mastercontrol_worker.contract import (
    HEARTBEATS_ROUTING_KEY,
    RESULTS_EXCHANGE,
    RESULTS_QUEUE,
    RESULTS_ROUTING_KEY,
    pool_queue,
)


class Admin:
    """The HTTP API, for what tests do behind the operator's back."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http

    async def call(self, method: str, path: str, body: object = None, *, ok: tuple[int, ...] = (200, 201, 204)) -> Any:
        async with self._http.request(method, f"{self._url}/api{path}", json=body) as answer:
            text = await answer.text()
            assert answer.status in ok, f"{method} {path}: {answer.status} {text}"
            return await answer.json() if text and "json" in answer.content_type else None


@dataclass
class MemoryEpochs:
    """An EpochStore, with a hook for what happens in the middle of a call."""

    value: str | None = None
    failing: bool = False
    loads: int = 0
    before_replace: list[Callable[[], None]] = field(default_factory=list)

    async def load(self) -> str | None:
        self.loads += 1
        if self.failing:
            raise StoreUnavailable("no answer")
        return self.value

    async def replace(self, old: str | None, new: str) -> bool:
        if self.before_replace:
            self.before_replace.pop(0)()
            await asyncio.sleep(0)
        if self.value != old:
            return False
        self.value = new
        return True


class RealStep:
    """A step in the hands of a worker; each call runs in a thread, one at a time."""

    def __init__(self, channel: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
        self.message_id: str = properties.message_id
        self.type: str = properties.type
        self.body = body
        self.headers: dict[str, object] = properties.headers or {}
        self.properties = properties
        self._channel = channel
        self._tag = method.delivery_tag

    async def ack(self) -> None:
        await self._do(lambda: self._channel.basic_ack(self._tag))

    async def requeue(self) -> None:
        await self._do(lambda: self._channel.basic_nack(self._tag, requeue=True))

    async def reject(self) -> None:
        await self._do(lambda: self._channel.basic_reject(self._tag, requeue=False))

    async def _do(self, act: Callable[[], object]) -> None:
        def run() -> None:
            act()
            self._channel.connection.process_data_events(0)

        await asyncio.to_thread(run)


CONSUMER_TIMEOUT_SECONDS = 90
"""A node that nobody told otherwise looks once a minute who holds a message for too long."""


class RealWorker:
    """A worker with a connection of its own."""

    def __init__(self, url: str, queue: str, prefetch: int) -> None:
        self._connection = open_blocking(url)
        self._channel = self._connection.channel()
        self._channel.basic_qos(prefetch_count=prefetch)
        self._steps = self._channel.consume(queue, inactivity_timeout=0.1)

    async def take(self) -> RealStep:
        return await asyncio.to_thread(self._take)

    async def close(self) -> None:
        await asyncio.to_thread(self.close_now)

    async def lose(self) -> None:
        """Hold what it has until the broker closes its channel for that."""
        await asyncio.to_thread(self._lose)

    def _lose(self) -> None:
        until = time.monotonic() + CONSUMER_TIMEOUT_SECONDS
        while self._channel.is_open and time.monotonic() < until:
            self._connection.process_data_events(0.1)
        assert self._channel.is_closed, "it may hold it for ever"

    def close_now(self) -> None:
        with contextlib.suppress(pika.exceptions.AMQPError):
            self._connection.close()

    def _take(self) -> RealStep:
        until = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < until:
            method, properties, body = next(self._steps)
            if method is not None and body is not None:
                return RealStep(self._channel, method, properties, body)
        pytest.fail("no step came")


def open_blocking(url: str) -> BlockingConnection:
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 0
    return BlockingConnection(parameters)


@dataclass
class RealStage:
    """One vhost and the world around it."""

    broker: RabbitBroker
    seen: Seen
    epochs: MemoryEpochs
    proxy: Proxy
    admin: Admin
    url: str
    vhost: str
    workers: list[RealWorker] = field(default_factory=list)

    async def worker(self, namespace: str, pool: str, prefetch: int = 1) -> RealWorker:
        worker = await asyncio.to_thread(RealWorker, self.url, pool_queue(namespace, pool), prefetch)
        self.workers.append(worker)
        return worker

    async def send_result(self, message_id: str, body: bytes = b"{}") -> None:
        def send() -> None:
            with open_blocking(self.url) as connection, connection.channel() as channel:
                channel.confirm_delivery()
                make: Any = pika.BasicProperties  # pika gives its arguments no types
                properties = make(message_id=message_id, delivery_mode=2)
                channel.basic_publish(RESULTS_EXCHANGE, RESULTS_ROUTING_KEY, body, properties, mandatory=True)

        await asyncio.to_thread(send)

    async def send_heartbeat(self, message_id: str, body: bytes = b"{}") -> None:
        def send() -> None:
            with open_blocking(self.url) as connection, connection.channel() as channel:
                channel.confirm_delivery()
                make: Any = pika.BasicProperties  # pika gives its arguments no types
                channel.basic_publish(RESULTS_EXCHANGE, HEARTBEATS_ROUTING_KEY, body, make(message_id=message_id))

        await asyncio.to_thread(send)

    async def settled(self) -> None:
        consumer = self.broker._consumer
        assert consumer is not None
        channel = consumer._channel
        # A round trip on the channel of the answers: what comes on another one the broker may do before them.
        await channel.call(channel.raw.queue_declare, queue=RESULTS_QUEUE, passive=True)

    async def restart(self) -> None:
        await self._lose_connections(len(self.seen.lost) + 1)
        await connected_again(self.seen, len(self.seen.lost) + 1)

    async def wipe(self) -> None:
        lost = len(self.seen.lost) + 1
        await self.admin.call("DELETE", f"/vhosts/{self.vhost}")
        await self._lose_connections(lost)
        await self.admin.call("PUT", f"/vhosts/{self.vhost}", {})
        await connected_again(self.seen, len(self.seen.lost) + 1)

    async def lose_queue(self, namespace: str, pool: str) -> None:
        await self.admin.call("DELETE", f"/queues/{self.vhost}/{pool_queue(namespace, pool)}")

    async def queue_exists(self, namespace: str, pool: str) -> bool:
        queue = quote(pool_queue(namespace, pool))
        found = await self.admin.call("GET", f"/queues/{self.vhost}/{queue}", ok=(200, 404))
        return bool(found != MISSING)

    async def dead_letters(self, namespace: str, pool: str) -> list[str]:
        return await self.drain(f"mcp.dead.{namespace}.{pool}")

    async def dead_results(self) -> list[str]:
        return await self.drain("mcp.dead.results")

    async def drain(self, queue: str) -> list[str]:
        """Message ids of all that is ready in a queue; they are taken out."""

        def take() -> list[str]:
            found = []
            with open_blocking(self.url) as connection, connection.channel() as channel:
                while (got := channel.basic_get(queue, auto_ack=True)) and got[1] is not None:
                    found.append(str(got[1].message_id))
            return found

        return await asyncio.to_thread(take)

    async def _lose_connections(self, lost: int) -> None:
        for worker in self.workers:
            await worker.close()
        self.workers.clear()
        await self.proxy.cut()
        await eventually(lambda: len(self.seen.lost) == lost, "the operator noticed")


MISSING = {"error": "Object Not Found", "reason": "Not Found"}


def through(proxy: Proxy, url: str) -> str:
    """The same AMQP URL by way of the proxy."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{login}@127.0.0.1:{proxy.port}").geturl()
