"""What is missing: a Workflow, a pool, a revision. The job waits, says so once, and goes on when it is put right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mastercontrol.api.names import ConditionType, Phase, Reason, ResultReason
from mastercontrol.engine.facts import Kept, Missing
from unit.engine.builders import Run, failure, ids, ok, parallel, step

MISSING = [
    Missing(Reason.UNKNOWN_WORKFLOW, "there is no Workflow 'order' in this namespace"),
    Missing(Reason.INVALID_WORKFLOW, "Workflow 'order': spec.states[0].pool: write a text"),
]


@pytest.mark.parametrize("missing", MISSING, ids=lambda m: m.reason)
def test_a_job_without_a_workflow_that_runs_waits_and_says_why_once(missing: Missing) -> None:
    run = Run("a")
    run.definition = missing
    run.turn()
    run.later(60).turn()
    assert (run.status.state, run.status.phase, run.status.sequence) == ("Begin", Phase.PENDING, 0)
    assert run.condition(ConditionType.WAITING) == (True, missing.reason)
    assert run.status.message == missing.message
    assert [(n.reason, n.message) for n in run.notes] == [(missing.reason, missing.message)]
    assert run.writes == 1
    assert run.sent == []


@pytest.mark.parametrize("missing", MISSING, ids=lambda m: m.reason)
def test_it_begins_when_its_workflow_is_put_right(missing: Missing) -> None:
    run = Run("a")
    definition, run.definition = run.definition, missing
    run.turn()
    run.definition = definition
    assert ids(run.turn(), first=True) == ["1:1"]
    assert (run.status.state, run.status.phase) == ("InProgress.a", Phase.RUNNING)
    assert run.condition(ConditionType.WAITING) is None
    assert run.status.message == "a is with pool a-pool"


def test_another_fault_of_the_workflow_is_told_again() -> None:
    run = Run("a")
    for missing in MISSING:
        run.definition = missing
        run.turn()
    assert [n.reason for n in run.notes] == [m.reason for m in MISSING]
    assert run.condition(ConditionType.WAITING) == (True, MISSING[1].reason)


def test_a_job_whose_first_pool_is_unknown_waits_and_begins_when_it_is_there() -> None:
    run = Run("a")
    run.missing_pools = {"a-pool"}
    run.turn()
    run.later(60).turn()
    assert run.condition(ConditionType.WAITING) == (True, "UnknownPool")
    assert run.status.message == "state 'a' needs the WorkerPool 'a-pool', which is not in this namespace"
    assert [n.reason for n in run.notes] == [Reason.UNKNOWN_POOL]
    assert run.writes == 1
    run.missing_pools = set()
    assert ids(run.turn(), first=True) == ["1:1"]


def test_a_pool_that_only_a_later_state_needs_does_not_keep_a_job_from_beginning() -> None:
    run = Run("a", "b")
    run.missing_pools = {"b-pool"}
    assert ids(run.turn(), first=True) == ["1:1"]


def test_a_step_whose_pool_is_unknown_is_written_but_not_sent_until_the_pool_is_there() -> None:
    run = Run("a", "b").begun()
    run.missing_pools = {"b-pool"}
    decision = run.turn(ok(1, output="kept"))
    assert decision.verdicts == (ResultReason.APPLIED,)
    assert decision.publish == ()
    assert run.status.active[0].dispatched_at is None
    assert run.condition(ConditionType.WAITING) == (True, "UnknownPool")
    assert run.turn().status is None
    assert [n.reason for n in run.notes] == [Reason.UNKNOWN_POOL]
    run.missing_pools = set()
    assert ids(run.turn(), first=True) == ["2:1"]
    assert run.sent[-1].input == "kept"
    assert run.condition(ConditionType.WAITING) is None
    assert run.status.message == "b is with pool b-pool"


def test_a_job_whose_pool_was_deleted_while_it_had_the_step_says_so_and_still_takes_the_answer() -> None:
    run = Run("a", "b").begun()
    run.missing_pools = {"a-pool"}
    run.turn()
    assert run.condition(ConditionType.WAITING) == (True, "UnknownPool")
    assert run.turn().status is None, "it is said once"
    run.missing_pools = set()
    run.turn()
    assert run.condition(ConditionType.WAITING) is None
    assert run.status.message == "a is with pool a-pool"
    assert run.ids == ["1:1"], "its queue was kept, so the step is not sent again"
    run.turn(ok(1))
    assert run.status.state == "InProgress.b"


def test_a_running_job_whose_revision_is_gone_waits_and_goes_on_when_it_is_back() -> None:
    run = Run("a", "b").begun()
    run.turn(failure(1))
    definition, run.definition = run.definition, Missing(Reason.UNKNOWN_WORKFLOW, "it is gone")
    run.later(10).turn()
    run.turn()
    assert run.condition(ConditionType.WAITING) == (True, "UnknownWorkflow")
    assert run.status.phase is Phase.RUNNING
    assert run.last.wake_at is None
    assert [n.reason for n in run.notes] == [Reason.STEP_FAILED, Reason.UNKNOWN_WORKFLOW]
    run.definition = definition
    assert ids(run.turn(), first=True) == ["2:2"]
    assert run.condition(ConditionType.WAITING) is None


def test_a_step_that_is_late_while_the_revision_is_gone_fails_the_job_and_is_named() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b", timeoutSeconds=10)]))
    run.definition = MISSING[0]
    run.later(11).turn()
    assert run.status.error is not None
    assert (run.status.error.code, run.status.error.state) == ("Timeout", "fan[1].b")
    assert run.status.resumable == ("fan[1].b", "fan[0].a"), "where a retry begins when the revision is back"


def test_a_job_whose_status_lost_where_it_waits_does_nothing() -> None:
    run = Run("a", "b").begun()
    run.job = replace(run.job, status=replace(run.status, active=()))
    assert (run.turn().status, run.last.notes) == (None, ())


def test_an_early_result_is_kept_for_as_long_as_the_workflow_is_missing() -> None:
    run = Run("a", "b")
    definition, run.definition = run.definition, MISSING[0]
    assert run.turn(ok(1)).verdicts == (Kept(),)
    run.definition = definition
    assert run.turn(ok(1)).verdicts == (Kept(),)
    assert run.turn(ok(1)).verdicts == (ResultReason.APPLIED,)
    assert run.ids == ["2:1"]


def test_the_time_of_a_condition_is_that_of_its_last_change() -> None:
    run = Run("a")
    run.definition = MISSING[0]
    run.turn()
    since = run.status.conditions[0].last_transition
    run.later(60).definition = MISSING[1]
    run.turn()
    assert run.status.conditions[0].last_transition == since, "it still waits"
