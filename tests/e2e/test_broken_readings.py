"""RabbitMQ's HTTP API is down, slow or answers nonsense: no worker goes, nothing dies, and the condition says why."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from e2e.harness import Cluster, pool, wait_for, wait_while, workflow
from e2e.packets import Rule, address, rules
from e2e.watching import ReplicasWatch

NAME = "unread"
PODS = f"mcp-worker-{NAME}"
BROKER = "mcp-rabbitmq-0"
API_PORT = "15672"

FAULTS = {
    "down": "unreachable",
    "a portal": "malformed",
    "nonsense": "malformed",
    "an error": "status",
    "slow": "timeout",
}
"""What is wrong, and the word for it in the condition's message."""

LIAR_PORTS = {"a portal": "8001", "nonsense": "8002", "an error": "8003", "slow": "8004"}


@pytest.fixture(scope="module")
def unread(cluster: Cluster) -> Iterator[Cluster]:
    """A pool that lets its workers go at once, and the one who lies."""
    cluster.apply(pool(NAME, grace=60, autoscaling={"scaleDownStabilizationSeconds": 1}))
    cluster.apply(workflow(NAME, {"name": "one", "pool": NAME}))
    container = {
        "name": "liar",
        "image": "mastercontrol-e2e:dev",
        "command": ["python3", "/app/liar.py"],
        "readinessProbe": {"tcpSocket": {"port": 8001}, "periodSeconds": 1},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "liar"}, "spec": spec})
    cluster.kubectl("wait", "pod", "liar", "--for=condition=Ready", "--timeout=60s")
    wait_for("the pool's Deployment", 60, lambda: PODS in cluster.kubectl("get", "deployments", "-o", "name"))
    yield cluster
    cluster.kubectl("delete", "mcpworkerpool", NAME, "--wait=false")
    cluster.kubectl("delete", "pod", "liar", "--wait=false")


@contextmanager
def broken(cluster: Cluster, fault: str) -> Iterator[None]:
    """The HTTP API is so for every operator; AMQP is as ever."""
    with ExitStack() as stack:
        for operator in (pod["status"]["podIP"] for pod in cluster.operators()):
            said = ["-s", operator, "-p", "tcp", "--dport", API_PORT, "-j"]
            if fault in LIAR_PORTS:
                lie: Rule = ["PREROUTING", *said, "DNAT", "--to-destination", _liar(cluster, fault)]
                stack.enter_context(rules(cluster, lie, table="nat"))
            refuse: Rule = ["FORWARD", "-d", address(cluster, BROKER), *said, "REJECT", "--reject-with", "tcp-reset"]
            stack.enter_context(rules(cluster, refuse))
        yield


def _liar(cluster: Cluster, fault: str) -> str:
    return f"{address(cluster, 'liar')}:{LIAR_PORTS[fault]}"


def _other_than(cluster: Cluster, why: str) -> dict[str, str]:
    """The pool's condition ScalingActive, unless it says that the queue can't be read for this reason."""
    said = cluster.condition("mcpworkerpool", NAME, "ScalingActive")
    reason = said["message"].partition(":")[0].rpartition("(")[2].rstrip(")")
    return {} if (said["status"], said["reason"], reason) == ("False", "DepthUnknown", why) else said


def _failed_readings(cluster: Cluster, why: str) -> float:
    found = cluster.operator_metric("mcp_pool_readings_failed_total")
    return sum(count for labels, count in found.items() if f'pool="{NAME}"' in labels and f'reason="{why}"' in labels)


def _lives(cluster: Cluster) -> dict[str, int]:
    """Each worker's pod, and how often its container began anew."""
    pods = cluster.workers(NAME)
    return {pod["metadata"]["uid"]: sum(c["restartCount"] for c in pod["status"]["containerStatuses"]) for pod in pods}


@pytest.mark.parametrize(("fault", "why"), FAULTS.items())
def test_while_the_queue_cannot_be_read_no_worker_goes(unread: Cluster, fault: str, why: str) -> None:
    tag = secrets.token_hex(4)
    names = [unread.job(NAME, {"sleepSeconds": s}, f"{NAME}-{tag}-{s}") for s in (8, 9, 22)]
    for name in names:
        unread.wait_state(name, "InProgress.one")
    wait_for("three workers", 60, lambda: unread.get("deployment", PODS)["status"].get("readyReplicas") == 3)
    lives, failed = _lives(unread), _failed_readings(unread, why)
    with ReplicasWatch(unread, PODS) as watch, broken(unread, fault):
        began = time.monotonic()
        # A reading that is under way when the rules come is cut off, which is another reason; the next one says this.
        wait_while("another condition", 30, lambda: _other_than(unread, why), every=0.2)
        told = time.monotonic() - began
        for name in names[:2]:
            unread.wait_job(name, "Succeeded")
        time.sleep(6)  # by far more than its window
        late = unread.job(NAME, {"sleepSeconds": 1}, f"{NAME}-{tag}-late")
        unread.wait_job(late, "Succeeded", 20)  # by a worker that nobody took away
        assert [number for _, number in watch.seen] == [3]
        assert _lives(unread) == lives, "somebody died"
        assert _failed_readings(unread, why) > failed
        unread.wait_job(names[2], "Succeeded")
        assert [number for _, number in watch.seen] == [3]
        restored = time.monotonic()
    wait_for("readings", 30, lambda: unread.condition("mcpworkerpool", NAME, "ScalingActive", "True"), every=0.2)
    wait_for("no worker", 60, lambda: unread.get("deployment", PODS)["spec"]["replicas"] == 0)
    print(f"HTTP API {fault}: said after {told:.1f} s; back to none {time.monotonic() - restored:.1f} s after its end")
