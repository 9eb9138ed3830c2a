"""Steps that do what their input asks for: wait, fail, hang, answer too much."""

from __future__ import annotations

import os
import time
from typing import Any

import mastercontrol_worker as worker


def act(data: dict[str, Any], context: worker.Context) -> dict[str, Any]:
    """Do as told; the output says who did it, and how often it was tried."""
    print(f"EXECUTED {context.idempotency_key} {context.job.name} {context.step}", flush=True)  # read by tests
    time.sleep(data.get("sleepSeconds", 0))
    if context.attempt <= data.get("failTimes", 0):
        raise worker.StepFailure(
            "told to fail", code=data.get("code", "ToldToFail"), retryable=data.get("retryable", True)
        )
    if context.step == data.get("hangIn") and context.attempt <= data.get("hangTimes", 1):
        time.sleep(3600)
    if data.get("dieIn") == context.step:
        os._exit(139)  # as a fault in native code does
    if data.get("answerBytes"):
        return {"text": "x" * data["answerBytes"]}
    return {**data, "path": [*data.get("path", []), context.step]}


time.sleep(float(os.environ.get("LOAD_SECONDS", "0")))  # as one that loads a large model
for name in ("one", "two", "three", "four", "five"):
    worker.step(name)(act)
