"""The contract of brokers, kept by the one in memory, and its faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from contracts.broker import DEADLINE_SECONDS, LIMIT, BrokerContract, Seen, Step, connected_again, eventually, step
from mastercontrol.engine.ports import BrokerUnavailable, DepthUnknown
from mastercontrol.memory.broker import MemoryBroker
from mastercontrol.memory.broker_data import PublishFault
from mastercontrol.memory.deliveries import StepDelivery, WorkerConsumer


@dataclass
class MemoryStep:
    """A step in the hands of a worker in memory."""

    delivery: StepDelivery

    @property
    def message_id(self) -> str:
        return self.delivery.message_id

    @property
    def type(self) -> str:
        return self.delivery.type

    @property
    def body(self) -> bytes:
        return self.delivery.body

    @property
    def headers(self) -> dict[str, object]:
        return self.delivery.headers

    async def ack(self) -> None:
        self.delivery.ack()

    async def requeue(self) -> None:
        self.delivery.requeue()

    async def reject(self) -> None:
        self.delivery.reject()


@dataclass
class MemoryWorker:
    """A worker in memory."""

    steps: asyncio.Queue[StepDelivery]
    consumer: WorkerConsumer

    async def take(self) -> Step:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return MemoryStep(await self.steps.get())

    async def close(self) -> None:
        self.consumer.close()


@dataclass
class MemoryStage:
    """A broker in memory and the world around it."""

    broker: MemoryBroker
    seen: Seen = field(default_factory=Seen)

    async def worker(self, namespace: str, pool: str, prefetch: int = 1) -> MemoryWorker:
        steps: asyncio.Queue[StepDelivery] = asyncio.Queue()
        return MemoryWorker(steps, self.broker.consume(namespace, pool, prefetch, steps.put_nowait))

    async def send_result(self, message_id: str, body: bytes = b"{}") -> None:
        await self.broker.publish_result(message_id, body)

    async def send_heartbeat(self, message_id: str, body: bytes = b"{}") -> None:
        assert self.broker.publish_heartbeat(message_id, body)

    async def settled(self) -> None:
        """Answers arrive at once."""

    async def restart(self) -> None:
        self.broker.restart()
        await connected_again(self.seen, len(self.seen.epochs) + 1)

    async def wipe(self) -> None:
        self.broker.wipe()
        await connected_again(self.seen, len(self.seen.epochs) + 1)

    async def lose_queue(self, namespace: str, pool: str) -> None:
        self.broker.lose_queue(namespace, pool)

    async def queue_exists(self, namespace: str, pool: str) -> bool:
        return (namespace, pool) in self.broker._data.pools

    async def dead_letters(self, namespace: str, pool: str) -> list[str]:
        return [letter.message_id or "" for letter in self.broker.dead_letters(namespace, pool)]

    async def dead_results(self) -> list[str]:
        await asyncio.sleep(0)
        return [letter.message_id or "" for letter in self.broker.dead_results()]


@pytest.fixture
async def stage() -> AsyncIterator[MemoryStage]:
    seen = Seen()
    broker = MemoryBroker(
        on_delivery=seen.on_delivery,
        on_connected=seen.on_connected,
        on_lost=seen.on_lost,
        on_heartbeat=seen.on_heartbeat,
        publish_timeout_seconds=0.3,
    )
    await broker.start()
    await connected_again(seen, 1)
    yield MemoryStage(broker, seen)
    await broker.close()


class TestMemoryBroker(BrokerContract):
    """All of it."""


async def why_unknown(stage: MemoryStage) -> str:
    with pytest.raises(DepthUnknown) as unknown:
        await stage.broker.depth("team", "payments")
    return unknown.value.reason


async def ready(stage: MemoryStage) -> int:
    return (await stage.broker.depth("team", "payments")).ready


@pytest.mark.parametrize(
    ("fault", "arrived"),
    [
        (PublishFault.REFUSED, 0),
        (PublishFault.LOST, 0),
        (PublishFault.CONFIRM_LOST, 1),
        (PublishFault.CONFIRM_LATE, 1),
    ],
)
async def test_a_fault_fails_one_publish_and_leaves_the_next_alone(
    stage: MemoryStage, fault: PublishFault, arrived: int
) -> None:
    await stage.broker.declare_pool("team", "payments", LIMIT)
    stage.broker.faults.publishes.append(fault)
    with pytest.raises(BrokerUnavailable):
        await stage.broker.publish("team", "payments", step(1))
    assert await ready(stage) == arrived
    await stage.broker.publish("team", "payments", step(2))
    assert await ready(stage) == arrived + 1


async def test_a_publish_returns_no_sooner_than_its_confirm_that_is_held_back(stage: MemoryStage) -> None:
    await stage.broker.declare_pool("team", "payments", LIMIT)
    stage.broker.hold_confirms()
    publish = asyncio.create_task(stage.broker.publish("team", "payments", step()))
    await asyncio.sleep(0.01)
    assert await ready(stage) == 1
    assert not publish.done()
    stage.broker.release_confirms()
    await publish


async def test_publishes_without_a_confirm_fail_when_the_connection_is_cut(stage: MemoryStage) -> None:
    await stage.broker.declare_pool("team", "payments", LIMIT)
    stage.broker.hold_confirms()
    publishes = [asyncio.create_task(stage.broker.publish("team", "payments", step(n))) for n in (1, 2)]
    await asyncio.sleep(0)
    stage.broker.cut()
    stage.broker.release_confirms()
    for publish in publishes:
        with pytest.raises(BrokerUnavailable, match="cut"):
            await publish
    await connected_again(stage.seen, 2)
    await stage.broker.publish("team", "payments", step(3))
    assert await ready(stage) == 3


async def test_nothing_works_while_the_broker_is_stopped_and_pools_are_remembered(stage: MemoryStage) -> None:
    stage.broker.stop()
    with pytest.raises(BrokerUnavailable):
        await stage.broker.declare_pool("team", "payments", LIMIT)
    with pytest.raises(BrokerUnavailable):
        await stage.broker.publish("team", "payments", step())
    with pytest.raises(BrokerUnavailable):
        await stage.broker.publish_result("0b1c:1:1", b"{}")
    with pytest.raises(BrokerUnavailable):
        await stage.broker.worker_url("team", "payments")
    assert await why_unknown(stage) == "disconnected"
    assert await stage.broker.depths() is None
    stage.broker.resume()
    await connected_again(stage.seen, 2)
    assert await ready(stage) == 0


async def test_a_depth_that_cannot_be_read_is_unknown(stage: MemoryStage) -> None:
    await stage.broker.declare_pool("team", "payments", LIMIT)
    stage.broker.faults.depth_unknown = True
    assert await why_unknown(stage) == "timeout"
    assert await stage.broker.depths() is None


async def test_a_worker_that_waits_for_its_queue_gets_steps_once_it_is_declared(stage: MemoryStage) -> None:
    worker = await stage.worker("team", "payments")
    await stage.broker.declare_pool("team", "payments", LIMIT)
    await stage.broker.publish("team", "payments", step())
    assert (await worker.take()).message_id == step().id


async def test_a_worker_that_outlives_a_wipe_goes_on_with_the_new_data(stage: MemoryStage) -> None:
    await stage.broker.declare_pool("team", "payments", LIMIT)
    worker = await stage.worker("team", "payments")
    await stage.broker.publish("team", "payments", step(1))
    old = await worker.take()
    await stage.wipe()
    await old.ack()
    await stage.broker.publish("team", "payments", step(2))
    assert (await worker.take()).message_id == step(2).id


async def test_a_worker_that_drains_settles_what_it_holds_and_gets_no_more(stage: MemoryStage) -> None:
    await stage.broker.declare_pool("team", "payments", LIMIT)
    worker = await stage.worker("team", "payments", prefetch=1)
    for number in (1, 2):
        await stage.broker.publish("team", "payments", step(number))
    got = await worker.take()
    worker.consumer.cancel()
    await got.ack()
    await asyncio.sleep(0.01)
    assert worker.steps.empty()
    assert await ready(stage) == 1


async def test_steps_are_handed_out_in_turn_and_no_more_than_the_prefetch(stage: MemoryStage) -> None:
    await stage.broker.declare_pool("team", "payments", LIMIT)
    first, second = [await stage.worker("team", "payments", prefetch=2) for _ in range(2)]
    for number in range(1, 7):
        await stage.broker.publish("team", "payments", step(number))
    await eventually(lambda: first.steps.qsize() == second.steps.qsize() == 2)
    assert [first.steps.get_nowait().message_id for _ in range(2)] == [step(1).id, step(3).id]
    assert await ready(stage) == 2


async def test_a_listener_that_fails_leaves_the_result_in_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_delivery: object) -> None:
        raise RuntimeError("no")

    broker = MemoryBroker(on_delivery=fail, on_connected=lambda _: None)
    await broker.start()
    await broker.publish_result("0b1c:1:1", b"{}")
    await eventually(lambda: "could not be taken in" in caplog.text)
    assert broker.results_waiting == 1
    await broker.close()


async def test_a_broker_that_is_down_takes_no_heartbeat_and_one_without_an_operator_loses_it(
    stage: MemoryStage,
) -> None:
    stage.broker.stop()
    assert not stage.broker.publish_heartbeat("0b1c:1:1", b"{}")
    stage.broker.resume()
    assert stage.broker.publish_heartbeat("0b1c:2:1", b"{}"), "the broker is up, its operator is not yet"
    await connected_again(stage.seen, 2)
    assert await stage.broker.heard_all()
    assert stage.seen.heartbeats == []
