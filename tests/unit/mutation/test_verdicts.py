"""What became of a mutant, and its name that outlives an edit elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mutation.verdicts import Key, Verdict, function_of, is_words, meta_file, read, verdict_of

MUTATED = """\
class Gate:
    def xǁGateǁask__mutmut_orig(self, limit: int = 1) -> int:
        if limit > 1:
            return 2
        return 2

    def xǁGateǁask__mutmut_1(self, limit: int = 2) -> int:
        if limit > 1:
            return 2
        return 2

    def xǁGateǁask__mutmut_2(self, limit: int = 1) -> int:
        if limit > 1:
            return 3
        return 2

    def xǁGateǁask__mutmut_3(self, limit: int = 1) -> int:
        if limit >= 1:
            return 2
        return 2
"""


def written(mutants: Path, mutated: str, codes: list[int | None], *, above: int = 0) -> None:
    meta = meta_file(mutants, "engine/gate")
    meta.parent.mkdir(parents=True, exist_ok=True)
    names = [f"xǁGateǁask__mutmut_{number}" for number in range(1, len(codes) + 1)]
    starts = {"xǁGateǁask__mutmut_orig": 2 + above}
    starts.update({name: 7 + 5 * i + above for i, name in enumerate(names)})
    meta.with_suffix("").write_text("\n" * above + mutated)
    spans = {name: [start, start + 3] for name, start in starts.items()}
    Path(f"{meta.with_suffix('')}.spans").write_text(json.dumps({"version": 1, "spans": spans}))
    keys = {f"mastercontrol.engine.gate.{name}": code for name, code in zip(names, codes, strict=True)}
    meta.write_text(json.dumps({"exit_code_by_key": keys}))


def test_a_mutant_is_its_function_and_the_lines_that_differ(tmp_path: Path) -> None:
    written(tmp_path, MUTATED, [1, 0, 37])
    found = read(tmp_path, "engine/gate")
    assert [mutant.verdict for mutant in found] == [Verdict.KILLED, Verdict.SURVIVED, Verdict.REFUSED]
    assert [mutant.key for mutant in found] == [
        Key(
            "engine.gate.Gate.ask",
            "- def this(self, limit: int = 1) -> int:\n+ def this(self, limit: int = 2) -> int:",
        ),
        Key("engine.gate.Gate.ask", "- return 2\n+ return 3"),
        Key("engine.gate.Gate.ask", "- if limit > 1:\n+ if limit >= 1:"),
    ]


def test_code_above_it_does_not_change_the_name_of_a_mutant(tmp_path: Path) -> None:
    written(tmp_path, MUTATED, [1, 0, 37])
    before = read(tmp_path, "engine/gate")
    written(tmp_path, MUTATED, [1, 0, 37], above=7)
    assert read(tmp_path, "engine/gate") == before


def test_changes_that_read_the_same_are_told_apart_by_their_order(tmp_path: Path) -> None:
    twice = MUTATED.replace(
        "limit: int = 1) -> int:\n        if limit >= 1", "limit: int = 1) -> int:\n        if limit > 1"
    )
    head, _, tail = twice.rpartition("        return 2\n")
    written(tmp_path, f"{head}        return 3\n{tail}", [1, 0, 0])
    keys = [mutant.key for mutant in read(tmp_path, "engine/gate")][1:]
    assert keys == [Key("engine.gate.Gate.ask", "- return 2\n+ return 3", nth) for nth in (1, 2)]


def test_a_module_that_was_never_mutated_has_no_mutants(tmp_path: Path) -> None:
    assert read(tmp_path, "engine/gate") == []


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (0, Verdict.SURVIVED),
        (33, Verdict.SURVIVED),
        (1, Verdict.KILLED),
        (-24, Verdict.TIMEOUT),
        (37, Verdict.REFUSED),
        (34, Verdict.WORDS),
        (None, Verdict.UNJUDGED),
        (2, Verdict.UNJUDGED),
        (77, Verdict.UNJUDGED),
    ],
)
def test_only_a_test_that_fails_is_a_kill(code: int | None, verdict: Verdict) -> None:
    assert verdict_of(code) is verdict


@pytest.mark.parametrize(
    ("inner", "function"),
    [
        ("x_decide__mutmut_3", "engine.decide.decide"),
        ("x__begin__mutmut_12", "engine.decide._begin"),
        ("xǁGateǁ__init____mutmut_1", "engine.decide.Gate.__init__"),
    ],
)
def test_the_function_of_a_mutant_is_named_as_in_the_code(inner: str, function: str) -> None:
    assert function_of("engine/decide", inner) == function


@pytest.mark.parametrize(
    ("diff", "words"),
    [
        ('- raise Refused("it is late")\n+ raise Refused("XXit is lateXX")', True),
        ('- raise Refused("it is late", 1)\n+ raise Refused("IT IS LATE", 1)', True),
        ('- raise Refused("late")\n+ raise Refused("LATE")', False),
        ('- raise Refused("it is late", 1)\n+ raise Refused("it is late", 2)', False),
        ('- raise Refused("it is late", 1)\n+ raise Refused(None, 1)', False),
        ('- a("it is late") < 1\n+ a("IT IS LATE") <= 1', False),
        ('- a("it is late")\n- b = 1', False),
    ],
)
def test_the_spelling_of_a_message_for_people_is_told_from_what_code_compares(diff: str, *, words: bool) -> None:
    assert is_words(diff) is words
