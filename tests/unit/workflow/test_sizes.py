"""Sizes: of a value as it is, and a bound for what may be made of several."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.workflow.sizes import SCALAR, Size, collection, largest, largest_element, measure


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("ab", Size(4, text="ab")),
        ("ü", Size(4, text="ü")),
        (1, SCALAR),
        (None, SCALAR),
        ([], Size(2, 0)),
        (["ab", "c"], Size(13, 2, Size(4))),
        ({"k": "vw"}, Size(11, 1, Size(4))),
        ({"key": "v"}, Size(12, 1, Size(5))),
        ([["bcd", "e"], ["a"]], Size(27, 2, Size(14, 2, Size(5)))),
        ([1, "a"], Size(33, 2, SCALAR)),
    ],
    ids=["text", "letters of two bytes", "number", "null", "nothing", "list", "object", "longer key", "lists", "mixed"],
)
def test_a_value_has_the_bytes_of_its_parts_and_two_for_each_and_for_itself(value: Any, size: Size) -> None:
    assert measure(value) == size


def test_what_lies_very_deep_is_reckoned_by_its_bytes() -> None:
    value: Any = []
    for _ in range(12):
        value = [value]
    assert measure(value).total == 12 * 4 + 6 * 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(min_codepoint=35, codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(min_codepoint=97, max_codepoint=122)), inner),
    max_leaves=20,
)


@given(JSON)
def test_no_value_is_longer_as_json_than_its_size(value: Any) -> None:
    told = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("\\\\", "\\")
    assert len(told.encode()) <= measure(value).total


def test_only_a_sole_size_keeps_its_text() -> None:
    assert largest([]) is None
    assert largest([measure("ab")]) == Size(4, text="ab")
    assert largest([measure("ab"), measure("cde")]) == Size(5)


def test_the_largest_is_at_least_as_large_as_each_in_each_part() -> None:
    long, wide = measure(["abcdef"]), measure(["a", "b", "c"])
    assert largest([long, wide]) == Size(17, 3, Size(8))


def test_the_elements_of_what_may_have_some_count_by_its_whole_size() -> None:
    assert largest_element([Size(10, 3), Size(4, 0, Size(9)), Size(50)]) == Size(10)
    assert largest_element([SCALAR]) is None


def test_a_collection_has_the_bytes_of_its_parts_and_two_for_each_and_for_itself() -> None:
    assert collection([Size(4), Size(3)], 2) == Size(13, 2, Size(4))
