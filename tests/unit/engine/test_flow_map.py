"""Map: a block for each item."""

from __future__ import annotations

from typing import Any

import pytest

from mastercontrol.api.status_json import to_raw
from unit.engine.builders import Raw, Run, catching, each, parallel, retrying, state, step


def test_each_item_is_the_input_of_its_block() -> None:
    run = Run.of(each("m", "${input.list}", step("a")), input={"list": ["x", {"y": 1}, None]})
    assert [m.input for m in run.sent] == ["x", {"y": 1}, None]


def test_item_and_index_are_in_scope() -> None:
    template = {"item": "${item}", "index": "${index}", "all": "${job.input.list}"}
    run = Run.of(each("m", "${input.list}", state("Pass", "p"), step("a", input=template)), input={"list": ["x", "y"]})
    assert [m.input for m in run.sent] == [{"item": v, "index": i, "all": ["x", "y"]} for i, v in enumerate("xy")]


def test_the_results_are_in_the_order_of_the_items_whatever_the_order_they_came_in() -> None:
    run = Run.of(each("m", [1, 2, 3], step("a")))
    for index in (2, 0, 1):
        run.done(f"m[{index}].a", f"of {index}")
    assert run.ending == ("Done", ["of 0", "of 1", "of 2"])


def test_no_items_are_an_empty_list_at_once() -> None:
    run = Run.of(each("m", [], step("a")), state("Pass", "p"))
    assert run.ending == ("Done", [])
    assert run.sent == []


@pytest.mark.parametrize("items", ["${input.nope}", "${1}", "text", {"a": 1}])
def test_items_that_are_no_list_are_an_error_that_can_be_caught(items: Any) -> None:
    rule = catching("h", "States.QueryEvaluationError")
    run = Run.of(each("m", items, step("a"), catch=rule, end=True), step("h"))
    error = run.message("h").input
    why = "there is no key 'nope'" if items == "${input.nope}" else "the items of a Map must be a list"
    assert (error["code"], error["message"]) == ("States.QueryEvaluationError", why)


def test_no_more_items_than_max_concurrency_are_at_work() -> None:
    run = Run.of(each("m", [1, 2, 3, 4], step("a"), step("b"), maxConcurrency=2))
    assert run.paths == ["m[0].a", "m[1].a"]
    run.done("m[1].a")
    assert run.paths == ["m[0].a", "m[1].b"], "an item counts until all of its states are done"
    run.done("m[1].b")
    assert run.paths == ["m[0].a", "m[2].a"]
    assert run.status.message == "m: 1 of 4 done, 2 at work"
    for path in ("m[0].a", "m[0].b", "m[2].a", "m[2].b", "m[3].a", "m[3].b"):
        run.done(path, path)
    assert run.ending == ("Done", ["m[0].b", None, "m[2].b", "m[3].b"])


def test_the_next_item_is_sent_with_the_result_that_made_room_for_it() -> None:
    run = Run.of(each("m", [1, 2], step("a"), maxConcurrency=1))
    writes = run.writes
    decision = run.done("m[0].a")
    assert [d.message.input for d in decision.publish] == [2]
    assert run.writes == writes + 1


def test_an_item_that_fails_ends_the_others() -> None:
    run = Run.of(each("m", [1, 2], step("a"), catch=catching("h"), end=True), step("h"))
    run.broken("m[1].a", "Lost")
    assert run.paths == ["h"]
    assert run.message("h").input == {"code": "Lost", "message": "no", "state": "m"}


def fails(run: Run, *indexes: int) -> Run:
    for index in indexes:
        run.broken(f"m[{index}].a", "Lost")
    return run


def succeeds(run: Run, *indexes: int) -> Run:
    for index in indexes:
        run.done(f"m[{index}].a", index)
    return run


LOST = {"error": {"code": "Lost", "message": "no", "state": "a"}}


def test_as_many_failures_as_are_tolerated_by_count_are_results() -> None:
    run = fails(Run.of(each("m", [1, 2, 3], step("a"), toleratedFailureCount=2)), 0, 2)
    assert run.status.message == "m: 2 of 3 done, 2 failed, 1 at work"
    succeeds(run, 1)
    assert run.ending == ("Done", [LOST, 1, LOST])


def test_one_more_failure_than_is_tolerated_fails_the_map() -> None:
    run = fails(Run.of(each("m", [1, 2, 3], step("a"), toleratedFailureCount=1)), 0, 1)
    assert run.ending == ("Failed", "States.ExceedToleratedFailureThreshold")
    assert run.status.error is not None
    assert run.status.error.message == "2 of 3 items failed; the last: Lost: no"


def test_no_failures_tolerated_is_not_the_same_as_nothing_said() -> None:
    run = fails(Run.of(each("m", [1, 2], step("a"), toleratedFailureCount=0)), 0)
    assert run.ending == ("Failed", "States.ExceedToleratedFailureThreshold")
    run = fails(Run.of(each("m", [1, 2], step("a"))), 0)
    assert run.ending == ("Failed", "Lost")


def test_failures_are_tolerated_up_to_a_percentage() -> None:
    half = each("m", [1, 2, 3, 4], step("a"), toleratedFailurePercentage=50)
    assert succeeds(fails(Run.of(half), 0, 1), 2, 3).ending == ("Done", [LOST, LOST, 2, 3])
    assert fails(Run.of(half), 0, 1, 2).ending == ("Failed", "States.ExceedToleratedFailureThreshold")


def test_a_percentage_that_is_no_whole_number_of_items_is_not_rounded() -> None:
    third = each("m", [1, 2, 3], step("a"), toleratedFailurePercentage=33)
    assert fails(Run.of(third), 0).ending == ("Failed", "States.ExceedToleratedFailureThreshold")
    third |= {"toleratedFailurePercentage": 33.4}
    assert succeeds(fails(Run.of(third), 0), 1, 2).status.state == "Done"


def test_of_two_thresholds_the_first_that_is_exceeded_counts() -> None:
    both = each("m", [1, 2, 3, 4], step("a"), toleratedFailureCount=3, toleratedFailurePercentage=25)
    assert fails(Run.of(both), 0, 1).ending == ("Failed", "States.ExceedToleratedFailureThreshold")
    both |= {"toleratedFailureCount": 0, "toleratedFailurePercentage": 100}
    assert fails(Run.of(both), 0).ending == ("Failed", "States.ExceedToleratedFailureThreshold")


def test_a_tolerated_failure_makes_room_for_the_next_item() -> None:
    run = Run.of(each("m", [1, 2], step("a"), maxConcurrency=1, toleratedFailureCount=1))
    decision = run.broken("m[0].a")
    assert [d.message.input for d in decision.publish] == [2]


def test_a_fail_state_in_an_item_is_tolerated() -> None:
    choices = [{"when": "item == 2", "next": "f"}]
    states = [state("Choice", "c", choices=choices, default="s"), state("Succeed", "s"), state("Fail", "f", code="Two")]
    run = Run.of(each("m", [1, 2], *states, toleratedFailureCount=1))
    assert run.ending == ("Done", [1, {"error": {"code": "Two", "message": "", "state": "f"}}])


def test_too_many_failures_are_retried_by_the_whole() -> None:
    retry = {"rules": [retrying(1, 0, errors=["States.ExceedToleratedFailureThreshold"])]}
    run = fails(Run.of(each("m", [1, 2], step("a"), toleratedFailureCount=0, retry=retry)), 0)
    assert run.paths == ["m"]
    run.wake()
    run.wake()
    assert succeeds(run, 0, 1).ending == ("Done", [0, 1])


def test_too_many_failures_are_caught_by_their_name() -> None:
    rule = catching("h", "States.ExceedToleratedFailureThreshold")
    run = fails(Run.of(each("m", [1], step("a"), toleratedFailureCount=0, catch=rule, end=True), step("h")), 0)
    assert run.paths == ["h"]


def test_too_many_failures_are_no_failed_task() -> None:
    rule = catching("h", "States.TaskFailed")
    run = fails(Run.of(each("m", [1], step("a"), toleratedFailureCount=0, catch=rule, end=True), step("h")), 0)
    assert run.ending == ("Failed", "States.ExceedToleratedFailureThreshold")


def test_a_map_is_tried_again_as_often_as_its_limit_says() -> None:
    run = fails(Run.of(each("m", [1], step("a"), retry=retrying(1, 0))), 0)
    run.wake()
    run.wake()
    assert fails(run, 0).ending == ("Failed", "Lost")


def test_a_retried_map_evaluates_its_items_again_and_begins_with_all_of_them() -> None:
    run = Run.of(step("a"), each("m", "${input}", step("b"), retry=retrying(1, 0)))
    run.done("a", [1, 2])
    run.done("m[0].b")
    run.broken("m[1].b")
    run.wake()
    run.wake()
    assert [m.input for m in run.sent if m.step == "b"] == [1, 2, 1, 2]


def test_a_map_that_is_entered_again_at_once_has_the_items_of_then() -> None:
    def some(name: str, *items: int, **more: Any) -> Raw:
        return state("Pass", name, assign={"some": list(items)}, **more)

    again = state("Choice", "again", choices=[{"when": "size(vars.some) == 2", "next": "fewer"}], default="end")
    run = Run.of(
        some("first", 1, 2),
        each("m", "${vars.some}", state("Pass", "p")),
        again,
        some("fewer", 7, next="m"),
        state("Succeed", "end"),
    )
    assert run.ending == ("Done", [7])


def test_a_map_in_a_map_sees_the_inner_item_and_the_outer_steps() -> None:
    inner = each("in", "${item}", step("a", input={"item": "${item}", "index": "${index}", "of": "${steps.p.output}"}))
    run = Run.of(each("out", [[1, 2], [3]], state("Pass", "p", output="${index}"), inner))
    assert [m.input for m in run.sent] == [
        {"item": 1, "index": 0, "of": 0},
        {"item": 2, "index": 1, "of": 0},
        {"item": 3, "index": 0, "of": 1},
    ]
    run.done("out[0].in[0].a", "1")
    run.done("out[1].in[0].a", "3")
    run.done("out[0].in[1].a", "2")
    assert run.ending == ("Done", [["1", "2"], ["3"]])


def test_a_map_in_a_parallel_ends_with_a_branch_that_fails() -> None:
    run = Run.of(parallel("fan", [each("m", [1, 2], step("a"))], [step("b")], catch=catching("h"), end=True), step("h"))
    run.done("fan[0].m[0].a")
    run.broken("fan[1].b")
    assert run.paths == ["h"]
    assert (run.status.groups, run.status.scopes) == ((), ())


def test_a_parallel_in_a_map_still_sees_the_item() -> None:
    run = Run.of(each("m", ["x"], parallel("fan", [step("a", input="${item}")], [step("b", input="${index}")])))
    assert [m.input for m in run.sent] == ["x", 0]


def test_the_items_are_not_stored_again() -> None:
    items = [{"text": "x" * 500}] * 20
    run = Run.of(each("m", "${input}", state("Pass", "p"), step("a")), input=items)
    assert len(str(to_raw(run.status))) < 20 * 500


def test_a_loop_over_a_map_begins_it_afresh() -> None:
    choices = [{"when": "vars.n < 2", "next": "m"}]
    run = Run.of(
        state("Pass", "begin", assign={"n": 0}),
        each("m", [1], step("a"), assign={"n": "${vars.n + 1}"}),
        state("Choice", "again", choices=choices, default="end"),
        state("Succeed", "end"),
    )
    run.done("m[0].a", "first")
    run.done("m[0].a", "second")
    assert run.ending == ("Done", ["second"])


def test_nothing_is_left_of_an_item_whose_failure_is_tolerated() -> None:
    run = Run.of(each("m", [1, 2], step("x"), step("a", input="${steps.x.output}"), toleratedFailureCount=1))
    run.done("m[0].x", "X")
    assert [s.path for s in run.status.scopes] == ["m[0]"]
    run.broken("m[0].a")
    assert run.status.scopes == ()
