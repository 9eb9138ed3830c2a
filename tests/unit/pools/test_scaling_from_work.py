"""The number of workers follows the work: the controller with its clock and its fakes."""

from __future__ import annotations

import asyncio

from mastercontrol.engine.ports import Depth, StoreUnavailable
from unit.pools.world import World, pool


async def test_a_published_step_starts_a_worker_before_the_clock_moves(world: World) -> None:
    await world.add(pool())
    depths = world.broker.calls["depth"]
    world.outstanding["shop", "resize"] = 1
    world.controller.poke("shop", "resize")
    for _ in range(3):
        await asyncio.sleep(0)
    assert world.cluster.replicas() == 1
    assert world.broker.calls["depth"] == depths  # nobody was asked first


async def test_many_pokes_make_one_write(world: World) -> None:
    await world.add(pool())
    for _ in range(50):
        world.publish()
    await world.settle()
    assert world.journal[-1] == "scale 10"
    assert world.cluster.calls["scale"] == 1


async def test_a_storm_of_pokes_reads_the_queue_once_a_second(world: World) -> None:
    await world.add(pool(maxReplicas=2))
    world.publish(5)
    await world.after(2)
    depths = world.broker.calls["depth"]
    for _ in range(400):
        world.controller.poke("shop", "resize")
        await world.after(0.025)
    assert 8 <= world.broker.calls["depth"] - depths <= 12


async def test_a_poke_of_a_pool_that_has_its_workers_costs_no_turn(world: World) -> None:
    await world.add(pool(maxReplicas=2))
    world.publish(5)
    await world.settle()
    questions = world.questions
    for _ in range(100):
        world.controller.poke("shop", "resize")
        await world.settle()
    assert world.questions == questions


async def test_a_poke_of_an_unknown_pool_is_nothing(world: World) -> None:
    world.controller.poke("shop", "nobody")
    await world.settle()
    assert world.journal == []


async def test_messages_that_the_operator_does_not_know_of_start_workers_too(world: World) -> None:
    world.broker.depths["resize"] = Depth(7, 0, 0)
    await world.add(pool())
    await world.after(1)
    assert world.cluster.replicas() == 7


async def test_a_reconnection_shows_what_came_into_the_queue_meanwhile(world: World) -> None:
    await world.add(pool())
    await world.after(5)
    world.broker.depths["resize"] = Depth(4, 0, 0)
    world.connect("e1")
    await world.settle()
    assert world.cluster.replicas() == 4


async def test_a_worker_takes_as_many_messages_as_its_target_says(world: World) -> None:
    await world.add(pool(autoscaling={"targetBacklog": 4}))
    world.publish(9)
    await world.settle()
    assert world.cluster.replicas() == 3


async def test_workers_go_back_to_zero_after_the_window_and_not_before(world: World) -> None:
    await world.add(pool(autoscaling={"scaleDownStabilizationSeconds": 30}))
    world.publish(3)
    await world.after(5)
    world.finish()
    await world.after(28)
    assert world.cluster.replicas() == 3
    await world.after(5)
    assert world.cluster.replicas() == 0


async def test_work_within_the_window_keeps_the_workers(world: World) -> None:
    await world.add(pool(autoscaling={"scaleDownStabilizationSeconds": 30}))
    for _ in range(10):
        world.publish(3)
        await world.after(2)
        world.finish()
        await world.after(20)
    assert world.cluster.replicas() == 3
    assert world.cluster.calls["scale"] == 1


async def test_an_unknown_depth_stops_no_worker_and_says_so(world: World) -> None:
    await world.add(pool(autoscaling={"scaleDownStabilizationSeconds": 5}))
    world.publish(3)
    await world.after(2)
    world.outstanding["shop", "resize"] = 0
    world.broker.depths["resize"] = None
    await world.after(200)
    assert world.cluster.replicas() == 3
    active = world.condition("ScalingActive")
    assert (active["status"], active["reason"]) == ("False", "DepthUnknown")
    assert "backlog" not in world.status()


async def test_an_unknown_depth_does_not_keep_workers_from_starting(world: World) -> None:
    await world.add(pool())
    world.broker.depths["resize"] = None
    world.outstanding["shop", "resize"] = 4
    world.controller.poke("shop", "resize")
    await world.after(3)
    assert world.cluster.replicas() == 4


async def test_a_lost_broker_stops_no_worker(world: World) -> None:
    await world.add(pool(autoscaling={"scaleDownStabilizationSeconds": 5}))
    world.publish(3)
    await world.after(2)
    world.outstanding["shop", "resize"] = 0
    world.broker.epoch = None
    await world.after(200)
    assert world.cluster.replicas() == 3
    assert world.condition("ScalingActive")["reason"] == "DepthUnknown"
    world.finish()
    world.connect("e1")
    await world.after(10)
    assert world.cluster.replicas() == 0
    assert world.condition("ScalingActive")["status"] == "True"


async def test_zero_max_replicas_pause_the_pool_at_once(world: World) -> None:
    await world.add(pool())
    world.publish(3)
    await world.settle()
    await world.add(pool(generation=2, maxReplicas=0))
    assert world.cluster.replicas() == 0
    assert world.condition("ScalingActive")["reason"] == "Paused"
    assert "paused" in world.condition("Ready")["message"]


async def test_a_paused_pool_starts_no_worker_for_new_work(world: World) -> None:
    await world.add(pool(maxReplicas=0))
    world.publish(3)
    await world.after(30)
    assert world.cluster.replicas() == 0
    assert world.status()["backlog"] == 3


async def test_a_pool_that_is_paused_no_longer_does_its_work(world: World) -> None:
    await world.add(pool(maxReplicas=0))
    world.publish(3)
    await world.after(5)
    await world.add(pool(generation=2, maxReplicas=2))
    assert world.cluster.replicas() == 2


async def test_min_replicas_hold_at_once(world: World) -> None:
    await world.add(pool())
    await world.add(pool(generation=2, minReplicas=2))
    assert world.cluster.replicas() == 2


async def test_without_autoscaling_the_number_written_holds(world: World) -> None:
    await world.add(pool(replicas=2, autoscaling={"enabled": False}))
    world.publish(50)
    await world.after(5)
    assert world.cluster.replicas() == 2
    await world.add(pool(generation=2, replicas=5, autoscaling={"enabled": False}))
    assert world.cluster.replicas() == 5
    assert world.condition("ScalingActive")["reason"] == "ScalingDisabled"


async def test_without_a_number_and_autoscaling_somebody_else_scales(world: World) -> None:
    await world.add(pool(minReplicas=1, autoscaling={"enabled": False}))
    assert world.cluster.replicas() == 1
    world.cluster.edit(lambda raw: raw["spec"].update(replicas=6))
    await world.after(30)
    assert world.cluster.replicas() == 6
    template = {"image": "registry.example/resize:2"}
    await world.add(pool(generation=2, minReplicas=1, autoscaling={"enabled": False}, template=template))
    assert world.cluster.replicas() == 6


async def test_a_deployment_scaled_below_its_work_by_hand_is_put_right(world: World) -> None:
    await world.add(pool())
    world.publish(3)
    await world.after(3)
    world.cluster.edit(lambda raw: raw["spec"].update(replicas=0))
    await world.settle()
    assert world.cluster.replicas() == 3


async def test_an_event_from_before_a_scaling_does_not_make_it_again(world: World) -> None:
    await world.add(pool())
    old = dict(world.cluster.deployment())
    world.publish(3)
    await world.settle()
    world.controller.on_deployment(old)
    world.publish(0)
    await world.after(5)
    assert world.cluster.calls["scale"] == 1


async def test_a_scaling_that_failed_is_tried_again(world: World) -> None:
    await world.add(pool())
    world.cluster.fails = StoreUnavailable("timed out")
    world.publish(2)
    await world.after(20)
    assert world.cluster.calls["scale"] < 10  # it backs off
    assert world.questions < 200
    world.cluster.fails = None
    await world.after(20)
    assert world.cluster.replicas() == 2
    assert world.condition("Ready")["reason"] != "ApplyFailed"


async def test_a_new_operator_does_not_stop_workers_before_it_has_seen_a_window(world: World) -> None:
    await world.add(pool())
    world.publish(4)
    await world.settle()
    await world.stop()
    world.finish()
    world.controller = world.new_controller()
    world.controller.on_pool(pool())
    world.connect("e1")
    world.start()
    await world.after(55)
    assert world.cluster.replicas() == 4
    await world.after(10)
    assert world.cluster.replicas() == 0
