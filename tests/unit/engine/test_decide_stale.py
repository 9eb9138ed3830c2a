"""Results that are not of the dispatch that is out: stale, ahead, of another Job, after the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mastercontrol.api.names import Reason, ResultReason
from mastercontrol.api.status import HistoryEntry
from mastercontrol.engine.facts import Missing, Result
from unit.engine.builders import NOW, UID, Run, failure, ids, ok, task


def at_second_step() -> Run:
    run = Run(task("a"), task("b"), task("c")).begun()
    run.turn(ok(1, output="from a"))
    return run


def test_a_redelivered_cause_sends_the_current_dispatch_again_and_writes_nothing() -> None:
    run = at_second_step()
    decision = run.turn(ok(1, output="from a"))
    assert decision.verdicts == (ResultReason.REPUBLISHED,)
    assert decision.status is None
    assert ids(decision, first=False) == ["2:1"]
    assert run.sent[-1] == run.sent[-2], "under the same id, with the same input and deadline"


def test_a_redelivered_cause_whose_dispatch_this_process_has_the_confirm_for_is_stale() -> None:
    run = at_second_step()
    run.confirmed = frozenset({f"{UID}:2:1"})
    decision = run.turn(ok(1))
    assert decision.verdicts == (ResultReason.STALE,)
    assert decision.publish == ()


def test_the_confirm_of_another_dispatch_proves_nothing() -> None:
    run = at_second_step()
    run.confirmed = frozenset({f"{UID}:1:1", f"{UID}:2:2"})
    assert run.turn(ok(1)).verdicts == (ResultReason.REPUBLISHED,)


def test_a_cause_that_comes_twice_at_once_sends_the_dispatch_once() -> None:
    decision = at_second_step().turn(ok(1), ok(1))
    assert decision.verdicts == (ResultReason.REPUBLISHED, ResultReason.STALE)
    assert ids(decision, first=False) == ["2:1"]


def test_a_cause_whose_dispatch_is_answered_in_the_same_turn_sends_only_what_follows() -> None:
    run = at_second_step()
    decision = run.turn(ok(1), ok(2))
    assert decision.verdicts[1] is ResultReason.APPLIED
    assert ids(decision, first=False) == ["3:1"]


def test_a_cause_whose_dispatch_was_not_sent_on_purpose_is_stale() -> None:
    run = Run("a", "b").begun()
    run.change(suspend=True).turn(ok(1))
    assert run.turn(ok(1)).verdicts == (ResultReason.STALE,)
    assert run.ids == ["1:1"]


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (ok(1, 2), "a second attempt at it never was, but it is long past"),
        (failure(1), "a failure causes no next step"),
        (failure(2, 5), "an attempt that was never made"),
    ],
)
def test_any_other_result_of_the_past_is_stale(result: Result, why: str) -> None:
    run = at_second_step()
    run.confirmed = frozenset({f"{UID}:2:1"})
    decision = run.turn(result)
    assert decision.verdicts == (ResultReason.STALE,), why
    assert decision.status is None
    assert decision.publish == decision.publish_first == ()


def test_a_result_two_behind_is_stale() -> None:
    run = at_second_step()
    run.turn(ok(2))
    assert run.turn(ok(1)).verdicts == (ResultReason.STALE,)
    assert run.ids == ["1:1", "2:1", "3:1"]


def test_a_failure_that_was_applied_is_stale_when_it_comes_again() -> None:
    run = Run("a").begun()
    run.turn(failure(1))
    before = run.status
    assert run.turn(failure(1)).verdicts == (ResultReason.STALE,)
    assert run.status == before


def test_the_late_success_of_an_older_attempt_is_stale() -> None:
    run = Run("a", "b").begun()
    run.turn(failure(1))
    run.wake()
    assert run.ids == ["1:1", "2:2"]
    assert run.turn(ok(1)).verdicts == (ResultReason.STALE,)
    assert run.status.state == "InProgress.a"
    assert run.turn(ok(2, 2)).verdicts == (ResultReason.APPLIED,)


def test_a_result_ahead_of_the_job_asks_for_a_fresh_read_first() -> None:
    run = Run("a", "b").begun()
    decision = run.turn(ok(2))
    assert decision.read_again
    assert decision.status is None
    assert decision.publish == decision.publish_first == ()


def test_a_result_ahead_of_the_freshly_read_job_is_foreign() -> None:
    run = Run("a", "b").begun()
    run.fresh = True
    decision = run.turn(ok(2), ok(1))
    assert decision.verdicts == (ResultReason.FOREIGN, ResultReason.APPLIED)


@pytest.mark.parametrize("begun", [True, False])
def test_a_result_of_the_sequence_that_no_dispatch_has_is_foreign(*, begun: bool) -> None:
    run = Run("a", "b")
    run.fresh = True
    if begun:
        run.begun()
    assert run.turn(ok(0)).verdicts == (ResultReason.FOREIGN,)
    assert run.ids == ["1:1"]


def test_a_result_ahead_of_a_job_that_has_not_begun_is_foreign() -> None:
    run = Run("a")
    run.fresh = True
    decision = run.turn(ok(5))
    assert decision.verdicts == (ResultReason.FOREIGN,)
    assert ids(decision, first=True) == ["1:1"], "and the job begins as any other"


def test_a_result_of_another_uid_asks_for_a_fresh_read_and_is_then_of_a_job_that_is_gone() -> None:
    """The Job of that uid may be the newer one: what is known here may be the one that had the name before."""
    run = Run("a").begun()
    assert run.decide(ok(1, uid="another")).read_again
    run.fresh = True
    decision = run.turn(ok(1, uid="another"))
    assert decision.verdicts == (ResultReason.JOB_GONE,)
    assert decision.status is None


@pytest.mark.parametrize("result", [ok(1), failure(1), ok(2), ok(9)])
def test_after_the_end_every_result_is_stale(result: Result) -> None:
    run = Run("a").begun()
    run.turn(ok(1))
    before = run.status
    assert run.turn(result).verdicts == (ResultReason.STALE,)
    assert run.status == before


def test_results_of_a_job_that_is_being_deleted_are_given_up() -> None:
    run = Run("a", "b").begun()
    run.job = replace(run.job, deleting=True)
    decision = run.turn(ok(1), failure(1))
    assert decision.verdicts == (ResultReason.JOB_GONE, ResultReason.JOB_GONE)
    assert decision.status is None
    assert decision.publish == ()


def test_a_job_that_is_being_deleted_before_it_began_does_not_begin() -> None:
    run = Run("a")
    run.job = replace(run.job, deleting=True)
    assert run.turn() == run.turn()
    assert (run.writes, run.sent) == (0, [])


@pytest.mark.parametrize("origin", [ResultReason.OVERSIZED, ResultReason.DEAD_LETTERED])
def test_what_the_operator_made_of_a_bad_message_is_counted_as_that(origin: ResultReason) -> None:
    run = Run("a").begun()
    made = replace(failure(1, code="ResultTooLarge", retryable=False), origin=origin)
    assert run.turn(made).verdicts == (origin,)
    assert run.status.state == "Failed"
    assert run.turn(made).verdicts == (ResultReason.STALE,)


def test_a_success_of_a_job_whose_revision_is_gone_fails_it_with_that_reason() -> None:
    run = Run("a", "b").begun()
    run.definition = Missing(Reason.UNKNOWN_WORKFLOW, "the revision is gone")
    assert run.turn(ok(1)).verdicts == (ResultReason.APPLIED,)
    assert run.status.error is not None
    assert (run.status.state, run.status.error.code) == ("Failed", "UnknownWorkflow")


def test_the_history_of_a_job_whose_revision_is_gone_tells_which_answer_ended_it() -> None:
    run = Run("a", "b").begun()
    run.definition = Missing(Reason.UNKNOWN_WORKFLOW, "the revision is gone")
    run.turn(replace(ok(1), worker="w" * 300))
    assert run.status.history[-1] == HistoryEntry(
        2, NOW, "Failed", "UnknownWorkflow", 1, "the revision is gone", "w" * 253
    )
    assert run.status.resumable == ("a",)


def test_a_result_that_answers_another_step_is_foreign_and_moves_nothing() -> None:
    run = at_second_step()
    decision = run.turn(replace(ok(2), step="c"))
    assert decision.verdicts == (ResultReason.FOREIGN,)
    assert run.status.state == "InProgress.b"


def test_an_answer_to_the_first_step_of_an_older_workflow_does_not_stand_for_ours() -> None:
    run = Run("a", "b")
    old = replace(ok(1), step="older")
    decision = run.turn(old)
    assert ids(decision, first=True) == ["1:1"], "our own first step is sent"
    assert run.turn(old).verdicts == (ResultReason.FOREIGN,)
    assert run.turn(replace(ok(1), step="a")).verdicts == (ResultReason.APPLIED,)
