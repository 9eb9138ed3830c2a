"""The network between the leader and what it needs is cut, in the node's packet filter: another replica takes over.

Packets are dropped without a word, as a broken switch does it: nobody is told, everybody has to notice.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from e2e.harness import Cluster, assert_all_exactly_once, wait_for
from e2e.packets import Rule, address, rules

Helm = Callable[..., None]

STATES = ["one", "two", "three"]
API_PORT = "6443"


def _to_and_from(pod: str, other: str) -> list[Rule]:
    """What drops all that two pods send each other, whatever Service it was sent to."""
    return [["FORWARD", "-s", a, "-d", b, "-j", "DROP"] for a, b in ((pod, other), (other, pod))]


def _api_server(pod: str) -> list[Rule]:
    """What drops all between a pod and the API server, which is in the node's own network."""
    return [
        ["INPUT", "-s", pod, "-p", "tcp", "--dport", API_PORT, "-j", "DROP"],
        ["OUTPUT", "-d", pod, "-p", "tcp", "--sport", API_PORT, "-j", "DROP"],
    ]


def _two_operators(cluster: Cluster, helm: Helm, *settings: str) -> str:
    """Have a standby; the leader."""
    helm("operator.replicas=2", *settings)
    wait_for("two operators", 60, lambda: len(cluster.operators()) == 2)
    return str(wait_for("a leader", 60, cluster.leader))


def _moving_jobs(cluster: Cluster, count: int) -> list[str]:
    names = [cluster.job("chain", {"sleepSeconds": 1}) for _ in range(count)]
    wait_for("a job that moves", 60, lambda: any(cluster.status(n).get("sequence", 0) > 1 for n in names))
    return names


def _end_well(cluster: Cluster, names: list[str]) -> None:
    assert_all_exactly_once(cluster.wait_jobs(names, 240), STATES)


def test_a_leader_that_is_cut_off_from_the_api_server_is_replaced(cluster: Cluster, helm: Helm) -> None:
    leader = _two_operators(cluster, helm)
    names = _moving_jobs(cluster, 30)
    with rules(cluster, *_api_server(address(cluster, leader))):
        began = time.monotonic()
        wait_for("another leader", 30, lambda: cluster.leader() not in {"", leader}, every=0.2)
        taken = time.monotonic() - began
        _end_well(cluster, names)
    print(f"cut off from the API server: taken over after {taken:.1f} s")


def test_a_leader_that_is_cut_off_from_the_broker_is_replaced(cluster: Cluster, helm: Helm) -> None:
    leader = _two_operators(cluster, helm, "operator.settings.brokerPatienceSeconds=5")
    names = _moving_jobs(cluster, 30)
    broker = address(cluster, "mcp-rabbitmq-0")
    with rules(cluster, *_to_and_from(address(cluster, leader), broker)):
        began = time.monotonic()
        wait_for("another leader", 90, lambda: cluster.leader() not in {"", leader}, every=0.2)
        taken = time.monotonic() - began
        _end_well(cluster, names)
    print(f"cut off from RabbitMQ: taken over after {taken:.1f} s")


def test_jobs_go_on_when_all_are_connected_again(cluster: Cluster, helm: Helm) -> None:
    leader = _two_operators(cluster, helm)
    names = _moving_jobs(cluster, 30)
    pods = [pod["status"]["podIP"] for pod in cluster.operators()]
    broker = address(cluster, "mcp-rabbitmq-0")
    with rules(cluster, *(rule for pod in pods for rule in _to_and_from(pod, broker))):
        time.sleep(40)
        assert cluster.leader() == leader, "no other can do better, and it has not tried for long"
    began = time.monotonic()
    before = {n: cluster.status(n).get("sequence") for n in names}
    wait_for("a job that moves", 90, lambda: any(cluster.status(n).get("sequence") != before[n] for n in names))
    print(f"RabbitMQ cut off for 40 s: jobs went on {time.monotonic() - began:.1f} s after it was back")
    _end_well(cluster, names)
