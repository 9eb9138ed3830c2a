"""Where a field of an object stands in its file, found by the path that a fault begins with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

import yaml

_STEP: Final = re.compile(r'\.?([A-Za-z_][\w-]*)|\.([\w-]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]')


def line_of(node: yaml.Node, text: str) -> int:
    """The line, from 1, of the field that a text such as `spec.states[2].next: there is no …` names.

    It is that of the innermost part of the path that is in the file: a field that is missing has the line of what it
    is missing in.
    """
    line = node.start_mark.line
    for step in _steps(text):
        found = _inside(node, step)
        if found is None:
            break
        line, node = found
    return line + 1


def _steps(text: str) -> Iterator[str | int]:
    at = 0
    while (step := _STEP.match(text, at)) is not None and step.end() > at:
        first, other, index, quoted = step.groups()
        if index is not None:
            yield int(index)
        else:
            yield str(json.loads(quoted)) if quoted is not None else first or other
        at = step.end()
        if text[at : at + 1] not in {".", "["}:
            return


def _inside(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    """The line and the node of a field or an item."""
    match node:
        case yaml.MappingNode():
            for key, value in node.value:
                if key.value == step:
                    return key.start_mark.line, value
        case yaml.SequenceNode() if isinstance(step, int) and step < len(node.value):
            item = node.value[step]
            return item.start_mark.line, item
        case _:
            pass
    return None
