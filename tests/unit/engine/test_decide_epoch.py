"""The broker that lost its data, the broker that is away, and dispatches that are to be sent again."""

from __future__ import annotations

import pytest

from mastercontrol.api.names import ResultReason
from unit.engine.builders import EPOCH, UID, Run, failure, ids, ok, task


def test_in_a_new_epoch_the_active_dispatch_is_sent_again_before_the_epoch_is_stamped() -> None:
    run = Run("a", "b").begun()
    run.turn(ok(1, output="from a"))
    run.epoch = "e2"
    decision = run.turn()
    assert ids(decision, first=True) == ["2:1"]
    assert run.sent[-1].input == "from a"
    assert decision.status is not None
    assert (run.status.broker_epoch, run.status.sequence) == ("e2", 2)
    assert run.turn().publish_first == ()


def test_a_dispatch_that_is_sent_again_keeps_its_deadline() -> None:
    run = Run(task("a", timeout=30)).begun()
    run.epoch = "e2"
    run.later(10).turn()
    assert run.sent[1] == run.sent[0]
    assert run.last.wake_at == run.status.active[0].deadline


def test_a_result_of_the_old_epoch_stamps_the_old_one_and_the_next_turn_sends_again() -> None:
    """Its next step may have been confirmed by the broker that lost it: only the old epoch is sure."""
    run = Run("a", "b").begun()
    run.epoch = "e2"
    decision = run.turn(ok(1, epoch=EPOCH))
    assert decision.verdicts == (ResultReason.APPLIED,)
    assert run.status.broker_epoch == EPOCH
    assert decision.wake_at == run.now, "at once"
    assert ids(run.wake(), first=True) == ["2:1"]
    assert run.status.broker_epoch == "e2"
    assert run.last.wake_at is None


def test_a_result_of_the_new_epoch_stamps_the_new_one() -> None:
    run = Run("a", "b").begun()
    run.epoch = "e2"
    run.turn(ok(1, epoch="e2"))
    assert run.status.broker_epoch == "e2"
    assert run.last.wake_at is None
    assert run.turn().publish_first == ()


def test_in_a_new_epoch_a_stale_cause_does_not_send_the_dispatch_twice() -> None:
    run = Run("a", "b").begun()
    run.turn(ok(1))
    run.epoch = "e2"
    decision = run.turn(ok(1))
    assert ids(decision, first=True) == ["2:1"]
    assert decision.publish == ()
    assert run.status.broker_epoch == "e2"


def test_a_dispatch_for_a_pool_that_is_gone_is_not_stamped_as_sent_in_the_new_epoch() -> None:
    run = Run("a").begun()
    run.epoch, run.missing_pools = "e2", {"a-pool"}
    decision = run.turn()
    assert decision.publish_first == ()
    assert run.turn().wake_at is None, "the pool brings a turn"
    assert run.status.broker_epoch == EPOCH
    run.missing_pools = set()
    assert ids(run.turn(), first=True) == ["1:1"]
    assert run.status.broker_epoch == "e2"


def test_a_step_that_waits_for_its_next_attempt_is_not_sent_early_by_a_new_epoch() -> None:
    run = Run("a").begun()
    run.turn(failure(1))
    run.epoch = "e2"
    assert run.turn().publish_first == ()
    assert ids(run.wake(), first=True) == ["2:2"]
    assert run.status.broker_epoch == "e2"
    assert run.turn().publish_first == ()


def test_a_job_that_has_ended_sends_nothing_in_a_new_epoch() -> None:
    run = Run("a").begun()
    run.turn(ok(1))
    run.epoch = "e2"
    decision = run.turn()
    assert decision.status is None
    assert decision.publish_first == ()


def test_without_a_connection_a_job_does_not_begin() -> None:
    run = Run("a")
    run.epoch = None
    decision = run.turn()
    assert decision.status is None
    assert decision.publish_first == ()
    assert decision.wake_at is None
    run.epoch = EPOCH
    assert ids(run.turn(), first=True) == ["1:1"]


def test_without_a_connection_nothing_is_sent_again_and_the_epoch_stays() -> None:
    run = Run("a").begun()
    run.epoch, run.resend = None, frozenset({f"{UID}:1:1"})
    decision = run.turn()
    assert decision.status is None
    assert decision.publish_first == ()


def test_a_result_that_is_here_is_applied_without_a_connection_and_what_it_made_due_is_owed() -> None:
    run = Run("a", "b").begun()
    run.epoch = None
    decision = run.turn(ok(1))
    assert decision.verdicts == (ResultReason.APPLIED,)
    assert ids(decision, first=False) == ["2:1"]


def test_what_is_owed_or_was_lost_is_sent_again_without_a_write() -> None:
    run = Run("a").begun()
    run.resend = frozenset({f"{UID}:1:1"})
    decision = run.turn()
    assert ids(decision, first=True) == ["1:1"]
    assert decision.status is None


@pytest.mark.parametrize("other", [f"{UID}:1:2", f"{UID}:2:1", "another:1:1"])
def test_only_the_active_dispatch_is_sent_again(other: str) -> None:
    run = Run("a").begun()
    run.resend = frozenset({other})
    assert run.turn().publish_first == ()


def test_what_is_owed_and_was_answered_meanwhile_is_not_sent() -> None:
    run = Run("a", "b").begun()
    run.resend = frozenset({f"{UID}:1:1"})
    decision = run.turn(ok(1))
    assert decision.publish_first == ()
    assert ids(decision, first=False) == ["2:1"]
