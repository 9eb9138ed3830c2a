"""Workers whose pods took long to start: half of them stay when the others go, where the user set no window."""

from __future__ import annotations

import secrets
import time

from e2e.harness import Cluster, pool, wait_for, workflow
from e2e.watching import ReplicasWatch

NAME = "slow"
PODS = f"mcp-worker-{NAME}"
WITHOUT_NODE = 15.0
"""Seconds that the pods wait for a node, so that half of them stay for more than twice the window of 60 s."""


def test_half_of_the_workers_that_started_slowly_stay_longer(cluster: Cluster) -> None:
    cluster.apply(workflow(NAME, {"name": "one", "pool": NAME, "timeoutSeconds": 60}))
    cluster.apply(pool(NAME, grace=60, maxReplicas=4, autoscaling={"enabled": True}))
    wait_for("the pool's Deployment", 60, lambda: PODS in cluster.kubectl("get", "deployments", "-o", "name"))
    cluster.kubectl("cordon", cluster.node)
    try:
        names = [cluster.job(NAME, {"sleepSeconds": 3}, f"{NAME}-{secrets.token_hex(4)}") for _ in range(4)]
        wait_for("four pods", 60, lambda: len(cluster.workers(NAME)) == 4)
        time.sleep(WITHOUT_NODE)
    finally:
        cluster.kubectl("uncordon", cluster.node)
    with ReplicasWatch(cluster, PODS) as watch:
        cluster.wait_jobs(names, 60)
        ended = time.monotonic()
        down = watch.until(lambda replicas: replicas < 4, ended, 120) - ended
        settled = watch.until(lambda replicas: replicas == 2, ended, 30) - ended
        time.sleep(20)
        assert watch.seen[-1][1] == 2, watch.seen
        assert len(cluster.workers(NAME)) == 2
        job = cluster.job(NAME, {}, f"{NAME}-{secrets.token_hex(4)}")
        began = time.monotonic()
        cluster.wait_job(job, "Succeeded", 20)  # by a worker that is there
        took = time.monotonic() - began
    assert down > 50, "the window is 60 s"
    print(f"four workers, without work: the first went after {down:.0f} s, two were left after {settled:.0f} s")
    print(f"and stayed: the next job was done after {took:.1f} s")
    cluster.kubectl("delete", "mcpworkerpool", NAME, "--wait=false")
