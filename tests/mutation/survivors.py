"""The list of the mutants that may survive, each with the reason: `survivors.toml`, beside this file.

An entry has the function, the diff of the changed lines, and `why`. Where a function has several places that read the
same, `nth` says which one. Entries are tables of the array `survivor`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutation.verdicts import Key, Mutant, Verdict

LIST = Path(__file__).with_name("survivors.toml")


class Malformed(Exception):
    """The list has an entry that says too little, or says it twice."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`unexplained` survive and are not listed; `gone` are listed, of modules that ran, and do not survive."""

    unexplained: tuple[Mutant, ...]
    gone: tuple[Key, ...]
    unjudged: tuple[Mutant, ...]

    @property
    def good(self) -> bool:
        """An entry too many is only named: a kill that hangs on time may come and go."""
        return not self.unexplained and not self.unjudged


def load(path: Path = LIST) -> dict[Key, str]:
    """Each survivor that may be, with its reason. Raises Malformed."""
    found: dict[Key, str] = {}
    for entry in tomllib.loads(path.read_text())["survivor"]:
        key = _key(entry)
        why = str(entry.get("why", "")).strip()
        if not why:
            raise Malformed(f"no reason is given why this may survive: {key}")
        if key in found:
            raise Malformed(f"listed twice: {key}")
        found[key] = why
    return found


def compare(mutants: Iterable[Mutant], explained: Mapping[Key, str], modules: Iterable[str]) -> Comparison:
    """`mutants` are all those of `modules`, `engine/decide`."""
    mutants = list(mutants)
    alive = {mutant.key: mutant for mutant in mutants if mutant.verdict is Verdict.SURVIVED}
    prefixes = tuple(module.replace("/", ".") + "." for module in modules)
    unjudged = tuple(mutant for mutant in mutants if mutant.verdict is Verdict.UNJUDGED)
    undecided = {mutant.key for mutant in unjudged}
    return Comparison(
        unexplained=tuple(mutant for key, mutant in alive.items() if key not in explained),
        gone=tuple(
            key for key in explained if key.function.startswith(prefixes) and key not in alive and key not in undecided
        ),
        unjudged=unjudged,
    )


def entry(key: Key, why: str = "") -> str:
    """An entry as it stands in the list."""
    nth = f"nth = {key.nth}\n" if key.nth > 1 else ""
    return f"[[survivor]]\nfunction = \"{key.function}\"\n{nth}diff = '''\n{key.diff}\n'''\nwhy = \"{why}\"\n"


def _key(entry: Mapping[str, Any]) -> Key:
    try:
        return Key(str(entry["function"]), str(entry["diff"]).rstrip("\n"), int(entry.get("nth", 1)))
    except KeyError as missing:
        raise Malformed(f"an entry without {missing}: {dict(entry)}") from missing
