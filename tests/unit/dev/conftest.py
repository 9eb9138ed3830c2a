"""Files of the embedded mode, written for a test, and the command run on them."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Dev = Callable[..., "subprocess.CompletedProcess[str]"]

HANDLERS = """
import time
import mastercontrol_worker as worker

@worker.step("double")
def double(data):
    return {"n": data["n"] * 2}

@worker.step("refuse")
async def refuse(data):
    raise worker.StepFailure("no more stock", code="OutOfStock", retryable=False)

@worker.step("flaky")
def flaky(data, context):
    if context.attempt < 3:
        raise RuntimeError("not yet")
    return {"attempts": context.attempt}

@worker.step("slow")
def slow(data):
    time.sleep(30)
"""


def _object(kind: str, name: str, spec: dict[str, Any]) -> str:
    meta = {"apiVersion": "mastercontrol.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return json.dumps(meta)


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., Path]:
    """A file with a pool, a Workflow with one state for each step named, and a Job of it."""

    def write(*steps: str, data: Any = None, template: dict[str, Any] | None = None, **state: Any) -> Path:
        (tmp_path / "some_handlers.py").write_text(textwrap.dedent(HANDLERS))
        retry = {"backoffSeconds": 0.01}
        states = [{"name": s, "pool": "pool", "retry": retry, **state} for s in steps]
        objects = [
            _object("WorkerPool", "pool", {"template": template or {"image": "none", "handlers": "some_handlers"}}),
            _object("Workflow", "flow", {"states": states}),
            _object("Job", "job", {"workflow": "flow", "input": data}),
        ]
        path = tmp_path / "all.yaml"
        path.write_text("\n---\n".join(objects))
        return path

    return write


@pytest.fixture
def dev(tmp_path: Path) -> Dev:
    """`mastercontrol dev` as a user runs it."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mastercontrol.cli", "dev", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    return run
