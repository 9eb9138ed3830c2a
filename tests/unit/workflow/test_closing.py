"""What undoes states and what runs at the end, as they are compiled: what it means, and what is a fault."""

from __future__ import annotations

from typing import Any

import pytest

from mastercontrol.api.values import InvalidObject
from mastercontrol.api.workflow import parse_spec
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import COMPENSATE, ON_EXIT, Definition, Faults
from mastercontrol.workflow.machine import CANCELLED, DONE, FAILED, Trigger, TriggerRefused, in_progress, machine_of

State = dict[str, Any]


def task(name: str, **more: Any) -> State:
    return {"name": name, "pool": "p", **more}


def compiled(*states: State, **spec: Any) -> Definition:
    found = compile_workflow("order", parse_spec({"states": list(states), **spec}))
    assert isinstance(found, Definition), found
    return found


def faults(*states: State, **spec: Any) -> tuple[str, ...]:
    found = compile_workflow("order", parse_spec({"states": list(states), **spec}))
    assert isinstance(found, Faults), found
    return found.messages


UNDO = {"states": [task("undo")]}
EXIT = {"states": [task("tidy")]}


def test_a_workflow_that_has_neither_closes_with_nothing() -> None:
    assert compiled(task("a")).closing == {}


def test_compensations_are_numbered_in_the_order_in_which_they_are_written() -> None:
    inside = {"name": "fan", "type": "Parallel", "branches": [{"states": [task("b", compensate=UNDO)]}]}
    found = compiled(task("a", compensate={"states": [task("first")]}), inside)
    assert [block.start for block in found.closing[COMPENSATE].blocks] == ["first", "undo"]
    state = found.find("fan[0].b")
    assert state is not None
    assert state.compensation is not None
    assert state.compensation.number == 1


def test_the_states_of_both_are_found_by_their_paths() -> None:
    found = compiled(task("a", compensate=UNDO), onExit=EXIT)
    names = [found.find(path) for path in ("compensate[0].undo", "onExit.tidy", "onExit", "compensate")]
    assert [state and state.name for state in names] == ["undo", "tidy", ON_EXIT, COMPENSATE]
    assert found.find("compensate[1].undo") is None
    assert found.find("fan[0].onExit") is None


def test_their_pools_are_pools_of_the_workflow() -> None:
    found = compiled(
        task("a", compensate={"states": [task("undo", pool="q")]}), onExit={"states": [task("t", pool="r")]}
    )
    assert {t.pool for t in found.tasks()} == {"p", "q", "r"}


def test_the_machine_leads_into_them_from_every_state_and_from_them_to_each_end() -> None:
    machine = machine_of(compiled(task("a", compensate=UNDO), task("b"), onExit=EXIT))
    for name in ("a", "b"):
        for closing in (COMPENSATE, ON_EXIT):
            assert machine.fire(in_progress(name), Trigger.CLOSE, in_progress(closing)) == in_progress(closing)
    assert machine.fire(in_progress(COMPENSATE), Trigger.CLOSE, in_progress(ON_EXIT)) == in_progress(ON_EXIT)
    with pytest.raises(TriggerRefused):
        machine.fire(in_progress(ON_EXIT), Trigger.CLOSE, in_progress(COMPENSATE))
    with pytest.raises(TriggerRefused):
        machine.fire(in_progress(ON_EXIT), Trigger.SUCCEED, in_progress("a"))
    assert machine.fire(in_progress(ON_EXIT), Trigger.SUCCEED, DONE) == DONE
    for closing in (COMPENSATE, ON_EXIT):
        assert machine.fire(in_progress(closing), Trigger.FAIL) == FAILED
        assert machine.fire(in_progress(closing), Trigger.CANCEL) == CANCELLED


def test_what_they_read_of_the_states_is_kept_to_the_end() -> None:
    tidy = {"states": [task("tidy", input="${steps.a.output}")]}
    found = compiled(task("a"), task("b"), task("c"), onExit=tidy)
    assert found.block.at_end == {"a"}
    assert all("a" in needed for needed in found.block.needed.values())


def test_a_fault_inside_says_where_it_is() -> None:
    found = faults(
        task("a", compensate={"input": "${nope}", "states": [task("undo", next="where")]}),
        onExit={"states": [task("tidy", input="${result}")]},
    )
    assert sorted(fault.partition(":")[0] for fault in found) == sorted(
        [
            "spec.states[0].compensate.input, column 3",
            "spec.states[0].compensate.states[0].next",
            "spec.onExit.states[0].input, column 3",
        ]
    )


def test_what_undoes_is_not_undone() -> None:
    nested = {"states": [task("undo", compensate=UNDO)]}
    assert faults(task("a", compensate=nested))[0].startswith("spec.states[0].compensate.states[0].compensate: ")
    (fault,) = faults(task("a"), onExit={"states": [task("tidy", compensate=UNDO)]})
    assert fault.startswith("spec.onExit.states[0].compensate: ")


@pytest.mark.parametrize(("name", "spec"), [("onExit", {"onExit": EXIT}), ("compensate", {})])
def test_a_state_at_the_top_is_not_called_as_a_closing_one(name: str, spec: State) -> None:
    found = faults(task(name, compensate=UNDO), **spec)
    assert [f.partition(":")[0] for f in found] == ["spec.states[0].name"]


def test_without_them_a_state_may_have_these_names() -> None:
    assert list(compiled(task("onExit"), task("compensate")).states) == ["onExit", "compensate"]


@pytest.mark.parametrize(
    "spec",
    [
        {"states": [task("a")], "onExit": {"states": []}},
        {"states": [task("a")], "onExit": {"steps": []}},
        {"states": [task("a", compensate={})]},
        {"states": [task("a", compensate={"states": [task("u")], "next": "a"})]},
        {"states": [{"name": "w", "type": "Wait", "seconds": 1, "compensate": UNDO}]},
    ],
    ids=["no states", "another field", "no states to undo it", "next", "a Wait"],
)
def test_a_wrong_shape_is_refused(spec: State) -> None:
    with pytest.raises(InvalidObject):
        parse_spec(spec)
