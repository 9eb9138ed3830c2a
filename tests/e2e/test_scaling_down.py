"""No busy worker is ended: scale-downs and rollouts under load, with steps of all lengths up to a minute.

What was executed is read from the logs of all pods, those that are gone included. A step that lost its worker is
executed again, so each dispatch that was executed exactly once had a worker that was left to finish.
MCP_SCALE_DOWNS and MCP_ROLLOUTS make the run longer than a test run needs it.
"""

from __future__ import annotations

import itertools
import os
import random
import secrets
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from e2e.executions import executions
from e2e.harness import Cluster, pool, wait_for, workflow
from e2e.watching import ReplicasWatch

POOL = "steady"
PODS = f"mcp-worker-{POOL}"
SCALE_DOWNS = int(os.environ.get("MCP_SCALE_DOWNS", "25"))
ROLLOUTS = int(os.environ.get("MCP_ROLLOUTS", "3"))
STARTS = 20
SHORT = (0.1, 0.5, 1.0, 2.0, 4.0)
LONG = (20.0, 40.0, 60.0)


@pytest.fixture(scope="module")
def steady(cluster: Cluster) -> Cluster:
    cluster.apply(pool(POOL, grace=90, maxReplicas=8, autoscaling={"scaleDownStabilizationSeconds": 1}))
    cluster.apply(workflow(POOL, {"name": "one", "pool": POOL}))
    wait_for("the pool's Deployment", 60, lambda: PODS in cluster.kubectl("get", "deployments", "-o", "name"))
    return cluster


class Load:
    """Jobs in bursts. `names` are all of them."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster, self._random = cluster, random.Random(seed)
        self._names = (f"{POOL}-{secrets.token_hex(4)}" for _ in itertools.count())
        self._long: list[float] = []  # when each of the long ones ends, about
        self.names: list[str] = []

    def burst(self) -> None:
        """Some short steps, and never fewer than one long one at work."""
        now = time.monotonic()
        self._long = [end for end in self._long if end > now]
        lengths = [self._random.choice(SHORT) for _ in range(self._random.randint(2, 6))]
        if len(self._long) < 2:
            lengths.append(self._random.choice(LONG))
            self._long.append(now + lengths[-1])
        for seconds in lengths:
            self.names.append(self._cluster.job(POOL, {"sleepSeconds": seconds}, next(self._names)))


@contextmanager
def each_executed_once(cluster: Cluster, seconds: float) -> Iterator[Load]:
    """Jobs that flow meanwhile. At the end all have succeeded, and each dispatch was executed once."""
    load = Load(cluster, seed=1)
    with executions(cluster, PODS, seconds) as executed:
        yield load
        statuses = cluster.wait_jobs(load.names, 180)
    assert {name: status["phase"] for name, status in statuses.items()} == dict.fromkeys(load.names, "Succeeded")
    assert executed.dispatches(load.names) == executed.first_dispatches(load.names)


def test_from_zero_within_a_second_and_back_after_the_window(steady: Cluster) -> None:
    waits, backs = [], []
    with ReplicasWatch(steady, PODS) as watch:
        for number in range(STARTS):
            watch.until(lambda replicas: replicas == 0, time.monotonic(), 60)
            name = f"start-{number}"
            began = time.monotonic()
            steady.job(POOL, {}, name)  # that takes a part of the time that is measured
            up = watch.until(lambda replicas: replicas > 0, began, 30)
            steady.wait_job(name, "Succeeded")
            ended = time.monotonic()
            waits.append(up - began)
            backs.append(watch.until(lambda replicas: replicas == 0, ended, 30) - ended)
    print(f"from the command to the changed number: {statistics.median(waits):.2f} s median of {STARTS}")
    print(f"worst {max(waits):.2f} s; from the end of the job back to none: {statistics.median(backs):.1f} s median")
    assert statistics.median(waits) < 1.0


def test_scale_downs_under_load_end_no_busy_worker(steady: Cluster) -> None:
    seconds = 60.0 + SCALE_DOWNS * 10
    with ReplicasWatch(steady, PODS) as watch, each_executed_once(steady, seconds + 300) as load:
        began = time.monotonic()
        while watch.downs < SCALE_DOWNS:
            assert time.monotonic() - began < seconds, f"{watch.downs} scale-downs of {SCALE_DOWNS}"
            load.burst()
            time.sleep(5)
        downs, took = watch.downs, time.monotonic() - began
    print(f"{downs} workers were taken away in {took:.0f} s beside {len(load.names)} jobs, none at work")


def test_rollouts_under_load_end_no_busy_worker(steady: Cluster) -> None:
    with each_executed_once(steady, 300.0 + ROLLOUTS * 60) as load:
        load.burst()
        for number in range(ROLLOUTS):
            env = [{"name": "ROLLOUT", "value": str(number)}]
            steady.patch("mcpworkerpool", POOL, {"spec": {"template": {"env": env}}})
            load.burst()
            time.sleep(3)
            load.burst()
            steady.rollout("deployment", PODS)
    print(f"{ROLLOUTS} rollouts beside {len(load.names)} jobs, no worker was ended at work")


def test_a_step_that_kills_every_worker_does_not_hold_up_the_others(steady: Cluster) -> None:
    name = "poisoned"
    steady.apply(pool(name, maxReplicas=2, deliveryLimit=6))
    # Its own retry would send it again, as another attempt: one is enough here.
    steady.apply(workflow(name, {"name": "one", "pool": name, "retry": {"limit": 0}}))
    poison = steady.job(name, {"dieIn": "one"}, f"{name}-{secrets.token_hex(4)}")
    steady.wait_state(poison, "InProgress.one")
    began = time.monotonic()
    good = [steady.job(name, {"sleepSeconds": 1}, f"good-{secrets.token_hex(4)}") for _ in range(10)]
    statuses = steady.wait_jobs(good, 180)
    done = time.monotonic() - began
    assert {status["phase"] for status in statuses.values()} == {"Succeeded"}
    failed = steady.wait_job(poison, "Failed", 300)
    print(f"10 jobs beside the one that kills workers: {done:.0f} s")
    print(f"that one failed after {time.monotonic() - began:.0f} s")
    assert "DeliveryLimitExceeded" in str(failed)
    steady.kubectl("delete", "mcpworkerpool", name, "--wait=false")
