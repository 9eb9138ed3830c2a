"""The gate by itself: who may begin, who waits, who is woken, and what is left after whatever happens to a Job."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from mastercontrol.api.job import Job, JobSpec
from mastercontrol.api.names import Phase
from mastercontrol.api.status import JobStatus
from mastercontrol.engine.gate import NEAR
from mastercontrol.engine.places import Admitted, Held, RejectedBy, Replaced
from unit.engine.builders import NOW, seconds
from unit.engine.entrance import KEYED, Entrance


def test_a_workflow_without_a_limit_lets_all_through_and_nothing_is_remembered() -> None:
    door = Entrance(limit=1)
    door.edit()
    assert door.come("j").ask("j") is None
    assert door.gate._groups == {}


def test_as_many_begin_as_the_limit_says_and_the_others_name_who_runs() -> None:
    door = Entrance(limit=2)
    for name in ("j1", "j2", "j3"):
        door.come(name)
    door.begin("j1").begin("j2")
    assert door.text("j3") == "waits for a place: held by j1, j2 (limit 2)"


def test_of_many_who_run_three_are_named() -> None:
    door = Entrance(limit=5)
    for i in range(6):
        door.come(f"j{i}")
    for i in range(5):
        door.begin(f"j{i}")
    assert door.text("j5") == "waits for a place: held by j0, j1, j2 and 2 more (limit 5)"


def test_each_key_has_places_of_its_own() -> None:
    door = Entrance(limit=1, key=KEYED)
    door.come("a1", "acme").come("a2", "acme").come("b1", "blue")
    door.begin("a1").begin("b1")
    assert door.text("a2") == 'waits for a place: key "acme" is held by a1 (limit 1)'


def test_a_long_key_is_shown_in_part() -> None:
    door = Entrance(limit=1, key=KEYED)
    door.come("a1", "x" * 500).come("a2", "x" * 500).begin("a1")
    assert door.text("a2") == f'waits for a place: key "{"x" * 79}… is held by a1 (limit 1)'


def test_a_key_that_just_fits_is_shown_whole() -> None:
    door = Entrance(limit=1, key=KEYED)
    door.come("a1", "x" * 78).come("a2", "x" * 78).begin("a1")
    assert door.text("a2") == f'waits for a place: key "{"x" * 78}" is held by a1 (limit 1)'


def test_who_is_admitted_has_a_place_before_it_has_begun() -> None:
    door = Entrance(limit=1)
    door.come("j1").come("j2")
    assert door.ask("j1") == Admitted()
    assert door.text("j2") == "waits for a place: held by j1 (limit 1)"
    assert door.ask("j1") == Admitted(), "it may ask again"


def test_the_end_of_a_job_wakes_the_next_and_nobody_else() -> None:
    door = Entrance(limit=1)
    for name in ("j1", "j2", "j3", "j4"):
        door.come(name)
    door.begin("j1")
    for name in ("j2", "j3", "j4"):
        door.ask(name)
    door.calm()
    door.end("j1")
    assert door.woken == ["j2"]
    assert door.ask("j3") == Held("waits for a place: for j2 first (limit 1)")
    assert door.ask("j2") == Admitted()


def test_a_place_that_comes_free_in_one_key_wakes_nobody_of_another() -> None:
    door = Entrance(limit=1, key=KEYED)
    for name, customer in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")):
        door.come(name, customer)
    door.begin("a1").begin("b1")
    door.ask("a2"), door.ask("b2")
    door.calm()
    door.end("b1")
    assert door.woken == ["b2"]


def test_the_higher_priority_comes_first_then_the_older_then_the_name() -> None:
    door = Entrance(limit=1)
    door.come("running").begin("running")
    door.come("z", age=5).come("b", age=9).come("a", age=5).come("urgent", age=1, priority=9)
    for name in ("z", "a", "b", "urgent"):
        door.ask(name)
    order = []
    last = "running"
    for _ in range(4):
        door.calm()
        door.end(last)
        (last,) = door.woken
        door.begin(last)
        order.append(last)
    assert order == ["urgent", "b", "a", "z"]


def test_a_priority_may_be_changed_while_the_job_waits() -> None:
    door = Entrance(limit=1)
    door.come("running").begin("running").come("first", age=9).come("second", age=1)
    door.ask("first"), door.ask("second")
    door.change("second", priority=1)
    door.calm()
    door.end("running")
    assert door.woken == ["second"]


def test_after_a_restart_those_that_come_first_are_waited_for_until_they_have_asked() -> None:
    door = Entrance(limit=1)
    door.come("late", age=1).come("early", age=9)
    assert door.text("late") == "waits for a place: for early first (limit 1)"
    assert door.ask("early") == Admitted()


def test_who_comes_first_but_cannot_begin_does_not_stand_in_the_way() -> None:
    door = Entrance(limit=1)
    door.come("late", age=1).come("early", age=9)
    door.ask("late")
    door.passes("early")
    assert door.woken == ["late"]
    assert door.ask("late") == Admitted()
    assert door.text("early") == "waits for a place: held by late (limit 1)"


@pytest.mark.parametrize("spec", [{"suspend": True}, {"cancel": True}])
def test_a_waiting_job_that_is_suspended_or_cancelled_leaves_the_line(spec: dict[str, Any]) -> None:
    door = Entrance(limit=1)
    door.come("running").begin("running").come("first", age=9).come("second", age=1)
    door.ask("first"), door.ask("second")
    door.change("first", **spec)
    door.calm()
    door.end("running")
    assert door.woken == ["second"]


def test_a_job_that_is_resumed_takes_its_old_place_in_the_line() -> None:
    door = Entrance(limit=1)
    door.come("running").begin("running").come("first", age=9, suspend=True).come("second", age=1)
    door.ask("second")
    door.change("first", suspend=False).ask("first")
    door.calm()
    door.end("running")
    assert door.woken == ["first"]


def test_a_running_job_that_is_suspended_keeps_its_place() -> None:
    door = Entrance(limit=1)
    door.come("j1").begin("j1").come("j2")
    door.change("j1", suspend=True)
    assert isinstance(door.ask("j2"), Held)


def test_a_running_job_that_is_being_deleted_holds_no_place() -> None:
    door = Entrance(limit=1)
    door.come("j1").begin("j1").come("j2")
    door.ask("j2")
    door.learn(replace(door.jobs["j1"], deleting=True))
    assert door.woken == ["j2"]
    assert door.ask("j2") == Admitted()


def test_a_job_that_is_gone_holds_no_place() -> None:
    door = Entrance(limit=1)
    door.come("j1").begin("j1").come("j2")
    door.ask("j2")
    door.gate.forget(("shop", "j1"))
    assert door.woken == ["j2"]


def test_another_job_of_the_name_does_not_inherit_the_place() -> None:
    door = Entrance(limit=1)
    door.come("j1").begin("j1").come("j2")
    door.ask("j2")
    door.learn(replace(door.jobs["j1"], uid="another", status=None, created=NOW + seconds(1)))
    assert "j2" in door.woken
    assert door.ask("j2") == Admitted()
    assert door.text("j1") == "waits for a place: held by j2 (limit 1)"


def test_a_name_that_is_taken_again_for_another_workflow_leaves_no_place_behind() -> None:
    door = Entrance(limit=1)
    door.come("j1").begin("j1").come("j2")
    door.ask("j2")
    other = replace(door.jobs["j1"], uid="another", status=None, spec=JobSpec("refund", {"customer": "acme"}))
    door.learn(other)
    assert door.woken == ["j2"]
    assert door.ask("j2") == Admitted()


def test_an_event_that_comes_late_does_not_bring_back_a_job_that_has_ended() -> None:
    door = Entrance(limit=1)
    door.come("j1").begin("j1")
    old = door.jobs["j1"]
    door.written("j1", JobStatus("Done", Phase.SUCCEEDED, "r", 2, completion_time=NOW))
    door.gate.forget(("shop", "j1"))
    # The engine shows the gate nothing that is older than what it knew when the Job ended.
    assert door.come("j2").ask("j2") == Admitted()
    door.written("j2", JobStatus("InProgress.a", Phase.RUNNING, "r", 1))
    stale = replace(door.jobs["j2"], status=None, resource_version="0")
    door.gate.observe(stale)
    assert isinstance(door.come("j3").ask("j3"), Held)
    assert old.resource_version < door.jobs["j2"].resource_version


# -- reservations


def test_a_turn_that_failed_keeps_its_reservation_as_its_write_may_yet_land() -> None:
    door = Entrance(limit=1)
    door.come("j1").come("j2")
    door.ask("j1"), door.ask("j2")
    door.gate.failed(("shop", "j1"), unwritten=False)
    assert isinstance(door.ask("j2"), Held)


def test_a_turn_whose_write_was_refused_for_good_gives_its_reservation_to_the_next() -> None:
    door = Entrance(limit=1)
    door.come("j1").come("j2")
    door.ask("j1"), door.ask("j2")
    door.calm()
    door.gate.failed(("shop", "j1"), unwritten=True)
    assert door.woken == ["j2"]
    assert door.ask("j2") == Admitted()


def test_a_write_in_doubt_is_not_forgotten_as_a_later_one_is_refused_for_good() -> None:
    door = Entrance(limit=1)
    door.come("j1").come("j2")
    door.ask("j1"), door.ask("j2")
    door.gate.failed(("shop", "j1"), unwritten=False)
    door.gate.failed(("shop", "j1"), unwritten=True)
    assert isinstance(door.ask("j2"), Held)
    door.change("j1", priority=0)
    door.gate.failed(("shop", "j1"), unwritten=True)
    assert door.ask("j2") == Admitted()


def test_a_job_that_was_admitted_and_now_cannot_begin_keeps_the_place_until_a_newer_version_is_known() -> None:
    door = Entrance(limit=1)
    door.come("j1").come("j2")
    door.ask("j1"), door.ask("j2")
    door.passes("j1")
    assert isinstance(door.ask("j2"), Held), "the write may land: nothing else was written since"
    door.calm()
    door.written("j1", JobStatus())
    assert door.woken == ["j2"]
    assert door.ask("j2") == Admitted()


def test_a_job_that_was_admitted_and_then_suspended_gives_the_place_on() -> None:
    door = Entrance(limit=1)
    door.come("j1").come("j2")
    door.ask("j1"), door.ask("j2")
    door.calm()
    door.change("j1", suspend=True)
    door.passes("j1")
    assert door.woken == ["j2"]


def test_a_waiting_job_whose_turns_fail_does_not_hold_up_those_behind_it() -> None:
    door = Entrance(limit=1)
    door.come("first", age=9).come("second")
    door.ask("second")
    door.gate.failed(("shop", "first"), unwritten=False)
    assert door.woken == ["second"]
    assert door.ask("second") == Admitted()


def test_a_process_that_may_not_lead_any_more_admits_nobody() -> None:
    door = Entrance(limit=1)
    door.come("j1")
    door.leads = False
    assert door.ask("j1") == Held(None)


# -- what a new leader must know first


def test_nobody_is_admitted_before_the_jobs_of_the_namespace_were_listed_once() -> None:
    door = Entrance(limit=1, listed=False)
    door.come("j1").come("j2")
    assert door.ask("j1") == Held(None)
    assert door.ask("j2") == Held(None)
    assert door.listings == ["shop"], "once"
    door.gate.listed("shop")
    assert door.woken == ["j1", "j2"]
    assert door.ask("j1") == Admitted()


def test_a_listing_that_fails_is_what_they_wait_for() -> None:
    door = Entrance(limit=1, listed=False)
    door.come("j1").ask("j1")
    door.gate.not_listed("shop", "503")
    assert door.woken == ["j1"]
    assert door.text("j1") == "waits for a place: the operator could not list the jobs that may hold one: 503"
    door.gate.listed("shop")
    assert door.woken == ["j1"]


def test_after_a_restart_the_places_are_those_of_the_jobs() -> None:
    door = Entrance(limit=1)
    door.come("j1").begin("j1").come("j2")
    door.gate = door.new()
    assert door.text("j2") == "waits for a place: held by j1 (limit 1)"


# -- a Workflow that is edited


def test_a_higher_limit_lets_more_begin() -> None:
    door = Entrance(limit=1)
    for name in ("j1", "j2", "j3"):
        door.come(name)
    door.begin("j1")
    door.ask("j2"), door.ask("j3")
    door.edit(limit=2)
    assert door.ask("j2") == Admitted()
    assert isinstance(door.ask("j3"), Held)


def test_a_lower_limit_ends_nobody_and_lets_nobody_begin_until_enough_have_ended() -> None:
    door = Entrance(limit=3)
    for name in ("j1", "j2", "j3", "j4"):
        door.come(name)
    door.begin("j1").begin("j2").begin("j3")
    door.edit(limit=1)
    assert door.text("j4") == "waits for a place: held by j1, j2, j3 (limit 1)"
    assert [door.passes(name) for name in ("j1", "j2", "j3")] == [None] * 3
    door.calm()
    door.end("j1").end("j2")
    assert isinstance(door.ask("j4"), Held)
    assert door.woken == []
    door.end("j3")
    assert door.woken == ["j4"]


def test_another_key_counts_the_running_jobs_by_it() -> None:
    door = Entrance(limit=1, key=KEYED)
    door.come("a", "acme").come("b", "blue").come("c", "acme")
    door.begin("a").begin("b")
    door.edit(limit=2)
    assert door.text("c") == "waits for a place: held by a, b (limit 2)"


def test_a_limit_that_is_taken_away_wakes_all_who_wait() -> None:
    door = Entrance(limit=1)
    door.come("j1").begin("j1").come("j2").come("j3")
    door.ask("j2"), door.ask("j3")
    door.calm()
    door.edit()
    assert door.ask("j2") is None
    assert "j3" in door.woken


def test_who_was_admitted_under_a_higher_limit_waits_once_its_write_can_land_no_more() -> None:
    door = Entrance(limit=2)
    door.come("j1").begin("j1").come("j2")
    assert door.ask("j2") == Admitted()
    door.edit(limit=1)
    assert door.ask("j2") == Admitted(), "it may have begun already, for all that is known"
    door.change("j2", priority=3)
    assert door.text("j2") == "waits for a place: held by j1 (limit 1)"


def test_a_job_without_a_key_cannot_begin_and_one_that_runs_without_takes_no_place() -> None:
    door = Entrance(limit=1)
    door.come("j1", None).begin("j1").come("j2", None).come("j3", "acme")
    door.edit(limit=1, key=KEYED)
    assert "must be a text, a number or a bool, not null" in (door.text("j2") or "")
    assert door.passes("j1") is None
    assert door.ask("j3") == Admitted()
    door.end("j1")


# -- Reject


def test_one_too_many_is_rejected_and_does_not_wait() -> None:
    door = Entrance(limit=1, policy="Reject", key=KEYED)
    door.come("j1").begin("j1").come("j2")
    assert door.ask("j2") == RejectedBy('there is no place: key "acme" is held by j1 (limit 1)')


def test_who_asks_while_another_is_about_to_begin_is_rejected_only_once_that_has_begun() -> None:
    door = Entrance(limit=1, policy="Reject")
    door.come("j1").come("j2")
    assert door.ask("j1") == Admitted()
    assert door.ask("j2") == Held(None)
    door.calm()
    door.written("j1", JobStatus("InProgress.a", Phase.RUNNING, "r", 1))
    assert door.woken == ["j2"]
    assert isinstance(door.ask("j2"), RejectedBy)


def test_who_asks_while_another_does_not_begin_after_all_is_not_rejected() -> None:
    door = Entrance(limit=1, policy="Reject")
    door.come("j1").come("j2")
    door.ask("j1"), door.ask("j2")
    door.calm()
    door.gate.failed(("shop", "j1"), unwritten=True)
    assert door.woken == ["j2"]
    assert door.ask("j2") == Admitted()


# -- Replace


def test_the_new_job_waits_until_the_one_that_it_replaces_has_ended() -> None:
    door = Entrance(limit=1, policy="Replace")
    door.come("old", age=9).begin("old").come("new", age=1)
    assert door.text("new") == "waits for a place: held by old, which it replaces (limit 1)"
    assert door.woken == ["old"]
    assert door.passes("old") == Replaced("new takes its place (limit 1)")
    assert isinstance(door.ask("new"), Held), "it has not ended yet"
    door.calm()
    door.end("old")
    assert door.woken == ["new"]
    assert door.ask("new") == Admitted()


def test_of_two_that_run_the_older_one_is_replaced() -> None:
    door = Entrance(limit=2, policy="Replace")
    door.come("oldest", age=9).begin("oldest").come("older", age=5).begin("older").come("new", age=1)
    door.ask("new")
    assert door.passes("older") is None
    assert door.passes("oldest") == Replaced("new takes its place (limit 2)")


def test_the_newest_that_waits_wins_and_older_ones_end_before_they_have_begun() -> None:
    door = Entrance(limit=1, policy="Replace")
    door.come("running", age=9).begin("running").come("second", age=5).come("third", age=1)
    door.ask("second"), door.ask("third")
    assert door.ask("second") == Replaced("third takes its place (limit 1)")
    assert door.passes("running") == Replaced("third takes its place (limit 1)")


def test_within_one_second_what_came_later_is_newer_whatever_its_name() -> None:
    door = Entrance(limit=1, policy="Replace")
    door.come("z-first").begin("z-first").come("y-second").come("a-third")
    door.ask("y-second"), door.ask("a-third")
    assert isinstance(door.ask("y-second"), Replaced)
    assert door.passes("z-first") == Replaced("a-third takes its place (limit 1)")


def test_a_new_job_that_cannot_begin_replaces_nobody() -> None:
    door = Entrance(limit=1, policy="Replace")
    door.come("old", age=9).begin("old").come("new", age=1, suspend=True)
    door.passes("new")
    assert door.passes("old") is None


def test_a_new_job_that_is_suspended_or_goes_before_the_old_one_ended_replaces_nobody_any_more() -> None:
    door = Entrance(limit=1, policy="Replace")
    door.come("old", age=9).begin("old").come("new", age=1)
    door.ask("new")
    assert isinstance(door.passes("old"), Replaced)
    door.change("new", suspend=True)
    assert door.passes("old") is None
    door.change("new", suspend=False).ask("new")
    assert isinstance(door.passes("old"), Replaced)
    door.gate.forget(("shop", "new"))
    assert door.passes("old") is None


def test_a_running_job_that_is_being_cancelled_keeps_its_place_until_it_has_ended() -> None:
    door = Entrance(limit=1, policy="Replace")
    door.come("old", age=1).begin("old").change("old", cancel=True).come("new", age=9)
    assert isinstance(door.ask("new"), Held), "it is older, but the other one goes anyway"
    door.end("old")
    assert door.ask("new") == Admitted()


def test_a_lower_limit_alone_replaces_nobody() -> None:
    door = Entrance(limit=2, policy="Replace")
    door.come("j1", age=9).begin("j1").come("j2", age=5).begin("j2")
    door.edit(limit=1, policy="Replace")
    door.come("other", age=1)
    door.gate._follow(("shop", "order"), door.definition.concurrency)
    assert [door.passes("j1"), door.passes("j2")] == [None, None]
    door.ask("other")
    assert isinstance(door.passes("j1"), Replaced)
    assert isinstance(door.passes("j2"), Replaced)


def test_after_a_restart_in_the_middle_the_same_job_is_replaced() -> None:
    door = Entrance(limit=1, policy="Replace")
    door.come("old", age=9).begin("old").come("mid", age=5).come("new", age=1)
    door.ask("mid"), door.ask("new")
    door.gate = door.new()
    door.ask("new"), door.ask("mid")
    assert door.passes("old") == Replaced("new takes its place (limit 1)")
    assert door.ask("mid") == Replaced("new takes its place (limit 1)")
    assert isinstance(door.ask("new"), Held)


# -- many


def test_those_at_the_front_are_told_anew_and_those_far_back_are_not() -> None:
    door = Entrance(limit=1)
    door.come("running", age=9999).begin("running")
    for i in range(NEAR + 5):
        door.come(f"j{i:04}", age=1000 - i).ask(f"j{i:04}")
    near, far = door.ask(f"j{NEAR - 1:04}"), door.ask(f"j{NEAR:04}")
    assert isinstance(near, Held)
    assert isinstance(far, Held)
    assert (near.is_near, far.is_near) == (True, False)


def test_after_a_restart_those_far_back_are_not_told_anew_either() -> None:
    door = Entrance(limit=1)
    for i in range(NEAR + 2):
        door.come(f"j{i:04}", age=1000 - i)
    near, far = door.ask(f"j{NEAR - 1:04}"), door.ask(f"j{NEAR:04}")
    assert isinstance(near, Held)
    assert isinstance(far, Held)
    assert (near.is_near, far.is_near) == (True, False)


def test_each_end_among_ten_thousand_wakes_one_and_compares_few() -> None:
    door = Entrance(limit=1)
    door.come("running", age=99999).begin("running")
    for i in range(10_000):
        door.come(f"j{i:05}", age=20_000 - i, priority=i % 10).ask(f"j{i:05}")
    (line,) = door.gate._groups["shop", "order"].lines.values()
    assert len(line.waiting) == 10_000
    door.calm()
    last, woken = "running", 0
    for _ in range(200):
        door.end(last)
        (last,) = door.woken
        woken += 1
        door.begin(last)
    assert woken == 200
    assert last == "j01999", "of priority 9, the 200th"


def test_a_thing_that_was_never_seen_is_no_error() -> None:
    door = Entrance(limit=1)
    door.gate.forget(("shop", "never"))
    door.gate.failed(("shop", "never"), unwritten=True)
    job = Job("shop", "odd", "u", "1", 1, JobSpec("elsewhere"), None, created=dt.datetime(2030, 1, 1, tzinfo=dt.UTC))
    door.gate.observe(job)
    assert door.gate._groups == {}


# -- a failed job that is to go on


def test_a_failed_job_that_goes_on_takes_a_place_that_is_free() -> None:
    entrance = Entrance(limit=1).come("a").come("b").begin("a")
    job = entrance.fail("a")
    assert entrance.gate.place_again(job, entrance.definition) is None
    assert isinstance(entrance.ask("b"), Held), "it is taken before it is written"


def test_a_failed_job_does_not_go_on_while_others_have_all_places() -> None:
    entrance = Entrance(limit=1).come("a").come("b").begin("a")
    job = entrance.fail("a")
    entrance.begin("b")
    answer = entrance.gate.place_again(job, entrance.definition)
    assert answer == Held("waits for a place: held by b (limit 1)")


def test_a_failed_job_that_does_not_go_on_after_all_gives_its_place_back() -> None:
    entrance = Entrance(limit=1).come("a").come("b").begin("a")
    entrance.gate.place_again(entrance.fail("a"), entrance.definition)
    entrance.calm()
    entrance.fail("a")  # the operation was refused, which is written
    assert entrance.ask("b") == Admitted()


def test_a_failed_job_of_a_new_leader_waits_for_the_listing() -> None:
    entrance = Entrance(limit=1).come("a").begin("a")
    job = entrance.fail("a")
    entrance.gate = entrance.new(listed=False)
    assert entrance.gate.place_again(job, entrance.definition) == Held(None)
    assert entrance.listings == ["shop"]
    entrance.gate.listed("shop")
    assert entrance.gate.place_again(job, entrance.definition) is None
