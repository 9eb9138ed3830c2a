"""Bodies as a Kubernetes 1.34 API server sends them; tests/integration/kube sees that it still does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mastercontrol.engine.ports import Expired, Forbidden, Gone, Refused, Rejected, StoreError, StoreUnavailable
from mastercontrol.kube.errors import error_of


def status(code: int, message: str = "m", **details: Any) -> bytes:
    return json.dumps(
        {"kind": "Status", "status": "Failure", "message": message, "details": details, "code": code}
    ).encode()


NAMED: dict[str, Any] = {"name": "a", "group": "mastercontrol.dev", "kind": "mcpjobs"}
CAUSES: dict[str, Any] = {"causes": [{"reason": "FieldValueInvalid", "field": "status.sequence", "message": "x"}]}


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        (400, status(400), Rejected),
        (401, status(401), StoreUnavailable),
        (403, status(403, **NAMED), Forbidden),
        (404, status(404, **NAMED), Gone),
        (404, b"404 page not found\n", StoreUnavailable),
        (404, status(404), StoreUnavailable),
        (405, status(405), Rejected),
        (408, status(408), StoreUnavailable),
        (409, status(409, **NAMED), Refused),
        (410, status(410), Expired),
        (413, status(413), Rejected),
        (415, status(415), Rejected),
        (422, status(422), Refused),
        (422, status(422, **NAMED, **CAUSES), Rejected),
        (422, status(422, **CAUSES), Rejected),
        (429, status(429), StoreUnavailable),
        (500, status(500, "etcdserver: request timed out"), StoreUnavailable),
        (500, status(500, "etcdserver: request is too large"), Rejected),
        (502, b"<html>Bad Gateway</html>", StoreUnavailable),
        (503, status(503), StoreUnavailable),
        (504, status(504), StoreUnavailable),
        (302, b"", StoreUnavailable),
    ],
)
def test_an_answer_means_what_the_caller_may_conclude(code: int, body: bytes, expected: type[StoreError]) -> None:
    assert type(error_of(code, body)) is expected


def test_the_message_is_the_api_servers() -> None:
    assert str(error_of(409, status(409, "the object has been modified"))) == "409: the object has been modified"


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"", "no message"), (b"\xff<html>", "<html>"), (b"[1]", "[1]"), (b'{"kind":"Status"}', "Status")],
)
def test_a_body_that_is_no_status_is_shown_as_it_is(body: bytes, text: str) -> None:
    assert text in str(error_of(502, body))


def test_a_long_body_is_cut() -> None:
    assert len(str(error_of(502, b"x" * 10_000))) < 300
