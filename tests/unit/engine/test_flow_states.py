"""States that nobody works on: Pass, Choice, Wait, Succeed, Fail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mastercontrol.api.names import ConditionType
from unit.engine.builders import NOW, Run, catching, parallel, seconds, state, step


def test_a_job_of_pass_states_is_done_in_one_write() -> None:
    run = Run.of(state("Pass", "a"), state("Pass", "b", output={"b": "${input.n}"}), input={"n": 1})
    assert run.ending == ("Done", {"b": 1})
    assert run.writes == 1
    assert run.sent == []
    assert [line.state for line in run.status.history] == ["InProgress.a", "InProgress.b", "Done"]
    assert [line.worker for line in run.status.history] == [None] * 3


def test_a_pass_hands_its_input_on() -> None:
    assert Run.of(state("Pass", "a"), input={"n": 1}).ending == ("Done", {"n": 1})


def test_a_pass_between_two_steps_costs_no_write_and_hands_the_output_on() -> None:
    run = Run.of(step("a"), state("Pass", "p"), step("b"))
    run.done("a", "out")
    assert run.writes == 2
    assert run.message("b").input == "out"
    run.done("b", "end")
    assert run.ending == ("Done", "end")
    assert run.writes == 3


def test_a_long_chain_of_pass_states_is_no_deep_recursion() -> None:
    run = Run.of(*(state("Pass", f"p{i}") for i in range(200)), input=5)
    assert run.ending == ("Done", 5)


def test_a_pass_whose_input_cannot_be_evaluated_fails_the_job() -> None:
    run = Run.of(state("Pass", "p", input="${input.nope}"))
    assert run.ending == ("Failed", "States.QueryEvaluationError")
    assert run.status.error is not None
    assert run.status.error.state == "p"


# -- Choice


def choosing(*rules: tuple[str, str], **spec: Any) -> Run:
    choices = [{"when": when, "next": name} for when, name in rules]
    ends = [state("Pass", name, output=name, end=True) for name in ("one", "two", "other")]
    return Run.of(state("Choice", "which", choices=choices, default="other"), *ends, **spec)


def test_a_choice_follows_the_first_rule_that_holds() -> None:
    rules = [("input.n > 5", "one"), ("input.n > 1", "two")]
    assert choosing(*rules, input={"n": 9}).ending == ("Done", "one")
    assert choosing(*rules, input={"n": 2}).ending == ("Done", "two")


def test_a_choice_without_a_rule_that_holds_follows_its_default() -> None:
    rules = [("false", "one"), ("input.n == 1", "two")]
    assert choosing(*rules, input={"n": 0}).ending == ("Done", "other")


def test_a_choice_hands_its_input_on() -> None:
    run = Run.of(state("Choice", "c", choices=[{"when": "true", "next": "b"}], default="b"), step("b"), input={"n": 3})
    assert run.message("b").input == {"n": 3}


@pytest.mark.parametrize("when", ["true", "false"])
def test_a_choice_hands_on_what_its_own_templates_made(when: str) -> None:
    choice = state("Choice", "c", choices=[{"when": when, "next": "b"}], default="b", input="${input.n}")
    assert Run.of(choice, step("b"), input={"n": 3}).message("b").input == 3


@pytest.mark.parametrize("when", ["true", "false"])
def test_a_choice_does_not_store_what_it_hands_on_again(when: str) -> None:
    choice = state("Choice", "c", choices=[{"when": when, "next": "b"}], default="b")
    assert Run.of(choice, step("b"), input={"big": "x" * 1000}).status.scope.is_bare


@pytest.mark.parametrize("when", ["input.nope == 1", "input.n", "1 / input.zero == 1"])
def test_a_condition_without_an_answer_fails_the_job(when: str) -> None:
    run = choosing((when, "one"), ("true", "two"), input={"n": 0, "zero": 0})
    assert run.ending == ("Failed", "States.QueryEvaluationError")


# -- Wait


def test_a_wait_of_seconds_goes_on_when_they_are_over() -> None:
    run = Run.of(state("Wait", "w", seconds=30), step("b"), input="in")
    assert run.last.wake_at == NOW + seconds(30)
    assert run.condition(ConditionType.WAITING) == (True, "Wait")
    run.later(29).turn()
    assert run.paths == ["w"]
    run.wake()
    assert run.paths == ["b"]
    assert run.sent == [], "it is committed before it is sent"
    run.wake()
    assert run.message("b").input == "in"
    assert run.condition(ConditionType.WAITING) is None


def test_a_wait_does_not_store_what_it_hands_on_again() -> None:
    run = Run.of(state("Wait", "w", seconds=1), step("b"), input={"big": "x" * 1000})
    run.wake()
    assert run.status.scope.is_bare


def test_a_wait_whose_output_cannot_be_evaluated_fails_as_its_first_attempt() -> None:
    run = Run.of(state("Wait", "w", seconds=30, output="${input.nope}"))
    run.wake()
    assert run.ending == ("Failed", "States.QueryEvaluationError")
    assert [(line.state, line.attempt) for line in run.status.history][-1] == ("Failed", 1)


def test_a_job_that_begins_with_a_wait_has_nothing_at_a_broker() -> None:
    run = Run.of(state("Wait", "w", seconds=30), step("b"))
    assert run.status.broker_epoch is None


def test_a_wait_may_end_the_job() -> None:
    run = Run.of(state("Wait", "w", seconds=3), input="in")
    run.wake()
    assert run.ending == ("Done", "in")


def test_a_wait_takes_its_seconds_from_an_expression() -> None:
    run = Run.of(state("Wait", "w", seconds="${input.pause * 2}"), input={"pause": 21})
    assert run.last.wake_at == NOW + seconds(42)


def test_a_wait_of_no_seconds_goes_on_in_the_next_turn() -> None:
    run = Run.of(state("Wait", "w", seconds=0), step("b"))
    assert run.last.wake_at == NOW
    run.wake()
    assert run.paths == ["b"]


@pytest.mark.parametrize("value", [-1, 1.5, "7", True, None, 10**12])
def test_a_wait_of_what_is_no_number_of_seconds_fails(value: Any) -> None:
    run = Run.of(state("Wait", "w", seconds="${input.pause}"), input={"pause": value})
    assert run.ending == ("Failed", "States.QueryEvaluationError")


def test_a_wait_of_seconds_says_what_is_wrong_with_them() -> None:
    def told(pause: Any) -> str:
        error = Run.of(state("Wait", "w", seconds="${input.pause}"), input={"pause": pause}).status.error
        assert error is not None
        return error.message

    assert told("7") == "the seconds of a Wait must be a whole number from 0, not '7'"
    assert told(3660 * 86_400 + 1) == "a Wait may take 3660 days, not 316224001 seconds"


def test_the_longest_wait_is_3660_days() -> None:
    run = Run.of(state("Wait", "w", seconds="${input.pause}"), input={"pause": 3660 * 86_400})
    assert run.last.wake_at == NOW + timedelta(days=3660)


@pytest.mark.parametrize("text", ["2030-01-01T13:00:00Z", "2030-01-01T15:00:00+02:00", "2030-01-01T13:00:00.0004Z"])
def test_a_wait_until_a_time_goes_on_at_that_time(text: str) -> None:
    run = Run.of(state("Wait", "w", until="${input.at}"), step("b"), input={"at": text})
    assert run.last.wake_at == NOW + seconds(3600)
    assert run.at("w").not_before == NOW + seconds(3600)
    run.wake()
    assert run.paths == ["b"]


def test_a_wait_until_a_time_is_as_exact_as_a_status() -> None:
    run = Run.of(state("Wait", "w", until="${input.at}"), input={"at": "2030-01-01T12:00:00.7896Z"})
    assert run.last.wake_at == NOW + timedelta(milliseconds=789)


def test_a_wait_until_a_time_that_is_over_goes_on_in_the_next_turn() -> None:
    run = Run.of(state("Wait", "w", until="2020-01-01T00:00:00Z"), step("b"))
    run.wake()
    assert run.paths == ["b"]
    assert run.now == NOW


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("tomorrow", "must be a timestamp (RFC 3339), not 'tomorrow'"),
        ("2030-01-01T13:00:00", "needs a time zone, as in 2030-01-31T12:00:00Z, not '2030-01-01T13:00:00'"),
        (5, "must be a timestamp (RFC 3339), not 5"),
        (None, "must be a timestamp (RFC 3339), not None"),
        ("9999-12-31T23:59:59-12:00", "is a time that UTC does not have: '9999-12-31T23:59:59-12:00'"),
        ("0001-01-01T00:00:00+12:00", "is a time that UTC does not have: '0001-01-01T00:00:00+12:00'"),
    ],
)
def test_a_wait_until_what_is_no_time_fails_and_says_why(value: Any, why: str) -> None:
    run = Run.of(state("Wait", "w", until="${input.at}"), input={"at": value})
    assert run.ending == ("Failed", "States.QueryEvaluationError")
    assert run.status.error is not None
    assert run.status.error.message == f"the until of a Wait {why}"


def test_a_suspended_job_waits_on_and_goes_on_when_it_is_resumed() -> None:
    run = Run.of(state("Wait", "w", seconds=5), step("b")).change(suspend=True)
    run.turn()
    run.later(60).turn()
    assert run.paths == ["w"]
    assert run.last.wake_at is None
    run.change(suspend=False).turn()
    assert run.paths == ["b"]


# -- Succeed and Fail


def test_succeed_ends_the_job_with_its_input() -> None:
    assert Run.of(state("Succeed", "s"), input=7).ending == ("Done", 7)


def test_succeed_ends_the_job_before_the_states_behind_it() -> None:
    choices = [{"when": "input == 1", "next": "later"}]
    run = Run.of(state("Choice", "c", choices=choices, default="s"), state("Succeed", "s"), step("later"), input=0)
    assert run.ending == ("Done", 0)
    assert run.sent == []


def test_succeed_in_a_branch_ends_the_branch_only() -> None:
    branch = [state("Pass", "p", output="early"), state("Succeed", "s")]
    run = Run.of(parallel("fan", branch, [step("a")]), step("after"))
    assert run.paths == ["fan[1].a"]
    run.done("fan[1].a", "late")
    assert run.message("after").input == ["early", "late"]


def test_fail_fails_the_job_with_its_code_and_message() -> None:
    run = Run.of(state("Fail", "f", code="${input.code}", message="no ${input.what}"), input={"code": "X", "what": "y"})
    error = run.status.error
    assert error is not None
    assert (error.code, error.message, error.state) == ("X", "no y", "f")
    assert run.condition(ConditionType.FAILED) == (True, "X")
    assert [(n.reason, n.message) for n in run.notes] == [("JobFailed", "f: X: no y")]
    assert run.status.history[-1].worker is None


def test_fail_whose_code_cannot_be_evaluated_fails_the_job_all_the_same() -> None:
    assert Run.of(state("Fail", "f", code="${input.nope}")).ending == ("Failed", "States.QueryEvaluationError")


def test_fail_in_a_branch_is_no_failed_task() -> None:
    fan = parallel("fan", [state("Fail", "f", code="X")], catch=catching("h", "States.TaskFailed"), end=True)
    assert Run.of(fan, step("h")).ending == ("Failed", "X")


def test_fail_in_a_branch_fails_what_holds_it() -> None:
    fan = parallel("fan", [state("Fail", "f", code="X")], [step("a")], catch=catching("h", "X"), end=True)
    run = Run.of(fan, step("h"))
    assert run.paths == ["h"]
    assert run.message("h").input == {"code": "X", "message": "", "state": "fan"}
    assert run.steps == ["h"], "nothing of the branch that was not needed any more was sent"
