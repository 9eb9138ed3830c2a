"""What is JSON and what is none, on the way into an expression and out of it."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Iterator

import pytest

from mastercontrol.workflow.json_values import NotJson, check_input, to_json


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An operator whose clock shows the time of another place."""
    before = os.environ.get("TZ")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    if before is None:
        monkeypatch.delenv("TZ")
    else:
        monkeypatch.setenv("TZ", before)
    time.tzset()


@pytest.mark.usefixtures("far_away")
def test_a_time_is_written_in_utc_wherever_the_operator_is() -> None:
    moment = dt.datetime(2030, 1, 1, 14, 0, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert to_json(moment) == "2030-01-01T12:00:00Z"


def test_what_has_no_form_in_json_does_not_go_in() -> None:
    with pytest.raises(NotJson, match="the data is no JSON"):
        check_input({"a": {1, 2}})


@pytest.mark.parametrize("value", [{"text": "\\u0000", "n": 1}, ["\\u0000", None, True, 1.5]])
def test_a_text_that_only_looks_like_a_nul_goes_in_whatever_is_beside_it(value: object) -> None:
    check_input(value)


@pytest.mark.parametrize("value", [["\\u0000", {"a": ["x\0"]}], {"a\0": 1}])
def test_a_nul_does_not_go_in_wherever_it_is(value: object) -> None:
    with pytest.raises(NotJson, match="NUL"):
        check_input(value)
