"""spec.operations, Skip: a state that the job is in, or failed in, counts as done."""

from __future__ import annotations

from typing import Any

import pytest

from mastercontrol.api.names import ConditionType, Phase, Reason, ResultReason
from mastercontrol.api.operation import Operation, OperationType
from mastercontrol.engine import moves
from mastercontrol.engine.facts import Limits, Missing
from unit.engine.builders import Run, catching, each, parallel, retrying, seconds, state, step
from unit.engine.operating import ask, refused, sent_now

NOTHING = object()


def skip(run: Run, path: str, output: Any = NOTHING) -> Run:
    """The user skips a state."""
    given = output is not NOTHING
    return ask(run, Operation(OperationType.SKIP, path, given, output if given else None, "bob: known"))


# -- of a running job


def test_a_step_that_is_skipped_hands_its_input_on() -> None:
    run = skip(Run.of(step("a"), step("b")), "a")
    assert run.status.state == "InProgress.b"
    assert run.at("b").dispatched_at is None, "what a user makes due is written before it is sent"
    assert sent_now(run) == ["b 2:1"]
    assert run.message("b").input == {"sku": "A1"}


def test_a_skip_stands_in_the_history_with_its_reason() -> None:
    run = skip(Run.of(step("a"), step("b")), "a")
    line = run.status.history[-1]
    assert (line.seq, line.state, line.reason, line.message) == (2, "InProgress.b", "Skipped", "bob: known")
    assert line.attempt == 1, "the one that was given up"
    assert run.condition(ConditionType.OPERATED) == (True, "Skipped")
    assert run.status.phase is Phase.RUNNING


@pytest.mark.parametrize("output", [{"receipt": "R-17"}, None, "text", []], ids=repr)
def test_the_output_that_the_user_gives_is_what_later_states_see(output: Any) -> None:
    run = skip(Run.of(step("a"), step("b"), step("c", input="${steps.a.output}")), "a", output)
    run.turn()
    assert run.message("b").input == output
    run.done("b", "B")
    assert run.message("c").input == output


def test_the_state_s_own_templates_are_applied_to_what_the_user_gives() -> None:
    run = Run.of(step("a", output={"total": "${result.sum + 1}"}, assign={"n": "${result.sum}"}), step("b"))
    skip(run, "a", {"sum": 2})
    run.turn()
    assert run.message("b").input == {"total": 3}
    assert run.status.scope.variables == {"n": 2}


def test_an_output_that_the_state_s_templates_cannot_read_is_refused_and_the_state_goes_on() -> None:
    run = Run.of(step("a", output={"total": "${result.sum + 1}"}), step("b"))
    skip(run, "a", {"amount": 2})
    assert "write an output that its expressions can read" in refused(run)
    skip(run, "a")
    assert "spec.operations[1], Skip a: the state could not be left so" in refused(run)
    run.done("a", {"sum": 4})
    assert run.message("b").input == {"total": 5}


def test_a_skip_does_not_store_what_it_hands_on_again() -> None:
    run = skip(Run.of(step("a"), step("b"), input={"big": "x" * 1000}), "a")
    assert run.status.scope.is_bare


def test_the_last_state_that_is_skipped_ends_the_job() -> None:
    run = skip(Run.of(step("a")), "a", "by hand")
    assert run.ending == ("Done", "by hand")
    run.turn()
    assert run.last.status is None


def test_a_result_of_a_state_that_was_skipped_is_stale() -> None:
    run = Run.of(step("a"), step("b"))
    late = run.result("a", "late")
    skip(run, "a", "by hand")
    assert run.turn(late).verdicts == (ResultReason.STALE,)
    assert run.message("b").input == "by hand"


def test_a_result_that_comes_with_the_skip_does_not_count() -> None:
    run = Run.of(step("a"), step("b"))
    late = run.result("a", "late")
    run.change(operations=(Operation(OperationType.SKIP, "a", has_output=True, output="by hand"),)).turn(late)
    assert run.turn(late).verdicts == (ResultReason.STALE,)
    assert run.message("b").input == "by hand"


def test_a_step_in_its_back_off_can_be_skipped() -> None:
    run = Run.of(step("a", retry=retrying(3, 300)), step("b"))
    run.broken("a")
    skip(run, "a")
    assert run.paths == ["b"]


def test_a_step_whose_pool_is_not_there_can_be_skipped() -> None:
    run = Run.of(step("a"), step("b", pool="none"), step("c"))
    run.missing_pools = {"none"}
    run.done("a", 1)
    skip(run, "b")
    run.turn()
    assert run.message("c").input == 1


def test_a_wait_can_be_skipped() -> None:
    run = skip(Run.of(state("Wait", "w", seconds=3600), step("b")), "w")
    assert sent_now(run) == ["b 2:1"]
    assert run.message("b").input == {"sku": "A1"}


def test_a_signal_can_be_skipped_and_takes_none() -> None:
    run = Run.of(state("Signal", "ask", signal="approval", timeoutSeconds=60), step("b"))
    skip(run, "ask", {"approved": True})
    run.turn()
    assert run.message("b").input == {"approved": True}
    assert run.status.signals_taken == ()
    run.later(61).turn()
    assert run.paths == ["b"], "its time limit is gone with it"


def test_a_parallel_is_skipped_with_all_that_runs_in_it() -> None:
    run = Run.of(parallel("fan", [step("a")], [each("m", "${[1, 2]}", step("b"))]), step("after"))
    run.done("fan[1].m[0].b", 1)
    late = run.result("fan[0].a", "late")
    skip(run, "fan", "instead")
    run.turn()
    assert run.paths == ["after"]
    assert (run.status.groups, run.status.scopes) == ((), ())
    assert run.message("after").input == "instead"
    assert run.turn(late).verdicts == (ResultReason.STALE,)


def test_a_parallel_in_its_back_off_can_be_skipped() -> None:
    run = Run.of(parallel("fan", [step("a")], retry=retrying(3, 300)), step("after"))
    run.broken("fan[0].a")
    assert run.paths == ["fan"]
    skip(run, "fan")
    run.turn()
    assert run.message("after").input == {"sku": "A1"}


def test_a_state_of_a_branch_is_skipped_and_the_others_go_on() -> None:
    run = Run.of(parallel("fan", [step("a"), step("a2")], [step("b")]))
    skip(run, "fan[0].a", "A")
    run.turn()
    assert sorted(run.paths) == ["fan[0].a2", "fan[1].b"]
    assert run.message("fan[0].a2").input == "A"
    run.done("fan[1].b", "B")
    skip(run, "fan[0].a2", "A2")
    assert run.ending == ("Done", ["A2", "B"])


@pytest.mark.parametrize(
    ("run", "path", "state"),
    [
        (Run.of(step("a"), step("b")), "a", "InProgress.b"),
        (Run.of(step("a")), "a", "Done"),
        (Run.of(parallel("fan", [step("a")], [step("b")])), "fan[0].a", "InProgress.fan[0]"),
    ],
)
def test_the_reason_of_a_skip_stands_in_the_history_wherever_it_leads(run: Run, path: str, state: str) -> None:
    run.change(operations=(Operation(OperationType.SKIP, state=path, reason="it hangs"),)).turn()
    line = run.status.history[-1]
    assert (line.state, line.reason, line.message) == (state, "Skipped", "it hangs")


def test_an_item_is_skipped_and_the_next_one_begins() -> None:
    run = Run.of(each("m", [1, 2, 3], step("a"), maxConcurrency=1))
    skip(run, "m[0].a")
    run.turn()
    assert run.message("m[1].a").input == 2
    skip(run, "m[1].a", "two")
    run.turn()
    run.done("m[2].a", "three")
    assert run.ending == ("Done", [1, "two", "three"])


def test_a_suspended_job_skips_and_sends_nothing() -> None:
    run = Run.of(step("a"), step("b")).change(suspend=True)
    skip(run, "a")
    assert (run.paths, run.status.phase) == (["b"], Phase.SUSPENDED)
    run.turn()
    assert run.steps == ["a"]
    run.change(suspend=False).turn()
    assert run.steps == ["a", "b"]


def test_a_job_that_is_cancelled_and_told_to_skip_is_cancelled() -> None:
    run = Run.of(step("a"), step("b")).change(cancel=True)
    skip(run, "a")
    assert run.status.state == "Cancelled"
    assert "the job was cancelled" in refused(run)


def test_a_skip_may_fail_the_job_further_on() -> None:
    run = Run.of(step("a"), state("Fail", "no", code="Stop"))
    skip(run, "a")
    assert run.ending == ("Failed", "Stop")
    assert run.condition(ConditionType.OPERATED) == (True, "Skipped")
    assert run.status.resumable == ("no",)


def test_two_skips_at_once_are_done_one_after_the_other() -> None:
    run = Run.of(step("a"), step("b"), step("c"))
    run.change(operations=tuple(Operation(OperationType.SKIP, name) for name in ("a", "b")))
    run.turn()
    assert run.paths == ["b"]
    run.turn()
    assert run.paths == ["c"]


# -- of a failed job


def test_the_state_that_failed_is_skipped_and_the_job_goes_on() -> None:
    run = Run.of(step("a"), step("b"), step("c"))
    run.done("a", "A")
    run.broken("b")
    skip(run, "b", {"by": "hand"})
    assert run.paths == ["c"]
    assert [(h.seq, h.state, h.reason, h.message) for h in run.status.history][-2:] == [
        (4, "InProgress.b", "Retried", "bob: known"),
        (5, "InProgress.c", "Skipped", "bob: known"),
    ]
    run.turn()
    assert run.message("c").input == {"by": "hand"}
    assert run.condition(ConditionType.FAILED) is None


def test_the_last_state_of_a_failed_job_is_skipped_and_the_job_is_done() -> None:
    run = Run.of(step("a"))
    run.broken("a")
    skip(run, "a", "by hand")
    assert run.ending == ("Done", "by hand")
    assert run.status.error is None
    assert run.condition(ConditionType.COMPLETE) == (True, "Completed")
    assert run.condition(ConditionType.FAILED) is None


def test_the_branch_that_failed_is_skipped_and_the_others_are_entered_again() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")], [step("c")]))
    run.done("fan[0].a", "A")
    run.broken("fan[1].b")
    skip(run, "fan[1].b", "B")
    run.turn()
    assert run.paths == ["fan[2].c"]
    run.done("fan[2].c", "C")
    assert run.ending == ("Done", ["A", "B", "C"])


def test_another_branch_than_the_one_that_failed_can_be_skipped() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")]))
    run.broken("fan[0].a")
    skip(run, "fan[1].b", "B")
    run.turn()
    run.done("fan[0].a", "A")
    assert run.ending == ("Done", ["A", "B"])


def test_the_only_open_branch_is_skipped_and_the_parallel_joins() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")]))
    run.done("fan[0].a", "A")
    run.broken("fan[1].b")
    skip(run, "fan[1].b", "B")
    assert run.ending == ("Done", ["A", "B"])


def test_what_the_failed_state_is_in_can_be_skipped_as_a_whole() -> None:
    inner = each("in", "${[1, 2]}", step("a"))
    run = Run.of(parallel("fan", [inner, step("z")], [step("y")]), step("after"))
    run.broken("fan[0].in[1].a")
    skip(run, "fan[0].in", "instead")
    run.turn()
    assert sorted(run.paths) == ["fan[0].z", "fan[1].y"]
    assert run.message("fan[0].z").input == "instead"
    run.broken("fan[1].y")
    skip(run, "fan", "all of it")
    run.turn()
    assert run.message("after").input == "all of it"
    assert run.status.groups == ()


def test_an_item_of_a_failed_map_is_skipped_and_the_next_one_begins() -> None:
    run = Run.of(each("m", [1, 2, 3], step("a"), maxConcurrency=1))
    run.done("m[0].a", "one")
    run.broken("m[1].a")
    skip(run, "m[1].a", "two")
    run.turn()
    assert run.paths == ["m[2].a"]
    run.done("m[2].a", "three")
    assert run.ending == ("Done", ["one", "two", "three"])


def test_a_state_that_could_not_be_entered_is_skipped_with_an_output() -> None:
    run = Run.of(step("a"), step("b", input="${input.nope}"), step("c"))
    run.done("a", {})
    skip(run, "b")
    assert "the state could not be left so" in refused(run)
    assert run.status.state == "Failed"
    assert run.status.resumable == ("b",), "and it can be tried once more"
    skip(run, "b", "instead")
    run.turn()
    assert run.message("c").input == "instead"


def test_a_choice_that_failed_is_skipped_to_its_default() -> None:
    choice = state("Choice", "which", choices=[{"when": "input.nope > 1", "next": "x"}], default="y")
    run = Run.of(choice, step("x", end=True), step("y"))
    assert run.status.resumable == ("which",)
    skip(run, "which")
    run.turn()
    assert run.paths == ["y"]


def test_a_fail_state_is_not_skipped() -> None:
    run = Run.of(step("a", catch=catching("no"), end=True), state("Fail", "no", code="Stop"))
    run.broken("a")
    assert run.ending == ("Failed", "Stop")
    skip(run, "no")
    assert "'no' is a Fail state, after which nothing comes; write Restart" in refused(run)
    ask(run, Operation(OperationType.RETRY))
    assert run.ending == ("Failed", "Stop"), "it says so once more"


# -- what is refused


def test_a_state_that_the_job_is_not_in_is_not_skipped() -> None:
    run = Run.of(step("a"), parallel("fan", [step("b")], [step("c")]))
    skip(run, "fan")
    text = "spec.operations[0], Skip fan: the job is not in 'fan'; write a state that it is in: a"
    assert refused(run) == text
    run.done("a")
    for path in ("a", "fan[0]", "fan[0].c", "fan[7].b", "nowhere", "fan[0].b.x"):
        skip(run, path)
        assert f"the job is not in {path!r}; write a state that it is in: fan[0].b, fan[1].c, fan" in refused(run)
    assert run.paths == ["fan[0].b", "fan[1].c"]


def test_a_refusal_names_a_few_of_many_states() -> None:
    run = Run.of(each("m", list(range(100)), step("a")))
    skip(run, "nowhere")
    assert refused(run).endswith("m[0].a, m[1].a, m[2].a, m[3].a, m[4].a and 96 more")


def test_a_refusal_names_all_of_five_states() -> None:
    run = skip(Run.of(each("m", [1, 2, 3, 4], step("a"))), "nowhere")
    assert refused(run).endswith("in: m[0].a, m[1].a, m[2].a, m[3].a, m")
    run = skip(Run.of(each("m", [1, 2, 3, 4, 5], step("a"))), "nowhere")
    assert refused(run).endswith("in: m[0].a, m[1].a, m[2].a, m[3].a, m[4].a and 1 more")


def test_a_state_that_a_failed_job_was_not_in_is_not_skipped() -> None:
    run = Run.of(step("a"), step("b"))
    run.broken("a")
    skip(run, "b")
    assert "the job is not in 'b'; write a state that it is in: a" in refused(run)
    assert run.status.state == "Failed"


def test_nothing_is_skipped_while_the_definition_is_gone() -> None:
    run = Run.of(step("a"), step("b"))
    run.definition = Missing(Reason.UNKNOWN_WORKFLOW, "the ControllerRevision 'order-1' is gone")
    skip(run, "a")
    assert "the ControllerRevision 'order-1' is gone; ask again when it is there" in refused(run)
    assert run.paths == ["a"]


def test_a_skip_whose_output_would_make_the_status_too_large_is_refused_and_fails_nothing() -> None:
    run = Run.of(step("a"), step("b"))
    run.limits = Limits(status_bytes=moves.status_bytes(run.status) + 2000)
    skip(run, "a", "x" * 5000)
    assert "the status would have" in refused(run)
    assert run.status.observed_generation == run.job.generation
    assert run.paths == ["a"]
    run.done("a", "small")
    assert run.paths == ["b"]


def test_operations_that_are_refused_together_are_each_counted_and_told() -> None:
    run = Run.of(step("a"), step("b"))
    run.limits = Limits(status_bytes=moves.status_bytes(run.status) + 2000)
    asked = (Operation(OperationType.SKIP, "b"), Operation(OperationType.SKIP, "a", has_output=True, output="x" * 5000))
    run.change(operations=asked).turn()
    assert refused(run).startswith("spec.operations[1], Skip a: the status would have")
    assert [note.message.partition(":")[0] for note in run.notes] == [
        "spec.operations[0], Skip b",
        "spec.operations[1], Skip a",
    ]


def test_a_refused_skip_leaves_the_clock_of_the_state_alone() -> None:
    run = Run.of(step("a", timeoutSeconds=60), step("b"))
    late = run.at("a").deadline
    skip(run, "b")
    run.turn()
    assert run.at("a").deadline == late
    assert run.last.wake_at == run.now + seconds(60)
