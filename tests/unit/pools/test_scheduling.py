"""Pods that the scheduler has no node for."""

from __future__ import annotations

import copy
from typing import Any

from mastercontrol.engine.ports import RawObject, StoreUnavailable
from mastercontrol.pools.scheduling import Scheduling, look
from unit.pools.world import World, pool

ROOM = "0/3 nodes are available: 3 Insufficient cpu."


def pod(name: str = "a", message: str | None = ROOM, **meta: Any) -> RawObject:
    """One without a node, or with one where there is no message."""
    scheduled: dict[str, Any] = {"type": "PodScheduled", "status": "True"}
    if message is not None:
        scheduled |= {"status": "False", "reason": "Unschedulable", "message": message}
    return {"metadata": {"name": name, **meta}, "status": {"conditions": [{"type": "Ready"}, scheduled]}}


def test_pods_that_have_nodes_say_nothing() -> None:
    assert look([]) == Scheduling()
    assert look([pod(message=None), {"metadata": {}}, {"status": {}}]) == Scheduling()


def test_the_first_by_name_speaks_for_all() -> None:
    pods = [pod("c", message=None), pod("b", "other"), pod("a")]
    assert look(pods) == look(pods[::-1]) == Scheduling(f"2 of 3 pods have no node; a: {ROOM}")


def test_one_that_is_being_deleted_does_not_count() -> None:
    leaving = pod(deletionTimestamp="2030-01-01T00:00:00Z")
    assert look([leaving]) == Scheduling()
    assert look([leaving, pod("b")]) == Scheduling(f"1 of 1 pods have no node; b: {ROOM}")


def test_a_pod_that_waits_without_a_message_says_the_reason() -> None:
    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
    found = look([{"metadata": {"name": "a"}, "status": {"conditions": [gated]}}])
    assert found == Scheduling("1 of 1 pods have no node; a: SchedulingGated")


def test_a_long_message_is_cut() -> None:
    found = look([pod(message="x" * 5000)])
    assert found.message is not None
    assert len(found.message) == 300


async def waits(world: World) -> None:
    """One of two workers has no node."""
    await world.add(pool_of_two())
    world.cluster.pods = [pod("mcp-worker-resize-1"), pod("mcp-worker-resize-2", message=None)]
    world.cluster.workers(2, 1)
    await world.after(6)


def pool_of_two() -> RawObject:
    return pool(minReplicas=2, maxReplicas=2)


def scheduled(world: World) -> tuple[str, str, str]:
    found = world.condition("PodsScheduled")
    return found["status"], found["reason"], found["message"]


async def test_a_pool_at_rest_lacks_no_node(world: World) -> None:
    await world.add(pool())
    await world.after(3)
    assert scheduled(world) == ("True", "Scheduled", "no pod lacks a node")


async def test_a_pod_without_a_node_is_a_condition_beside_the_text_in_ready(world: World) -> None:
    await waits(world)
    text = f"1 of 2 pods have no node; mcp-worker-resize-1: {ROOM}"
    assert scheduled(world) == ("False", "Unschedulable", text)
    assert world.condition("Ready")["message"] == f"1 of 2 workers are ready; Unschedulable: {ROOM}"
    assert world.condition("PodsScheduled")["lastTransitionTime"] == "2030-01-01T00:00:05.000Z"


async def test_it_is_written_once_as_long_as_nothing_changes(world: World) -> None:
    await waits(world)
    writes = world.cluster.calls["status"]
    await world.after(120)
    assert world.cluster.calls["status"] == writes
    assert world.cluster.calls["pods"] <= 14


async def test_it_is_taken_back_when_the_pod_has_a_node_though_it_is_not_ready_yet(world: World) -> None:
    await waits(world)
    world.cluster.pods = [pod("mcp-worker-resize-1", message=None), pod("mcp-worker-resize-2", message=None)]
    await world.after(11)
    assert world.condition("Ready")["message"] == "1 of 2 workers are ready"
    assert scheduled(world)[0] == "True"


async def test_it_is_taken_back_when_all_are_ready(world: World) -> None:
    await waits(world)
    world.cluster.workers(2, 2)
    await world.settle()
    assert scheduled(world)[0] == "True"


async def test_it_is_taken_back_when_the_pod_is_no_longer_wanted(world: World) -> None:
    await waits(world)
    await world.add(pool(generation=2, minReplicas=1, maxReplicas=1))
    await world.after(2)
    assert world.cluster.replicas() == 1
    world.cluster.workers(1, 1)
    await world.settle()
    assert scheduled(world)[0] == "True"


async def test_a_rollout_whose_new_pod_has_no_node_says_so_though_the_old_ones_are_ready(world: World) -> None:
    await world.add(pool_of_two())
    world.cluster.pods = [pod("a-new"), pod("b-old", message=None), pod("c-old", message=None)]
    world.cluster.workers(3, 2)
    await world.after(6)
    assert scheduled(world) == ("False", "Unschedulable", f"1 of 3 pods have no node; a-new: {ROOM}")
    assert world.condition("Ready")["message"] == (
        f"2 of 2 workers are ready; their replacements are not: Unschedulable: {ROOM}"
    )


async def test_pods_that_cannot_be_made_do_not_hide_one_without_a_node(world: World) -> None:
    await waits(world)
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods"}
    world.cluster.edit(lambda raw: raw["status"].update(conditions=[failure]))
    await world.after(11)
    assert world.condition("Ready")["message"] == "1 of 2 workers are ready; exceeded quota: pods"
    assert scheduled(world)[0] == "False"


async def test_what_cannot_be_asked_stays_as_it_was(world: World) -> None:
    await waits(world)
    before = world.condition("PodsScheduled")
    world.cluster.pods_fail = StoreUnavailable("no answer")
    await world.after(60)
    assert world.condition("PodsScheduled") == before


async def test_another_operator_keeps_the_condition_until_it_has_looked_itself(world: World) -> None:
    await waits(world)
    before = world.condition("PodsScheduled")
    await world.stop()
    world.controller = world.new_controller()
    world.connect()
    world.start()
    seen = pool_of_two()
    seen["status"] = copy.deepcopy(world.status())
    await world.add(seen)
    await world.after(3)
    assert world.condition("PodsScheduled") == before
    world.cluster.pods = [pod("mcp-worker-resize-1", message=None)]
    await world.after(6)
    assert scheduled(world)[0] == "True"
