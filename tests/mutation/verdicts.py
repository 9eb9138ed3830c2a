"""What became of each mutant, read from mutmut's files.

A mutant is named by its function and the change, `engine.decide.decide` and a diff of the changed lines: neither moves
when code above it does.
"""

from __future__ import annotations

import difflib
import enum
import json
import re
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


class Verdict(enum.StrEnum):
    KILLED = "killed"
    REFUSED = "refused by mypy"
    WORDS = "words"
    TIMEOUT = "timeout"
    SURVIVED = "survived"
    UNJUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Key:
    """`nth` tells apart changes of one function that read the same, from 1."""

    function: str
    diff: str
    nth: int = 1

    def __str__(self) -> str:
        which = f" (number {self.nth} of those that read so)" if self.nth > 1 else ""
        return f"{self.function}{which}\n{textwrap.indent(self.diff, '    ')}"


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    key: Key
    verdict: Verdict


# A mutant that no test covers survives. A worker that ran out of memory was stopped by its mutant: what is without
# end is ended by pytest's time limit, or by mutmut's if that is stuck too.
_VERDICTS = {
    0: Verdict.SURVIVED,
    5: Verdict.SURVIVED,
    33: Verdict.SURVIVED,
    1: Verdict.KILLED,
    3: Verdict.KILLED,
    37: Verdict.REFUSED,
    34: Verdict.WORDS,
    -24: Verdict.TIMEOUT,
    24: Verdict.TIMEOUT,
    36: Verdict.TIMEOUT,
    152: Verdict.TIMEOUT,
    255: Verdict.TIMEOUT,
    -9: Verdict.TIMEOUT,
}


_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')


def verdict_of(code: int | None) -> Verdict:
    """By the exit status that mutmut wrote down."""
    return Verdict.UNJUDGED if code is None else _VERDICTS.get(code, Verdict.UNJUDGED)


def meta_file(mutants: Path, module: str) -> Path:
    return mutants / f"src/mastercontrol/{module}.py.meta"


def read(mutants: Path, module: str) -> list[Mutant]:
    """All mutants of a module, `engine/decide`; none where it was never mutated."""
    meta = meta_file(mutants, module)
    if not meta.exists():
        return []
    codes: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
    mutated = meta.with_suffix("")
    lines = mutated.read_text().splitlines()
    spans: dict[str, tuple[int, int]] = json.loads(Path(f"{mutated}.spans").read_text())["spans"]
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for name, code in codes.items():
        inner = name.rpartition(".")[2]
        original = re.sub(r"_\d+$", "_orig", inner)
        function, diff = function_of(module, inner), _diff(_text(lines, spans[original]), _text(lines, spans[inner]))
        seen[function, diff] += 1
        found.append(Mutant(name, Key(function, diff, seen[function, diff]), verdict_of(code)))
    return found


def is_words(diff: str) -> bool:
    """Whether a change is one of spelling in a text with spaces: a message for people, which no code compares."""
    before, after = ([line[2:] for line in diff.splitlines() if line.startswith(sign)] for sign in ("- ", "+ "))
    changed = [(b, a) for b, a in zip(before, after, strict=False) if b != a]
    if len(before) != len(after) or len(changed) != 1:
        return False
    literals = [_LITERAL.findall(line) for line in changed[0]]
    different = [(b, a) for b, a in zip(*literals, strict=False) if b != a]
    if len(literals[0]) != len(literals[1]) or len(different) != 1 or " " not in different[0][0].strip():
        return False
    # The line is the same but for that one text.
    return changed[0][0].replace(different[0][0], different[0][1], 1) == changed[0][1]


def function_of(module: str, inner: str) -> str:
    """`x_decide__mutmut_3` of `engine/decide` is `engine.decide.decide`, `xǁGateǁask__mutmut_1` a method of a class."""
    mangled = inner.rpartition("__mutmut_")[0]
    plain = mangled[2:] if mangled.startswith("x_") else mangled.removeprefix("xǁ").replace("ǁ", ".")
    return f"{module.replace('/', '.')}.{plain}"


def _text(lines: list[str], span: tuple[int, int]) -> list[str]:
    """A function of the mutated file, under one name whichever mutant it is."""
    return re.sub(r"\w+__mutmut_(orig|\d+)\b", "this", "\n".join(lines[span[0] - 1 : span[1]])).splitlines()


def _diff(before: list[str], after: list[str]) -> str:
    """The lines that differ, dedented, without those around them."""
    changed = [
        line
        for line in difflib.unified_diff(before, after, lineterm="", n=0)
        if line[:1] in {"-", "+"} and line not in {"--- ", "+++ "}
    ]
    dedented = textwrap.dedent("\n".join(line[1:] for line in changed)).splitlines()
    return "\n".join(line[0] + " " + text for line, text in zip(changed, dedented, strict=True))
