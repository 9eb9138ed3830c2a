"""The operator's process and child Jobs: output, failure and cancel, on a real API server and a real broker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration.operator.conftest import World


def parent(world: World, name: str, data: dict[str, Any] | None = None, **state: Any) -> str:
    """A Job of a Workflow whose only states are two children, one after the other, each a `chain`."""
    states = [{"name": n, "type": "SubJob", "workflow": "chain", **state} for n in ("first", "second")]
    for kind, spec in (("Workflow", {"states": states}), ("Job", {"workflow": name, "input": data or {}})):
        world.apply(
            {"apiVersion": "mastercontrol.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        )
    return name


def children(world: World, name: str) -> list[dict[str, Any]]:
    found = world.kubectl("get", "mcpjobs", "-l", f"mastercontrol.dev/parent={name}", "-o", "json")
    return list(json.loads(found)["items"])


def _progress(world: World) -> int:
    """Transitions of all Jobs."""
    return sum(status.get("sequence", 0) for status in world.statuses().values())


@pytest.fixture
def workers(world: World) -> World:
    for pool in ("one", "two", "three"):
        world.worker(pool)
    return world


def test_the_output_of_a_child_comes_up_and_goes_on(workers: World) -> None:
    operator = workers.operator()
    name = parent(workers, "outer")
    workers.wait("an end", 60, lambda: workers.statuses()[name].get("completionTime"))
    status = workers.statuses()[name]
    assert status["state"] == "Done"
    assert status["output"]["path"] == ["one", "two", "three"] * 2
    labels = [c["metadata"]["labels"]["mastercontrol.dev/state"] for c in children(workers, name)]
    assert sorted(labels) == ["first", "second"]
    assert operator.metric('mcp_jobs_ended_total{phase="Succeeded"}') == 3


def test_cancel_goes_down_and_a_new_operator_does_not_bring_it_back(workers: World) -> None:
    operator = workers.operator()
    name = parent(workers, "outer", {"sleepSeconds": 2})
    workers.wait(
        "a child at work", 60, lambda: [c for c in children(workers, name) if c.get("status", {}).get("active")]
    )
    operator.kill()
    workers.kubectl("patch", "mcpjob", name, "--type=merge", "-p", '{"spec":{"cancel":true}}')
    workers.operator()
    workers.wait(
        "a cancelled child", 60, lambda: [c for c in children(workers, name) if c["status"]["phase"] == "Cancelled"]
    )
    (child,) = children(workers, name)
    assert child["status"]["message"] == f"the Job {name} that it belongs to has ended: Cancelled"
    assert workers.statuses()[name]["state"] == "Cancelled"


def test_an_operator_killed_again_and_again_makes_each_child_once(workers: World) -> None:
    operator = workers.operator()
    names = [parent(workers, f"outer-{i}", {"sleepSeconds": 0.3}) for i in range(5)]
    for _ in range(2):
        reached = _progress(workers) + 3
        workers.wait("some progress", 60, lambda: _progress(workers) > reached)  # noqa: B023  # called at once
        operator.kill()
        operator = workers.operator()
    workers.wait("all ends", 120, lambda: all(workers.statuses()[n].get("completionTime") for n in names))
    for name in names:
        assert workers.statuses()[name]["output"]["path"] == ["one", "two", "three"] * 2
        assert [h["seq"] for h in workers.statuses()[name]["history"]] == [1, 2, 3]
        assert len(children(workers, name)) == 2


def test_a_child_that_somebody_deletes_fails_its_state(workers: World) -> None:
    workers.operator()
    name = parent(workers, "outer", {"sleepSeconds": 3})
    (child,) = workers.wait("a child", 60, lambda: children(workers, name))
    workers.wait("its mark", 30, lambda: workers.statuses()[name]["active"][0].get("dispatchedAt"))
    workers.kubectl("delete", "mcpjob", child["metadata"]["name"])
    workers.wait("an end", 60, lambda: workers.statuses()[name].get("completionTime"))
    assert workers.statuses()[name]["error"]["code"] == "SubJobDeleted"
    assert workers.statuses()[name]["error"]["state"] == "first"
