"""What `kubectl get mcpworkerpools` shows, and how often it is written."""

from __future__ import annotations

from prometheus_client import REGISTRY

from mastercontrol.engine.ports import Depth, StoreUnavailable
from mastercontrol.pools.deadletters.state import Known
from unit.pools.world import World, pool


async def test_the_status_of_a_pool_at_rest(world: World) -> None:
    await world.add(pool(generation=3))
    await world.after(3)
    status = world.status()
    conditions = status.pop("conditions")
    assert status == {
        "observedGeneration": 3,
        "replicas": 0,
        "readyReplicas": 0,
        "wantedReplicas": 0,
        "backlog": 0,
        "busy": 0,
        "selector": "mastercontrol.dev/pool=resize",
    }
    assert [(item["type"], item["status"]) for item in conditions] == [
        ("Ready", "True"),
        ("ScalingActive", "True"),
        ("ScalingLimited", "False"),
        ("PodsScheduled", "True"),
    ]
    assert all(item["lastTransitionTime"] == "2030-01-01T00:00:00.000Z" for item in conditions)


async def test_a_pool_is_not_ready_until_a_worker_is(world: World) -> None:
    await world.add(pool())
    world.publish(2)
    await world.settle()
    assert world.condition("Ready")["status"] == "False"
    assert world.condition("Ready")["message"] == "0 of 2 workers are ready"
    world.cluster.workers(2, 1)
    await world.settle()
    assert world.condition("Ready")["status"] == "True"
    assert world.status()["wantedReplicas"] == 2
    assert world.status()["lastScaleTime"] == "2030-01-01T00:00:00.000Z"


async def test_counts_are_written_at_most_every_two_seconds_and_the_last_ones_always(world: World) -> None:
    await world.add(pool(minReplicas=1, maxReplicas=1))
    world.cluster.workers(1, 1)
    await world.after(5)
    writes = world.cluster.calls["status"]
    for number in range(80):
        world.broker.depths["resize"] = Depth(number, 1, 1)
        await world.after(0.25)
    assert 8 <= world.cluster.calls["status"] - writes <= 11  # in 20 seconds
    await world.after(2)
    assert world.status()["backlog"] == 80
    writes = world.cluster.calls["status"]
    await world.after(30)
    assert world.cluster.calls["status"] == writes


async def test_the_last_counts_of_a_pool_that_goes_to_sleep_are_written(world: World) -> None:
    await world.add(pool(autoscaling={"scaleDownStabilizationSeconds": 0}))
    world.publish()
    world.cluster.workers(1, 1)
    await world.after(5)
    world.finish()
    await world.after(1)
    assert world.cluster.replicas() == 0
    world.cluster.workers(0, 0)
    await world.after(3)
    assert world.status()["replicas"] == 0
    assert world.status()["wantedReplicas"] == 0


async def test_a_change_of_meaning_is_written_at_once(world: World) -> None:
    await world.add(pool())
    await world.after(5)
    world.publish()
    await world.settle()
    assert world.condition("Ready")["status"] == "False"
    world.cluster.workers(1, 1)
    await world.settle()
    assert world.condition("Ready")["status"] == "True"


async def test_a_condition_keeps_the_time_of_its_last_change(world: World) -> None:
    await world.add(pool())
    await world.after(30)
    world.publish()
    await world.settle()
    assert world.condition("Ready")["lastTransitionTime"] == "2030-01-01T00:00:30.000Z"
    assert world.condition("ScalingActive")["lastTransitionTime"] == "2030-01-01T00:00:00.000Z"


async def test_workers_that_stay_not_ready_say_why(world: World) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    world.cluster.pods = [
        {"metadata": {"name": "a"}, "status": {"containerStatuses": [{"state": {"waiting": waiting}}]}}
    ]
    await world.add(pool())
    world.publish()
    await world.after(4)
    asked = world.cluster.calls["pods"]
    assert asked <= 1  # once for marks of a former operator; a start takes its time
    await world.after(6)
    assert world.condition("Ready")["message"] == "0 of 1 workers are ready; ImagePullBackOff: Back-off pulling image"
    await world.after(40)
    assert world.cluster.calls["pods"] <= asked + 6
    world.cluster.workers(1, 1)
    await world.after(3)
    assert world.condition("Ready")["message"] == "1 of 1 workers are ready"


async def test_a_roll_out_that_does_not_come_on_says_why_though_enough_workers_are_ready(world: World) -> None:
    await world.add(pool())
    world.publish()
    await world.settle()
    world.cluster.pods = [
        {"metadata": {"name": "new"}, "status": {"containerStatuses": [{"state": {"waiting": {"reason": "Crash"}}}]}}
    ]
    world.cluster.workers(2, 1)  # one is wanted: the other one is to replace it
    await world.after(10)
    condition = world.condition("Ready")
    assert condition["status"] == "True"
    assert condition["message"] == "1 of 1 workers are ready; their replacements are not: Crash"


async def test_pods_that_cannot_be_made_say_why(world: World) -> None:
    await world.add(pool())
    world.publish()
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods"}
    world.cluster.edit(lambda raw: raw.update(status={"conditions": [failure]}))
    await world.after(10)
    assert world.condition("Ready")["message"] == "0 of 1 workers are ready; exceeded quota: pods"


async def test_a_status_that_could_not_be_written_is_written_later(world: World) -> None:
    world.cluster.status_fails = StoreUnavailable("timed out")
    await world.add(pool())
    await world.after(60)
    assert world.status() == {}
    assert world.cluster.calls["status"] < 12  # it backs off
    world.cluster.status_fails = None
    await world.after(31)
    assert world.status()["observedGeneration"] == 1


async def test_the_operators_own_status_writes_cause_none(world: World) -> None:
    await world.add(pool())
    writes = world.cluster.writes
    for _ in range(5):
        seen = pool()
        seen["status"] = world.status()
        await world.add(seen)
        await world.after(3)
    assert world.cluster.writes == writes


def sample(name: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"namespace": "shop", "pool": "resize"})


async def test_metrics_show_the_workers_and_a_backlog_that_is_known(world: World) -> None:
    await world.add(pool())
    world.publish(3)
    await world.after(2)
    assert sample("mcp_pool_workers") == 3
    assert sample("mcp_pool_backlog") == 3
    world.broker.depths["resize"] = None
    await world.after(2)
    assert sample("mcp_pool_backlog") is None
    assert sample("mcp_pool_workers") == 3


async def test_metrics_show_no_pool_that_this_process_does_not_work_for(world: World) -> None:
    await world.add(pool())
    await world.stop()
    assert sample("mcp_pool_workers") is None
    world.start()
    await world.settle()
    assert sample("mcp_pool_workers") == 0
    world.controller.on_pool(pool(), deleted=True)
    await world.settle()
    assert sample("mcp_pool_workers") is None


async def test_dead_letters_are_shown_where_they_are_known_and_a_change_of_them_is_written(world: World) -> None:
    await world.add(pool())
    await world.after(3)
    assert not {"deadLetters", "newestDeadLetters"} & set(world.status())
    known: list[Known | None] = [Known(2, ({"id": "u:1:1", "reason": "DeadLettered", "message": "refused"},))]
    world.controller._reporter._dead_letters = lambda *_: known[0]
    world.controller.report("shop", "resize")
    world.controller.report("shop", "nobody")
    await world.settle()
    assert world.status()["deadLetters"] == 2
    assert world.status()["newestDeadLetters"] == [{"id": "u:1:1", "reason": "DeadLettered", "message": "refused"}]
    known[0] = Known(0, ())
    world.controller.report("shop", "resize")
    await world.after(3)
    assert world.status()["deadLetters"] == 0
    assert "newestDeadLetters" not in world.status()
    known[0] = None
    world.controller.report("shop", "resize")
    await world.after(3)
    assert "deadLetters" not in world.status()


async def test_the_steps_that_workers_hold_are_shown_as_busy_and_unknown_is_not_zero(world: World) -> None:
    await world.add(pool(minReplicas=1))
    world.broker.depths["resize"] = Depth(3, 2, 1)
    await world.after(3)
    assert (world.status()["backlog"], world.status()["busy"]) == (5, 2)
    world.broker.depths["resize"] = None
    await world.after(3)
    assert not {"backlog", "busy"} & set(world.status())
