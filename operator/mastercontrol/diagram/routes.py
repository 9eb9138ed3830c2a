"""The way of each line through a layout: as few turns as the room between its neighbours lets it have.

In each layer a line may pass anywhere between its neighbours, and it may leave and reach its node anywhere near its
place there. Going down, a line keeps its column for as long as that is inside all of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from mastercontrol.diagram.cells import Cell, Point

PORT_GAP: Final = 22.0
"""Between the ends of lines at the same side of a node."""
_CORNER: Final = 16.0
_FREE: Final = 40.0
"""How far a line that is alone at its side of a node may be from the middle."""

Range = tuple[float, float]


def route(layers: Sequence[Sequence[Cell]], chains: Mapping[int, Sequence[Cell]]) -> dict[int, tuple[Point, ...]]:
    """The points of each line, downwards. Moves the cells of bends, and so their labels, to where the line is."""
    rooms = _rooms(layers)
    ends: dict[int, tuple[float, float]] = {}
    columns: dict[int, list[float]] = {}
    for index, chain in chains.items():
        (source, above), (target, below) = _port(chain, chains, top=False), _port(chain, chains, top=True)
        ends[index] = (source, target)
        columns[index] = _columns([above, *(rooms[cell] for cell in chain[1:-1]), below], source, target)
    for index, chain in chains.items():
        for cell, x in zip(chain[1:-1], columns[index][1:-1], strict=True):
            cell.x = x
    return {index: _points(chain, columns[index]) for index, chain in chains.items()}


def _rooms(layers: Sequence[Sequence[Cell]]) -> dict[Cell, Range]:
    """Where each bend may be without touching its neighbours, half of the space between them being its own."""
    rooms = {}
    for layer in layers:
        borders = [(a.x + a.right + b.x - b.left) / 2 for a, b in pairwise(layer)]
        for i, cell in enumerate(layer):
            lowest = borders[i - 1] if i > 0 else cell.x - cell.left - PORT_GAP
            highest = borders[i] if i < len(borders) else cell.x + cell.right + PORT_GAP
            low, high = lowest + cell.left + PORT_GAP / 4, highest - cell.right - PORT_GAP / 4
            rooms[cell] = (max(low, cell.left), high) if low < high else (cell.x, cell.x)
    return rooms


def _port(chain: Sequence[Cell], chains: Mapping[int, Sequence[Cell]], *, top: bool) -> tuple[float, Range]:
    """Where a line best leaves or reaches its node, and where it may: beside the others, ordered as they come."""
    end, beside = (chain[-1], chain[-2]) if top else (chain[0], chain[1])
    near = [c[-2] if top else c[1] for c in chains.values() if (c[-1] if top else c[0]) is end]
    near.sort(key=lambda cell: cell.x)
    gap = min(PORT_GAP, end.size.width / (len(near) + 1))
    x = end.x + gap * (near.index(beside) - (len(near) - 1) / 2)
    slack = max(0.0, min(_FREE, end.size.width / 2 - _CORNER)) if len(near) == 1 else gap / 4
    return x, (x - slack, x + slack)


def _columns(ranges: Sequence[Range], source: float, target: float) -> list[float]:
    """A column for each range: runs of ranges that have one in common share it."""
    runs: list[tuple[int, Range]] = []
    for low, high in ranges:
        if runs and max(runs[-1][1][0], low) <= min(runs[-1][1][1], high):
            count, (before_low, before_high) = runs[-1]
            runs[-1] = (count + 1, (max(before_low, low), min(before_high, high)))
        else:
            runs.append((1, (low, high)))
    columns: list[float] = []
    for i, (count, (low, high)) in enumerate(runs):
        wish = (source if i == 0 else columns[-1]) if i < len(runs) - 1 else target
        if len(runs) == 1:
            wish = source if low <= source <= high else target
        columns += [min(max(wish, low), high)] * count
    return columns


def _points(chain: Sequence[Cell], columns: Sequence[float]) -> tuple[Point, ...]:
    """Upright through each layer, so that turns are made between layers only."""
    first, last = chain[0], chain[-1]
    points = [(columns[0], first.y + first.size.height / 2), (columns[0], first.y + first.row / 2)]
    for bend, x in zip(chain[1:-1], columns[1:-1], strict=True):
        points += [(x, bend.y - bend.row / 2), (x, bend.y + bend.row / 2)]
    points += [(columns[-1], last.y - last.row / 2), (columns[-1], last.y - last.size.height / 2)]
    return tuple(p for i, p in enumerate(points) if i == 0 or p != points[i - 1])
