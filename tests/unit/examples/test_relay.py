"""The relay's handlers and its producer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from mastercontrol.api.job import parse_job
from mastercontrol_worker import StepFailure
from unit.examples.loading import RELAY


def test_the_path_tells_who_had_the_baton(relay: ModuleType) -> None:
    baton = {"pauseForSeconds": 0, "note": "kept"}
    assert relay.second(relay.first(baton)) == {"pauseForSeconds": 0, "note": "kept", "path": ["first", "second"]}


def test_a_step_that_is_done_twice_gives_the_same_output(relay: ModuleType) -> None:
    baton = {"pauseForSeconds": 0, "path": []}
    assert relay.first(baton) == relay.first(baton) == {"pauseForSeconds": 0, "path": ["first"]}


def test_each_step_pauses_as_long_as_the_job_says(relay: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(relay.time, "sleep", pauses.append)
    relay.first({"pauseForSeconds": 2})
    relay.second({})
    relay.first(None)
    assert pauses == [2, relay.DEFAULT_PAUSE_SECONDS, relay.DEFAULT_PAUSE_SECONDS]


@pytest.mark.parametrize("baton", [{"pauseForSeconds": bad} for bad in ("1", -1, True, None, float("inf"))] + ["now"])
def test_an_input_that_no_attempt_can_use_is_not_retried(relay: ModuleType, baton: Any) -> None:
    with pytest.raises(StepFailure, match="write") as failed:
        relay.first(baton)
    assert failed.value.code == "BadInput"
    assert not failed.value.retryable


def submit(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RELAY / "submit.py"), *arguments]
    env = {**os.environ, **environ}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=30)


def test_the_producer_writes_as_many_jobs_as_asked_for() -> None:
    jobs = list(yaml.safe_load_all(submit("3", "--pause", "1.5").stdout))
    assert len(jobs) == 3
    for job in jobs:
        assert job["metadata"].pop("generateName") == "relay-"
        job["metadata"]["name"] = "relay-x"  # what the API server adds
        assert parse_job(job).spec.input == {"pauseForSeconds": 1.5}


def test_the_producer_can_call_kubectl_itself(tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat > {tmp_path}/stdin\nexit 3\n')
    kubectl.chmod(0o755)
    done = submit("2", "--apply", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 3, "the exit status is kubectl's"
    assert (tmp_path / "arguments").read_text() == "create -f -\n"
    assert (tmp_path / "stdin").read_text() == submit("2").stdout


def test_the_producer_refuses_a_count_below_one() -> None:
    done = submit("0")
    assert done.returncode == 2
    assert "write a number from 1" in done.stderr
