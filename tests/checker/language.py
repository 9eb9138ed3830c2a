"""Where the states of a Workflow lead, read from its spec as its author wrote it. The checker's own reading.

It knows what the documentation of the language says and nothing of how the operator does it: no expressions, no
values, only which state may follow which. A choice may take any of its rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

ON_EXIT: Final = "onExit"
COMPENSATE: Final = "compensate"
CLOSING: Final = frozenset({ON_EXIT, COMPENSATE})
"""What a job is in while it closes, beside the states that its author named."""

Raw = Mapping[str, Any]


@dataclass(frozen=True)
class State:
    """A state and where it leads. `ends`: it may be the last of its block. `count`: its blocks; None: as items come."""

    name: str
    type: str
    ends: bool
    following: frozenset[str] = frozenset()
    catches: frozenset[str] = frozenset()
    signal: str = ""
    blocks: tuple[Block, ...] = ()
    count: int | None = None

    @property
    def waits(self) -> bool:
        """Whether a job stands in it until something comes: then it has an entry in `status.active`."""
        return self.type in {"Task", "Wait", "Signal", "SubJob"}

    @property
    def may_be_retried(self) -> bool:
        return self.type in {"Task", "SubJob", "Parallel", "Map"}

    def block(self, index: int) -> Block | None:
        """The block that runs as branch or item of a number."""
        if self.type == "Map":
            return self.blocks[0]
        return self.blocks[index] if index < len(self.blocks) else None


@dataclass(frozen=True)
class Block:
    """States beside each other, and the first of them."""

    first: str
    states: Mapping[str, State]


@dataclass(frozen=True)
class Workflow:
    """One revision. `closing` has the blocks of `compensate` (one for each state that says it) and `onExit`."""

    top: Block
    closing: Mapping[str, State] = field(default_factory=dict)

    def scope(self, path: str) -> Block | None:
        """The block of a scope: "" is the top, `fan[0]` a branch, `onExit` that of onExit; None: there is none."""
        block: Block | None = self.top
        for part in path.split(".") if path else ():
            name, index = split(part)
            state = None if block is None else block.states.get(name)
            if state is None and block is self.top:
                state = self.closing.get(name)
                index = 0 if name == ON_EXIT and index is None else index
            block = None if state is None or index is None else state.block(index)
        return block

    def state(self, path: str) -> State | None:
        """The state of a path, as `each[12].resize`; None: there is none."""
        scope, name = at(path)
        block = self.scope(scope)
        found = None if block is None else block.states.get(name)
        return self.closing.get(name) if found is None and not scope else found


NOWHERE: Final = Workflow(Block("", {}))
"""That of a job that has not begun: it leads nowhere but to an end."""


def read(spec: Raw) -> Workflow:
    """Read the spec of a Workflow that the operator has accepted.

    :raises KeyError, TypeError: it is none.
    """
    undone = list(_undone(spec["states"]))
    closing = {}
    if undone:
        blocks = tuple(_block(raw["compensate"]["states"]) for raw in undone)
        closing[COMPENSATE] = State(COMPENSATE, COMPENSATE, ends=False, blocks=blocks)
    if spec.get(ON_EXIT):
        only = (_block(spec[ON_EXIT]["states"]),)
        closing[ON_EXIT] = State(ON_EXIT, ON_EXIT, ends=True, blocks=only)
    return Workflow(_block(spec["states"]), closing)


def at(path: str) -> tuple[str, str]:
    """Scope and name: `each[12].resize` -> `each[12]`, `resize`; `charge` -> ``, `charge`."""
    scope, _, name = path.rpartition(".")
    return scope, name


def split(part: str) -> tuple[str, int | None]:
    """`each[12]` -> `each`, 12; `charge` -> `charge`, None."""
    name, bracket, index = part.partition("[")
    return name, int(index.rstrip("]")) if bracket else None


def holder(scope: str) -> str:
    """The path of the state that a scope is a block of: `fan[0]` -> `fan`, `onExit` -> `onExit`."""
    return scope.rpartition("[")[0] if scope.endswith("]") else scope


def _block(states: list[Raw]) -> Block:
    names = [str(raw["name"]) for raw in states]
    below = [*names[1:], None]
    return Block(names[0], {name: _state(raw, after) for name, raw, after in zip(names, states, below, strict=True)})


def _state(raw: Raw, below: str | None) -> State:
    kind = raw.get("type", "Task")
    if kind == "Choice":
        following, ends = {raw["default"], *(rule["next"] for rule in raw["choices"])}, False
    elif kind == "Fail":
        following, ends = set[str](), False
    else:
        after = None if kind == "Succeed" or raw.get("end") else raw.get("next") or below
        following, ends = ({after}, False) if after else (set(), True)
    blocks = tuple(_block(b["states"]) for b in raw["branches"]) if kind == "Parallel" else ()
    blocks = (_block(raw["states"]),) if kind == "Map" else blocks
    return State(
        name=raw["name"],
        type=kind,
        following=frozenset(following),
        ends=ends,
        catches=frozenset(rule["next"] for rule in raw.get("catch", ())),
        signal=raw.get("signal") or raw["name"],
        blocks=blocks,
        count=len(blocks) if kind == "Parallel" else None,
    )


def _undone(states: list[Raw]) -> Iterator[Raw]:
    """The states that say what undoes them, in the order in which they are written; their place is their number."""
    for raw in states:
        if raw.get("compensate"):
            yield raw
        for branch in raw.get("branches", ()):
            yield from _undone(branch["states"])
        if raw.get("type") == "Map":
            yield from _undone(raw["states"])
