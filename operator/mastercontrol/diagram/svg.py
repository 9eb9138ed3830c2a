"""A graph as an SVG that stands for itself: no script, no font or style from elsewhere, readable on light and dark.

Sizes of texts are estimated, generously, since the font is the reader's own. What a job did is said by colour and by
the weight of lines; a pointer over a node shows its path and its mark in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from mastercontrol.diagram.cells import Point, Size
from mastercontrol.diagram.graph import Edge, Graph, Kind, Mark, Move, Node
from mastercontrol.diagram.layout import Placed, place
from mastercontrol.diagram.svg_style import STYLE

_MARGIN: Final = 20.0
_PAD: Final = 14.0
_NAME: Final = 19.0  # height of a line with a name
_DETAIL: Final = 15.0
_LABEL: Final = 14.0
_LOOP: Final = 20.0  # width of the loop at the right of a node
_DOT: Final = 14.0  # where a branch begins and ends
_ARROW: Final = (4.0, 8.0)  # half its width, its length

_ENDS: Final = frozenset({Kind.BEGIN, Kind.DONE, Kind.FAILED, Kind.CANCELLED})


def svg(graph: Graph, title: str) -> str:
    """The picture, with its title above it."""
    drawing = _Block(graph, is_top=True)
    head = 26.0
    width = max(drawing.width, _wide(title, 15)) + 2 * _MARGIN
    height = drawing.height + head + 2 * _MARGIN
    x, y = (width - drawing.width) / 2, _MARGIN + head
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={quoteattr(_clean(title))}>',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{width:.0f}" height="{height:.0f}" rx="8"/>',
        _text(width / 2, _MARGIN + 8, title, "title"),
        *drawing.draw(x, y),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


@dataclass
class _Block:
    """A graph that knows its size and draws itself at a place."""

    graph: Graph
    is_top: bool = False

    @cached_property
    def shapes(self) -> dict[str, _Shape]:
        loops: dict[str, list[Edge]] = {node.id: [] for node in self.graph.nodes}
        for edge in self.graph.edges:
            if edge.source == edge.target:
                loops[edge.source].append(edge)
        return {n.id: _Shape(n, loops[n.id], is_dot=n.kind in _ENDS and not self.is_top) for n in self.graph.nodes}

    @cached_property
    def placed(self) -> Placed:
        return place(self.graph, lambda node: self.shapes[node].size, _label_size)

    @property
    def width(self) -> float:
        return self.placed.width

    @property
    def height(self) -> float:
        return self.placed.height

    def draw(self, x: float, y: float) -> Iterator[str]:
        """Lines first, so that nodes and labels lie on them; what the job did last, so that it is on top."""
        lines = sorted(self.placed.lines.items(), key=lambda line: self.graph.edges[line[0]].taken)
        for index, points in lines:
            yield _line(self.graph.edges[index], [(x + a, y + b) for a, b in points])
        for index, (a, b) in self.placed.labels.items():
            edge = self.graph.edges[index]
            yield from _label(edge.labels, x + a, y + b, taken=edge.taken)
        for node, (a, b) in self.placed.nodes.items():
            yield from self.shapes[node].draw(x + a, y + b)


@dataclass
class _Shape:
    """A node, with the loop that leads back to it and the blocks that are inside."""

    node: Node
    loops: Sequence[Edge]
    is_dot: bool

    @cached_property
    def blocks(self) -> list[_Block]:
        return [_Block(block) for block in self.node.blocks]

    @cached_property
    def size(self) -> Size:
        if self.is_dot:
            return Size(_DOT, _DOT)
        width = max(_wide(self.node.name, 13), *(_wide(d, 11) for d in ("", *self.node.details))) + 2 * _PAD
        height = self._head
        if self.node.kind is Kind.CHOICE:
            width += 2 * _PAD
        if self.blocks:
            width = max(width, sum(b.width + 2 * _PAD for b in self.blocks) + _PAD * (len(self.blocks) + 1))
            height += max(b.height for b in self.blocks) + 3 * _PAD
        right = _LOOP + _label_size_of(self._loop_labels).width if self.loops else 0
        return Size(max(width, 64), height, right)

    @property
    def _head(self) -> float:
        """The height of name and details, with the space around them."""
        return _NAME + _DETAIL * len(self.node.details) + _PAD

    @property
    def _loop_labels(self) -> tuple[str, ...]:
        return tuple(label for edge in self.loops for label in edge.labels)

    def draw(self, x: float, y: float) -> Iterator[str]:
        node = self.node
        hint = f"{node.id}: {node.kind}" + ("" if node.mark is Mark.NONE else f", {node.mark}")
        kind = f"dot {node.kind.lower()}" if self.is_dot else node.kind.lower()
        kind += " holder" if self.blocks else ""
        yield f'<g class="node {kind} is-{node.mark.value}"><title>{_escaped(hint)}</title>'
        yield self._outline(x, y)
        if not self.is_dot:
            yield from self._texts(x, y - self.size.height / 2 + _PAD / 2 + _NAME / 2)
        yield "</g>"
        yield from self._inside(x, y)
        if self.loops:
            yield from self._loop(x + self.size.width / 2, y)

    def _texts(self, x: float, y: float) -> Iterator[str]:
        yield _text(x, y, self.node.name, "name")
        for i, detail in enumerate(self.node.details):
            yield _text(x, y + (_NAME + _DETAIL) / 2 + i * _DETAIL, detail, "detail")

    def _outline(self, x: float, y: float) -> str:
        width, height = self.size.width, self.size.height
        left, top = x - width / 2, y - height / 2
        if self.is_dot:
            return f'<circle class="box" cx="{x:.1f}" cy="{y:.1f}" r="{_DOT / 2 - 1:.1f}"/>'
        if self.node.kind is Kind.CHOICE:
            right, bottom, edge = left + width, top + height, _PAD
            points = [(left, y), (left + edge, top), (right - edge, top), (right, y), (right - edge, bottom)]
            points.append((left + edge, bottom))
            return f'<polygon class="box" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>'
        round_ends = self.node.kind in _ENDS | {Kind.WAIT, Kind.SIGNAL}
        radius = height / 2 if round_ends and not self.blocks else 5
        return _rect("box", left, top, width, height, radius)

    def _inside(self, x: float, y: float) -> Iterator[str]:
        """The blocks beside each other, each in a box of its own."""
        total = sum(b.width + 2 * _PAD for b in self.blocks) + _PAD * (len(self.blocks) - 1)
        left, top = x - total / 2, y - self.size.height / 2 + self._head
        for block in self.blocks:
            width, height = block.width + 2 * _PAD, max(b.height for b in self.blocks) + 2 * _PAD
            yield _rect("block", left, top, width, height, 4)
            yield from block.draw(left + _PAD, top + _PAD)
            left += width + _PAD

    def _loop(self, x: float, y: float) -> Iterator[str]:
        half = min(self.size.height / 2 - 4, 11.0)
        edge = self.loops[0]
        taken = any(e.taken for e in self.loops)
        classes = _edge_classes(edge.move, taken=taken)
        far = x + _LOOP
        path = f"M{x:.1f},{y - half:.1f}C{far:.1f},{y - half:.1f} {far:.1f},{y + half:.1f} {x + 7:.1f},{y + half:.1f}"
        arrow = f"M{x:.1f},{y + half:.1f}l{_ARROW[1]:.0f},{-_ARROW[0]:.0f}v{2 * _ARROW[0]:.0f}z"
        yield f'<g class="{classes}"><path class="line" d="{path}"/><path class="arrow" d="{arrow}"/></g>'
        label = _label_size_of(self._loop_labels)
        yield from _label(self._loop_labels, x + _LOOP + label.width / 2 - 4, y, taken=taken, beside=True)


# -- lines and texts


def _line(edge: Edge, points: Sequence[Point]) -> str:
    """A curve through the points, upright at each, with an arrow at its end."""
    (x, y), before = points[-1], points[-2]
    down = 1 if y > before[1] else -1
    stop = [*points[:-1], (x, y - down * (_ARROW[1] - 1))]
    path = f"M{stop[0][0]:.1f},{stop[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(stop):
        half = (y0 + y1) / 2
        straight = abs(x0 - x1) < 1
        path += f"L{x1:.1f},{y1:.1f}" if straight else f"C{x0:.1f},{half:.1f} {x1:.1f},{half:.1f} {x1:.1f},{y1:.1f}"
    wide, long = _ARROW
    arrow = f"M{x:.1f},{y:.1f}l{-wide:.0f},{-down * long:.0f}h{2 * wide:.0f}z"
    classes = _edge_classes(edge.move, taken=edge.taken)
    return f'<g class="{classes}"><path class="line" d="{path}"/><path class="arrow" d="{arrow}"/></g>'


def _edge_classes(move: Move, *, taken: bool) -> str:
    return f"edge {move.value}" + (" taken" if taken else "")


def _label_size(edge: Edge) -> Size:
    return _label_size_of(edge.labels)


def _label_size_of(labels: Sequence[str]) -> Size:
    if not labels:
        return Size(0, 0)
    return Size(max(_wide(label, 11) for label in labels) + 8, _LABEL * len(labels) + 2)


def _label(labels: Sequence[str], x: float, y: float, *, taken: bool, beside: bool = False) -> Iterator[str]:
    """A label in the middle of its place, or `beside` what is at its left."""
    if not labels:
        return
    size = _label_size_of(labels)
    kind = "label" + (" taken" if taken else "") + (" beside" if beside else "")
    yield _rect("under", x - size.width / 2, y - size.height / 2, size.width, size.height, 3)
    for i, label in enumerate(labels):
        at = y + _LABEL * (i - (len(labels) - 1) / 2)
        yield _text(x - size.width / 2 + 4 if beside else x, at, label, kind)


def _rect(kind: str, x: float, y: float, width: float, height: float, radius: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" dy=".35em">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    return escape(_clean(text))


def _clean(text: str) -> str:
    """Without control characters, which XML has no way to write."""
    return "".join(c for c in text if c.isprintable())


def _wide(text: str, size: float) -> float:
    """The width of a text in a common sans-serif font, rather more than less."""
    return sum(_share(c) for c in text) * size


_NARROW: Final = frozenset("iljtf.,:;!|'()[] I")
_BROAD: Final = frozenset("mwMW@%…—")


def _share(c: str) -> float:
    """The width of a character in parts of the font's size."""
    if c in _NARROW:
        return 0.38
    if c in _BROAD or c.isupper():
        return 0.86 if c in _BROAD else 0.72
    return 0.62 if c.isascii() else 1.0
