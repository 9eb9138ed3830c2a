"""Attempts that fail: which are tried again, when, and how a job fails for good."""

from __future__ import annotations

import pytest

from mastercontrol.api.names import ConditionType, Phase, Reason, ResultReason
from mastercontrol.api.workflow import RetrySpec
from unit.engine.builders import NOW, Run, failure, ids, ok, seconds, task


def retrying(limit: int = 3, *, jitter: bool = False, cap: float = 60, timeout: int | None = None) -> Run:
    policy = RetrySpec(limit=limit, backoff_seconds=1, backoff_rate=2, max_backoff_seconds=cap, jitter=jitter)
    return Run(task("a", retry=policy, timeout=timeout), "b").begun()


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_step_is_tried_limit_times_after_the_first(limit: int) -> None:
    run = retrying(limit)
    for attempt in range(1, limit + 1):
        run.turn(failure(attempt, attempt))
        assert run.status.state == "InProgress.a"
        run.wake()
    run.turn(failure(limit + 1, limit + 1))
    assert run.status.state == "Failed"
    assert run.ids == [f"{n}:{n}" for n in range(1, limit + 2)]


def test_the_back_off_grows_by_the_rate_up_to_the_cap() -> None:
    run = retrying(limit=6, cap=5)
    waits = []
    for attempt in range(1, 7):
        run.turn(failure(attempt, attempt))
        due = run.status.active[0].not_before
        assert due is not None
        waits.append((due - run.now).total_seconds())
        run.wake()
    assert waits == [1, 2, 4, 5, 5, 5]


@pytest.mark.parametrize("draw", [0.0, 0.25, 0.999])
def test_jitter_is_drawn_outside_and_scales_the_wait(draw: float) -> None:
    run = retrying(jitter=True)
    run.jitter = draw
    run.turn(failure(1))
    assert run.last.wake_at is not None
    assert abs(run.last.wake_at - (NOW + seconds(draw))) <= seconds(0.001)


def test_an_attempt_is_written_without_dispatched_at_first_then_published_then_marked() -> None:
    run = retrying()
    created = run.turn(failure(1))
    assert created.publish_first == created.publish == ()
    assert (run.status.active[0].attempt, run.status.active[0].dispatched_at) == (2, None)

    early = run.later(0.5).turn()
    assert early.status is None
    assert early.publish_first == ()
    assert early.wake_at == NOW + seconds(1)

    sent = run.wake()
    assert ids(sent, first=True) == ["2:2"]
    assert run.status.active[0].dispatched_at == NOW + seconds(1)


def test_an_attempt_without_a_wait_is_not_published_in_the_turn_that_creates_it_either() -> None:
    run = retrying(jitter=True)
    run.jitter = 0.0
    created = run.turn(failure(1))
    assert created.publish_first == created.publish == ()
    assert created.wake_at == run.now, "the next turn is at once"
    assert ids(run.wake(), first=True) == ["2:2"]


def test_the_history_tells_which_worker_failed() -> None:
    run = retrying(2)
    run.turn(failure(1))
    assert run.at("a").tried == (), "with one rule, the attempt says it all"
    run.wake()
    run.turn(failure(2, 2))
    lines = [(line.attempt, line.worker) for line in run.status.history]
    assert lines == [(None, None), (1, "worker-1"), (2, "worker-1")]
    assert [note.message for note in run.notes] == [
        "a, attempt 1: Broken: no; 2 more to be made",
        "a, attempt 2: Broken: no; 1 more to be made",
    ]


def test_retries_count_in_the_sequence_and_stand_in_the_history() -> None:
    run = retrying()
    run.turn(failure(1, message="the disk is full"))
    run.wake()
    run.turn(ok(2, 2))
    lines = [(h.seq, h.state, h.reason, h.attempt, h.message) for h in run.status.history]
    assert lines == [
        (1, "InProgress.a", "Started", None, None),
        (2, "InProgress.a", "Broken", 1, "the disk is full"),
        (3, "InProgress.b", "StepSucceeded", 2, None),
    ]
    assert run.ids == ["1:1", "2:2", "3:1"]


def test_the_input_of_a_later_attempt_is_that_of_the_first() -> None:
    run = Run("a", "b").begun()
    run.turn(ok(1, output="from a"))
    run.turn(failure(2))
    run.wake()
    assert [m.input for m in run.sent[1:]] == ["from a", "from a"]
    assert run.ids == ["1:1", "2:1", "3:2"]


def test_the_next_state_begins_with_its_first_attempt() -> None:
    run = retrying()
    run.turn(failure(1))
    run.wake()
    run.turn(ok(2, 2))
    assert run.status.active[0].attempt == 1


def test_a_failure_that_is_not_retryable_fails_the_job_at_once() -> None:
    run = retrying()
    decision = run.turn(failure(1, code="CardRefused", message="no money", retryable=False))
    assert decision.verdicts == (ResultReason.APPLIED,)
    assert (run.status.state, run.status.phase) == ("Failed", Phase.FAILED)
    assert run.status.error is not None
    assert (run.status.error.code, run.status.error.message, run.status.error.state) == ("CardRefused", "no money", "a")
    assert run.condition(ConditionType.FAILED) == (True, "CardRefused")
    assert run.condition(ConditionType.WAITING) is None
    assert run.status.message == "a: CardRefused: no money"
    assert run.status.completion_time == NOW
    assert run.ids == ["1:1"]


def test_the_status_says_why_the_job_waits_and_until_when() -> None:
    run = retrying()
    run.turn(failure(1))
    assert run.condition(ConditionType.WAITING) == (True, "BackOff")
    assert run.status.message == "a failed (Broken: no); attempt 2 not before 2030-01-01T12:00:01.000Z"
    run.wake()
    assert run.condition(ConditionType.WAITING) is None
    assert run.status.message == "a is with pool a-pool, attempt 2"


def test_each_failed_attempt_and_the_end_is_told_once_as_an_event() -> None:
    run = retrying(limit=1)
    run.turn(failure(1))
    run.wake()
    run.turn(failure(2, 2))
    run.turn()
    assert [n.reason for n in run.notes] == [Reason.STEP_FAILED, Reason.JOB_FAILED]
    assert run.notes[-1].message == "a, attempt 2: Broken: no"


def test_a_code_of_ours_is_the_reason_of_its_event() -> None:
    run = retrying()
    run.turn(failure(1, code="ResultTooLarge"))
    run.turn(failure(2, 2, code="OutOfStock"))
    assert [n.reason for n in run.notes] == [Reason.RESULT_TOO_LARGE, Reason.STEP_FAILED]


def test_a_step_without_an_answer_by_its_deadline_is_tried_again_and_fails_in_the_end() -> None:
    run = retrying(limit=1, timeout=10)
    assert run.last.wake_at == NOW + seconds(10)
    run.wake()
    assert run.status.history[-1].reason == "Timeout"
    assert run.status.active[0].deadline is None, "the clock of an attempt starts when it is sent"
    run.wake()
    assert run.status.active[0].deadline == NOW + seconds(21)
    run.wake()
    assert run.status.state == "Failed"
    assert run.status.error is not None
    assert run.status.error.code == "Timeout"
    assert [n.reason for n in run.notes] == [Reason.STEP_TIMEOUT, Reason.JOB_FAILED]


def test_a_result_that_is_here_when_the_deadline_passes_counts() -> None:
    run = retrying(timeout=10)
    run.later(11).turn(ok(1))
    assert run.status.state == "InProgress.b"


def test_a_step_is_not_late_while_its_answer_cannot_come() -> None:
    run = retrying(timeout=10)
    run.epoch = None
    decision = run.later(100).turn()
    assert decision.status is None
    assert decision.wake_at is None, "the connection brings a turn"
    run.epoch = "e1"
    run.turn()
    assert run.status.history[-1].reason == "Timeout"


def test_an_answer_that_waited_in_the_queue_comes_before_a_deadline_that_passed_meanwhile() -> None:
    run = retrying(limit=0, timeout=10)
    run.later(100)
    run.late_from = run.now + seconds(15)
    decision = run.turn()
    assert (decision.status, decision.wake_at) == (None, run.late_from)
    run.later(3).turn(ok(1))
    assert run.status.state == "InProgress.b"


def test_a_step_whose_answer_is_not_in_the_queue_either_is_late_after_that() -> None:
    run = retrying(limit=0, timeout=10)
    run.later(100)
    run.late_from = run.now + seconds(15)
    run.turn()
    run.wake()
    assert run.status.error is not None
    assert run.status.error.code == "Timeout"


def test_what_is_due_and_cannot_be_sent_does_not_wake_the_job_again_and_again() -> None:
    """Without a connection or a pool the clock has nothing to add: the connection, or the pool, brings a turn."""
    run = retrying()
    run.turn(failure(1))
    run.later(100)
    run.epoch = None
    assert run.turn().wake_at is None
    run.epoch, run.missing_pools = "e1", {"a-pool"}
    assert run.turn().wake_at is None
    run.missing_pools = set()
    assert ids(run.turn(), first=True) == ["2:2"]


def test_an_overlong_message_is_cut_where_it_is_repeated_and_whole_in_the_error() -> None:
    run = retrying()
    run.turn(failure(1, message="x" * 4096, retryable=False))
    assert run.status.error is not None
    assert len(run.status.error.message) == 4096
    assert len(run.status.history[-1].message or "") == 1024
    assert len(run.status.message or "") <= 1024 + len("a: ")
