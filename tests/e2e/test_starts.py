"""Workers that take long to start, and workers that can't: a roll-out waits for the ones and stops at the others.

And those that are told to go before they have started.
"""

from __future__ import annotations

import secrets
import time

import pytest

from e2e.harness import Cluster, condition_of, pool, wait_for, wait_while, workflow

SLOW, ROLLED, HASTY = "loads", "rolled", "hasty"
LOAD_SECONDS = 90
"""Longer than the liveness probe waits for its first answer: 3 failures, 30 s apart."""


def ready(cluster: Cluster, name: str) -> set[str]:
    """The workers of a pool that are ready."""
    return {pod["metadata"]["name"] for pod in cluster.workers(name) if condition_of(pod, "Ready", "True")}


def says(cluster: Cluster, name: str) -> str:
    """The message of a pool's condition Ready."""
    return cluster.condition("mcpworkerpool", name, "Ready").get("message", "")


@pytest.fixture(scope="module")
def slow(cluster: Cluster) -> Cluster:
    """A pool with a worker whose handlers take long to load; it loads them while other tests run."""
    manifest = pool(SLOW, minReplicas=1)
    manifest["spec"]["template"]["env"] = [{"name": "LOAD_SECONDS", "value": str(LOAD_SECONDS)}]
    cluster.apply(manifest, workflow(SLOW, {"name": "one", "pool": SLOW}))
    wait_for("the worker", 60, lambda: len(cluster.workers(SLOW)) == 1)
    wait_for("why it is not ready", 60, lambda: "still loading" in says(cluster, SLOW))
    return cluster


@pytest.mark.usefixtures("slow")
def test_a_roll_out_to_handlers_that_cannot_be_loaded_ends_no_worker(cluster: Cluster) -> None:
    cluster.apply(pool(ROLLED, minReplicas=3), workflow(ROLLED, {"name": "one", "pool": ROLLED}))
    before = wait_for("three workers", 60, lambda: found if len(found := ready(cluster, ROLLED)) == 3 else None)
    cluster.patch("mcpworkerpool", ROLLED, {"spec": {"template": {"handlers": "no_such_module"}}})
    began = time.monotonic()
    said = wait_for("why", 90, lambda: text if "exit code 2" in (text := says(cluster, ROLLED)) else "")
    print(f"after {time.monotonic() - began:.0f} s: {said}")
    assert said.startswith("3 of 3 workers are ready; their replacements are not: ")
    wait_for("three tries to start it", 90, lambda: _restarts(cluster, ROLLED) >= 2)
    assert ready(cluster, ROLLED) == before
    names = [cluster.job(ROLLED, {}, f"{ROLLED}-{secrets.token_hex(4)}") for _ in range(3)]
    assert {status["phase"] for status in cluster.wait_jobs(names, 60).values()} == {"Succeeded"}

    cluster.patch("mcpworkerpool", ROLLED, {"spec": {"template": {"handlers": "handlers", "env": [_CHANGED]}}})
    wait_for("three new workers", 90, lambda: _replaced(cluster, before))
    cluster.wait_job(cluster.job(ROLLED, {}), "Succeeded")
    wait_for("the condition", 60, lambda: says(cluster, ROLLED) == "3 of 3 workers are ready")
    cluster.kubectl("delete", "mcpworkerpool", ROLLED, "--wait=false")


def test_a_worker_may_take_long_to_load_its_handlers(slow: Cluster) -> None:
    wait_for("the worker", LOAD_SECONDS + 60, lambda: ready(slow, SLOW))
    (worker,) = slow.workers(SLOW)
    (container,) = worker["status"]["containerStatuses"]
    assert container["restartCount"] == 0
    slow.wait_job(slow.job(SLOW, {}), "Succeeded")
    slow.kubectl("delete", "mcpworkerpool", SLOW, "--wait=false")


def test_a_worker_that_is_told_to_go_before_it_listens_goes_at_once(cluster: Cluster) -> None:
    manifest = pool(HASTY, grace=120, minReplicas=1)
    manifest["spec"]["template"]["env"] = [{"name": "PYTHONPATH", "value": "/app/slow_start"}]
    cluster.apply(manifest)
    worker = wait_for("a process", 60, lambda: _running(cluster, HASTY))
    cluster.kubectl("delete", "pod", worker, "--wait=false")
    began = time.monotonic()
    wait_while("the worker", 30, lambda: cluster.kubectl("get", "pod", worker, "--ignore-not-found"))
    print(f"told to go before it listened, it was gone after {time.monotonic() - began:.1f} s")
    cluster.kubectl("delete", "mcpworkerpool", HASTY, "--wait=false")


_CHANGED = {"name": "ROLLOUT", "value": "2"}


def _restarts(cluster: Cluster, name: str) -> int:
    """How often the container was started again that was most often."""
    pods = cluster.workers(name)
    return max((one["restartCount"] for pod in pods for one in pod["status"].get("containerStatuses", ())), default=0)


def _running(cluster: Cluster, name: str) -> str:
    """A worker of the pool whose container runs."""
    for pod in cluster.workers(name):
        if any("running" in one["state"] for one in pod["status"].get("containerStatuses", ())):
            return str(pod["metadata"]["name"])
    return ""


def _replaced(cluster: Cluster, before: set[str]) -> set[str]:
    """Three ready workers, if there are no others and none of these."""
    here = {pod["metadata"]["name"] for pod in cluster.workers(ROLLED)}
    found = ready(cluster, ROLLED)
    return found if len(found) == 3 and found == here and not here & before else set()
