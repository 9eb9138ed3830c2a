"""Parallel: branches, their join, and what becomes of them when one fails."""

from __future__ import annotations

from mastercontrol.api.names import ResultReason
from unit.engine.builders import NOW, Run, catching, failure, ok, parallel, retrying, seconds, state, step


def test_all_branches_begin_at_once_with_the_input_of_the_state() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")], input={"for": "${input.n}"}), input={"n": 1})
    assert run.steps == ["a", "b"]
    assert [m.input for m in run.sent] == [{"for": 1}] * 2
    assert len({m.id for m in run.sent}) == 2
    assert run.status.message == "fan: 0 of 2 done, 2 at work"


def test_the_outputs_are_joined_in_the_order_of_the_branches() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")], [state("Pass", "c", output="c")]), step("after"))
    run.done("fan[1].b", "b")
    assert run.status.state == "InProgress.fan"
    run.done("fan[0].a", "a")
    assert run.message("after").input == ["a", "b", "c"]
    assert (run.status.groups, run.status.scopes) == ((), ())


def test_a_branch_goes_from_step_to_step_by_itself() -> None:
    run = Run.of(parallel("fan", [step("a"), step("b")], [step("c")]))
    run.done("fan[0].a", "of a")
    assert run.paths == ["fan[1].c", "fan[0].b"]
    assert run.message("fan[0].b").input == "of a"


def test_a_parallel_of_pass_states_is_done_in_one_write() -> None:
    run = Run.of(parallel("fan", [state("Pass", "a", output=1)], [state("Pass", "b", output=2)]))
    assert run.ending == ("Done", [1, 2])
    assert run.writes == 1


def test_two_branches_that_move_in_one_turn_have_steps_of_different_numbers() -> None:
    run = Run.of(parallel("fan", [state("Pass", "p"), step("a")], [state("Pass", "q"), step("b")]))
    assert len(set(run.ids)) == 2
    run.done("fan[0].a", "for a")
    run.done("fan[1].b", "for b")
    assert run.ending == ("Done", ["for a", "for b"])


def test_the_history_counts_each_transition_of_a_branch_once_and_tells_which_attempt_ended_it() -> None:
    run = Run.of(parallel("fan", [step("a") | {"retry": retrying(1, 5)}], [step("b")]))
    run.broken("fan[0].a")
    run.wake()
    run.done("fan[0].a")
    run.done("fan[1].b")
    lines = [(line.seq, line.state, line.attempt) for line in run.status.history]
    assert lines == [
        (1, "InProgress.fan", None),
        (2, "InProgress.fan[0].a", None),
        (3, "InProgress.fan[1].b", None),
        (4, "InProgress.fan[0].a", 1),
        (5, "InProgress.fan[0]", 2),
        (6, "InProgress.fan[1]", None),
        (7, "Done", None),
    ]
    assert run.status.sequence == 7


def test_results_of_several_branches_that_come_together_cost_one_write() -> None:
    run = Run.of(parallel("fan", *([step(f"s{i}")] for i in range(5))))
    results = [run.result(path, path) for path in run.paths]
    writes = run.writes
    run.turn(*results)
    assert run.writes == writes + 1
    assert run.ending == ("Done", [f"fan[{i}].s{i}" for i in range(5)])


def test_a_branch_that_fails_ends_the_others_and_the_job() -> None:
    run = Run.of(parallel("fan", [step("a"), step("never")], [step("b")]))
    run.broken("fan[1].b", "Lost")
    assert run.ending == ("Failed", "Lost")
    assert run.status.active == ()


def test_the_history_tells_how_a_branch_failed() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")]))
    run.broken("fan[1].b", "Lost")
    lines = [(line.seq, line.state, line.reason, line.attempt, line.message) for line in run.status.history]
    assert lines[3:] == [
        (4, "InProgress.fan[1].b", "Lost", 1, "no"),
        (5, "Failed", "Lost", None, "no"),
    ]
    assert run.status.history[3].worker == "worker-1"


def test_a_late_result_of_a_branch_that_was_ended_is_stale() -> None:
    run = Run.of(parallel("fan", [step("a"), step("never")], [step("b")], catch=catching("h"), end=True), step("h"))
    late = run.result("fan[0].a")
    run.broken("fan[1].b")
    assert run.paths == ["h"]
    decision = run.turn(late)
    assert decision.verdicts == (ResultReason.STALE,)
    assert decision.status is None
    assert run.steps == ["a", "b", "h"]


def test_results_of_one_turn_after_a_failure_in_it_are_stale() -> None:
    run = Run.of(parallel("fan", [step("a"), step("never")], [step("b")], catch=catching("h"), end=True), step("h"))
    late = run.result("fan[0].a")
    decision = run.turn(run.error("fan[1].b"), late)
    assert decision.verdicts == (ResultReason.APPLIED, ResultReason.STALE)
    assert run.paths == ["h"]


def test_what_a_branch_made_due_in_the_turn_that_ended_it_is_not_sent() -> None:
    run = Run.of(parallel("fan", [step("a"), step("never")], [step("b")], catch=catching("h"), end=True), step("h"))
    run.turn(run.result("fan[0].a"), run.error("fan[1].b"))
    assert run.steps == ["a", "b", "h"]


def test_a_branch_on_its_way_ends_with_one_that_fails_in_the_same_turn() -> None:
    stop = [state("Fail", "stop", code="Stop")]
    run = Run.of(parallel("fan", stop, [state("Pass", "p"), step("z")], catch=catching("h"), end=True), step("h"))
    assert run.paths == ["h"]
    assert run.steps == ["h"]


def test_a_caught_failure_goes_on_with_the_error_of_the_branch() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")], catch=catching("h", "Lost"), end=True), step("h"))
    run.broken("fan[1].b", "Lost")
    assert run.message("h").input == {"code": "Lost", "message": "no", "state": "fan"}


def test_a_failure_that_a_branch_catches_itself_concerns_nobody_else() -> None:
    branch = [step("a", catch=catching("mend"), end=True), step("mend")]
    run = Run.of(parallel("fan", branch, [step("b")]))
    run.broken("fan[0].a")
    assert run.paths == ["fan[1].b", "fan[0].mend"]
    run.done("fan[0].mend", "mended")
    run.done("fan[1].b", "b")
    assert run.ending == ("Done", ["mended", "b"])


def test_a_retry_begins_all_branches_again_after_its_back_off() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")], retry=retrying(1, 10)))
    run.done("fan[0].a", "thrown away")
    run.broken("fan[1].b")
    assert run.paths == ["fan"]
    assert run.last.wake_at == NOW + seconds(10)
    run.wake()
    assert sorted(run.paths) == ["fan[0].a", "fan[1].b"]
    run.wake()
    assert run.steps == ["a", "b", "a", "b"]
    assert len(set(run.ids)) == 4
    assert [m.attempt for m in run.sent] == [1] * 4, "of the step it is the first one"
    run.done("fan[0].a", "again")
    run.done("fan[1].b", "well")
    assert run.ending == ("Done", ["again", "well"])


def test_a_retry_of_the_whole_ends_when_its_limit_is_reached() -> None:
    run = Run.of(parallel("fan", [step("a")], retry=retrying(2, 0)))
    for _ in range(2):
        run.broken("fan[0].a")
        run.wake()
        run.wake()
    run.broken("fan[0].a")
    assert run.ending == ("Failed", "Broken")


def test_each_rule_of_a_parallel_counts_its_own_failures() -> None:
    rules = [{"errors": [name], **retrying(1, 5)} for name in ("A", "B")]
    run = Run.of(parallel("fan", [step("a")], retry={"rules": rules, "limit": 0}))
    for code in ("A", "B"):
        run.broken("fan[0].a", code)
        run.wake()
        run.wake()
    run.broken("fan[0].a", "A")
    assert run.ending == ("Failed", "A")


def test_the_attempt_that_ended_a_job_stands_in_its_last_line() -> None:
    run = Run.of(step("a") | {"retry": retrying(1, 5)})
    run.broken("a")
    run.wake()
    run.done("a")
    assert (run.status.history[-1].state, run.status.history[-1].attempt) == ("Done", 2)


def test_a_fail_state_in_a_branch_is_retried_by_the_whole() -> None:
    run = Run.of(parallel("fan", [step("a"), state("Fail", "f", code="Again")], retry=retrying(1, 5)))
    run.done("fan[0].a")
    assert run.paths == ["fan"]
    run.wake()
    run.wake()
    run.done("fan[0].a")
    assert run.ending == ("Failed", "Again")


def test_an_error_that_a_worker_calls_final_is_not_retried_by_the_whole() -> None:
    run = Run.of(parallel("fan", [step("a")], retry=retrying(3)))
    run.broken("fan[0].a", retryable=False)
    assert run.ending == ("Failed", "Broken")


def test_a_result_of_the_attempt_before_is_stale() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")], retry=retrying(1, 0)))
    late = run.result("fan[0].a", "late")
    run.broken("fan[1].b")
    assert run.turn(late).verdicts == (ResultReason.STALE,)
    run.wake()
    assert run.turn(late).verdicts == (ResultReason.STALE,)
    assert "fan[0].a" in run.paths


def test_a_step_of_a_branch_is_retried_while_the_others_go_on() -> None:
    run = Run.of(parallel("fan", [step("a") | {"retry": retrying(1, 10)}], [step("b"), step("c")]))
    run.broken("fan[0].a")
    assert run.at("fan[0].a").attempt == 2
    run.done("fan[1].b")
    assert "fan[1].c" in run.paths
    run.wake()
    assert run.message("fan[0].a").attempt == 2


def test_a_step_of_a_branch_that_times_out_fails_it() -> None:
    run = Run.of(
        parallel("fan", [step("a", timeoutSeconds=5)], [step("b")], catch=catching("h", "States.Timeout"), end=True),
        step("h"),
    )
    run.wake()
    assert run.paths == ["h"]
    assert run.turn(ok(2)).verdicts == (ResultReason.STALE,)


def test_parallels_nest() -> None:
    inner = parallel("in", [step("a")], [step("b")])
    run = Run.of(parallel("out", [inner, step("c")], [step("d")]))
    assert run.paths == ["out[1].d", "out[0].in[0].a", "out[0].in[1].b"]
    run.done("out[0].in[0].a", "a")
    run.done("out[0].in[1].b", "b")
    assert run.message("out[0].c").input == ["a", "b"]
    run.done("out[1].d", "d")
    run.done("out[0].c", "c")
    assert run.ending == ("Done", ["c", "d"])


def test_an_error_comes_up_to_the_first_that_catches_it() -> None:
    inner = parallel("in", [step("a")], catch=catching("near", "Other"), end=True)
    outer = parallel("out", [inner, step("near")], [step("d")], catch=catching("far"), end=True)
    run = Run.of(outer, step("far"))
    run.broken("out[0].in[0].a", "Lost")
    assert run.paths == ["far"]
    assert run.message("far").input["state"] == "out"


def test_a_job_that_fails_names_the_state_at_the_top() -> None:
    run = Run.of(parallel("fan", [step("a")]))
    run.broken("fan[0].a", "Lost")
    assert run.status.error is not None
    assert run.status.error.state == "fan"
    assert [line.state for line in run.status.history[-2:]] == ["InProgress.fan[0].a", "Failed"]


def test_a_result_of_a_number_that_no_step_has_is_foreign() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")]))
    run.fresh = True
    assert run.turn(failure(1), failure(99)).verdicts == (ResultReason.STALE, ResultReason.FOREIGN)
    assert run.paths == ["fan[0].a", "fan[1].b"]


def test_an_expression_without_a_value_in_a_branch_is_retried_by_the_whole() -> None:
    run = Run.of(parallel("fan", [step("a", output="${result.n}")], retry=retrying(1, 0)))
    run.done("fan[0].a", {})
    assert run.paths == ["fan"], "its steps may give something else next time"
    run.wake()
    run.wake()
    run.done("fan[0].a", {"n": 5})
    assert run.ending == ("Done", [5])


def test_nothing_is_left_of_the_branches_that_were_ended() -> None:
    branch = [step("a"), step("b"), step("c", input="${steps.a.output}")]
    run = Run.of(parallel("fan", branch, [step("d")], catch=catching("h"), end=True), step("h"))
    run.done("fan[0].a", "A")
    assert run.status.scopes != ()
    run.broken("fan[1].d")
    assert run.paths == ["h"]
    assert (run.status.groups, run.status.scopes) == ((), ())
