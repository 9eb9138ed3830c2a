"""Why workers are not ready."""

from __future__ import annotations

from typing import Any

from mastercontrol.pools.pods import why_not_ready


def pod(
    name: str, *, waiting: dict[str, Any] | None = None, last: dict[str, Any] | None = None, started: bool = True
) -> dict[str, Any]:
    state = {"running": {}} if waiting is None else {"waiting": waiting}
    container = {"state": state, "lastState": {} if last is None else {"terminated": last}, "started": started}
    return {"metadata": {"name": name}, "status": {"containerStatuses": [container]}}


def test_pods_that_are_just_starting_give_no_reason() -> None:
    assert why_not_ready([pod("a", waiting={"reason": "ContainerCreating"}), pod("b"), {"metadata": {}}]) is None


def test_a_pod_without_a_node_says_what_the_scheduler_says() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    assert why_not_ready([{"metadata": {}, "status": {"conditions": [condition]}}]) == "Unschedulable: 0/1 nodes"


def test_a_container_that_ends_again_and_again_says_how_it_ended() -> None:
    text = why_not_ready(
        [pod("a", waiting={"reason": "CrashLoopBackOff"}, last={"exitCode": 2, "reason": "Error"})],
    )
    assert text == "CrashLoopBackOff (it ended with exit code 2, Error)"


def test_a_worker_that_loads_its_handlers_is_said_where_nothing_else_is_the_matter() -> None:
    loading = pod("a", started=False)
    assert why_not_ready([loading]) == "a worker runs and is still loading what it needs"
    assert why_not_ready([loading, pod("b", waiting={"reason": "ErrImagePull"})]) == "ErrImagePull"
    again = why_not_ready([pod("a", started=False, last={"exitCode": 2, "reason": "Error"})])
    assert again == "a worker runs and is still loading what it needs (it ended with exit code 2, Error)"


def test_the_order_of_the_pods_does_not_change_the_reason() -> None:
    one, two = pod("a", waiting={"reason": "ErrImagePull"}), pod("b", waiting={"reason": "CrashLoopBackOff"})
    assert why_not_ready([one, two]) == why_not_ready([two, one]) == "ErrImagePull"


def test_a_long_message_is_cut() -> None:
    text = why_not_ready([pod("a", waiting={"reason": "R", "message": "x" * 5000})])
    assert text is not None
    assert len(text) == 300
