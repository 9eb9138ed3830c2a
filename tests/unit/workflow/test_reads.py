"""Which paths an expression reads."""

from __future__ import annotations

import pytest

from mastercontrol.workflow.expressions import Expression, compile_expression
from mastercontrol.workflow.reads import Path, paths, plain_path
from mastercontrol.workflow.syntax_tree import Ident, Node, Select, read_tree


def tree(text: str) -> Node:
    found = compile_expression(text, frozenset({"input", "job"}))
    assert isinstance(found, Expression), found
    return read_tree(found.program.serialize())


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("[input, input.a]", {("input",)}),
        ("[input.a.b, input.a, input.c]", {("input", "a"), ("input", "c")}),
        ("cel.bind(x, input.a, cel.bind(y, job.name, x + y))", {("input", "a"), ("job", "name")}),
        ("input.l.map(x, x.a + input.n)", {("input", "l"), ("input", "n")}),
        (".input.a", {("input", "a")}),
    ],
    ids=["the whole", "a part of it", "bound names", "a loop", "the outermost"],
)
def test_the_paths_that_are_read(text: str, read: set[Path]) -> None:
    assert paths(tree(text)) == read


def test_an_expression_that_is_nothing_but_a_path_is_one() -> None:
    assert plain_path(tree("input.a")) == ("input", "a")
    assert plain_path(tree(".input.a")) == ("input", "a")
    assert plain_path(tree("input.a + 1")) is None
    assert plain_path(tree("has(input.a)")) is None


def test_the_dot_of_the_outermost_variable_is_no_part_of_its_name() -> None:
    node = Select(Ident(".input"), "a")
    assert plain_path(node) == ("input", "a")
    assert paths(node) == {("input", "a")}


def test_a_name_of_any_letters_is_kept_as_it_is() -> None:
    node = Select(Ident("Xylophone"), "X")
    assert plain_path(node) == ("Xylophone", "X")
    assert paths(node) == {("Xylophone", "X")}
