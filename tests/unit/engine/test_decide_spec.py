"""What the user asks for in a Job's spec: suspend, cancel, activeDeadlineSeconds, ttlSecondsAfterFinished."""

from __future__ import annotations

import pytest

from mastercontrol.api.names import ConditionType, Phase, Reason, ResultReason
from mastercontrol.engine.facts import Kept, Missing
from unit.engine.builders import EPOCH, NOW, Run, failure, ids, ok, parallel, seconds, step, task

# -- suspend


def test_a_job_that_is_suspended_before_it_begins_sends_nothing_and_says_so() -> None:
    run = Run("a", suspend=True)
    run.turn()
    assert run.sent == []
    assert (run.status.state, run.status.phase, run.status.sequence) == ("Begin", Phase.SUSPENDED, 0)
    assert run.condition(ConditionType.SUSPENDED) == (True, "Suspended")
    assert run.turn().status is None


def test_a_job_that_is_resumed_before_it_began_begins() -> None:
    run = Run("a", suspend=True)
    run.turn()
    run.later(60).change(suspend=False).turn()
    assert run.ids == ["1:1"]
    assert (run.status.state, run.status.phase) == ("InProgress.a", Phase.RUNNING)
    assert run.status.start_time == NOW + seconds(60)
    assert run.condition(ConditionType.SUSPENDED) == (False, "Resumed")


def test_a_job_that_is_resumed_before_it_began_is_not_called_suspended_while_it_cannot_begin() -> None:
    run = Run("a", suspend=True)
    run.epoch = None
    run.turn()
    run.later(60).change(suspend=False).turn()
    assert (run.status.phase, run.status.message, run.status.start_time) == (Phase.PENDING, None, None)


def test_a_suspended_job_does_not_complain_of_what_it_will_need_later() -> None:
    run = Run("a", suspend=True)
    run.definition = Missing(Reason.UNKNOWN_WORKFLOW, "there is none")
    run.turn()
    assert run.condition(ConditionType.WAITING) is None
    assert run.notes == []


def test_the_result_of_a_step_at_its_worker_is_taken_while_suspended_and_the_next_is_held_back() -> None:
    run = Run("a", "b").begun()
    run.change(suspend=True).turn()
    assert (run.status.phase, run.status.state) == (Phase.SUSPENDED, "InProgress.a")
    assert run.turn(ok(1, output="kept")).verdicts == (ResultReason.APPLIED,)
    assert run.ids == ["1:1"]
    assert run.status.state == "InProgress.b"
    assert run.status.active[0].dispatched_at is None
    assert run.turn().status is None


def test_resuming_publishes_what_was_held_back_and_then_marks_it() -> None:
    run = Run("a", "b").begun()
    run.change(suspend=True).turn(ok(1, output="kept"))
    decision = run.later(60).change(suspend=False).turn()
    assert ids(decision, first=True) == ["2:1"]
    assert run.sent[-1].input == "kept"
    assert run.status.phase is Phase.RUNNING
    assert run.status.active[0].dispatched_at == NOW + seconds(60)
    assert run.status.start_time == NOW + seconds(60), "as batch/v1 does"


def test_suspending_in_the_same_turn_as_a_result_holds_the_next_step_back() -> None:
    run = Run("a", "b").begun()
    run.change(suspend=True).turn(ok(1))
    assert run.ids == ["1:1"]
    assert (run.status.phase, run.status.sequence) == (Phase.SUSPENDED, 2)


def test_the_last_step_of_a_suspended_job_completes_it() -> None:
    run = Run("a").begun()
    run.change(suspend=True).turn(ok(1))
    assert (run.status.state, run.status.phase) == ("Done", Phase.SUCCEEDED)


def test_an_attempt_that_falls_due_while_suspended_is_sent_on_resume() -> None:
    run = Run("a").begun()
    run.change(suspend=True).turn(failure(1))
    assert run.status.phase is Phase.SUSPENDED
    assert run.last.wake_at is None
    run.later(100).turn()
    assert run.ids == ["1:1"]
    run.change(suspend=False).turn()
    assert run.ids == ["1:1", "2:2"]


def test_an_early_result_of_a_job_that_was_suspended_meanwhile_is_not_lost() -> None:
    run = Run("a", "b", suspend=True)
    assert run.turn(ok(1)).verdicts == (Kept(),)
    assert run.status.phase is Phase.SUSPENDED
    assert run.status.message == "spec.suspend is set: what runs finishes, nothing new starts"
    assert run.turn(ok(1)).verdicts == (ResultReason.APPLIED,)
    assert run.status.state == "InProgress.b"
    assert run.sent == []


def test_the_deadline_of_a_step_at_its_worker_is_followed_while_suspended() -> None:
    run = Run(task("a", timeout=10)).begun()
    run.change(suspend=True).turn()
    run.wake()
    assert run.status.history[-1].reason == "Timeout"
    assert run.status.phase is Phase.SUSPENDED


# -- cancel


def test_a_job_that_is_cancelled_before_it_begins_never_begins() -> None:
    run = Run("a", cancel=True)
    run.turn()
    assert run.sent == []
    assert (run.status.state, run.status.phase, run.status.sequence) == ("Cancelled", Phase.CANCELLED, 1)
    assert run.status.completion_time == NOW
    assert run.status.history[-1].worker is None
    assert run.condition(ConditionType.FAILED) == (True, "Cancelled")


def test_a_job_without_a_workflow_can_be_cancelled() -> None:
    run = Run("a")
    run.definition = Missing(Reason.UNKNOWN_WORKFLOW, "there is none")
    run.turn()
    run.change(cancel=True).turn()
    assert run.status.state == "Cancelled"
    assert run.condition(ConditionType.WAITING) is None


def test_a_cancelled_job_keeps_nothing_of_what_ran_in_its_blocks() -> None:
    run = Run.of(parallel("fan", [step("a"), step("b", input="${steps.a.output}")]))
    run.done("fan[0].a", "kept")
    assert [scope.path for scope in run.status.scopes] == ["fan[0]"]
    run.change(cancel=True).turn()
    assert (run.status.phase, run.status.scopes, run.status.groups) == (Phase.CANCELLED, (), ())


def test_a_running_job_whose_revision_is_gone_can_be_cancelled() -> None:
    run = Run("a", "b").begun()
    run.definition = Missing(Reason.UNKNOWN_WORKFLOW, "it is gone")
    run.change(cancel=True).turn()
    assert run.status.state == "Cancelled"


def test_a_cancel_comes_before_the_results_of_its_turn() -> None:
    run = Run("a", "b").begun()
    decision = run.change(cancel=True).turn(ok(1))
    assert decision.verdicts == (ResultReason.STALE,)
    assert decision.publish == ()
    assert (run.status.state, run.status.sequence, run.status.active) == ("Cancelled", 2, ())
    assert run.status.error is not None
    assert (run.status.error.code, run.status.error.state) == ("Cancelled", "a")


def test_a_job_is_cancelled_while_it_backs_off() -> None:
    run = Run("a").begun()
    run.turn(failure(1))
    run.change(cancel=True).turn()
    assert run.status.state == "Cancelled"
    assert run.last.wake_at is None
    assert run.later(100).turn().publish_first == ()


def test_suspend_and_cancel_together_cancel() -> None:
    run = Run("a", suspend=True, cancel=True)
    run.turn()
    assert run.status.phase is Phase.CANCELLED


def test_a_suspended_job_can_be_cancelled() -> None:
    run = Run("a", "b").begun()
    run.change(suspend=True).turn()
    run.change(cancel=True).turn()
    assert run.status.phase is Phase.CANCELLED


def test_a_job_that_was_not_suspended_is_cancelled_without_being_resumed() -> None:
    run = Run("a", "b").begun()
    run.later(5).change(cancel=True).turn()
    assert run.condition(ConditionType.SUSPENDED) is None
    assert run.status.start_time == NOW


@pytest.mark.parametrize("change", [{"cancel": True}, {"suspend": True}, {"active_deadline_seconds": 1}])
def test_nothing_that_the_user_asks_for_moves_a_job_that_has_ended(change: dict[str, object]) -> None:
    run = Run("a").begun()
    run.turn(ok(1))
    decision = run.later(1000).change(**change).turn()
    assert decision.status is None
    assert decision.wake_at is None


# -- activeDeadlineSeconds


def test_a_job_that_is_active_for_too_long_fails() -> None:
    run = Run("a", "b", active_deadline_seconds=30).begun()
    assert run.last.wake_at == NOW + seconds(30)
    run.later(20).turn(ok(1))
    assert run.last.wake_at == NOW + seconds(30)
    run.wake()
    assert run.status.state == "Failed"
    assert run.condition(ConditionType.FAILED) == (True, "DeadlineExceeded")
    assert run.status.error is not None
    assert run.status.error.state == "b"
    assert run.status.history[-1].worker is None


def test_a_result_that_ends_the_job_counts_even_when_its_time_is_over() -> None:
    run = Run("a", active_deadline_seconds=30).begun()
    run.later(31).turn(ok(1))
    assert run.status.state == "Done"


def test_a_result_that_does_not_end_the_job_is_taken_and_then_its_time_is_over() -> None:
    run = Run("a", "b", active_deadline_seconds=30).begun()
    decision = run.later(31).turn(ok(1))
    assert [h.state for h in run.status.history] == ["InProgress.a", "InProgress.b", "Failed"]
    assert decision.publish == decision.publish_first == ()


def test_the_active_deadline_does_not_run_while_suspended_and_counts_anew_from_the_resume() -> None:
    run = Run("a", active_deadline_seconds=30).begun()
    run.later(20).change(suspend=True).turn()
    assert run.later(1000).turn().status is None
    run.change(suspend=False).turn()
    assert run.last.wake_at == NOW + seconds(1050)
    run.later(29).turn()
    assert run.status.state == "InProgress.a"
    run.later(1).turn()
    assert run.status.state == "Failed"


def test_the_active_deadline_does_not_run_before_the_job_begins() -> None:
    run = Run("a", active_deadline_seconds=30)
    run.missing_pools = {"a-pool"}
    run.turn()
    run.later(1000).turn()
    assert run.status.phase is Phase.PENDING


# -- ttlSecondsAfterFinished


def test_a_finished_job_asks_to_be_woken_and_is_then_to_be_deleted() -> None:
    run = Run("a", ttl_seconds_after_finished=60).begun()
    run.turn(ok(1))
    assert run.last.wake_at == NOW + seconds(60)
    assert not run.last.delete
    assert not run.later(59).turn().delete
    decision = run.later(1).turn()
    assert decision.delete
    assert decision.status is None


def test_a_job_with_no_time_to_live_after_its_end_is_deleted_in_the_turn_after_the_last_write() -> None:
    run = Run("a", ttl_seconds_after_finished=0).begun()
    assert not run.turn(ok(1)).delete
    assert run.wake().delete


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_the_time_to_live_counts_for_every_end(end: str) -> None:
    run = Run("a", ttl_seconds_after_finished=60).begun()
    if end == "fail":
        run.turn(failure(1, retryable=False))
    else:
        run.change(cancel=True).turn()
    assert run.wake().delete


def test_a_job_without_a_time_to_live_is_never_deleted() -> None:
    run = Run("a").begun()
    run.turn(ok(1))
    assert run.last.wake_at is None
    assert not run.later(10**8).turn().delete


def test_a_late_result_of_a_job_whose_life_is_over_is_settled_with_it() -> None:
    run = Run("a", ttl_seconds_after_finished=0).begun()
    run.turn(ok(1, epoch=EPOCH))
    decision = run.turn(ok(1))
    assert decision.delete
    assert decision.verdicts == (ResultReason.STALE,)
