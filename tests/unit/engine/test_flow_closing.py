"""The end of a job: what undoes the states that are done, last first, and what runs whatever happened."""

from __future__ import annotations

from typing import Any

from mastercontrol.api.names import ConditionType, Phase, Reason, ResultReason
from mastercontrol.api.operation import Operation, OperationType
from mastercontrol.api.status import JobError
from mastercontrol.engine.facts import Limits
from unit.engine.builders import Raw, Run, catching, each, ok, parallel, retrying, seconds, state, step, written


def undone(name: str, by: str, **more: Any) -> Raw:
    """A Task that says what undoes it."""
    return step(name, compensate={"states": [step(by)], **more})


def closing(*states: Raw, on_exit: list[Raw] | None = None, **spec: Any) -> Run:
    """A job with its first step at its worker."""
    run = Run("unused", **spec)
    more: dict[str, Any] = {} if on_exit is None else {"onExit": {"states": on_exit}}
    run.definition = written(*states, **more)
    run.turn()
    return run


def trip(**spec: Any) -> Run:
    """A job that failed in its third step, after two that can be undone."""
    run = closing(undone("flight", "no-flight"), undone("hotel", "no-hotel"), step("pay"), **spec)
    run.done("flight", {"flight": 7})
    run.done("hotel", {"hotel": 8})
    return run


# -- onExit


def test_on_exit_runs_after_the_last_state_and_the_job_is_done_after_it() -> None:
    run = closing(step("a"), on_exit=[step("tidy")])
    run.done("a", "out")
    assert (run.status.state, run.status.phase) == ("InProgress.onExit", Phase.RUNNING)
    assert run.message("onExit.tidy").input == {"phase": "Succeeded", "output": "out", "error": None}
    run.done("onExit.tidy", "not the output of the job")
    assert run.ending == ("Done", "out")


def test_the_history_tells_which_attempt_led_to_the_closing() -> None:
    run = closing(step("a") | {"retry": retrying(1, 5)}, on_exit=[step("tidy")])
    run.broken("a")
    run.wake()
    run.done("a")
    lines = [(line.state, line.reason, line.attempt, line.worker) for line in run.status.history[2:]]
    assert lines == [
        ("InProgress.onExit", "StepSucceeded", 2, "worker-1"),
        ("InProgress.onExit.tidy", "Started", None, None),
    ]


def test_the_history_and_an_event_tell_what_made_a_job_close() -> None:
    run = closing(step("a") | {"retry": retrying(1, 5)}, on_exit=[step("tidy")])
    run.broken("a")
    run.wake()
    run.broken("a", "Lost")
    line = run.status.history[2]
    assert (line.state, line.reason, line.attempt) == ("InProgress.onExit", "Lost", 2)
    assert (line.worker, line.message) == ("worker-1", "no")
    assert run.notes[-1].message == "a, attempt 2: Lost: no; the job closes and then fails"
    run.done("onExit.tidy")
    assert (run.status.history[-1].state, run.status.history[-1].message) == ("Failed", "no")


def test_what_no_worker_did_makes_a_job_close_in_its_first_attempt() -> None:
    run = closing(state("Fail", "f", code="X", message="no y"), on_exit=[step("tidy")])
    assert run.notes[-1].message == "f, attempt 1: X: no y; the job closes and then fails"
    assert run.status.history[1].worker is None


def test_the_clean_up_may_make_as_many_transitions_as_the_job() -> None:
    def ending(*on_exit: Raw) -> tuple[str, Any]:
        run = Run("unused")
        run.definition = written(step("a"), onExit={"states": list(on_exit)}, maxTransitions=2)
        run.turn()
        run.done("a", "out")
        return run.ending

    assert ending(state("Pass", "p"), state("Pass", "q")) == ("Done", "out")
    assert ending(state("Pass", "p"), state("Pass", "q"), state("Pass", "r")) == ("Failed", "MaxTransitionsExceeded")


def test_on_exit_costs_one_write_for_each_of_its_steps() -> None:
    run = closing(step("a"), on_exit=[step("tidy"), step("tell")])
    for path in ("a", "onExit.tidy", "onExit.tell"):
        run.done(path)
    assert run.ending == ("Done", None)
    assert run.writes == 4


def test_on_exit_runs_after_a_failure_and_the_job_fails_with_it() -> None:
    run = closing(step("a"), step("never"), on_exit=[step("tidy", input={"why": "${error.code}", "of": "${job.name}"})])
    run.broken("a", "Lost")
    assert not run.status.ended
    assert run.message("onExit.tidy").input == {"why": "Lost", "of": "order-1"}
    run.done("onExit.tidy")
    assert run.ending == ("Failed", "Lost")
    assert run.status.error is not None
    assert run.status.error.state == "a"
    assert run.steps == ["a", "tidy"]


def test_on_exit_runs_when_the_user_cancels() -> None:
    run = closing(step("a"), on_exit=[step("tidy")])
    late = run.result("a")
    run.change(cancel=True).turn()
    assert run.paths == ["onExit.tidy"]
    assert [(line.state, line.reason, line.message) for line in run.status.history[1:]] == [
        ("InProgress.onExit", "Cancelled", "spec.cancel was set"),
        ("InProgress.onExit.tidy", "Started", None),
    ]
    assert run.steps == ["a"]  # what no result made due is committed before it is sent
    run.wake()
    assert run.message("onExit.tidy").input["phase"] == "Cancelled"
    assert run.turn(late).verdicts == (ResultReason.STALE,)
    run.done("onExit.tidy")
    assert (run.status.state, run.status.phase) == ("Cancelled", Phase.CANCELLED)
    assert [line.worker for line in run.status.history[1:3]] == [None, None]
    assert run.condition(ConditionType.FAILED) == (True, "Cancelled")


def test_a_cancelled_job_closes_once() -> None:
    run = closing(step("a"), on_exit=[step("tidy")])
    run.change(cancel=True).turn()
    run.wake()
    run.later(60).turn()
    assert run.steps == ["a", "tidy"]


def test_a_job_that_is_cancelled_while_it_closes_ends_as_it_would_have() -> None:
    run = closing(step("a"), on_exit=[step("tidy")])
    run.done("a", "out")
    run.change(cancel=True).turn()
    run.done("onExit.tidy")
    assert run.ending == ("Done", "out")


def test_a_job_that_never_began_has_nothing_to_close() -> None:
    run = Run("unused", cancel=True)
    run.definition = written(step("a"), onExit={"states": [step("tidy")]})
    run.turn()
    assert run.status.phase is Phase.CANCELLED
    assert run.steps == []


def test_a_cancelled_job_closes_although_it_is_suspended() -> None:
    run = closing(step("a"), on_exit=[step("tidy")])
    run.change(suspend=True).turn()
    run.change(cancel=True).turn()
    run.wake()
    run.done("onExit.tidy")
    assert run.status.phase is Phase.CANCELLED


def test_suspend_holds_the_closing_of_a_job_that_ended_by_itself() -> None:
    run = closing(step("a"), on_exit=[step("tidy"), step("tell")])
    run.done("a")
    run.change(suspend=True).turn()
    run.done("onExit.tidy")
    assert run.steps == ["a", "tidy"]
    run.change(suspend=False).turn()
    assert run.steps == ["a", "tidy", "tell"]


def test_on_exit_runs_when_the_job_is_out_of_time_and_is_not_bound_by_that_time() -> None:
    run = closing(step("a"), on_exit=[step("tidy")], active_deadline_seconds=10)
    run.later(10).turn()
    assert run.notes[-1].reason is Reason.DEADLINE_EXCEEDED
    run.wake()
    run.later(100).turn()
    assert run.paths == ["onExit.tidy"]
    run.done("onExit.tidy")
    assert run.ending == ("Failed", "DeadlineExceeded")
    assert run.status.error is not None
    assert run.status.error.state == "a", "where it was when its time was over"


def test_a_job_whose_clean_up_fails_did_not_succeed() -> None:
    run = closing(step("a"), on_exit=[step("tidy")])
    run.done("a", "out")
    run.broken("onExit.tidy", "Stuck")
    assert run.ending == ("Failed", "Stuck")
    assert run.status.error == JobError("Stuck", "no", "onExit")
    assert "clean-up failed: onExit (onExit): Stuck: no" in (run.status.message or "")
    assert Reason.CLEAN_UP_FAILED in [note.reason for note in run.notes]


def test_a_failed_clean_up_does_not_hide_why_the_job_failed() -> None:
    run = closing(step("a"), on_exit=[step("tidy")])
    run.broken("a", "Lost")
    run.broken("onExit.tidy", "Stuck")
    assert run.ending == ("Failed", "Lost")
    assert "Stuck" in (run.status.message or "")


def test_states_of_on_exit_are_retried_and_caught_as_others_are() -> None:
    tidy = step("tidy", retry=retrying(1, 5), catch=catching("tell"))
    run = closing(step("a"), on_exit=[tidy, step("tell")])
    run.done("a", "out")
    run.broken("onExit.tidy", "Stuck")
    assert run.last.wake_at is not None
    run.wake()
    run.broken("onExit.tidy", "Stuck")
    assert run.message("onExit.tell").input["code"] == "Stuck"
    run.done("onExit.tell")
    assert run.ending == ("Done", "out")


def test_a_clean_up_in_its_back_off_says_until_when_though_the_history_forgot_why() -> None:
    slow = step("slow") | {"retry": retrying(1, 300)}
    run = closing(step("a"), on_exit=[parallel("both", [slow], [step(f"s{i}") for i in range(30)])])
    run.done("a")
    run.broken("onExit.both[0].slow")
    run.done("onExit.both[1].s0")
    assert run.status.message == (
        "onExit.both[0].slow failed (Broken: no); attempt 2 not before 2030-01-01T12:05:00.000Z"
    )
    for i in range(1, 25):
        run.done(f"onExit.both[1].s{i}")
    assert run.status.active[0].path == "onExit.both[0].slow"
    assert run.status.message == "onExit.both[0].slow failed; attempt 2 not before 2030-01-01T12:05:00.000Z"


def test_an_error_that_on_exit_catches_is_the_one_in_scope_after_it() -> None:
    tidy = step("tidy", catch=catching("mend"), end=True)
    run = closing(step("a"), on_exit=[tidy, step("mend"), step("tell", input="${error.code}")])
    run.broken("a", "Lost")
    run.broken("onExit.tidy", "Stuck")
    run.done("onExit.mend")
    assert run.message("onExit.tell").input == "Stuck"


def test_on_exit_may_hold_every_kind_of_state() -> None:
    fan = parallel("fan", [step("x")], [state("Wait", "w", seconds=5)])
    run = closing(step("a"), on_exit=[fan, each("each", [1, 2], step("y")), state("Pass", "p")])
    run.done("a", "out")
    assert run.paths == ["onExit.fan[0].x", "onExit.fan[1].w"]
    run.done("onExit.fan[0].x")
    run.later(5).turn()
    run.wake()
    assert sorted(run.paths) == ["onExit.each[0].y", "onExit.each[1].y"]
    run.turn(run.result("onExit.each[0].y"), run.result("onExit.each[1].y"))
    assert run.ending == ("Done", "out")


def test_on_exit_reads_the_outputs_of_the_states_that_were_done() -> None:
    run = closing(step("a"), step("b"), step("c"), on_exit=[step("tidy", input="${steps.a.output}")])
    run.done("a", "of a")
    assert dict(run.status.scope.outputs) == {"a": "of a"}
    run.done("b", "of b")
    assert dict(run.status.scope.outputs) == {"a": "of a", "b": "of b"}
    run.broken("c")
    assert run.message("onExit.tidy").input == "of a"


def test_on_exit_of_a_cancelled_job_reads_the_outputs_of_the_states_that_were_done() -> None:
    run = closing(step("a"), step("b"), on_exit=[step("tidy", input="${steps.a.output}")])
    run.done("a", "of a")
    run.change(cancel=True).turn()
    run.wake()
    assert run.message("onExit.tidy").input == "of a"


def test_an_endless_clean_up_ends_by_its_own_count() -> None:
    run = Run("unused")
    spin = [state("Pass", "spin"), state("Choice", "more", choices=[{"when": "true", "next": "spin"}], default="x")]
    run.definition = written(step("a"), onExit={"states": [*spin, step("x")]}, maxTransitions=50)
    run.turn()
    run.done("a", "out")
    assert run.ending == ("Failed", "MaxTransitionsExceeded")


def test_a_job_of_too_many_transitions_still_closes() -> None:
    run = Run("unused")
    run.definition = written(step("a"), step("b"), step("c"), onExit={"states": [step("tidy")]}, maxTransitions=2)
    run.turn()
    run.done("a")
    run.done("b")
    assert run.paths == ["onExit.tidy"]
    run.done("onExit.tidy")
    assert run.ending == ("Failed", "MaxTransitionsExceeded")


def test_a_status_that_is_too_large_lets_the_job_close() -> None:
    run = closing(step("a"), step("b", input="${steps.a.output}"), on_exit=[step("tidy", input={})])
    run.limits = Limits(status_bytes=6000)
    run.done("a", "x" * 6000)
    assert run.paths == ["onExit.tidy"]
    run.wake()
    run.done("onExit.tidy")
    assert run.ending == ("Failed", "StatusTooLarge")


# -- compensation


def test_states_that_are_done_are_undone_in_reverse_order() -> None:
    run = trip()
    run.broken("pay", "Declined")
    assert run.status.state == "InProgress.compensate"
    assert run.paths == ["compensate[1].no-hotel"]
    assert run.message("compensate[1].no-hotel").input == {"hotel": 8}
    run.done("compensate[1].no-hotel")
    assert run.message("compensate[0].no-flight").input == {"flight": 7}
    run.done("compensate[0].no-flight")
    assert run.ending == ("Failed", "Declined")
    assert run.steps == ["flight", "hotel", "pay", "no-hotel", "no-flight"]


def test_each_compensation_costs_one_write() -> None:
    run = trip()
    run.broken("pay")
    run.done("compensate[1].no-hotel")
    run.done("compensate[0].no-flight")
    assert run.writes == 6


def test_a_job_that_ends_well_undoes_nothing() -> None:
    run = trip()
    run.done("pay", "paid")
    assert run.ending == ("Done", "paid")
    assert run.status.compensations == ()


def test_a_state_that_is_not_done_is_not_undone() -> None:
    run = closing(undone("flight", "no-flight"), undone("hotel", "no-hotel"))
    run.done("flight")
    run.broken("hotel")
    run.done("compensate[0].no-flight")
    assert run.ending == ("Failed", "Broken")
    assert run.steps == ["flight", "hotel", "no-flight"]


def test_a_compensation_gets_what_its_input_said_when_the_state_was_done() -> None:
    flight = step("flight", input={"to": "Oslo"}, output="${result.id}")
    flight["compensate"] = {"input": {"id": "${result.id}", "to": "${input.to}"}, "states": [step("undo")]}
    run = closing(flight, step("pay"))
    run.done("flight", {"id": 7})
    run.broken("pay")
    assert run.message("compensate[0].undo").input == {"id": 7, "to": "Oslo"}


def test_an_input_of_a_compensation_that_cannot_be_evaluated_fails_its_state() -> None:
    flight = step("flight", compensate={"input": "${result.nope}", "states": [step("undo")]})
    run = closing(flight, step("pay"))
    run.done("flight", {"id": 7})
    assert run.ending == ("Failed", "States.QueryEvaluationError")


def test_compensations_run_before_on_exit() -> None:
    run = closing(undone("flight", "no-flight"), step("pay"), on_exit=[step("tidy")])
    run.done("flight")
    run.broken("pay")
    run.done("compensate[0].no-flight")
    assert run.status.state == "InProgress.onExit"
    run.done("onExit.tidy")
    assert run.ending == ("Failed", "Broken")


def test_the_history_tells_that_a_compensation_failed_before_on_exit() -> None:
    run = closing(undone("flight", "no-flight"), step("pay"), on_exit=[step("tidy")])
    run.done("flight")
    run.broken("pay")
    run.broken("compensate[0].no-flight", "Stuck")
    lines = [(line.state, line.reason, line.worker) for line in run.status.history[-2:]]
    assert lines == [("InProgress.onExit", "Stuck", None), ("InProgress.onExit.tidy", "Started", None)]
    assert run.notes[-1].message == "compensate[0], attempt 1: Stuck: no; the rest of the clean-up goes on"


def test_a_cancelled_job_is_undone() -> None:
    run = trip()
    run.change(cancel=True).turn()
    run.wake()
    run.done("compensate[1].no-hotel")
    run.done("compensate[0].no-flight")
    assert run.status.phase is Phase.CANCELLED


def test_a_job_that_is_cancelled_before_anything_was_done_ends_at_once() -> None:
    run = closing(undone("flight", "no-flight"), step("pay"))
    run.change(cancel=True).turn()
    assert run.status.phase is Phase.CANCELLED


def test_a_job_that_is_out_of_time_is_undone() -> None:
    run = trip(active_deadline_seconds=10)
    run.later(10).turn()
    run.wake()
    run.done("compensate[1].no-hotel")
    run.done("compensate[0].no-flight")
    assert run.ending == ("Failed", "DeadlineExceeded")


def test_a_compensation_that_fails_does_not_stop_the_others() -> None:
    run = trip()
    run.broken("pay", "Declined")
    run.broken("compensate[1].no-hotel", "Stuck")
    assert run.paths == ["compensate[0].no-flight"]
    run.done("compensate[0].no-flight")
    assert run.ending == ("Failed", "Declined")
    assert "clean-up failed: hotel (compensate[1]): Stuck: no" in (run.status.message or "")
    assert any("Stuck" in note.message for note in run.notes if note.reason is Reason.CLEAN_UP_FAILED)


def test_a_compensation_that_fails_is_named_by_the_state_that_it_undoes() -> None:
    run = trip()
    run.broken("pay", "Declined")
    run.done("compensate[1].no-hotel")
    run.broken("compensate[0].no-flight", "Stuck")
    assert "clean-up failed: flight (compensate[0]): Stuck: no" in (run.status.message or "")


def test_a_caught_failure_undoes_nothing() -> None:
    run = closing(undone("flight", "no-flight"), step("pay", catch=catching("ask")), step("ask"))
    run.done("flight")
    run.broken("pay")
    run.done("ask", "fine")
    assert run.ending == ("Done", "fine")


def test_a_state_that_was_done_twice_is_undone_twice() -> None:
    again = [{"when": "vars.i < 2", "next": "book"}]
    run = closing(
        state("Pass", "begin", assign={"i": 0}),
        step("book", assign={"i": "${vars.i + 1}"}, compensate={"states": [step("undo")]}),
        state("Choice", "more", choices=again, default="pay"),
        step("pay"),
    )
    run.done("book", "first")
    run.done("book", "second")
    run.broken("pay")
    assert run.message("compensate[0].undo").input == "second"
    first = run.result("compensate[0].undo")
    run.turn(first)
    assert run.message("compensate[0].undo").input == "first"
    assert run.turn(first).verdicts in [(ResultReason.STALE,), (ResultReason.REPUBLISHED,)]
    run.done("compensate[0].undo")
    assert run.ending == ("Failed", "Broken")


def test_items_of_a_map_are_undone_in_the_reverse_order_of_their_ends() -> None:
    run = closing(each("each", ["x", "y", "z"], undone("book", "undo")), step("pay"))
    run.done("each[2].book", "of z")
    run.done("each[0].book", "of x")
    run.done("each[1].book", "of y")
    run.broken("pay")
    inputs = []
    while not run.status.ended:
        inputs.append(run.message("compensate[0].undo").input)
        run.done("compensate[0].undo")
    assert inputs == ["of y", "of x", "of z"]


def test_what_was_done_in_a_parallel_that_fails_is_undone() -> None:
    run = closing(parallel("fan", [undone("book", "undo"), step("next")], [step("b")]))
    run.done("fan[0].book", 1)
    run.broken("fan[1].b")
    run.done("compensate[0].undo")
    assert run.ending == ("Failed", "Broken")


def test_a_whole_parallel_is_undone_as_one() -> None:
    fan = parallel("fan", [step("x")], [step("y")])
    run = closing({**fan, "compensate": {"states": [step("undo")]}}, step("pay"))
    run.done("fan[0].x", 1)
    run.done("fan[1].y", 2)
    run.broken("pay")
    assert run.message("compensate[0].undo").input == [1, 2]


def test_a_compensation_may_have_several_states_and_retries() -> None:
    block = [step("call", retry=retrying(1, 5)), step("file")]
    run = closing(step("book", compensate={"states": block}), step("pay"))
    run.done("book")
    run.broken("pay")
    run.broken("compensate[0].call")
    assert run.last.wake_at == run.now + seconds(5)
    run.wake()
    run.done("compensate[0].call", "called")
    assert run.message("compensate[0].file").input == "called"
    run.done("compensate[0].file")
    assert run.ending == ("Failed", "Broken")


# -- operations


def ask(run: Run, kind: OperationType, **more: Any) -> None:
    run.change(operations=(*run.job.spec.operations, Operation(kind, **more))).turn()


def test_a_job_that_only_cleaned_up_is_retried_where_it_failed_and_cleans_up_again() -> None:
    fan = parallel("fan", [step("x")], [step("y")])
    run = closing(fan, step("b"), on_exit=[step("tidy")])
    run.done("fan[0].x", "X")
    run.broken("fan[1].y")
    assert run.status.message == "onExit.tidy is with pool p"
    run.done("onExit.tidy")
    assert run.ending == ("Failed", "Broken")
    ask(run, OperationType.RETRY)
    assert run.paths == ["fan[1].y"]
    run.turn()
    run.done("fan[1].y", "Y")
    assert run.message("b").input == ["X", "Y"]
    run.done("b", "out")
    run.done("onExit.tidy")
    assert run.ending == ("Done", "out")


def test_a_job_that_was_undone_is_not_retried_but_begun_again() -> None:
    run = trip()
    run.broken("pay")
    run.done("compensate[1].no-hotel")
    run.done("compensate[0].no-flight")
    ask(run, OperationType.RETRY)
    assert run.ending == ("Failed", "Broken")
    assert "it is not kept where the job stood, as that was undone" in run.notes[-1].message
    ask(run, OperationType.RESTART)
    run.turn()
    for path in ("flight", "hotel", "pay"):
        run.done(path, path)
    assert run.ending == ("Done", "pay")


def test_a_job_that_was_undone_keeps_nothing_of_it() -> None:
    run = trip()
    run.broken("pay")
    assert (run.status.resumable, run.status.groups) == ((), ())
    run.done("compensate[1].no-hotel")
    run.done("compensate[0].no-flight")
    assert run.status.scope.is_bare
    assert (run.status.outcome, run.status.compensations) == (None, ())


def test_a_clean_up_that_hangs_is_skipped() -> None:
    run = closing(step("a"), on_exit=[step("tidy")])
    run.done("a", "out")
    ask(run, OperationType.SKIP, state="onExit.tidy")
    assert run.ending == ("Done", "out")


def test_the_reason_of_a_skip_that_leads_to_the_closing_stands_in_the_history() -> None:
    run = closing(step("a"), on_exit=[step("tidy")])
    ask(run, OperationType.SKIP, state="a", reason="it hangs")
    line = run.status.history[1]
    assert (line.state, line.reason, line.message) == ("InProgress.onExit", "Skipped", "it hangs")


def test_a_job_that_is_cancelled_and_told_to_skip_closes_first() -> None:
    run = closing(step("a"), step("b"), on_exit=[step("tidy")])
    run.change(cancel=True)
    ask(run, OperationType.SKIP, state="a")
    assert run.paths == ["onExit.tidy"]
    assert run.status.operations_taken == 0, "that has a turn of its own"
    run.wake()
    assert "the job is not in 'a'" in run.notes[-1].message
    run.wake()
    run.done("onExit.tidy")
    assert run.status.phase is Phase.CANCELLED


def test_a_job_that_is_cancelled_and_has_nothing_to_close_refuses_an_operation_in_the_same_write() -> None:
    run = closing(step("a"), step("b"))
    run.change(cancel=True)
    ask(run, OperationType.SKIP, state="a")
    assert run.status.phase is Phase.CANCELLED
    assert run.status.operations_taken == 1
    assert run.writes == 2


# -- deaths


def test_a_lost_publish_of_a_compensation_is_mended_by_the_result_that_caused_it() -> None:
    run = trip()
    cause = run.error("pay")
    run.turn(cause)
    sent = len(run.sent)
    assert run.turn(cause).verdicts == (ResultReason.REPUBLISHED,)
    assert [m.step for m in run.sent[sent:]] == ["no-hotel"]


def test_what_is_still_to_be_undone_survives_another_leader() -> None:
    run = trip()
    run.broken("pay")
    run.epoch = "e2"
    run.turn()
    assert [m.step for m in run.sent][-2:] == ["no-hotel", "no-hotel"]
    run.turn(ok(run.at("compensate[1].no-hotel").seq, epoch="e2"))
    run.done("compensate[0].no-flight")
    assert run.ending == ("Failed", "Broken")


def test_the_history_tells_how_a_job_closed() -> None:
    run = trip()
    run.broken("pay", "Declined")
    run.done("compensate[1].no-hotel")
    run.done("compensate[0].no-flight")
    lines = [(line.state, line.reason) for line in run.status.history]
    assert lines[3:] == [
        ("InProgress.compensate", "Declined"),
        ("InProgress.compensate[1].no-hotel", "Started"),
        ("InProgress.compensate[1]", "StepSucceeded"),
        ("InProgress.compensate[0].no-flight", "Started"),
        ("InProgress.compensate[0]", "StepSucceeded"),
        ("Failed", "Declined"),
    ]
    assert [line.seq for line in run.status.history] == list(range(1, run.status.sequence + 1))
