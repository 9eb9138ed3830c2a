"""Dead letters and the jobs that they are of, as values."""

from __future__ import annotations

import datetime as dt
from typing import Any

from mastercontrol.api.names import API_VERSION, KIND_JOB, KIND_POOL
from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.deadletters.letters import Letter, read_letter
from mastercontrol.pools.deadletters.ports import DeadMessage
from mastercontrol_worker.contract import JobRef, StepMessage, dispatch_id

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)


def step(
    seq: int = 1, *, job: str = "order-1", name: str = "charge", attempt: int = 1, uid: str | None = None
) -> StepMessage:
    ref = JobRef("shop", job, uid or f"u-{job}")
    return StepMessage(dispatch_id(ref.uid, seq, attempt), ref, name, attempt, {"amount": 12})


def message(of: StepMessage, reason: str = "delivery_limit", died: dt.datetime | None = NOON) -> DeadMessage:
    headers: dict[str, Any] = {"x-first-death-reason": reason}
    if died is not None:
        headers["x-death"] = [{"reason": reason, "time": died}]
    return DeadMessage(of.id, of.encode(), headers)


def letter(seq: int = 1, *, job: str = "order-1", name: str = "charge", attempt: int = 1) -> Letter:
    return read_letter(message(step(seq, job=job, name=name, attempt=attempt)))


def failed_job(name: str = "order-1", **status: Any) -> RawObject:
    """A Job that failed in the step `charge`, which was its first dispatch."""
    error = {"code": "DeliveryLimitExceeded", "message": "no answer", "state": "charge"}
    written = {"state": "Failed", "phase": "Failed", "sequence": 2, "resumable": ["charge"], "error": error}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND_JOB,
        "metadata": {"namespace": "shop", "name": name, "uid": f"u-{name}", "resourceVersion": "7"},
        "spec": {"workflow": "order", "operations": []},
        "status": written | status,
    }


def retry(reason: str) -> dict[str, Any]:
    return {"type": "Retry", "reason": reason}


def pool(name: str = "payments", **annotations: str) -> RawObject:
    """A WorkerPool; `redrive=…` and `discard=…` are its annotations."""
    found = {f"mastercontrol.dev/{verb}": text for verb, text in annotations.items()}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND_POOL,
        "metadata": {"namespace": "shop", "name": name, "annotations": {"team": "a"} | found},
        "spec": {"template": {"image": "w"}},
    }
