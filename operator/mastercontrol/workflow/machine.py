"""The state machine of a Workflow revision: the authority on which moves of `.status.state` are legal.

One `transitions` machine is built per revision and kept. The state is nested: InProgress has a child for each state
of the Workflow. Every change of a Job's state is a trigger fired here; what the machine refuses is not done.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from transitions import MachineError
from transitions.extensions import HierarchicalMachine
from transitions.extensions.nesting import NestedState

from mastercontrol.workflow.definition import COMPENSATE, ChoiceState, Definition, FailState, State

BEGIN: Final = "Begin"
IN_PROGRESS: Final = "InProgress"
DONE: Final = "Done"
FAILED: Final = "Failed"
CANCELLED: Final = "Cancelled"

FINAL: Final = frozenset({DONE, FAILED, CANCELLED})


class Trigger(StrEnum):
    """What can move a Job."""

    START = "start"  # Begin -> InProgress.<first>: the first step is sent
    SUCCEED = "succeed"  # InProgress.<x> -> InProgress.<next> or Done: the state is done
    CATCH = "catch"  # InProgress.<x> -> InProgress.<handler>: the state failed, and a catch rule says where to go on
    RETRY = "retry"  # InProgress.<x> -> itself: an attempt failed, another one is due
    FAIL = "fail"  # Begin or InProgress -> Failed: an attempt failed for good, its time is over, or it may not begin
    CANCEL = "cancel"  # Begin or InProgress -> Cancelled: the user asked for it
    CLOSE = "close"  # InProgress.<x> -> InProgress.compensate or InProgress.onExit: it is known how the job ends
    RESUME = "resume"  # Failed -> InProgress.<x>: the user has it go on where it failed
    RESTART = "restart"  # Failed -> InProgress.<first>: the user has it begin anew


class TriggerRefused(Exception):
    """The machine has no such move from that state."""


class _State(NestedState):
    separator = "."


class _Model:
    """What the machine moves: a place for one state, used for one trigger and dropped."""

    state: str


class JobMachine:
    """The machine of one Definition. Not for two threads at once (the engine is on one event loop)."""

    def __init__(self, definition: Definition) -> None:
        self.machine = _build(definition)
        self._known: dict[tuple[str, str], str] = {}

    def fire(self, state: str, trigger: Trigger, to: str | None = None) -> str:
        """The state that a trigger leads to. `to` says where, for triggers that may lead to several.

        :raises TriggerRefused: there is no such move, or no such state.
        """
        # The model is not added to the machine: that would hang a method on it for each state of the Workflow, which
        # takes time and fails for a state with the name of a method.
        event = trigger.value if to is None else _event(trigger, to)
        # The machine has no conditions, so what it said once it would say again; it takes its time to say it.
        known = self._known.get((state, event))
        if known is not None:
            return known
        model = _Model()
        try:
            self.machine.set_state(state, model)
            self.machine.trigger_event(model, event)
        except (MachineError, ValueError, KeyError, AttributeError) as error:
            raise TriggerRefused(f"{event} from {state}: {error}") from None
        self._known[state, event] = str(model.state)
        return str(model.state)


@lru_cache(maxsize=512)
def machine_of(definition: Definition) -> JobMachine:
    """The machine of a revision, built once."""
    return JobMachine(definition)


def step_of(state: str) -> str | None:
    """The Workflow state that a Job's state names: `InProgress.charge` -> `charge`; None outside InProgress."""
    head, dot, name = state.partition(".")
    return name if head == IN_PROGRESS and dot else None


def in_progress(step: str) -> str:
    """The Job's state while it is in a Workflow state."""
    return f"{IN_PROGRESS}.{step}"


def _build(definition: Definition) -> HierarchicalMachine:
    machine = HierarchicalMachine(
        model=None,
        states=[],
        initial=None,
        auto_transitions=False,
        send_event=False,
        queued=False,
    )
    machine.state_cls = _State
    children = [{"name": name} for name in (*definition.states, *definition.closing)]
    states: list[Any] = [BEGIN, {"name": IN_PROGRESS, "children": children}, DONE, FAILED, CANCELLED]
    machine.add_states(states)
    machine.add_transition(Trigger.START.value, BEGIN, in_progress(definition.start))
    for state in definition.states.values():
        here = in_progress(state.name)
        for to in _following(state):
            machine.add_transition(_event(Trigger.SUCCEED, to), here, to)
        for rule in getattr(state, "catch", ()):
            to = in_progress(rule.next)
            machine.add_transition(_event(Trigger.CATCH, to), here, to)
        machine.add_transition(Trigger.RETRY.value, here, "=")
        machine.add_transition(Trigger.FAIL.value, here, FAILED)
        machine.add_transition(Trigger.CANCEL.value, here, CANCELLED)
        machine.add_transition(_event(Trigger.RESUME, here), FAILED, here)
    machine.add_transition(Trigger.RESTART.value, FAILED, in_progress(definition.start))
    machine.add_transition(Trigger.CANCEL.value, BEGIN, CANCELLED)
    _add_closing(machine, definition)
    machine.add_transition(Trigger.FAIL.value, BEGIN, FAILED)
    return machine


def _add_closing(machine: HierarchicalMachine, definition: Definition) -> None:
    """From every state into a closing one, from `compensate` on to `onExit`, and from both to each end."""
    for name in definition.closing:
        here = in_progress(name)
        before = [*definition.states, *(n for n in definition.closing if n == COMPENSATE and n != name)]
        for source in before:
            machine.add_transition(_event(Trigger.CLOSE, here), in_progress(source), here)
        machine.add_transition(_event(Trigger.SUCCEED, DONE), here, DONE)
        machine.add_transition(Trigger.FAIL.value, here, FAILED)
        machine.add_transition(Trigger.CANCEL.value, here, CANCELLED)
        machine.add_transition(Trigger.RETRY.value, here, "=")


def _event(trigger: Trigger, to: str) -> str:
    return f"{trigger.value} {to}"


def _following(state: State) -> set[str]:
    """Where a state leads when it is done."""
    if isinstance(state, FailState):
        return set()
    names = {state.next}
    if isinstance(state, ChoiceState):
        names |= {name for _, name in state.rules}
    return {DONE if name is None else in_progress(name) for name in names}
