"""The operator's failpoints, and that there are none where nobody asked for one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from mastercontrol.engine.ports import Refused
from mastercontrol.failpoints import FailingJobStore
from mastercontrol.kube.client import KubeClient
from mastercontrol_worker.failpoints import Action, Failpoint

ENVIRON = {"MCP_AMQP_URL": "amqp://u:secret@127.0.0.1:1", "MCP_MANAGEMENT_URL": "http://u:secret@127.0.0.1:1"}


class Api:
    """An API server that writes down that it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.log: list[str] = []
        self.error = error

    async def patch(self, *_: Any) -> dict[str, Any]:
        self.log.append("patch")
        if self.error is not None:
            raise self.error
        return {"kind": "Job"}

    def store(self, point: str) -> FailingJobStore:
        failpoint = Failpoint(point, Action.KILL, 1, lambda _: self.log.append("died"))
        return FailingJobStore(cast("KubeClient", self), failpoint)


@pytest.mark.parametrize(("when", "happened"), [("before", ["died", "patch"]), ("after", ["patch", "died"])])
async def test_an_operator_dies_before_or_after_a_write(when: str, happened: list[str]) -> None:
    api = Api()
    assert await api.store(f"operator.patch.{when}").patch_status("shop", "order", []) == {"kind": "Job"}
    assert api.log == happened


async def test_a_refused_write_is_no_write_to_die_after() -> None:
    api = Api(Refused("409"))
    with pytest.raises(Refused):
        await api.store("operator.patch.after").patch_status("shop", "order", [])
    assert api.log == ["patch"]


LOADED = """
import asyncio, sys
from mastercontrol import cli, run
class Process:
    again = False
    def __init__(self, settings, make_leader=run.Leader):
        self.make_leader = make_leader
    async def run(self):
        print(self.make_leader is run.Leader, "mastercontrol.failpoints" in sys.modules)
        return 0
run.Process = Process
sys.exit(cli.main(["run"]))
"""


def operator(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MCP_")}
    return subprocess.run(
        [sys.executable, "-c", LOADED],
        env=clean | ENVIRON | environ,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_operator_is_made_of_the_same_without_the_variable(tmp_path: Path) -> None:
    ended = operator(tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "True False\n"), ended.stderr


def test_the_variable_puts_a_point_into_the_operator(tmp_path: Path) -> None:
    ended = operator(tmp_path, MCP_FAILPOINT="operator.patch.before=kill@3")
    assert (ended.returncode, ended.stdout) == (0, "False True\n"), ended.stderr
    assert "MCP_FAILPOINT is set" in ended.stderr


def test_a_point_that_the_operator_has_not_ends_it_with_status_two(tmp_path: Path) -> None:
    ended = operator(tmp_path, MCP_FAILPOINT="worker.execute.before=kill")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "MCP_FAILPOINT: 'worker.execute.before' is none of operator.patch.before, " in ended.stderr
