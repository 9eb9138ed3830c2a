"""A job with a priority and a full queue, on a real API server and a real RabbitMQ."""

from __future__ import annotations

from integration.operator.conftest import World, _object


def submit(world: World, names: list[str], **spec: object) -> None:
    data = {"sleepSeconds": 0.25}
    world.apply(*(_object("Job", n, {"workflow": "single", "input": data, **spec}) for n in names))


def done(world: World) -> list[str]:
    return [name for name, status in world.statuses().items() if status.get("state") == "Done"]


def test_a_job_with_a_priority_is_done_while_thirty_others_wait_for_the_only_worker(world: World) -> None:
    world.operator()
    world.apply(_object("Workflow", "single", {"states": [{"name": "one", "pool": "one"}]}))
    normal = [f"normal-{i:02}" for i in range(33)]
    submit(world, normal)
    world.wait("all steps to be sent", 30, lambda: sum(s.get("sequence") == 1 for s in world.statuses().values()) == 33)
    world.worker("one", MCP_CONCURRENCY="1")
    world.wait("the worker to be at work", 30, lambda: done(world))
    submit(world, ["high"], priority=1)
    world.wait("the one with a priority to be done", 30, lambda: "high" in done(world))
    assert len(done(world)) < 30, "there were enough that waited"
    world.wait("all others to be done", 60, lambda: len(done(world)) == 34)
    statuses = world.statuses()
    high = statuses["high"]
    meanwhile = [n for n in normal if high["startTime"] < statuses[n]["completionTime"] < high["completionTime"]]
    # The one that the worker had, the one whose turn it was, and those that were done while it was on its way.
    assert len(meanwhile) <= 4, meanwhile
