"""`python -m mutation [MODULE...]`: mutate, run the tests, and compare what survives with the list.

A module is `engine/decide`, `decide`, a package or a path of a file. Without one it is all of them. Exit code 1 if a
mutant survives that the list does not explain.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mutation import survivors
from mutation.judge import QUICK
from mutation.staging import Staging
from mutation.verdicts import Key, Mutant, Verdict, read

MEMORY_BYTES = 4 * 2**30
"""A mutant that collects without end is stopped by that."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(prog="mutation", description="Mutation testing of engine/ and workflow/.")
    parser.add_argument("modules", nargs="*", help="engine/decide, decide, engine or a path; all without it")
    parser.add_argument("--home", type=Path, required=True, help="the folder in which the mutated copy is kept")
    parser.add_argument("--fresh", action="store_true", help="forget all verdicts")
    parser.add_argument("--quick", action="store_true", help="ask no slow tests; more survives")
    parser.add_argument("--show", action="store_true", help="run nothing; tell what the last run found")
    given = parser.parse_args(arguments)
    staging = Staging(Path(__file__).parents[2], given.home.absolute())
    try:
        modules = selected(given.modules, staging.modules())
        explained = survivors.load()
    except (ValueError, survivors.Malformed) as error:
        parser.error(str(error))
    if given.fresh:
        staging.forget()
    if not given.show:
        staging.lay()
        due = staging.due(modules, quick=given.quick)
        if due and (status := _judge(staging, due, quick=given.quick)):
            print(f"the run ended with status {status}", file=sys.stderr)
            return status
    found = {module: read(staging.mutants, module) for module in modules}
    return report(found, explained)


def selected(wanted: Sequence[str], modules: Sequence[str]) -> list[str]:
    """The modules that these words name. ValueError for a word that names none."""
    if not wanted:
        return list(modules)
    found: set[str] = set()
    for word in wanted:
        name = word.removeprefix("operator/").removeprefix("mastercontrol/").removesuffix(".py").strip("/")
        matching = [m for m in modules if name in {m, m.rpartition("/")[2]} or m.startswith(f"{name}/")]
        if name == "engine":
            # The package has a module of its name, which is among its modules.
            matching = [m for m in modules if m.startswith("engine/")]
        if not matching:
            raise ValueError(f"{word} is no module of engine/ or workflow/")
        found.update(matching)
    return sorted(found)


def report(found: Mapping[str, Sequence[Mutant]], explained: Mapping[Key, str]) -> int:
    """Print a table, and all that is not as the list says; the exit code."""
    print(table(found))
    compared = survivors.compare((m for mutants in found.values() for m in mutants), explained, found)
    for mutant in compared.unexplained:
        print(f"\nsurvives, and is not listed ({mutant.name}):\n{survivors.entry(mutant.key)}")
    for key in compared.gone:
        print(f"\nis listed, and does not survive: {key}")
    for mutant in compared.unjudged:
        print(f"not judged: {mutant.name}")
    unexplained, gone, unjudged = len(compared.unexplained), len(compared.gone), len(compared.unjudged)
    print(f"\n{unexplained} survivors are not listed, {gone} entries of the list are gone, {unjudged} were not judged")
    return 0 if compared.good else 1


def table(found: Mapping[str, Sequence[Mutant]]) -> str:
    """Figures by module, as Markdown."""
    lines = ["| module | mutants | " + " | ".join(Verdict) + " |", "| --- " * (len(Verdict) + 2) + "|"]
    total: Counter[Verdict] = Counter()
    for module, mutants in found.items():
        counted = Counter(mutant.verdict for mutant in mutants)
        total += counted
        lines.append(_row(f"`{module}`", counted))
    return "\n".join([*lines, _row("all", total)])


def _row(name: str, counted: Counter[Verdict]) -> str:
    return f"| {name} | {counted.total()} | " + " | ".join(str(counted[verdict]) for verdict in Verdict) + " |"


def _judge(staging: Staging, due: Sequence[str], *, quick: bool) -> int:
    """One process at a time: tests with deadlines are not to be in each other's way."""
    environment = {**os.environ, "PYTHONPATH": str(staging.home / "tests"), "PYTHONHASHSEED": "0"}
    environment[QUICK] = "1" if quick else ""
    command = ["prlimit", f"--as={MEMORY_BYTES}", sys.executable, "-m", "mutation.judge", *due]
    return subprocess.run(command, check=False, cwd=staging.home, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
