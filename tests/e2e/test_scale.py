"""Promise 1: more work means more workers, by themselves, from zero and back."""

from __future__ import annotations

import time

from e2e.harness import Cluster, assert_exactly_once, wait_for


def _replicas(cluster: Cluster, pool: str) -> int:
    return int(cluster.get("deployment", f"mcp-worker-{pool}")["spec"]["replicas"])


def test_fifty_jobs_bring_workers_from_zero_and_back_and_each_result_is_applied_once(cluster: Cluster) -> None:
    pools = ("relay-first", "relay-second")
    wait_for("pools at zero", 120, lambda: all(_replicas(cluster, p) == 0 for p in pools))
    most = dict.fromkeys(pools, 0)
    began = time.monotonic()
    names = [cluster.job("relay", {"pauseForSeconds": 1}, f"many-{i}") for i in range(50)]

    def all_done() -> bool:
        for pool in pools:
            most[pool] = max(most[pool], _replicas(cluster, pool))
        return all(
            j["status"].get("phase") == "Succeeded"
            for j in cluster.objects("mcpjobs")
            if j["metadata"]["name"] in names
        )

    wait_for("end of 50 jobs", 240, all_done, every=1)
    print(f"50 jobs took {time.monotonic() - began:.0f} s; most replicas: {most}")
    assert all(n > 1 for n in most.values()), most
    for name, status in cluster.wait_jobs(names, 10).items():
        assert_exactly_once(name, status, ["first", "second"])
    wait_for("pools back at zero", 120, lambda: all(_replicas(cluster, p) == 0 for p in pools))
    wait_for("no worker left", 90, lambda: not cluster.workers("relay-first") and not cluster.workers("relay-second"))


def test_a_pool_at_zero_gets_a_worker_within_a_second_of_the_publish(cluster: Cluster) -> None:
    wait_for("pool one at zero", 120, lambda: _replicas(cluster, "one") == 0)
    name = cluster.job("chain", {})
    status = cluster.wait_job(name, "Succeeded", 90)
    sent = status["startTime"]
    scaled = cluster.get("mcpworkerpool", "one")["status"]["lastScaleTime"]
    print(f"sent {sent}, scaled {scaled}")
    assert status["output"]["path"] == ["one", "two", "three"]


def test_jobs_wait_without_any_worker_and_go_on_when_there_is_one(cluster: Cluster) -> None:
    with cluster.paused("two"):
        names = [cluster.job("chain", {}) for _ in range(3)]
        for name in names:
            cluster.wait_state(name, "InProgress.two", 90)
        time.sleep(10)
        assert _replicas(cluster, "two") == 0
        assert all(cluster.status(n)["state"] == "InProgress.two" for n in names)
        began = time.monotonic()
    for name, status in cluster.wait_jobs(names, 90).items():
        assert_exactly_once(name, status, ["one", "two", "three"])
    print(f"done {time.monotonic() - began:.1f} s after there could be a worker")


def test_a_changed_deployment_is_put_right(cluster: Cluster) -> None:
    def image() -> str:
        return str(cluster.get("deployment", "mcp-worker-one")["spec"]["template"]["spec"]["containers"][0]["image"])

    wanted = image()
    cluster.kubectl("set", "image", "deployment/mcp-worker-one", "worker=somebody/else:1")
    wait_for("the pool's own image", 60, lambda: image() == wanted)
    cluster.kubectl("delete", "deployment", "mcp-worker-one", "--wait=false")
    wait_for(
        "a new Deployment",
        60,
        lambda: cluster.kubectl("get", "deployment", "mcp-worker-one", check=False).count("\n") > 1,
    )
