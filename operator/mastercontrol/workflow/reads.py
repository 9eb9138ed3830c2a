"""What an expression reads of its variables: the paths, and a scope cut down to them.

Only what is read is handed to the CEL library, because it converts all that it is given, and the engine keeps only
the outputs that are read by someone.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from mastercontrol.workflow.syntax_tree import Call, Comprehension, Constant, Ident, Node, Select, children

Path = tuple[str, ...]
"""A variable and the fields that follow it: ("steps", "reserve", "output")."""

_INDEXING = frozenset({"_[_]", "_?._", "_[?_]"})
"""`a["b"]`, `a.?b` and `a[?"b"]`: with a constant text they read one field, as `a.b` does."""


def paths(node: Node) -> frozenset[Path]:
    """Every path that is read; what follows its last field can't be told, so all of that is."""
    found: set[Path] = set()
    _collect(node, frozenset(), found)
    return frozenset(p for p in found if not any(p[:n] in found for n in range(1, len(p))))


def plain_path(node: Node) -> Path | None:
    """The path that an expression is if it is nothing but `a.b.c`."""
    match node:
        case Ident(name=name):
            return (name.lstrip("."),)
        case Select(operand=operand, field=field, test=False):
            above = plain_path(operand)
            return None if above is None else (*above, field)
        case _:
            return None


def project(scope: Mapping[str, Any], wanted: Iterable[Path]) -> dict[str, Any]:
    """The part of a scope that the paths read, in new objects down to where each ends."""
    part: dict[str, Any] = {}
    for path in wanted:
        _copy(scope, path, part)
    return part


def _copy(source: Mapping[str, Any], path: Path, target: dict[str, Any]) -> None:
    last = len(path) - 1
    for at, name in enumerate(path):
        if name not in source:
            return
        value = source[name]
        if at == last or not isinstance(value, dict):
            target[name] = value
            return
        target = target.setdefault(name, {})
        source = value


def _collect(node: Node, bound: frozenset[str], found: set[Path]) -> None:
    path = path_of(node, bound)
    if path:
        found.add(path)
    match node:
        case Comprehension():
            _collect(node.source, bound, found)
            _collect(node.initial, bound, found)
            inside = bound | {node.accumulator, *node.variables}
            for part in (node.condition, node.step):
                _collect(part, inside, found)
            _collect(node.result, bound | {node.accumulator}, found)
        case _ if path is not None:
            return
        case _:
            for child in children(node):
                _collect(child, bound, found)


def path_of(node: Node, bound: Container[str]) -> Path | None:
    """The path that a node is; empty for one that begins at a variable of a loop, None for what is no path."""
    match node:
        case Ident(name=name):
            return () if name in bound else (name.lstrip("."),)
        case Select(operand=operand, field=field):
            return _below(path_of(operand, bound), field)
        case Call(function=function, arguments=(operand, Constant(text=str(text)))) if function in _INDEXING:
            return _below(path_of(operand, bound), text)
        case _:
            return None


def _below(above: Path | None, field: str) -> Path | None:
    return (*above, field) if above else above
