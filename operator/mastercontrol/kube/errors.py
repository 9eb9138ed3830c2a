"""What an unsuccessful answer of the API server means for the caller: one of the errors of engine.ports.

Each rule was read off a Kubernetes 1.34 API server; tests/integration/kube holds them against a real one.
"""

from __future__ import annotations

import json
from typing import Any

from mastercontrol.engine.ports import Expired, Forbidden, Gone, Refused, Rejected, StoreError, StoreUnavailable

# The one error of etcd that is final, though it comes as a 500 without a reason: nothing was written, nor will be.
_TOO_LARGE_FOR_ETCD = "etcdserver: request is too large"


_BY_CODE: dict[int, type[StoreError]] = {
    403: Forbidden,
    401: StoreUnavailable,  # the token is being renewed, or ours no longer counts: nothing to do with this request
    408: StoreUnavailable,
    409: Refused,
    410: Expired,
    429: StoreUnavailable,
}


def error_of(code: int, body: bytes) -> StoreError:
    """The error that stands for an answer with this status code (300 or more) and body."""
    status = _status(body)
    text = status.get("message") or body[:200].decode(errors="replace").strip() or "no message"
    return _kind_of(code, status)(f"{code}: {text}")


def _kind_of(code: int, status: dict[str, Any]) -> type[StoreError]:
    if code in _BY_CODE:
        return _BY_CODE[code]
    match code:
        case 404:
            # Without a name there is no such path: the kind is not served (yet), which says nothing of the object.
            return Gone if _names_something(status) else StoreUnavailable
        case 422:
            # A JSON Patch that does not apply (a failed `test`, a path that is not there) is told with empty
            # details; an object that is not valid is told with its name and the causes.
            return Rejected if _names_something(status) else Refused
        case 500:
            return Rejected if status.get("message") == _TOO_LARGE_FOR_ETCD else StoreUnavailable
        case _:
            return Rejected if 400 <= code < 500 else StoreUnavailable  # noqa: PLR2004  # client errors


def _status(body: bytes) -> dict[str, Any]:
    """The `Status` object of an answer; empty when something before the API server answered."""
    try:
        status = json.loads(body)
    except ValueError:
        return {}
    return status if isinstance(status, dict) and status.get("kind") == "Status" else {}


def _names_something(status: dict[str, Any]) -> bool:
    details = status.get("details")
    return isinstance(details, dict) and bool(details.get("name") or details.get("causes"))
