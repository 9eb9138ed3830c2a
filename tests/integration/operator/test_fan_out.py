"""Many steps of one job at once: a Map of 1,000 items, a Parallel of 50 branches, the operator killed in between.

How long it takes is measured by `make bench-fanout`; here is what must hold on any machine.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from integration.operator.conftest import GROUP, World

ITEMS = 1000
BRANCHES = 50
MOST_BYTES = 256 * 1024

EACH = {"name": "each", "type": "Map", "items": "${input.items}", "states": [{"name": "one", "pool": "one"}]}
FAN = {
    "name": "fan",
    "type": "Parallel",
    "branches": [{"states": [{"name": "one", "pool": "one", "input": {"branch": i}}]} for i in range(BRANCHES)],
}


class Wide:
    """A job with many steps at once, and all versions of it that a watch shows."""

    def __init__(self, world: World, state: dict[str, Any], data: dict[str, Any]) -> None:
        self.world = world
        self.data = data
        self.stream = world.folder / "watch.json"
        spec = {"states": [state]}
        world.apply({"apiVersion": GROUP, "kind": "Workflow", "metadata": {"name": "wide"}, "spec": spec})

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Create the job, and see each of its versions until the block ends."""
        command = ["kubectl", "--kubeconfig", self.world.kubeconfig, "-n", self.world.namespace]
        command += ["get", "mcpjobs", "--watch", "-o", "json"]
        with self.stream.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as watch:
            try:
                spec = {"workflow": "wide", "input": self.data}
                self.world.apply({"apiVersion": GROUP, "kind": "Job", "metadata": {"name": "wide"}, "spec": spec})
                yield
                self.world.wait("the end of the watch", 30, lambda: '"completionTime"' in self.stream.read_text())
            finally:
                watch.terminate()
                watch.wait(10)

    def status(self) -> dict[str, Any]:
        return self.world.statuses().get("wide", {})

    def wait_until_sent(self) -> None:
        self.world.wait("all steps sent", 60, lambda: "dispatchedAt" in json.dumps(self.status()))

    def wait_until_done(self) -> dict[str, Any]:
        self.world.wait("the end of the job", 180, lambda: "completionTime" in self.status())
        return self.status()

    def versions(self) -> list[dict[str, Any]]:
        """Each status that was stored, as far as the watch saw it."""
        text, decoder, at, found = self.stream.read_text().strip(), json.JSONDecoder(), 0, []
        while at < len(text):
            each, at = decoder.raw_decode(text, at)
            found.append(each.get("status", {}))
            at += len(text[at:]) - len(text[at:].lstrip())
        return found

    def largest(self) -> int:
        return max(len(json.dumps(s, separators=(",", ":"), ensure_ascii=False).encode()) for s in self.versions())


def assert_each_item_is_done_once(status: dict[str, Any]) -> None:
    assert status["state"] == "Done", status.get("error")
    assert [result["n"] for result in status["output"]] == list(range(ITEMS))
    assert status["sequence"] == 1 + 2 * ITEMS + 1, "each item begins once and ends once"
    assert not {"packed", "active", "groups", "scopes"} & set(status)


@pytest.mark.parametrize("together", [0, 20])
def test_a_map_of_a_thousand_items_writes_less_than_once_a_result_and_stays_small(world: World, together: int) -> None:
    each = {**EACH, "maxConcurrency": together}
    wide = Wide(world, each, {"items": [{"n": n} for n in range(ITEMS)]})
    operator = world.operator()
    with wide.watched():
        wide.wait_until_sent()
        before = world.writes()
        world.worker("one")
        status = wide.wait_until_done()
    assert_each_item_is_done_once(status)
    assert 0 < (world.writes() - before)["mcpjobs", "status"] <= ITEMS
    assert operator.metric('mcp_results_total{reason="applied"}') == ITEMS
    assert wide.largest() < MOST_BYTES
    assert any("packed" in version for version in wide.versions())


def test_a_parallel_of_fifty_branches_writes_less_than_once_a_result_and_stays_small(world: World) -> None:
    wide = Wide(world, FAN, {})
    world.operator()
    with wide.watched():
        wide.wait_until_sent()
        before = world.writes()
        world.worker("one")
        status = wide.wait_until_done()
    assert [result["branch"] for result in status["output"]] == list(range(BRANCHES))
    assert 0 < (world.writes() - before)["mcpjobs", "status"] <= BRANCHES
    assert wide.largest() < MOST_BYTES


def test_the_operator_is_killed_in_the_middle_of_a_map(world: World) -> None:
    world.environ |= {"MCP_LEASE_SECONDS": "3", "MCP_RENEW_DEADLINE_SECONDS": "2", "MCP_RETRY_SECONDS": "0.5"}
    wide = Wide(world, EACH, {"items": [{"n": n, "sleepSeconds": 0.2} for n in range(ITEMS)]})
    operator = world.operator()
    with wide.watched():
        wide.wait_until_sent()
        world.worker("one")
        for share in (0.2, 0.5, 0.8):
            made = ITEMS + int(share * ITEMS)  # each item makes a transition when it begins and one when it ends
            world.wait(f"{made} transitions", 120, lambda: wide.status().get("sequence", 0) >= made)  # noqa: B023  # waited for at once
            assert "completionTime" not in wide.status(), "it was done before anything died"
            operator.kill()
            operator = world.operator()
        status = wide.wait_until_done()
    assert_each_item_is_done_once(status)
    sequences = [version.get("sequence", 0) for version in wide.versions()]
    assert sequences == sorted(sequences)
