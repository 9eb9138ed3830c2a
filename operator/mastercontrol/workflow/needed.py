"""Which outputs of a Workflow's steps are still read, so that a Job's status keeps no others.

`compile` asks it for each block that has no fault, and once more for what the closing states read. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mastercontrol.workflow.definition import (
    Block,
    ChoiceState,
    ClosingState,
    FailState,
    MapState,
    State,
    WaitState,
    blocks_of,
)
from mastercontrol.workflow.expressions import Expression
from mastercontrol.workflow.templates import Template


def keeping(block: Block, closing: Mapping[str, ClosingState]) -> Block:
    """The block at the top, keeping to the end what the closing states read."""
    if not closing:
        return block
    reads = [_reads(state) for state in closing.values()]
    every = frozenset(block.states)
    late = every if any(r is None for r in reads) else every & frozenset().union(*(r for r in reads if r))
    needed = {name: names | late for name, names in block.needed.items()}
    return Block(block.start, block.states, needed, late)


def needed_outputs(states: Mapping[str, State], edges: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    """For each state the names whose outputs it, or a state that can follow it, reads as `steps.<name>`."""
    own = {name: _reads(state) for name, state in states.items()}
    every = frozenset(states)
    needed = {}
    for name in states:
        later = _closure([name], {n: [e for e in f if e in states] for n, f in edges.items()})
        reads = [own[n] for n in later]
        needed[name] = every if any(r is None for r in reads) else frozenset().union(*(r for r in reads if r))
    return needed


def _reads(state: State) -> frozenset[str] | None:
    """The steps that a state's expressions read, its blocks' included; None where that can't be told, so all."""
    found = frozenset[str]()
    for part in _expressions(state):
        if part.reads_all_steps:
            return None
        found |= part.steps
    for block in blocks_of(state):
        for inner in block.states.values():
            reads = _reads(inner)
            if reads is None:
                return None
            found |= reads
    return found


def _expressions(state: State) -> list[Expression | Template]:
    parts: list[Expression | Template | None] = [state.data.input, state.data.output, *state.data.assign.values()]
    if state.compensation is not None:
        parts.append(state.compensation.input)
    match state:
        case ChoiceState(rules=rules):
            parts += [when for when, _ in rules]
        case WaitState(seconds=seconds, until=until):
            parts += [seconds, until]
        case FailState(code=code, message=message):
            parts += [code, message]
        case MapState(items=items):
            parts.append(items)
        case _:
            pass
    return [part for part in parts if part is not None]


def _closure(begin: Iterable[str], edges: Mapping[str, Sequence[str]]) -> set[str]:
    """All that is reached along the edges."""
    reached, waiting = set[str](), list(begin)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += edges.get(name, ())
    return reached
