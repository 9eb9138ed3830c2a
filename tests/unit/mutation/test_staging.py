"""The copy in which mutants are made, and which verdicts are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mutation.staging import LEFT_OUT, Staging
from mutation.verdicts import meta_file

REPO = Path(__file__).parents[3]
ALL = ["mastercontrol.engine.gate.*"]
NAMES = {"killed": 1, "refused": 37, "survived": 0, "untested": 33, "endless": 36}


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    repo = tmp_path / "repo"
    for name in (
        "operator/mastercontrol/engine/__init__.py",
        "operator/mastercontrol/engine/gate.py",
        "operator/mastercontrol/workflow/retry.py",
        "operator/mastercontrol/cli.py",
        "worker-image/mastercontrol_worker/contract.py",
        "tests/unit/conftest.py",
        "tests/unit/engine/test_gate.py",
        "tests/unit/workflow/test_retry.py",
        "tests/unit/pools/test_pools.py",
        "tests/mutation/plugin.py",
    ):
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text("first = 1\n")
    # Its name is that of a folder of tests: this must not matter.
    made = Staging(repo, tmp_path / "mutation")
    made.lay()
    return made


def judged(staging: Staging) -> None:
    """As mutmut leaves it."""
    assert staging.due(["engine/gate"]) == ALL
    meta = meta_file(staging.mutants, "engine/gate")
    meta.parent.mkdir(parents=True, exist_ok=True)
    meta.write_text(json.dumps({"exit_code_by_key": NAMES}))
    meta.with_suffix("").write_text("mutated")
    (staging.mutants / "mutmut-stats.json").write_text("{}")


def edit(staging: Staging, name: str) -> None:
    (staging.repo / name).write_text("second = 2\n")
    staging.lay()


def test_the_copy_has_the_product_and_the_tests_in_memory(staging: Staging) -> None:
    laid = {path.relative_to(staging.home).as_posix() for path in staging.home.rglob("*.py")}
    assert laid == {
        "src/mastercontrol/engine/__init__.py",
        "src/mastercontrol/engine/gate.py",
        "src/mastercontrol/workflow/retry.py",
        "src/mastercontrol/cli.py",
        "src/mastercontrol_worker/contract.py",
        "tests/unit/conftest.py",
        "tests/unit/engine/test_gate.py",
        "tests/unit/workflow/test_retry.py",
        "tests/mutation/plugin.py",
    }
    assert staging.modules() == ["engine/gate", "workflow/retry"]


def test_a_file_that_is_the_same_is_not_written_again(staging: Staging) -> None:
    laid = staging.home / "src/mastercontrol/engine/gate.py"
    before = laid.stat().st_mtime_ns
    edit(staging, "operator/mastercontrol/cli.py")
    assert laid.stat().st_mtime_ns == before
    assert (staging.home / "src/mastercontrol/cli.py").read_text() == "second = 2\n"


def test_a_file_that_is_gone_is_gone_from_the_copy_and_from_the_mutants(staging: Staging) -> None:
    mutated = staging.mutants / "tests/unit/engine/test_gate.py"
    mutated.parent.mkdir(parents=True)
    mutated.write_text("old")
    (staging.repo / "tests/unit/engine/test_gate.py").unlink()
    staging.lay()
    assert not mutated.exists()
    assert not (staging.home / "tests/unit/engine/test_gate.py").exists()


def test_nothing_is_run_again_when_nothing_changed(staging: Staging) -> None:
    judged(staging)
    assert staging.due(["engine/gate"]) == []
    assert staging.due(["workflow/retry"]) == ["mastercontrol.workflow.retry.*"]


def test_a_run_that_was_stopped_goes_on_where_it_was(staging: Staging) -> None:
    judged(staging)
    meta = meta_file(staging.mutants, "engine/gate")
    meta.write_text(json.dumps({"exit_code_by_key": {**NAMES, "later": None}}))
    assert staging.due(["engine/gate"]) == ["later"]


def test_a_module_that_changed_is_judged_anew(staging: Staging) -> None:
    judged(staging)
    edit(staging, "operator/mastercontrol/engine/gate.py")
    assert staging.due(["engine/gate"]) == ALL
    assert not meta_file(staging.mutants, "engine/gate").exists()
    assert not (staging.mutants / "mutmut-stats.json").exists()


def test_other_tests_are_asked_of_what_was_not_killed(staging: Staging) -> None:
    judged(staging)
    edit(staging, "tests/unit/engine/test_gate.py")
    assert staging.due(["engine/gate"]) == ["survived", "untested", "endless"]
    kept = json.loads(meta_file(staging.mutants, "engine/gate").read_text())["exit_code_by_key"]
    assert kept == {"killed": 1, "refused": 37, "survived": None, "untested": None, "endless": None}
    assert (staging.mutants / "mutmut-stats.json").exists()


def test_what_survives_a_quick_run_is_asked_all_tests_by_the_next(staging: Staging) -> None:
    judged(staging)
    edit(staging, "tests/unit/engine/test_gate.py")
    assert staging.due(["engine/gate"], quick=True) == ["survived", "untested", "endless"]
    meta = meta_file(staging.mutants, "engine/gate")
    meta.write_text(json.dumps({"exit_code_by_key": NAMES}))
    assert staging.due(["engine/gate"], quick=True) == []
    assert staging.due(["engine/gate"]) == ["survived", "untested", "endless"]
    meta.write_text(json.dumps({"exit_code_by_key": NAMES}))
    assert staging.due(["engine/gate"], quick=True) == []
    assert staging.due(["engine/gate"]) == []


def test_all_is_judged_anew_when_verdicts_are_forgotten(staging: Staging) -> None:
    judged(staging)
    staging.forget()
    staging.lay()
    assert staging.due(["engine/gate"]) == ALL


def test_tests_that_are_left_out_are_there_to_be_left_out() -> None:
    assert [left for left in LEFT_OUT if not (REPO / left).exists()] == []
