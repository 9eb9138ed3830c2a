"""Reading fields: defaults, bounds, and messages that name the field and say what to write."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.api import values
from mastercontrol.api.values import InvalidObject


def refusal(call: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InvalidObject) as caught:
        call(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("data", [{}, {"x": None}])
def test_what_is_absent_or_null_has_its_default(data: dict[str, Any]) -> None:
    assert values.mapping(data, "x", "spec") == {}
    assert values.flag(data, "x", "spec", default=True) is True
    assert values.whole(data, "x", "spec", 1, 9, 5) == 5
    assert values.number(data, "x", "spec", 1, 9, 5.5) == 5.5
    assert values.optional_whole(data, "x", "spec", 1, 9) is None
    assert values.optional_text(data, "x", "spec") is None


@pytest.mark.parametrize("value", [0, 10, 1.5, "3", True, [], {}])
def test_a_whole_number_out_of_bounds_or_of_another_type_is_refused(value: object) -> None:
    assert refusal(values.whole, {"x": value}, "x", "spec", 1, 9, 5).startswith("spec.x: write a whole number from 1")


@pytest.mark.parametrize("value", [0.5, 9.5, "3", True, float("nan"), float("inf")])
def test_a_number_out_of_bounds_or_of_another_type_is_refused(value: object) -> None:
    assert refusal(values.number, {"x": value}, "x", "spec", 1, 9, 5).startswith("spec.x: write a number from 1 to 9")


@pytest.mark.parametrize("value", [1, 9])
def test_the_bounds_themselves_are_allowed(value: int) -> None:
    assert values.whole({"x": value}, "x", "spec", 1, 9, 5) == value
    assert values.number({"x": value}, "x", "spec", 1, 9, 5) == value


@pytest.mark.parametrize("value", ["", 3, True, [], {}])
def test_a_text_that_is_empty_or_none_is_refused(value: object) -> None:
    assert refusal(values.text, {"x": value}, "x", "spec") == "spec.x: write a text"


def test_a_required_text_that_is_absent_is_said_to_be_required() -> None:
    assert refusal(values.text, {}, "x", "spec") == "spec.x: write a text, it is required"


@pytest.mark.parametrize("value", ["true", 1, 0, []])
def test_only_true_and_false_are_flags(value: object) -> None:
    assert refusal(values.flag, {"x": value}, "x", "spec", default=False).startswith("spec.x: write true or false")


def test_a_field_that_nobody_reads_is_refused_and_the_known_ones_named() -> None:
    text = refusal(values.known, {"suspnd": True, "input": 1}, frozenset({"suspend", "input"}), "spec")
    assert text == "spec.suspnd: there is no such field; known are input, suspend"


def test_a_field_whose_name_is_no_text_is_refused_as_well() -> None:
    assert refusal(values.known, {1: "x", "y": 2}, frozenset({"z"}), "spec").startswith(
        "spec.1: there is no such field"
    )


def test_a_mapping_of_another_type_is_refused() -> None:
    assert refusal(values.mapping, {"x": "y"}, "x", "spec") == "spec.x: write a mapping, not a text"


@given(st.datetimes(min_value=dt.datetime(1970, 1, 1), max_value=dt.datetime(2200, 1, 1)))  # noqa: DTZ001  # made aware below
def test_a_time_is_written_with_milliseconds_and_read_back(naive: dt.datetime) -> None:
    moment = naive.replace(tzinfo=dt.UTC, microsecond=naive.microsecond // 1000 * 1000)
    text = values.format_time(moment)
    assert text.endswith("Z")
    assert len(text) == len("2030-01-01T12:00:00.000Z")
    assert values.parse_time(text) == moment


def test_a_time_of_another_zone_is_written_in_utc() -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    assert values.format_time(dt.datetime(2030, 1, 1, 12, tzinfo=zone)) == "2030-01-01T10:00:00.000Z"


def test_no_time_stays_none() -> None:
    assert values.parse_time(None) is None
