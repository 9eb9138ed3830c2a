"""A whole RabbitMQ node that restarts, loses its disk and runs out of memory."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from contracts.broker import LIMIT, Seen, connected_again, eventually, step
from integration.broker.conftest import SETTINGS
from integration.broker.stage import MemoryEpochs, RealWorker
from mastercontrol.broker.adapter import RabbitBroker
from mastercontrol_worker.contract import pool_queue

if TYPE_CHECKING:
    from integration.conftest import Service


class Node:
    """The operator at a node of its own."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.url = service.environment()["MCP_AMQP_URL"]
        self.seen = Seen()
        self.broker = RabbitBroker(
            self.url,
            service.environment()["MCP_MANAGEMENT_URL"],
            MemoryEpochs(),
            on_delivery=self.seen.on_delivery,
            on_connected=self.seen.on_connected,
            on_lost=self.seen.on_lost,
            settings=SETTINGS,
        )

    async def run(self, verb: str) -> None:
        times = len(self.seen.epochs) + 1
        await asyncio.to_thread(self.service.run, verb)
        await connected_again(self.seen, times)

    def control(self, *arguments: str) -> None:
        inside = [str(self.service.script), "--inside", str(self.service.folder)]
        subprocess.run([*inside, "/usr/lib/rabbitmq/bin/rabbitmqctl", *arguments], check=True, capture_output=True)

    async def ids(self, pool: str, count: int) -> list[str]:
        worker = await asyncio.to_thread(RealWorker, self.url, pool_queue("team", pool), 100)
        found = []
        for _ in range(count):
            got = await worker.take()
            found.append(got.message_id)
            await got.ack()
        await worker.close()
        return found


@pytest.fixture
async def node(rabbitmq: Service) -> AsyncIterator[Node]:
    await asyncio.to_thread(rabbitmq.run, "wipe")
    node = Node(rabbitmq)
    await node.broker.start()
    await connected_again(node.seen, 1)
    yield node
    await node.broker.close()


async def test_steps_and_the_epoch_outlive_a_restart_of_the_node(node: Node) -> None:
    await node.broker.declare_pool("team", "payments", LIMIT)
    await node.broker.publish("team", "payments", step(1))
    await node.run("restart")
    assert node.seen.epochs == [node.broker.epoch] * 2
    await node.broker.publish("team", "payments", step(2))
    assert await node.ids("payments", 2) == [step(1).id, step(2).id]


async def test_a_node_without_its_disk_gets_queues_users_and_a_new_epoch(node: Node) -> None:
    await node.broker.declare_pool("team", "payments", LIMIT)
    url = await node.broker.worker_url("team", "payments")
    await node.broker.publish("team", "payments", step(1))
    before = node.broker.epoch
    await node.run("wipe")
    assert node.broker.epoch not in {None, before}
    await node.broker.publish("team", "payments", step(2))
    assert await node.broker.worker_url("team", "payments") == url
    node.url = url
    assert await node.ids("payments", 1) == [step(2).id]


async def test_publishes_wait_while_the_node_is_out_of_memory(node: Node) -> None:
    await node.broker.declare_pool("team", "payments", LIMIT)
    node.control("set_vm_memory_high_watermark", "0.000001")
    publishes: list[asyncio.Task[None]] = []
    while not node.broker.blocked:  # the broker tells those who publish
        publishes.append(asyncio.create_task(node.broker.publish("team", "payments", step(len(publishes) + 1))))
        await asyncio.sleep(0.05)
    waiting = asyncio.create_task(node.broker.publish("team", "payments", step(len(publishes) + 1)))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await asyncio.to_thread(node.control, "set_vm_memory_high_watermark", "0.6")
    await asyncio.gather(*publishes, waiting)
    await eventually(lambda: not node.broker.blocked)
    assert len(await node.ids("payments", len(publishes) + 1)) == len(publishes) + 1
    assert node.seen.lost == []
