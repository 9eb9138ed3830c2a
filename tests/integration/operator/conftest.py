"""The operator's own process and workers' own processes on a real API server and a real RabbitMQ, without pods.

Each test has a namespace, a Lease and an epoch ConfigMap of its own; the broker is shared, so tests take turns.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from checker.report import table
from recording.recorder import Recorder, judge

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
GROUP = "mastercontrol.dev/v1alpha1"
WRITES = ("POST", "PUT", "PATCH", "DELETE", "APPLY")

HANDLERS = """
import time
import mastercontrol_worker as worker

def act(data, context):
    time.sleep(data.get("sleepSeconds", 0))
    return {**data, "path": [*data.get("path", []), context.step]}

for name in ("one", "two", "three"):
    worker.step(name)(act)
"""


@dataclass
class World:
    """A namespace with a Workflow `chain` of three steps, and the processes that this test started for it.

    `tells`: its workers say what they execute, as those with the handlers of the image of the e2e tests do.
    """

    kubeconfig: str
    environ: dict[str, str]
    folder: Path
    namespace: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    tells: bool = True

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        command = ["kubectl", "--kubeconfig", self.kubeconfig, "-n", self.namespace, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin="\n".join(json.dumps(o) for o in objects))

    def jobs(self, count: int, data: dict[str, Any] | None = None) -> list[str]:
        names = [f"job-{uuid.uuid4().hex[:8]}" for _ in range(count)]
        self.apply(*(_object("Job", n, {"workflow": "chain", "input": data or {}}) for n in names))
        return names

    def statuses(self) -> dict[str, dict[str, Any]]:
        found = json.loads(self.kubectl("get", "mcpjobs", "-o", "json"))["items"]
        return {j["metadata"]["name"]: j.get("status", {}) for j in found}

    def wait_done(self, names: list[str], seconds: float) -> None:
        """Until all are Done; each transition once, in order."""
        self.wait("all jobs Done", seconds, lambda: all(self.statuses()[n].get("state") == "Done" for n in names))
        for name in names:
            status = self.statuses()[name]
            assert [h["seq"] for h in status["history"]] == [1, 2, 3, 4], (name, status)
            assert status["output"]["path"] == ["one", "two", "three"], (name, status)

    def wait(self, what: str, seconds: float, look: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + seconds
        while not (seen := look()):
            assert time.monotonic() < deadline, f"within {seconds} s there was no {what}\n{self.logs()}"
            time.sleep(0.3)
        return seen

    def operator(self, **more: str) -> Operator:
        """Start one, with `more` in its environment."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        identity = f"operator-{len(self.processes)}"
        environ = {**self.environ, "MCP_HTTP_PORT": str(port), "MCP_POD_NAME": identity, **more}
        return Operator(self._start([str(BIN / "mastercontrol"), "run"], environ, identity), identity, port)

    def keep_running(self, operator: Operator) -> Operator:
        """What a kubelet does: start a process that has ended again."""
        return operator if operator.process.poll() is None else self.operator()

    def worker(self, pool: str, handlers: str = "chain_handlers", **more: str) -> subprocess.Popen[bytes]:
        """Start one, with `more` in its environment."""
        self.tells = self.tells and handlers == "handlers"
        environ = {
            **self.environ,
            "MCP_QUEUE": f"mcp.pool.{self.namespace}.{pool}",
            "MCP_CONCURRENCY": "8",
            "MCP_WORKER_NAME": f"worker-{uuid.uuid4().hex[:6]}",
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(self.folder), str(ROOT / "tests" / "e2e" / "image"), os.environ.get("PYTHONPATH")])
            ),
            **more,
        }
        command = [str(BIN / "mastercontrol-worker"), "--handlers", handlers]
        return self._start(command, environ, f"worker-{len(self.processes)}")

    def writes(self) -> Counter[tuple[str, str]]:
        """What the API server has counted until now, from all clients, by resource and subresource."""
        lines = self.kubectl("get", "--raw", "/metrics").splitlines()
        text = "\n".join(line for line in lines if line.startswith("apiserver_request_total{"))
        counted: Counter[tuple[str, str]] = Counter()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.labels["verb"] in WRITES:
                    counted[sample.labels["resource"], sample.labels["subresource"]] += int(sample.value)
        return counted

    def worker_logs(self) -> list[str]:
        return [path.read_text() for path in self.folder.glob("worker-*.log")]

    def holder(self) -> str:
        found = json.loads(self.kubectl("get", "leases", "-o", "json"))["items"]
        return str(found[0]["spec"].get("holderIdentity") or "") if found else ""

    def logs(self) -> str:
        return "\n".join(f"{p.name}:\n{p.read_text()[-3000:]}" for p in sorted(self.folder.glob("*.log")))

    def _start(self, command: list[str], environ: dict[str, str], name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        self.processes.append(process)
        return process


@dataclass
class Operator:
    """One process of the operator."""

    process: subprocess.Popen[bytes]
    identity: str
    port: int

    def http(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def ready(self) -> bool:
        return self.http("/readyz")[0] == 200

    def metric(self, line: str) -> float:
        """The value of one sample, named as it is printed."""
        for found in self.http("/metrics")[1].splitlines():
            if found.startswith(f"{line} "):
                return float(found.rpartition(" ")[2])
        return 0.0

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": GROUP, "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def world(kubeconfig: str, amqp_url: str, management_url: str, tmp_path: Path) -> Iterator[World]:
    """A world that is watched from outside: when the test is over, the history checker judges what happened."""
    with made_world(kubeconfig, amqp_url, management_url, tmp_path) as found, judged(found, amqp_url, management_url):
        yield found


@pytest.fixture
def bare_world(kubeconfig: str, amqp_url: str, management_url: str, tmp_path: Path) -> Iterator[World]:
    """A world that nobody judges."""
    with made_world(kubeconfig, amqp_url, management_url, tmp_path) as found:
        yield found


@pytest.fixture
def recorder(bare_world: World, amqp_url: str, management_url: str) -> Iterator[Recorder]:
    """Who watches that world from outside."""
    found = Recorder(bare_world.kubeconfig, bare_world.namespace, amqp_url, management_url)
    found.start()
    yield found
    found.stop()


@contextmanager
def judged(world: World, amqp_url: str, management_url: str) -> Iterator[None]:
    """Lets the history checker judge what happened meanwhile.

    MCP_HISTORIES names a folder in which the histories are kept.
    """
    watching = Recorder(world.kubeconfig, world.namespace, amqp_url, management_url)
    watching.start()
    try:
        yield
    finally:
        watching.stop()
    folder = Path(os.environ.get("MCP_HISTORIES", world.folder))
    path = folder / f"{world.namespace}.jsonl"
    verdict = judge(watching.history(world.worker_logs() if world.tells else None), path)
    print("\n".join(table({path.name: verdict})))
    assert [str(fault) for fault in verdict.faults] == []


@contextmanager
def made_world(kubeconfig: str, amqp_url: str, management_url: str, tmp_path: Path) -> Iterator[World]:
    """A world, for tests that share one."""
    namespace = f"world-{uuid.uuid4().hex[:6]}"
    environ = {
        **os.environ,
        "KUBECONFIG": kubeconfig,
        "MCP_AMQP_URL": amqp_url,
        "MCP_MANAGEMENT_URL": management_url,
        "MCP_NAMESPACES": namespace,
        "MCP_POD_NAMESPACE": namespace,
        "PYTHONUNBUFFERED": "1",
    }
    (tmp_path / "chain_handlers.py").write_text(textwrap.dedent(HANDLERS))
    found = World(kubeconfig, environ, tmp_path, namespace)
    found.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    found.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    found.kubectl("create", "namespace", namespace)
    template = {"image": "none", "handlers": "chain_handlers"}
    pools = [
        _object("WorkerPool", n, {"autoscaling": {"enabled": False}, "template": template})
        for n in ("one", "two", "three")
    ]
    states = [{"name": n, "pool": n, "retry": {"backoffSeconds": 0.2}} for n in ("one", "two", "three")]
    found.apply(*pools, _object("Workflow", "chain", {"states": states}))
    try:
        yield found
    finally:
        _end(found.processes)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
