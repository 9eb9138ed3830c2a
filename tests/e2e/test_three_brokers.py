"""The chart's RabbitMQ with three replicas: one node after the other is killed under load, and no job stands still."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from e2e.harness import HELM, ROOT, Cluster, assert_exactly_once, job, pool, run, wait_for, workflow

STATES = ["one", "two", "three"]
NODES = 3
JOBS = 30
NAMESPACE = "three-brokers"


@pytest.fixture(scope="module")
def trio(cluster: Cluster) -> Iterator[Cluster]:
    """A release of its own, in a namespace of its own: a cluster of brokers cannot be made smaller again."""
    found = replace(cluster, namespace=NAMESPACE)
    helm = [str(HELM), "--kubeconfig", cluster.kubeconfig, "--namespace", NAMESPACE]
    settings = ["--set", "crds.install=false", "--set", f"rabbitmq.replicas={NODES}"]
    install = ["install", "mcp", str(ROOT / "charts" / "mcp"), "--create-namespace", "--wait", "--timeout", "6m"]
    run([*helm, *install, *settings], seconds=400)
    for name in STATES:
        found.apply(pool(name))
    found.apply(workflow("chain", *({"name": n, "pool": n} for n in STATES)))
    yield found
    found.kubectl("delete", "mcpjobs,mcpworkerpools,mcpworkflows", "--all", "--wait=false", check=False)
    run([*helm, "uninstall", "mcp", "--wait"], seconds=180)
    # Who deletes a namespace writes until all in it is gone, which other tests would count.
    cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=180s", seconds=200)


def test_one_broker_after_the_other_is_killed_under_load(trio: Cluster) -> None:
    stood = [_killed_under_load(trio, node) for node in range(NODES)]
    names = [name for node in range(NODES) for name in _names(node)]
    epochs = set()
    for name, status in trio.wait_jobs(names, 300).items():
        assert status["phase"] == "Succeeded", (name, status)
        assert_exactly_once(name, status, STATES)
        epochs.add(status["brokerEpoch"])
    assert len(epochs) == 1, "the brokers lost their data, though a majority was there all the time"
    print(f"jobs stood still for {', '.join(f'{seconds:.1f}' for seconds in stood)} s")


def _names(node: int) -> list[str]:
    return [f"under-{node}-{i}" for i in range(JOBS)]


def _killed_under_load(trio: Cluster, node: int) -> float:
    """Kill a broker while jobs of its own flow; seconds until one of them moved."""
    trio.apply(*(job(name, "chain", {"sleepSeconds": 2}) for name in _names(node)))
    wait_for("a job that moves", 120, lambda: _transitions(trio, node) > JOBS)
    before = _transitions(trio, node)
    trio.kubectl("delete", "pod", f"mcp-rabbitmq-{node}", "--force", "--grace-period=0")
    began = time.monotonic()
    wait_for("a transition", 90, lambda: _transitions(trio, node) > before, every=0.2)
    seconds = time.monotonic() - began
    # One at a time: with two away the others have no majority, and that is no fault of the operator.
    trio.rollout("statefulset", "mcp-rabbitmq")
    wait_for("queues with all their members", 60, lambda: _is_whole(trio))
    return seconds


def _transitions(cluster: Cluster, node: int) -> int:
    """How far the jobs of a node's death are, taken together."""
    found = {j["metadata"]["name"]: j.get("status", {}) for j in cluster.objects("mcpjobs")}
    return sum(int(found.get(name, {}).get("sequence", 0)) for name in _names(node))


def _is_whole(cluster: Cluster) -> bool:
    """Whether no node would take a queue with it: each has its majority without it."""
    said = [
        cluster.kubectl(
            "exec",
            f"mcp-rabbitmq-{node}",
            "--",
            "rabbitmq-diagnostics",
            "check_if_node_is_quorum_critical",
            check=False,
        )
        for node in range(NODES)
    ]
    return all("Error" not in text for text in said)
