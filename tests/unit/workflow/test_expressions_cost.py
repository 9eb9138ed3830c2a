"""The bound on what an evaluation may cost: nothing dear gets through, and what people write does."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.workflow.cost import BUDGET, Estimate, TooCostly, check_cost
from mastercontrol.workflow.expressions import Expression, ExpressionError, compile_expression
from mastercontrol.workflow.sizes import measure
from mastercontrol.workflow.syntax_tree import read_tree

NAMES = frozenset({"input"})
TOO_COSTLY = "it may cost too much over data of this size"


def compiled(text: str) -> Expression:
    expression = compile_expression(text, NAMES)
    assert isinstance(expression, Expression), expression
    return expression


def nested(levels: int, grow: str) -> str:
    """An expression that makes its input larger by the same factor, level after level."""
    text = f"size(v{levels - 1})"
    for level in reversed(range(levels)):
        before = f"v{level - 1}" if level else "input"
        text = f"cel.bind(v{level}, {grow.format(before)}, {text})"
    return text


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (nested(8, "{0} + {0} + {0} + {0}"), "x" * 60_000),
        (nested(8, "{0} + {0} + {0} + {0}"), [1] * 1000),
        (nested(4, "{0}.replace('x', {0})"), "x" * 100),
        (nested(4, "[{0}, {0}, {0}, {0}].join({0})"), "x" * 10_000),
        ("input.map(x, x)", list(range(2500))),
        ("input.map(x, input.map(y, y))", list(range(300))),
        ("input.map(x, input)", list(range(1500))),
        ("input.replace('', input)", "x" * 60_000),
        ("input.matches('(a?){1000}b')", "a" * 60_000),
        ("input.text.matches(input.pattern + '')", {"text": "a" * 60_000, "pattern": "(a?){1000}b"}),
        ("input.list.all(x, input.list == input.list)", {"list": list(range(3000))}),
        ("input.all(x, x in input)", list(range(9000))),
        ("input.all(x, x.matches('(a|b)*c'))", ["ab" * 1000] * 2000),
        ("input.a.all(x, input.b.contains(input.c))", {"a": [1] * 9000, "b": "a" * 9000, "c": "a" * 4000 + "b"}),
        ("input.split('').map(x, x)", "x" * 5000),
        pytest.param("strings.quote(" * 20 + "input" + ")" * 20, '"', id="quotes"),
        pytest.param(f"[{', '.join(['input'] * 500)}]", list(range(10_000)), id="reads"),
    ],
)
def test_an_expression_that_would_hold_up_all_other_jobs_is_refused(text: str, data: Any) -> None:
    begin = time.perf_counter()
    with pytest.raises(ExpressionError, match=TOO_COSTLY):
        compiled(text).evaluate({"input": data})
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize("data", [list(range(10_001)), {str(n): n for n in range(10_001)}], ids=["list", "object"])
def test_loops_end_after_ten_thousand_turns(data: Any) -> None:
    with pytest.raises(ExpressionError, match="more than 10,000 turns"):
        compiled("input.all(x, true)").evaluate({"input": data})


ORDERS = [{"sku": f"SKU-{n}", "quantity": n % 7, "price": 1.5, "tags": ["a", "b"]} for n in range(1000)]


@pytest.mark.parametrize(
    "text",
    [
        "input.map(o, o.sku)",
        "input.filter(o, o.quantity > 2).map(o, {'sku': o.sku, 'price': o.price})",
        "input.all(o, o.tags.exists(t, t == 'a'))",
        "input.map(o, o.tags.map(t, t + o.sku))",
        "input.map(o, o.sku).join(',')",
        "input.exists(o, o.sku.matches('^SKU-[0-9]{1,4}$'))",
        "input.filter(o, o.sku.contains('99'))",
    ],
)
def test_a_thousand_items_can_be_worked_on(text: str) -> None:
    assert compiled(text).evaluate({"input": ORDERS}) is not None


def test_a_text_of_a_thousand_lines_can_be_taken_apart() -> None:
    lines = "\n".join(f"line {n}" for n in range(1000))
    assert compiled("input.split('\\n').map(l, l.trim())").evaluate({"input": lines})[999] == "line 999"


def test_data_that_is_nested_without_end_does_not_reach_the_library() -> None:
    data: Any = 1
    for _ in range(100_000):
        data = [data]
    with pytest.raises(ExpressionError, match="nested too deep"):
        compiled("size(input)").evaluate({"input": data})


def test_a_value_that_is_nested_deep_is_an_error_and_no_crash() -> None:
    data: Any = 1
    for _ in range(1900):
        data = [data]
    with pytest.raises(ExpressionError, match="nested too deep"):
        compiled("[input][0]").evaluate({"input": data})


def test_what_the_interpreter_has_no_room_for_is_said_to_be_nested_too_deep() -> None:
    said = set()
    for levels in range(200, 2000, 200):  # which of the two it is depends on the version of Python
        data: Any = 1
        for _ in range(levels):
            data = [data]
        try:
            compiled("[input][0]").evaluate({"input": data})
        except ExpressionError as error:
            said.add(str(error))
    assert said
    assert said <= {"the data is nested too deep", "the value is nested too deep"}


def test_what_only_hands_on_its_data_is_not_estimated() -> None:
    data = "x" * (BUDGET + 1)
    assert compiled("[input]").evaluate({"input": data}) == [data]


def test_deep_levels_of_the_data_are_counted_too() -> None:
    data: Any = "x" * 50_000
    for _ in range(30):
        data = {"k": data}
    tree = read_tree(compiled("[1, 2].map(x, [input] + [input])").program.serialize())
    with pytest.raises(TooCostly):
        check_cost(tree, {"input": [data] * 30})


# -- the bound is one: no value is larger than it says

LISTS = ["input.l", "input.m", "['q,r']", "input.s.split(',')", "input.s.split(input.t)"]
TEXTS = ["input.s", "input.t", "'x,y'", "''", "input.l[0]", "input.m.join(input.s)", "input.s.replace(',', input.t)"]
TEXTS.append("input.s.split(',', 2)[1]")


def texts(lists: st.SearchStrategy[str], inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} + {})".format, inner, inner),
        st.builds("{}.replace({}, {})".format, inner, st.sampled_from(TEXTS), inner),
        st.builds("{}.join({})".format, lists, inner),
        st.builds("'%s/%s'.format([{}, {}])".format, inner, inner),
        st.builds("(input.b ? {} : {})".format, inner, inner),
        st.builds("cel.bind(x, {}, x + {})".format, inner, inner),
        st.builds("base64.encode(bytes({}))".format, inner),
        st.builds("strings.quote({})".format, inner),
    )


def lists(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} + {})".format, inner, inner),
        st.builds("{}.map(e, e + e)".format, inner),
        st.builds("{}.filter(e, e != 'q')".format, inner),
        st.builds("{}.map(e, e.split(','))[0]".format, inner),
        st.builds("cel.bind(x, {}, x + {})".format, inner, inner),
    )


LIST = st.recursive(st.sampled_from(LISTS), lists, max_leaves=5)
TEXT = st.recursive(st.sampled_from(TEXTS), lambda inner: texts(LIST, inner), max_leaves=5)


@given(text=LIST | TEXT, times=st.integers(1, 30), choice=st.booleans())
def test_no_value_is_larger_than_the_bound(*, text: str, times: int, choice: bool) -> None:
    data = {"input": {"s": "abc," * times, "t": "ü", "l": ["a,b"] * times, "m": ["m", "n" * times], "b": choice}}
    expression = compile_expression(text, NAMES)
    assert isinstance(expression, Expression)
    try:
        value = expression.evaluate(data)
        bound = Estimate(data).size(read_tree(expression.program.serialize()), {})
    except (ExpressionError, TooCostly):
        return
    assert measure(value).total <= bound.total
