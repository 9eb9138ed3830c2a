"""Data: input, output and assign, and how long outputs are kept."""

from __future__ import annotations

from typing import Any

from mastercontrol.api.status_json import to_raw
from unit.engine.builders import UID, Run, catching, each, parallel, state, step


def test_the_default_input_is_the_output_before_it() -> None:
    run = Run.of(step("a"), step("b"), input="in")
    assert run.message("a").input == "in"
    run.done("a", "out")
    assert run.message("b").input == "out"


def test_outside_of_a_map_there_is_neither_item_nor_index() -> None:
    assert Run.of(state("Pass", "p", output="${[item, index, error]}")).ending == ("Done", [None, None, None])


def test_an_input_template_sees_input_job_and_steps() -> None:
    template = {
        "in": "${input}",
        "job": "${job.name}/${job.namespace}",
        "first": "${job.input.n}",
        "a": "${steps.a.output}",
    }
    run = Run.of(step("a"), step("b", input=template), input={"n": 1})
    run.done("a", [7])
    assert run.message("b").input == {"in": [7], "job": "order-1/shop", "first": 1, "a": [7]}


def test_the_job_is_known_by_name_uid_and_input() -> None:
    job = {"name": "order-1", "namespace": "shop", "uid": UID, "input": {"n": 1}}
    assert Run.of(state("Pass", "p", output="${job}"), input={"n": 1}).ending == ("Done", job)


def test_an_input_may_be_null() -> None:
    assert Run.of(step("a", input=None), input={"n": 1}).message("a").input is None


def test_an_output_template_sees_the_result_and_the_input() -> None:
    run = Run.of(step("a", input="${input.n}", output={"n": "${input}", "r": "${result.ok}"}), input={"n": 1})
    run.done("a", {"ok": True, "rest": "thrown away"})
    assert run.ending == ("Done", {"n": 1, "r": True})


def test_assigned_variables_are_there_for_all_later_states() -> None:
    run = Run.of(
        step("a", assign={"token": "${result.token}", "n": 1}),
        step("b", assign={"n": "${vars.n + 1}"}),
        step("c", input="${vars}"),
    )
    run.done("a", {"token": "t"})
    run.done("b", None)
    assert run.message("c").input == {"token": "t", "n": 2}


def test_variables_are_assigned_at_once_and_see_the_ones_before() -> None:
    run = Run.of(
        state("Pass", "p", assign={"x": 1, "y": 2}),
        state("Pass", "swap", assign={"x": "${vars.y}", "y": "${vars.x}"}, output="unused"),
        state("Pass", "end", output="${vars}"),
    )
    assert run.ending == ("Done", {"x": 2, "y": 1})


def test_a_block_reads_what_is_outside_and_leaves_nothing_there() -> None:
    inside = [state("Pass", "p", assign={"v": "${vars.v + index}"}), step("a", input="${vars.v}")]
    run = Run.of(state("Pass", "begin", assign={"v": 10}), each("m", [0, 0], *inside), step("z", input="${vars.v}"))
    assert [m.input for m in run.sent] == [10, 11]
    run.done("m[0].a")
    run.done("m[1].a")
    assert run.message("z").input == 10


def test_branches_do_not_see_each_other() -> None:
    run = Run.of(
        parallel(
            "fan", [state("Pass", "p", assign={"v": 1}, output="${vars.v}")], [state("Pass", "q", output="${vars.v}")]
        )
    )
    assert run.ending == ("Failed", "States.QueryEvaluationError")


def outputs(run: Run) -> set[str]:
    return set(run.status.scope.outputs)


def test_an_output_is_kept_as_long_as_a_later_state_can_read_it() -> None:
    run = Run.of(step("a"), step("b"), step("c", input="${steps.a.output}"), step("d"), input={})
    run.done("a", "A")
    assert outputs(run) == {"a"}
    run.done("b", "B")
    assert outputs(run) == {"a", "b"}
    assert run.message("c").input == "A"
    run.done("c", "C")
    assert outputs(run) == {"c"}, "nobody reads the others any more"


def test_an_output_that_is_read_inside_a_later_block_is_kept() -> None:
    run = Run.of(step("a"), step("b"), each("m", [1], step("c"), step("d", input="${steps.a.output}")))
    run.done("a", "A")
    run.done("b", "B")
    run.done("m[0].c")
    assert run.message("m[0].d").input == "A"


def test_an_output_that_an_earlier_state_reads_is_kept_in_a_loop() -> None:
    choices = [{"when": "input == 'again'", "next": "b"}]
    run = Run.of(
        step("a"),
        step("b", input="${steps.a.output}"),
        step("c"),
        state("Choice", "which", choices=choices, default="end"),
        state("Succeed", "end"),
    )
    run.done("a", "A")
    run.done("b")
    run.done("c", "again")
    assert run.message("b").input == "A"
    assert [m.input for m in run.sent if m.step == "b"] == ["A", "A"]


def test_all_outputs_are_kept_where_it_cannot_be_told_which_are_read() -> None:
    run = Run.of(step("a"), step("b"), step("c", input="${steps[job.input.which].output}"), input={"which": "a"})
    run.done("a", "A")
    run.done("b", "B")
    assert run.message("c").input == "A"


def test_what_a_branch_keeps_is_gone_when_it_is_done() -> None:
    run = Run.of(parallel("fan", [step("a"), step("b", input="${steps.a.output}")], [step("c")]), step("d"))
    run.done("fan[0].a", "A")
    assert [s.path for s in run.status.scopes] == ["fan[0]"]
    run.done("fan[0].b", "B")
    assert run.status.scopes == ()
    run.done("fan[1].c", "C")
    assert outputs(run) == {"fan"}


def test_an_ended_job_keeps_its_output_only() -> None:
    run = Run.of(step("a", assign={"v": 1}), step("b", input="${steps.a.output}"))
    run.done("a", "A")
    run.done("b", "B")
    raw: dict[str, Any] = to_raw(run.status)
    assert raw["output"] == "B"
    assert not {"outputs", "vars", "after", "scopes", "groups", "active"} & set(raw)


def test_a_handler_keeps_only_the_outputs_that_it_and_later_states_read() -> None:
    run = Run.of(
        step("a"), step("b", input="${steps.a.output}", catch=catching("h"), end=True), step("h", input="${error.code}")
    )
    run.done("a", "A")
    run.broken("b")
    assert outputs(run) == {"b"}


def test_the_error_is_in_scope_in_the_blocks_of_a_handler() -> None:
    run = Run.of(step("a", catch=catching("h"), end=True), each("h", [1], step("b", input="${error.code}")))
    run.broken("a", "Lost")
    assert run.message("h[0].b").input == "Lost"
