"""Promise 2: whatever dies, nothing is lost and nothing is applied twice. Each test prints the time to recover."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

import all_states
from e2e.harness import Cluster, assert_exactly_once, wait_for, workflow

STATES = ["one", "two", "three"]
Helm = Callable[..., None]

pytestmark = pytest.mark.usefixtures("judged")


def _start(cluster: Cluster, count: int, seconds: float) -> list[str]:
    return [cluster.job("chain", {"sleepSeconds": seconds}) for _ in range(count)]


def _all_done(cluster: Cluster, names: list[str], seconds: float) -> None:
    for name, status in cluster.wait_jobs(names, seconds).items():
        assert status["phase"] == "Succeeded", (name, status)
        assert_exactly_once(name, status, STATES)


def _first_progress(cluster: Cluster, names: list[str], seconds: float) -> float:
    """Seconds until any of the jobs moves."""
    began = time.monotonic()
    before = {n: cluster.status(n).get("sequence") for n in names}
    wait_for("a job that moves", seconds, lambda: any(cluster.status(n).get("sequence") != before[n] for n in names))
    return time.monotonic() - began


def _new_leader(cluster: Cluster, old: str) -> None:
    wait_for("a new leader", 60, lambda: cluster.leader() not in {"", old})


def _wipe_the_broker(cluster: Cluster) -> float:
    """RabbitMQ loses its pod and its volume; seconds until it is back, empty."""
    claim = cluster.get("pod", "mcp-rabbitmq-0")["spec"]["volumes"]
    claim = next(v["persistentVolumeClaim"]["claimName"] for v in claim if "persistentVolumeClaim" in v)
    uid = "jsonpath={.metadata.uid}"
    old = cluster.kubectl("get", "pvc", claim, "-o", uid)
    cluster.kubectl("delete", "pvc", claim, "--wait=false")
    cluster.kubectl("delete", "pod", "mcp-rabbitmq-0", "--force", "--grace-period=0")
    began = time.monotonic()
    wait_for("a new claim", 60, lambda: cluster.kubectl("get", "pvc", claim, "-o", uid, check=False) not in {"", old})
    cluster.rollout("statefulset", "mcp-rabbitmq")
    return time.monotonic() - began


def _kill_the_leader(cluster: Cluster) -> None:
    pod = wait_for("a leader", 60, cluster.leader)
    cluster.sigkill(pod)
    # The kubelet backs off from a container that dies again and again; a new pod starts at once.
    cluster.kubectl("delete", "pod", pod, "--force", "--grace-period=0", check=False)
    _new_leader(cluster, pod)


def _kill_the_workers(cluster: Cluster) -> None:
    for pool in all_states.POOLS:
        for pod in cluster.workers(pool):
            cluster.kubectl("delete", "pod", pod["metadata"]["name"], "--force", "--grace-period=0", check=False)


def test_a_worker_killed_in_the_middle_of_a_step_loses_nothing(cluster: Cluster) -> None:
    name = cluster.job("chain", {"sleepSeconds": 8})
    cluster.wait_state(name, "InProgress.one")

    def busy() -> str:
        for pod in cluster.workers("one"):
            if name in cluster.kubectl("logs", pod["metadata"]["name"], check=False):
                return str(pod["metadata"]["name"])
        return ""

    pod = wait_for("the step in a worker's log", 60, busy)
    cluster.sigkill(pod)
    began = time.monotonic()
    status = cluster.wait_job(name, "Succeeded", 150)
    assert_exactly_once(name, status, STATES)
    print(f"the job was done {time.monotonic() - began:.0f} s after the kill, with three steps of 8 s")


def test_the_operator_killed_ten_times_while_fifty_jobs_run(cluster: Cluster) -> None:
    dice = random.Random(20)
    names = _start(cluster, 50, 0.5)
    recoveries = []
    for _ in range(10):
        time.sleep(dice.uniform(0.5, 3))
        pod = cluster.operators()[0]["metadata"]["name"]
        killed = time.monotonic()
        cluster.sigkill(pod)
        # The kubelet backs off from a container that dies again and again; a new pod starts at once.
        cluster.kubectl("delete", "pod", pod, "--force", "--grace-period=0", check=False)
        _new_leader(cluster, pod)
        recoveries.append(time.monotonic() - killed)
    _all_done(cluster, names, 300)
    print(f"10 kills; seconds to a new leader: {', '.join(f'{r:.1f}' for r in recoveries)}")


def test_the_second_replica_takes_over_within_fifteen_seconds(cluster: Cluster, helm: Helm) -> None:
    helm("operator.replicas=2")
    wait_for("two operators", 60, lambda: len(cluster.operators()) == 2)
    names = _start(cluster, 20, 1)
    _first_progress(cluster, names, 60)
    leader = wait_for("a leader", 30, cluster.leader)
    cluster.sigkill(leader)
    # Without its pod the killed process cannot come back under its name and take its own Lease again.
    cluster.kubectl("delete", "pod", leader, "--force", "--grace-period=0")
    began = time.monotonic()
    wait_for("another leader", 15, lambda: cluster.leader() not in {"", leader}, every=0.2)
    taken = time.monotonic() - began
    seconds = taken + _first_progress(cluster, names, 30)
    _all_done(cluster, names, 240)
    print(f"taken over {taken:.1f} s after the kill, jobs went on after {seconds:.1f} s")


def test_rabbitmq_restarted_under_load(cluster: Cluster) -> None:
    names = _start(cluster, 20, 1)
    _first_progress(cluster, names, 60)
    cluster.kubectl("delete", "pod", "mcp-rabbitmq-0", "--force", "--grace-period=0")
    began = time.monotonic()
    cluster.rollout("statefulset", "mcp-rabbitmq")
    up = time.monotonic() - began
    _all_done(cluster, names, 300)
    print(f"RabbitMQ was back after {up:.0f} s, all jobs were done after {time.monotonic() - began:.0f} s")


def test_rabbitmq_that_lost_all_its_data(cluster: Cluster) -> None:
    names = _start(cluster, 20, 1)
    _first_progress(cluster, names, 60)
    epoch = cluster.status(names[0])["brokerEpoch"]
    began = time.monotonic()
    up = _wipe_the_broker(cluster)
    _all_done(cluster, names, 300)
    assert any(cluster.status(n)["brokerEpoch"] != epoch for n in names), (
        "the data was not lost, so this showed nothing"
    )
    print(f"RabbitMQ was back, empty, after {up:.0f} s, all jobs were done after {time.monotonic() - began:.0f} s")


def test_every_type_of_state_survives_whatever_dies(cluster: Cluster, helm: Helm) -> None:
    helm(f"operator.settings.historyLimit={all_states.HISTORY}")
    cluster.apply(workflow(all_states.NAME, *all_states.STATES))
    names = [cluster.job(all_states.NAME, {"sleepSeconds": 1}) for _ in range(20)]
    began = time.monotonic()
    deaths = (_kill_the_leader, _kill_the_workers, _wipe_the_broker, _kill_the_leader, _kill_the_workers)
    for i, die in enumerate(deaths):
        # So that at each death some jobs are at their beginning and others behind the signal.
        for name in names[i :: len(deaths)]:
            cluster.patch("mcpjob", name, {"spec": {"signals": all_states.GO}})
        _first_progress(cluster, names, 120)
        die(cluster)
    for name, status in cluster.wait_jobs(names, 400).items():
        all_states.assert_each_transition_once(name, status)
    print(f"{len(names)} jobs with every type of state: {time.monotonic() - began:.0f} s, with {len(deaths)} deaths")


def test_a_worker_that_is_told_to_go_finishes_its_step(cluster: Cluster) -> None:
    name = cluster.job("chain", {"sleepSeconds": 6})
    cluster.wait_state(name, "InProgress.one")

    def busy() -> str:
        for pod in cluster.workers("one"):
            if name in cluster.kubectl("logs", pod["metadata"]["name"], check=False):
                return str(pod["metadata"]["name"])
        return ""

    pod = wait_for("the step in a worker's log", 60, busy)
    cluster.kubectl("delete", "pod", pod, "--wait=false")
    status = cluster.wait_job(name, "Succeeded", 120)
    assert_exactly_once(name, status, STATES)
    assert status["history"][1]["worker"] == pod, "another worker had to do it again"


def test_the_node_container_runtime_sees_our_kill(cluster: Cluster) -> None:
    """The kill of the tests above is one: the container's last end has the status of a SIGKILL."""
    pod = cluster.operators()[0]["metadata"]["name"]
    cluster.sigkill(pod)

    def ended() -> int:
        status = cluster.get("pod", pod)["status"]["containerStatuses"][0]
        return int(status.get("lastState", {}).get("terminated", {}).get("exitCode", 0))

    assert wait_for("an end of the container", 60, ended) == 137
    cluster.kubectl("wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=90s")
