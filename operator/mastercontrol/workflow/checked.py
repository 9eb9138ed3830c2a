"""All that is to be said of a Workflow's spec, in one pass: its Definition or every fault, and the pools it names.

The operator's `engine.definitions` and `mastercontrol lint` call `check`, so both say the same. Whatever a spec holds,
it answers with faults and never raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from mastercontrol.api.workflow import StateSpec, WorkflowSpec, read_spec
from mastercontrol.workflow.compile import compile_workflow, is_pool_name
from mastercontrol.workflow.definition import Definition, Faults


@dataclass(frozen=True, slots=True)
class PoolUse:
    """That the field at `path` names a pool."""

    path: str
    pool: str


@dataclass(frozen=True, slots=True)
class WorkflowUse:
    """That the field at `path` names a Workflow: that of a SubJob."""

    path: str
    workflow: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a spec: a Definition, or all of its faults. `pools` and `workflows` are there in both cases."""

    found: Definition | Faults
    pools: tuple[PoolUse, ...]
    workflows: tuple[WorkflowUse, ...] = ()


def check(name: str, spec: Any) -> Checked:
    """Check the spec of the Workflow called `name`, as it stands in the object."""
    if not isinstance(spec, dict):
        return Checked(Faults(("spec: write a mapping with states",)), ())
    read, faults = read_spec(spec)
    uses = (PoolUse(f"{s.path}.pool", s.pool) for s in _states(read) if s.pool and is_pool_name(s.pool))
    children = (WorkflowUse(f"{s.path}.workflow", s.workflow) for s in _states(read) if s.workflow)
    return Checked(compile_workflow(name, read, faults), tuple(uses), tuple(children))


def _states(part: WorkflowSpec | Any) -> Iterator[StateSpec]:
    """All states, wherever in a spec they stand, in their order."""
    if isinstance(part, StateSpec):
        yield part
    if isinstance(part, tuple):
        for each in part:
            yield from _states(each)
    elif is_dataclass(part):
        for field in fields(part):
            yield from _states(getattr(part, field.name))
