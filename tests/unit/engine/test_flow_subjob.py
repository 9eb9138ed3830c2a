"""SubJob: a state that is a child Job of another Workflow, seen from its parent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mastercontrol.api.family import parent_of
from mastercontrol.api.job import parse_job
from mastercontrol.api.names import ConditionType, Phase, Reason
from mastercontrol.api.values import InvalidObject
from mastercontrol.api.workflow import parse_spec
from mastercontrol.diagram.graph import Kind, graph_of
from mastercontrol.engine.facts import Absent, Ended, Limits, NewChild, Running, Unusable
from mastercontrol.engine.moves import status_bytes
from mastercontrol.engine.subjobs import MAX_DEPTH
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import Faults
from mastercontrol_worker.contract import Failed, StepError, Succeeded
from unit.engine.builders import (
    NOW,
    UID,
    Run,
    catching,
    each,
    parallel,
    retrying,
    seconds,
    state,
    step,
    written,
)


def sub_job(name: str = "bill", **more: Any) -> dict[str, Any]:
    return state("SubJob", name, workflow="billing", **more)


def entered(*states: dict[str, Any], **spec: Any) -> Run:
    """A job whose SubJob is committed, and no more."""
    return Run.of(*(states or (sub_job(), step("after"))), **spec)


def waiting(*states: dict[str, Any], **spec: Any) -> Run:
    """A job whose child is created."""
    run = entered(*states, **spec)
    run.wake()
    return run


def meta(new: NewChild) -> dict[str, Any]:
    found: dict[str, Any] = new.manifest["metadata"]
    return found


# -- created once, after the entry is committed


def test_no_child_is_created_before_its_entry_is_committed() -> None:
    run = entered()
    assert run.made == []
    assert (run.paths, run.at("bill").dispatched_at) == (["bill"], None)
    assert run.last.wake_at == NOW


def test_a_committed_entry_makes_a_child_and_marks_it_in_one_write() -> None:
    run = waiting()
    assert run.made_ids == ["1:1"]
    assert run.at("bill").dispatched_at == NOW
    assert run.writes == 2
    assert run.status.sequence == 1


def test_a_child_has_the_input_of_its_state_and_names_its_parent() -> None:
    run = waiting(sub_job(input={"amount": "${input.n}"}), input={"n": 3})
    (new,) = run.made
    assert new.manifest["spec"] == {"workflow": "billing", "input": {"amount": 3}}
    assert meta(new)["namespace"] == "shop"
    assert meta(new)["labels"] == {"mastercontrol.dev/parent": "order-1", "mastercontrol.dev/state": "bill"}
    (owner,) = meta(new)["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("Job", "order-1", UID, True)
    child = parse_job(new.manifest)
    assert child.parent == parent_of(meta(new))
    assert child.depth == 1
    assert child.parent is not None
    assert (child.parent.uid, child.parent.seq, child.parent.attempt) == (UID, 1, 1)


def test_a_child_is_as_urgent_as_its_parent() -> None:
    assert parse_job(waiting(priority=7).made[0].manifest).spec.priority == 7
    assert "priority" not in waiting().made[0].manifest["spec"]


def test_a_child_is_a_job_of_the_workflow_that_belongs_to_its_parent() -> None:
    run = waiting(sub_job("Fix_X", input={"n": 3}))
    name = meta(run.made[0])["name"]
    assert name.startswith("order-1-fix-x-")
    assert run.made[0].manifest == {
        "apiVersion": "mastercontrol.dev/v1alpha1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {"mastercontrol.dev/parent": "order-1", "mastercontrol.dev/state": "Fix_X"},
            "annotations": {"mastercontrol.dev/dispatch": f"{UID}:1:1", "mastercontrol.dev/depth": "1"},
            "ownerReferences": [
                {
                    "apiVersion": "mastercontrol.dev/v1alpha1",
                    "kind": "Job",
                    "name": "order-1",
                    "uid": UID,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {"workflow": "billing", "input": {"n": 3}},
    }


@pytest.mark.parametrize(
    ("job", "label"),
    [("j" * 63, "j" * 63), ("j" * 64, "j" * 63), ("j" * 61 + "-.k", "j" * 61)],
    ids=["as-long-as-it-may-be", "longer", "cut-at-a-sign"],
)
def test_the_label_of_a_child_is_as_much_of_its_parent_s_name_as_a_label_takes(job: str, label: str) -> None:
    run = entered()
    run.job = replace(run.job, name=job)
    run.wake()
    assert meta(run.made[0])["labels"]["mastercontrol.dev/parent"] == label


def test_a_child_of_a_state_without_input_has_none() -> None:
    assert waiting(sub_job(input=None)).made[0].manifest["spec"] == {"workflow": "billing"}


def test_nothing_lives_on_in_a_child_once_it_has_ended() -> None:
    assert "ttlSecondsAfterFinished" not in waiting().made[0].manifest["spec"]


def test_a_child_is_named_after_its_parent_and_its_state() -> None:
    name = meta(waiting().made[0])["name"]
    assert name.startswith("order-1-bill-")
    assert len(name) == len("order-1-bill-") + 10


@pytest.mark.parametrize(
    ("job", "state_name", "begin"),
    [
        ("j" * 250, "bill", "j" * 47 + "-bill-"),
        ("j" * 40 + "." + "k" * 40, "a" * 63, "j" * 31 + "-" + "a" * 20 + "-"),
        ("j" * 30 + "." + "k" * 40, "a" * 63, "j" * 30 + "-" + "a" * 20 + "-"),
        ("a.b", "Charge_the-Card__", "a.b-charge-the-card-"),
    ],
)
def test_the_name_of_a_child_is_one_that_a_job_may_have(job: str, state_name: str, begin: str) -> None:
    run = entered(sub_job(state_name))
    run.job = replace(run.job, name=job)
    run.wake()
    name = meta(run.made[0])["name"]
    assert name.startswith(begin)
    assert len(name) == len(begin) + 10 <= 63


def test_a_child_whose_creation_did_not_get_through_is_created_again_by_that_name() -> None:
    run = entered()
    first = run.decide()
    again = run.decide()
    assert first.create == again.create != ()


def test_a_child_that_was_created_is_not_created_again() -> None:
    run = waiting()
    run.child("bill", Running())
    run.turn()
    assert run.made_ids == ["1:1"]
    assert run.writes == 2


def test_the_end_of_a_child_is_not_taken_before_it_is_marked() -> None:
    run = entered()
    run.child_done("bill", 1)
    assert (run.paths, run.at("bill").dispatched_at) == (["bill"], NOW)
    run.turn()
    assert run.paths == ["after"]


def test_what_is_not_known_of_a_child_changes_nothing() -> None:
    run = waiting()
    run.turn()
    assert run.paths == ["bill"]


def test_a_child_behind_a_step_is_created_by_the_turn_after_its_result() -> None:
    run = entered(step("a"), sub_job())
    run.done("a", {"n": 5})
    assert run.made == []
    run.wake()
    assert run.made[0].manifest["spec"]["input"] == {"n": 5}


# -- its end comes up


def test_the_output_of_the_child_is_the_output() -> None:
    run = waiting()
    run.child_done("bill", {"receipt": 7})
    assert run.paths == ["after"]
    run.wake()
    assert run.message("after").input == {"receipt": 7}
    assert run.status.history[-1].worker == meta(run.made[0])["name"]


def test_a_step_after_a_child_is_committed_before_it_is_sent() -> None:
    run = waiting()
    run.child_done("bill")
    assert run.sent == []
    assert run.at("after").dispatched_at is None
    assert run.last.wake_at == run.now


def test_output_and_assign_see_the_result_of_the_child() -> None:
    run = waiting(
        sub_job(output="${result.receipt}", assign={"r": "${result.receipt}"}), state("Pass", "p", output="${vars.r}")
    )
    run.child_done("bill", {"receipt": 7})
    assert run.ending == ("Done", 7)


def test_a_failed_child_fails_its_state_with_the_child_s_code() -> None:
    run = waiting()
    run.child_failed("bill", "CardDeclined")
    assert run.ending == ("Failed", "CardDeclined")


def test_a_failed_child_is_caught_as_a_failed_task() -> None:
    run = waiting(sub_job(catch=catching("other", "States.TaskFailed"), end=True), state("Pass", "other"))
    run.child_failed("bill", "CardDeclined")
    state_, output = run.ending
    assert (state_, output["code"], output["state"]) == ("Done", "CardDeclined", "bill")


def test_a_failed_child_is_not_tried_again_unless_its_state_says_so() -> None:
    run = waiting(sub_job())
    run.child_failed("bill")
    assert run.ending == ("Failed", "Broken")


def test_another_attempt_is_another_child() -> None:
    run = waiting(sub_job(retry=retrying(1, seconds=5)))
    run.child_failed("bill")
    assert run.made_ids == ["1:1"]
    assert run.last.wake_at == NOW + seconds(5)
    run.wake()
    assert run.made_ids == ["1:1", "2:2"]
    assert meta(run.made[0])["name"] != meta(run.made[1])["name"]
    run.child_done("bill", "well")
    assert run.ending == ("Done", "well")


def test_no_other_child_is_made_or_waited_for_before_its_time() -> None:
    run = waiting(sub_job(retry=retrying(1, seconds=5)))
    run.child_failed("bill")
    run.later(4).turn()
    assert run.made_ids == ["1:1"]
    assert run.condition(ConditionType.WAITING) == (True, "BackOff")


def test_a_child_that_was_deleted_is_an_error_and_no_other_is_made() -> None:
    run = waiting()
    run.child("bill", Absent())
    assert run.ending == ("Failed", "SubJobDeleted")
    assert run.made_ids == ["1:1"]


@pytest.mark.parametrize(
    "outcome", [Ended(Failed(StepError("CardDeclined", "no"))), Absent()], ids=["failed", "deleted"]
)
def test_the_history_names_the_child_that_failed(outcome: Ended | Absent) -> None:
    run = waiting()
    run.child("bill", outcome)
    assert run.status.history[-1].worker == meta(run.made[0])["name"]


def test_a_child_that_was_deleted_is_made_again_where_its_state_asks_for_that() -> None:
    run = waiting(sub_job(retry={"rules": [{"errors": ["SubJobDeleted"], "backoffSeconds": 0}]}))
    run.child("bill", Absent())
    run.wake()
    assert run.made_ids == ["1:1", "2:2"]


def test_a_child_that_cannot_be_is_an_error_that_no_attempt_follows() -> None:
    run = entered(sub_job(retry=retrying(3)))
    run.child("bill", Unusable(Reason.SUB_JOB_CONFLICT, "it is somebody else's"))
    assert run.ending == ("Failed", "SubJobConflict")
    assert run.made == []


def test_a_child_that_cannot_be_holds_up_none_behind_it() -> None:
    run = entered(each("m", [1, 2, 3], sub_job(), toleratedFailureCount=1))
    run.child("m[0].bill", Unusable(Reason.SUB_JOB_REJECTED, "no"))
    assert [new.manifest["spec"]["input"] for new in run.made] == [2, 3]
    assert run.paths == ["m[1].bill", "m[2].bill"]


def test_a_child_too_deep_is_an_error_that_no_attempt_follows() -> None:
    run = entered(sub_job(retry=retrying(3)))
    run.job = replace(run.job, depth=MAX_DEPTH)
    run.wake()
    assert run.ending == ("Failed", "SubJobTooDeep")


def test_a_child_too_deep_is_an_error_with_a_name() -> None:
    run = entered(sub_job(catch=catching("other", "SubJobTooDeep"), end=True), state("Pass", "other"))
    run.job = replace(run.job, depth=MAX_DEPTH)
    run.wake()
    assert run.made == []
    assert run.status.state == "Done"


def test_a_child_at_the_last_depth_is_made() -> None:
    run = entered()
    run.job = replace(run.job, depth=MAX_DEPTH - 1)
    run.wake()
    assert parse_job(run.made[0].manifest).depth == MAX_DEPTH


# -- time, and what the user says


def test_a_child_that_takes_too_long_is_a_timeout() -> None:
    run = waiting(sub_job(timeoutSeconds=60))
    assert run.last.wake_at == NOW + seconds(60)
    run.wake()
    assert run.ending == ("Failed", "Timeout")


def test_a_child_that_ended_in_the_last_moment_has_not_taken_too_long() -> None:
    run = waiting(sub_job(timeoutSeconds=60))
    run.later(61)
    run.child_done("bill", 1)
    assert run.ending == ("Done", 1)


def test_another_attempt_after_a_timeout_has_a_time_of_its_own() -> None:
    run = waiting(sub_job(timeoutSeconds=60, retry=retrying(1, seconds=5)))
    run.wake()
    run.wake()
    assert run.at("bill").deadline == NOW + seconds(60 + 5 + 60)


def test_a_cancelled_job_waits_for_no_child() -> None:
    run = waiting().change(cancel=True)
    run.child_done("bill", 1)
    assert run.status.state == "Cancelled"
    assert run.status.active == ()


def test_a_job_that_is_cancelled_before_its_child_is_created_makes_none() -> None:
    run = entered().change(cancel=True)
    run.turn()
    assert run.made == []


def test_a_job_whose_time_is_over_makes_no_child() -> None:
    run = entered(active_deadline_seconds=10).later(11)
    run.turn()
    assert run.made == []
    assert run.ending == ("Failed", "DeadlineExceeded")


def test_a_suspended_job_makes_no_child_until_it_goes_on() -> None:
    run = entered().change(suspend=True)
    run.turn()
    run.turn()
    assert run.made == []
    run.change(suspend=False).turn()
    assert run.made_ids == ["1:1"]


def test_a_suspended_job_takes_the_end_of_its_child() -> None:
    run = waiting(sub_job(), sub_job("again")).change(suspend=True)
    run.child_done("bill")
    assert run.paths == ["again"]
    run.turn()
    assert run.made_ids == ["1:1"]
    assert run.status.phase is Phase.SUSPENDED


# -- among others


def test_children_of_branches_are_created_by_one_write() -> None:
    run = waiting(parallel("fan", [sub_job("a")], [sub_job("b")]))
    assert run.made_ids == ["2:1", "3:1"]
    assert run.writes == 2
    assert len({meta(new)["name"] for new in run.made}) == 2


def test_a_child_that_fails_ends_the_branch_beside_it() -> None:
    run = waiting(parallel("fan", [sub_job("a")], [sub_job("b")]))
    run.child_failed("fan[1].b", "Broken")
    assert run.ending == ("Failed", "Broken")


def test_a_child_whose_branch_is_dropped_in_the_same_turn_is_not_created() -> None:
    run = entered(parallel("fan", [sub_job("a")], [sub_job("b")], catch=catching("other"), end=True), step("other"))
    run.child("fan[1].b", Unusable(Reason.SUB_JOB_REJECTED, "no"))
    assert run.made == []
    assert run.paths == ["other"]


def test_a_step_beside_a_child_that_cannot_be_is_not_sent_on() -> None:
    run = entered(
        parallel("fan", [sub_job("a")], [step("b"), step("c")], catch=catching("other"), end=True), step("other")
    )
    run.children[run.id("fan[0].a")] = Unusable(Reason.SUB_JOB_REJECTED, "no")
    run.done("fan[1].b")
    assert run.steps == ["b"]
    assert run.paths == ["other"]


def test_a_step_beside_a_child_that_failed_is_not_sent_on() -> None:
    run = waiting(
        parallel("fan", [sub_job("a")], [step("b"), step("c")], catch=catching("other"), end=True), step("other")
    )
    run.children[run.id("fan[0].a")] = Absent()
    run.done("fan[1].b")
    assert run.steps == ["b"]
    assert run.paths == ["other"]


def test_a_child_of_a_branch_that_is_begun_anew_in_the_same_turn_is_another_one() -> None:
    run = entered(parallel("fan", [sub_job("a")], [step("b")], catch=catching("fan"), end=True))
    before = run.at("fan[0].a")
    run.broken("fan[1].b")
    assert run.made == []
    assert run.at("fan[0].a").seq > before.seq
    assert run.at("fan[0].a").dispatched_at is None
    run.wake()
    assert run.made_ids == [f"{run.at('fan[0].a').seq}:1"]


def test_a_child_that_would_make_the_status_too_large_is_not_created() -> None:
    run = entered()
    run.limits = Limits(status_bytes=status_bytes(run.status))
    run.wake()
    assert run.made == []
    assert run.ending == ("Failed", "StatusTooLarge")


def test_two_children_that_end_in_the_same_turn_are_both_taken() -> None:
    run = waiting(parallel("fan", [sub_job("a")], [sub_job("b")]))
    run.children[run.id("fan[0].a")] = Ended(Succeeded(1))
    run.child_done("fan[1].b", 2)
    assert run.ending == ("Done", [1, 2])
    assert run.writes == 3


def test_of_two_children_that_fail_in_the_same_turn_one_is_the_error() -> None:
    run = waiting(parallel("fan", [sub_job("a")], [sub_job("b")]))
    run.children[run.id("fan[0].a")] = Ended(Failed(StepError("First", "no")))
    run.child_failed("fan[1].b", "Second")
    assert run.ending == ("Failed", "First")


def test_a_map_makes_a_child_for_each_item() -> None:
    run = waiting(each("m", [1, 2, 3], sub_job(), maxConcurrency=2))
    assert [new.manifest["spec"]["input"] for new in run.made] == [1, 2]
    run.child_done("m[0].bill", "one")
    run.wake()
    assert [new.manifest["spec"]["input"] for new in run.made] == [1, 2, 3]
    run.child_done("m[2].bill", "three")
    run.child_done("m[1].bill", "two")
    assert run.ending == ("Done", ["one", "two", "three"])


def test_a_branch_with_a_child_does_not_hold_up_a_step_beside_it() -> None:
    run = waiting(parallel("fan", [sub_job("a")], [step("b"), step("c")]))
    run.done("fan[1].b", 5)
    assert run.steps == ["b", "c"]
    assert run.paths == ["fan[0].a", "fan[1].c"]


def test_a_broker_that_lost_its_data_has_lost_no_child() -> None:
    run = waiting()
    run.epoch = "e2"
    run.turn()
    run.turn()
    assert run.made_ids == ["1:1"]
    assert run.sent == []
    assert run.writes == 2, "and there is nothing to write of that"


# -- what is said of it


def test_a_job_says_which_child_it_waits_for() -> None:
    run = waiting()
    assert run.status.message == f"bill waits for Job {meta(run.made[0])['name']}"
    assert run.condition(ConditionType.WAITING) == (True, "SubJob")


def test_what_a_child_says_alone_is_worth_no_write() -> None:
    run = waiting()
    run.child("bill", Running("charge is with pool payments"))
    run.child("bill", Running("done soon"))
    assert run.writes == 2


def test_what_a_child_says_is_written_with_something_else() -> None:
    run = waiting()
    run.children[run.id("bill")] = Running("charge is with pool payments")
    run.change(suspend=True).turn()
    run.change(suspend=False).turn()
    name = meta(run.made[0])["name"]
    assert run.status.message == f"bill waits for Job {name} (charge is with pool payments)"


def test_a_job_that_waits_no_more_says_so() -> None:
    run = waiting()
    run.child_done("bill")
    assert run.condition(ConditionType.WAITING) is None
    assert run.status.message == "after is next"


# -- the language


def test_a_sub_job_needs_a_workflow() -> None:
    with pytest.raises(InvalidObject, match="workflow"):
        parse_spec({"states": [{"name": "a", "type": "SubJob"}]})


def test_a_name_that_no_workflow_has_is_a_fault() -> None:
    compiled = compile_workflow("w", parse_spec({"states": [{"name": "a", "type": "SubJob", "workflow": "A b"}]}))
    assert isinstance(compiled, Faults)
    assert compiled.messages == ("spec.states[0].workflow: 'A b' is no name of a Workflow",)


def test_the_picture_of_a_workflow_names_that_of_its_child() -> None:
    graph = graph_of(written(sub_job(retry={"limit": 2}, catch=catching("other"), end=True), step("other")))
    node = next(n for n in graph.nodes if n.id == "bill")
    assert (node.kind, node.details) == (Kind.SUB_JOB, ("Workflow billing",))
    assert {(e.target, e.labels) for e in graph.edges if e.source == "bill"} == {
        ("bill", ("retry 2 times",)),
        ("other", ("catch any error",)),
        ("(Done)", ()),
    }


# -- where a job closes


def closing(*states: dict[str, Any], **more: Any) -> Run:
    run = Run("unused")
    run.definition = written(*states, **more)
    run.turn()
    return run


def test_a_clean_up_may_be_a_child_job() -> None:
    run = closing(step("a"), onExit={"states": [sub_job()]})
    run.done("a", "out")
    run.wake()
    assert [meta(new)["name"].partition("-bill-")[0] for new in run.made] == ["order-1"]
    assert (run.status.message or "").startswith("onExit.bill waits for Job order-1-bill-")
    run.child_done("onExit.bill")
    assert run.ending == ("Done", "out")


def test_a_child_job_may_undo_a_state() -> None:
    run = closing(step("a", compensate={"states": [sub_job()]}), step("b"))
    run.done("a", {"booked": 7})
    run.broken("b")
    run.wake()
    assert [new.manifest["spec"]["input"] for new in run.made] == [{"booked": 7}]
    run.child_done("compensate[0].bill")
    assert run.ending == ("Failed", "Broken")


def test_a_clean_up_by_a_child_job_is_said_although_the_blocks_that_failed_are_kept() -> None:
    run = closing(parallel("fan", [step("a")], [step("b")]), onExit={"states": [sub_job()]})
    run.broken("fan[0].a")
    run.wake()
    assert (run.status.message or "").startswith("onExit.bill waits for Job order-1-bill-")
    assert run.condition(ConditionType.WAITING) == (True, "SubJob")
