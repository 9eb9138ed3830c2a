"""A node is drained, by `kubectl drain`: workers finish their steps, or give them back when they may not."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.executions import executions
from e2e.harness import Cluster, assert_all_exactly_once, pool, wait_for, workflow

NAME = "drained"
PODS = f"mcp-worker-{NAME}"
WORKERS = 3


@pytest.fixture
def drained(cluster: Cluster) -> Iterator[Cluster]:
    """A pool of three, of which a drain may take one at a time."""
    # Its grace follows its longest step: were that known later, it would be rolled out meanwhile.
    cluster.apply(workflow(NAME, {"name": "one", "pool": NAME, "timeoutSeconds": 60}))
    cluster.apply(pool(NAME, grace=60, minReplicas=WORKERS, disruptionBudget={"maxUnavailable": 1}))
    wait_for("workers", 90, lambda: _healthy(cluster) == WORKERS)
    yield cluster
    cluster.kubectl("delete", "mcpworkerpool", NAME, "--wait=false")


def _healthy(cluster: Cluster) -> int:
    """The workers that the budget knows to be ready."""
    budgets = {o["metadata"]["name"]: o for o in cluster.objects("poddisruptionbudgets")}
    return int(budgets.get(PODS, {}).get("status", {}).get("currentHealthy", 0))


@contextmanager
def draining(cluster: Cluster, log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`kubectl drain` of the node, as far as it concerns this pool; what it says is in `log`.

    There is one node, so pods may come back to it as soon as the drain has begun.
    """
    command = ["kubectl", "--kubeconfig", cluster.kubeconfig, "drain", cluster.node]
    command += [f"--pod-selector=mastercontrol.dev/pool={NAME}", "--delete-emptydir-data", "--timeout=150s", *options]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        wait_for("the node's cordon", 20, lambda: cluster.get("node", cluster.node)["spec"].get("unschedulable"), 0.1)
        cluster.kubectl("uncordon", cluster.node)
        yield process
    finally:
        process.kill()
        process.wait()
        cluster.kubectl("uncordon", cluster.node)


def _begin(cluster: Cluster, seconds: int) -> list[str]:
    names = [cluster.job(NAME, {"sleepSeconds": seconds}, f"{NAME}-{secrets.token_hex(4)}") for _ in range(WORKERS)]
    for name in names:
        cluster.wait_state(name, "InProgress.one")
    time.sleep(1)  # each is in the hands of a worker
    return names


def test_a_drained_node_s_workers_finish_one_after_the_other(drained: Cluster, tmp_path: Path) -> None:
    log = tmp_path / "drain.log"
    before = {pod["metadata"]["uid"] for pod in drained.workers(NAME)}
    with executions(drained, PODS, 300) as executed:
        names = _begin(drained, 15)
        began = time.monotonic()
        with draining(drained, log) as drain:
            fewest = WORKERS
            while drain.poll() is None:
                fewest = min(fewest, _healthy(drained))
                time.sleep(0.3)
            took = time.monotonic() - began
        assert drain.returncode == 0, log.read_text()
        statuses = drained.wait_jobs(names, 60)
    assert_all_exactly_once(statuses, ["one"])
    assert executed.dispatches(names) == executed.first_dispatches(names)
    assert fewest >= WORKERS - 1, "the budget allows one at a time"
    assert "disruption budget" in log.read_text(), "it never held anybody back"
    assert not before & {pod["metadata"]["uid"] for pod in drained.workers(NAME)}
    print(f"{WORKERS} workers with steps of 15 s drained in {took:.0f} s, no step executed twice")


def test_a_drain_that_does_not_wait_gives_the_steps_back(drained: Cluster, tmp_path: Path) -> None:
    log = tmp_path / "drain.log"
    with executions(drained, PODS, 300) as executed:
        names = _begin(drained, 25)
        began = time.monotonic()
        with draining(drained, log, "--grace-period=3") as drain:
            drain.wait(200)
            took = time.monotonic() - began
        assert drain.returncode == 0, log.read_text()
        statuses = drained.wait_jobs(names, 120)
    assert_all_exactly_once(statuses, ["one"])
    counts = executed.dispatches(names)
    assert counts.keys() == executed.first_dispatches(names).keys(), "as another dispatch, and not the same again"
    assert sum(counts.values()) > len(names), "none was given back"
    print(f"drained in {took:.0f} s with 3 s for each worker; executions of {len(names)} steps: {sum(counts.values())}")
