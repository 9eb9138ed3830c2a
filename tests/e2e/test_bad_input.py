"""Bad input gives a named error where the user looks; the operator stays up and nobody else waits for it."""

from __future__ import annotations

import base64
import json
import time

from e2e.harness import Cluster, assert_exactly_once, pool, wait_for, workflow


def _publish(cluster: Cluster, message_id: str | None, body: bytes) -> None:
    """Put a message on the results queue, as the broker's own administrator."""
    secret = cluster.get("secret", "mcp-rabbitmq")["data"]
    url = base64.b64decode(secret["amqp-url"]).decode()
    # In a busy cluster the name of a new Service is known late.
    program = (
        "import base64, socket, sys, time, pika\n"
        "def connect(tries):\n"
        "    try:\n"
        "        return pika.BlockingConnection(pika.URLParameters(sys.argv[1]))\n"
        "    except socket.gaierror:\n"
        "        if tries == 1: raise\n"
        "    time.sleep(1)\n"
        "    return connect(tries - 1)\n"
        "c = connect(30)\n"
        "p = pika.BasicProperties(message_id=sys.argv[2] or None)\n"
        "c.channel().basic_publish('mcp.results', 'mcp.results', base64.b64decode(sys.stdin.read()), p)\n"
        "c.close()\n"
    )
    operator = cluster.operators()[0]["metadata"]["name"]
    text = base64.b64encode(body).decode()
    cluster.kubectl("exec", "-i", operator, "--", "python3", "-c", program, url, message_id or "", stdin=text)


def _results(cluster: Cluster, reason: str) -> float:
    return cluster.operator_metric("mcp_results_total").get(f'{{reason="{reason}"}}', 0)


def test_an_unknown_workflow_is_named_and_the_job_goes_on_when_it_comes(cluster: Cluster) -> None:
    name = cluster.job("not-yet", {})
    status = cluster.wait_job(name, "Pending", 20)
    assert "there is no Workflow 'not-yet'" in status["message"]
    assert "not-yet" in cluster.kubectl("get", "mcpjob", name)
    cluster.apply(workflow("not-yet", {"name": "one", "pool": "one"}))
    assert_exactly_once(name, cluster.wait_job(name, "Succeeded", 60), ["one"])


def test_an_unknown_pool_is_named_and_the_job_goes_on_when_it_comes(cluster: Cluster) -> None:
    cluster.apply(workflow("to-four", {"name": "one", "pool": "one"}, {"name": "two", "pool": "four"}))
    name = cluster.job("to-four", {})
    cluster.wait_state(name, "InProgress.two")
    assert wait_for("a reason", 20, lambda: "WorkerPool 'four'" in cluster.status(name).get("message", ""))
    cluster.apply(pool("four"))
    assert_exactly_once(name, cluster.wait_job(name, "Succeeded", 90), ["one", "two"])
    cluster.kubectl("delete", "mcpworkerpool", "four")


def test_an_invalid_spec_is_refused_by_apply_with_what_to_write(cluster: Cluster) -> None:
    bad = json.dumps(
        {"apiVersion": "mastercontrol.dev/v1alpha1", "kind": "Job", "metadata": {"name": "bad"}, "spec": {}}
    )
    assert "spec.workflow: Required value" in cluster.kubectl("apply", "-f", "-", stdin=bad, check=False)
    name = cluster.job("chain", {})
    changed = cluster.kubectl(
        "patch", "mcpjob", name, "--type=merge", "-p", '{"spec":{"workflow":"other"}}', check=False
    )
    assert "spec.workflow: Forbidden: workflow cannot be changed" in changed


def test_a_workflow_that_cannot_run_says_so_and_its_job_waits(cluster: Cluster) -> None:
    cluster.apply(
        workflow(
            "skips",
            {"name": "one", "pool": "one", "next": "three"},
            {"name": "two", "pool": "two"},
            {"name": "three", "pool": "three"},
        )
    )

    said = wait_for("a fault", 20, lambda: cluster.condition("mcpworkflow", "skips", "Ready", "False"))
    assert "'two' is never reached" in said["message"]
    name = cluster.job("skips", {})
    assert "never reached" in cluster.wait_job(name, "Pending", 20)["message"]
    cluster.apply(workflow("skips", {"name": "one", "pool": "one"}))
    assert_exactly_once(name, cluster.wait_job(name, "Succeeded", 60), ["one"])


def test_garbage_and_foreign_ids_on_the_results_queue_are_counted_and_disturb_nobody(cluster: Cluster) -> None:
    malformed, foreign = _results(cluster, "malformed"), _results(cluster, "job_gone")
    running = cluster.job("chain", {"sleepSeconds": 2})
    _publish(cluster, None, b"\x00\xff garbage")
    _publish(cluster, "0000:1:1", b"{}")
    stranger = {
        "version": 1,
        "job": {"namespace": "default", "name": "stranger", "uid": "0000"},
        "step": "one",
        "attempt": 1,
        "outcome": "Succeeded",
        "output": 1,
    }
    _publish(cluster, "0000:1:1", json.dumps(stranger).encode())
    wait_for("two malformed results", 30, lambda: _results(cluster, "malformed") == malformed + 2)
    wait_for("a result for no job", 30, lambda: _results(cluster, "job_gone") == foreign + 1)
    assert_exactly_once(running, cluster.wait_job(running, "Succeeded", 90), ["one", "two", "three"])


def test_a_result_of_one_mebibyte_fails_its_step_with_a_name(cluster: Cluster) -> None:
    name = cluster.job("chain", {"answerBytes": 1024 * 1024})
    status = cluster.wait_job(name, "Failed", 60)
    assert status["error"]["code"] == "ResultTooLarge"


def test_a_foreign_worker_that_sends_one_mebibyte_fails_its_step_with_the_same_name(cluster: Cluster) -> None:
    with cluster.paused("three"):
        _answer_too_much(cluster)


def _answer_too_much(cluster: Cluster) -> None:
    name = cluster.job("chain", {})
    status = cluster.wait_state(name, "InProgress.three", 90)
    uid = cluster.get("mcpjob", name)["metadata"]["uid"]
    body = {
        "version": 1,
        "job": {"namespace": "default", "name": name, "uid": uid},
        "step": "three",
        "attempt": 1,
        "outcome": "Succeeded",
        "output": "x" * 1024 * 1024,
    }
    _publish(cluster, f"{uid}:{status['active'][0]['seq']}:1", json.dumps(body).encode())
    status = cluster.wait_job(name, "Failed", 60)
    assert status["error"]["code"] == "ResultTooLarge"


def test_a_program_that_prints_no_json_fails_its_step_with_a_name(cluster: Cluster) -> None:
    cluster.apply(pool("silent", command=["/app/says_nothing.sh"]))
    cluster.apply(workflow("silent", {"name": "say", "pool": "silent"}))
    name = cluster.job("silent", {})
    status = cluster.wait_job(name, "Failed", 90)
    assert status["error"]["code"] == "ResultNotJSON"
    assert "this is no JSON" in status["error"]["message"]
    cluster.kubectl("delete", "mcpworkerpool", "silent")


def test_the_operator_did_not_restart_during_all_this(cluster: Cluster) -> None:
    before = [p["status"]["containerStatuses"][0]["restartCount"] for p in cluster.operators()]
    for body in (b"", b"[]", b"null", b'{"version":2}', b"{" * 10_000):
        _publish(cluster, "x:y:z", body)
    time.sleep(3)
    assert [p["status"]["containerStatuses"][0]["restartCount"] for p in cluster.operators()] == before
