"""helm, and the manifests that it renders."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "mcp"

Helm = Callable[..., "subprocess.CompletedProcess[str]"]
Manifests = list[dict[str, Any]]


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Run helm. It fails the test when it fails, unless `check=False`."""
    cache = Path(os.environ.get("MCP_CACHE", ROOT / ".cache")) / "bin"
    program = shutil.which("helm", path=f"{cache}{os.pathsep}{os.environ['PATH']}")
    assert program, "there is no helm: run hack/tools helm"

    def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([program, *arguments], text=True, capture_output=True, check=False, timeout=60)
        if check and done.returncode != 0:
            pytest.fail(f"helm {' '.join(arguments)}: {done.stderr}")
        return done

    return run


@pytest.fixture(scope="session")
def render(helm: Helm) -> Callable[..., Manifests]:
    """The manifests of the release `demo` in the namespace `where`, with `--set` of each argument."""
    known: dict[tuple[str, ...], str] = {}

    def run(*values: str) -> Manifests:
        if values not in known:
            options = [option for value in values for option in ("--set", value)]
            known[values] = helm("template", "demo", str(CHART), "--namespace", "where", *options).stdout
        return [manifest for manifest in yaml.safe_load_all(known[values]) if manifest]

    return run


@pytest.fixture(scope="session")
def refusal(helm: Helm) -> Callable[..., str]:
    """What helm says of values that it must refuse."""

    def run(*values: str) -> str:
        options = [option for value in values for option in ("--set", value)]
        done = helm("template", "demo", str(CHART), *options, check=False)
        assert done.returncode != 0, f"{values} were taken"
        return done.stderr

    return run
