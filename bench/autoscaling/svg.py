"""Curves as an SVG that stands for itself: no script, no font or style from elsewhere, readable on light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 860.0, 60.0, 20.0, 34.0, 30.0
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #59636e; } .title { font-size: 15px; fill: #1f2328; }
.page { fill: #ffffff; } .grid { stroke: #d1d9e0; stroke-width: 1; } .good { fill: #1a7f37; opacity: .1; }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.c0 { stroke: #0969da; } .c1 { stroke: #bc4c00; } .c2 { stroke: #8250df; } .c3 { stroke: #1a7f37; }
.c4 { stroke: #cf222e; } .c5 { stroke: #9a6700; } .c6 { stroke: #bf3989; } .c7 { stroke: #59636e; }
.dot { fill: #ffffff; stroke-width: 1.6; } .default { stroke-width: 4; }
@media (prefers-color-scheme: dark) {
text { fill: #9198a1; } .title { fill: #f0f6fc; } .page { fill: #0d1117; } .grid { stroke: #3d444d; }
.c0 { stroke: #4493f8; } .c1 { stroke: #db6d28; } .c2 { stroke: #ab7df8; } .c3 { stroke: #3fb950; }
.c4 { stroke: #f85149; } .c5 { stroke: #d29922; } .c6 { stroke: #db61a2; } .c7 { stroke: #9198a1; }
.dot { fill: #0d1117; } }
"""


@dataclass(frozen=True, slots=True)
class Axis:
    """From `least` to `most`, with a text at each of the `ticks`."""

    least: float
    most: float
    ticks: Sequence[tuple[float, str]]
    is_log: bool = False

    def part(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        least, most, value = (math.log(x) if self.is_log else x for x in (self.least, self.most, value))
        return min(max((value - least) / (most - least), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves over each other. `good`: the part up to (x, y) is shaded; `marked`: dots, and which of them stands out."""

    title: str
    x: Axis
    y: Axis
    curves: Sequence[tuple[str, Points]]
    height: float = 170.0
    good: tuple[float, float] | None = None
    marked: int | None = None


def picture(title: str, panels: Sequence[Panel]) -> str:
    """The panels below each other."""
    height = TOP + sum(panel.height + TOP + BOTTOM for panel in panels)
    size = f'width="{WIDTH:.0f}" height="{height:.0f}" viewBox="0 0 {WIDTH:.0f} {height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH:.0f}" height="{height:.0f}" rx="8"/>',
        _text(LEFT, 24, title, "title"),
    ]
    top = TOP
    for panel in panels:
        lines += _draw(panel, top + TOP)
        top += panel.height + TOP + BOTTOM
    return "\n".join([*lines, "</svg>"]) + "\n"


def _draw(panel: Panel, top: float) -> Iterator[str]:
    width = WIDTH - LEFT - RIGHT

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + panel.x.part(x) * width, top + (1 - panel.y.part(y)) * panel.height

    yield _text(LEFT, top - 10, panel.title)
    if panel.good is not None:
        x, y = at(*panel.good)
        place = f'x="{LEFT:.1f}" y="{y:.1f}" width="{x - LEFT:.1f}" height="{top + panel.height - y:.1f}"'
        yield f'<rect class="good" {place}/>'
    for value, text in panel.y.ticks:
        _, y = at(panel.x.least, value)
        yield f'<path class="grid" d="M{LEFT:.1f},{y:.1f}H{WIDTH - RIGHT:.1f}"/>'
        yield _text(LEFT - 6, y + 4, text, anchor="end")
    for value, text in panel.x.ticks:
        x, _ = at(value, panel.y.least)
        yield _text(x, top + panel.height + 17, text, anchor="middle")
    legend = LEFT + 330
    for i, (name, points) in enumerate(panel.curves):
        yield f'<path class="line c{i}" d="{_path([at(*point) for point in points])}"/>'
        if panel.marked is not None:
            yield from _dots(i, [at(*point) for point in points], panel.marked)
        yield f'<path class="line c{i}" d="M{legend:.0f},{top - 14:.0f}h16"/>{_text(legend + 20, top - 10, name)}'
        legend += 34 + 6.6 * len(name)


def _path(points: Points) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _dots(i: int, points: Points, marked: int) -> Iterator[str]:
    for k, (x, y) in enumerate(points):
        kind = "dot default" if k == marked else "dot"
        yield f'<circle class="{kind} c{i}" cx="{x:.1f}" cy="{y:.1f}" r="{5 if k == marked else 3}"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    extra = f' class="{kind}"' if kind else ""
    return f'<text{extra} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def even(most: float, write: Callable[[float], str] = lambda value: f"{value:g}", unit: float = 1.0) -> Axis:
    """From zero to about `most`, with about five round numbers; `unit` is what one of them means."""
    rough = max(most, unit) / unit / 5
    scale = 10 ** math.floor(math.log10(rough))
    step = next(scale * factor for factor in (1, 2, 5, 10) if scale * factor >= rough)
    count = math.ceil(max(most, unit) / unit / step)
    return Axis(0.0, count * step * unit, [(i * step * unit, write(i * step)) for i in range(count + 1)])
