"""Compiling a Workflow: what its states mean, and every fault at once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from mastercontrol.api.workflow import ChoiceSpec, RetryRuleSpec, RetrySpec, StateSpec, WorkflowSpec
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import Definition, Faults, WaitState
from unit.engine.builders import parallel, step, written


def task(name: str, pool: str = "pool") -> StateSpec:
    return StateSpec(path=f"spec.states.{name}", name=name, pool=pool)


def placed(*states: StateSpec) -> WorkflowSpec:
    """A spec in which each state knows its place."""
    return WorkflowSpec(tuple(replace(s, path=f"spec.states[{i}]") for i, s in enumerate(states)))


def compiled(*states: StateSpec, name: str = "order") -> Definition:
    found = compile_workflow(name, placed(*states))
    assert isinstance(found, Definition), found
    return found


def faults(*states: StateSpec) -> tuple[str, ...]:
    found = compile_workflow("order", placed(*states))
    assert isinstance(found, Faults), found
    return found.messages


def choice(*leads_to: str, default: str, **more: Any) -> StateSpec:
    rules = tuple(ChoiceSpec("true", name) for name in leads_to)
    return StateSpec(path="", name="either", type="Choice", choices=rules, default=default, **more)


A, B, C = (task(name) for name in "abc")


def test_states_follow_each_other_in_the_order_of_the_list() -> None:
    found = compiled(A, B, C)
    assert found.start == "a"
    assert [(s.name, s.next) for s in found.states.values()] == [("a", "b"), ("b", "c"), ("c", None)]


def test_a_next_that_is_written_overrides_the_order() -> None:
    found = compiled(replace(A, next="c"), replace(B, next="d"), replace(C, next="b"), task("d"))
    assert {s.name: s.next for s in found.states.values()} == {"a": "c", "c": "b", "b": "d", "d": None}


@pytest.mark.parametrize("name", ["", "1a", "a.b", "a b", "é", "a" * 64, "-a", "a\n"])
def test_a_name_that_is_no_state_name_is_a_fault(name: str) -> None:
    (fault,) = faults(task(name))
    assert fault.startswith("spec.states[0].name: ")


@pytest.mark.parametrize("name", ["a", "A-b_9", "a" * 63, "add", "trigger", "Begin", "class"])
def test_any_other_name_is_fine(name: str) -> None:
    assert compiled(task(name)).start == name


@pytest.mark.parametrize("pool", ["", "Pool", "a.b", "-a", "a-", "a" * 41, "a\n"])
def test_a_pool_that_is_no_name_of_one_is_a_fault(pool: str) -> None:
    (fault,) = faults(task("a", pool))
    assert fault.startswith("spec.states[0].pool: ")


def test_every_fault_is_said_at_once_with_its_field() -> None:
    found = faults(task("1", "Pool"), A, A, replace(B, next="nowhere"))
    assert sorted(f.partition(":")[0] for f in found) == [
        "spec.states[0].name",
        "spec.states[0].pool",
        "spec.states[2].name",
        "spec.states[3].next",
    ]
    assert str(compile_workflow("order", placed(task("1")))).startswith("spec.states[0].name")


def test_a_chain_that_leads_back_never_ends() -> None:
    end = "there is no way to an end, so a job would never end"
    assert faults(A, replace(B, next="a")) == (f"spec.states[0]: from 'a' and 'b' {end}",)
    assert faults(A, replace(B, next="b")) == (f"spec.states[1]: from 'b' {end}",)


def test_each_loop_that_is_never_left_is_a_fault_of_its_own() -> None:
    found = faults(choice("b", default="a"), replace(A, next="a"), B, replace(C, next="b"))
    assert [fault.partition(" there")[0] for fault in found] == [
        "spec.states[1]: from 'a'",
        "spec.states[2]: from 'b' and 'c'",
    ]


def test_a_state_that_nothing_leads_to_is_a_fault() -> None:
    assert any("'b' is never reached" in f for f in faults(replace(A, next="c"), B, C))


def test_a_choice_does_not_lead_to_the_state_behind_it_unless_it_says_so() -> None:
    assert faults(choice("c", default="c"), B, C) == ("spec.states[1]: 'b' is never reached from 'either'",)


def test_a_choice_at_the_end_of_the_list_is_no_end() -> None:
    end = "there is no way to an end, so a job would never end"
    assert faults(A, choice("a", default="a")) == (f"spec.states[0]: from 'a' and 'either' {end}",)


@pytest.mark.parametrize("more", [{"next": "a"}, {"end": True}], ids=["next", "end"])
def test_a_choice_leads_where_its_rules_say_and_nowhere_else(more: dict[str, Any]) -> None:
    found = faults(choice("a", default="a", **more), A)
    assert found == ("spec.states[0].next: a Choice leads where its rules say; write default",)


def test_a_path_into_a_branch_that_there_is_not_leads_nowhere() -> None:
    found = written(parallel("fan", [step("a")], [step("b")]))
    assert [state and state.name for state in map(found.find, ("fan[0].a", "fan[1].b", "fan[2].a", "fan.a"))] == [
        "a",
        "b",
        None,
        None,
    ]


def test_the_revision_is_named_by_the_content() -> None:
    one = compiled(A, B)
    assert one.revision.startswith("order-")
    assert one == compiled(A, B)
    assert hash(one) == hash(compiled(A, B))
    others = [
        compiled(B, A),
        compiled(A, replace(B, pool="other")),
        compiled(A, replace(B, timeout_seconds=1)),
        compiled(A, replace(B, retry=(RetryRuleSpec(("States.ALL",), RetrySpec(limit=1)),))),
        compiled(A, B, name="parcel"),
    ]
    assert len({d.revision for d in (one, *others)}) == 6


def test_the_order_of_the_keys_of_an_object_makes_no_other_revision() -> None:
    one, other = {"x": 1, "y": 2}, {"y": 2, "x": 1}
    assert compiled(replace(A, has_input=True, input=one)) == compiled(replace(A, has_input=True, input=other))


def test_operators_of_two_versions_give_a_revision_the_same_name() -> None:
    content = json.dumps(asdict(placed(A, B)), sort_keys=True, indent=None, separators=(",", ":"))
    assert compiled(A, B).revision == f"order-{hashlib.sha256(content.encode()).hexdigest()[:10]}"


def test_a_workflow_without_states_is_a_fault() -> None:
    assert faults() == ("spec.states: write a list of states",)


def test_a_state_that_should_name_a_pool_or_a_workflow_and_does_not_is_a_fault() -> None:
    assert faults(StateSpec(path="", name="a")) == ("spec.states[0].pool: '' is no name of a WorkerPool",)
    sub_job = StateSpec(path="", name="a", type="SubJob")
    assert faults(sub_job) == ("spec.states[0].workflow: '' is no name of a Workflow",)


def test_a_wait_has_what_was_written_and_not_the_other() -> None:
    for_a_while = StateSpec(path="", name="a", type="Wait", seconds=5)
    until_then = StateSpec(path="", name="b", type="Wait", until="2030-01-31T12:00:00Z")
    for_, until = compiled(for_a_while, until_then).states.values()
    assert isinstance(for_, WaitState)
    assert isinstance(until, WaitState)
    assert (for_.seconds and for_.seconds.evaluate({}), for_.until) == (5, None)
    assert (until.seconds, until.until and until.until.evaluate({})) == (None, "2030-01-31T12:00:00Z")


@pytest.mark.parametrize(
    ("state", "field"),
    [
        (StateSpec(path="", name="b", type="Succeed", end=True), "next"),
        (StateSpec(path="", name="b", type="Succeed", next="a"), "next"),
        (StateSpec(path="", name="b", type="Fail", next="a"), "next"),
        (StateSpec(path="", name="b", type="Fail", has_output=True, output=1), "output"),
        (StateSpec(path="", name="b", type="Fail", assign={"n": 1}), "output"),
        (StateSpec(path="", name="b", type="Pass", next="a", end=True), "next"),
        (StateSpec(path="", name="b", type="Wait", seconds="5"), "seconds"),
        (StateSpec(path="", name="b", type="Wait", until="tomorrow"), "until"),
        (StateSpec(path="", name="b", type="Wait", until="2030-01-31T12:00:00"), "until"),
        (StateSpec(path="", name="b", type="Choice"), "choices"),
    ],
)
def test_what_a_type_has_no_use_for_is_a_fault(state: StateSpec, field: str) -> None:
    assert any(f.startswith(f"spec.states[1].{field}: ") for f in faults(A, state))


@pytest.mark.parametrize(("heartbeat", "limit", "is_fault"), [(29, 30, False), (30, 30, True), (31, 30, True)])
def test_heartbeats_have_to_come_more_often_than_the_step_is_too_late(
    heartbeat: int, limit: int, *, is_fault: bool
) -> None:
    state = replace(A, heartbeat_seconds=heartbeat, timeout_seconds=limit)
    if not is_fault:
        assert next(compiled(state).tasks()).heartbeat_seconds == heartbeat
        return
    text = f"write less than timeoutSeconds, which is 30, not {heartbeat}: it would never be noticed"
    assert faults(state) == (f"spec.states[0].heartbeatSeconds: {text}",)


def test_a_step_may_have_to_report_without_a_limit() -> None:
    assert next(compiled(replace(A, heartbeat_seconds=30)).tasks()).timeout_seconds is None
