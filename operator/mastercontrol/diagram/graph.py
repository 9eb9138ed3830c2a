"""What a picture shows: the states of a Definition as nodes, the moves between them as edges.

The moves of a block are read from its `transitions` machine, so the picture shows what the engine allows; the
Definition adds what they are called and what its states do. A Parallel or a Map holds a graph for each of its blocks,
and no edge crosses the border of a block. Left out, because it can be said in one sentence: a state may always fail
for good (to Failed) and be cancelled (to Cancelled), and a user may retry what failed; `path` adds such a move where a
job made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, assert_never

from mastercontrol.workflow.definition import (
    COMPENSATE,
    ON_EXIT,
    Block,
    ChoiceState,
    ClosingState,
    Definition,
    FailState,
    MapState,
    ParallelState,
    PassState,
    RetryRule,
    SignalState,
    State,
    SubJobState,
    SucceedState,
    TaskState,
    WaitState,
)
from mastercontrol.workflow.expressions import ExpressionError
from mastercontrol.workflow.machine import BEGIN, DONE, FAILED, JobMachine, Trigger, step_of
from mastercontrol.workflow.templates import Template

LABEL_CHARS: Final = 36
"""Characters of a condition, a list of errors or a detail that are shown."""

ALL_ERRORS: Final = "States.ALL"


class Kind(StrEnum):
    """What a node stands for: a type of state, or one of the machine's own ends."""

    BEGIN = "Begin"
    DONE = "Done"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    TASK = "Task"
    PASS = "Pass"  # noqa: S105  # a type of state
    CHOICE = "Choice"
    WAIT = "Wait"
    SIGNAL = "Signal"
    SUCCEED = "Succeed"
    FAIL = "Fail"
    PARALLEL = "Parallel"
    MAP = "Map"
    CLOSING = "Closing"  # compensate or onExit
    SUB_JOB = "SubJob"


class Move(StrEnum):
    """Why an edge is followed."""

    NEXT = "next"  # the state is done
    CATCH = "catch"  # it failed, and a rule says where to go on
    RETRY = "retry"  # an attempt failed, there is another
    FAIL = "fail"  # it failed for good
    CANCEL = "cancel"  # somebody cancelled the job
    MANUAL = "manual"  # somebody moved the job by hand


class Mark(StrEnum):
    """What a job has to do with a node."""

    NONE = "none"
    PASSED = "passed"  # it was there
    CURRENT = "current"  # it is there
    FAILED = "failed"  # it failed there


@dataclass(frozen=True, slots=True)
class Node:
    """A state. `id` is its path in the Definition: `charge`, `fan[0].charge`, `each[*].resize`."""

    id: str
    name: str
    kind: Kind
    details: tuple[str, ...] = ()
    blocks: tuple[Graph, ...] = ()
    mark: Mark = Mark.NONE


@dataclass(frozen=True, slots=True)
class Edge:
    """A move from node to node, by their ids. `labels` are alternatives: it is followed if one of them holds."""

    source: str
    target: str
    move: Move
    labels: tuple[str, ...] = ()
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """A block: at the top (path "") the whole job. A path is a block's prefix of ids: `fan[0]`, `each[*]`."""

    path: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def graph_of(definition: Definition) -> Graph:
    """The graph of a Definition, in the order in which its author wrote the states."""
    graph = _graph(definition.block, "")
    return _with_closing(graph, definition) if definition.closing else graph


def _with_closing(graph: Graph, definition: Definition) -> Graph:
    """The graph of a job that closes: what led to an end leads to a closing state first, and that to the end.

    A state may fail at any time, which is not drawn; so a closing state may have no edge that leads to it.
    """
    done, failed = own(DONE), own(FAILED)
    exits, undoes = ON_EXIT in definition.closing, COMPENSATE in definition.closing
    first = {done: ON_EXIT if exits else done, failed: COMPENSATE if undoes else ON_EXIT}
    edges = [replace(edge, target=first.get(edge.target, edge.target)) for edge in graph.edges]
    if undoes:
        edges.append(Edge(COMPENSATE, ON_EXIT if exits else failed, Move.NEXT if exits else Move.FAIL))
    if exits:
        edges += [Edge(ON_EXIT, done, Move.NEXT), Edge(ON_EXIT, failed, Move.FAIL)]
    known = [node for node in graph.nodes if node.kind not in {Kind.DONE, Kind.FAILED}]
    ends = {edge.target for edge in edges}
    closing = [_node(state, "") for state in definition.closing.values()]
    last = [Node(own(name), name, Kind(name)) for name in (DONE, FAILED) if own(name) in ends]
    return Graph("", (*known, *closing, *last), tuple(edges))


def node_id(block: str, name: str) -> str:
    """The id of a state, or of an end of the machine, in a block."""
    return f"{block}.{name}" if block else name


def own(name: str) -> str:
    """One of the machine's own states, so that it is not taken for a state of the author's of the same name."""
    return f"({name})"


def shortened(text: str, most: int = LABEL_CHARS) -> str:
    """A text on one line, cut where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def _graph(block: Block, path: str) -> Graph:
    edges = tuple(_edges(block, path))
    nodes = [Node(node_id(path, own(BEGIN)), BEGIN, Kind.BEGIN)]
    nodes += [_node(state, path) for state in block.states.values()]
    ends = {edge.target for edge in edges}
    last = [(node_id(path, own(name)), Kind(name)) for name in (DONE, FAILED)]
    nodes += [Node(end, kind.value, kind) for end, kind in last if end in ends]
    return Graph(path, tuple(nodes), edges)


# -- edges


def _edges(block: Block, path: str) -> Iterator[Edge]:
    moves = sorted(_moves(block), key=lambda move: _order(block, *move))
    for trigger, source, target in moves:
        state = block.states.get(source)
        ends = (node_id(path, source), node_id(path, target))
        match trigger:
            case Trigger.START:
                yield Edge(*ends, Move.NEXT)
            case Trigger.SUCCEED:
                yield Edge(*ends, Move.NEXT, _conditions(state, target))
            case Trigger.CATCH:
                yield Edge(*ends, Move.CATCH, _caught(state, target))
            case Trigger.RETRY:
                rules: tuple[RetryRule, ...] = getattr(state, "retry", ())
                if any(rule.policy.limit for rule in rules):
                    yield Edge(*ends, Move.RETRY, _retried(rules))
            case Trigger.FAIL:
                if isinstance(state, FailState):
                    yield Edge(*ends, Move.FAIL)
            case Trigger.CANCEL | Trigger.CLOSE | Trigger.RESUME | Trigger.RESTART:
                pass  # of any state: see `_with_closing`
            case _:
                assert_never(trigger)


def _moves(block: Block) -> set[tuple[Trigger, str, str]]:
    """The machine's transitions, with the names of states as the block has them. A block is a machine of its own."""
    machine = JobMachine(Definition("", block)).machine
    found = set()
    for event in machine.events.values():
        trigger = Trigger(event.name.partition(" ")[0])
        for transitions in event.transitions.values():
            for transition in transitions:
                source, target = str(transition.source), str(transition.dest or transition.source)
                found.add((trigger, _named(source), _named(target)))
    return found


def _named(state: str) -> str:
    return step_of(state) or own(state)


def _order(block: Block, trigger: Trigger, source: str, target: str) -> tuple[int, int, int, str]:
    """Where an edge stands: by its source, then as the source's own rules are ordered."""
    names = list(block.states)
    state = block.states.get(source)
    rank = 0
    match state:
        case ChoiceState(rules=rules) if trigger is Trigger.SUCCEED:
            rank = next((i for i, (_, name) in enumerate(rules) if name == target), len(rules))
        case TaskState(catch=catch) | SignalState(catch=catch) | ParallelState(catch=catch) | MapState(catch=catch):
            rank = next((i for i, rule in enumerate(catch) if rule.next == target), len(catch))
        case SubJobState(catch=catch):
            rank = next((i for i, rule in enumerate(catch) if rule.next == target), len(catch))
        case _:
            pass
    return (names.index(source) if source in block.states else -1, list(Trigger).index(trigger), rank, target)


def _conditions(state: State | None, target: str) -> tuple[str, ...]:
    """When a Choice leads there; nothing for states that lead to one other only."""
    if not isinstance(state, ChoiceState):
        return ()
    labels = [shortened(when.text) for when, name in state.rules if name == target]
    return (*labels, "default") if (state.next or own(DONE)) == target else tuple(labels)


def _caught(state: State | None, target: str) -> tuple[str, ...]:
    rules = [rule for rule in getattr(state, "catch", ()) if rule.next == target]
    return tuple(shortened(f"catch {_errors(rule.errors)}") for rule in rules)


def _retried(rules: tuple[RetryRule, ...]) -> tuple[str, ...]:
    limits = [(_errors(rule.errors), rule.policy.limit) for rule in rules if rule.policy.limit]
    if len(rules) == 1 and rules[0].errors == (ALL_ERRORS,):
        return (f"retry {limits[0][1]} times",)
    return tuple(shortened(f"retry {limit} times: {errors}") for errors, limit in limits)


def _errors(errors: tuple[str, ...]) -> str:
    return "any error" if ALL_ERRORS in errors else ", ".join(errors)


# -- nodes


def _node(state: State, path: str) -> Node:
    here = node_id(path, state.name)
    blocks = tuple(_graph(block, at) for at, block in _blocks(state, here))
    details: tuple[str, ...] = (shortened(_details(state)),)
    if state.compensation is not None:
        details += (f"undone by {COMPENSATE}[{state.compensation.number}]",)
    return Node(here, state.name, _kind(state), details, blocks)


def _blocks(state: State, here: str) -> list[tuple[str, Block]]:
    match state:
        case ParallelState(branches=branches):
            return [(f"{here}[{i}]", branch) for i, branch in enumerate(branches)]
        case MapState(block=block):
            return [(f"{here}[*]", block)]
        case ClosingState(name=name, blocks=blocks):
            return [(f"{here}[{i}]" if name == COMPENSATE else here, block) for i, block in enumerate(blocks)]
        case _:
            return []


def _kind(state: State) -> Kind:
    return Kind(type(state).__name__.removesuffix("State"))


def _details(state: State) -> str:  # noqa: PLR0911  # one for each type
    """What a state does, in one line."""
    match state:
        case TaskState(pool=pool):
            return f"pool {pool}"
        case SubJobState(workflow=workflow):
            return f"Workflow {workflow}"
        case WaitState(seconds=seconds, until=until):
            return _wait(seconds, until)
        case SignalState(signal=signal, timeout_seconds=timeout):
            return f"signal {signal}" + ("" if timeout is None else f", {_duration(timeout)} at most")
        case FailState(code=code):
            return f"Fail {_shown(code)}".rstrip()
        case MapState(items=items, max_concurrency=most):
            at_once = f", {most} at once" if most else ""
            return f"Map{at_once}: {items.text}" if items.variables else f"Map: for each item{at_once}"
        case ParallelState():
            return "Parallel: all of these"
        case ClosingState(name=name):
            return "if it does not end well, last first" if name == COMPENSATE else "at the end, whatever happened"
        case PassState() | ChoiceState() | SucceedState():
            return _kind(state).value
        case _:
            assert_never(state)


def _wait(seconds: Template | None, until: Template | None) -> str:
    if seconds is not None:
        fixed = _constant(seconds)
        return f"Wait {_duration(fixed)}" if isinstance(fixed, int) else f"Wait {seconds.text} s"
    return "Wait" if until is None else f"Wait until {_shown(until)}"


def _shown(template: Template) -> str:
    """What a template gives where that is the same for every job; else what it is."""
    fixed = _constant(template)
    return template.text if fixed is None else str(fixed)


def _duration(seconds: int) -> str:
    """In the largest unit that says it exactly."""
    units = ((86400, "d"), (3600, "h"), (60, "min"))
    return next(
        (f"{seconds // size} {unit}" for size, unit in units if seconds and seconds % size == 0), f"{seconds} s"
    )


def _constant(template: Template) -> Any:
    """The value of a template that is the same for every job; None where it is not."""
    try:
        return template.evaluate({})
    except ExpressionError:
        return None
