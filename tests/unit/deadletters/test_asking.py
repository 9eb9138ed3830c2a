"""What annotations ask for, and the patch that answers."""

from __future__ import annotations

import json
from typing import Any

import jsonpatch
import pytest

from mastercontrol.pools.deadletters.asking import SAID, Answer, Ask, Verb, answer_patch, asked, missing
from unit.deadletters.builders import letter, pool

ID = "u-order-1:1:1"


def test_without_an_annotation_nothing_is_asked() -> None:
    assert asked(pool()) is None
    assert asked({"metadata": {}}) is None


def test_ids_are_named_with_commas_between_them() -> None:
    ask = asked(pool(redrive=f"{ID}, u-order-2:1:1,"))
    assert ask == Ask(Verb.REDRIVE, f"{ID}, u-order-2:1:1,", frozenset({ID, "u-order-2:1:1"}))
    assert ask.means(letter())
    assert not ask.means(letter(2))


def test_all_means_every_letter() -> None:
    ask = asked(pool(discard=" all "))
    assert ask == Ask(Verb.DISCARD, " all ", None)
    assert ask.means(letter(17))
    assert missing(ask, []) == {}


def test_what_is_redriven_comes_before_what_is_discarded() -> None:
    ask = asked(pool(discard="all", redrive=ID))
    assert ask is not None
    assert ask.verb is Verb.REDRIVE


def test_ids_that_are_not_there_are_told() -> None:
    ask = asked(pool(redrive=f"{ID},no:1:1"))
    assert ask is not None
    assert missing(ask, [letter()]) == {"no:1:1": "there is no such dead letter"}


def test_a_request_that_names_nothing_is_told_what_to_write() -> None:
    ask = asked(pool(redrive=" , "))
    assert ask is not None
    assert missing(ask, [letter()]) == {"": "write dispatch ids with commas between them, or all"}


def answered(raw: dict[str, Any], answer: Answer, ask: Ask) -> dict[str, Any]:
    raw["metadata"]["uid"] = "u-pool"
    applied: dict[str, Any] = jsonpatch.apply_patch(
        raw, answer_patch(ask, answer, "u-pool", "2030-01-01T12:00:00.000Z")
    )
    return applied


def test_the_answer_takes_the_place_of_the_annotation() -> None:
    raw = pool(redrive=ID, discard="all")
    ask = asked(raw)
    assert ask is not None
    after = answered(raw, Answer([letter()], {"no:1:1": "why"}), ask)["metadata"]["annotations"]
    said = json.loads(after.pop("mastercontrol.dev/dead-letters-handled"))
    assert after == {"team": "a", "mastercontrol.dev/discard": "all"}
    assert said == {
        "time": "2030-01-01T12:00:00.000Z",
        "asked": "redrive",
        "done": 1,
        "ids": [ID],
        "notDone": 1,
        "refused": [{"id": "no:1:1", "why": "why"}],
    }


@pytest.mark.parametrize("now", [pool(redrive="other"), pool()])
def test_a_newer_request_is_not_taken_away(now: dict[str, Any]) -> None:
    ask = asked(pool(redrive=ID))
    assert ask is not None
    with pytest.raises((jsonpatch.JsonPatchTestFailed, jsonpatch.JsonPatchConflict)):
        answered(now, Answer(), ask)


def test_an_answer_about_a_thousand_letters_fits_into_an_annotation() -> None:
    ask = Ask(Verb.REDRIVE, "all", None)
    answer = Answer([letter(n) for n in range(1, 1001)], {f"u-order-1:{n}:1": "x" * 200 for n in range(1000)})
    said = answer_patch(ask, answer, "u", "now")[-1]["value"]
    assert len(said) < 64 * 1024
    assert (json.loads(said)["done"], len(json.loads(said)["ids"])) == (1000, SAID)
    assert (json.loads(said)["notDone"], len(json.loads(said)["refused"])) == (1000, SAID)
