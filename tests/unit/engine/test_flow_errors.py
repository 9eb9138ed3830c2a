"""Retry and catch: which rule is for which error, and what a loop may cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mastercontrol.api.names import ResultReason
from mastercontrol.engine import entering
from unit.engine.builders import NOW, Raw, Run, catching, retrying, seconds, state, step


def ruled(*rules: Raw, **more: Any) -> Run:
    """A step with these retry rules and none for other errors."""
    return Run.of({"name": "a", "type": "Task", "pool": "p", "retry": {"rules": list(rules), "limit": 0}} | more)


def rule(*errors: str, limit: int = 3, seconds: float = 0) -> Raw:
    return retrying(limit, seconds) | {"errors": list(errors)}


def again(run: Run, code: str, **more: Any) -> Run:
    """The step fails, and its next attempt, if there is one, is at its worker."""
    run.broken("a", code, **more)
    if not run.status.ended:
        run.wake()
    return run


# -- retry


def test_the_first_rule_that_matches_says_how_long_to_wait() -> None:
    run = ruled(rule("A", seconds=5), rule("B", seconds=7), rule("States.ALL", seconds=11))
    run.broken("a", "B")
    assert run.last.wake_at == NOW + seconds(7)
    run.wake()
    run.broken("a", "Z")
    assert run.last.wake_at == run.now + seconds(11)


def test_each_rule_counts_its_own_failures() -> None:
    run = ruled(rule("A", limit=1), rule("B", limit=1))
    again(again(run, "A"), "B")
    assert run.message("a").attempt == 3
    again(run, "A")
    assert run.ending == ("Failed", "A")


def test_one_rule_and_the_general_limit_beside_it_are_counted_each_by_itself() -> None:
    run = Run.of(step("a") | {"retry": {"rules": [rule("A", limit=1)], **retrying(1, 0)}})
    again(again(run, "A"), "B")
    again(run, "A")
    assert run.ending == ("Failed", "A")


def test_the_wait_grows_with_the_failures_of_its_own_rule() -> None:
    run = ruled(rule("A", seconds=1), rule("B", seconds=1))
    again(again(run, "A"), "A")
    run.broken("a", "B")
    assert run.last.wake_at == run.now + seconds(1)
    run.wake()
    run.broken("a", "A")
    assert run.last.wake_at == run.now + seconds(4)


def test_a_rule_that_is_used_up_is_not_followed_by_a_later_one() -> None:
    run = ruled(rule("A", limit=1), rule("States.ALL", limit=5))
    again(again(run, "A"), "A")
    assert run.ending == ("Failed", "A")


def test_an_error_without_a_rule_is_not_retried() -> None:
    run = Run.of(step("a") | {"retry": {"rules": [rule("A")], "limit": 0}})
    assert again(run, "B").ending == ("Failed", "B")


@pytest.mark.parametrize("name", ["States.ALL", "States.TaskFailed", "A"])
def test_reserved_names_match_what_a_worker_reports(name: str) -> None:
    run = again(ruled(rule(name, limit=1)), "A")
    assert run.message("a").attempt == 2


@pytest.mark.parametrize("name", ["States.ALL", "States.Timeout", "Timeout"])
def test_reserved_names_match_a_time_out(name: str) -> None:
    run = ruled(rule(name, limit=1), timeoutSeconds=5)
    run.wake()
    assert run.at("a").attempt == 2


def test_task_failed_does_not_match_a_time_out() -> None:
    run = ruled(rule("States.TaskFailed"), timeoutSeconds=5)
    run.wake()
    assert run.ending == ("Failed", "Timeout")


def test_an_error_that_is_final_is_caught_but_not_retried() -> None:
    run = Run.of(step("a", catch=catching("h"), end=True) | {"retry": retrying(3)}, step("h"))
    run.broken("a", retryable=False)
    assert run.paths == ["h"]


def test_a_retry_of_a_later_visit_counts_from_one() -> None:
    choices = [{"when": "vars.n < 2", "next": "a"}]
    run = Run.of(
        state("Pass", "begin", assign={"n": 0}),
        step("a", assign={"n": "${vars.n + 1}"}) | {"retry": retrying(1, 0)},
        state("Choice", "again", choices=choices, default="end"),
        state("Succeed", "end"),
    )
    again(run, "A")
    run.done("a")
    assert run.message("a").attempt == 1
    again(run, "A")
    run.done("a")
    assert run.status.state == "Done"


# -- catch


def test_the_first_catch_rule_that_matches_says_where_to_go_on() -> None:
    rules = [*catching("one", "A"), *catching("two", "A", "B"), *catching("rest")]
    handlers = [step(name, end=True) for name in ("one", "two", "rest")]
    for code, handler in {"A": "one", "B": "two", "C": "rest"}.items():
        run = Run.of(step("a", catch=rules, end=True), *handlers)
        run.broken("a", code)
        assert run.paths == [handler]


def test_the_error_is_the_input_of_the_handler_and_in_scope_after_it() -> None:
    seen = {"code": "${error.code}", "as output": "${steps.a.output.code}"}
    run = Run.of(step("a", catch=catching("h"), end=True), step("h"), step("later", input=seen))
    run.broken("a", "A")
    assert run.message("h").input == {"code": "A", "message": "no", "state": "a"}
    run.done("h", "handled")
    assert run.message("later").input == {"code": "A", "as output": "A"}


def test_a_handler_reads_the_outputs_of_the_states_before() -> None:
    handler = step("h", input="${steps.a.output}")
    run = Run.of(step("a"), step("b"), step("c", catch=catching("h"), end=True), handler)
    run.done("a", "of a")
    run.done("b", "of b")
    run.broken("c")
    assert run.message("h").input == "of a"


def test_without_an_error_there_is_none_in_scope() -> None:
    assert Run.of(state("Pass", "p", output="${error}")).ending == ("Done", None)


def test_the_history_tells_what_was_caught_and_who_failed() -> None:
    run = Run.of(step("a", catch=catching("h"), end=True), step("h"))
    run.broken("a", "Lost")
    line = run.status.history[-1]
    assert (line.state, line.reason, line.attempt, line.message) == ("InProgress.h", "Lost", 1, "no")
    assert line.worker == "worker-1"


def test_a_state_that_is_never_sent_fails_in_its_first_attempt() -> None:
    run = Run.of(step("a", input="${input.nope}", catch=catching("h"), end=True), step("h"))
    assert run.notes[0].message.startswith("a, attempt 1: States.QueryEvaluationError: ")
    assert run.status.history[1].worker is None


def test_a_handler_is_sent_with_the_result_that_failed() -> None:
    run = Run.of(step("a", catch=catching("h"), end=True), step("h"))
    writes = run.writes
    decision = run.broken("a")
    assert [d.message.step for d in decision.publish] == ["h"]
    assert run.writes == writes + 1


def test_the_handler_of_a_time_out_is_committed_before_it_is_sent() -> None:
    run = Run.of(step("a", timeoutSeconds=5, catch=catching("h"), end=True), step("h"))
    decision = run.wake()
    assert decision.publish == decision.publish_first == ()
    assert [d.message.step for d in run.wake().publish_first] == ["h"]


def test_a_catch_comes_after_all_attempts() -> None:
    run = Run.of(step("a", catch=catching("h"), end=True) | {"retry": retrying(1, 0)}, step("h"))
    again(run, "A")
    assert run.message("a").attempt == 2
    run.broken("a", "A")
    assert run.paths == ["h"]


def test_an_error_in_a_handler_is_one_of_its_own() -> None:
    run = Run.of(step("a", catch=catching("h"), end=True), step("h"))
    run.broken("a", "A")
    run.broken("h", "B")
    assert run.ending == ("Failed", "B")


def test_a_handler_may_lead_back_to_the_state_that_failed() -> None:
    run = Run.of(step("a", catch=catching("h"), end=True), step("h", next="a"))
    run.broken("a")
    run.done("h", "mended")
    assert run.message("a").input == "mended"
    assert run.message("a").attempt == 1


@pytest.mark.parametrize("name", ["States.ALL", "States.Runtime", "States.TaskFailed"])
def test_a_runtime_error_is_neither_retried_nor_caught(name: str) -> None:
    a = step("a", catch=catching("h", name), end=True) | {"retry": {"rules": [rule(name)], "limit": 0}}
    run = Run.of(a, step("h"))
    run.broken("a", "States.Runtime")
    assert run.ending == ("Failed", "States.Runtime")


def test_an_output_that_is_too_large_is_caught_by_its_reserved_name() -> None:
    run = Run.of(step("a", catch=catching("h", "States.DataLimitExceeded"), end=True), step("h"))
    run.broken("a", "ResultTooLarge", retryable=False)
    assert run.paths == ["h"]


# -- errors of a state's own data


@pytest.mark.parametrize(
    "part", [{"input": "${input.nope}"}, {"output": "${result.nope}"}, {"assign": {"v": "${vars.x}"}}]
)
@pytest.mark.parametrize("name", ["States.ALL", "States.QueryEvaluationError"])
def test_an_expression_without_a_value_can_be_caught(part: Raw, name: str) -> None:
    run = Run.of(step("a", catch=catching("h", name), end=True, **part) | {"retry": retrying(3)}, step("h"))
    if "a" in run.paths:
        run.done("a", {})
    assert run.message("h").input["code"] == "States.QueryEvaluationError"
    assert run.paths == ["h"], "another attempt would not help"


@pytest.mark.parametrize("part", [{"input": "${input.nope}"}, {"output": "${result.nope}"}])
def test_an_expression_without_a_value_is_no_failed_task(part: Raw) -> None:
    run = Run.of(step("a", catch=catching("h", "States.TaskFailed"), end=True, **part), step("h"))
    if "a" in run.paths:
        run.done("a", {})
    assert run.ending == ("Failed", "States.QueryEvaluationError")
    assert "nope" in (run.status.message or "")


def test_an_output_without_a_value_is_told_of_the_attempt_that_had_it() -> None:
    run = Run.of(step("a", output="${result.nope}") | {"retry": retrying(3)})
    run.broken("a")
    run.wake()
    run.done("a", {})
    assert run.ending == ("Failed", "States.QueryEvaluationError")
    assert run.status.history[-1].attempt == 2


def test_a_wrong_input_of_the_first_state_fails_a_job_that_was_never_sent() -> None:
    run = Run.of(step("a", input="${input.nope}"))
    assert run.ending == ("Failed", "States.QueryEvaluationError")
    assert run.sent == []
    assert run.status.history[-1].worker is None


def test_an_output_that_fails_changes_nothing_before_its_handler() -> None:
    run = Run.of(
        step("a", assign={"v": 1, "w": "${vars.x}"}, catch=catching("h"), end=True), step("h", input="${vars}")
    )
    run.done("a")
    assert run.message("h").input == {}


# -- loops


def polling(**more: Any) -> Run:
    choices = [{"when": "input == 'ready'", "next": "end"}]
    return Run.of(
        step("ask"),
        state("Choice", "ready", choices=choices, default="pause"),
        state("Wait", "pause", seconds=10, next="ask"),
        state("Succeed", "end"),
        **more,
    )


def test_a_loop_goes_on_until_its_condition_holds() -> None:
    run = polling()
    for _ in range(3):
        run.done("ask", "not yet")
        run.wake()
        run.wake()
    run.done("ask", "ready")
    assert run.ending == ("Done", "ready")
    assert run.steps == ["ask"] * 4
    assert len(set(run.ids)) == 4


def test_a_result_of_an_earlier_round_is_stale() -> None:
    run = polling()
    early = run.result("ask", "ready")
    run.done("ask", "not yet")
    run.wake()
    run.wake()
    assert run.turn(early).verdicts == (ResultReason.STALE,)


def test_a_loop_without_end_fails_after_max_transitions() -> None:
    run = polling(max_transitions=12)
    while not run.status.ended:
        run.done("ask", "not yet")
        while "ask" not in run.paths and not run.status.ended:
            run.wake()
        if not run.status.ended and run.at("ask").dispatched_at is None:
            run.wake()
    assert run.ending == ("Failed", "MaxTransitionsExceeded")
    assert run.status.sequence == 12 + 2, "one too many, and the end"


def endless(**more: Any) -> Run:
    choices = [{"when": "input == 'never'", "next": "end"}]
    return Run.of(
        state("Pass", "p"), state("Choice", "c", choices=choices, default="p"), state("Succeed", "end"), input=1, **more
    )


def test_a_loop_that_waits_for_nothing_ends_within_one_decision() -> None:
    assert endless(max_transitions=100).ending == ("Failed", "MaxTransitionsExceeded")
    run = endless(max_transitions=1_000_000)
    assert run.ending == ("Failed", "MaxTransitionsExceeded")
    assert run.status.sequence == 10_000 + 2, "one too many, and the end"


def test_a_decision_makes_as_many_transitions_as_are_allowed_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entering, "MOST_AT_ONCE", 3)
    states = [state("Pass", f"p{i}") for i in range(4)]
    assert Run.of(*states[:3], input=1).ending == ("Done", 1)
    assert Run.of(*states, input=1).ending == ("Failed", "MaxTransitionsExceeded")


def test_a_job_that_made_many_transitions_may_make_as_many_more() -> None:
    run = Run.of(step("a"), step("b"), max_transitions=1_000_000)
    run.job = replace(run.job, status=replace(run.status, sequence=9_000))
    run.done("a")
    assert run.paths == ["b"]


def test_too_many_transitions_are_never_caught() -> None:
    loop = endless_branch()
    rules = {"catch": catching("h"), "retry": retrying(3)}
    run = Run.of(
        state("Parallel", "fan", branches=[{"states": loop}], end=True, **rules), step("h"), max_transitions=50
    )
    assert run.ending == ("Failed", "MaxTransitionsExceeded")


def endless_branch() -> list[Raw]:
    choices = [{"when": "input == 'never'", "next": "end"}]
    return [state("Pass", "p"), state("Choice", "c", choices=choices, default="p"), state("Succeed", "end")]


def test_the_error_of_a_time_out_can_be_asked_for_at_once() -> None:
    choices = [{"when": "input.code == 'Timeout' && error != null", "next": "late"}]
    which = state("Choice", "which", choices=choices, default="other")
    ends = [state("Pass", name, output=name, end=True) for name in ("late", "other")]
    run = Run.of(step("a", timeoutSeconds=5, catch=catching("which"), end=True), which, *ends)
    run.wake()
    assert run.ending == ("Done", "late")
