"""Signal: a job waits for an outside event."""

from __future__ import annotations

from mastercontrol.api.job import Signal
from mastercontrol.api.names import ConditionType
from unit.engine.builders import NOW, Run, catching, each, parallel, seconds, state, step

APPROVED = Signal("approval", {"by": "Ann"})


def waiting(**more: object) -> Run:
    return Run.of(state("Signal", "ask", signal="approval", **more), step("after"))


def test_a_signal_state_waits_and_says_for_what() -> None:
    run = waiting()
    assert run.paths == ["ask"]
    assert run.last.wake_at is None
    assert run.condition(ConditionType.WAITING) == (True, "Signal")
    assert run.status.message == "ask waits for the signal 'approval'"


def test_a_signal_state_says_until_when_it_waits() -> None:
    assert waiting(timeoutSeconds=60).status.message == (
        "ask waits for the signal 'approval' until 2030-01-01T12:01:00.000Z"
    )


def test_the_payload_of_the_signal_is_the_output() -> None:
    run = waiting()
    run.change(signals=(APPROVED,)).turn()
    assert run.paths == ["after"]
    run.wake()
    assert run.message("after").input == {"by": "Ann"}
    assert run.condition(ConditionType.WAITING) is None


def test_a_signal_that_was_sent_before_is_taken_when_its_state_is_entered() -> None:
    run = Run.of(step("a"), state("Signal", "ask", signal="approval"), signals=(APPROVED,))
    run.done("a")
    run.wake()
    assert run.ending == ("Done", {"by": "Ann"})
    assert run.now == NOW


def test_a_signal_without_a_name_of_its_own_has_that_of_its_state() -> None:
    run = Run.of(state("Signal", "approval"))
    run.change(signals=(APPROVED,)).turn()
    assert run.ending == ("Done", {"by": "Ann"})


def test_a_signal_of_another_name_changes_nothing() -> None:
    run = waiting()
    run.change(signals=(Signal("hello"),)).turn()
    assert run.paths == ["ask"]


def test_each_signal_is_taken_once() -> None:
    run = Run.of(state("Signal", "one", signal="go"), state("Signal", "two", signal="go"))
    run.change(signals=(Signal("go", 1),)).turn()
    run.turn()
    assert run.paths == ["two"]
    run.change(signals=(Signal("go", 1), Signal("go", 2))).turn()
    assert run.ending == ("Done", 2)


def test_two_branches_that_wait_for_one_name_take_one_signal_each() -> None:
    run = Run.of(parallel("fan", [state("Signal", "a", signal="go")], [state("Signal", "b", signal="go")]))
    run.change(signals=(Signal("go", 1),)).turn()
    assert run.paths == ["fan[1].b"]
    run.change(signals=(Signal("go", 1), Signal("go", 2))).turn()
    assert run.ending == ("Done", [1, 2])


def test_items_may_wait_for_a_signal_each() -> None:
    run = Run.of(each("m", ["x", "y"], state("Signal", "s", output="${item}")))
    run.change(signals=(Signal("s"), Signal("s"))).turn()
    assert run.ending == ("Done", ["x", "y"])


def test_a_signal_that_does_not_come_in_time_is_an_error() -> None:
    run = waiting(timeoutSeconds=60)
    assert run.last.wake_at == NOW + seconds(60)
    run.wake()
    assert run.ending == ("Failed", "Timeout")


def test_a_signal_that_does_not_come_in_time_can_be_caught() -> None:
    rule = catching("late", "States.Timeout")
    run = Run.of(state("Signal", "ask", timeoutSeconds=60, catch=rule, end=True), step("late"))
    run.wake()
    run.wake()
    error = run.message("late").input
    assert (error["code"], error["state"]) == ("Timeout", "ask")
    assert run.at("late").deadline is None


def test_a_signal_that_does_not_come_in_time_is_no_failed_task() -> None:
    run = waiting(timeoutSeconds=60, catch=catching("after", "States.TaskFailed"))
    run.wake()
    assert run.ending == ("Failed", "Timeout")


def test_no_worker_stands_in_the_history_of_what_no_worker_did() -> None:
    came, late = waiting(), waiting(timeoutSeconds=60)
    came.change(signals=(APPROVED,)).turn()
    late.wake()
    assert [line.worker for run in (came, late) for line in run.status.history] == [None] * 4


def test_a_signal_that_came_in_time_counts_though_it_is_seen_late() -> None:
    run = waiting(timeoutSeconds=60)
    run.change(signals=(APPROVED,)).later(61).turn()
    assert run.paths == ["after"]


def test_a_signal_is_not_taken_while_the_job_is_suspended() -> None:
    run = waiting(timeoutSeconds=60).change(suspend=True)
    run.turn()
    run.change(signals=(APPROVED,)).later(100).turn()
    assert run.paths == ["ask"]
    assert run.last.wake_at is None, "or it would be woken again and again"
    run.change(suspend=False).turn()
    assert run.paths == ["after"]


def test_a_signal_whose_input_cannot_be_evaluated_fails_before_it_waits() -> None:
    run = Run.of(state("Signal", "ask", input="${input.nope}"))
    assert run.ending == ("Failed", "States.QueryEvaluationError")


def test_a_signal_for_a_cancelled_job_changes_nothing() -> None:
    run = waiting().change(cancel=True, signals=(APPROVED,))
    run.turn()
    assert run.status.state == "Cancelled"
    assert run.status.signals_taken == ()
