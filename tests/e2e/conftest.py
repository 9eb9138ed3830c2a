"""A kind cluster with the images of this tree, and the chart installed as the README says, once for all tests.

The cluster is `mcp-test`; its kubeconfig is in the cache and nowhere else. It stays after the run, so that the next
one is faster (MCP_CLUSTER=mcp-test hack/cluster down removes it); the release and the tests' objects do not.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from checker.report import table
from e2e import building
from e2e.harness import HELM, ROOT, Cluster, pool, run, wait_while, workflow
from recording.recorder import Recorder, judge

NAME = "mcp-test"


@pytest.fixture(scope="session")
def images() -> list[str]:
    """The images of this tree, built."""
    return building.images(NAME)


@pytest.fixture(scope="session")
def bare_cluster(images: list[str]) -> Cluster:
    """The cluster with the images and without a release of an earlier run."""
    kubeconfig = building.hack(NAME, "cluster", "up").splitlines()[-1]
    building.hack(NAME, "cluster", "load", *images)
    cluster = Cluster(kubeconfig, node=f"{NAME}-control-plane")
    for kind in ("mcpschedules", "mcpjobs", "mcpworkerpools", "mcpworkflows"):
        cluster.kubectl("delete", kind, "--all", "--wait=false", check=False)
    run([str(HELM), "--kubeconfig", kubeconfig, "uninstall", "mcp", "--wait", "--ignore-not-found"], seconds=180)
    cluster.kubectl("delete", "deployments,pvc", "--all", "--wait=false")
    # A worker that was left at work may take its grace period, and there is nobody to hear of its result.
    cluster.kubectl("delete", "pods", "--all", "--wait=false", "--force", "--grace-period=0")
    wait_while("something", 120, lambda: cluster.kubectl("get", "pods,pvc,deployments", "-o", "name"))
    return cluster


@pytest.fixture(scope="session")
def quick_start(bare_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The README's in-cluster quick start, typed as written: each command and what it printed.

    It is typed in a folder that has what the tree has, so that what a command writes does not end in the tree.
    """
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("charts", "examples", "hack"):
        (folder / name).symlink_to(ROOT / name)
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"<!-- quick-start -->(.*?)<!-- /quick-start -->", readme, re.DOTALL)
    assert found is not None, "the README has no quick start between its marks"
    blocks = re.findall(r"```console\n(.*?)```", found[1], re.DOTALL)
    typed = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    assert typed, "the README's quick start has no command"
    return {command: _type(bare_cluster, folder, command) for command in typed}


def _type(cluster: Cluster, folder: Path, command: str) -> str:
    """Run a line of the README in a shell, against the test cluster."""
    environ = {**os.environ, "KUBECONFIG": cluster.kubeconfig, "PATH": f"{HELM.parent}:{os.environ['PATH']}"}
    if re.search(r" (-w|--watch)\b", command):
        return _watch(command, folder, environ)
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _watch(command: str, folder: Path, environ: dict[str, str], seconds: float = 90) -> str:
    """Look, as a person does, until something is Done; then press control-C."""
    with subprocess.Popen(command.split(), cwd=folder, env=environ, stdout=subprocess.PIPE, text=True) as looking:
        assert looking.stdout is not None
        # A watch that shows nothing must not hold up the run.
        give_up = threading.Timer(seconds, looking.kill)
        give_up.start()
        seen = ""
        for line in looking.stdout:
            seen += line
            if "Done" in line:
                looking.send_signal(signal.SIGINT)
                break
        give_up.cancel()
    return seen


@pytest.fixture(scope="session")
def cluster(bare_cluster: Cluster, quick_start: dict[str, str]) -> Iterator[Cluster]:  # noqa: ARG001 - it installs the chart
    """The cluster with the release of the quick start and the tests' own Workflows and pools."""
    for kind in ("one", "two", "three"):
        bare_cluster.apply(pool(kind))
    states = [{"name": n, "pool": n, "retry": {"backoffSeconds": 1, "jitter": "none"}} for n in ("one", "two", "three")]
    bare_cluster.apply(workflow("chain", *states))
    yield bare_cluster
    for kind in ("mcpschedules", "mcpjobs", "mcpworkerpools", "mcpworkflows"):
        bare_cluster.kubectl("delete", kind, "--all", "--wait=false", check=False)
    run([str(HELM), "--kubeconfig", bare_cluster.kubeconfig, "uninstall", "mcp"], seconds=180)


@pytest.fixture
def judged(cluster: Cluster, tmp_path: Path) -> Iterator[None]:
    """Lets the history checker judge, when the test is over, every write of the jobs that were created in it.

    The broker is inside of the cluster and workers' logs go with their pods, so messages and executions are not seen.
    MCP_HISTORIES names a folder in which the histories are kept.
    """
    recorder = Recorder(cluster.kubeconfig, cluster.namespace)
    recorder.start()
    yield
    recorder.stop()
    path = Path(os.environ.get("MCP_HISTORIES", tmp_path)) / f"{tmp_path.name}.jsonl"
    verdict = judge(recorder.history(), path)
    print("\n".join(table({path.name: verdict})))
    assert [str(fault) for fault in verdict.faults] == []


@pytest.fixture
def helm(cluster: Cluster) -> Iterator[object]:
    """Change the release's values; they are put back after the test."""

    def upgrade(*settings: str) -> None:
        building.install(cluster.kubeconfig, *settings)

    yield upgrade
    upgrade()
