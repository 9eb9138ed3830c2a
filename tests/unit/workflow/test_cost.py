"""The estimate of what an expression costs, figure by figure; that it is a bound is in `test_expressions_cost.py`."""

from __future__ import annotations

from typing import Any

import pytest

from mastercontrol.workflow import cost
from mastercontrol.workflow.cost import Estimate, TooCostly, check_cost, needs_bound
from mastercontrol.workflow.expressions import Expression, compile_expression
from mastercontrol.workflow.sizes import SCALAR, Size, measure
from mastercontrol.workflow.syntax_tree import Comprehension, Constant, Ident, ListOf, Node, read_tree


def tree(text: str) -> Node:
    found = compile_expression(text, frozenset({"input"}))
    assert isinstance(found, Expression), found
    return read_tree(found.program.serialize())


def size_of(text: str, data: Any) -> Size:
    return Estimate({"input": data}).size(tree(text), {})


# -- which expressions are estimated


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("input + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1", False),
        ("input + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1", True),
        ("[input, input, input, input, input, input, input, input]", False),
        ("[input, input, input, input, input, input, input, input, input]", True),
        ("[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", False),
        ("input.trim()", False),
        ("input.contains('a')", True),
        ("strings.quote(input)", True),
        ("input.all(x, x)", True),
    ],
    ids=[
        "8-additions",
        "9-additions",
        "8-reads",
        "9-reads",
        "constants",
        "cheap-function",
        "search",
        "quote",
        "loop",
    ],
)
def test_what_may_cost_more_than_its_data_is_estimated(text: str, *, bound: bool) -> None:
    assert needs_bound(tree(text)) is bound


# -- sizes of values


@pytest.mark.parametrize(
    ("text", "data", "size"),
    [
        ("''", None, Size(8, text="")),
        ("'abcdef'", None, Size(8, text="abcdef")),
        ("'abcdefghijkl'", None, Size(14, text="abcdefghijkl")),
        ("17", None, Size(10)),
        ("input.a.b", {"a": {"b": "xyz"}}, Size(5, text="xyz")),
        ("input.a", {}, SCALAR),
        ("input.a", "a", SCALAR),
        ("input.b ? input.long : ''", {"long": "x" * 40}, Size(42)),
        ("input.b ? '' : input.long", {"long": "x" * 40}, Size(42)),
        ("input.l[0]", {"l": ["x" * 40, "y"]}, Size(42)),
        ("input.trim()", "x" * 40, Size(42 + 64)),
        ("input.l + input.m", {"l": ["ab"], "m": ["c"]}, Size(8 + 7, 2, Size(4))),
        ("input.join()", ["ab", "c"], Size(13)),
        ("input.join('/')", ["ab", "c"], Size(13 + 2 * 8)),
        ("'%s'.format([input])", "abc", Size(6 * (8 + 9) + 1400)),
        ("optional.none()", None, Size(1024)),
        ("strings.quote(input)", "abc", Size(6 * 5 + 1024)),
        ("math.greatest([1, 2, 3])", None, Size(6 * 38 + 1024, 3, Size(10))),
        ("input.split(',')", "a b,c,d", measure(["a b", "c", "d"])),
        ("input.trim().split(',')", "a", Size(67 + 4 * 69, 69, Size(67))),
        ("input.trim().split('ab')", "a", Size(67 + 4 * 35, 35, Size(67))),
        ("input.split(',', 1)", "a,b", Size(5 + 4 * 2, 2, Size(5))),
        ("input.l.split(input.m.trim())", {"l": "ab", "m": ""}, Size(4 + 4 * 6, 6, Size(4))),
        ("input.replace('a', 'b', 1)", "aXa", Size(5 + 2 * 8)),
        ("cel.bind(x, input, x)", ["ab"], Size(8, 1, Size(4))),
        ("cel.bind(x, input, x)", "ab", Size(4, text="ab")),
        ("input.map(x, x)", ["abc"] * 3, Size(2 + 3 * 9, 3, Size(5))),
    ],
    ids=[
        "no-text",
        "short-text",
        "text",
        "number",
        "path",
        "missing-key",
        "key-of-a-text",
        "choice-of-the-first",
        "choice-of-the-second",
        "element",
        "text-of-the-same-length",
        "added-lists",
        "joined",
        "joined-by-a-text",
        "formatted",
        "function-of-nothing",
        "function-of-a-text",
        "function-of-a-list",
        "split-text",
        "split-by-a-letter",
        "split-by-two",
        "split-with-a-limit",
        "split-by-what-is-not-known",
        "replaced",
        "bound-list",
        "bound-text",
        "made-by-a-loop",
    ],
)
def test_the_size_of_a_value(text: str, data: Any, size: Size) -> None:
    assert size_of(text, data) == size


def loop(source: Node, initial: Node, step: Node) -> Comprehension:
    """A loop that gives its accumulator, `acc`."""
    return Comprehension(("x",), source, "acc", initial, Constant(1), step, Ident("acc"))


TWO = ListOf((Constant(8), Constant(8)))
THREE = ListOf((Constant(8), Constant(8), Constant(8)))


def test_a_loop_adds_to_what_it_begins_with() -> None:
    assert Estimate({}).size(loop(THREE, TWO, Ident("acc")), {}) == Size(26, 2, Size(10))
    assert Estimate({}).size(loop(THREE, Constant(8), THREE), {}) == Size(10 + 3 * 28, 9, Size(10))
    assert Estimate({}).size(loop(THREE, TWO, THREE), {}) == Size(26 + 3 * 12, 5, Size(10))


# -- what an evaluation costs: its nodes, what they do, and the bytes that are handed back


@pytest.mark.parametrize(
    ("text", "data", "units"),
    [
        ("input", 1, 1 + 24),
        ("[input, input]", 1, 3 + 54),
        ("input.all(x, true)", [], 9 + 10),
        ("input.all(x, true)", [1], 9 + 24),
        ("input.all(x, true)", [1] * 3, 4 + 3 * 5 + 52),
        ("input.map(x, x)", [1] * 3, 4 + 3 * (5 + 1 + 30 // 8) + 9 // 2 + 86),
        ("input.t.contains(input.p)", {"t": "x" * 998, "p": "y" * 510}, 3 + 1000 // 8 + 1000 * 512 // 1024 + 24),
        ("input.matches('a{1}')", "x" * 798, 3 + 800 * 5 * 1 // 8 + 24),
        ("input.matches('a{3}')", "x" * 798, 3 + 800 * 5 * 3 // 8 + 24),
    ],
    ids=["value", "list", "loop-over-nothing", "one-turn", "three-turns", "copies", "search", "automaton", "repeated"],
)
def test_what_an_evaluation_costs(monkeypatch: pytest.MonkeyPatch, text: str, data: Any, units: int) -> None:
    monkeypatch.setattr(cost, "BUDGET", units)
    check_cost(tree(text), {"input": data})
    monkeypatch.setattr(cost, "BUDGET", units - 1)
    with pytest.raises(TooCostly):
        check_cost(tree(text), {"input": data})
