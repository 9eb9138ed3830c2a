"""The patterns of `examples/patterns` on the cluster, with their own jobs and with such that take the other ways."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from e2e.harness import ROOT, Cluster, Object, wait_for, wait_while
from example_outputs import PATTERNS as OUTPUTS

PATTERNS = ROOT / "examples" / "patterns"


@pytest.fixture(scope="module")
def patterns(cluster: Cluster) -> Cluster:
    """The cluster with the files of the example applied as they are, their jobs included."""
    cluster.kubectl("delete", "mcpjobs", "-l", "example=patterns", seconds=60)
    cluster.kubectl("apply", "-f", str(PATTERNS))
    return cluster


def job_input(name: str, **changed: Any) -> Object:
    """The input of the pattern's own job, with some of it changed."""
    _, job = yaml.safe_load_all((PATTERNS / f"{name}.yaml").read_text())
    return {**job["spec"]["input"], **changed}


def entered(status: Object) -> list[str]:
    """The states at the top of the workflow in the order in which they were entered."""
    states = [h["state"].removeprefix("InProgress.") for h in status["history"]]
    return [s for i, s in enumerate(states) if i == 0 or s != states[i - 1]]


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_each_pattern_ends_well_with_its_own_job(patterns: Cluster, name: str) -> None:
    status = patterns.wait_job(f"{name}-1", "Succeeded", 120)
    assert status["output"] == OUTPUTS[name]


def test_a_declined_card_ends_the_order_without_another_attempt(patterns: Cluster) -> None:
    name = patterns.job("order", job_input("order", card="0000", busyTimes=0))
    status = patterns.wait_job(name, "Succeeded", 60)
    assert status["output"] == {"state": "declined", "why": "card 0000 was declined"}
    assert entered(status) == ["checkStock", "isInStock", "charge", "declined", "Done"]


def test_an_approval_is_waited_for_and_then_given_by_kubectl(patterns: Cluster) -> None:
    name = patterns.job("approval", job_input("approval"))
    waiting = patterns.wait_state(name, "InProgress.approval", 60)
    assert "waits for the signal 'approval'" in waiting["message"]
    assert "waits for the signal" in patterns.kubectl("get", "mcpjob", name), "WHY says it too"
    signal = {"name": "approval", "payload": {"approved": True, "by": "ana"}}
    patterns.patch("mcpjob", name, {"spec": {"signals": [signal]}})
    assert patterns.wait_job(name, "Succeeded", 60)["output"] == OUTPUTS["approval"]


def test_an_approval_that_is_refused_moves_no_money(patterns: Cluster) -> None:
    signals = [{"name": "approval", "payload": {"approved": False, "by": "ana"}}]
    name = patterns.job("approval", job_input("approval"), signals=signals)
    status = patterns.wait_job(name, "Succeeded", 60)
    assert status["output"] == {"state": "refused", "by": "ana"}
    assert "reimburse" not in entered(status)


def test_an_approval_that_does_not_come_expires(patterns: Cluster) -> None:
    workflow, _ = yaml.safe_load_all((PATTERNS / "approval.yaml").read_text())
    workflow["metadata"]["name"] = "hasty-approval"
    for state in workflow["spec"]["states"]:
        if state["name"] == "approval":
            state["timeoutSeconds"] = 3
    patterns.apply(workflow)
    name = patterns.job("hasty-approval", job_input("approval"))
    status = patterns.wait_job(name, "Succeeded", 60)
    assert status["output"] == {"state": "expired"}
    assert entered(status) == ["askManager", "approval", "expired", "Done"]


def test_a_basket_that_is_cancelled_takes_its_orders_with_it(patterns: Cluster) -> None:
    name = patterns.job("basket", job_input("basket", busyTimes=99))
    children = ("get", "mcpjobs", "-l", f"mastercontrol.dev/parent={name}", "-o")
    wait_for("two orders", 60, lambda: len(patterns.kubectl(*children, "name").split()) >= 2)
    patterns.patch("mcpjob", name, {"spec": {"cancel": True}})
    patterns.wait_job(name, "Cancelled", 20)
    phases = "jsonpath={.items[*].status.phase}"
    wait_for("an end of the orders", 30, lambda: "Running" not in patterns.kubectl(*children, phases))
    assert "Cancelled" in patterns.kubectl(*children, phases)
    patterns.kubectl("delete", "mcpjob", name)
    wait_while("some of it", 60, lambda: patterns.kubectl(*children, "name").split())


def test_a_check_that_fails_ends_the_others(patterns: Cluster) -> None:
    name = patterns.job("fan-out", job_input("fan-out", customer=""))
    status = patterns.wait_job(name, "Succeeded", 60)
    assert status["output"] == {"accepted": None, "because": "the request names no customer"}


def test_a_trip_that_cannot_be_had_is_cancelled_in_reverse_order(patterns: Cluster) -> None:
    name = patterns.job("travel", {"soldOut": ["bookCar"]})
    status = patterns.wait_job(name, "Failed", 90)
    assert status["error"] == {"code": "NotBooked", "message": "bookCar: there is none left", "state": "notBooked"}
    booked, cancelled = ["bookFlight", "bookHotel", "bookCar"], ["cancelHotel", "cancelFlight"]
    assert entered(status) == [*booked, *cancelled, "notBooked", "Failed"]


def test_a_trip_is_undone_by_what_its_bookings_say(patterns: Cluster) -> None:
    name = patterns.job("trip", {"soldOut": ["bookCar"]})
    status = patterns.wait_job(name, "Failed", 90)
    assert status["error"] == {"code": "SoldOut", "message": "there is none left", "state": "bookCar"}
    begun = [h["state"].removeprefix("InProgress.") for h in status["history"] if h.get("reason") == "Started"]
    assert begun[1:] == ["compensate[1].cancelHotel", "compensate[0].cancelFlight", "onExit.tellTraveller"]


def test_a_cancelled_trip_is_undone_and_the_traveller_is_told(patterns: Cluster) -> None:
    workflow, _ = yaml.safe_load_all((PATTERNS / "trip.yaml").read_text())
    workflow["metadata"]["name"] = "long-trip"
    workflow["spec"]["states"].insert(1, {"name": "think", "type": "Signal"})
    patterns.apply(workflow)
    name = patterns.job("long-trip", {"soldOut": []})
    patterns.wait_state(name, "InProgress.think", 60)
    patterns.patch("mcpjob", name, {"spec": {"cancel": True}})
    status = patterns.wait_job(name, "Cancelled", 60)
    begun = [h["state"].removeprefix("InProgress.") for h in status["history"] if h.get("reason") == "Started"]
    assert begun[1:] == ["compensate[0].cancelFlight", "onExit.tellTraveller"]


def test_a_loop_is_bounded(patterns: Cluster) -> None:
    name = patterns.job("polling", job_input("polling", pauseSeconds=0, readyAfter=99, mostAsked=4))
    status = patterns.wait_job(name, "Failed", 60)
    assert status["error"]["code"] == "TooSlow"
    assert [h["state"] for h in status["history"]].count("InProgress.askExport") == 4


def test_too_many_items_that_fail_are_an_error(patterns: Cluster) -> None:
    name = patterns.job("map-failures", {"files": ["1.bin", "2.bin", "3.bin", "four.txt"]})
    status = patterns.wait_job(name, "Failed", 60)
    assert status["error"]["code"] == "TooManyFailed"


def test_no_pod_stays_when_the_patterns_are_done(patterns: Cluster) -> None:
    """Last in this file: a job that waits for a person or for a time holds no worker."""
    name = patterns.job("approval", job_input("approval"))
    patterns.wait_state(name, "InProgress.approval", 60)
    pools = ("patterns-shop", "patterns-partners")
    wait_for("end of all workers", 180, lambda: not any(patterns.workers(pool) for pool in pools))
    assert patterns.status(name)["phase"] == "Running"
    patterns.patch("mcpjob", name, {"spec": {"cancel": True}})
    patterns.wait_job(name, "Cancelled", 20)
