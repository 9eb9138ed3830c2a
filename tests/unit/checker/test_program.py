"""`python -m checker`: what it prints, its exit codes, and that it is a program of its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from checker.__main__ import main
from unit.checker.histories import chain
from unit.checker.test_broken_histories import a_message_is_lost

CHECKER = Path(__file__).parents[2] / "checker"


def test_it_runs_from_the_tests_folder_alone(tmp_path: Path) -> None:
    history = chain().write(tmp_path / "good.jsonl")
    command = [sys.executable, "-S", "-m", "checker", str(history)]  # without the packages that are installed
    done = subprocess.run(command, env={"PYTHONPATH": str(CHECKER.parent)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "good.jsonl" in done.stdout


def test_it_imports_the_standard_library_and_itself_only() -> None:
    imported = set[str]()
    for path in CHECKER.glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    imported |= {name.name.partition(".")[0] for name in names}
                case ast.ImportFrom(module=module, level=level):
                    imported.add((module or "").partition(".")[0] if level == 0 else "checker")
    assert imported - sys.stdlib_module_names == {"checker"}


def test_a_fault_is_one_line_and_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = a_message_is_lost().write(tmp_path / "bad.jsonl")
    assert main([str(history)]) == 1
    first, head, row = capsys.readouterr().out.splitlines()
    text = "one (u:1:1) was sent, and neither its message nor a result is anywhere"
    assert first == f"{history}: live: job job-u at 4 s: {text}"
    assert head.split()[:4] == ["run", "jobs", "ended", "open"]
    assert row.split()[1:4] == ["1", "0", "1"]


def test_each_job_has_a_row_if_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--jobs", str(chain().write(tmp_path / "good.jsonl"))]) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split()[1:] == ["job-u", "Succeeded", "Done", "3", "3", "2", "2", "2", "none"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1 is no JSON"),
        ('\n{"t": 1}', "line 2 has no kind"),
        ('{"kind": "commit", "job": "u"}', "line 1: a commit without before"),
        ('{"kind": "workflow", "namespace": "shop", "name": "order", "spec": {}}', "KeyError: 'states'"),
    ],
)
def test_what_can_not_be_read_is_said(text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "strange.jsonl"
    path.write_text(text)
    assert main([str(path)]) == 2
    assert says in capsys.readouterr().err


def test_a_file_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.jsonl")]) == 2
    assert "FileNotFoundError" in capsys.readouterr().err


def test_what_was_not_seen_is_said_and_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = chain()
    history.events = [e for e in history.events if e["kind"] not in {"dispatch", "execute", "result"}]
    history.events.insert(0, {"kind": "run", "ordered": False, "sees": ["commit"]})
    history.events.append({"kind": "commit", **history.events[-2], "job": "nobody"})
    assert main([str(history.write(tmp_path / "blind.jsonl"))]) == 0
    assert "dispatch, execute, result, 1 events of unknown jobs" in capsys.readouterr().out
