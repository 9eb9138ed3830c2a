"""The values that a layout is made of: sizes, and cells in layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

GAP: Final = 28.0
"""Between neighbours in a layer."""
RANK_GAP: Final = 21.0
"""Between two layers, of nodes or of labels."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Size:
    """Of a node or a label. `right` is room at its right that no line goes through, for loops."""

    width: float
    height: float
    right: float = 0


@dataclass(eq=False)
class Cell:
    """Something that has a place in a layer: a node, or a bend of a line (with its label)."""

    size: Size
    rank: int = 0
    column: int = 0
    x: float = 0
    y: float = 0
    up: list[Cell] = field(default_factory=list)
    down: list[Cell] = field(default_factory=list)
    is_bend: bool = False
    row: float = 0
    """The height of its layer."""

    @property
    def left(self) -> float:
        """How far it reaches to the left of its place."""
        return self.size.width / 2

    @property
    def right(self) -> float:
        """How far it reaches to the right."""
        return self.size.width / 2 + self.size.right
