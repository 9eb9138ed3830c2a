"""The internal representation: what the engine runs, whatever language it was written in.

`compile_workflow` turns the states as their author wrote them into a Definition, and says every fault at once. The
engine sees Definitions only, so another front-end needs no change there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from mastercontrol.api.workflow import RetrySpec, TaskSpec

STATE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}\Z")
POOL_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class TaskState:
    """A step: done by a worker of `pool`, then on to `next` (None: the job is done)."""

    name: str
    pool: str
    next: str | None
    timeout_seconds: int | None
    retry: RetrySpec


@dataclass(frozen=True)
class Definition:
    """One revision of a Workflow. Two with the same revision are the same."""

    revision: str
    start: str
    states: Mapping[str, TaskState] = field(compare=False)

    def __hash__(self) -> int:
        return hash(self.revision)


@dataclass(frozen=True, slots=True)
class Faults:
    """Why a Workflow cannot run: every fault, each with its field."""

    messages: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.messages)


def compile_workflow(name: str, states: Sequence[TaskSpec]) -> Definition | Faults:
    """Give meaning to the states of the Workflow called `name`, or say all that is wrong with them."""
    faults = [*_name_faults(states), *_next_faults(states)]
    if not faults:
        compiled = {s.name: _compile(states, i) for i, s in enumerate(states)}
        start = states[0].name
        faults = _path_faults(compiled, start)
        if not faults:
            return Definition(_revision(name, states), start, compiled)
    return Faults(tuple(faults))


def _compile(states: Sequence[TaskSpec], index: int) -> TaskState:
    spec = states[index]
    following = spec.next
    if following is None and index + 1 < len(states):
        following = states[index + 1].name
    return TaskState(spec.name, spec.pool, following, spec.timeout_seconds, spec.retry)


def _name_faults(states: Sequence[TaskSpec]) -> list[str]:
    faults, seen = [], set[str]()
    for i, state in enumerate(states):
        if not STATE_NAME.match(state.name):
            faults.append(
                f"spec.states[{i}].name: {state.name!r} is no state name; "
                "write letters, digits, '_' and '-', at most 63, a letter first"
            )
        if not POOL_NAME.match(state.pool):
            faults.append(f"spec.states[{i}].pool: {state.pool!r} is no name of a WorkerPool")
        if state.name in seen:
            faults.append(f"spec.states[{i}].name: {state.name!r} stands twice; give each state its own name")
        seen.add(state.name)
    return faults


def _next_faults(states: Sequence[TaskSpec]) -> list[str]:
    names = {s.name for s in states}
    return [
        f"spec.states[{i}].next: there is no state {s.next!r}; write one of {', '.join(sorted(names))}"
        for i, s in enumerate(states)
        if s.next is not None and s.next not in names
    ]


def _path_faults(states: Mapping[str, TaskState], start: str) -> list[str]:
    path: list[str] = []
    at: str | None = start
    while at is not None and at not in path:
        path.append(at)
        at = states[at].next
    faults = [f"spec.states: {n!r} is never reached from {start!r}" for n in states if n not in path]
    if at is not None:
        faults.append(f"spec.states: {path[-1]!r} leads back to {at!r}, so a job would never end")
    return faults


def _revision(name: str, states: Sequence[TaskSpec]) -> str:
    text = json.dumps([asdict(s) for s in states], sort_keys=True, separators=(",", ":"))
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
