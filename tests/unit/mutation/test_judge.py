"""Each mutant is judged by the tests that run its function, and by mypy before them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mutation.judge import QUICK, REFUSED, Case, cases, covering, refused, write

TESTS_FOLDER = Path(__file__).parents[2]
FILE = "src/mastercontrol/engine/gate.py"
ASK = "mastercontrol.engine.gate.x_ask"

TESTS = """\
import os, signal, time
import pytest

MUTANT = lambda: os.environ.get("MUTANT", "")

def test_quick():
    assert MUTANT() != "killed by the first"
    if MUTANT() == "ended by the kernel":
        os.kill(os.getpid(), signal.SIGXCPU)

@pytest.fixture
def cleaned_up():
    yield
    if MUTANT() == "fails and never ends":
        time.sleep(3600)

def test_slow(cleaned_up):
    assert MUTANT() != "fails and never ends"
    assert MUTANT() not in {"killed by the last", "not asked"}
    if MUTANT() == "leaves pytest":
        raise SystemExit(0)

def test_without_mutant():
    assert not os.environ.get("BROKEN")
"""

RUN = """\
import os, sys
from pathlib import Path
import pytest
from mutation.judge import Case, Judge

def activate(mutant):
    os.environ["MUTANT"] = mutant

tests = {"not asked": ("test_it.py::test_quick",)}
both = ("test_it.py::test_quick", "test_it.py::test_slow", "test_it.py::test_without_mutant")
cases = [Case(name, Path("gate.meta"), tests.get(name, both)) for name in sys.argv[1:]]
arguments = ["-q", "-p", "no:cacheprovider", "--rootdir=.", "test_it.py"]
sys.exit(pytest.main(arguments, plugins=[Judge(cases, activate, ran_clean=False)]))
"""


def judged(folder: Path, *names: str, **environment: str) -> tuple[int, dict[str, int | None]]:
    """The exit status of a run, and the verdicts that it wrote."""
    (folder / "test_it.py").write_text(TESTS)
    (folder / "gate.meta").write_text(json.dumps({"exit_code_by_key": dict.fromkeys(names)}))
    (folder / "pytest.ini").write_text("[pytest]\n")
    environ = {**os.environ, "PYTHONPATH": str(TESTS_FOLDER), **environment}
    ran = subprocess.run([sys.executable, "-c", RUN, *names], check=False, cwd=folder, env=environ, timeout=60)
    codes: dict[str, int | None] = json.loads((folder / "gate.meta").read_text())["exit_code_by_key"]
    return ran.returncode, codes


def test_a_mutant_is_killed_by_any_test_that_is_asked_and_survives_otherwise(tmp_path: Path) -> None:
    names = ("killed by the first", "killed by the last", "leaves pytest", "not asked", "harmless")
    status, codes = judged(tmp_path, *names)
    assert codes == dict(zip(names, (1, 1, 1, 0, 0), strict=True))
    assert status == 0


def test_a_mutant_with_which_a_failed_test_never_ends_is_killed(tmp_path: Path) -> None:
    _, codes = judged(tmp_path, "fails and never ends", "harmless")
    assert codes == {"fails and never ends": 1, "harmless": 0}


def test_a_mutant_that_the_kernel_ends_is_told_by_its_signal(tmp_path: Path) -> None:
    _, codes = judged(tmp_path, "ended by the kernel", "harmless")
    assert codes == {"ended by the kernel": -signal.SIGXCPU, "harmless": 0}


def test_nothing_is_judged_by_tests_that_fail_without_a_mutant(tmp_path: Path) -> None:
    status, codes = judged(tmp_path, "harmless", BROKEN="1")
    assert status != 0
    assert codes == {"harmless": None}


APART = """\
import sys
from mutation.judge import apart

found = []
statuses = [apart(lambda: found.append(1)), apart(lambda: sys.exit(3)), apart(lambda: 1 / 0)]
print(found, statuses)
"""


def test_what_is_done_apart_leaves_nothing_but_its_exit_status(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(TESTS_FOLDER)}
    ran = subprocess.run(
        [sys.executable, "-c", APART], check=True, cwd=tmp_path, env=environ, timeout=60, capture_output=True, text=True
    )
    assert ran.stdout == "[] [0, 3, 1]\n"
    assert "ZeroDivisionError" in ran.stderr


def spans(folder: Path) -> None:
    (folder / FILE).parent.mkdir(parents=True)
    found = {"x_ask__mutmut_orig": [1, 4], "x_ask__mutmut_1": [5, 8]}
    (folder / f"{FILE}.spans").write_text(json.dumps({"version": 1, "spans": found}))


def error(line: int, **more: Any) -> str:
    return json.dumps({"file": FILE, "line": line, "severity": "error", "code": "arg-type", **more})


def test_a_mutant_that_mypy_refuses_is_told_from_the_others(tmp_path: Path) -> None:
    spans(tmp_path)
    report = "\n".join(["", error(5), error(8), error(2, severity="note"), error(3, code="no-redef")])
    assert refused(report, tmp_path) == {tmp_path / f"{FILE}.meta": {f"{ASK}__mutmut_1": REFUSED}}


@pytest.mark.parametrize("line", [2, 9])
def test_an_error_of_what_is_no_mutant_is_no_verdict(tmp_path: Path, line: int) -> None:
    spans(tmp_path)
    with pytest.raises(ValueError, match="no mutant"):
        refused(error(line), tmp_path)


def test_what_is_due_is_asked_the_tests_of_its_function_in_their_order(tmp_path: Path) -> None:
    meta = tmp_path / "gate.py.meta"
    codes = {f"{ASK}__mutmut_1": 1, f"{ASK}__mutmut_2": None, f"{ASK}s__mutmut_1": None, "other.x__mutmut_1": None}
    meta.write_text(json.dumps({"exit_code_by_key": codes}))
    assert cases([meta], [f"{ASK}*"], {ASK: ["b", "a"]}) == [
        Case(f"{ASK}__mutmut_2", meta, ("b", "a")),
        Case(f"{ASK}s__mutmut_1", meta, ()),
    ]


def test_a_verdict_on_what_is_gone_is_not_written(tmp_path: Path) -> None:
    meta = tmp_path / "gate.py.meta"
    meta.write_text(json.dumps({"exit_code_by_key": {"a": None}, "hash_by_function_name": {"f": "1"}}))
    write(meta, {"a": 1, "b": 1})
    assert json.loads(meta.read_text()) == {"exit_code_by_key": {"a": 1}, "hash_by_function_name": {"f": "1"}}


def test_the_quickest_tests_of_a_function_come_first_and_slow_ones_may_be_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = {"slow": 1.0, "quick": 0.001, "quicker": 0.0005}
    monkeypatch.delenv(QUICK, raising=False)
    assert covering({ASK: {"slow", "quick", "quicker"}}, seconds) == {ASK: ["quicker", "quick", "slow"]}
    monkeypatch.setenv(QUICK, "1")
    assert covering({ASK: {"slow", "quick", "quicker"}}, seconds) == {ASK: ["quicker", "quick"]}
