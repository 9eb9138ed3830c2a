"""spec.operations: Restart, the order of operations and what comes with them, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mastercontrol.api.job import Signal
from mastercontrol.api.names import ConditionType, Phase, Reason, ResultReason
from mastercontrol.api.operation import Operation, OperationType
from mastercontrol.api.status import JobStatus
from mastercontrol.engine import moves
from mastercontrol.engine.facts import Kept, Limits
from unit.engine.builders import Run, each, failure, ok, parallel, seconds, state, step
from unit.engine.operating import RESTART, RETRY, ask, chained, refused, sent_now

# -- Restart


def test_a_restart_begins_anew_with_the_same_revision() -> None:
    run = chained()
    revision = run.status.revision
    ask(run, RESTART)
    status = run.status
    assert (status.state, status.revision, status.sequence) == ("InProgress.reserve", revision, 4)
    assert (status.scope.is_bare, status.groups, status.scopes, status.resumable) == (True, (), (), ())
    line = status.history[-1]
    assert (line.seq, line.state, line.reason, line.message) == (
        4,
        "InProgress.reserve",
        "Restarted",
        "ann: from the start",
    )
    assert sent_now(run) == ["reserve 4:1"]
    assert run.message("reserve").input == {"sku": "A1"}
    assert run.condition(ConditionType.OPERATED) == (True, "Restarted")


def test_a_restart_forgets_blocks_and_variables() -> None:
    run = Run.of(
        state("Pass", "p", assign={"n": 1}), each("m", [1, 2], step("a", input="${vars.n}")), step("z", input="${vars}")
    )
    run.done("m[0].a")
    run.broken("m[1].a")
    ask(run, RESTART).turn()
    assert sorted(run.paths) == ["m[0].a", "m[1].a"]
    assert [g.results for g in run.status.groups] == [{}]


def test_a_restart_drops_the_blocks_of_before_at_once() -> None:
    run = Run.of(step("first"), parallel("fan", [step("a"), step("b", input="${steps.a.output}")], [step("c")]))
    run.done("first")
    run.done("fan[0].a", "kept")
    run.broken("fan[1].c")
    assert run.status.scopes
    ask(run, RESTART)
    assert (run.paths, run.status.scopes, run.status.groups) == (["first"], (), ())


def test_signals_that_were_taken_stay_taken_over_a_restart() -> None:
    run = Run.of(state("Signal", "s", signal="go"), step("a"), signals=(Signal("go", 1),))
    run.turn()
    run.turn()
    run.broken("a")
    ask(run, RESTART).turn()
    assert run.paths == ["s"], "it waits for another signal"
    run.change(signals=(Signal("go", 1), Signal("go", 2))).turn()
    run.turn()
    assert run.message("a").input == 2


# -- results of before, order, suspend, cancel


def test_a_result_of_before_the_failure_does_not_move_the_retried_job() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")]))
    late = run.result("fan[1].b", "late")
    run.broken("fan[0].a")
    ask(run, RETRY).turn()
    decision = run.turn(late)
    assert decision.verdicts == (ResultReason.STALE,)
    assert sorted(run.paths) == ["fan[0].a", "fan[1].b"]
    assert decision.publish == decision.publish_first == ()


@pytest.mark.parametrize("operation", [RETRY, RESTART], ids=str)
def test_a_result_that_comes_with_an_operation_waits_for_the_next_turn(operation: Operation) -> None:
    run = chained()
    late = ok(run.status.sequence - 1)
    decision = run.change(operations=(operation,)).turn(late)
    assert decision.verdicts == (Kept(),)
    assert decision.publish == decision.publish_first == ()
    assert run.turn(late).verdicts == (ResultReason.STALE,)


def test_an_operation_is_taken_once_however_often_the_job_is_looked_at() -> None:
    run = ask(chained(), RETRY)
    for _ in range(3):
        run.turn()
    assert (run.status.operations_taken, run.status.sequence) == (1, 4)


def test_each_operation_that_has_an_effect_has_a_turn_of_its_own() -> None:
    run = chained(state("Fail", "no"))
    run.change(operations=(Operation(OperationType.SKIP, "charge"), RESTART, RETRY))
    run.turn()
    assert (run.status.state, run.status.operations_taken) == ("Failed", 1), "skipped on to the Fail state"
    assert run.last.wake_at == run.now
    run.turn()
    assert (run.status.state, run.status.operations_taken) == ("InProgress.reserve", 2)
    run.turn()
    assert (run.status.state, run.status.operations_taken) == ("InProgress.reserve", 3)
    assert run.condition(ConditionType.OPERATED) == (False, "OperationRefused")


def test_a_suspended_job_that_is_retried_stays_suspended() -> None:
    run = chained().change(suspend=True)
    ask(run, RETRY)
    assert (run.status.state, run.status.phase) == ("InProgress.charge", Phase.SUSPENDED)
    before = len(run.sent)
    run.turn()
    assert len(run.sent) == before
    run.change(suspend=False).turn()
    run.turn()
    assert run.steps[before:] == ["charge"]


def test_a_job_that_failed_while_it_was_suspended_is_not_called_so_any_more() -> None:
    run = Run.of(step("a")).change(suspend=True)
    run.turn()
    run.broken("a")
    assert run.condition(ConditionType.SUSPENDED) == (True, "Suspended")
    run.change(suspend=False)
    ask(run, RETRY)
    assert run.condition(ConditionType.SUSPENDED) is None
    assert run.status.phase is Phase.RUNNING


def test_a_retried_step_waits_for_its_pool_and_for_the_broker() -> None:
    run = chained()
    run.epoch, run.missing_pools = None, {"p"}
    ask(run, RETRY).turn()
    assert run.condition(ConditionType.WAITING) == (True, "UnknownPool")
    run.missing_pools = set()
    run.turn()
    assert run.at("charge").dispatched_at is None
    run.epoch = "e2"
    run.turn()
    assert run.ids[-1] == "4:1"
    assert run.status.broker_epoch == "e2"


# -- what is refused


@pytest.mark.parametrize("operation", [RETRY, RESTART], ids=str)
def test_a_job_that_runs_is_not_begun_again(operation: Operation) -> None:
    run = Run.of(step("a"))
    before = run.status
    ask(run, operation)
    text = f"spec.operations[0], {operation}: the job has not failed, it is in InProgress.a; ask again when it has"
    assert refused(run) == text
    assert (run.status.active, run.status.sequence) == (before.active, before.sequence)
    run.done("a", 1)
    assert run.ending == ("Done", 1), "and the refusal is not held against it"


@pytest.mark.parametrize("kind", OperationType)
def test_a_job_that_succeeded_or_was_cancelled_is_left_alone(kind: OperationType) -> None:
    operation = Operation(kind, "a" if kind is OperationType.SKIP else None)
    run = Run.of(step("a"))
    run.done("a", 1)
    ask(run, operation)
    assert "the job has succeeded; create another Job" in refused(run)
    assert run.ending == ("Done", 1)
    run = Run.of(step("a")).change(cancel=True)
    ask(run, operation)
    assert "the job was cancelled; create another Job" in refused(run)
    assert run.status.state == "Cancelled"


@pytest.mark.parametrize("kind", OperationType)
def test_a_failed_job_that_was_told_to_cancel_is_left_alone(kind: OperationType) -> None:
    run = chained().change(cancel=True)
    ask(run, Operation(kind, "charge" if kind is OperationType.SKIP else None))
    assert "spec.cancel is set" in refused(run)
    assert run.status.state == "Failed"


@pytest.mark.parametrize("kind", OperationType)
def test_an_operation_that_a_job_is_created_with_is_refused_and_the_job_begins(kind: OperationType) -> None:
    run = Run("a", operations=(Operation(kind, "a" if kind is OperationType.SKIP else None),))
    run.turn()
    assert run.status.sequence == 0
    assert "the job has not" in refused(run)
    run.turn()
    assert (run.status.state, run.steps) == ("InProgress.a", ["a"])


def test_a_refused_operation_wakes_nothing_for_ever() -> None:
    run = chained()
    ask(run, Operation(OperationType.SKIP, "ship"))
    run.turn()
    assert run.last.wake_at is None
    assert run.last.status is None


def test_nothing_is_told_of_an_effect_that_was_taken_back() -> None:
    run = Run.of(step("a"), state("Fail", "no", code="Stop", message="${input}"))
    run.limits = Limits(status_bytes=moves.status_bytes(run.status) + 1500)
    ask(run, Operation(OperationType.SKIP, "a", has_output=True, output="x" * 4000))
    assert "the status would have" in refused(run)
    assert [note.reason for note in run.notes] == [Reason.OPERATION_REFUSED]
    assert run.paths == ["a"]


def test_a_retry_whose_status_would_be_too_large_is_refused() -> None:
    run = Run.of(each("m", list(range(40)), step("a")))
    run.broken("m[0].a")
    run.limits = Limits(status_bytes=moves.status_bytes(run.status) + 500)
    before = run.status
    ask(run, RETRY)
    assert "the status would have" in refused(run)
    assert run.status.state == "Failed"
    assert run.status.resumable == before.resumable


# -- time to live


def test_an_operation_is_dealt_with_before_the_time_to_live_is_over_for_good() -> None:
    run = Run.of(step("a"), ttl_seconds_after_finished=60)
    run.broken("a")
    run.later(61).change(operations=(RETRY,))
    decision = run.turn()
    assert not decision.delete
    assert run.status.state == "InProgress.a"
    run.turn()
    run.broken("a")
    assert run.last.wake_at == run.now + seconds(60), "it counts from the second end"


def test_a_job_is_deleted_after_an_operation_that_was_refused() -> None:
    run = Run.of(step("a"), ttl_seconds_after_finished=60)
    run.done("a")
    run.later(61).change(operations=(RETRY,))
    assert not run.turn().delete
    assert run.turn().delete


def test_a_job_of_an_older_operator_can_only_be_restarted() -> None:
    run = chained()
    old = replace(run.status, resumable=(), scope=JobStatus().scope)
    run.job = replace(run.job, status=old)
    ask(run, RETRY)
    assert "write Restart" in refused(run)
    ask(run, RESTART)
    assert run.paths == ["reserve"]


def test_a_failed_attempt_of_before_is_stale_as_well() -> None:
    run = chained()
    old = failure(2)
    ask(run, RETRY).turn()
    assert run.turn(old).verdicts == (ResultReason.STALE,)
    assert run.paths == ["charge"]
