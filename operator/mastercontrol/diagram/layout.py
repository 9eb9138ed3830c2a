"""Where the nodes, labels and lines of a graph are drawn: layer by layer, from top to bottom.

The usual four steps: loops are opened by turning edges round; every node gets a layer below those it follows from; the
layers are ordered so that lines cross little; and places are chosen so that lines are straight. Between two layers of
nodes there is one for labels. A node with blocks is laid out from the inside: its blocks are boxes beside each other.
Deterministic: the same graph gives the same picture. Lengths are in pixels.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mastercontrol.diagram.cells import GAP, RANK_GAP, Cell, Point, Size
from mastercontrol.diagram.graph import Edge, Graph
from mastercontrol.diagram.routes import route

_SWEEPS: Final = 12


@dataclass(frozen=True, slots=True)
class Placed:
    """A graph with places: centres of nodes, the points that lines go through, centres of labels (by edge index)."""

    width: float
    height: float
    nodes: Mapping[str, Point]
    lines: Mapping[int, tuple[Point, ...]]
    labels: Mapping[int, Point]


def place(graph: Graph, node_size: Callable[[str], Size], label_size: Callable[[Edge], Size]) -> Placed:
    """Lay out a block. Loops from a node to itself get no line here: they are drawn at its right."""
    cells = {node.id: Cell(node_size(node.id)) for node in graph.nodes}
    edges = {i: edge for i, edge in enumerate(graph.edges) if edge.source != edge.target}
    turned = _turned(list(cells), edges)
    ends = {i: (e.target, e.source) if i in turned else (e.source, e.target) for i, e in edges.items()}
    _rank(cells, list(ends.values()))
    chains = {i: _chain(cells[a], cells[b], label_size(edges[i])) for i, (a, b) in ends.items()}
    layers = _layers(list(cells.values()), list(chains.values()))
    _order(layers)
    _columns(layers)
    height = _rows(layers)
    routes = route(layers, chains)
    width = max(c.x + c.right for layer in layers for c in layer)
    lines = {i: tuple(reversed(points)) if i in turned else points for i, points in routes.items()}
    labels = {i: (chains[i][1].x, chains[i][1].y) for i in chains if edges[i].labels}
    return Placed(width, height, {k: (c.x, c.y) for k, c in cells.items()}, lines, labels)


# -- layers


def _turned(nodes: Sequence[str], edges: Mapping[int, Edge]) -> set[int]:
    """The edges that lead back to where the walk came from. Without them there is no loop."""
    turned: set[int] = set()
    done: set[str] = set()
    for begin in nodes:
        open_now: list[tuple[str, list[int]]] = []
        waiting = [begin] if begin not in done else []
        while waiting or open_now:
            if waiting:
                name = waiting.pop()
                done.add(name)
                open_now.append((name, [i for i, e in edges.items() if e.source == name]))
            on_the_way = {name for name, _ in open_now}
            rest = open_now[-1][1]
            if not rest:
                open_now.pop()
                continue
            index = rest.pop(0)
            if edges[index].target in on_the_way:
                turned.add(index)
            elif edges[index].target not in done:
                waiting.append(edges[index].target)
    return turned


def _rank(cells: Mapping[str, Cell], ends: Sequence[tuple[str, str]]) -> None:
    """Every node two layers below the lowest that leads to it; the layer between is for labels."""
    for _ in cells:
        for source, target in ends:
            cells[target].rank = max(cells[target].rank, cells[source].rank + 2)


def _chain(source: Cell, target: Cell, label: Size) -> list[Cell]:
    """A line as cells in each layer that it goes through; the label is in the first bend."""
    bends = [
        Cell(label if rank == source.rank + 1 else Size(0, 0), rank, is_bend=True)
        for rank in range(source.rank + 1, target.rank)
    ]
    chain = [source, *bends, target]
    for above, below in pairwise(chain):
        above.down.append(below)
        below.up.append(above)
    return chain


def _layers(nodes: Sequence[Cell], chains: Sequence[Sequence[Cell]]) -> list[list[Cell]]:
    layers: list[list[Cell]] = [[] for _ in range(max(cell.rank for cell in nodes) + 1)]
    for cell in (*nodes, *(bend for chain in chains for bend in chain[1:-1])):
        layers[cell.rank].append(cell)
    return layers


# -- order in a layer


def _order(layers: list[list[Cell]]) -> None:
    """Sort each layer by the middle of the neighbours, down and up again; keep the best order seen."""
    for layer in layers:
        _number(layer)
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for layer in layers if downwards else reversed(layers):
            layer.sort(key=_middle_above if downwards else _middle_below)
            _number(layer)
        found = _crossings(layers)
        if found < fewest:
            best, fewest = [list(layer) for layer in layers], found
    for layer, order in zip(layers, best, strict=True):
        layer[:] = order


def _number(layer: Sequence[Cell]) -> None:
    for column, cell in enumerate(layer):
        cell.column = column


def _middle_above(cell: Cell) -> float:
    return sum(c.column for c in cell.up) / len(cell.up) if cell.up else cell.column


def _middle_below(cell: Cell) -> float:
    return sum(c.column for c in cell.down) / len(cell.down) if cell.down else cell.column


def _crossings(layers: Sequence[Sequence[Cell]]) -> int:
    """Pairs of lines whose ends are in the other order than their beginnings."""
    total = 0
    for layer in layers:
        seen: list[int] = []
        for end in (column for cell in layer for column in sorted(c.column for c in cell.down)):
            total += len(seen) - bisect_right(seen, end)
            insort(seen, end)
    return total


# -- coordinates


def _columns(layers: Sequence[Sequence[Cell]]) -> None:
    """Move cells to the middle of their neighbours, as near as their own layer lets them."""
    for layer in layers:
        _settle(layer, [0.0] * len(layer))
    for sweep in range(_SWEEPS * 2):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            both = sweep >= _SWEEPS
            _settle(layer, [_wish(cell, downwards=sweep % 2 == 0, both=both) for cell in layer])
    left = min(cell.x - cell.left for layer in layers for cell in layer)
    for layer in layers:
        for cell in layer:
            cell.x -= left


def _wish(cell: Cell, *, downwards: bool, both: bool) -> float:
    near = cell.up + cell.down if both else (cell.up if downwards else cell.down)
    if not near:
        return cell.x
    weights = [4.0 if cell.is_bend and other.is_bend else 1.0 for other in near]
    return sum(w * other.x for w, other in zip(weights, near, strict=True)) / sum(weights)


def _settle(layer: Sequence[Cell], wishes: Sequence[float]) -> None:
    """The places nearest to the wishes (least squares) that keep order and distance: pooled neighbours move as one."""
    offsets = [0.0]
    for a, b in pairwise(layer):
        offsets.append(offsets[-1] + a.right + b.left + GAP)
    pools: list[tuple[float, int]] = []  # the sum of their wishes, and how many they are
    for wish, offset in zip(wishes, offsets, strict=True):
        total, count = wish - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before = pools.pop()
            total, count = total + before[0], count + before[1]
        pools.append((total, count))
    places = [total / count for total, count in pools for _ in range(count)]
    for cell, middle, offset in zip(layer, places, offsets, strict=True):
        cell.x = middle + offset


def _rows(layers: Sequence[Sequence[Cell]]) -> float:
    """Give each layer its height; the height of all."""
    y = 0.0
    for i, layer in enumerate(layers):
        height = max(cell.size.height for cell in layer)
        for cell in layer:
            cell.y = y + height / 2
            cell.row = height
        y += height + (RANK_GAP if i < len(layers) - 1 else 0)
    return y
