"""Compiling a Workflow: what its states mean, and every fault at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mastercontrol.api.workflow import RetrySpec, TaskSpec
from mastercontrol.workflow.definition import Definition, Faults, compile_workflow


def compiled(*states: TaskSpec, name: str = "order") -> Definition:
    found = compile_workflow(name, states)
    assert isinstance(found, Definition), found
    return found


def faults(*states: TaskSpec) -> tuple[str, ...]:
    found = compile_workflow("order", states)
    assert isinstance(found, Faults), found
    return found.messages


A, B, C = (TaskSpec(name, "pool") for name in "abc")


def test_states_follow_each_other_in_the_order_of_the_list() -> None:
    found = compiled(A, B, C)
    assert found.start == "a"
    assert [(s.name, s.next) for s in found.states.values()] == [("a", "b"), ("b", "c"), ("c", None)]


def test_a_next_that_is_written_overrides_the_order() -> None:
    found = compiled(replace(A, next="c"), replace(B, next="d"), replace(C, next="b"), TaskSpec("d", "pool"))
    assert {s.name: s.next for s in found.states.values()} == {"a": "c", "c": "b", "b": "d", "d": None}


@pytest.mark.parametrize("name", ["", "1a", "a.b", "a b", "é", "a" * 64, "-a", "a\n"])
def test_a_name_that_is_no_state_name_is_a_fault(name: str) -> None:
    (fault,) = faults(TaskSpec(name, "pool"))
    assert fault.startswith("spec.states[0].name: ")


@pytest.mark.parametrize("name", ["a", "A-b_9", "a" * 63, "add", "trigger", "Begin", "class"])
def test_any_other_name_is_fine(name: str) -> None:
    assert compiled(TaskSpec(name, "pool")).start == name


@pytest.mark.parametrize("pool", ["", "Pool", "a.b", "-a", "a-", "a" * 41, "a\n"])
def test_a_pool_that_is_no_name_of_one_is_a_fault(pool: str) -> None:
    (fault,) = faults(TaskSpec("a", pool))
    assert fault.startswith("spec.states[0].pool: ")


def test_every_fault_is_said_at_once_with_its_field() -> None:
    found = faults(TaskSpec("1", "Pool"), A, A, replace(B, next="nowhere"))
    assert [f.partition(":")[0] for f in found] == [
        "spec.states[0].name",
        "spec.states[0].pool",
        "spec.states[2].name",
        "spec.states[3].next",
    ]
    assert str(compile_workflow("order", [TaskSpec("1", "pool")])).startswith("spec.states[0].name")


def test_a_chain_that_leads_back_never_ends() -> None:
    assert any("leads back to 'a'" in f for f in faults(A, replace(B, next="a")))
    assert any("leads back to 'a'" in f for f in faults(replace(A, next="a")))


def test_a_state_that_nothing_leads_to_is_a_fault() -> None:
    assert any("'b' is never reached" in f for f in faults(replace(A, next="c"), B, C))


def test_the_revision_is_named_by_the_content() -> None:
    one = compiled(A, B)
    assert one.revision.startswith("order-")
    assert one == compiled(A, B)
    assert hash(one) == hash(compiled(A, B))
    others = [
        compiled(B, A),
        compiled(A, replace(B, pool="other")),
        compiled(A, replace(B, timeout_seconds=1)),
        compiled(A, replace(B, retry=RetrySpec(limit=1))),
        compiled(A, B, name="parcel"),
    ]
    assert len({d.revision for d in (one, *others)}) == 6
