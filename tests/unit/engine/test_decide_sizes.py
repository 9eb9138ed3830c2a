"""Sizes: a status that the store would not take fails its job, in a status that it takes."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mastercontrol.api.names import Reason, ResultReason
from mastercontrol.api.workflow import parse_spec
from mastercontrol.engine import moves
from mastercontrol.engine.facts import Limits
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import Definition
from unit.engine.builders import NOW, Run, failure, ok, parallel, state, step, written
from unit.engine.workflows import INPUT, workflows


def test_an_output_that_makes_the_status_too_large_fails_the_job_with_that_reason() -> None:
    run = Run("a", "b").begun().change()
    run.limits = Limits(status_bytes=4096)
    decision = run.turn(ok(1, output="x" * 5000))
    assert decision.verdicts == (ResultReason.APPLIED,)
    assert decision.publish == decision.publish_first == ()
    assert run.status.state == "Failed"
    assert run.status.error is not None
    assert (run.status.error.code, run.status.error.state) == ("StatusTooLarge", "a")
    assert "5" in run.status.error.message
    assert "the limit is 4096" in run.status.error.message
    assert [n.reason for n in run.notes] == [Reason.STATUS_TOO_LARGE]
    assert run.status.history[-1].worker is None
    assert run.status.observed_generation == 2


def test_the_status_of_a_job_that_grew_too_large_is_small_enough_and_has_no_gap() -> None:
    run = Run("a", "b").begun()
    run.limits = Limits(status_bytes=4096)
    run.turn(ok(1, output="x" * 3000))
    run.turn(ok(2, output="y" * 5000))
    assert run.status.state == "Failed"
    assert moves.status_bytes(run.status) <= 4096
    assert [h.seq for h in run.status.history] == [1, 2, 3]
    assert run.status.scope.outputs == {"a": "x" * 3000}, "a retry goes on from here"
    assert run.status.output is None


def test_a_status_of_exactly_the_limit_fits() -> None:
    run = Run("a", "b").begun()
    decided = run.decide(ok(1, output="x" * 5000)).status
    assert decided is not None
    size = moves.status_bytes(decided)
    run.limits = Limits(status_bytes=size - 1)
    small = run.decide(ok(1, output="x" * 5000)).status
    assert small is not None
    assert small.state == "Failed"
    run.limits = Limits(status_bytes=size)
    run.turn(ok(1, output="x" * 5000))
    assert run.status.state == "InProgress.b"


def test_what_a_retry_needs_is_kept_where_it_just_fits() -> None:
    run = Run("a", "b").begun()
    run.turn(ok(1, output="x" * 2000))
    large = ok(2, output="y" * 9000)
    run.limits = Limits(status_bytes=4096)
    failed = run.decide(large).status
    assert failed is not None
    size = moves.status_bytes(failed)
    run.limits = Limits(status_bytes=size - 1)
    without = run.decide(large).status
    assert without is not None
    assert (without.resumable, without.scope.is_bare) == ((), True)
    run.limits = Limits(status_bytes=size)
    run.turn(large)
    assert (run.status.resumable, run.status.scope.outputs) == (("b",), {"a": "x" * 2000})


def test_a_job_keeps_its_own_error_where_that_just_fits() -> None:
    run = Run("a", "b").begun()
    run.turn(ok(1, output="x" * 3000))
    failed = run.decide(failure(2, retryable=False)).status
    assert failed is not None
    run.limits = Limits(status_bytes=moves.status_bytes(moves.without_rest(failed)))
    run.turn(failure(2, retryable=False))
    assert run.ending == ("Failed", "Broken")
    assert run.status.resumable == ()


def test_a_job_that_is_too_large_from_its_first_write_on_says_how_it_began() -> None:
    run = Run("unused", input="x" * 5000)
    run.definition = written(state("Pass", "p", output="${input}"), step("a"))
    run.limits = Limits(status_bytes=4096)
    run.turn()
    assert run.ending == ("Failed", "StatusTooLarge")
    assert [line.state for line in run.status.history] == ["InProgress.p", "InProgress.a", "Failed"]
    assert (run.status.start_time, run.status.resumable) == (NOW, ())
    assert moves.status_bytes(run.status) <= 4096


def test_a_job_that_ends_in_its_first_turn_and_is_too_large_fails_in_the_place_of_that() -> None:
    run = Run("unused", input="x" * 5000)
    run.definition = written(state("Pass", "p"))
    run.limits = Limits(status_bytes=4096)
    run.turn()
    assert run.ending == ("Failed", "StatusTooLarge")
    assert (run.status.output, run.status.sequence) == (None, 1)
    assert [line.state for line in run.status.history] == ["Failed"]


@given(spec=workflows(), limit=st.integers(500, 8000))
@settings(max_examples=200, deadline=None)
def test_every_job_can_begin_or_fail_whatever_its_status_may_have(spec: dict[str, Any], limit: int) -> None:
    run = Run("unused", input={**INPUT, "long": "x" * 3000})
    definition = compile_workflow("order", parse_spec(spec))
    assert isinstance(definition, Definition)
    run.definition = definition
    run.limits = Limits(status_bytes=limit)
    run.turn()
    assert moves.status_bytes(run.status) <= limit or run.ending == ("Failed", "StatusTooLarge")


def test_a_job_that_is_too_large_before_it_began_has_nothing_to_close() -> None:
    run = Run("unused", suspend=True)
    run.definition = written(step("a"), onExit={"states": [step("tidy")]})
    run.limits = Limits(status_bytes=100)
    run.turn()
    assert run.ending == ("Failed", "StatusTooLarge")
    assert run.sent == []


def closing_for_size(limit: int) -> Run:
    """A job that cleans up and whose last result was too large, while it was in a branch that keeps an output."""
    run = Run("unused")
    fan = parallel("fan", [step("a"), step("b"), step("c", input="${steps.a.output}")], [step("d")])
    run.definition = written(fan, onExit={"states": [step("tidy", input={})]})
    run.turn()
    run.done("fan[0].a", "x" * 1500)
    run.change().limits = Limits(status_bytes=limit)
    run.done("fan[0].b", "y" * 9000)
    return run


def test_a_job_that_closes_for_its_size_keeps_what_a_retry_needs_only_where_that_fits() -> None:
    whole = closing_for_size(9000).status
    assert whole.resumable == ("fan[1].d", "fan[0].b")
    assert [scope.path for scope in whole.scopes] == ["fan[0]"]
    assert whole.observed_generation == 2
    assert whole.outcome is not None
    assert whole.outcome.error is not None
    assert whole.outcome.error.state == "fan"
    assert closing_for_size(moves.status_bytes(whole)).status.resumable == whole.resumable
    bare = closing_for_size(moves.status_bytes(whole) - 1).status
    assert bare.state == "InProgress.onExit"
    assert (bare.resumable, bare.groups, bare.scopes) == ((), (), ())


def test_a_job_closes_for_its_size_only_where_that_fits() -> None:
    bare = closing_for_size(2000).status
    assert bare.state == "InProgress.onExit"
    assert closing_for_size(moves.status_bytes(bare)).status.state == "InProgress.onExit"
    assert closing_for_size(moves.status_bytes(bare) - 1).ending == ("Failed", "StatusTooLarge")


def test_the_largest_output_that_the_contract_allows_fits() -> None:
    run = Run("a", "b").begun()
    run.turn(ok(1, output="\u20ac" * (64 * 1024 // 3)))
    assert run.status.state == "InProgress.b"


def test_the_longest_failures_that_a_history_can_hold_fit() -> None:
    run = Run("a").begun()
    worst = "\x01" * 4096  # six bytes each, as JSON
    for attempt in range(1, 5):
        run.turn(failure(attempt, attempt, code="C" * 128, message=worst))
        if run.status.state == "InProgress.a":
            run.wake()
    assert run.status.error is not None
    assert run.status.error.code == "C" * 128
    assert moves.status_bytes(run.status) < 256 * 1024
