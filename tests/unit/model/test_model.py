"""The model of the protocol: nothing is wrong with it, something is with each broken variant, and it is the code's.

`make model` searches further than this.
"""

from __future__ import annotations

import functools
import importlib
import inspect

import pytest

from model.bounds import FAULTS, LARGE, SMALL, Bound
from model.broken import Broken
from model.protocol import ACCIDENTS, END, ENGINE, Protocol
from model.search import Found, search
from model.state import Budget


@functools.cache
def _searched(bound: Bound) -> Found:
    protocol = Protocol(bound.steps)
    return search(protocol, protocol.begin(bound.budget, bound.workers))


@pytest.mark.parametrize("bound", SMALL, ids=lambda bound: bound.name)
def test_no_promise_is_broken_and_no_job_is_stuck(bound: Bound) -> None:
    found = _searched(bound)
    assert found.fault is None
    assert found.complete
    assert found.states > 20_000  # a model in which little happens proves little
    assert found.ends


@pytest.mark.parametrize("broken", Broken, ids=lambda broken: broken.name.lower())
def test_a_broken_protocol_is_found_out(broken: Broken) -> None:
    budget = FAULTS[broken]
    protocol = Protocol(2, broken)
    found = search(protocol, protocol.begin(budget))
    assert found.fault is not None
    assert found.fault.trace
    assert _searched(Bound("as it is", budget)).fault is None


def test_every_action_and_every_accident_happens() -> None:
    happened = set[str]().union(*(_searched(bound).actions for bound in SMALL))
    assert happened == {*ENGINE, *ACCIDENTS, END}


def test_every_accident_is_searched_with_every_other() -> None:
    together = [
        {name for name, times in bound.budget._asdict().items() if times} - {"zombie_turns"}
        for bound in (*SMALL, *LARGE)
    ]
    apart = {
        (one, other)
        for one in Budget._fields
        for other in Budget._fields
        if one < other and "zombie_turns" not in {one, other} and not any({one, other} <= names for names in together)
    }
    assert apart == set()


@pytest.mark.parametrize("action", ENGINE)
def test_an_action_is_a_function_of_the_code(action: str) -> None:
    path = ENGINE[action].split(".")
    assert path[-1] == action
    depth = next(i for i, part in enumerate(path) if part.lstrip("_")[0].isupper() or i == len(path) - 1)
    found: object = importlib.import_module(".".join(path[:depth]))
    for name in path[depth:]:
        found = getattr(found, name)
    assert inspect.isfunction(found)


def test_the_steps_of_a_turn_are_called_in_the_order_of_the_model() -> None:
    """The order in which the engine's turn calls them is what the model says is safe."""
    turn = importlib.import_module("mastercontrol.engine.turn")._Turn
    text = inspect.getsource(turn.run)
    calls = ["decide(", "self._publish(", "self._commit(", "self._act(", "self._settle(decision"]
    places = [text.index(call) for call in calls]
    assert places == sorted(places)
