"""What is known of a Deployment when events, reads and answers overtake each other."""

from __future__ import annotations

from typing import Any

from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.live import Counts, LiveDeployment


def version(number: int, *, generation: int = 1, replicas: int = 0, uid: str = "d1", **more: Any) -> RawObject:
    meta = {"uid": uid, "resourceVersion": str(number), "generation": generation}
    return {"metadata": meta, "spec": {"replicas": replicas}, **more}


def test_an_older_version_is_ignored() -> None:
    live = LiveDeployment()
    assert live.observe(version(9, replicas=2))
    assert not live.observe(version(8, replicas=1))
    assert live.replicas == 2


def test_versions_are_numbers_and_no_texts() -> None:
    live = LiveDeployment()
    live.observe(version(9))
    assert live.observe(version(10, replicas=1))


def test_another_deployment_of_that_name_is_taken_whatever_its_version() -> None:
    live = LiveDeployment()
    live.observe(version(9))
    assert live.observe(version(3, uid="d2", replicas=7))
    assert live.replicas == 7


def test_a_number_that_was_set_stands_until_a_newer_generation_is_seen() -> None:
    live = LiveDeployment()
    live.observe(version(1, generation=4))
    live.scaled(3)
    live.observe(version(2, generation=4, status={"replicas": 0}))
    assert live.replicas == 3
    live.observe(version(3, generation=5, replicas=3))
    live.observe(version(4, generation=6, replicas=5))
    assert live.replicas == 5


def test_the_end_of_another_deployment_says_nothing_of_this_one() -> None:
    live = LiveDeployment()
    live.observe(version(5, uid="d2"))
    assert not live.lost(version(4, uid="d1"))
    assert live.known
    assert live.lost(version(6, uid="d2"))
    assert not live.known


def test_what_is_absent_has_no_pods() -> None:
    live = LiveDeployment()
    live.observe(None)
    assert live.known
    assert live.counts == Counts(0, 0)
    assert live.failure() is None
    assert not live.terminating


def rolling(generation: int = 2, **status: object) -> bool:
    live = LiveDeployment()
    live.observe({"metadata": {"generation": generation}, "spec": {}, "status": status})
    return live.is_rolling


def test_pods_are_being_replaced_until_all_are_of_the_new_template() -> None:
    assert not rolling(observedGeneration=2, replicas=3, updatedReplicas=3)
    assert rolling(observedGeneration=2, replicas=4, updatedReplicas=1)
    assert rolling(observedGeneration=2, replicas=3)  # the API server leaves out a count of 0
    assert rolling(observedGeneration=1, replicas=3, updatedReplicas=3)  # nobody has looked at the new template
    assert not rolling()


def test_pods_are_no_longer_being_replaced_once_kubernetes_has_given_up() -> None:
    stuck = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    assert not rolling(observedGeneration=2, replicas=4, updatedReplicas=1, conditions=stuck)
