"""Workers that a step kills are replaced by new ones, and others are left to the kubelet."""

from __future__ import annotations

from typing import Any

from mastercontrol.engine.ports import Depth
from mastercontrol.pools.crashes import to_replace
from mastercontrol_worker.presence import Doing, PresenceMessage
from unit.pools.world import World, pool
from unit.pools.yard import QUEUE

CRASHED = {"waiting": {"reason": "CrashLoopBackOff"}}


def pod(name: str, state: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    statuses = [{"name": "worker", "state": CRASHED if state is None else state}]
    return {"metadata": {"name": name, **meta}, "status": {"containerStatuses": statuses}}


def test_a_pod_is_replaced_if_it_waits_and_its_worker_was_at_work() -> None:
    pods = [
        pod("crashed"),
        pod("never-began"),
        pod("runs", {"running": {}}),
        pod("no-image", {"waiting": {"reason": "ImagePullBackOff"}}),
        pod("leaves", deletionTimestamp="now"),
        {"metadata": {"name": "new"}},
        {**pod("sidecar"), "status": {"containerStatuses": [{"name": "proxy", "state": CRASHED}]}},
    ]
    assert to_replace(pods, {"crashed", "runs", "no-image", "leaves", "new", "sidecar"}) == ["crashed"]


async def crash(world: World, *, heard: bool = True, backlog: int = 1) -> None:
    """A pool of which one of two workers has crashed and waits."""
    await world.add(pool(minReplicas=2))
    await world.settle()
    if heard:
        world.controller.on_presence(PresenceMessage(QUEUE, "a", Doing.CONSUMING, 1, 1), None)
    world.cluster.pods = [pod("a"), pod("b", {"running": {}})]
    world.cluster.workers(2, 1)
    world.broker.depths["resize"] = Depth(0, backlog, 1)
    await world.after(30)


async def test_a_worker_that_a_step_killed_is_replaced(world: World) -> None:
    await crash(world)
    assert world.journal.count("delete pod a") == 1
    assert "delete pod b" not in world.journal


async def test_a_worker_that_never_spoke_is_left_to_the_kubelet(world: World) -> None:
    await crash(world, heard=False)
    assert world.cluster.calls["delete"] == 0


async def test_without_a_step_there_is_no_hurry(world: World) -> None:
    await crash(world, backlog=0)
    assert world.cluster.calls["delete"] == 0
