"""A compiled CEL expression as a tree of frozen values.

The CEL library keeps its tree to itself but writes it out in the public format for checked expressions (the protobuf
message `cel.expr.CheckedExpr`). This module reads that message; `reads` and `cost` look at the tree. Macros such as
`map` and `all` stand in it as the comprehensions that they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final


class UnknownSyntax(ValueError):
    """The library wrote a kind of node that this module has not heard of."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; `size` is its length in bytes, `text` its value where it is a text."""

    size: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Ident:
    """A variable. A leading dot (`.input`) means the outermost one."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or has(operand.field) with `test`."""

    operand: Node
    field: str
    test: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A function, method or operator (`_+_`); the target of a method is the first argument."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`."""

    elements: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """`{a: b}`: the keys that are expressions, and the values. The fields of a message count as constants."""

    keys: tuple[Node, ...]
    values: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Comprehension:
    """A loop over `source`: `accumulator` begins as `initial`, becomes `step` for each element, ends in `result`."""

    variables: tuple[str, ...]
    source: Node
    accumulator: str
    initial: Node
    condition: Node
    step: Node
    result: Node


Node = Constant | Ident | Select | Call | ListOf | MapOf | Comprehension


def read_tree(serialized: bytes) -> Node:
    """The tree in what `Expression.serialize()` gives: a CheckedExpr inside a google.protobuf.Any.

    :raises UnknownSyntax: if it is of a kind that is not known here.
    """
    checked = _last(serialized, 2)
    return _node(_last(checked, 4))


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below one."""
    match node:
        case Constant() | Ident():
            return ()
        case Select(operand=operand):
            return (operand,)
        case Call(arguments=arguments):
            return arguments
        case ListOf(elements=elements):
            return elements
        case MapOf(keys=keys, values=values):
            return keys + values
        case Comprehension():
            return (node.source, node.initial, node.condition, node.step, node.result)


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    for child in children(node):
        yield from walk(child)


# -- the message, by the field numbers of cel/expr/syntax.proto


def _node(message: bytes) -> Node:
    for number, value in _fields(message):
        reader = _READERS.get(number)
        if reader is not None and isinstance(value, bytes):
            return reader(value)
    raise UnknownSyntax(f"a node with the fields {[number for number, _ in _fields(message)]}")


def _ident(message: bytes) -> Ident:
    return Ident(_text(message, 1))


def _select(message: bytes) -> Select:
    return Select(_node(_last(message, 1)), _text(message, 2), _number(message, 3) != 0)


def _call(message: bytes) -> Call:
    return Call(_text(message, 2), tuple(_node(v) for v in _every(message, 1) + _every(message, 3)))


def _list(message: bytes) -> ListOf:
    return ListOf(tuple(_node(v) for v in _every(message, 1)))


def _constant(message: bytes) -> Constant:
    for number, value in _fields(message):
        if isinstance(value, bytes) and number == 6:  # noqa: PLR2004  # string_value
            return Constant(len(value), value.decode())
        return Constant(len(value) if isinstance(value, bytes) else 8)
    return Constant(8)


def _map(message: bytes) -> MapOf:
    entries = _every(message, 2)
    keys = [_node(key) for entry in entries for key in _every(entry, 3)]
    return MapOf(tuple(keys), tuple(_node(_last(entry, 4)) for entry in entries))


def _comprehension(message: bytes) -> Comprehension:
    names = [_text(message, 1), _text(message, 8)]
    return Comprehension(
        tuple(name for name in names if name),
        _node(_last(message, 2)),
        _text(message, 3),
        *(_node(_last(message, number)) for number in (4, 5, 6, 7)),
    )


_READERS: Final[Mapping[int, Callable[[bytes], Node]]] = {
    3: _constant,
    4: _ident,
    5: _select,
    6: _call,
    7: _list,
    8: _map,
    9: _comprehension,
}


# -- the wire format


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        match key & 7:
            case 0:
                value, at = _varint(message, at)
                yield key >> 3, value
                continue
            case 1:
                size = 8
            case 2:
                size, at = _varint(message, at)
            case 5:
                size = 4
            case other:
                raise UnknownSyntax(f"wire type {other}")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:  # noqa: PLR2004  # the last one has no continuation bit
            return value, at


def _every(message: bytes, wanted: int) -> list[bytes]:
    return [value for number, value in _fields(message) if number == wanted and isinstance(value, bytes)]


def _last(message: bytes, wanted: int) -> bytes:
    found = _every(message, wanted)
    if not found:
        raise UnknownSyntax(f"field {wanted} is missing")
    return found[-1]


def _text(message: bytes, wanted: int) -> str:
    found = _every(message, wanted)
    return found[-1].decode() if found else ""


def _number(message: bytes, wanted: int) -> int:
    return next((v for number, v in _fields(message) if number == wanted and isinstance(v, int)), 0)
