"""The steps of the patterns: small stand-ins for a shop's services and for the partners that it calls.

What would come from outside (a busy provider, a sold out hotel) comes from the job's input here, and nothing is kept
between two steps. So each step gives the same output when it is done twice, and every run of a pattern is the same.
"""

from __future__ import annotations

from typing import Any

import mastercontrol_worker as worker

STOCK = {"lamp": 12, "desk": 0}
DECLINED = "0000"
"""The card that is always declined."""

MOST_OF_INCOME = 0.4
"""The share of an income that debts may take."""


# -- order.yaml


@worker.step("checkStock")
def check_stock(order: Any) -> dict[str, Any]:
    return {"inStock": STOCK.get(order["sku"], 0) >= order["quantity"]}


@worker.step("charge")
def charge(payment: Any, context: worker.Context) -> dict[str, Any]:
    """A real one hands `context.idempotency_key` to the provider, so that a card is not charged twice."""
    if context.attempt <= payment["busyTimes"]:
        raise worker.StepFailure("the provider is busy", code="ProviderBusy")
    if payment["card"] == DECLINED:
        text = f"card {payment['card']} was declined"
        raise worker.StepFailure(text, code="CardDeclined", retryable=False)
    return {"receipt": f"{context.job.name}-{payment['amount']}"}


@worker.step("ship")
def ship(order: Any, context: worker.Context) -> dict[str, Any]:
    return {"parcel": f"{context.job.name}-{order['sku']}"}


# -- approval.yaml


@worker.step("askManager")
def ask_manager(claim: Any, context: worker.Context) -> None:
    """A real one sends a message with a link that sends the signal."""
    context.logger.info("may %s have %s?", claim["employee"], claim["amount"])


@worker.step("reimburse")
def reimburse(claim: Any) -> dict[str, Any]:
    return {"transfer": f"{claim['amount']} to {claim['employee']}"}


# -- fan-out.yaml


@worker.step("checkIdentity")
def check_identity(request: Any) -> dict[str, Any]:
    if not request["customer"]:
        raise worker.StepFailure("the request names no customer", code="NoCustomer", retryable=False)
    return {"name": "identity", "ok": True}


@worker.step("listDebts")
def list_debts(request: Any) -> dict[str, Any]:
    return {"debts": request["debts"]}


@worker.step("rateCredit")
def rate_credit(credit: Any) -> dict[str, Any]:
    return {"name": "credit", "ok": sum(credit["debts"]) <= MOST_OF_INCOME * credit["income"]}


@worker.step("checkAddress")
def check_address(request: Any) -> dict[str, Any]:
    return {"name": "address", "ok": any(letter.isdigit() for letter in request["address"])}


# -- travel.yaml and trip.yaml


@worker.step("bookFlight")
def book_flight(booking: Any, context: worker.Context) -> dict[str, Any]:
    _refuse_if_sold_out(booking, context)
    return {"reference": booking["reference"], "seat": "12A"}


@worker.step("bookHotel")
def book_hotel(booking: Any, context: worker.Context) -> dict[str, Any]:
    _refuse_if_sold_out(booking, context)
    return {"reference": booking["reference"], "room": "214"}


@worker.step("bookCar")
def book_car(booking: Any, context: worker.Context) -> dict[str, Any]:
    _refuse_if_sold_out(booking, context)
    return {"reference": booking["reference"], "plate": "MCP 7"}


@worker.step("cancelFlight")
@worker.step("cancelHotel")
@worker.step("cancelCar")
def cancel(booking: Any) -> dict[str, Any]:
    """Cancel what has the reference. Nothing to cancel is no failure: it may have been done before."""
    return {"cancelled": booking["reference"]}


@worker.step("tellTraveller")
def tell_traveller(end: Any) -> dict[str, Any]:
    return {"told": "we booked all of it" if end["phase"] == "Succeeded" else f"no trip: {end['error']['code']}"}


def _refuse_if_sold_out(booking: Any, context: worker.Context) -> None:
    if context.step in booking["soldOut"]:
        raise worker.StepFailure("there is none left", code="SoldOut", retryable=False)


# -- polling.yaml


@worker.step("startExport")
def start_export(_: Any, context: worker.Context) -> dict[str, Any]:
    return {"export": f"export-{context.job.name}"}


@worker.step("askExport")
def ask_export(question: Any) -> dict[str, Any]:
    """How far the export is. This one is done when it is asked for as often as `readyAfter` says."""
    if question["asked"] + 1 < question["readyAfter"]:
        return {"done": False}
    return {"done": True, "url": f"https://exports.example/{question['export']}"}


# -- map-failures.yaml


@worker.step("convert")
def convert(document: Any) -> dict[str, Any]:
    name, _, kind = document["file"].rpartition(".")
    if kind != "txt":
        raise worker.StepFailure(f"{document['file']} is no text", code="NoText", retryable=False)
    return {"file": f"{name}.html"}
