"""Templates: JSON values with expressions in their texts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.workflow.expressions import ExpressionError, Fault
from mastercontrol.workflow.templates import MAX_DEPTH, Template, compile_template

NAMES = frozenset({"input", "steps", "item"})
INPUT = {"n": 3, "s": "x", "none": None, "f": 1.0, "yes": True, "list": [1, {"a": "é"}]}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def compiled(value: Any) -> Template:
    template = compile_template(value, NAMES)
    assert isinstance(template, Template), template
    return template


def faults_of(value: Any) -> list[tuple[str, int, str]]:
    faults = compile_template(value, NAMES)
    assert isinstance(faults, tuple), faults
    return [(f.path, f.position, f.message) for f in faults]


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("${input.n}", 3),
        ("${ input.list }", [1, {"a": "é"}]),
        ("${input.none}", None),
        ("n=${input.n}", "n=3"),
        ("${input.n}${input.n}", "33"),
        ("${input.n}\n", "3\n"),
        ("${input.s} ${input.none} ${input.f} ${input.yes}", "x null 1.0 true"),
        ("got ${input.list}", 'got [1,{"a":"é"}]'),
        ("$${input.n}", "${input.n}"),
        ("$$${input.n}", "$${input.n}"),
        ("$${a} and ${input.n}", "${a} and 3"),
        ("costs 5$, {not an expression}", "costs 5$, {not an expression}"),
        ("${input.n}}", "3}"),
        ("${ {'a': {'b': input.n}} }", {"a": {"b": 3}}),
        ("${'}' + input.s}", "}x"),
        ('${"\\"}" + input.s}', '"}x'),
        ("${'''it's a }''' + input.s}", "it's a }x"),
        ("${r'\\d}' + input.s}", "\\d}x"),
        ("${input.n // a } in a comment\n}", 3),
        ({"a": [1, "${input.n}", {"b": "${input.s}!"}], "c": None}, {"a": [1, 3, {"b": "x!"}], "c": None}),
        ({"${input.s}": "${input.s}"}, {"${input.s}": "x"}),
        ("", ""),
        pytest.param("${'\\\\'}", "\\", id="escaped-backslash"),
    ],
)
def test_a_template_is_filled_in(value: Any, filled: Any) -> None:
    got = compiled(value).evaluate({"input": INPUT})
    assert (got, type(got)) == (filled, type(filled))


@given(JSON)
def test_a_value_without_expressions_stays_as_it_is(value: Any) -> None:
    template = compile_template(value, NAMES)
    if "${" in repr(value):
        return
    assert isinstance(template, Template)
    assert template.evaluate({}) == value
    assert (template.steps, template.reads_all_steps) == (frozenset(), False)


@given(st.text())
def test_an_escaped_text_comes_back(text: str) -> None:
    assert compiled(text.replace("${", "$${")).evaluate({}) == text


@pytest.mark.parametrize("value", [[1, ["$${a}"]], {"a": {"b": 1}}], ids=["list", "object"])
def test_what_holds_no_expression_is_put_together_once(value: Any) -> None:
    template = compiled(value)
    assert template.evaluate({}) is template.evaluate({})


def test_every_fault_is_told_with_its_path_and_column() -> None:
    value = {"a": [1, "x", {"b": "n: ${ foo }"}], "b c": "${1 +}", "d": "x ${input.n", "e": "${input.n} ${bar(1)}"}
    assert faults_of(value) == [
        (".a[2].b", 7, "there is no variable 'foo'; write one of input, item, steps"),
        ('["b c"]', 6, "the expression ends too early"),
        (".d", 3, "'${' is never closed with '}'; for a plain '${' write '$${'"),
        (".e", 14, "there is no function 'bar'"),
    ]


def test_the_value_itself_has_an_empty_path() -> None:
    assert compile_template("${}", NAMES) == (Fault(3, "the expression ends too early"),)


@pytest.mark.parametrize("text", ["${'abc}", '${"""abc"}', "${{'a': 1}", "a ${"])
def test_an_expression_without_an_end_is_a_fault(text: str) -> None:
    [(_, position, message)] = faults_of(text)
    assert (position, message[:22]) == (text.index("$") + 1, "'${' is never closed w")


def test_a_value_that_is_nested_without_end_is_a_fault() -> None:
    value: Any = "${input}"
    for _ in range(MAX_DEPTH):
        value = [value]
    assert compiled(value)
    assert faults_of([value])[0][2] == "it is nested too deep; 100 levels are allowed"


def test_objects_may_be_nested_as_deep_as_lists() -> None:
    value: Any = "x"
    for _ in range(MAX_DEPTH):
        value = {"a": value}
    assert compiled(value).evaluate({}) == value
    place = ".b" + MAX_DEPTH * ".a"
    assert faults_of({"b": value}) == [(place, 1, "it is nested too deep; 100 levels are allowed")]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (dt.date(2030, 1, 31), "2030-01-31"),
        (b"x" * 50, "b'" + "x" * 38),
    ],
    ids=["nan", "inf", "date", "bytes"],
)
def test_what_yaml_has_and_json_has_not_is_a_fault(value: Any, shown: str) -> None:
    assert faults_of({"a": value}) == [(".a", 1, f"{shown!r} is nothing that JSON has; write it as a text")]


def test_a_whole_number_of_any_length_stays_as_it_is() -> None:
    assert compiled(10**400).evaluate({}) == 10**400


def test_a_key_that_is_no_text_is_a_fault() -> None:
    assert faults_of({"a": {1: "x"}}) == [(".a", 1, "the key 1 is no text; write it in quotes")]


@pytest.mark.parametrize(
    ("key", "place"),
    [("a", ".a"), ("a_b-1", ".a_b-1"), ("é", ".é"), ("a b", '["a b"]'), ("", '[""]'), ("a.b", '["a.b"]')],
    ids=["letter", "snake-and-kebab", "accent", "space", "empty", "dot"],
)
def test_a_place_names_the_keys_that_lead_there(key: str, place: str) -> None:
    assert faults_of({key: "${"})[0][0] == place


def test_the_steps_of_all_expressions_are_read() -> None:
    template = compiled({"a": "${steps.a.output}", "b": ["x ${steps.b.output} ${steps['c'].output.id}"]})
    assert template.steps == {"a", "b", "c"}
    assert not template.reads_all_steps
    assert template.variables == {"steps"}
    assert compiled(["${steps.a}", "${steps}"]).reads_all_steps


def test_an_error_says_where_in_the_value_it_is() -> None:
    template = compiled({"a": [0, "x ${input.none_such}"]})
    with pytest.raises(ExpressionError, match=r"^\.a\[1\]: there is no key 'none_such'$"):
        template.evaluate({"input": {}})


def test_an_error_in_the_value_itself_has_no_place() -> None:
    with pytest.raises(ExpressionError, match=r"^'item' has no value here$"):
        compiled("${item}").evaluate({})


@given(st.text(st.sampled_from("${}'\"\\ra1/\n"), max_size=20))
def test_any_text_is_a_template_or_a_fault_within_it(text: str) -> None:
    template = compile_template(text, NAMES)
    if not isinstance(template, Template):
        assert all(1 <= f.position <= len(text) + 1 for f in template)


@given(st.text(st.sampled_from("${}'\"\\ra1/\n"), max_size=20))
def test_the_text_of_a_template_is_one_that_means_the_same(text: str) -> None:
    template = compile_template(text, NAMES)
    if isinstance(template, Template):
        assert compiled(template.text) == template


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("${input.n}", "${input.n}"),
        ("$${x} is ${ input.n } of ${item}", "$${x} is ${ input.n } of ${item}"),
        (3, "3"),
        ("$${x}", "$${x}"),
        ([{"a": "$${x}"}, 1, ["$${y}"]], '[{"a": "$${x}"}, 1, ["$${y}"]]'),
        ({"a": ["${item}", None]}, '{"a": ["${item}", null]}'),
    ],
)
def test_a_template_is_shown_as_it_was_written(value: Any, text: str) -> None:
    assert compiled(value).text == text
