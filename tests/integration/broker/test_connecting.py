"""The life of the connection to a real RabbitMQ: first attempts, loss, silence, the agreement on the epoch, the end."""

from __future__ import annotations

import asyncio
import time

import pytest

from contracts.broker import LIMIT, connected_again, delivered, eventually, step
from integration.broker.conftest import OpenStage
from integration.broker.stage import MemoryEpochs, RealStage, open_blocking
from mastercontrol.broker.settings import BrokerSettings
from mastercontrol.engine.ports import BrokerUnavailable, TopologyConflict

IMPATIENT = BrokerSettings(
    connect_timeout_seconds=0.3,
    setup_timeout_seconds=1.0,
    heartbeat_seconds=1,
    reconnect_min_seconds=0.02,
    reconnect_max_seconds=0.2,
)


async def test_it_goes_on_trying_until_the_broker_answers(open_stage: OpenStage) -> None:
    stage = await open_stage(IMPATIENT, wait=False, stalled=True)
    with pytest.raises(BrokerUnavailable):
        await stage.broker.declare_pool("team", "payments", LIMIT)
    await eventually(lambda: stage.proxy.accepted >= 3, "three attempts")
    assert stage.seen.epochs == []
    stage.proxy.flow()
    await connected_again(stage.seen, 1)
    await stage.broker.publish("team", "payments", step())


async def test_a_broker_that_falls_silent_is_left_after_the_heartbeat(open_stage: OpenStage) -> None:
    stage = await open_stage(IMPATIENT)
    stage.proxy.stall()
    await eventually(lambda: stage.seen.lost)
    assert "heartbeats" in stage.seen.lost[0]
    stage.proxy.flow()
    await connected_again(stage.seen, 2)


async def test_closing_ends_in_time_though_the_broker_is_silent(open_stage: OpenStage) -> None:
    stage = await open_stage(IMPATIENT)
    stage.proxy.stall()
    began = time.monotonic()
    await stage.broker.close()
    assert time.monotonic() - began < 3


async def test_closing_while_it_tries_to_connect_leaves_nothing_behind(open_stage: OpenStage) -> None:
    stage = await open_stage(wait=False, stalled=True)
    await eventually(lambda: stage.proxy.accepted)
    await stage.broker.close()


async def test_a_results_queue_that_was_deleted_is_there_again(stage: RealStage) -> None:
    await stage.send_result("0b1c:1:1")
    await delivered(stage.seen, 1)
    await stage.admin.call("DELETE", f"/queues/{stage.vhost}/mcp.results")
    await connected_again(stage.seen, 2)
    assert "results queue is gone" in stage.seen.lost[0]
    await stage.send_result("0b1c:2:1")
    await delivered(stage.seen, 2)


async def test_a_listener_that_fails_costs_neither_the_connection_nor_the_result(
    stage: RealStage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.seen, "deliveries", None)  # appending fails
    await stage.send_result("0b1c:1:1")
    await eventually(lambda: "could not be taken in" in caplog.text)
    monkeypatch.undo()
    assert stage.seen.lost == []
    await stage.restart()
    await eventually(lambda: stage.seen.ids() == ["0b1c:1:1"])


async def test_without_the_epoch_store_nothing_is_connected_and_nothing_consumed(open_stage: OpenStage) -> None:
    epochs = MemoryEpochs(failing=True)
    stage = await open_stage(epochs=epochs, wait=False)
    await eventually(lambda: epochs.loads >= 3, "three attempts")
    assert stage.broker.epoch is None
    assert stage.seen.order == []
    epochs.failing = False
    await connected_again(stage.seen, 1)
    assert stage.broker.epoch == epochs.value


async def test_an_operator_that_is_second_takes_the_epoch_of_the_first(open_stage: OpenStage) -> None:
    epochs = MemoryEpochs()
    first = await open_stage(epochs=epochs)
    second = await open_stage(epochs=epochs)
    assert second.broker.epoch == first.broker.epoch


async def test_an_epoch_that_loses_the_race_leaves_no_queue(open_stage: OpenStage) -> None:
    epochs = MemoryEpochs()

    def overtake() -> None:
        epochs.value = "feedbeef"

    epochs.before_replace.append(overtake)
    stage = await open_stage(epochs=epochs)
    queues = await stage.admin.call("GET", f"/queues/{stage.vhost}?disable_stats=true&columns=name")
    marks = [queue["name"] for queue in queues if queue["name"].startswith("mcp.epoch.")]
    assert marks == [f"mcp.epoch.{stage.broker.epoch}"]
    assert epochs.value == stage.broker.epoch != "feedbeef"


async def test_a_pool_that_comes_while_a_connection_is_set_up_has_its_queue_when_that_is_told(
    open_stage: OpenStage,
) -> None:
    epochs = MemoryEpochs()
    stage = await open_stage(epochs=epochs, wait=False, stalled=True)
    declaring: list[asyncio.Task[None]] = []

    def declare() -> None:
        declaring.append(asyncio.create_task(stage.broker.declare_pool("team", "payments", LIMIT)))

    epochs.before_replace.append(declare)
    stage.proxy.flow()
    await connected_again(stage.seen, 1)
    with pytest.raises(BrokerUnavailable):
        await declaring[0]
    assert await stage.queue_exists("team", "payments")


async def test_a_queue_with_other_arguments_is_reported_and_used_as_it_is(stage: RealStage) -> None:
    with open_blocking(stage.url) as connection, connection.channel() as channel:
        channel.queue_declare("mcp.pool.team.payments", durable=True)
    with pytest.raises(TopologyConflict, match="inequivalent arg"):
        await stage.broker.declare_pool("team", "payments", LIMIT)
    assert list(stage.broker.conflicts) == ["queue mcp.pool.team.payments"]
    await stage.broker.publish("team", "payments", step())
    await stage.restart()
    await stage.broker.publish("team", "payments", step(2))
    assert await stage.drain("mcp.pool.team.payments") == [step().id, step(2).id]
    assert list(stage.broker.conflicts) == ["queue mcp.pool.team.payments"]


async def test_it_connects_though_a_queue_of_its_own_has_other_arguments(open_stage: OpenStage, vhost: str) -> None:
    stage = await open_stage(wait=False, stalled=True)
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 9}
    await stage.admin.call("PUT", f"/queues/{vhost}/mcp.results", {"durable": True, "arguments": arguments})
    stage.proxy.flow()
    await connected_again(stage.seen, 1)
    assert "inequivalent arg" in stage.broker.conflicts["queue mcp.results"]
    await stage.send_result("0b1c:1:1")
    await eventually(lambda: stage.seen.deliveries)


async def test_a_user_without_rights_is_told_so_and_tried_again(
    open_stage: OpenStage, caplog: pytest.LogCaptureFixture, vhost: str
) -> None:
    stage = await open_stage()
    await stage.admin.call("PUT", f"/permissions/{vhost}/guest", {"configure": "^$", "write": ".*", "read": ".*"})
    await stage.proxy.cut()
    await eventually(lambda: "ACCESS_REFUSED" in caplog.text)
    await stage.admin.call("PUT", f"/permissions/{vhost}/guest", {"configure": ".*", "write": ".*", "read": ".*"})
    await connected_again(stage.seen, 2)
