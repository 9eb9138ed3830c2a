"""Pools that may not have as many workers as their steps call for: pace, quota, and what they say of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mastercontrol.engine.ports import Depth
from unit.pools.world import World, pool
from unit.pools.yard import Worker

SLOW = {"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 10}]}}


async def given(world: World, quota: int) -> None:
    """The namespace may have that many workers."""
    await world.stop()
    world.settings = replace(world.settings, max_workers=quota)
    world.controller = world.new_controller()
    world.connect()
    world.start()
    await world.settle()


@pytest.fixture
async def shared(world: World) -> World:
    """A namespace with ten workers for all."""
    await given(world, 10)
    return world


def reason(world: World, name: str = "resize") -> tuple[str, str]:
    found = world.condition("ScalingLimited", name)
    return found["status"], found["reason"]


async def test_a_pool_grows_as_fast_as_it_may_and_says_what_holds_it(world: World) -> None:
    await world.add(pool(autoscaling=SLOW))
    world.publish(7)
    await world.settle()
    assert world.cluster.replicas() == 2
    assert reason(world) == ("True", "ScaleUpLimit")
    assert "call for 7 workers" in world.condition("ScalingLimited")["message"]
    await world.after(9)
    assert world.cluster.replicas() == 2
    await world.after(2)
    assert world.cluster.replicas() == 4
    await world.after(30)
    assert world.cluster.replicas() == 7
    assert reason(world) == ("False", "DesiredWithinRange")


async def test_without_a_pace_a_thousand_steps_reach_the_maximum_in_one_write(world: World) -> None:
    await world.add(pool(maxReplicas=100))
    for _ in range(1000):
        world.publish()
    await world.settle()
    assert (world.cluster.replicas(), world.cluster.calls["scale"]) == (100, 1)
    assert reason(world) == ("True", "TooManyReplicas")
    world.finish()
    await world.after(3)
    assert reason(world) == ("False", "DesiredWithinRange")


async def test_a_new_deployment_keeps_its_pace_too(world: World) -> None:
    world.outstanding["shop", "resize"] = 9
    await world.add(pool(autoscaling=SLOW))
    assert world.cluster.replicas() == 2


async def test_pools_share_what_their_namespace_may_have(shared: World) -> None:
    await shared.add(pool("one", uid="u1"))
    await shared.add(pool("two", uid="u2", autoscaling={"weight": 4}))
    shared.publish(10, "one")
    await shared.after(2)
    assert shared.cluster.replicas("one") == 10
    shared.publish(10, "two")
    await shared.after(4)
    assert (shared.cluster.replicas("one"), shared.cluster.replicas("two")) == (2, 8)
    assert reason(shared, "one") == ("True", "NamespaceQuota")
    shared.finish("two")
    await shared.after(70)
    assert (shared.cluster.replicas("one"), shared.cluster.replicas("two")) == (10, 0)
    assert reason(shared, "one") == ("False", "DesiredWithinRange")


async def test_there_are_never_more_than_that(shared: World) -> None:
    for number, name in enumerate(("one", "two", "three")):
        await shared.add(pool(name, uid=f"u{number}", maxReplicas=8))
    most = 0
    for round_ in range(60):
        name = ("one", "two", "three")[round_ % 3]
        shared.publish(5, name)
        await shared.after(1)
        if round_ % 4 == 0:
            shared.finish(name)
        most = max(most, sum(shared.cluster.replicas(each) for each in ("one", "two", "three")))
    assert most == 10


async def test_not_even_for_minreplicas_are_there_more(shared: World) -> None:
    """Found by the simulator of autoscaling (bench/autoscaling): a pool that was paused came back beyond the quota."""
    await shared.add(pool("one", uid="u1"))
    shared.publish(10, "one")
    await shared.after(2)
    shared.cluster.pods[:] = [Worker(f"w{number}").as_pod() for number in range(10)]  # nobody knows what they hold
    await shared.add(pool("two", uid="u2", minReplicas=2))
    await shared.after(2)
    assert (shared.cluster.replicas("one"), shared.cluster.replicas("two")) == (10, 0)
    assert reason(shared, "two") == ("True", "NamespaceQuota")
    shared.cluster.pods.clear()
    await shared.after(4)
    assert (shared.cluster.replicas("one"), shared.cluster.replicas("two")) == (8, 2)


async def who_has_workers(world: World, names: list[str], seconds: int) -> list[set[str]]:
    """Each ten seconds, with workers that are ready at once."""
    found = []
    for _ in range(seconds // 10):
        await world.after(10)
        replicas = {name: world.cluster.replicas(name) for name in names}
        for name, number in replicas.items():
            world.cluster.workers(number, number, name)
        found.append({name for name, number in replicas.items() if number})
    return found


async def test_more_pools_than_workers_take_turns(shared: World) -> None:
    names = [f"p{number:02}" for number in range(12)]
    for name in names:
        await shared.add(pool(name, uid=name))
        shared.publish(3, name)
    found = await who_has_workers(shared, names, 300)
    assert max(map(len, found)) <= 10
    assert set().union(*found) == set(names), "somebody never had a worker"
    without = next(name for name in names if not shared.cluster.replicas(name))
    assert reason(shared, without) == ("True", "NamespaceQuota")
    message = shared.condition("ScalingLimited", without)["message"]
    assert message == "the steps call for 3 workers, all that the namespace may have, 10, are other pools' now"


async def test_what_a_written_number_leaves_is_had_by_turns(world: World) -> None:
    await given(world, 3)
    await world.add(pool("fixed", uid="u1", replicas=2, autoscaling={"enabled": False}))
    for name in ("one", "two"):
        await world.add(pool(name, uid=name))
        world.publish(3, name)
    found = await who_has_workers(world, ["one", "two"], 600)
    assert {"one"} in found
    assert {"two"} in found
    assert {"one", "two"} not in found


async def test_idle_minimums_change_no_places_and_none_is_kept_from_work(world: World) -> None:
    await given(world, 1)
    for name in ("one", "two"):
        await world.add(pool(name, uid=name, minReplicas=1))
    before = world.cluster.calls["scale"]
    found = await who_has_workers(world, ["one", "two"], 600)
    assert found == [{"one"}] * 60
    assert world.cluster.calls["scale"] == before
    message = world.condition("ScalingLimited", "two")["message"]
    assert message == "minReplicas calls for 1 workers, all that the namespace may have, 1, are other pools' now"
    world.publish(1, "two")
    assert {"two"} in await who_has_workers(world, ["one", "two"], 60)


async def test_a_pool_that_may_not_grow_holds_no_place(world: World) -> None:
    await given(world, 1)
    await world.add(pool("held", uid="u1", autoscaling={"scaleUp": {"selectPolicy": "Disabled"}}))
    world.publish(3, "held")
    await world.add(pool("one", uid="u2"))
    world.publish(3, "one")
    assert {"one"} in await who_has_workers(world, ["held", "one"], 30)


async def test_idle_workers_stay_through_their_window_while_nobody_needs_their_place(shared: World) -> None:
    await shared.add(pool("one", uid="u1"))
    await shared.add(pool("two", uid="u2"))
    shared.publish(6, "one")
    await shared.after(2)
    shared.finish("one")
    shared.publish(4, "two")
    await shared.after(10)
    assert (shared.cluster.replicas("one"), shared.cluster.replicas("two")) == (6, 4)
    shared.publish(3, "two")
    await shared.after(4)
    assert shared.cluster.replicas("two") == 7
    assert shared.cluster.replicas("one") <= 3


async def test_a_number_that_somebody_wrote_is_taken_from_the_quota(shared: World) -> None:
    await shared.add(pool("fixed", uid="u1", replicas=7, autoscaling={"enabled": False}))
    shared.broker.depths["one"] = Depth(9, 0, 0)
    await shared.add(pool("one", uid="u2"))
    await shared.after(4)
    assert (shared.cluster.replicas("fixed"), shared.cluster.replicas("one")) == (7, 3)
    other = pool("one", uid="u3")
    other["metadata"]["namespace"] = "elsewhere"
    shared.outstanding["elsewhere", "one"] = 9
    await shared.add(other)
    assert shared.cluster.objects["Deployment", "elsewhere", "mcp-worker-one"]["spec"]["replicas"] == 9
