"""How many workers of a pool are ready, who is told when that changes, and that the unknown is no zero."""

from __future__ import annotations

from mastercontrol.engine.ports import Depth, Readiness
from unit.pools.world import World, pool


class Told:
    """Keeps what the controller tells of readiness."""

    def __init__(self, world: World) -> None:
        self.calls: list[tuple[str, bool]] = []
        world.controller._on_workers = self

    def __call__(self, namespace: str, pool: str, *, ready: bool) -> None:
        assert namespace == "shop"
        self.calls.append((pool, ready))


async def started(world: World) -> Told:
    told = Told(world)
    world.start()
    world.connect()
    await world.add(pool())
    return told


async def test_a_pool_that_nobody_has_looked_at_is_unknown(world: World) -> None:
    assert world.controller.workers("shop", "resize") is None
    told = await started(world)
    assert "status" not in world.cluster.deployment(), "its Deployment is made, and nothing is said of its pods yet"
    assert world.controller.workers("shop", "resize") is None
    assert told.calls == []


async def test_the_watch_of_the_deployment_tells_how_many_are_ready(world: World) -> None:
    told = await started(world)
    world.cluster.workers(2, 0)
    await world.settle()
    began = world.clock.now()
    assert world.controller.workers("shop", "resize") == Readiness(0, began)
    await world.after(5)
    world.cluster.workers(2, 0)
    await world.settle()
    assert world.controller.workers("shop", "resize") == Readiness(0, began), "since the first look"
    world.cluster.workers(2, 2)
    await world.settle()
    assert world.controller.workers("shop", "resize") == Readiness(2)
    assert told.calls == [("resize", False), ("resize", True)]


async def test_the_last_worker_that_goes_is_told(world: World) -> None:
    told = await started(world)
    world.cluster.workers(1, 1)
    await world.after(60)
    world.cluster.workers(1, 0)
    await world.settle()
    assert world.controller.workers("shop", "resize") == Readiness(0, world.clock.now())
    assert told.calls == [("resize", True), ("resize", False)]


async def test_a_worker_more_or_less_is_told_nobody(world: World) -> None:
    told = await started(world)
    for ready in (1, 2, 3, 1):
        world.cluster.workers(3, ready)
        await world.settle()
    assert told.calls == [("resize", True)]


async def test_workers_that_are_not_of_the_deployment_are_known_by_their_queue(world: World) -> None:
    await started(world)
    world.cluster.workers(0, 0)
    world.publish()
    world.broker.depths["resize"] = Depth(1, 0, 2)
    await world.after(5)
    assert world.controller.workers("shop", "resize") == Readiness(2)


async def test_a_pool_that_is_deleted_has_no_number(world: World) -> None:
    await started(world)
    world.cluster.workers(1, 1)
    await world.settle()
    world.controller.on_pool(pool(), deleted=True)
    assert world.controller.workers("shop", "resize") is None


async def test_another_leader_begins_with_nothing_known(world: World) -> None:
    await started(world)
    world.cluster.workers(1, 0)
    await world.settle()
    await world.stop()
    world.controller = world.new_controller()
    world.controller.on_pool(pool())
    assert world.controller.workers("shop", "resize") is None
