"""The copy in which mutmut works, and what in it has to be judged again.

mutmut wants `src/`, `tests/` and its settings in one folder, and writes the mutated code and its verdicts to `mutants/`
in there. The copy is kept, so that a second run is short. mutmut itself keeps a verdict until the mutated function
changes; here the verdicts of a module go when the module changes, and when tests have changed, those that were not
kills. Kills that lean on other modules or on tests that are gone stay, and a test that changed is not asked anew what
it covers: `--fresh` begins anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from mutation.verdicts import Verdict, meta_file, verdict_of

PACKAGES = ("engine", "workflow")
TESTS = ("unit/conftest.py", "unit/engine", "unit/workflow", "mutation")

# The first two break the engine on purpose, so a mutant could only hide there. The others search by schedules: each
# takes seconds, and what they find first is found by a test with a name as well, or should be.
LEFT_OUT = (
    "tests/unit/engine/test_mutants.py",
    "tests/unit/engine/test_limits_mutants.py",
    "tests/unit/engine/test_limits_chaos.py",
    "tests/unit/engine/test_operations_properties.py",
    "tests/unit/engine/test_reference.py",
    "tests/unit/engine/test_rivals.py",
)

# The text of a log line is nobody's contract. That something is logged is not tested either; what counts is a metric.
NOT_MUTATED = (r"^\s*log\.(debug|info|warning|error|exception)\(",)

SECONDS_FOR_A_TEST = 60
"""By the clock: a machine that is busy must not make a mutant look killed.

A thread ends the process then. The error that a signal raises may come to a task of asyncio that never waits: there it
is lost, and the next such task goes on without end.
"""

SETTINGS = f"""\
[tool.mutmut]
source_paths = ["src"]
only_mutate = {json.dumps([f"src/mastercontrol/{package}/*" for package in PACKAGES])}
do_not_mutate_patterns = {json.dumps(list(NOT_MUTATED))}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "mutation.plugin", "--timeout={SECONDS_FOR_A_TEST}"]
pytest_add_cli_args_test_selection = {
    json.dumps(["tests/unit/engine", "tests/unit/workflow", *(f"--ignore={left}" for left in LEFT_OUT)])
}
use_git_change_detection = false
track_dependencies = false

[tool.pytest.ini_options]
addopts = ["--import-mode=importlib", "--strict-markers", "--strict-config"]
filterwarnings = ["error"]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
pythonpath = ["tests"]
timeout_method = "thread"

[tool.mypy]
python_version = "3.11"
strict = true
warn_unreachable = true
warn_unused_ignores = false
mypy_path = ["src"]
explicit_package_bases = true
namespace_packages = true
packages = ["mastercontrol.engine", "mastercontrol.workflow"]

[[tool.mypy.overrides]]
module = ["cel_expr_python.*", "kubernetes.*", "pika.*"]
ignore_missing_imports = true
follow_untyped_imports = false
"""


class Staging:
    """The folder `home`, made from the repository `repo`."""

    def __init__(self, repo: Path, home: Path) -> None:
        self.repo = repo
        self.home = home
        self.mutants = home / "mutants"
        self._state = home / "judged.json"

    def modules(self) -> list[str]:
        """All that can be mutated, `engine/decide`."""
        root = self.repo / "operator/mastercontrol"
        return sorted(
            path.relative_to(root).with_suffix("").as_posix()
            for package in PACKAGES
            for path in (root / package).glob("*.py")
            if path.stem != "__init__"
        )

    def lay(self) -> None:
        """Make the copy equal to the repository. A file that is the same keeps its time: mutmut looks at that."""
        wanted = {
            **_files(self.repo / "operator/mastercontrol", Path("src/mastercontrol")),
            **_files(self.repo / "worker-image/mastercontrol_worker", Path("src/mastercontrol_worker")),
        }
        for name in TESTS:
            wanted.update(_files(self.repo / "tests" / name, Path("tests") / name))
        for kept in (self.home / "src", self.home / "tests", self.mutants / "src", self.mutants / "tests"):
            for path in list(kept.rglob("*.py")):
                base = self.mutants if self.mutants in path.parents else self.home
                if path.relative_to(base) not in wanted:
                    path.unlink()
        for name_, origin in wanted.items():
            _write(self.home / name_, origin.read_bytes())
        _write(self.home / "pyproject.toml", SETTINGS.encode())

    def due(self, modules: Iterable[str], *, quick: bool = False) -> list[str]:
        """What is to be judged of these modules: names of mutants, or a pattern for all of a module.

        What survived a `quick` run is due again in one that is not.
        """
        state: dict[str, dict[str, str]] = json.loads(self._state.read_text()) if self._state.exists() else {}
        tests = _digest(self.home / "tests/unit")
        product = _digest(self.home / "src")
        if state.get("", {}) != {"product": product}:
            # Which test covers which function is asked anew; for new tests mutmut does that.
            (self.mutants / "mutmut-stats.json").unlink(missing_ok=True)
        names: list[str] = []
        for module in modules:
            source = _digest(self.home / path_of(module))
            known, meta = state.get(module, {}), meta_file(self.mutants, module)
            if known.get("source") != source or not meta.exists():
                meta.unlink(missing_ok=True)
                (self.mutants / path_of(module)).unlink(missing_ok=True)
                names.append(f"mastercontrol.{module.replace('/', '.')}.*")
            else:
                asked = {tests, f"{tests} quickly"} if quick else {tests}
                names += _undecided(meta, again=known.get("tests") not in asked)
            if not (quick and known.get("tests") == tests and known.get("source") == source):
                state[module] = {"source": source, "tests": f"{tests} quickly" if quick else tests}
        state[""] = {"product": product}
        self._state.write_text(json.dumps(state, indent=1))
        return names

    def forget(self) -> None:
        """Drop all verdicts."""
        shutil.rmtree(self.mutants, ignore_errors=True)
        self._state.unlink(missing_ok=True)


def path_of(module: str) -> Path:
    return Path(f"src/mastercontrol/{module}.py")


def _undecided(meta: Path, *, again: bool) -> list[str]:
    """The mutants without a verdict. `again`: all that was not killed loses its verdict before."""
    data = json.loads(meta.read_text())
    codes: dict[str, int | None] = data["exit_code_by_key"]
    for name, code in codes.items():
        if again and verdict_of(code) not in {Verdict.KILLED, Verdict.REFUSED, Verdict.WORDS}:
            codes[name] = None
    if again:
        meta.write_text(json.dumps(data, indent=4))
    return [name for name, code in codes.items() if code is None]


def _files(root: Path, under: Path) -> dict[Path, Path]:
    if root.is_file():
        return {under: root}
    return {under / path.relative_to(root): path for path in root.rglob("*.py")}


def _write(path: Path, content: bytes) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _digest(under: Path) -> str:
    """A hash of a file, or of all Python files of a folder and their names."""
    paths = [under] if under.is_file() else sorted(under.rglob("*.py"))
    parts = [part for path in paths for part in (path.relative_to(under.parent).as_posix().encode(), path.read_bytes())]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
