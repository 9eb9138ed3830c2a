"""The internal representation: what the engine runs, whatever language it was written in.

A Definition is a tree of Blocks. A Block is named states and where each leads; Parallel and Map states hold further
Blocks. The engine sees these values only, so another front-end needs no change there. `compile.py` makes them from
the states as their author wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from mastercontrol.api.workflow import RetrySpec
from mastercontrol.workflow.concurrency import Concurrency
from mastercontrol.workflow.expressions import Expression
from mastercontrol.workflow.templates import Template

ON_EXIT = "onExit"
COMPENSATE = "compensate"
"""The names of the closing states. No state at the top of a Workflow that has one may be called so."""

MAX_TRANSITIONS = 10_000
"""Transitions of one job before it fails, unless its Workflow says otherwise: the end of a loop that has none."""


@dataclass(frozen=True, slots=True)
class RetryRule:
    """For which errors another attempt is made, how often and when. The first rule that matches counts."""

    errors: tuple[str, ...]
    policy: RetrySpec


@dataclass(frozen=True, slots=True)
class CatchRule:
    """For which errors the job goes on in another state. The first rule that matches counts."""

    errors: tuple[str, ...]
    next: str


@dataclass(frozen=True, slots=True)
class Data:
    """What goes into a state, what comes out of it, and which variables it sets. None: as it is."""

    input: Template | None = None
    output: Template | None = None
    assign: Mapping[str, Template] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Compensation:
    """What undoes a state that is done, if its job does not end well.

    `number` is that of its block in the closing state `compensate`; `input` is evaluated when the state is done, and
    None stands for the state's output.
    """

    number: int
    input: Template | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseState:
    """What all states have. `next` None: the block ends after it."""

    name: str
    next: str | None = None
    data: Data = Data()  # frozen
    compensation: Compensation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState(BaseState):
    """A step: done by a worker of `pool`."""

    pool: str
    timeout_seconds: int | None = None
    retry: tuple[RetryRule, ...] = ()
    catch: tuple[CatchRule, ...] = ()
    heartbeat_seconds: int | None = None  # it fails when it is silent for longer; None: it need not report


@dataclass(frozen=True, slots=True, kw_only=True)
class PassState(BaseState):
    """Nothing but its data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceState(BaseState):
    """On to the state of the first rule whose condition holds, else to `next`; None and no rule: an error."""

    rules: tuple[tuple[Expression, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitState(BaseState):
    """Until a time has come: `seconds` from its beginning, or the timestamp `until`. Exactly one is given."""

    seconds: Template | None = None
    until: Template | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalState(BaseState):
    """Until somebody sends the signal of this name; its payload is the output."""

    signal: str
    timeout_seconds: int | None = None
    catch: tuple[CatchRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SucceedState(BaseState):
    """The block ends here, well; at the top, the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailState(BaseState):
    """The block ends here with an error; at the top, the job fails."""

    code: Template
    message: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelState(BaseState):
    """All branches at once; its output is the list of theirs. One that fails ends the others."""

    branches: tuple[Block, ...]
    retry: tuple[RetryRule, ...] = ()
    catch: tuple[CatchRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MapState(BaseState):
    """The block once for each item; its output is the list of theirs. `max_concurrency` 0: all at once."""

    items: Template
    block: Block
    max_concurrency: int = 0
    tolerated_count: int | None = None
    tolerated_percentage: float | None = None
    retry: tuple[RetryRule, ...] = ()
    catch: tuple[CatchRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingState(BaseState):
    """What runs once it is known how a job ends: `compensate` (one block at a time) and `onExit` (its only block).

    Nothing leads to it and it leads nowhere: the engine enters it, and ends the job after it.
    """

    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubJobState(BaseState):
    """A child Job of another Workflow of the same namespace; its output is the output."""

    workflow: str
    timeout_seconds: int | None = None
    retry: tuple[RetryRule, ...] = ()
    catch: tuple[CatchRule, ...] = ()


State = (
    TaskState
    | PassState
    | ChoiceState
    | WaitState
    | SignalState
    | SucceedState
    | FailState
    | ParallelState
    | MapState
    | ClosingState
    | SubJobState
)
"""The closed sum of states."""


@dataclass(frozen=True, slots=True)
class Block:
    """Named states, and the one to begin with. `needed` says for each state which outputs it or a later one reads.

    `at_end` are those that are read when all its states are done: by the closing states, of the block at the top.
    """

    start: str
    states: Mapping[str, State]
    needed: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False)
    at_end: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True)
class Definition:
    """One revision of a Workflow. Two with the same revision are the same."""

    revision: str
    block: Block = field(compare=False)
    max_transitions: int = field(default=MAX_TRANSITIONS, compare=False)
    closing: Mapping[str, ClosingState] = field(default_factory=dict, compare=False)
    """The states COMPENSATE and ON_EXIT, where it has them."""
    concurrency: Concurrency | None = field(default=None, compare=False)

    def __hash__(self) -> int:
        return hash(self.revision)

    @property
    def start(self) -> str:
        """The first state."""
        return self.block.start

    @property
    def states(self) -> Mapping[str, State]:
        """The states at the top."""
        return self.block.states

    def find(self, path: str) -> State | None:
        """The state that a path leads to: `charge`, `each[12].resize`; None where there is none."""
        found = _walk(self, path)
        return None if found is None else found[1]

    def block_of(self, path: str) -> Block | None:
        """The block that the state of a path is in."""
        found = _walk(self, path)
        return None if found is None else found[0]

    def all_states(self) -> Iterator[State]:
        """Every state: those in branches and items, and the closing ones with what is in them."""
        yield from _inside(self.block)
        for state in self.closing.values():
            yield from _with_inner(state)

    def tasks(self) -> Iterator[TaskState]:
        """All Task states."""
        return (state for state in self.all_states() if isinstance(state, TaskState))


@lru_cache(maxsize=65_536)  # a decision asks for each of the thousand items of a Map, several times
def _walk(definition: Definition, path: str) -> tuple[Block, State] | None:
    block = definition.block
    *outer, last = path.split(".")
    for part in outer:
        name, index = split_index(part)
        state = _state(definition, block, name)
        inner = None if state is None else inner_block(state, index)
        if inner is None:
            return None
        block = inner
    found = _state(definition, block, split_index(last)[0])
    return None if found is None else (block, found)


def _state(definition: Definition, block: Block, name: str) -> State | None:
    found = block.states.get(name)
    return definition.closing.get(name) if found is None and block is definition.block else found


@dataclass(frozen=True, slots=True)
class Faults:
    """Why a Workflow cannot run: every fault, each with its field."""

    messages: tuple[str, ...]

    def __str__(self) -> str:
        return joined(self.messages)


FAULTS_CHARS = 16_384
"""Of the faults of a Workflow so much is written into one message; the API server takes twice that."""


def joined(messages: Sequence[str]) -> str:
    """Faults as one line of text, the last ones as a number if there are very many."""
    told, size = list[str](), 0
    for message in messages:
        size += len(message) + 2
        if told and size > FAULTS_CHARS:
            return f"{'; '.join(told)}; and {len(messages) - len(told)} more"
        told.append(message[:FAULTS_CHARS])
    return "; ".join(told)


_INDEXED = re.compile(r"(.*)\[(\d+)\]\Z")


def split_index(part: str) -> tuple[str, int | None]:
    """`each[12]` -> `each`, 12; `charge` -> `charge`, None."""
    found = _INDEXED.match(part)
    return (part, None) if found is None else (found[1], int(found[2]))


def inner_block(state: State, index: int | None) -> Block | None:
    """The block that runs as branch or item `index` of a state."""
    match state:
        case ParallelState(branches=branches) if index is not None and index < len(branches):
            return branches[index]
        case MapState(block=block) if index is not None:
            return block
        case ClosingState(blocks=blocks) if (index or 0) < len(blocks):
            return blocks[index or 0]
        case _:
            return None


def blocks_of(state: State) -> tuple[Block, ...]:
    """The blocks inside of a state; none where its type has none."""
    match state:
        case ParallelState(branches=branches):
            return branches
        case MapState(block=block):
            return (block,)
        case ClosingState(blocks=blocks):
            return blocks
        case _:
            return ()


def _inside(block: Block) -> Iterator[State]:
    for state in block.states.values():
        yield from _with_inner(state)


def _with_inner(state: State) -> Iterator[State]:
    yield state
    for block in blocks_of(state):
        yield from _inside(block)
