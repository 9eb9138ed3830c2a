"""Sizes: a status that the store would not take fails its job, in a status that it takes."""

from __future__ import annotations

from mastercontrol.api.names import Reason, ResultReason
from mastercontrol.engine import moves
from mastercontrol.engine.facts import Limits
from unit.engine.builders import Run, failure, ok


def test_an_output_that_makes_the_status_too_large_fails_the_job_with_that_reason() -> None:
    run = Run("a", "b").begun()
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
