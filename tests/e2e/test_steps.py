"""What becomes of a job: tried again, failed for good, hanging, cancelled, held, deleted, forgotten."""

from __future__ import annotations

import time

import pytest

from e2e.harness import Cluster, assert_exactly_once, assert_no_gap, wait_for, workflow


def test_a_step_that_fails_twice_works_the_third_time(cluster: Cluster) -> None:
    name = cluster.job("chain", {"failTimes": 2})
    status = cluster.wait_job(name, "Succeeded", 90)
    assert_no_gap(name, status, ["one", "two", "three"])
    assert [h["state"] for h in status["history"]].count("InProgress.one") == 3
    assert any(h.get("reason") == "ToldToFail" for h in status["history"])


def test_a_step_that_fails_for_good_says_why(cluster: Cluster) -> None:
    name = cluster.job("chain", {"failTimes": 99, "code": "CardRefused", "retryable": False})
    status = cluster.wait_job(name, "Failed", 60)
    assert status["error"] == {"code": "CardRefused", "message": "told to fail", "state": "one"}
    assert len(status["history"]) == 2, "an error that is not retryable is not tried again"
    described = cluster.kubectl("describe", "mcpjob", name)
    assert "CardRefused" in described
    assert wait_for("an Event", 20, lambda: "JobFailed" in cluster.kubectl("describe", "mcpjob", name))
    assert "CardRefused" in cluster.kubectl("get", "mcpjob", name)


def test_a_step_that_hangs_is_given_up_at_its_timeout_and_tried_again(cluster: Cluster) -> None:
    states = [{"name": "one", "pool": "one", "timeoutSeconds": 4, "retry": {"limit": 2, "backoffSeconds": 0}}]
    cluster.apply(workflow("hanging", *states))
    name = cluster.job("hanging", {"hangIn": "one", "hangTimes": 1})
    status = cluster.wait_job(name, "Succeeded", 90)
    assert any(h.get("reason") == "Timeout" for h in status["history"])
    late = cluster.job("hanging", {"hangIn": "one", "hangTimes": 99})
    status = cluster.wait_job(late, "Failed", 120)
    assert status["error"]["code"] == "Timeout"
    assert_seq = [h["seq"] for h in status["history"]]
    assert assert_seq == list(range(1, len(assert_seq) + 1))


def test_cancel_ends_a_job_and_a_late_result_changes_nothing(cluster: Cluster) -> None:
    name = cluster.job("chain", {"sleepSeconds": 5})
    cluster.wait_state(name, "InProgress.one")
    cluster.patch("mcpjob", name, {"spec": {"cancel": True}})
    status = cluster.wait_job(name, "Cancelled", 20)
    assert status["state"] == "Cancelled"
    time.sleep(8)
    assert cluster.status(name) == status
    refused = cluster.kubectl("patch", "mcpjob", name, "--type=merge", "-p", '{"spec":{"cancel":false}}', check=False)
    assert "spec.cancel: Forbidden: cancel cannot be taken back" in refused


def test_suspend_holds_a_job_and_resume_lets_it_go_on(cluster: Cluster) -> None:
    name = cluster.job("chain", {"sleepSeconds": 3})
    cluster.wait_state(name, "InProgress.one")
    cluster.patch("mcpjob", name, {"spec": {"suspend": True}})
    cluster.wait_job(name, "Suspended", 20)
    held = cluster.wait_state(name, "InProgress.two", 60)
    assert held["phase"] == "Suspended", "what runs finishes, and its result is kept"
    time.sleep(5)
    assert cluster.status(name)["state"] == "InProgress.two"
    assert "suspend" in cluster.kubectl("get", "mcpjob", name)
    cluster.patch("mcpjob", name, {"spec": {"suspend": False}})
    assert_exactly_once(name, cluster.wait_job(name, "Succeeded", 60), ["one", "two", "three"])


def test_a_job_deleted_while_it_runs_leaves_nothing_behind(cluster: Cluster) -> None:
    before = cluster.operator_metric("mcp_results_total").get('{reason="job_gone"}', 0)
    name = cluster.job("chain", {"sleepSeconds": 3})
    cluster.wait_state(name, "InProgress.one")
    cluster.kubectl("delete", "mcpjob", name, seconds=30)

    def gone() -> float:
        return cluster.operator_metric("mcp_results_total").get('{reason="job_gone"}', 0)

    wait_for("the result of a job that is gone", 60, lambda: gone() > before)
    again = cluster.job("chain", {}, name)
    assert_exactly_once(again, cluster.wait_job(again, "Succeeded", 60), ["one", "two", "three"])


def test_a_finished_job_is_removed_when_its_time_to_live_is_over(cluster: Cluster) -> None:
    name = cluster.job("chain", {}, ttlSecondsAfterFinished=3)
    wait_for("no such job", 90, lambda: "NotFound" in cluster.kubectl("get", "mcpjob", name, check=False))


def test_a_job_that_is_active_for_too_long_fails(cluster: Cluster) -> None:
    name = cluster.job("chain", {"sleepSeconds": 20}, activeDeadlineSeconds=4)
    status = cluster.wait_job(name, "Failed", 40)
    assert status["error"]["code"] == "DeadlineExceeded"


@pytest.mark.parametrize("output", [None, 0, "text", [1, 2], {"a": None}])
def test_kubectl_wait_ends_when_the_job_ends(cluster: Cluster, output: object) -> None:
    name = cluster.job("chain", {"value": output})
    cluster.kubectl("wait", "--for=condition=Complete", f"mcpjob/{name}", "--timeout=60s")
    assert cluster.status(name)["output"]["path"] == ["one", "two", "three"]
