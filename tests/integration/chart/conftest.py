"""helm and kubectl against a real API server that has no nodes: nothing here waits for a pod."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def runner(program: str, kubeconfig: str) -> Run:
    """Run a program. It fails the test when it fails, unless `check=False`."""
    cache = Path(os.environ.get("MCP_CACHE", ROOT / ".cache")) / "bin"
    path = shutil.which(program, path=f"{cache}{os.pathsep}{os.environ['PATH']}")
    assert path, f"there is no {program}: run hack/tools {program}"

    def run(*arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [path, "--kubeconfig", kubeconfig, *arguments]
        done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False, timeout=120)
        if check and done.returncode != 0:
            pytest.fail(f"{' '.join(command)}: {done.stderr}")
        return done

    return run


@pytest.fixture(scope="session")
def helm(kubeconfig: str) -> Run:
    return runner("helm", kubeconfig)


@pytest.fixture(scope="session")
def kubectl(kubeconfig: str) -> Run:
    return runner("kubectl", kubeconfig)


@pytest.fixture
def namespace(kubectl: Run) -> str:
    """A namespace of the test's own that takes restricted pods only."""
    name = f"chart-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    modes = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
    kubectl("label", "namespace", name, *modes)
    return name
