"""KEDA itself, with the manifest of the how-to: from none to as many as there are steps, and back."""

from __future__ import annotations

import secrets
import time

from e2e.executions import executions
from e2e.harness import Cluster, wait_for
from e2e.manifests import manifest
from e2e.watching import ReplicasWatch
from keda.conftest import POOL

JOBS = 5


def test_keda_scales_a_pool_from_none_and_back_and_ends_no_busy_worker(payments: Cluster) -> None:
    payments.apply(manifest("keda", payments.namespace))
    payments.kubectl("wait", "scaledobject", POOL, "--for=condition=Ready", "--timeout=60s")
    with (
        ReplicasWatch(payments, f"mcp-worker-{POOL}") as watch,
        executions(payments, f"mcp-worker-{POOL}", 900) as done,
    ):
        began = time.monotonic()
        # Of two lengths: the number goes down while some are at work.
        names = [
            payments.job(POOL, {"sleepSeconds": 40 + 50 * (number % 2)}, f"{POOL}-{secrets.token_hex(4)}")
            for number in range(JOBS)
        ]
        some = watch.until(lambda replicas: replicas > 0, began, 120) - began
        all_ = watch.until(lambda replicas: replicas == JOBS, began, 240) - began
        # Its own defaults wait five minutes, twice.
        behavior = {"scaleDown": {"stabilizationWindowSeconds": 5}}
        quick = {"cooldownPeriod": 20, "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}}}
        payments.patch("scaledobject", POOL, {"spec": quick})
        statuses = payments.wait_jobs(names, 300)
        ended = time.monotonic()
        assert {status["phase"] for status in statuses.values()} == {"Succeeded"}
        none = watch.until(lambda replicas: replicas == 0, ended, 300) - ended
        wait_for("no worker", 60, lambda: not payments.workers(POOL))
    assert done.dispatches(names) == done.first_dispatches(names)
    print(
        f"KEDA: the first worker after {some:.0f} s, {JOBS} after {all_:.0f} s, none {none:.0f} s after the last step"
    )
    print(f"numbers: {[number for _, number in watch.seen]}")
