"""`mastercontrol diagram`, as a user runs it: on files, and on an API server that this test plays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

API = "mastercontrol.dev/v1alpha1"
Objects = dict[str, dict[str, Any]]
Diagram = Callable[..., "subprocess.CompletedProcess[str]"]

MISSING = {"kind": "Status", "code": 404, "reason": "NotFound", "message": "not found", "details": {"name": "none"}}


def obj(kind: str, name: str, spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec, **more}


def workflow(*steps: str, name: str = "order") -> dict[str, Any]:
    return obj("Workflow", name, {"states": [{"name": s, "pool": "p", "retry": {"limit": 0}} for s in steps]})


def job(state: str, *, name: str = "order-1", revision: str | None = None) -> dict[str, Any]:
    line = {"seq": 1, "time": "2030-01-01T12:00:00.000Z", "state": f"InProgress.{state}", "reason": "Started"}
    active = [{"path": state, "seq": 1, "attempt": 1}]
    status = {"state": f"InProgress.{state}", "phase": "Running", "sequence": 1, "history": [line], "active": active}
    if revision is not None:
        status["revision"] = revision
    return obj("Job", name, {"workflow": "order"}, status=status)


@pytest.fixture
def diagram(tmp_path: Path) -> Diagram:
    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "mastercontrol.cli", "diagram", *map(str, words)]
        environ = {k: v for k, v in os.environ.items() if k != "KUBERNETES_SERVICE_HOST" and not k.endswith("_proxy")}
        environ["KUBECONFIG"] = str(tmp_path / "kubeconfig")
        return subprocess.run(
            argv, cwd=tmp_path, env=environ, capture_output=True, text=True, encoding="utf-8", check=False, timeout=60
        )

    return run


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(*objects: dict[str, Any]) -> Path:
        path = tmp_path / "all.yaml"
        path.write_text("\n---\n".join(json.dumps(o) for o in objects))
        return path

    return write


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Objects]:
    """Objects by their path under /namespaces/; what is not there is 404."""
    objects: Objects = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = objects.get(self.path.partition("/namespaces/")[2])
            body = json.dumps(found or MISSING).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    yield objects
    server.shutdown()
    thread.join()
    server.server_close()


# -- files


def test_a_workflow_in_a_file_is_drawn_as_mermaid(file: Callable[..., Path], diagram: Diagram) -> None:
    done = diagram(file(workflow("reserve", "charge")))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:2] == ["%% Workflow order", "flowchart TD"]
    assert 'n1["reserve<br/>pool p"]' in done.stdout


def test_the_name_of_the_output_says_that_it_is_svg(
    file: Callable[..., Path], diagram: Diagram, tmp_path: Path
) -> None:
    done = diagram(file(workflow("reserve")), "-o", "order.svg")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ET.fromstring((tmp_path / "order.svg").read_text(encoding="utf-8")).get("aria-label") == "Workflow order"


def test_the_format_can_be_said(file: Callable[..., Path], diagram: Diagram) -> None:
    assert ET.fromstring(diagram(file(workflow("reserve")), "--format", "svg").stdout).get("role") == "img"
    assert diagram(file(workflow("reserve")), "--format", "dot").returncode == 2


def test_a_job_beside_its_workflow_is_drawn_with_its_path(file: Callable[..., Path], diagram: Diagram) -> None:
    done = diagram(file(workflow("reserve", "charge"), job("reserve")), "--format", "svg")
    assert "Job order-1 of Workflow order: Running" in done.stdout
    assert "<title>reserve: Task, current</title>" in done.stdout


def test_a_list_as_kubectl_writes_it_is_read(file: Callable[..., Path], diagram: Diagram) -> None:
    items = [workflow("reserve"), job("reserve")]
    done = diagram(file({"apiVersion": "v1", "kind": "List", "items": items}))
    assert "Job order-1" in done.stdout


def test_a_job_that_did_not_run_is_passed_over(file: Callable[..., Path], diagram: Diagram) -> None:
    done = diagram(file(workflow("reserve"), obj("Job", "order-1", {"workflow": "order"})))
    assert done.stdout.startswith("%% Workflow order\n")


def test_one_of_several_workflows_is_named(file: Callable[..., Path], diagram: Diagram) -> None:
    path = file(workflow("reserve", name="a"), workflow("charge", name="b"))
    unsaid = diagram(path)
    assert (unsaid.returncode, unsaid.stdout) == (2, "")
    assert "say which with --name: a, b" in unsaid.stderr
    assert "charge" in diagram(path, "--name", "b").stdout
    assert "there is no 'c'; there are a, b" in diagram(path, "--name", "c").stderr


def test_a_workflow_with_faults_is_not_drawn_and_they_are_said(file: Callable[..., Path], diagram: Diagram) -> None:
    done = diagram(file(obj("Workflow", "order", {"states": [{"name": "a", "pool": "p", "next": "b"}]})))
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no state 'b'" in done.stderr


def test_files_that_cannot_be_read_or_written_are_named(file: Callable[..., Path], diagram: Diagram) -> None:
    missing = diagram("nothing.yaml")
    assert (missing.returncode, missing.stderr) == (2, "mastercontrol: nothing.yaml: No such file or directory\n")
    unwritten = diagram(file(workflow("reserve")), "-o", "no/such/folder.svg")
    assert (unwritten.returncode, unwritten.stderr.count("\n")) == (2, 1)


def test_a_file_without_a_workflow_says_so(file: Callable[..., Path], diagram: Diagram) -> None:
    done = diagram(file({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}))
    assert done.returncode == 2
    assert done.stderr.endswith("all.yaml: there is no Workflow in this file\n")


# -- a cluster


def test_a_workflow_of_the_cluster_is_drawn(cluster: Objects, diagram: Diagram) -> None:
    cluster["shop/mcpworkflows/order"] = workflow("reserve")
    done = diagram("workflow/order", "-n", "shop")
    assert (done.returncode, done.stderr) == (0, "")
    assert "reserve" in done.stdout


def test_a_job_is_drawn_on_the_revision_that_it_is_pinned_to(cluster: Objects, diagram: Diagram) -> None:
    cluster["shop/mcpworkflows/order"] = workflow("changed")
    cluster["shop/mcpjobs/order-1"] = job("reserve", revision="order-1a2b")
    data = {"workflow": "order", "spec": workflow("reserve", "charge")["spec"]}
    cluster["shop/controllerrevisions/order-1a2b"] = {"metadata": {"name": "order-1a2b"}, "data": data}
    done = diagram("job/order-1", "-n", "shop", "--format", "svg")
    assert (done.returncode, done.stderr) == (0, "")
    assert "<title>reserve: Task, current</title>" in done.stdout
    assert "changed" not in done.stdout


def test_a_job_whose_revision_is_gone_is_drawn_on_the_workflow_as_it_is_and_that_is_said(
    cluster: Objects, diagram: Diagram
) -> None:
    cluster["shop/mcpworkflows/order"] = workflow("reserve", "charge")
    cluster["shop/mcpjobs/order-1"] = job("reserve", revision="order-1a2b")
    done = diagram("job/order-1", "-n", "shop")
    assert done.returncode == 0
    assert "'order-1a2b' that this job is pinned to is gone; the picture shows the Workflow as it is now" in done.stderr
    assert "class n1 current" in done.stdout


def test_a_cut_history_is_said(cluster: Objects, diagram: Diagram) -> None:
    cluster["shop/mcpworkflows/order"] = workflow("reserve", "charge")
    long = job("reserve")
    long["status"]["history"][0]["seq"] = 57
    cluster["shop/mcpjobs/order-1"] = long
    done = diagram("job/order-1", "-n", "shop")
    assert done.returncode == 0
    assert "the history begins at transition 57" in done.stderr


@pytest.mark.parametrize("target", ["job/none", "workflow/none"])
def test_what_the_cluster_has_not_is_named(cluster: Objects, diagram: Diagram, target: str) -> None:
    assert cluster == {}
    done = diagram(target)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "'none' in the namespace 'default'" in done.stderr


def test_without_a_cluster_one_line_says_so(diagram: Diagram) -> None:
    done = diagram("job/order-1")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no way to the API server" in done.stderr


def test_a_file_whose_folder_is_called_workflow_is_a_file(diagram: Diagram, tmp_path: Path) -> None:
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "order.yaml").write_text(json.dumps(workflow("reserve")))
    assert "reserve" in diagram("workflow/order.yaml").stdout
