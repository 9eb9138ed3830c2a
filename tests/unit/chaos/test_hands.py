"""What is done to a cluster: the victim that the plan means, a pause that ends, and what could not be done is said."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from chaos.hands import CLAIM, Hands
from chaos.node import Container, Node, documents
from chaos.plan import Action, Kind
from e2e.harness import Cluster

OPERATORS = [Container("mcp-operator-a", "1"), Container("mcp-operator-b", "2")]
BROKER = [Container("mcp-rabbitmq-0", "3")]


class FakeNode(Node):
    def __init__(self, containers: dict[str, list[Container]]) -> None:
        super().__init__("node")
        self.containers, self.did = containers, list[str]()
        self.at_once = False

    def starts_again_at_once(self) -> bool:
        return self.at_once

    def running(self, container: str, namespace: str) -> list[Container]:
        assert namespace == ("kube-system" if container == "kube-apiserver" else "default")
        return self.containers.get(container, [])

    def kill(self, container: Container) -> None:
        self.did.append(f"kill {container.pod}")

    def forget_deaths(self) -> None:
        self.did.append("restart kubelet")

    def stop(self, container: Container) -> None:
        self.did.append(f"stop {container.pod}")

    def resume(self, container: Container) -> None:
        self.did.append(f"resume {container.pod}")


@dataclass
class FakeCluster(Cluster):
    away: int = 0  # how many calls the API server does not answer
    did: list[str] = field(default_factory=list)

    def kubectl(self, *arguments: str, **_: Any) -> str:
        if self.away:
            self.away -= 1
            raise AssertionError("connection refused")
        self.did.append(" ".join(arguments[:3]))
        return ""


def hands(away: int = 0, **containers: list[Container]) -> tuple[Hands, FakeNode, FakeCluster]:
    node, cluster = FakeNode(containers), FakeCluster("config", "node", away=away)
    return Hands(cluster, lambda: "mcp-operator-b", lambda _: None, node=node), node, cluster


def test_the_victim_is_the_one_that_the_plan_picks_and_it_is_known_whether_it_led() -> None:
    made, node, _ = hands(operator=OPERATORS)
    made.follow([Action(0, Kind.OPERATOR_KILL, 0.1), Action(0, Kind.OPERATOR_KILL, 0.9)], 0)
    assert node.did == ["kill mcp-operator-a", "kill mcp-operator-b"]
    assert [(blow.pod, blow.led, blow.missed) for blow in made.blows] == [
        ("mcp-operator-a", False, ""),
        ("mcp-operator-b", True, ""),
    ]


def test_an_operator_that_leads_is_hit_three_times_as_often() -> None:
    made, node, _ = hands(operator=OPERATORS)
    made.follow([Action(0, Kind.OPERATOR_KILL, pick / 4) for pick in range(4)], 0)
    assert sorted(node.did) == ["kill mcp-operator-a", *["kill mcp-operator-b"] * 3]


def test_what_was_killed_before_gets_a_new_pod_so_that_the_kubelet_does_not_back_off() -> None:
    made, node, cluster = hands(operator=OPERATORS[:1])
    made.follow([Action(0, Kind.OPERATOR_KILL, 0)] * 2, 0)
    assert node.did == ["kill mcp-operator-a"] * 2
    assert cluster.did == ["delete pod mcp-operator-a"]


def test_a_kubelet_that_does_not_back_off_starts_what_was_killed_in_its_pod_each_time() -> None:
    made, node, cluster = hands(operator=OPERATORS[:1])
    node.at_once = True
    made.follow([Action(0, Kind.OPERATOR_KILL, 0)] * 3, 0)
    assert node.did == ["kill mcp-operator-a"] * 3
    assert cluster.did == []


def test_a_pause_ends_after_its_time_and_at_the_latest_when_all_is_healed() -> None:
    made, node, _ = hands(rabbitmq=BROKER, operator=OPERATORS)
    plan = [Action(0, Kind.BROKER_PAUSE, 0, 0.05), Action(0, Kind.OPERATOR_PAUSE, 0, 60)]
    began = time.monotonic()
    made.follow(plan, 0.3)
    assert time.monotonic() - began < 5
    assert node.did == ["stop mcp-rabbitmq-0", "stop mcp-operator-a", "resume mcp-rabbitmq-0"]
    made.heal()
    assert node.did[3:] == ["resume mcp-operator-a"]
    made.heal()
    assert len(node.did) == 4, "nothing stands still any more"


def test_an_api_server_that_is_killed_comes_back_as_fast_as_it_can() -> None:
    made, node, _ = hands()
    node.containers["kube-apiserver"] = [Container("kube-apiserver-node", "4")]
    made.follow([Action(0, Kind.API_KILL, 0)], 0)
    assert node.did == ["kill kube-apiserver-node", "restart kubelet"]


def test_a_blow_waits_for_somebody_to_hit() -> None:
    made, node, _ = hands()
    threading.Timer(0.3, node.containers.update, [{"worker": [Container("mcp-worker-a", "5")]}]).start()
    made.follow([Action(0, Kind.WORKER_KILL, 0)], 0)
    assert node.did == ["kill mcp-worker-a"]
    assert not made.blows[0].missed


def test_a_blow_that_finds_nobody_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.hands.LOOKS", 1)
    made, _, _ = hands()
    made.follow([Action(0, Kind.WORKER_KILL, 0.5)], 0)
    assert made.blows[0].missed == "missed: none is there"


def test_a_blow_that_needs_an_api_server_that_is_away_is_missed() -> None:
    made, _, _ = hands(away=1, operator=OPERATORS)
    made.follow([Action(0, Kind.OPERATOR_DELETE, 0), Action(0, Kind.OPERATOR_DELETE, 0)], 0)
    assert [blow.missed for blow in made.blows] == ["missed: connection refused", ""]


def test_a_wipe_that_has_begun_is_not_left_half_done() -> None:
    made, _, cluster = hands(rabbitmq=BROKER)
    made.follow([Action(0, Kind.BROKER_WIPE, 0)], 0)
    assert cluster.did == [f"delete pvc {CLAIM}", "delete pod mcp-rabbitmq-0"]
    made, _, cluster = hands(rabbitmq=BROKER, operator=OPERATORS[:1])
    made.follow([Action(0, Kind.OPERATOR_KILL, 0)], 0)
    cluster.away = 1
    made.follow([Action(0, Kind.OPERATOR_KILL, 0)], 0)
    assert cluster.did == ["delete pod mcp-operator-a"], "it was asked for again"
    assert not made.blows[-1].missed


def test_objects_that_follow_one_another_are_read_one_by_one() -> None:
    assert documents('{"a": {"b": 1}}\n{"c": []}\n') == [{"a": {"b": 1}}, {"c": []}]
    assert documents("") == []
