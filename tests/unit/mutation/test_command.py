"""`make mutation`: what is chosen, and what is said of it."""

from __future__ import annotations

import pytest

from mutation.__main__ import report, selected
from mutation.verdicts import Key, Mutant, Verdict

MODULES = ["engine/decide", "engine/engine", "workflow/cost"]
KEY = Key("workflow.cost.cost", "- return 2\n+ return 3")


@pytest.mark.parametrize(
    ("words", "modules"),
    [
        ([], MODULES),
        (["decide"], ["engine/decide"]),
        (["engine/decide"], ["engine/decide"]),
        (["operator/mastercontrol/engine/engine.py"], ["engine/engine"]),
        (["engine"], ["engine/decide", "engine/engine"]),
        (["workflow/", "decide", "cost"], ["engine/decide", "workflow/cost"]),
    ],
)
def test_a_module_is_named_as_one_likes(words: list[str], modules: list[str]) -> None:
    assert selected(words, MODULES) == modules


def test_a_word_that_names_no_module_is_an_error() -> None:
    with pytest.raises(ValueError, match="decode is no module"):
        selected(["decode"], MODULES)


def test_survivors_that_are_not_listed_are_printed_as_an_entry_and_fail(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"workflow/cost": [Mutant("name", KEY, Verdict.SURVIVED), Mutant("n", KEY, Verdict.KILLED)]}
    assert report(found, {}) == 1
    told = capsys.readouterr().out
    assert "| `workflow/cost` | 2 | 1 | 0 | 0 | 0 | 1 | 0 |" in told
    assert "[[survivor]]\nfunction = \"workflow.cost.cost\"\ndiff = '''\n- return 2\n+ return 3\n'''" in told
    assert report(found, {KEY: "equal"}) == 0
