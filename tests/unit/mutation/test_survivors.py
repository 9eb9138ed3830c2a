"""The list of the mutants that may survive, and what is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutation.survivors import LIST, Malformed, compare, entry, load
from mutation.verdicts import Key, Mutant, Verdict

OPERATOR = Path(__file__).parents[3] / "operator/mastercontrol"
ONE = Key("engine.gate.Gate.ask", "- return 2\n+ return 3")
OTHER = Key("engine.gate.Gate.ask", "- return 2\n+ return 3", 2)


def mutant(key: Key, verdict: Verdict) -> Mutant:
    return Mutant(f"{key.function}_{key.nth}", key, verdict)


def test_a_survivor_that_is_not_listed_is_an_error() -> None:
    compared = compare([mutant(ONE, Verdict.SURVIVED), mutant(OTHER, Verdict.SURVIVED)], {ONE: "why"}, ["engine/gate"])
    assert [found.key for found in compared.unexplained] == [OTHER]
    assert not compared.good


def test_what_was_not_judged_is_no_success() -> None:
    compared = compare([mutant(ONE, Verdict.UNJUDGED)], {ONE: "why"}, ["engine/gate"])
    assert not compared.good
    assert compared.gone == ()


def test_an_entry_that_no_longer_survives_is_named() -> None:
    compared = compare([mutant(ONE, Verdict.KILLED)], {ONE: "why", OTHER: "why"}, ["engine/gate"])
    assert compared.gone == (ONE, OTHER)
    assert compared.good


def test_nothing_is_said_of_modules_that_did_not_run() -> None:
    compared = compare([], {ONE: "why"}, ["engine/gat", "workflow/retry"])
    assert compared.gone == ()
    assert compared.good


def test_an_entry_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "survivors.toml"
    path.write_text(entry(ONE, "equal") + entry(OTHER, "equal too"))
    assert load(path) == {ONE: "equal", OTHER: "equal too"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (entry(ONE), "no reason"),
        (entry(ONE, "a") + entry(ONE, "b"), "listed twice"),
        ("[[survivor]]\nfunction = 'f'\nwhy = 'so'\n", "without 'diff'"),
    ],
)
def test_an_entry_that_says_too_little_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "survivors.toml"
    path.write_text(text)
    with pytest.raises(Malformed, match=fault):
        load(path)


def test_each_entry_of_the_list_is_about_code_that_is_there() -> None:
    for key in load(LIST):
        package, module, function = key.function.split(".", 2)
        source = (OPERATOR / package / f"{module}.py").read_text()
        name = function.rpartition(".")[2]
        assert f"def {name}(" in source, key
        lines = {line.strip() for line in source.splitlines()}
        changed = [line[2:].strip() for line in key.diff.splitlines() if line.startswith("- ")]
        assert changed, key
        for line in changed:
            assert line.replace("def this(", f"def {name}(") in lines, key
