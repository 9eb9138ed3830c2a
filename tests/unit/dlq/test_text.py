"""What `mastercontrol dlq` prints, and what it takes as a request."""

from __future__ import annotations

from typing import Any

import pytest

from mastercontrol.cli import main
from mastercontrol.dlq.text import listing, outcome


def pool(name: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": status}


LETTER = {
    "id": "u:3:1",
    "job": "order-1",
    "step": "charge",
    "attempt": 1,
    "reason": "DeliveryLimitExceeded",
    "message": "never answered",
    "time": "2030-01-01T12:00:00.000Z",
}


def test_dead_letters_are_a_table() -> None:
    no_step = {"reason": "X", "message": "no step"}
    found = listing([pool("payments", deadLetters=2, newestDeadLetters=[LETTER, no_step])])
    head, first, second = found.table.splitlines()
    assert head.split() == ["POOL", "ID", "JOB", "STEP", "ATTEMPT", "TIME", "WHY"]
    assert first.split("   ") == [
        *("payments", "u:3:1", "order-1", "charge", "1", "", ""),
        *("2030-01-01T12:00:00.000Z", "DeliveryLimitExceeded: never answered"),
    ]
    assert second.split() == ["payments", "-", "-", "-", "-", "-", "X:", "no", "step"]
    assert head.index("WHY") == first.index("DeliveryLimit") == second.index("X:")
    assert found.notes == ()


def test_what_is_not_shown_or_not_known_is_said() -> None:
    found = listing([pool("a", deadLetters=40, newestDeadLetters=[LETTER] * 20), pool("b", deadLetters=0), pool("c")])
    assert len(found.table.splitlines()) == 21
    assert found.notes == ("a: 20 more, not shown", "c: not known how many there are")


def test_without_dead_letters_there_is_no_table() -> None:
    assert listing([pool("a", deadLetters=0)]).table == ""
    assert listing([]).table == ""
    assert listing([{"metadata": {"name": "new"}}]).notes == ("new: not known how many there are",)


def test_what_was_done_and_what_was_not_is_said() -> None:
    refused = [{"id": "u:4:1", "why": "its job is gone"}]
    answer = {"asked": "redrive", "done": 3, "ids": ["u:1:1", "u:2:1"], "notDone": 2, "refused": refused}
    said = outcome(answer)
    assert said.table == "redriven: u:1:1\nredriven: u:2:1\nredriven: 1 more"
    assert said.notes == ("not redriven: u:4:1: its job is gone", "not redriven: 1 more")


def test_a_request_about_nothing_says_that_there_was_nothing() -> None:
    assert outcome({"asked": "discard", "done": 0, "ids": []}).table == "discarded: none, as there are no dead letters"
    assert outcome({"asked": "discard", "done": 0, "notDone": 1, "refused": []}).table == ""


@pytest.mark.parametrize(
    "words",
    [["redrive", "p"], ["redrive", "p", "u:1:1", "--all"], ["discard", "p", "u:1:1,2:1"], ["discard", "p", "all"]],
)
def test_a_request_that_is_not_clear_is_not_sent(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dlq", *words]) == 2
    assert "--all" in capsys.readouterr().err


def test_without_a_cluster_it_says_so_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mastercontrol.logs.configure", lambda *_: None)  # it is for the whole process
    for words in (["list"], ["redrive", "p", "--all"]):
        assert main(["dlq", *words]) == 1
        assert capsys.readouterr().err.startswith("mastercontrol: no way to the API server")
