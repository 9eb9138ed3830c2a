"""Steps that report: the operator's and the workers' own processes, from the first heartbeat to a silence."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from integration.operator.conftest import World, _object

HANDLERS = '''
import time
import mastercontrol_worker as worker

@worker.step("load")
def load(data, context):
    """Reports for a while, then is silent for a while."""
    end, page = time.monotonic() + data.get("beatsFor", 0), 0
    while time.monotonic() < end:
        page += 1
        context.heartbeat({"page": page})
        time.sleep(0.05)
    time.sleep(data.get("silentFor", 0))
    return {"attempt": context.attempt}

@worker.step("aside")
def aside(error):
    return {"caught": error["code"], "message": error["message"]}
'''

Start = Callable[[dict[str, Any]], str]


@pytest.fixture
def start(world: World) -> Start:
    """A job of a step that has to report every 3 seconds, and that is tried once; its name."""
    (world.folder / "chain_handlers.py").write_text(HANDLERS)
    states = [
        {
            "name": "load",
            "pool": "one",
            "heartbeatSeconds": 3,
            "retry": {"limit": 0},
            "catch": [{"errors": ["States.HeartbeatTimeout"], "next": "aside"}],
            "end": True,
        },
        {"name": "aside", "pool": "two", "retry": {"limit": 0}},
    ]
    world.apply(_object("Workflow", "long", {"states": states}))

    def make(data: dict[str, Any]) -> str:
        world.apply(_object("Job", "job", {"workflow": "long", "input": data}))
        return "job"

    return make


def status(world: World) -> dict[str, Any]:
    return world.statuses()["job"]


def at_work(world: World) -> dict[str, Any]:
    active = status(world).get("active")
    return active[0] if active else {}


def done(world: World, seconds: float) -> Any:
    world.wait("a job that is Done", seconds, lambda: status(world).get("state") == "Done")
    return status(world)["output"]


def test_a_step_that_reports_lives_longer_than_it_may_be_silent_and_is_seen_to(world: World, start: Start) -> None:
    operator = world.operator()
    world.worker("one")
    start({"beatsFor": 8})
    world.wait("a step that was heard of", 30, lambda: at_work(world).get("heartbeatAt"))
    assert at_work(world)["worker"].startswith("worker-")
    assert done(world, 30) == {"attempt": 1}
    assert [line["seq"] for line in status(world)["history"]] == [1, 2]
    assert operator.metric('mcp_heartbeats_total{reason="taken"}') >= 5
    # One write more than k + 1: the first heartbeat.
    assert operator.metric('mcp_commits_total{outcome="done"}') == 3
    assert operator.metric('mcp_results_total{reason="malformed"}') == 0


def test_what_a_step_reports_is_shown_where_people_look(world: World, start: Start) -> None:
    world.environ["MCP_HEARTBEAT_STATUS_SECONDS"] = "0.5"
    world.operator()
    world.worker("one")
    start({"beatsFor": 10})
    world.wait("progress", 30, lambda: at_work(world).get("progress", {}).get("page", 0) > 20)
    assert 'load is with pool one: {"page": ' in world.kubectl("get", "mcpjob", "job")
    described = world.kubectl("describe", "mcpjob", "job")
    assert "Heartbeat At:" in described
    assert "Page:" in described
    assert done(world, 30) == {"attempt": 1}


def test_a_handler_that_falls_silent_is_given_up_and_the_error_is_caught(world: World, start: Start) -> None:
    world.operator()
    world.worker("one")
    world.worker("two")
    start({"beatsFor": 2, "silentFor": 60})
    assert done(world, 30) == {"caught": "States.HeartbeatTimeout", "message": "no heartbeat for 3 s"}


def test_a_worker_that_hangs_as_a_whole_is_found_by_the_operator_and_the_error_is_caught(
    world: World, start: Start
) -> None:
    operator = world.operator()
    worker = world.worker("one")
    world.worker("two")
    start({"beatsFor": 60})
    world.wait("a step that was heard of", 30, lambda: at_work(world).get("heartbeatAt"))
    worker.send_signal(signal.SIGSTOP)
    try:
        # The connection counts from when it was made, and 15 s more for workers to come back.
        assert done(world, 40) == {"caught": "States.HeartbeatTimeout", "message": "no heartbeat for 3 s"}
    finally:
        worker.send_signal(signal.SIGCONT)
    assert operator.metric('mcp_results_total{reason="applied"}') == 1, "nobody answered for the silent step"


def test_an_operator_that_is_away_for_longer_than_a_step_may_be_silent_fails_none(world: World, start: Start) -> None:
    first = world.operator()
    world.worker("one")
    start({"beatsFor": 25})
    world.wait("a step that was heard of", 30, lambda: at_work(world).get("heartbeatAt"))
    heard = at_work(world)["heartbeatAt"]
    first.kill()
    time.sleep(5)
    second = world.operator()
    world.wait("a step that was heard of again", 40, lambda: at_work(world).get("heartbeatAt", heard) > heard)
    assert done(world, 60) == {"attempt": 1}
    assert [line["seq"] for line in status(world)["history"]] == [1, 2]
    assert second.metric('mcp_heartbeats_total{reason="taken"}') > 0


def test_a_worker_that_hangs_while_the_operator_is_replaced_is_found_by_the_next_one(
    world: World, start: Start
) -> None:
    first = world.operator()
    worker = world.worker("one")
    world.worker("two")
    start({"beatsFor": 120})
    world.wait("a step that was heard of", 30, lambda: at_work(world).get("heartbeatAt"))
    first.kill()
    worker.send_signal(signal.SIGSTOP)
    try:
        second = world.operator()
        assert done(world, 75) == {"caught": "States.HeartbeatTimeout", "message": "no heartbeat for 3 s"}
    finally:
        worker.send_signal(signal.SIGCONT)
    assert second.metric('mcp_heartbeats_total{reason="taken"}') == 0, "it knew of the step from its status alone"


def test_a_worker_that_ends_in_order_says_so_and_its_step_waits_for_another_one(world: World, start: Start) -> None:
    world.operator()
    world.environ["MCP_GRACE_SECONDS"] = "0.5"
    worker = world.worker("one")
    start({"beatsFor": 6})
    world.wait("a step that was heard of", 30, lambda: at_work(world).get("heartbeatAt"))
    worker.terminate()
    world.wait("a step that was given back", 20, lambda: at_work(world) and "heartbeatAt" not in at_work(world))
    time.sleep(20)  # longer than it may be silent, counted from the connection of the operator
    assert status(world)["state"] == "InProgress.load"
    world.worker("one")
    assert done(world, 30) == {"attempt": 1}


def test_no_queue_of_heartbeats_is_left_behind(world: World, start: Start, management_url: str) -> None:
    def queues() -> list[str]:
        request = urllib.request.Request(
            f"{management_url}/api/queues?columns=name", headers={"authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return [q["name"] for q in json.load(answer) if q["name"].startswith("mcp.heartbeats.")]

    operator = world.operator()
    world.worker("one")
    start({"beatsFor": 3})
    assert done(world, 40) == {"attempt": 1}
    assert len(queues()) == 1
    operator.kill()
    world.wait("its queue to be gone", 20, lambda: not queues())
