"""A limit on jobs at once, on a real API server and a real RabbitMQ: also over the death of an operator."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from integration.operator.conftest import World, _object

KEY = "${job.input.customer}"


def workflow(world: World, **concurrency: Any) -> None:
    states = [{"name": n, "pool": n, "retry": {"backoffSeconds": 0.2}} for n in ("one", "two", "three")]
    world.apply(_object("Workflow", "limited", {"states": states, "concurrency": concurrency}))


def submit(world: World, names: list[str], customer: str = "acme", seconds: float = 0.3, **spec: Any) -> None:
    data = {"customer": customer, "sleepSeconds": seconds}
    world.apply(*(_object("Job", n, {"workflow": "limited", "input": data, **spec}) for n in names))


def running(statuses: dict[str, dict[str, Any]], prefix: str) -> list[str]:
    """Of one list of all jobs, as of one moment: those that hold a place."""
    found = {n: s for n, s in statuses.items() if n.startswith(prefix)}
    return sorted(n for n, s in found.items() if s.get("sequence", 0) > 0 and "completionTime" not in s)


def lives(statuses: dict[str, dict[str, Any]], prefix: str) -> list[tuple[str, str]]:
    """When each job began and ended, in the order in which they began."""
    found = [s for n, s in statuses.items() if n.startswith(prefix)]
    return sorted((s["startTime"], s["completionTime"]) for s in found)


def overlap(spans: list[tuple[str, str]]) -> bool:
    return any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans))


@pytest.fixture(autouse=True)
def workers(world: World) -> None:
    for pool in ("one", "two", "three"):
        world.worker(pool)


def test_one_job_of_a_customer_runs_at_a_time_also_when_the_operator_is_killed_in_between(world: World) -> None:
    operator = world.operator()
    workflow(world, limit=1, key=KEY)
    acme, blue = [f"acme-{i}" for i in range(6)], [f"blue-{i}" for i in range(6)]
    submit(world, acme, "acme")
    submit(world, blue, "blue")
    seen: list[dict[str, dict[str, Any]]] = []
    kills = 0

    def look() -> bool:
        nonlocal operator, kills
        seen.append(world.statuses())
        assert len(running(seen[-1], "acme-")) <= 1
        assert len(running(seen[-1], "blue-")) <= 1
        done = sum(s.get("state") == "Done" for s in seen[-1].values())
        if done >= 2 + 4 * kills and kills < 2:
            kills += 1
            operator.kill()
            operator = world.operator()
        return bool(done == 12)

    world.wait("all jobs Done", 150, look)
    assert kills == 2
    assert any(running(s, "acme-") and running(s, "blue-") for s in seen), "two customers at once"
    messages = {s.get("message") for statuses in seen for s in statuses.values()}
    assert 'waits for a place: key "acme" is held by acme-0 (limit 1)' in messages
    for prefix in ("acme-", "blue-"):
        assert not overlap(lives(world.statuses(), prefix)), "one began before the one before it had ended"
    for name in acme + blue:
        status = world.statuses()[name]
        assert [h["seq"] for h in status["history"]] == [1, 2, 3, 4], (name, status)


def test_the_highest_priority_begins_first(world: World) -> None:
    world.operator()
    workflow(world, limit=1)
    submit(world, ["running"], seconds=1.5)
    world.wait("a job that runs", 30, lambda: running(world.statuses(), "running"))
    submit(world, ["low-a", "low-b"])
    submit(world, ["high"], priority=5)
    world.wait("all to wait", 30, lambda: sum("message" in s for s in world.statuses().values()) == 4)
    world.kubectl("patch", "mcpjob", "low-b", "--type", "merge", "-p", '{"spec":{"priority":9}}')
    names = ["running", "low-b", "high", "low-a"]
    world.wait("all jobs Done", 60, lambda: all(world.statuses()[n].get("state") == "Done" for n in names))
    statuses = world.statuses()
    assert sorted(names, key=lambda n: statuses[n]["startTime"]) == names


def test_kubectl_describe_says_what_a_job_waits_for(world: World) -> None:
    world.operator()
    workflow(world, limit=1, key=KEY)
    submit(world, ["first"], seconds=20)
    world.wait("a job that runs", 30, lambda: running(world.statuses(), "first"))
    submit(world, ["second"])
    world.wait("the other to wait", 30, lambda: "message" in world.statuses()["second"])
    said = world.kubectl("describe", "mcpjob", "second")
    assert 'waits for a place: key "acme" is held by first (limit 1)' in said
    assert "ConcurrencyLimit" in said
    world.kubectl("delete", "mcpjob", "first")
    world.wait("the other to run", 30, lambda: running(world.statuses(), "second"))


def test_one_too_many_is_rejected(world: World) -> None:
    world.operator()
    workflow(world, limit=1, policy="Reject")
    submit(world, ["first"], seconds=20)
    world.wait("a job that runs", 30, lambda: running(world.statuses(), "first"))
    submit(world, ["second"])
    world.wait("the other to fail", 30, lambda: world.statuses()["second"].get("phase") == "Failed")
    assert world.statuses()["second"]["error"]["code"] == "ConcurrencyLimit"
    assert running(world.statuses(), "first") == ["first"]


def test_the_newest_takes_the_place_also_when_the_operator_is_killed_in_between(world: World) -> None:
    operator = world.operator()
    workflow(world, limit=1, policy="Replace", key=KEY)
    submit(world, ["job-1"], seconds=30)
    world.wait("a job that runs", 30, lambda: running(world.statuses(), "job-1"))
    operator.kill()
    submit(world, ["job-2"])
    submit(world, ["job-3"], seconds=0)
    world.operator()
    world.wait("the newest Done", 60, lambda: world.statuses()["job-3"].get("state") == "Done")
    statuses = world.statuses()
    assert {n: statuses[n]["error"]["code"] for n in ("job-1", "job-2")} == {"job-1": "Replaced", "job-2": "Replaced"}
