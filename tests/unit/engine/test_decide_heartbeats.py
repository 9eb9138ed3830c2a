"""Steps that report while they are done: what is written of it, and when a silence is an error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mastercontrol.engine.facts import Heard, Limits
from mastercontrol.engine.moves import status_bytes
from mastercontrol_worker.contract import HEARTBEAT_TIMEOUT
from unit.engine.builders import NOW, Raw, Run, catching, each, ids, parallel, retrying, seconds, step

SILENT = HEARTBEAT_TIMEOUT


def long(name: str = "load", **more: Any) -> Raw:
    """A step that has to report more often than every 30 seconds."""
    return step(name, heartbeatSeconds=30, **more)


@pytest.fixture
def run() -> Run:
    return Run.of(long(), step("next"))


# -- what is sent and written


def test_the_worker_is_told_how_often_it_is_to_report(run: Run) -> None:
    assert run.sent[0].heartbeat_seconds == 30
    run.done("load")
    assert run.sent[1].heartbeat_seconds is None


def test_the_first_heartbeat_is_written_at_once_with_who_and_how_far(run: Run) -> None:
    run.later(7).beat("load", {"page": 1}).turn()
    entry = run.at("load")
    assert (entry.heartbeat_at, entry.worker, entry.progress) == (run.now, "worker-1", {"page": 1})
    assert run.status.sequence == 1, "a heartbeat is no transition"
    assert run.status.message == 'load is with pool p: {"page": 1}'
    assert run.sent == run.sent[:1], "and sends nothing"


def test_what_a_worker_reports_is_shown_in_its_own_letters(run: Run) -> None:
    run.beat("load", {"größe": "süß"}).turn()
    assert run.status.message == 'load is with pool p: {"größe": "süß"}'


def test_the_same_heartbeat_is_not_written_twice(run: Run) -> None:
    run.beat("load").turn()
    writes = run.writes
    run.later(5).turn()
    assert run.writes == writes


def test_of_one_moment_only_what_says_more_is_written(run: Run) -> None:
    run.beat("load", 1).turn()
    writes = run.writes
    run.beat("load", 1, worker="worker-2").turn()
    assert run.writes == writes
    run.beat("load", 2).turn()
    assert (run.writes, run.at("load").progress) == (writes + 1, 2)


def test_a_later_one_waits_for_its_time_and_asks_to_be_looked_at_then(run: Run) -> None:
    run.beat("load", 1).turn()
    run.heard = replace(run.heard, show_from=NOW + seconds(20))
    run.later(10).beat("load", 2)
    decision = run.turn()
    assert (decision.status, decision.wake_at) == (None, NOW + seconds(20))
    run.later(10).turn()
    assert (run.at("load").progress, run.last.shows_heartbeats) == (2, True)


def test_a_later_one_goes_along_with_a_write_that_is_made_anyway() -> None:
    run = Run.of(parallel("both", [long("a")], [long("b")]))
    run.beat("both[0].a", 1).beat("both[1].b", 1).turn()
    run.heard = replace(run.heard, show_from=NOW + seconds(60))
    run.later(1).beat("both[0].a", 2)
    run.done("both[1].b")
    assert run.at("both[0].a").progress == 2


def test_a_job_whose_steps_need_not_report_costs_k_plus_one_writes_whatever_workers_say() -> None:
    run = Run("a", "b").begun()
    for path in ("a", "b"):
        run.beat(path, "I live").turn()
        run.done(path)
    assert (run.status.state, run.writes) == ("Done", 3)


def test_a_step_that_reports_costs_one_write_more_and_one_an_interval(run: Run) -> None:
    for second in range(301):
        run.heard = replace(run.heard, show_from=NOW + seconds(30 * (second // 30 + (second % 30 > 0))))
        run.now = NOW + seconds(second)
        run.beat("load", second).turn()
    assert run.writes == 1 + 1 + 10
    run.done("load")
    run.done("next")
    assert run.writes == 12 + 2


def test_what_was_heard_before_the_first_write_is_in_it() -> None:
    run = Run.of(long())
    fresh = Run("unused")
    fresh.definition = run.definition
    fresh.known[1, 1] = run.beat("load", "early").known[1, 1]
    fresh.turn()
    assert (fresh.at("load").progress, fresh.writes) == ("early", 1)


def test_another_worker_s_beginning_replaces_what_the_first_one_said(run: Run) -> None:
    run.beat("load", {"page": 9}).turn()
    run.later(40).beat("load", worker="worker-2").turn()
    assert (run.at("load").worker, run.at("load").progress) == ("worker-2", None)
    assert run.status.message == "load is with pool p"


@pytest.mark.parametrize(
    ("progress", "shown"),
    [
        ("40 %", "40 %"),
        ("two\nlines", "two lines"),
        ({"page": 3, "of": 10}, '{"page": 3, "of": 10}'),
        ("é" * 200, "é" * 79 + "…"),
        (0, "0"),
    ],
)
def test_the_line_about_the_job_shows_the_progress_in_a_few_words(run: Run, progress: Any, shown: str) -> None:
    run.beat("load", progress).turn()
    assert run.status.message == f"load is with pool p: {shown}"
    assert run.at("load").progress == progress


# -- silence


def test_a_step_that_nobody_has_begun_is_never_silent(run: Run) -> None:
    assert run.last.wake_at is None
    run.later(100_000).turn()
    assert run.paths == ["load"]
    assert run.status.sequence == 1


def test_silence_counts_from_the_last_heartbeat_and_fails_the_attempt(run: Run) -> None:
    run.beat("load").turn()
    run.later(20).beat("load").turn()
    assert run.last.wake_at == NOW + seconds(50)
    run.later(29.999).turn()
    assert not run.status.ended
    run.later(0.001).turn()
    assert run.ending == ("Failed", SILENT)
    assert run.status.error is not None
    assert (run.status.error.message, run.status.history[-1].worker) == ("no heartbeat for 30 s", "worker-1")


def test_the_worker_that_was_heard_last_stands_in_the_history_of_a_silence(run: Run) -> None:
    run.beat("load").turn()
    run.heard = replace(run.heard, show_from=NOW + seconds(1000))
    run.later(10).beat("load", worker="worker-2").turn()
    assert run.at("load").worker == "worker-1", "it is not written yet"
    run.later(30).turn()
    assert (run.ending, run.status.history[-1].worker) == (("Failed", SILENT), "worker-2")


def test_a_silent_worker_without_a_name_has_none_in_the_history(run: Run) -> None:
    run.beat("load", worker="").turn()
    run.known.clear()
    run.later(30).turn()
    assert (run.ending, run.status.history[-1].worker) == (("Failed", SILENT), None)


def test_a_silent_attempt_is_tried_again_under_another_id_and_its_late_answer_is_stale() -> None:
    run = Run.of(long(retry=retrying(1, 5)))
    late = run.result("load")
    run.beat("load").turn()
    run.later(30).turn()
    assert run.at("load").heartbeat_at is None
    assert "no heartbeat for 30 s" in str(run.status.message)
    run.turn(late)
    assert run.status.sequence == 2
    run.wake()
    assert run.ids == ["1:1", "2:2"]
    run.later(1000).turn()
    assert run.paths == ["load"], "the new attempt waits in its queue"
    run.done("load", "in the end")
    assert run.ending == ("Done", "in the end")


@pytest.mark.parametrize(
    ("name", "caught"),
    [
        (SILENT, True),
        ("States.Timeout", True),
        ("States.ALL", True),
        ("States.TaskFailed", False),
        ("Timeout", False),
        ("Broken", False),
    ],
)
def test_which_rules_are_for_silence(name: str, *, caught: bool) -> None:
    run = Run.of(long(catch=catching("aside", name), end=True), step("aside"))
    run.beat("load").turn()
    run.later(30).turn()
    assert (run.paths == ["aside"]) is caught
    if caught:
        assert run.turn().publish == (), "what time made due is sent by the turn that the write asks for"
        assert run.message("aside").input["code"] == SILENT


def test_a_rule_for_silence_is_not_for_a_step_that_is_late() -> None:
    run = Run.of(long(timeoutSeconds=60, catch=catching("aside", SILENT), end=True), step("aside"))
    for _ in range(3):
        run.beat("load").turn()
        run.later(20)
    run.turn()
    assert run.ending == ("Failed", "Timeout")


def test_an_answer_that_comes_with_the_silence_counts(run: Run) -> None:
    run.beat("load").turn()
    run.later(31)
    run.done("load", "just in time")
    assert run.paths == ["next"]


def test_an_answer_of_the_worker_that_noticed_it_itself_is_the_same_error() -> None:
    run = Run.of(long(catch=catching("aside", "States.Timeout"), end=True), step("aside"))
    run.broken("load", SILENT)
    assert run.paths == ["aside"]


def test_a_silent_item_of_a_map_fails_alone() -> None:
    run = Run.of(each("all", "${[1, 2, 3]}", long(), toleratedFailureCount=1))
    for index in range(3):
        run.beat(f"all[{index}].load").turn()
    run.later(20).beat("all[0].load").beat("all[2].load").turn()
    run.later(10).turn()
    assert run.paths == ["all[0].load", "all[2].load"]
    run.done("all[0].load", "a")
    run.done("all[2].load", "c")
    state, output = run.ending
    assert (state, output[1]["error"]["code"]) == ("Done", SILENT)


def test_the_step_of_a_suspended_job_may_fall_silent_and_its_next_attempt_is_held() -> None:
    run = Run.of(long(retry=retrying(1, 0)))
    run.beat("load").turn()
    run.change(suspend=True).turn()
    run.later(30).turn()
    assert (run.status.sequence, run.at("load").attempt) == (2, 2)
    run.later(60).turn()
    assert run.ids == ["1:1"]


# -- when silence says nothing


def test_before_a_step_is_called_silent_all_that_was_sent_is_to_be_heard(run: Run) -> None:
    run.beat("load").turn()
    run.heard = replace(run.heard, complete=False)
    run.later(30)
    decision = run.decide(run.result("load"))
    assert decision.verdicts != (), "an answer needs no more than itself"
    decision = run.decide()
    assert (decision.listen, decision.status, decision.publish_first) == (True, None, ())
    run.beat("load")
    assert not run.decide().listen


def test_without_a_connection_no_step_is_silent(run: Run) -> None:
    run.beat("load").turn()
    run.epoch = None
    run.later(1000).turn()
    assert (run.status.sequence, run.last.wake_at) == (1, None)


def test_what_is_known_from_the_status_alone_counts_from_the_connection(run: Run) -> None:
    run.beat("load").turn()
    run.later(500)
    run.known.clear()
    run.heard = Heard({}, since=run.now, complete=True)
    run.turn()
    assert run.last.wake_at == run.now + seconds(30)
    run.later(30).turn()
    assert run.ending == ("Failed", SILENT)


def test_a_step_that_was_given_back_waits_in_its_queue_and_is_not_silent(run: Run) -> None:
    run.beat("load", "half").turn()
    run.later(1).beat("load", waiting=True).turn()
    entry = run.at("load")
    assert (entry.heartbeat_at, entry.worker, entry.progress) == (None, None, None)
    assert run.last.wake_at is None
    run.later(1000).turn()
    assert run.status.sequence == 1
    run.beat("load", worker="worker-2").turn()
    assert run.at("load").worker == "worker-2", "it is the first one again, so it is written at once"
    run.later(30).turn()
    assert run.ending == ("Failed", SILENT)


def test_a_step_that_is_sent_again_to_another_broker_waits_in_its_queue_once_more(run: Run) -> None:
    run.beat("load").turn()
    run.epoch = "e2"
    run.known.clear()
    run.later(1000)
    decision = run.turn()
    assert ids(decision, first=True) == ["1:1"]
    assert (run.at("load").heartbeat_at, run.status.broker_epoch) == (None, "e2")
    run.later(1000).turn()
    assert run.status.sequence == 1


# -- sizes


def test_a_heartbeat_fails_no_job_however_little_room_there_is() -> None:
    run = Run.of(parallel("both", [long("a")], [long("b")]))
    run.beat("both[0].a", "x" * 900).beat("both[1].b", "y" * 900)
    run.limits = Limits(status_bytes=1400)
    run.turn()
    assert [(a.heartbeat_at, a.progress) for a in run.status.active] == [(NOW, None)] * 2


def test_where_there_is_room_for_nothing_of_heartbeats_nothing_is_written(run: Run) -> None:
    run.limits = Limits(status_bytes=status_bytes(run.status))
    run.beat("load", "x" * 100)
    decision = run.turn()
    assert (decision.status, run.status.ended) == (None, False)
    assert run.last.wake_at == NOW + seconds(30), "silence is noticed all the same"
