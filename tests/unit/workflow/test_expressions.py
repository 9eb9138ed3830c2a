"""Expressions: what they may read, what they give, and what is said of a wrong one."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mastercontrol.workflow.expression_faults import describe_fault
from mastercontrol.workflow.expressions import (
    MAX_LENGTH,
    Expression,
    ExpressionError,
    Fault,
    compile_condition,
    compile_expression,
)

NAMES = frozenset({"input", "job", "steps", "vars", "item", "index", "error"})

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner)
    ),
    max_leaves=12,
)


def compiled(text: str) -> Expression:
    expression = compile_expression(text, NAMES)
    assert isinstance(expression, Expression), expression
    return expression


def fault_of(text: str) -> Fault:
    fault = compile_expression(text, NAMES)
    assert isinstance(fault, Fault), fault
    return fault


def value_of(text: str, **scope: Any) -> Any:
    return compiled(text).evaluate(scope)


def error_of(text: str, **scope: Any) -> str:
    with pytest.raises(ExpressionError) as caught:
        compiled(text).evaluate(scope)
    return str(caught.value)


# -- values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("input.amount > 10", True),
        ("input.amount * 2", 250),
        ("input.rate * 2.0", 3.0),
        ("input.tags.map(t, t.upperAscii())", ["A", "B"]),
        ("input.tags.filter(t, t != 'a')", ["b"]),
        ("input.tags.exists(t, t == 'b') && input.tags.all(t, size(t) == 1)", True),
        ("has(input.none) ? input.none : 'x'", "x"),
        ("input.?none.?deeper.orValue(7)", 7),
        ("'%s costs %d'.format([input.sku, input.amount])", "A1 costs 125"),
        ("input.sku + '-' + string(input.amount)", "A1-125"),
        ("{'sku': input.sku, 'first': input.tags[0]}", {"sku": "A1", "first": "a"}),
        ("'a,b'.split(',')", ["a", "b"]),
        ("math.greatest(input.amount, 200)", 200),
        ("base64.encode(bytes(input.sku))", "QTE="),
        ("cel.bind(x, input.amount, x + x)", 250),
        ("input.sku.matches('^[A-Z][0-9]$')", True),
        ("timestamp('2026-01-02T03:04:05Z') + duration('1h')", "2026-01-02T04:04:05Z"),
        ("[timestamp('2026-01-02T03:04:05.25Z')]", ["2026-01-02T03:04:05.250000Z"]),
        ("string(duration('90s'))", "90s"),
        ("null", None),
        ("input.sku // a comment", "A1"),
    ],
)
def test_an_expression_computes_over_the_data(text: str, value: Any) -> None:
    order = {"amount": 125, "rate": 1.5, "sku": "A1", "tags": ["a", "b"]}
    got = value_of(text, input=order)
    assert (got, type(got)) == (value, type(value))


@given(JSON)
@example(2**64 - 1)
@example(1.0)
@example({"": [-0.0, True, 1, None]})
def test_json_comes_out_as_it_went_in(value: Any) -> None:
    for text in ("input", "[input][0]"):
        assert json.dumps(value_of(text, input=value), sort_keys=True) == json.dumps(value, sort_keys=True)


def test_a_value_that_is_only_handed_on_may_hold_a_number_of_any_length() -> None:
    assert value_of("input.id", input={"id": 2**70}) == 2**70


@pytest.mark.parametrize("text", ["input.id + 1", "[input.id]", "input.id > 0"])
def test_a_number_beyond_64_bits_is_an_error_in_arithmetic_and_never_rounded(text: str) -> None:
    assert error_of(text, input={"id": 2**70}) == "a whole number is beyond 64 bits"


def test_only_what_is_read_has_to_be_right() -> None:
    assert value_of("input.a + 1", input={"a": 1, "b": object()}) == 2


# -- errors of an evaluation


@pytest.mark.parametrize(
    ("text", "scope", "message"),
    [
        ("input.none", {"input": {}}, "there is no key 'none'"),
        ("input.none + 1", {"input": {}}, "there is no key 'none'"),
        ("input.a.b", {"input": {"a": 1}}, "a field is read of something that has none"),
        ("item", {"input": 1}, "'item' has no value here"),
        ("input + 1", {"input": 2**63 - 1}, "integer overflow"),
        ("1 / input", {"input": 0}, "divide by zero"),
        ("{'a': input, 'a': input}", {"input": 0}, "duplicate key in map"),
        ("input + 1", {"input": "a"}, "'+' can't be applied to (string, int)"),
        ("input && true", {"input": "a"}, "one side of && is neither true nor false"),
        ("input[3]", {"input": [1]}, "Index error: index=3 size=1"),
        ("input ? 1 : 2", {"input": "yes"}, "the condition before ? is neither true nor false"),
        ("input.?a", {"input": {}}, "the value is an optional one; end it with .orValue(…)"),
        ("{1: input}", {"input": 1}, "the value has the key 1; in JSON each key is a text"),
        ("double(input)", {"input": "nan"}, "the value is nan, which JSON has not"),
        (
            "dyn(duration(input))",
            {"input": "1s"},
            "the value is a duration, which JSON has not; write string(…) around it",
        ),
        ("[type(input)]", {"input": 1}, "the value is a type, which JSON has not"),
        ("size(input)", {"input": "\ud800"}, "the data holds a text that is no valid Unicode"),
    ],
)
def test_an_evaluation_without_a_value_says_why(text: str, scope: dict[str, Any], message: str) -> None:
    assert error_of(text, **scope) == message


@pytest.mark.parametrize("data", [{"a": "x\0y"}, {"x\0y": 1}, ["\\u0000", "\0"]], ids=["value", "key", "both"])
def test_a_text_that_the_library_would_cut_off_is_an_error(data: Any) -> None:
    assert error_of("[input]", input=data).startswith("the data holds a text with a NUL character")
    assert value_of("input", input=data) == data


def test_a_text_that_only_looks_like_one_is_none() -> None:
    assert value_of("[input]", input="\\u0000") == ["\\u0000"]


def test_bytes_are_no_value() -> None:
    assert error_of("[bytes(input)]", input="a").startswith("the value is bytes, which JSON has not")


# -- faults


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("foo.bar + 1", 1, "there is no variable 'foo'; write one of error, index, input, item, job, steps, vars"),
        ("input +\n  foo", 11, "there is no variable 'foo'; write one of error, index, input, item, job, steps, vars"),
        ("'é😀' + foo", 8, "there is no variable 'foo'; write one of error, index, input, item, job, steps, vars"),
        ("input.all(x, y)", 14, "there is no variable 'y'; write one of error, index, input, item, job, steps, vars"),
        ("now()", 1, "there is no function 'now'"),
        ("input.foo(1)", 7, "there is no function 'foo'"),
        ("input.a +", 10, "the expression ends too early"),
        ("", 1, "the expression ends too early"),
        ("input input", 7, "'input' can't stand here"),
        ("'abc", 1, "\"'abc\" can't be read"),
        ("1 + 'a'", 3, "'+' can't be applied to (int, string)"),
        ("true ? 1 : 'a'", 6, "'?:' can't be applied to (bool, int, string)"),
        ("has(input)", 5, "has() argument must be a field selection"),
        ("input\0", 6, "this character can't stand here"),
        ("'\ud800'", 2, "this character can't stand here"),
        ("b'abc'", 1, "the value is bytes, which JSON has not; write base64.encode(…) or string(…) around it"),
        ("duration('1s')", 1, "the value is a duration, which JSON has not; write string(…) around it"),
        ("(" * 50 + "1" + ")" * 50, 1, "it is nested too deep; 32 levels, or operators in a row, are allowed"),
        ("+".join("1" * 50), 1, "it is nested too deep; 32 levels, or operators in a row, are allowed"),
    ],
)
def test_a_wrong_expression_is_told_with_its_place(text: str, position: int, message: str) -> None:
    fault = fault_of(text)
    assert (fault.position, fault.message) == (position, message)


@pytest.mark.parametrize(
    ("text", "name", "position"),
    [
        ("foo.bar.baz", "foo", 1),
        (".foo", "foo", 2),
        ("foo + foo", "foo", 1),
        ("input.foo == foo", "foo", 14),
        ("input +\nfoo", "foo", 9),
    ],
    ids=["fields", "outermost", "twice", "behind-a-field", "first-in-its-line"],
)
def test_a_variable_that_there_is_not_is_told_where_it_begins(text: str, name: str, position: int) -> None:
    fault = fault_of(text)
    assert (fault.position, fault.message.partition(";")[0]) == (position, f"there is no variable {name!r}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 in 2", "'in' can't be applied to (int, int)"),
        ("-'a'", "'-' can't be applied to (string)"),
        ("size(1)", "'size' can't be applied to (int)"),
    ],
    ids=["in", "minus", "function"],
)
def test_an_operator_is_told_as_it_is_written(text: str, message: str) -> None:
    assert fault_of(text).message == message


@pytest.mark.parametrize("place", ["-1:-1", "0:5", "1:0"])
def test_a_fault_without_a_place_is_told_at_the_beginning(place: str) -> None:
    assert describe_fault(f"X: ERROR: <input>:{place}: so it is", "1 + foo", NAMES) == Fault(1, "so it is")
    undeclared = describe_fault(f"ERROR: <input>:{place}: undeclared reference to 'foo'", "1 + foo", NAMES)
    assert undeclared.position == 1


def test_an_error_of_the_library_in_other_words_is_told_as_it_is() -> None:
    assert describe_fault("INTERNAL: it broke [INTERNAL]", "1 + foo", NAMES) == Fault(1, "it broke")


def test_a_variable_of_the_loop_itself_cannot_be_reached() -> None:
    assert fault_of("input.filter(x, __result__ == x)").message.startswith("there is no variable '__result__'")


def test_an_expression_that_is_too_long_is_refused_before_it_is_read() -> None:
    assert isinstance(compile_expression("'" + "x" * (MAX_LENGTH - 2) + "'", NAMES), Expression)
    fault = fault_of("'" + "x" * MAX_LENGTH + "'")
    assert (fault.position, fault.message) == (MAX_LENGTH + 1, "it has 4098 characters; 4096 are allowed")


def test_which_variables_there_are_is_up_to_the_caller() -> None:
    assert isinstance(compile_expression("result", NAMES), Fault)
    assert isinstance(compile_expression("result", NAMES | {"result"}), Expression)


@given(st.text(st.characters(), max_size=40))
def test_any_text_is_an_expression_or_a_fault_within_it(text: str) -> None:
    compiled_or_fault = compile_expression(text, NAMES)
    if isinstance(compiled_or_fault, Fault):
        assert 1 <= compiled_or_fault.position <= len(text) + 1
        assert compiled_or_fault.message


# -- conditions


def test_a_condition_gives_true_or_false() -> None:
    condition = compile_condition("input > 1", NAMES)
    assert isinstance(condition, Expression)
    assert [condition.evaluate({"input": n}) for n in (1, 2)] == [False, True]


@pytest.mark.parametrize(
    ("value", "kind"),
    [("yes", "a text"), (1, "a number"), (None, "null"), ([], "a list"), ({}, "an object")],
    ids=str,
)
def test_a_condition_with_another_value_is_an_error_of_the_evaluation(value: Any, kind: str) -> None:
    condition = compile_condition("input", NAMES)
    assert isinstance(condition, Expression)
    with pytest.raises(ExpressionError, match=f"must be true or false, this is {kind}"):
        condition.evaluate({"input": value})


def test_a_condition_that_can_never_be_true_or_false_is_a_fault() -> None:
    assert compile_condition("1 + 1", NAMES) == Fault(1, "a condition must be true or false, this is int")
    assert isinstance(compile_condition("1 +", NAMES), Fault)


# -- what is read


@pytest.mark.parametrize(
    ("text", "steps", "every"),
    [
        ("input.x", set(), False),
        ("steps.a.output.x + steps['b'].output", {"a", "b"}, False),
        ("has(steps.a) && steps.?b.output.orValue(1) == 1", {"a", "b"}, False),
        ("steps[?'a'].hasValue()", {"a"}, False),
        ("{'k': [steps.a.output]}", {"a"}, False),
        ("input.map(x, steps.a.output + x)", {"a"}, False),
        ("input.map(steps, steps.a)", set(), False),
        ("input.map(steps, .steps.a)", {"a"}, False),
        ("cel.bind(s, steps.a, s.output)", {"a"}, False),
        ("input.steps.a", set(), False),
        ("steps", set(), True),
        ("size(steps)", set(), True),
        ("'a' in steps", set(), True),
        ("steps[input.name]", set(), True),
        ("steps.map(s, s)", set(), True),
        ("cel.bind(s, steps, s.a)", set(), True),
        ("[steps][0].a", set(), True),
    ],
)
def test_the_steps_that_are_read_are_known(text: str, steps: set[str], *, every: bool) -> None:
    expression = compiled(text)
    assert (set(expression.steps), expression.reads_all_steps) == (steps, every)


def test_the_variables_that_are_read_are_known() -> None:
    assert compiled("input.a > vars.limit && job.name != ''").variables == {"input", "vars", "job"}
    assert compiled("1 + 1").variables == frozenset()


# -- how it is kept


def test_two_expressions_with_one_text_are_one() -> None:
    assert compile_expression("input.a", NAMES) is compile_expression("input.a", NAMES)
    assert compiled("input.a") != compiled("input.b")
    assert len({compiled("input.a"), compiled("input.a")}) == 1


def test_an_expression_may_be_used_by_many_threads() -> None:
    def work(n: int) -> bool:
        own = compiled(f"input.n + {n}")
        shared = compiled("input.l.map(x, x + input.n)")
        return all(own.evaluate({"input": {"n": i}}) == i + n for i in range(50)) and shared.evaluate(
            {"input": {"l": [1, 2], "n": n}}
        ) == [1 + n, 2 + n]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(40)))
