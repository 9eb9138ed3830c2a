"""The steps of the patterns, by themselves."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from mastercontrol_worker import Context, JobRef, StepFailure


@pytest.fixture
def attempt() -> Context:
    return Context(JobRef("default", "trip", "6f1c"), "bookHotel", 1, "6f1c:4:1")


@pytest.mark.parametrize(
    ("sku", "quantity", "there"), [("lamp", 12, True), ("lamp", 13, False), ("desk", 1, False), ("sofa", 1, False)]
)
def test_stock_is_what_there_is(patterns: ModuleType, sku: str, quantity: int, there: bool) -> None:  # noqa: FBT001  a case
    assert patterns.check_stock({"sku": sku, "quantity": quantity}) == {"inStock": there}


def test_a_busy_provider_may_be_asked_again(patterns: ModuleType, attempt: Context) -> None:
    payment = {"card": "4000", "amount": 38, "busyTimes": 1}
    with pytest.raises(StepFailure) as failed:
        patterns.charge(payment, attempt)
    assert (failed.value.code, failed.value.retryable) == ("ProviderBusy", True)
    assert patterns.charge(payment, replace(attempt, attempt=2)) == {"receipt": "trip-38"}


def test_another_attempt_does_not_help_a_declined_card(patterns: ModuleType, attempt: Context) -> None:
    with pytest.raises(StepFailure) as failed:
        patterns.charge({"card": patterns.DECLINED, "amount": 38, "busyTimes": 0}, attempt)
    assert (failed.value.code, failed.value.retryable) == ("CardDeclined", False)


@pytest.mark.parametrize(("debts", "well"), [([], True), ([400, 400], True), ([400, 401], False)])
def test_debts_may_take_two_fifths_of_an_income(patterns: ModuleType, debts: list[int], well: bool) -> None:  # noqa: FBT001  a case
    assert patterns.rate_credit({"income": 2000, "debts": debts}) == {"name": "credit", "ok": well}


def test_only_what_is_sold_out_cannot_be_booked(patterns: ModuleType, attempt: Context) -> None:
    booking = {"reference": "trip-hotel", "soldOut": ["bookCar"]}
    assert patterns.book_hotel(booking, attempt) == {"reference": "trip-hotel", "room": "214"}
    with pytest.raises(StepFailure) as failed:
        patterns.book_hotel({**booking, "soldOut": ["bookHotel"]}, attempt)
    assert (failed.value.code, failed.value.retryable) == ("SoldOut", False)


def test_each_booking_can_be_cancelled_and_cancelled_again(patterns: ModuleType) -> None:
    booking = {"reference": "trip-hotel"}
    assert patterns.cancel(booking) == patterns.cancel(booking) == {"cancelled": "trip-hotel"}


def test_an_export_is_done_when_it_was_asked_for_often_enough(patterns: ModuleType) -> None:
    asked = [patterns.ask_export({"export": "x", "asked": n, "readyAfter": 3}) for n in range(4)]
    assert [answer["done"] for answer in asked] == [False, False, True, True]
    assert asked[2] == asked[3] == {"done": True, "url": "https://exports.example/x"}


def test_only_texts_are_converted(patterns: ModuleType) -> None:
    assert patterns.convert({"file": "a.b.txt"}) == {"file": "a.b.html"}
    with pytest.raises(StepFailure, match=r"a\.png is no text") as failed:
        patterns.convert({"file": "a.png"})
    assert not failed.value.retryable
