"""What the end-to-end tests are written with: kubectl, jobs, waiting, killing, and what must hold of every job.

Nothing here knows the engine: it sees what a user sees.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

ROOT = Path(__file__).parents[2]
HELM = Path(os.environ.get("MCP_CACHE", ROOT / ".cache")) / "bin" / "helm"
GROUP = "mastercontrol.dev/v1alpha1"
ENDED = {"Succeeded", "Failed", "Cancelled"}

Object = dict[str, Any]

T = TypeVar("T")


class Timeout(AssertionError):
    """Something did not happen in time."""


def wait_for(what: str, seconds: float, look: Callable[[], T], every: float = 0.5) -> T:
    """Look until what is seen is true-ish; what was seen then."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise Timeout(f"within {seconds:g} s there was no {what}; the last look saw {seen!r}")
        time.sleep(every)


def wait_while(what: str, seconds: float, look: Callable[[], object], every: float = 0.5) -> None:
    """Look until nothing is seen any more; what is still there is in the error."""
    deadline = time.monotonic() + seconds
    while seen := look():
        if time.monotonic() > deadline:
            raise Timeout(f"after {seconds:g} s there was still {what}: {seen!r:.2000}")
        time.sleep(every)


@dataclass
class Cluster:
    """A kind cluster, by its kubeconfig; `namespace` is where the release and the tests' objects are."""

    kubeconfig: str
    node: str
    namespace: str = "default"
    events: list[str] = field(default_factory=list)

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True, seconds: float = 120) -> str:
        """Run kubectl; its output."""
        command = ["kubectl", "--kubeconfig", self.kubeconfig, "--namespace", self.namespace, *arguments]
        return run(command, stdin=stdin, check=check, seconds=seconds)

    def get(self, kind: str, name: str) -> Object:
        """One object."""
        return dict(json.loads(self.kubectl("get", kind, name, "-o", "json")))

    def objects(self, kind: str, selector: str = "") -> list[Object]:
        """All objects of a kind, or those that a label selector matches."""
        narrowed = ["-l", selector] if selector else []
        return list(json.loads(self.kubectl("get", kind, *narrowed, "-o", "json"))["items"])

    def apply(self, *objects: Object) -> None:
        """Apply objects."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def patch(self, kind: str, name: str, patch: Object) -> None:
        """Merge a patch into an object."""
        self.kubectl("patch", kind, name, "--type", "merge", "-p", json.dumps(patch))

    def condition(self, kind: str, name: str, condition: str, status: str = "") -> dict[str, str]:
        """A condition of an object, as `condition_of` finds it."""
        return condition_of(self.get(kind, name), condition, status)

    # -- jobs

    def job(self, workflow: str, data: Object | None = None, name: str = "", **spec: Any) -> str:
        """Create a Job; its name."""
        name = name or f"{workflow}-{uuid.uuid4().hex[:6]}"
        self.apply(job(name, workflow, data, **spec))
        return name

    def status(self, name: str) -> Object:
        """A Job's status, empty where there is none yet."""
        return dict(self.get("mcpjob", name).get("status", {}))

    def wait_job(self, name: str, phase: str, seconds: float = 60) -> Object:
        """Wait until a Job is in a phase; its status."""
        return wait_for(f"job {name} in phase {phase}", seconds, lambda: self._in(name, {phase}))

    def wait_state(self, name: str, state: str, seconds: float = 60) -> Object:
        """Wait until a Job is in a state; its status."""
        return wait_for(
            f"job {name} in state {state}", seconds, lambda: s if (s := self.status(name)).get("state") == state else {}
        )

    def wait_jobs(self, names: Iterable[str], seconds: float) -> dict[str, Object]:
        """Wait until all of these Jobs have ended; their statuses."""
        wanted = set(names)

        def look() -> dict[str, Object]:
            found = {j["metadata"]["name"]: j.get("status", {}) for j in self.objects("mcpjobs")}
            left = [n for n in wanted if found.get(n, {}).get("phase") not in ENDED]
            return {} if left else {n: found[n] for n in wanted}

        return wait_for(f"end of all {len(wanted)} jobs", seconds, look, every=1)

    def _in(self, name: str, phases: set[str]) -> Object:
        status = self.status(name)
        return status if status.get("phase") in phases else {}

    # -- pods

    def pods(self, selector: str) -> list[Object]:
        """Pods that are not on their way out."""
        return [p for p in self.objects("pods", selector) if "deletionTimestamp" not in p["metadata"]]

    def workers(self, pool: str) -> list[Object]:
        """The pods of a pool."""
        return self.pods(f"mastercontrol.dev/pool={pool}")

    @contextmanager
    def paused(self, pool: str) -> Iterator[None]:
        """Without workers of a pool: none that is on its way out may take a step, either."""
        self.patch("mcpworkerpool", pool, {"spec": {"maxReplicas": 0}})
        selector = f"mastercontrol.dev/pool={pool}"
        try:
            wait_while(f"a worker of {pool}", 90, lambda: self.kubectl("get", "pods", "-l", selector, "-o", "name"))
            yield
        finally:
            self.patch("mcpworkerpool", pool, {"spec": {"maxReplicas": 3}})

    def operators(self) -> list[Object]:
        """The operator's pods."""
        return self.pods("app.kubernetes.io/instance=mcp,app.kubernetes.io/component=operator")

    def leader(self) -> str:
        """The pod that holds the Lease."""
        leases = [o for o in self.objects("leases") if "mcp" in o["metadata"]["name"]]
        return str(leases[0]["spec"].get("holderIdentity") or "")

    def sigkill(self, pod: str) -> None:
        """SIGKILL to the first process of a pod's first container, from outside: nothing in it can prepare for it."""
        found = self.get("pod", pod)
        container = found["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        run(["docker", "exec", self.node, "ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", container])

    def rollout(self, kind: str, name: str, seconds: int = 180) -> None:
        """Wait until a Deployment or a StatefulSet is as it should be."""
        self.kubectl("rollout", "status", f"{kind}/{name}", f"--timeout={seconds}s", seconds=seconds + 10)

    def operator_metric(self, name: str) -> dict[str, float]:
        """The samples of a metric of the leading operator, by their labels as text."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.leader()}:8080/proxy/metrics"
        return samples(self.kubectl("get", "--raw", path), name)

    def api_metric(self, name: str) -> dict[str, float]:
        """The samples of a metric of the API server."""
        return samples(self.kubectl("get", "--raw", "/metrics"), name)


def condition_of(thing: Object, condition: str, status: str = "") -> dict[str, str]:
    """What an object says of a condition: type, status, reason and message; empty where it says nothing, or not so."""
    conditions = thing.get("status", {}).get("conditions", ())
    return next((dict(c) for c in conditions if c["type"] == condition and status in {"", c["status"]}), {})


def samples(text: str, name: str) -> dict[str, float]:
    """The samples of one metric in Prometheus' text format."""
    found = {}
    for line in text.splitlines():
        if line.startswith((f"{name}{{", f"{name} ")):
            labels, _, value = line.removeprefix(name).rpartition(" ")
            found[labels] = float(value)
    return found


def run(command: list[str], *, stdin: str | None = None, check: bool = True, seconds: float = 120) -> str:
    """Run a command; its standard output, and its standard error where it may fail."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=seconds)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-3000:]}")
    return done.stdout if check else done.stdout + done.stderr


def job(name: str, workflow: str, data: Object | None = None, **spec: Any) -> Object:
    """A Job."""
    body: Object = {"workflow": workflow, **spec}
    if data is not None:
        body["input"] = data
    return {"apiVersion": GROUP, "kind": "Job", "metadata": {"name": name}, "spec": body}


def workflow(name: str, *states: Object) -> Object:
    """A Workflow."""
    return {"apiVersion": GROUP, "kind": "Workflow", "metadata": {"name": name}, "spec": {"states": list(states)}}


def pool(name: str, *, command: list[str] | None = None, grace: int = 20, **spec: Any) -> Object:
    """A WorkerPool of the tests' own image."""
    program: Object = {"command": command} if command else {"handlers": "handlers"}
    template = {
        "image": "mastercontrol-e2e:dev",
        "gracePeriodSeconds": grace,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        **program,
    }
    body = {"maxReplicas": 3, "autoscaling": {"scaleDownStabilizationSeconds": 15}, **spec, "template": template}
    return {"apiVersion": GROUP, "kind": "WorkerPool", "metadata": {"name": name}, "spec": body}


def assert_exactly_once(name: str, status: Object, states: list[str]) -> None:
    """A job that was never retried: each transition once, in order, none twice, none left out."""
    history = status["history"]
    assert [h["seq"] for h in history] == list(range(1, len(history) + 1)), (name, history)
    assert status["sequence"] == len(history), (name, status)
    expected = [f"InProgress.{s}" for s in states] + ["Done"]
    assert [h["state"] for h in history] == expected, (name, history)


def assert_all_exactly_once(statuses: Mapping[str, Object], states: list[str]) -> None:
    """Jobs that all succeeded, and for each what `assert_exactly_once` says."""
    for name, status in statuses.items():
        assert status["phase"] == "Succeeded", (name, status)
        assert_exactly_once(name, status, states)


def assert_no_gap(name: str, status: Object, states: list[str]) -> None:
    """A job that may have been retried: the sequence has no gap and each state is entered from the one before."""
    history = status["history"]
    assert [h["seq"] for h in history] == list(range(1, len(history) + 1)), (name, history)
    order = [f"InProgress.{s}" for s in states] + ["Done"]
    at = [order.index(h["state"]) for h in history]
    assert all(b - a in {0, 1} for a, b in itertools.pairwise(at)), (name, history)
    assert at[0] == 0, (name, history)
    assert at[-1] == len(order) - 1, (name, history)
