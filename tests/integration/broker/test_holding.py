"""How long a worker may hold a step: what the pool controller writes, and what a real RabbitMQ makes of it.

With seconds where a cluster has minutes. RabbitMQ looks once in `channel_tick_interval` whether a message is held for
too long: a second at the node of hack/rabbitmq, a minute where that was not set.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from contracts.broker import eventually, step
from integration.broker.stage import RealStage
from mastercontrol.pools.controller import PoolController
from mastercontrol.pools.settings import PoolSettings
from mastercontrol_worker.contract import pool_queue
from unit.pools.fakes import Cluster
from unit.pools.world import pool

SECONDS = PoolSettings(hold_margin_seconds=1, least_hold_seconds=2)


class Pools:
    """A pool controller at this broker, and the longest step of each of its pools, in seconds."""

    def __init__(self, stage: RealStage) -> None:
        self.stage = stage
        self.longest = {"quick": 1, "slow": 1}
        self.controller = PoolController(
            Cluster([]),
            stage.broker,
            stage.broker,
            lambda *_: 0,
            SECONDS,
            longest_step=lambda _, name, __: self.longest[name],
        )
        self.controller.on_connected(str(stage.broker.epoch))
        for name in self.longest:
            self.controller.on_pool(pool(name, deliveryLimit=1000))

    async def edit_workflow(self, name: str, longest: int) -> None:
        """The steps of this pool take longer, or less long, from now on."""
        self.longest[name] = longest
        self.controller.on_workflow("shop")
        await self.holds(name, longest + 1)

    async def holds(self, name: str, seconds: int) -> None:
        """Wait until the broker has this limit for the queue."""
        path = f"/queues/{self.stage.vhost}/{quote(pool_queue('shop', name))}"

        async def has_it() -> bool:
            found = await self.stage.admin.call("GET", path, ok=(200, 404))
            return bool(found.get("effective_policy_definition", {}).get("consumer-timeout") == seconds * 1000)

        await eventually(has_it, f"a limit of {seconds} s for {name}")


@pytest.fixture
async def pools(stage: RealStage) -> AsyncIterator[Pools]:
    made = Pools(stage)
    running = asyncio.create_task(made.controller.run())
    for name in made.longest:
        await made.holds(name, 2)
    yield made
    running.cancel()
    await asyncio.wait([running])


async def is_lost(stage: RealStage, name: str, times: int) -> None:
    """Workers of a pool take its step and hold it for too long, one after the other."""
    for _ in range(times):
        worker = await stage.worker("shop", name)
        await worker.take()
        await worker.lose()


@pytest.mark.usefixtures("pools")
async def test_a_step_that_is_held_for_too_long_goes_to_another_worker(stage: RealStage) -> None:
    await stage.broker.publish("shop", "slow", step())
    await is_lost(stage, "slow", 1)
    again = await (await stage.worker("shop", "slow")).take()
    assert (again.message_id, again.headers["x-delivery-count"]) == (step().id, 1)
    await again.ack()
    await is_empty(stage, "slow")


async def test_a_pool_whose_workflow_was_given_longer_steps_lets_them_finish(stage: RealStage, pools: Pools) -> None:
    await stage.broker.publish("shop", "slow", step())
    await is_lost(stage, "slow", 1)
    await pools.edit_workflow("slow", 600)
    held = await (await stage.worker("shop", "slow")).take()
    # How long that is, the other pool says: it has the old limit, and its step is lost three times meanwhile.
    await stage.broker.publish("shop", "quick", step(2))
    await is_lost(stage, "quick", 3)
    await held.ack()
    await is_empty(stage, "slow")


async def test_a_longer_limit_counts_for_what_a_worker_holds_already(stage: RealStage, pools: Pools) -> None:
    await pools.edit_workflow("slow", 3)
    await stage.broker.publish("shop", "slow", step())
    held = await (await stage.worker("shop", "slow")).take()
    await pools.edit_workflow("slow", 600)
    await stage.broker.publish("shop", "quick", step(2))
    await is_lost(stage, "quick", 3)
    await held.ack()
    await is_empty(stage, "slow")


async def is_empty(stage: RealStage, name: str) -> None:
    """All that was in the queue of a pool is done."""

    async def nothing_left() -> bool:
        depth = await stage.broker.depth("shop", name)
        return depth is not None and depth.backlog == 0

    await eventually(nothing_left, f"nothing in the queue of {name}")
