#!/usr/bin/env python3
"""Draws the sample images: python make_samples.py [FOLDER]. The drawn ones are in samples/ already."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
NIGHT: Colour = (24, 32, 64)
SAND: Colour = (236, 196, 128)
CORAL: Colour = (232, 96, 80)
TEAL: Colour = (32, 136, 136)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def dunes() -> Image.Image:
    """A sun over five rows of hills."""
    image = Image.new("RGB", (960, 640))
    draw = ImageDraw.Draw(image)
    for y in range(640):
        draw.line([(0, y), (960, y)], fill=mix(NIGHT, CORAL, y / 640))
    draw.ellipse([580, 120, 740, 280], fill=SAND)
    for row in range(5):
        base, height = 320 + 70 * row, 70 - 10 * row
        line = [(x, base + height * math.sin(x / (170 - 22 * row) + 2.1 * row)) for x in range(0, 961, 4)]
        draw.polygon([*line, (960, 640), (0, 640)], fill=mix(SAND, NIGHT, (row + 1) / 6))
    return image


def rings() -> Image.Image:
    """Rings on a transparent ground."""
    image = Image.new("RGBA", (800, 800), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    for ring in range(12):
        edge = 16 + 32 * ring
        colour = (*mix(TEAL, SAND, ring / 11), 255) if ring % 2 == 0 else (*NIGHT, 96)
        draw.ellipse([edge, edge, 799 - edge, 799 - edge], fill=colour)
    return image


def tiles() -> Image.Image:
    """Quarter circles, turned by the tile's place, in a palette."""
    image = Image.new("RGB", (640, 960), SAND)
    draw = ImageDraw.Draw(image)
    for column in range(8):
        for row in range(12):
            turn = (3 * column + 5 * row + column * row) % 4
            x, y = 80 * (column + (turn in {1, 2})), 80 * (row + (turn in {2, 3}))  # the corner that it is drawn around
            box = [x - 80, y - 80, x + 80, y + 80]
            draw.pieslice(box, 90 * turn, 90 * turn + 90, fill=(TEAL, CORAL, NIGHT)[(column + row) % 3])
    return image.quantize(16)


def waves() -> Image.Image:
    """Grey waves of two sources."""
    image = Image.new("L", (1200, 400))
    for y in range(0, 400, 4):
        for x in range(0, 1200, 4):
            height = math.sin(math.hypot(x - 300, y - 200) / 18) + math.sin(math.hypot(x - 900, y - 200) / 18)
            image.paste(round(127.5 + 60 * height), (x, y, x + 4, y + 4))
    return image


SAMPLES: dict[str, Callable[[], Image.Image]] = {
    "dunes.jpg": dunes,
    "rings.png": rings,
    "tiles.png": tiles,
    "waves.png": waves,
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in SAMPLES.items():
        draw().save(folder / name, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "samples")
