"""Publisher confirms and what pika's errors say, without a broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pika
import pytest
from pika.adapters.utils.connection_workflow import AMQPConnectionWorkflowFailed, AMQPConnectorSocketConnectError
from pika.exceptions import ChannelClosedByBroker, ChannelWrongStateError

from mastercontrol_worker.link import Link, LinkSettings, describe
from mastercontrol_worker.transport import NotConfirmed


class FakeChannel:
    """Takes publishes; the test answers them through the link's confirms."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bool, int]] = []
        self.problem: Exception | None = None

    def basic_publish(self, _exchange: str, _key: str, _body: bytes, properties: Any, *, mandatory: bool) -> None:
        if self.problem is not None:
            raise self.problem
        self.published.append((properties.message_id, mandatory, properties.delivery_mode))


class Bench:
    """A link that is open as far as it knows."""

    def __init__(self, confirm_seconds: float = 10) -> None:
        self.link = Link(LinkSettings("amqp://b/", "q", confirm_seconds=confirm_seconds), lambda _delivery: None)
        self.channel = FakeChannel()
        self.link._channel = self.channel

    async def publish(self, *ids: str) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.link.publish(message_id, "s", b"{}", {})) for message_id in ids]
        await asyncio.sleep(0)
        return tasks

    def confirm(self, tag: int, *, multiple: bool = False, nack: bool = False) -> None:
        kind = pika.spec.Basic.Nack if nack else pika.spec.Basic.Ack
        self.link._confirms.on_confirm(pika.frame.Method(1, kind(tag, multiple)))

    def give_back(self, message_id: str) -> None:
        method = pika.spec.Basic.Return(312, "NO_ROUTE", "mcp.results", "mcp.results")
        self.link._confirms.on_return(None, method, pika.BasicProperties(message_id=message_id), b"")


async def outcome(task: asyncio.Task[None]) -> str:
    async with asyncio.timeout(10):
        try:
            await task
        except NotConfirmed as problem:
            return str(problem)
    return "confirmed"


async def test_results_are_published_mandatory_and_persistent() -> None:
    bench = Bench()
    (task,) = await bench.publish("a")
    bench.confirm(1)
    assert await outcome(task) == "confirmed"
    assert bench.channel.published == [("a", True, 2)]


async def test_each_confirm_is_of_its_own_message() -> None:
    bench = Bench()
    one, two, three = await bench.publish("a", "b", "c")
    bench.confirm(2, nack=True)
    bench.confirm(3)
    assert await outcome(two) == "refused by the broker"
    assert await outcome(three) == "confirmed"
    assert not one.done()
    bench.confirm(1)
    assert await outcome(one) == "confirmed"


async def test_one_confirm_can_be_of_many() -> None:
    bench = Bench()
    tasks = await bench.publish("a", "b", "c")
    bench.confirm(2, multiple=True)
    assert [await outcome(task) for task in tasks[:2]] == ["confirmed"] * 2
    assert not tasks[2].done()
    bench.confirm(3)
    await tasks[2]


async def test_a_returned_result_is_not_confirmed_though_the_broker_confirms_it() -> None:
    bench = Bench()
    one, two = await bench.publish("a", "b")
    bench.give_back("a")
    bench.confirm(2, multiple=True)
    assert await outcome(one) == "returned: NO_ROUTE"
    assert await outcome(two) == "confirmed"
    (again,) = await bench.publish("a")
    bench.confirm(3)
    assert await outcome(again) == "confirmed"


async def test_without_a_confirm_in_time_the_link_is_given_up() -> None:
    bench = Bench(confirm_seconds=0.02)
    (task,) = await bench.publish("a")
    assert await outcome(task) == "no confirm within 0.02 s"
    assert bench.link.lost.done()


async def test_a_broker_that_takes_no_messages_for_a_while_is_waited_for() -> None:
    bench = Bench(confirm_seconds=0.02)
    bench.link._set_blocked(blocked=True)
    (task,) = await bench.publish("a")
    await asyncio.sleep(0.1)
    assert not task.done()
    assert not bench.link.lost.done()
    bench.confirm(1)
    assert await outcome(task) == "confirmed"


async def test_a_lost_link_ends_all_waits() -> None:
    bench = Bench()
    tasks = await bench.publish("a", "b")
    bench.link._lose("gone")
    assert [await outcome(task) for task in tasks] == ["gone", "gone"]


async def test_a_publish_on_a_closed_channel_is_not_confirmed() -> None:
    bench = Bench()
    bench.channel.problem = ChannelWrongStateError("Channel is closed.")
    (task,) = await bench.publish("a")
    assert "Channel is closed" in await outcome(task)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ChannelClosedByBroker(404, "NOT_FOUND - no queue"), "404 NOT_FOUND - no queue"),
        (
            AMQPConnectionWorkflowFailed([AMQPConnectorSocketConnectError(ConnectionRefusedError(111, "refused"))]),
            "ConnectionRefusedError: [Errno 111] refused",
        ),
        (ValueError("x"), "ValueError: x"),
    ],
)
def test_the_innermost_reason_is_told(error: BaseException, text: str) -> None:
    assert describe(error) == text


def test_where_a_link_goes_is_told_without_the_password() -> None:
    settings = LinkSettings("amqp://user:secret@broker:5671/v", "mcp.pool.a.b")
    assert settings.where == "broker:5671, queue mcp.pool.a.b"
