"""Makes mutants with mutmut, and sees of each whether a test fails: `python -m mutation.judge PATTERN...` in the copy.

mutmut changes the code, finds out which test runs which function, and writes a file of verdicts beside each module;
these files are kept up here too. But mutmut starts pytest for each mutant, and to collect 1,500 tests takes pytest two
seconds, while most mutants are killed by one of the first. So pytest is started once here, and a process is forked for
each mutant when all tests are collected.

Called by `python -m mutation`. mutmut is reached by names that its pinned version has; type checkers do not see it, as
it is not installed with this project's other tools.
"""

from __future__ import annotations

import fnmatch
import importlib
import json
import multiprocessing
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytest

from mutation.verdicts import Verdict, is_words, read

REFUSED = 37
WORDS = 34
UNCOVERED = 33
"""Exit statuses as mutmut writes them down."""

COPIED = "no-redef"
"""What mypy says of attributes that `__init__` annotates, as all mutants of it stand in one class."""

CPU_SECONDS = 300
"""For all tests of one mutant: what a time limit of a test can't end, the kernel does."""

QUICK = "MUTATION_QUICK"
"""An environment variable: when it is not empty, tests that take longer than QUICK_SECONDS are not asked."""

QUICK_SECONDS = 0.15

MUTANTS = Path("mutants")


@dataclass(frozen=True, slots=True)
class Case:
    """A mutant that is to be judged, and the tests that run its function, the quickest first."""

    name: str
    meta: Path
    tests: tuple[str, ...]


class Judge:
    """A pytest plugin that runs mutants instead of tests. `ran_clean`: all tests have just passed without one."""

    def __init__(self, cases: Sequence[Case], activate: Any, *, ran_clean: bool) -> None:
        self.cases = cases
        self.activate = activate
        self.ran_clean = ran_clean
        self.killers: dict[Path, dict[str, None]] = {}
        """The tests that killed mutants of a module, the last one first: it is likely to kill the next one too."""
        self._telling: int | None = None
        """In a process that runs tests: where to say which one failed."""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        asked = {test: None for case in self.cases for test in case.tests}
        if not self.ran_clean and self._run([items[test] for test in asked if test in items], "")[0]:
            raise pytest.UsageError("a test fails without any mutant")
        for number, case in enumerate(self.cases, 1):
            killers = self.killers.setdefault(case.meta, {})
            tests = [*(k for k in killers if k in case.tests), *(t for t in case.tests if t not in killers)]
            code, killer = self._run([items[test] for test in tests if test in items], case.name)
            if killer:
                self.killers[case.meta] = {killer: None, **killers}
            write(case.meta, {case.name: code})
            print(
                f"\r{number}/{len(self.cases)} {'SURVIVES' if code == 0 else 'killed  '} {case.name}", file=sys.stderr
            )
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # At once: to clean up after a test may take for ever with a mutant, and pytest's time limit strikes only once.
        if self._telling is not None and report.failed:
            self._end(report.nodeid)

    def _run(self, items: Sequence[pytest.Item], mutant: str) -> tuple[int, str]:
        """The exit status of a process of its own that ran these tests until one failed, and which that was.

        A negative one is the signal that ended the process.
        """
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            if mutant:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            self.activate(mutant)
            used = resource.getrusage(resource.RUSAGE_SELF)
            limit = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            self._telling = writing
            self._end(_broken(items))
        os.close(writing)
        with os.fdopen(reading) as told:
            killer = told.read()
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), killer

    def _end(self, killer: str | None) -> NoReturn:
        assert self._telling is not None
        os.write(self._telling, (killer or "").encode())
        os._exit(0 if killer is None else 1)


def _broken(items: Sequence[pytest.Item]) -> str | None:
    """Run tests; the first that breaks pytest."""
    for item, following in pairwise([*items, None]):
        assert item is not None
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        except BaseException:  # noqa: BLE001  # this process has nobody to raise it to
            return item.nodeid
    return None


def refused(report: str, mutants: Path) -> dict[Path, dict[str, int]]:
    """The mutants that have an error in mypy's JSON report, by the file of verdicts they belong to.

    :raises ValueError: something else has one, so that nothing can be said.
    """
    spans: dict[str, dict[str, tuple[int, int]]] = {}
    found: dict[Path, dict[str, int]] = {}
    for line in report.splitlines():
        error: dict[str, Any] = json.loads(line) if line.strip() else {"severity": ""}
        if error["severity"] != "error" or error["code"] == COPIED:
            continue
        file = error["file"]
        if file not in spans:
            spans[file] = json.loads((mutants / f"{file}.spans").read_text())["spans"]
        inner = next((f for f, (begin, end) in spans[file].items() if begin <= error["line"] <= end), "")
        if not re.search(r"__mutmut_\d+$", inner):
            raise ValueError(f"mypy refuses what is no mutant: {line}")
        module = file.removeprefix("src/").removesuffix(".py").replace("/", ".")
        found.setdefault(mutants / f"{file}.meta", {})[f"{module}.{inner}"] = REFUSED
    return found


def write(meta: Path, codes: Mapping[str, int]) -> None:
    """Note exit statuses of mutants that the file knows."""
    data = json.loads(meta.read_text())
    data["exit_code_by_key"] |= {name: code for name, code in codes.items() if name in data["exit_code_by_key"]}
    new = meta.with_name(f"{meta.name}.new")
    new.write_text(json.dumps(data, indent=4))
    new.replace(meta)


def cases(metas: Iterable[Path], patterns: Sequence[str], tests: Mapping[str, Iterable[str]]) -> list[Case]:
    """What has no verdict and is asked for. `tests`: those of each function, the quickest first."""
    found = []
    for meta in sorted(metas):
        for name, code in json.loads(meta.read_text())["exit_code_by_key"].items():
            if code is None and any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                found.append(Case(name, meta, tuple(tests.get(name.rpartition("__mutmut_")[0], ()))))
    return found


def covering(tests: Mapping[str, Iterable[str]], seconds: Mapping[str, float]) -> dict[str, list[str]]:
    """The tests of each function that are to be asked, the quickest first."""
    longest = QUICK_SECONDS if os.environ.get(QUICK) else float("inf")
    return {
        function: sorted((t for t in names if seconds.get(t, 0.0) <= longest), key=lambda t: seconds.get(t, 0.0))
        for function, names in tests.items()
    }


def apart(work: Callable[[], object]) -> int:
    """Do it in a process of its own; its exit status.

    What tests leave in the caches of the product is not there for those of a mutant, who would not be asked then.
    """
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def main(patterns: Sequence[str]) -> int:
    mutmut = importlib.import_module("mutmut.__main__")
    settings = importlib.import_module("mutmut.configuration").config()
    _make(mutmut)
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--output", "json"],
        check=False,
        cwd=MUTANTS,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    if ran.returncode not in {0, 1}:
        print(ran.stdout, file=sys.stderr)
        return ran.returncode
    for meta, codes in refused(ran.stdout, MUTANTS).items():
        write(meta, codes)
    for meta in {case.meta for case in cases(MUTANTS.rglob("*.meta"), patterns, {})}:
        module = meta.relative_to(MUTANTS / "src/mastercontrol").as_posix().removesuffix(".py.meta")
        mutants = read(MUTANTS, module)
        spelling = {m.name: WORDS for m in mutants if m.verdict is Verdict.UNJUDGED and is_words(m.key.diff)}
        if spelling:
            write(meta, spelling)
    ran_clean = not (MUTANTS / "mutmut-stats.json").exists()
    if status := apart(lambda: mutmut.collect_or_load_stats(mutmut.get_mutant_runner(1))):
        return status
    mutmut.load_stats()
    known = covering(mutmut.state().tests_by_mangled_function_name, mutmut.state().duration_by_test)
    due = cases(MUTANTS.absolute().rglob("*.meta"), patterns, known)
    for case in due:
        if not case.tests:
            write(case.meta, {case.name: UNCOVERED})
    judge = Judge([case for case in due if case.tests], mutmut.set_mutant_under_test, ran_clean=ran_clean)
    mutmut.set_mutant_under_test("")
    os.chdir(MUTANTS)
    arguments = [*settings.pytest_add_cli_args_test_selection, *settings.pytest_add_cli_args]
    return int(pytest.main(["--rootdir=.", "--tb=native", "-q", *arguments], plugins=[judge])) if judge.cases else 0


def _make(mutmut: Any) -> None:
    """The mutants of every module that changed, in `mutants/`, from where modules are imported afterwards."""
    mutmut.set_mutant_under_test("mutant_generation")
    MUTANTS.mkdir(exist_ok=True)
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.setup_source_paths()
    mutmut.create_mutants(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
