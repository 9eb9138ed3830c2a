"""What can go wrong with a publish at a real RabbitMQ, and what the operator is told."""

from __future__ import annotations

import asyncio
import struct
import time

import pytest

from contracts.broker import LIMIT, connected_again, eventually, step
from integration.broker.conftest import SETTINGS, OpenStage
from integration.broker.stage import RealStage
from mastercontrol.broker.settings import BrokerSettings
from mastercontrol.engine.ports import BrokerUnavailable, DepthUnknown

QUICK = BrokerSettings(
    publish_timeout_seconds=0.3,
    reconnect_min_seconds=SETTINGS.reconnect_min_seconds,
    reconnect_max_seconds=SETTINGS.reconnect_max_seconds,
)


def connection_method(number: int, arguments: bytes = b"") -> bytes:
    """An AMQP frame with a method of class connection, as the broker sends it."""
    payload = struct.pack(">HH", 10, number) + arguments
    return struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce"


BLOCKED = connection_method(60, b"\x09low on ram"[:10])
UNBLOCKED = connection_method(61)


async def payments(stage: RealStage) -> None:
    await stage.broker.declare_pool("team", "payments", LIMIT)


async def publish(stage: RealStage, number: int = 1) -> None:
    await stage.broker.publish("team", "payments", step(number))


async def test_a_step_is_persistent_json_with_nothing_that_the_contract_does_not_name(stage: RealStage) -> None:
    await payments(stage)
    await publish(stage)
    properties = (await (await stage.worker("team", "payments")).take()).properties
    named = {name: value for name, value in vars(properties).items() if value is not None}
    assert named == {
        "content_type": "application/json",
        "delivery_mode": 2,
        "headers": {},
        "message_id": step().id,
        "type": "charge",
    }


async def test_a_high_step_has_a_priority_that_quorum_queues_take_for_high(stage: RealStage) -> None:
    await payments(stage)
    await stage.broker.publish("team", "payments", step(), high=True)
    got = await (await stage.worker("team", "payments")).take()
    assert got.properties.priority == 5
    assert got.body == step().encode()


async def test_a_high_step_stays_high_when_its_queue_had_to_be_declared_again(stage: RealStage) -> None:
    await payments(stage)
    await stage.lose_queue("team", "payments")
    await stage.broker.publish("team", "payments", step(), high=True)
    assert (await (await stage.worker("team", "payments")).take()).properties.priority == 5


async def test_a_publish_that_the_broker_refuses_is_not_confirmed(stage: RealStage) -> None:
    await payments(stage)
    policy = {"pattern": "^mcp\\.pool\\.", "definition": {"max-length": 1}, "priority": 9, "apply-to": "queues"}
    await stage.admin.call("PUT", f"/policies/{stage.vhost}/full", policy)

    async def refused() -> bool:  # RabbitMQ applies a policy in the background
        try:
            await publish(stage)
        except BrokerUnavailable as error:
            return "refused" in str(error)
        return False

    await eventually(refused)
    await stage.admin.call("DELETE", f"/policies/{stage.vhost}/full")

    async def taken() -> bool:
        return not await refused()

    await eventually(taken)
    assert stage.seen.lost == []


async def test_a_confirm_that_does_not_come_in_time_is_unknown_and_ignored_when_it_comes(
    open_stage: OpenStage,
) -> None:
    stage = await open_stage(QUICK)
    await payments(stage)
    stage.proxy.stall(to_broker=False)
    with pytest.raises(BrokerUnavailable, match=r"no confirm in 0\.3 s"):
        await publish(stage, 1)
    stage.proxy.flow()
    for number in range(2, 6):
        await publish(stage, number)
    worker = await stage.worker("team", "payments", prefetch=9)
    assert [(await worker.take()).message_id for _ in range(5)] == [step(n).id for n in range(1, 6)]
    assert stage.seen.lost == []


async def test_all_publishes_that_wait_fail_at_once_when_the_connection_is_lost(stage: RealStage) -> None:
    await payments(stage)
    stage.proxy.stall(to_broker=False)
    publishes = [asyncio.create_task(publish(stage, number)) for number in range(1, 51)]
    await asyncio.sleep(0.1)
    assert not any(one.done() for one in publishes)
    began = time.monotonic()
    await stage.proxy.cut()
    stage.proxy.flow()
    outcomes = await asyncio.gather(*publishes, return_exceptions=True)
    assert time.monotonic() - began < 2
    assert {type(outcome).__mro__[1] for outcome in outcomes} == {BrokerUnavailable}
    await connected_again(stage.seen, 2)
    await asyncio.gather(*(publish(stage, number) for number in range(1, 51)))
    worker = await stage.worker("team", "payments", prefetch=500)
    seen: set[str] = set()
    while len(seen) < 50:
        seen.add((await worker.take()).message_id)
    assert seen == {step(n).id for n in range(1, 51)}


async def test_a_publish_without_a_connection_fails_at_once(stage: RealStage) -> None:
    await payments(stage)
    stage.proxy.stall()
    await stage.proxy.cut()
    await eventually(lambda: stage.seen.lost)
    assert stage.broker.epoch is None
    with pytest.raises(BrokerUnavailable, match="not connected"):
        await publish(stage)


async def test_publishes_wait_for_the_end_of_an_alarm_and_are_then_confirmed(stage: RealStage) -> None:
    await payments(stage)
    stage.proxy.inject(BLOCKED)
    await eventually(lambda: stage.broker.blocked)
    waiting = [asyncio.create_task(publish(stage, number)) for number in (1, 2)]
    await asyncio.sleep(0.1)
    assert not any(one.done() for one in waiting)
    assert await stage.drain("mcp.pool.team.payments") == []
    stage.proxy.inject(UNBLOCKED)
    await asyncio.gather(*waiting)
    assert not stage.broker.blocked


async def test_a_publish_during_a_long_alarm_fails_and_is_not_sent_later(open_stage: OpenStage) -> None:
    stage = await open_stage(QUICK)
    await payments(stage)
    stage.proxy.inject(BLOCKED)
    await eventually(lambda: stage.broker.blocked)
    with pytest.raises(BrokerUnavailable, match="alarm"):
        await publish(stage, 1)
    stage.proxy.inject(UNBLOCKED)
    await publish(stage, 2)
    assert await stage.drain("mcp.pool.team.payments") == [step(2).id]


async def test_publishes_that_wait_for_the_end_of_an_alarm_fail_when_the_connection_is_lost(stage: RealStage) -> None:
    await payments(stage)
    stage.proxy.inject(BLOCKED)
    await eventually(lambda: stage.broker.blocked)
    waiting = asyncio.create_task(publish(stage))
    await asyncio.sleep(0.05)
    await stage.proxy.cut()
    with pytest.raises(BrokerUnavailable):
        await waiting
    await connected_again(stage.seen, 2)
    assert not stage.broker.blocked


async def test_a_publish_to_a_lost_exchange_fails_and_the_next_connection_brings_it_back(stage: RealStage) -> None:
    await payments(stage)
    await stage.admin.call("DELETE", f"/exchanges/{stage.vhost}/mcp.steps")
    with pytest.raises(BrokerUnavailable, match="no exchange"):
        await publish(stage)
    await connected_again(stage.seen, 2)
    await publish(stage)
    assert await stage.drain("mcp.pool.team.payments") == [step().id]


async def test_readings_that_time_out_leave_no_channel_behind(open_stage: OpenStage) -> None:
    stage = await open_stage(BrokerSettings(management_timeout_seconds=0.1))
    await payments(stage)
    session = stage.broker._session()
    assert session is not None
    # Publishing, results and heartbeats; that of the declaration is closed without waiting for it.
    await eventually(lambda: len(session._raw._channels) == 3)
    before = set(session._raw._channels)
    stage.proxy.stall()
    for _ in range(3):
        with pytest.raises(DepthUnknown) as unknown:
            await stage.broker.depth("team", "payments")
        assert unknown.value.reason == "timeout"
    assert len(session._raw._channels) == len(before) + 3
    stage.proxy.flow()
    await eventually(lambda: set(session._raw._channels) == before)
    assert stage.seen.lost == []
