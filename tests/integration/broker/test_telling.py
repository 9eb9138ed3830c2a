"""What workers say of themselves comes to the operator, and what it answers comes to them: on a real RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from contracts.broker import LIMIT, eventually, step
from integration.broker.conftest import OpenStage
from integration.broker.stage import RealStage, open_blocking
from mastercontrol.engine.ports import BrokerForbidden, BrokerUnavailable
from mastercontrol_worker.contract import RESULTS_EXCHANGE
from mastercontrol_worker.link import REPLIES
from mastercontrol_worker.presence import PRESENCE_ROUTING_KEY


class Speaker:
    """A worker's channel, with an address. Each call is to run in a thread."""

    def __init__(self, url: str) -> None:
        self.connection = open_blocking(url)
        self.channel: BlockingChannel = self.connection.channel()
        self.heard: list[bytes] = []
        self.channel.basic_consume(REPLIES, lambda *message: self.heard.append(message[3]), auto_ack=True)

    def speak(self, body: bytes) -> None:
        make: Any = pika.BasicProperties  # pika gives its arguments no types
        self.channel.basic_publish(RESULTS_EXCHANGE, PRESENCE_ROUTING_KEY, body, make(reply_to=REPLIES))
        self.connection.process_data_events(0.1)

    def listen(self, count: int) -> list[bytes]:
        for _ in range(100):
            if len(self.heard) >= count:
                break
            self.connection.process_data_events(0.1)
        return self.heard


@pytest.fixture
async def speaker(stage: RealStage) -> AsyncIterator[Speaker]:
    """With the rights of a pool's workers, and no other."""
    await stage.broker.declare_pool("team", "payments", LIMIT)
    rights = urlsplit(await stage.broker.worker_url("team", "payments")).netloc.rpartition("@")[0]
    address = urlsplit(stage.url)  # not through the operator's proxy
    url = address._replace(netloc=f"{rights}@{address.hostname}:{address.port}").geturl()
    made = await asyncio.to_thread(Speaker, url)
    yield made
    if made.connection.is_open:
        await asyncio.to_thread(made.connection.close)


async def address_of(stage: RealStage, speaker: Speaker, body: bytes = b"here") -> str:
    await asyncio.to_thread(speaker.speak, body)
    await eventually(lambda: bool(stage.seen.presences))
    address, said = stage.seen.presences.pop()
    assert said == body
    assert address is not None
    return address


async def test_a_worker_is_told_something_at_the_address_that_it_gave(stage: RealStage, speaker: Speaker) -> None:
    address = await address_of(stage, speaker)
    await stage.broker.tell([(address, b"one"), (address, b"two")])
    assert await asyncio.to_thread(speaker.listen, 2) == [b"one", b"two"]
    assert stage.seen.heartbeats == []


async def test_the_address_is_good_for_the_next_connection_of_the_operator_too(
    stage: RealStage, speaker: Speaker
) -> None:
    address = await address_of(stage, speaker)
    await stage.proxy.cut()
    await eventually(lambda: len(stage.seen.epochs) == 2)
    await stage.broker.tell([(address, b"again")])
    assert await asyncio.to_thread(speaker.listen, 1) == [b"again"]


async def test_who_is_gone_gets_nothing_and_keeps_nobody_else_from_it(stage: RealStage, speaker: Speaker) -> None:
    gone = await asyncio.to_thread(Speaker, stage.url)
    old = await address_of(stage, gone)
    await asyncio.to_thread(gone.connection.close)
    address = await address_of(stage, speaker)
    await stage.broker.tell([(old, b"one"), ("amq.rabbitmq.reply-to.nonsense", b"two"), (address, b"three")])
    assert await asyncio.to_thread(speaker.listen, 1) == [b"three"]
    assert stage.seen.lost == []


async def test_without_a_connection_nobody_can_be_told_anything(open_stage: OpenStage) -> None:
    stage = await open_stage(wait=False, stalled=True)
    with pytest.raises(BrokerUnavailable):
        await stage.broker.tell([("somewhere", b"one")])
    await stage.broker.tell([])


async def test_an_operator_without_the_right_to_answer_loses_nothing_else(stage: RealStage, speaker: Speaker) -> None:
    address = await address_of(stage, speaker)
    user = urlsplit(stage.url).username
    limited = {"configure": ".*", "write": "^mcp\\..*$", "read": ".*"}
    await stage.admin.call("PUT", f"/permissions/{stage.vhost}/{user}", limited)
    with pytest.raises(BrokerForbidden, match="403"):
        await stage.broker.tell([(address, b"one")])
    assert stage.seen.lost == []
    assert stage.broker.epoch is not None


async def test_what_each_consumer_holds_is_known_by_its_tag(stage: RealStage) -> None:
    await stage.broker.declare_pool("team", "payments", LIMIT)
    await stage.broker.declare_pool("team", "other", LIMIT)

    def consume(tag: str, pool: str, prefetch: int) -> BlockingChannel:
        channel = open_blocking(stage.url).channel()
        channel.basic_qos(prefetch_count=prefetch)
        channel.basic_consume(f"mcp.pool.team.{pool}", lambda *_: None, consumer_tag=tag)
        return channel

    channels = [await asyncio.to_thread(consume, *given) for given in (("w-1", "payments", 2), ("w-9", "other", 1))]
    for number in range(3):
        await stage.broker.publish("team", "payments", step(number))
    await stage.broker.publish("team", "other", step(9))
    channels.append(await asyncio.to_thread(consume, "w-2", "payments", 1))
    channels.append(await asyncio.to_thread(consume, "w-3", "payments", 1))
    expected = {"w-1": 2, "w-2": 1, "w-3": 0}

    async def settled() -> bool:
        return await stage.broker.held("team", "payments") == expected

    await eventually(settled)
    for channel in channels:
        await asyncio.to_thread(channel.connection.close)


async def test_what_is_not_known_is_not_nothing(open_stage: OpenStage) -> None:
    stage = await open_stage(management_url="http://127.0.0.1:1")
    assert await stage.broker.held("team", "payments") is None
