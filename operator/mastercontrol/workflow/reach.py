"""Which states of a block are never reached, and from which there is no way to an end. Pure; `compile.py` calls it.

It also works where a block has faults: a state of which it can't be told where it leads may lead to any other and to
the end, so that no fault is reported which is only the shadow of another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A state of a block. `follows`: the next one in the list comes after it. `loose`: it may lead anywhere."""

    name: str
    leads_to: frozenset[str]
    follows: bool
    loose: bool


def never_reached(nodes: Sequence[Node]) -> list[int]:
    """The states that no way leads to from the first one."""
    reached = _closure([0], _edges(nodes))
    return [i for i in range(len(nodes)) if i not in reached]


def never_ending(nodes: Sequence[Node], ends: frozenset[int]) -> list[list[int]]:
    """The loops that are reached and never left: of each its states, in the order of the list."""
    edges = _edges(nodes)
    back: dict[int, list[int]] = {i: [] for i in range(len(nodes))}
    for i, following in edges.items():
        for each in following:
            back[each].append(i)
    safe = _closure([*ends, *(i for i, node in enumerate(nodes) if node.loose)], back)
    lost = sorted(_closure([0], edges) - safe)
    ahead = {i: frozenset(_closure(edges[i], edges)) for i in lost}
    # Of a loop that is never left, each state has the same states ahead of it, itself among them.
    loops = {ahead[i]: [j for j in lost if ahead[j] == ahead[i] and j in ahead[j]] for i in lost if i in ahead[i]}
    return [found for states, found in loops.items() if not any(ahead[j] < states for j in states)]


def _edges(nodes: Sequence[Node]) -> dict[int, list[int]]:
    """Where each state may lead to. A name that stands twice leads to both."""
    places: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        places.setdefault(node.name, []).append(i)
    anywhere = list(range(len(nodes)))
    edges = {}
    for i, node in enumerate(nodes):
        named = [j for name in node.leads_to for j in places.get(name, ())]
        following = [i + 1] if node.follows and i + 1 < len(nodes) else []
        edges[i] = anywhere if node.loose else [*following, *named]
    return edges


def _closure(begin: Iterable[int], edges: Mapping[int, Sequence[int]]) -> set[int]:
    """All that is reached along the edges."""
    reached, waiting = set[int](), list(begin)
    while waiting:
        at = waiting.pop()
        if at not in reached:
            reached.add(at)
            waiting += edges[at]
    return reached
