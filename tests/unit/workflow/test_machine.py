"""The machine: every legal move, and nothing but those."""

from __future__ import annotations

import itertools

import pytest

from mastercontrol.api.workflow import StateSpec, WorkflowSpec
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import Definition
from mastercontrol.workflow.machine import JobMachine, Trigger, TriggerRefused, in_progress, machine_of, step_of


def definition(*names: str) -> Definition:
    found = compile_workflow("order", WorkflowSpec(tuple(StateSpec(path=n, name=n, pool="pool") for n in names)))
    assert isinstance(found, Definition), found
    return found


LEGAL = {
    ("Begin", Trigger.START): "InProgress.a",
    ("Begin", Trigger.CANCEL): "Cancelled",
    ("Begin", Trigger.FAIL): "Failed",
    ("InProgress.a", Trigger.SUCCEED): "InProgress.b",
    ("InProgress.b", Trigger.SUCCEED): "Done",
    ("InProgress.a", Trigger.RETRY): "InProgress.a",
    ("InProgress.b", Trigger.RETRY): "InProgress.b",
    ("InProgress.a", Trigger.FAIL): "Failed",
    ("InProgress.b", Trigger.FAIL): "Failed",
    ("InProgress.a", Trigger.CANCEL): "Cancelled",
    ("InProgress.b", Trigger.CANCEL): "Cancelled",
    ("Failed", Trigger.RESUME): "InProgress.b",
    ("Failed", Trigger.RESTART): "InProgress.a",
}
STATES = ["Begin", "InProgress", "InProgress.a", "InProgress.b", "Done", "Failed", "Cancelled"]
NO_STATES = ["", "InProgress.c", "InProgress.a.b", "Begin.a", "begin", "a"]


TO = {
    ("InProgress.a", Trigger.SUCCEED): "InProgress.b",
    ("InProgress.b", Trigger.SUCCEED): "Done",
    ("Failed", Trigger.RESUME): "InProgress.b",
}


def fire(machine: JobMachine, state: str, trigger: Trigger) -> str:
    """A trigger that may lead to several states says where."""
    return machine.fire(state, trigger, TO.get((state, trigger)))


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product([*STATES, *NO_STATES], Trigger)))
def test_the_machine_allows_what_the_table_says_and_refuses_all_else(state: str, trigger: Trigger) -> None:
    machine = JobMachine(definition("a", "b"))
    if (state, trigger) in LEGAL:
        assert fire(machine, state, trigger) == LEGAL[state, trigger]
    else:
        with pytest.raises(TriggerRefused, match=trigger.value):
            machine.fire(state, trigger)


def test_a_refused_trigger_leaves_the_machine_as_it_was() -> None:
    machine = JobMachine(definition("a", "b"))
    for state, trigger in itertools.product([*STATES, *NO_STATES], Trigger):
        if (state, trigger) not in LEGAL:
            with pytest.raises(TriggerRefused):
                machine.fire(state, trigger)
    assert {pair: fire(machine, *pair) for pair in LEGAL} == LEGAL
    assert machine.machine.models == [], "it keeps no model"


AWKWARD = [
    "add",
    "trigger",
    "may_trigger",
    "state",
    "to",
    "is_state",
    "start",
    "succeed",
    "Begin",
    "Done",
    "InProgress",
]


@pytest.mark.parametrize("name", AWKWARD)
def test_a_state_may_have_the_name_of_a_method_or_of_a_state_of_the_job(name: str) -> None:
    machine = JobMachine(definition(name, "last"))
    state = machine.fire("Begin", Trigger.START)
    assert state == in_progress(name)
    assert machine.fire(state, Trigger.RETRY) == state
    assert machine.fire(state, Trigger.SUCCEED, "InProgress.last") == "InProgress.last"


def test_names_that_begin_alike_are_told_apart() -> None:
    machine = JobMachine(definition("a", "a_b", "a-b", "A"))
    order = ["InProgress.a", "InProgress.a_b", "InProgress.a-b", "InProgress.A", "Done"]
    for here, following in itertools.pairwise(order):
        assert machine.fire(here, Trigger.SUCCEED, following) == following
        for other in {*order} - {following}:
            with pytest.raises(TriggerRefused):
                machine.fire(here, Trigger.SUCCEED, other)


def test_one_machine_is_built_for_a_revision_and_kept() -> None:
    assert machine_of(definition("a")) is machine_of(definition("a"))
    assert machine_of(definition("a")) is not machine_of(definition("a", "b"))


@pytest.mark.parametrize(
    ("state", "step"),
    [("InProgress.charge", "charge"), ("InProgress", None), ("Begin", None), ("Done", None), ("Begin.x", None)],
)
def test_the_step_that_a_state_names(state: str, step: str | None) -> None:
    assert step_of(state) == step
