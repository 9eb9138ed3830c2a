"""`start_seconds`: what pods tell of how long they took to start."""

from __future__ import annotations

from typing import Any

import pytest

from mastercontrol.pools.starts import start_seconds

CREATED = "2030-01-01T00:00:00Z"


def pod(since: Any, created: Any = CREATED, ready: str = "True", restarts: int = 0) -> dict[str, Any]:
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": CREATED},
        {"type": "Ready", "status": ready, "lastTransitionTime": since},
    ]
    status = {"conditions": conditions, "containerStatuses": [{"name": "worker", "restartCount": restarts}]}
    return {"metadata": {"name": "w", "creationTimestamp": created}, "status": status}


def test_it_is_the_median_of_those_that_tell() -> None:
    pods = [pod(f"2030-01-01T00:00:{seconds}Z") for seconds in (10, 12, 59)]
    assert start_seconds(pods) == 12
    assert start_seconds(pods[1:]) == 35.5


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    assert start_seconds([pod("2030-01-01T02:00:07+02:00")]) == 7


def test_a_pod_that_became_ready_anew_without_a_restart_started_when_its_containers_did() -> None:
    late = pod("2030-01-01T03:00:00Z")
    running = [{"running": {"startedAt": f"2030-01-01T00:00:0{seconds}Z"}} for seconds in (2, 5)]
    states: list[Any] = [None, {"waiting": {}}, *running]
    for state in states:
        late["status"]["containerStatuses"].append({"name": "c", "restartCount": 0, "state": state})
    assert start_seconds([late]) == 5


def test_what_a_worker_loads_before_it_is_ready_is_a_part_of_its_start() -> None:
    loaded = pod("2030-01-01T00:10:05Z")
    state = {"running": {"startedAt": "2030-01-01T00:00:05Z"}}
    loaded["status"]["containerStatuses"][0]["state"] = state
    assert start_seconds([loaded]) == 605
    loaded["status"]["conditions"][1]["lastTransitionTime"] = "2030-01-01T00:10:06Z"
    assert start_seconds([loaded]) == 5


@pytest.mark.parametrize(
    "other",
    [
        pod("2030-01-01T00:10:00Z", restarts=1),  # it became ready anew
        pod("2030-01-01T00:10:00Z", ready="False"),
        pod("2029-12-31T23:59:59Z"),  # a clock that went back
        pod(None),
        pod("soon"),
        pod(7),
        pod("2030-01-01T00:10:00"),  # no zone
        pod("2030-01-01T00:10:00Z", created=None),
        pod("2030-01-01T00:10:00Z", created="then"),
        {"metadata": {"name": "w", "creationTimestamp": CREATED}},
        {"metadata": {"name": "w", "creationTimestamp": CREATED}, "status": {"conditions": None}},
        {"metadata": {"name": "w"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
    ],
)
def test_a_pod_that_does_not_tell_is_left_out(other: dict[str, Any]) -> None:
    assert start_seconds([other]) is None
    assert start_seconds([other, pod("2030-01-01T00:00:09Z")]) == 9


def test_without_pods_nothing_is_known() -> None:
    assert start_seconds([]) is None
