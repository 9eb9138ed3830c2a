"""The tree of an expression, read from what the library writes out and from messages made by hand."""

from __future__ import annotations

import pytest

from mastercontrol.workflow.expressions import Expression, compile_expression
from mastercontrol.workflow.syntax_tree import (
    Call,
    Comprehension,
    Constant,
    Ident,
    ListOf,
    MapOf,
    Node,
    Select,
    UnknownSyntax,
    read_tree,
    walk,
)

INPUT = Ident("input")


def tree(text: str) -> Node:
    found = compile_expression(text, frozenset({"input"}))
    assert isinstance(found, Expression), found
    return read_tree(found.program.serialize())


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("null", Constant(8)),
        ("true", Constant(8)),
        ("12345678901", Constant(8)),
        ("1.5", Constant(8)),
        ("'é'", Constant(2, "é")),
        ("''", Constant(0, "")),
        ("size(b'abc')", Call("size", (Constant(3),))),
        ("input.a", Select(INPUT, "a")),
        ("has(input.a)", Select(INPUT, "a", test=True)),
        ("input.trim()", Call("trim", (INPUT,))),
        ("input.split(',')", Call("split", (INPUT, Constant(1, ",")))),
        ("size(input)", Call("size", (INPUT,))),
        ("[]", ListOf(())),
        ("[1, input]", ListOf((Constant(8), INPUT))),
        ("{}", MapOf((), ())),
        ("{'a': 1, 'b': input}", MapOf((Constant(1, "a"), Constant(1, "b")), (Constant(8), INPUT))),
        (
            "input.exists(x, x)",
            Comprehension(
                ("x",),
                INPUT,
                "@result",
                Constant(8),
                Call("@not_strictly_false", (Call("!_", (Ident("@result"),)),)),
                Call("_||_", (Ident("@result"), Ident("x"))),
                Ident("@result"),
            ),
        ),
        ("'" + "x" * 300 + "'", Constant(300, "x" * 300)),
    ],
    ids=[
        "null",
        "bool",
        "whole-number",
        "number",
        "text",
        "no-text",
        "bytes",
        "field",
        "has",
        "method",
        "method-with-an-argument",
        "function",
        "no-list",
        "list",
        "no-object",
        "object",
        "loop",
        "long-text",
    ],
)
def test_an_expression_has_the_tree_that_it_means(text: str, node: Node) -> None:
    assert tree(text) == node


def test_all_nodes_are_walked_through_from_the_top() -> None:
    assert list(walk(tree("[input.a, {'k': 1}]"))) == [
        ListOf((Select(INPUT, "a"), MapOf((Constant(1, "k"),), (Constant(8),)))),
        Select(INPUT, "a"),
        INPUT,
        MapOf((Constant(1, "k"),), (Constant(8),)),
        Constant(1, "k"),
        Constant(8),
    ]


# -- messages that the library does not write, or not yet


def varint(number: int) -> bytes:
    more, last = [], number
    while last > 127:
        more.append(last & 127 | 128)
        last >>= 7
    return bytes([*more, last])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def read(node: bytes) -> Node:
    """The tree of a node inside of all that is around it."""
    return read_tree(field(1, b"a type's name") + field(2, field(4, node)))


def ident(name: str) -> bytes:
    return field(4, field(1, name.encode()))


def test_a_constant_without_a_value_has_the_size_of_a_number() -> None:
    assert read(field(3, b"")) == Constant(8)


def test_a_loop_over_keys_and_values_has_two_variables() -> None:
    parts = [(1, b"k"), (2, ident("a")), (3, b"acc"), (4, ident("b")), (5, ident("c")), (6, ident("d"))]
    message = b"".join(field(number, value) for number, value in [*parts, (7, ident("e")), (8, b"v")])
    a, b, c, d, e = map(Ident, "abcde")
    assert read(field(9, message)) == Comprehension(("k", "v"), a, "acc", b, c, d, e)


def test_an_entry_of_a_message_has_no_key_that_is_an_expression() -> None:
    entry = field(2, b"name of a field") + field(4, ident("a"))
    assert read(field(8, field(2, entry))) == MapOf((), (Ident("a"),))


@pytest.mark.parametrize(
    "unknown",
    [
        varint(99 << 3) + varint(2**40),
        varint(99 << 3 | 1) + b"12345678",
        varint(99 << 3 | 2) + varint(200) + b"x" * 200,
        varint(99 << 3 | 5) + b"1234",
    ],
    ids=["varint", "eight-bytes", "text", "four-bytes"],
)
def test_fields_that_are_not_known_are_passed_over(unknown: bytes) -> None:
    assert read(unknown + ident("a")) == Ident("a")


def test_of_a_field_that_stands_twice_the_last_one_counts() -> None:
    assert read(field(4, field(1, b"a") + field(1, b"b"))) == Ident("b")
    assert read_tree(field(2, field(4, ident("a"))) + field(2, field(4, ident("b")))) == Ident("b")


def test_what_is_not_known_is_said() -> None:
    with pytest.raises(UnknownSyntax, match=r"^a node with the fields \[2, 12\]$"):
        read(field(2, 7) + field(12, b""))
    with pytest.raises(UnknownSyntax, match=r"^wire type 3$"):
        read(varint(4 << 3 | 3))
    with pytest.raises(UnknownSyntax, match=r"^field 2 is missing$"):
        read_tree(field(1, b"a type's name"))
    with pytest.raises(UnknownSyntax, match=r"^field 2 is missing$"):
        read(field(9, field(1, b"k")))
