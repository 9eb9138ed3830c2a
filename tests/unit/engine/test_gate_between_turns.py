"""The gate by itself: what it keeps of a Job from one turn to the next, whom it wakes once, and what it tells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mastercontrol import metrics
from mastercontrol.api.status import JobStatus
from mastercontrol.engine.places import UNLISTED, Admitted, Held, NoKey, Replaced
from unit.engine.entrance import KEYED, Entrance


def held() -> float:
    """How many Jobs wait, by the metric."""
    found: float = metrics.JOBS_HELD.labels("shop", "order")._value.get()
    return found


# -- who waits, and what they are told


def test_the_metric_says_how_many_wait() -> None:
    door = Entrance(limit=1)
    door.come("j1").begin("j1")
    for name in ("j2", "j3", "j4"):
        door.come(name).ask(name)
    assert held() == 3
    door.end("j1").begin("j2")
    assert held() == 2
    door.gate.forget(("shop", "j3"))
    assert held() == 1


def test_the_metric_says_that_nobody_waits_once_the_limit_is_taken_away() -> None:
    door = Entrance(limit=1)
    door.come("j1").begin("j1").come("j2").ask("j2")
    door.edit()
    door.ask("j2")
    assert held() == 0


def test_those_that_are_about_to_begin_are_counted_among_those_that_have_places() -> None:
    door = Entrance(limit=4)
    for name in ("j1", "j2", "j3", "j4", "j5"):
        door.come(name)
    door.begin("j1").begin("j2").begin("j3")
    assert door.ask("j4") == Admitted()
    assert door.text("j5") == "waits for a place: held by j1, j2, j3 and 1 more (limit 4)"


def test_who_waits_for_others_to_begin_first_is_told_of_which_key() -> None:
    door = Entrance(limit=1, key=KEYED)
    door.come("late", age=1).come("early", age=9)
    assert door.text("late") == 'waits for a place: key "acme" is for early first (limit 1)'


def test_the_key_may_be_told_from_the_variable_input() -> None:
    door = Entrance(limit=1, key="${input.customer}")
    door.come("a1", "acme").begin("a1").come("a2", "acme")
    assert door.text("a2") == 'waits for a place: key "acme" is held by a1 (limit 1)'


def test_a_job_without_a_key_that_comes_while_others_run_cannot_begin() -> None:
    door = Entrance(limit=2, key=KEYED)
    door.come("a1", "acme").begin("a1").come("bad", None)
    answer = door.ask("bad")
    assert isinstance(answer, NoKey)
    assert "not null" in answer.text


# -- what is seen again, late, or in another order


def test_an_event_that_comes_late_takes_no_place_from_a_job_that_runs() -> None:
    door = Entrance(limit=1)
    door.come("j1").begin("j1").come("j2")
    door.gate.observe(replace(door.jobs["j1"], status=None, resource_version="0"))
    assert door.text("j2") == "waits for a place: held by j1 (limit 1)"


def test_a_read_that_shows_nothing_new_does_not_settle_whether_a_write_landed() -> None:
    door = Entrance(limit=1)
    door.come("j1").come("j2")
    door.ask("j1"), door.ask("j2")
    door.gate.failed(("shop", "j1"), unwritten=False)
    door.gate.observe(replace(door.jobs["j1"]))
    door.gate.failed(("shop", "j1"), unwritten=True)
    assert door.text("j2") == "waits for a place: held by j1 (limit 1)"


def test_a_job_whose_status_is_taken_away_stands_in_line_again() -> None:
    door = Entrance(limit=1)
    door.come("j1", age=9).begin("j1").come("j2")
    door.written("j1", JobStatus())
    assert door.text("j2") == "waits for a place: for j1 first (limit 1)"


def test_who_is_admitted_keeps_its_place_though_it_was_changed_and_another_has_priority_now() -> None:
    door = Entrance(limit=1)
    door.come("j1")
    assert door.ask("j1") == Admitted()
    door.come("urgent", priority=9).ask("urgent")
    door.change("j1", ttl_seconds_after_finished=60)
    assert door.ask("j1") == Admitted()
    assert door.text("urgent") == "waits for a place: held by j1 (limit 1)"


def test_a_job_that_asks_again_and_whose_turn_then_fails_is_passed_over_again() -> None:
    door = Entrance(limit=1)
    door.come("running").begin("running").come("first", age=9).come("second", age=1)
    door.ask("second"), door.passes("first"), door.ask("first")
    door.gate.failed(("shop", "first"), unwritten=False)
    door.calm()
    door.end("running")
    assert door.woken == ["second"]


# -- whom it wakes


def test_who_was_woken_and_has_not_asked_yet_is_not_woken_again() -> None:
    door = Entrance(limit=2)
    door.come("j1").begin("j1").come("j2").begin("j2").come("j3").ask("j3")
    door.calm()
    door.end("j1")
    assert door.woken == ["j3"]
    door.end("j2")
    assert door.woken == []


def test_a_job_that_still_cannot_begin_wakes_nobody() -> None:
    door = Entrance(limit=1, listed=False)
    door.come("early", age=9).come("late", age=1)
    door.ask("late"), door.passes("early"), door.ask("late")
    door.calm()
    door.passes("early")
    assert door.woken == [], "nothing has changed for those behind it"


def test_the_listing_of_another_namespace_wakes_nobody() -> None:
    door = Entrance(limit=1, listed=False)
    door.come("j1").ask("j1")
    door.gate.listed("site")
    assert door.woken == []


# -- a Workflow that is edited


def test_a_job_that_has_ended_and_is_still_known_does_not_count_where_a_limit_is_added() -> None:
    door = Entrance(limit=1)
    door.edit()
    door.come("ended", age=9).fail("ended")
    door.come("runs", age=5).written("runs", JobStatus("InProgress.a", sequence=1))
    door.edit(limit=1)
    door.come("new")
    assert door.text("new") == "waits for a place: held by runs (limit 1)"


def test_under_a_lowered_limit_those_that_are_to_end_are_woken() -> None:
    door = Entrance(limit=2, policy="Replace")
    door.come("j1", age=9).begin("j1").come("j2", age=5).begin("j2").come("new", age=1)
    door.calm()
    door.edit(limit=1, policy="Replace")
    door.ask("new")
    assert {"j1", "j2"} <= set(door.woken)


# -- Replace


@pytest.mark.parametrize("field", ["suspend", "cancel"])
def test_a_new_job_that_may_go_on_replaces_nobody_before_it_has_asked_again(field: str) -> None:
    door = Entrance(limit=1, policy="Replace")
    door.come("old", age=9).begin("old").come("new", age=1).ask("new")
    door.change("new", **{field: True}).change("new", **{field: False})
    assert door.passes("old") is None
    door.ask("new")
    assert door.passes("old") == Replaced("new takes its place (limit 1)")


# -- a failed job that is to go on


def test_a_failed_job_that_is_seen_as_it_was_gives_its_place_back() -> None:
    door = Entrance(limit=1).come("a").come("b").begin("a")
    job = door.fail("a")
    door.gate.place_again(job, door.definition)
    door.gate.observe(replace(job))  # it was read anew, and nothing was written
    assert door.ask("b") == Admitted()


def test_a_failed_job_is_told_who_has_the_places_of_its_key() -> None:
    door = Entrance(limit=4, key=KEYED).come("a").begin("a")
    job = door.fail("a")
    for name in ("b", "c", "d"):
        door.come(name).begin(name)
    assert door.come("e").ask("e") == Admitted()
    text = 'waits for a place: key "acme" is held by b, c, d and 1 more (limit 4)'
    assert door.gate.place_again(job, door.definition) == Held(text)


def test_a_failed_job_is_told_that_the_jobs_could_not_be_listed() -> None:
    door = Entrance(limit=1, listed=False)
    door.come("a").fail("a")
    door.gate.place_again(door.jobs["a"], door.definition)
    door.gate.not_listed("shop", "503")
    assert door.gate.place_again(door.jobs["a"], door.definition) == Held(f"{UNLISTED}: 503")
