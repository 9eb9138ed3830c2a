"""Variants of the protocol that are wrong, each in one place. The search must find a fault in every one of them."""

from __future__ import annotations

from enum import StrEnum


class Broken(StrEnum):
    """What is done otherwise than the protocol says."""

    ACK_BEFORE_COMMIT = "results are acknowledged before the write"
    ACK_BEFORE_PUBLISH = "results are acknowledged before what they made due is published"
    NO_REPUBLISH = "a stale result does not publish again what it caused"
    NO_EPOCH = "the loss of the broker's data is not noticed"
    EPOCH_OF_NOW = "a write stamps the epoch of now, not that of the connection which delivered the result"
    NO_FENCE = "a write does not test the sequence"
    FENCE_BY_STEP = "a write tests the state's name instead of the sequence"
    WORKER_ACKS_FIRST = "a worker acknowledges its step before it sends the result"
    EARLY_RESULT_DROPPED = "a result that comes before the first write is acknowledged, not kept"
    FIRST_STEP_AFTER_WRITE = "the first step is sent after the write that says so"
    MARKED_BEFORE_SENT = "what time made due is marked as sent by the write that makes it due"
    EPOCH_BEFORE_RESEND = "the new epoch is written before the dispatches are sent again"
    MATCHED_BY_STEP = "a result is matched by the step's name, not by its dispatch"
