"""A Workflow's spec is checked in one pass: every fault once, no shadow of another one, never a crash."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.workflow import definition
from mastercontrol.workflow.checked import WorkflowUse, check
from mastercontrol.workflow.definition import FAULTS_CHARS, Definition, Faults
from unit.engine.workflows import workflows

SPEC: dict[str, Any] = {
    "maxTransitions": 100,
    "states": [
        {
            "name": "a",
            "pool": "p",
            "timeoutSeconds": 5,
            "retry": {"limit": 1, "backoffRate": 2, "rules": [{"errors": ["X"], "jitter": "none"}]},
            "catch": [{"errors": ["X"], "next": "z"}],
        },
        {"name": "b", "type": "Choice", "choices": [{"when": "true", "next": "c"}], "default": "c"},
        {"name": "c", "type": "Wait", "seconds": 5},
        {"name": "d", "type": "Signal", "timeoutSeconds": 5, "catch": [{"errors": ["Timeout"], "next": "z"}]},
        {
            "name": "e",
            "type": "Parallel",
            "branches": [
                {"states": [{"name": "x", "pool": "q"}, {"name": "y", "type": "Pass"}]},
                {"states": [{"name": "x", "type": "Pass"}]},
            ],
        },
        {
            "name": "f",
            "type": "Map",
            "items": "${input}",
            "maxConcurrency": 2,
            "states": [{"name": "m", "pool": "p"}, {"name": "n", "type": "Pass"}],
        },
        {"name": "g", "type": "Pass", "input": "${input}", "output": {"k": ["${result}"]}, "assign": {"v": 1}},
        {"name": "h", "type": "Pass", "end": True},
        {"name": "z", "type": "Fail", "code": "A", "message": "it is so"},
    ],
}

Holder = Callable[[dict[str, Any]], dict[str, Any]]


def state(*path: int) -> Holder:
    """A state: its place at the top, then the branch or 0, and the place in there."""

    def find(spec: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = spec["states"][path[0]]
        if len(path) == 1:
            return found
        block: dict[str, Any] = found["branches"][path[1]] if "branches" in found else found
        inner: dict[str, Any] = block["states"][path[2]]
        return inner

    return find


class Planted:
    """A fault: where it is reported, and how it is made."""

    def __init__(self, path: str, holder: Holder, **fields: Any) -> None:
        self.path, self.holder, self.fields = path, holder, fields

    def plant(self, spec: dict[str, Any]) -> None:
        held = self.holder(spec)
        for name, value in self.fields.items():
            if value is ...:
                del held[name]
            else:
                held[name] = value

    def __repr__(self) -> str:
        return self.path


def top(spec: dict[str, Any]) -> dict[str, Any]:
    return spec


FAULTS = [
    Planted("spec.maxTransitions", top, maxTransitions=0),
    Planted("spec.states_", top, states_=[]),
    Planted("spec.states[0].timeoutSeconds", state(0), timeoutSeconds="soon"),
    Planted("spec.states[0].retry.limit", lambda s: s["states"][0]["retry"], limit=-1),
    Planted("spec.states[0].retry.backoffRate", lambda s: s["states"][0]["retry"], backoffRate="x"),
    Planted("spec.states[0].retry.rules[0].errors", lambda s: s["states"][0]["retry"]["rules"][0], errors=[]),
    Planted("spec.states[0].retry.rules[0].jitter", lambda s: s["states"][0]["retry"]["rules"][0], jitter="half"),
    Planted("spec.states[0].catch[0].next", lambda s: s["states"][0]["catch"][0], next="nowhere"),
    Planted("spec.states[0].pool", state(0), pool="Pool"),
    Planted("spec.states[1].choices[0].when, column 4", lambda s: s["states"][1]["choices"][0], when="1 +"),
    Planted("spec.states[1].choices[0].next", lambda s: s["states"][1]["choices"][0], next="nowhere"),
    Planted("spec.states[1].choices[0].output", lambda s: s["states"][1]["choices"][0], output=1),
    Planted("spec.states[1].default", state(1), default=...),
    Planted("spec.states[2].seconds", state(2), seconds=-5),
    Planted("spec.states[3].signal", state(3), signal=7),
    Planted("spec.states[3].catch[0]", lambda s: s["states"][3], catch=["text"]),
    Planted("spec.states[4].branches[0].states[0].pool", state(4, 0, 0), pool=...),
    Planted("spec.states[4].branches[0].states[1]", state(4, 0, 0), end=True),
    Planted("spec.states[4].branches[1].states[0]", state(4, 1, 0), next="x"),
    Planted("spec.states[5].items", state(5), items=...),
    Planted("spec.states[5].maxConcurrency", state(5), maxConcurrency=1.5),
    Planted("spec.states[5].states[0].type", state(5, 0, 0), type="Taks"),
    Planted("spec.states[5].states[1].name", state(5, 0, 1), name="m"),
    Planted("spec.states[6].input, column 3", state(6), input="${oops}"),
    Planted("spec.states[6].output.k[0], column 1", state(6), output={"k": ["${result"]}),
    Planted("spec.states[6].assign.1x", lambda s: s["states"][6]["assign"], **{"1x": 1}),
    Planted("spec.states[7].end", state(7), end="yes"),
    Planted("spec.states[7].poll", state(7), poll="p"),
    Planted("spec.states[8].code", state(8), code=""),
    Planted("spec.states[8].next", state(8), next="a"),
]


def places(spec: Any) -> list[str]:
    """Where the faults of a spec are."""
    found = check("order", spec).found
    return [m.partition(": ")[0] for m in found.messages] if isinstance(found, Faults) else []


def with_faults(planted: list[Planted]) -> dict[str, Any]:
    spec = copy.deepcopy(SPEC)
    for fault in planted:
        fault.plant(spec)
    return spec


def test_the_spec_that_faults_are_planted_in_has_none() -> None:
    assert places(SPEC) == []


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_a_fault_is_reported_once_and_nothing_else(fault: Planted) -> None:
    assert places(with_faults([fault])) == [fault.path]


@given(st.lists(st.sampled_from(FAULTS), unique=True))
def test_as_many_faults_are_reported_as_were_planted(planted: list[Planted]) -> None:
    assert sorted(places(with_faults(planted))) == sorted(fault.path for fault in planted)


def test_all_of_them_at_once_are_in_the_order_of_the_file() -> None:
    found = places(with_faults(FAULTS))
    assert len(found) == len(FAULTS)
    states = [int(place.partition("states[")[2].partition("]")[0]) for place in found if "states[" in place]
    assert states == sorted(states)


# -- and whatever else somebody may write

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["${", "${input}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def mutilated(draw: st.DrawFn) -> Any:
    """A workflow in which values were replaced, left out, doubled, moved, or got another name."""
    spec: Any = draw(st.just(SPEC) | workflows())
    spec = copy.deepcopy(spec)
    for _ in range(draw(st.integers(1, 4))):
        held = _somewhere(draw, spec)
        if isinstance(held, dict) and held:
            key = draw(st.sampled_from(sorted(held, key=str)))
            match draw(st.integers(0, 3)):
                case 0:
                    del held[key]
                case 1:
                    held[key] = draw(VALUES)
                case 2:
                    held[draw(st.text(max_size=6) | st.sampled_from(["next", "end", "type", "states"]))] = held.pop(key)
                case _:
                    held[draw(st.sampled_from(["next", "end", "default", "name", "pool"]))] = held[key]
        elif isinstance(held, list) and held:
            index = draw(st.integers(0, len(held) - 1))
            match draw(st.integers(0, 2)):
                case 0:
                    del held[index]
                case 1:
                    held[index] = draw(VALUES)
                case _:
                    held.append(copy.deepcopy(held[index]))
    return spec


def _somewhere(draw: st.DrawFn, spec: Any) -> Any:
    """Some object or list in a spec."""
    held = spec
    while draw(st.integers(0, 4)):
        inner = list(held.values()) if isinstance(held, dict) else held
        inner = [each for each in inner if isinstance(each, dict | list) and each]
        if not inner:
            return held
        held = draw(st.sampled_from(inner))
    return held


@given(mutilated())
def test_a_mutilated_workflow_is_run_or_has_faults_that_say_where(spec: Any) -> None:
    checked = check("order", spec)
    if isinstance(checked.found, Definition):
        assert checked.found.start in checked.found.states
        assert {use.pool for use in checked.pools} == {task.pool for task in checked.found.tasks()}
        return
    assert checked.found.messages
    assert all(message.startswith("spec") and ": " in message for message in checked.found.messages)
    assert len(set(checked.found.messages)) == len(checked.found.messages)


@given(VALUES)
def test_anything_at_all_is_answered(value: Any) -> None:
    assert isinstance(check("order", value).found, Faults)


def test_pools_are_known_of_a_workflow_with_faults_too() -> None:
    checked = check("order", with_faults([FAULTS[0], FAULTS[8]]))
    assert [(use.path, use.pool) for use in checked.pools] == [
        ("spec.states[4].branches[0].states[0].pool", "q"),
        ("spec.states[5].states[0].pool", "p"),
    ]


def test_the_workflows_of_child_jobs_are_known() -> None:
    spec = {"states": [{"name": "a", "pool": "p"}, {"name": "b", "type": "SubJob", "workflow": "billing"}]}
    assert check("order", spec).workflows == (WorkflowUse("spec.states[1].workflow", "billing"),)


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"catsh": [{"errors": ["X"], "next": "z"}]}, "spec.states[0].catsh"),
        ({"catch": [{"errors": ["X"], "nexd": "z"}]}, "spec.states[0].catch[0].nexd"),
    ],
)
def test_a_state_with_a_misspelled_field_may_lead_anywhere(more: dict[str, Any], path: str) -> None:
    states = [{"name": "a", "pool": "p", **more}, {"name": "b", "pool": "p", "end": True}, {"name": "z", "pool": "p"}]
    found = check("order", {"states": states}).found
    assert isinstance(found, Faults)
    assert not [message for message in found.messages if "never reached" in message]
    assert found.messages[0].startswith(f"{path}: there is no such field")


@pytest.mark.parametrize(
    ("field", "state"),
    [
        ("type", {"type": "Chioce", "choices": [{"when": "true", "next": "z"}], "default": "b"}),
        ("default", {"type": "Choice", "choices": [{"when": "true", "next": "b"}], "default": 1}),
        ("choices", {"type": "Choice", "choices": "z", "default": "b"}),
        ("choices[0].nexd", {"type": "Choice", "choices": [{"when": "true", "nexd": "z"}], "default": "b"}),
        ("catch", {"pool": "p", "catch": "z"}),
        ("end", {"pool": "p", "end": "yes"}),
    ],
    ids=["type", "default", "choices", "rule", "catch", "end"],
)
def test_a_state_in_which_it_is_wrong_where_it_leads_may_lead_anywhere(field: str, state: dict[str, Any]) -> None:
    back = {"name": "b", "pool": "p", "next": "a"}
    found = check("order", {"states": [{"name": "a", **state}, back, {"name": "z", "pool": "p"}]}).found
    assert isinstance(found, Faults)
    assert found.messages[0].startswith(f"spec.states[0].{field}: ")
    assert not [message for message in found.messages if "never" in message]


def test_after_a_state_without_a_name_the_names_of_the_others_are_looked_at() -> None:
    assert places({"states": [{"pool": "p"}, {"name": "1", "pool": "p"}]}) == [
        "spec.states[0].name",
        "spec.states[1].name",
    ]


def test_faults_stand_in_the_order_of_their_fields() -> None:
    states = [{"name": f"s{i}", "pool": "Pool" if i in {2, 9, 10} else "p"} for i in range(11)]
    found = check("order", {"states": states}).found
    assert isinstance(found, Faults)
    assert [message.partition(".pool")[0] for message in found.messages] == [f"spec.states[{i}]" for i in (2, 9, 10)]


def test_faults_are_told_as_long_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definition, "FAULTS_CHARS", 10)
    assert str(Faults(("aaaa", "bb"))) == "aaaa; bb"
    assert str(Faults(("aaaa", "bbb"))) == "aaaa; and 1 more"
    assert str(Faults(("a" * 11, "b"))) == "a" * 10 + "; and 1 more", "the first one in any case"


def test_more_faults_than_a_condition_holds_are_counted() -> None:
    states = [{"name": f"s{i}", "pool": f"Pool {i}", "next": f"nowhere-{i}"} for i in range(200)]
    found = check("order", {"states": states}).found
    assert isinstance(found, Faults)
    assert len(found.messages) == 400
    text = str(found)
    assert len(text) < FAULTS_CHARS + 100
    told = text.count("spec.states[")
    assert text.endswith(f"; and {400 - told} more")
