"""Upper bounds of the size of JSON values; the estimate of what an expression costs reckons with them."""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

_MEASURED_DEPTH: Final = 12


@dataclass(frozen=True, slots=True)
class Size:
    """An upper bound: bytes of JSON in all, elements at the top, the size of one element. `text` is the very text."""

    total: int = 24
    count: int = 0
    element: Size | None = None
    text: str | None = None

    @property
    def one(self) -> Size:
        """The size of an element or field."""
        return self.element or Size(self.total)


SCALAR: Final = Size()


def measure(value: Any) -> Size:
    """The size of a JSON value. All that lies equally deep in it is told by the largest of them."""
    if isinstance(value, str):
        return Size(_length(value) + 2, text=value)
    levels: list[list[int]] = []
    _weigh(value, 0, levels)
    size: Size | None = None
    for total, count in reversed(levels):
        size = Size(total, count, size)
    return size or SCALAR


def largest(sizes: Iterable[Size]) -> Size | None:
    """One size that is at least as large as each; only a sole one keeps its text. None where there are none."""
    sizes = list(sizes)
    if not sizes:
        return None
    if len(sizes) == 1:
        return sizes[0]
    return Size(max(s.total for s in sizes), max(s.count for s in sizes), largest_element(sizes))


def largest_element(sizes: Iterable[Size]) -> Size | None:
    """The largest of the elements of each."""
    return largest(s.one for s in sizes if s.count or s.element is not None)


def collection(parts: list[Size], count: int) -> Size:
    """The size of a list or object of these parts."""
    return Size(sum(p.total + 2 for p in parts) + 2, count, largest(parts))


def _weigh(value: Any, depth: int, levels: list[list[int]]) -> int:
    """The bytes of a value; `levels` gets the most bytes and elements of one value at each depth."""
    if len(levels) == depth:
        levels.append([0, 0])
    level = levels[depth]
    total = count = 0
    if isinstance(value, str):
        total = _length(value) + 2
    elif not isinstance(value, (list, dict)):
        total = SCALAR.total
    elif depth == _MEASURED_DEPTH:
        # The second version of the format repeats what is there twice; no JSON text is longer than six times that.
        total = count = 6 * len(marshal.dumps(value, 2))
    else:
        count = len(value)
        total = 2 * count + 2 + sum(_weigh(each, depth + 1, levels) for each in value)
        if isinstance(value, dict):
            total += sum(_weigh(each, depth + 1, levels) for each in value.values())
    level[0] = max(level[0], total)
    level[1] = max(level[1], count)
    return total


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
