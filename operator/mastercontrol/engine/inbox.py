"""What a delivery from the results queue means: a Result for a Job, or why it is none.

Three things arrive there: answers of workers; dead letters of step queues, which the broker routes here as well, so
that a step that nobody can do fails its job instead of leaving it waiting; and whatever else somebody publishes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mastercontrol.api.names import ResultReason
from mastercontrol.engine.facts import Result
from mastercontrol.engine.ports import Delivery
from mastercontrol_worker.contract import (
    DELIVERY_LIMIT,
    MAX_RESULT_BYTES,
    RESULT_TOO_LARGE,
    Failed,
    JobRef,
    MalformedMessage,
    ResultMessage,
    StepError,
    StepMessage,
    parse_dispatch_id,
)

DEATH_QUEUE: Final = "x-first-death-queue"
DEATH_REASON: Final = "x-first-death-reason"

NAMESPACE_CHARS: Final = 63
NAME_CHARS: Final = 253
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

JobKey = tuple[str, str]
"""Namespace and name of a Job."""


@dataclass(frozen=True, slots=True)
class Addressed:
    """A result and the Job that it is for."""

    key: JobKey
    result: Result


@dataclass(frozen=True, slots=True)
class Malformed:
    """No message of the contract, and why."""

    why: str


def read_delivery(delivery: Delivery, key_of: Callable[[str], JobKey | None]) -> Addressed | Malformed:
    """Read a delivery. `key_of` finds a Job's key by its uid, for a body that is too large to be looked into."""
    try:
        uid, seq, attempt = parse_dispatch_id(delivery.message_id or "")
        if DEATH_QUEUE in delivery.headers:
            step, outcome = _dead_letter(delivery)
            reason = ResultReason.DEAD_LETTERED
            return _addressed(step.job, Result(uid, seq, attempt, outcome, delivery.epoch, "", reason, step.step))
        if len(delivery.body) > MAX_RESULT_BYTES:
            key = key_of(uid) or _key(ResultMessage.decode(delivery.message_id, delivery.body).job)
            message = f"the result has {len(delivery.body)} bytes, the limit is {MAX_RESULT_BYTES}"
            error = StepError(RESULT_TOO_LARGE, message, retryable=False)
            return Addressed(key, Result(uid, seq, attempt, Failed(error), delivery.epoch, "", ResultReason.OVERSIZED))
        answer = ResultMessage.decode(delivery.message_id, delivery.body)
        result = Result(uid, seq, attempt, answer.outcome, delivery.epoch, answer.worker, step=answer.step)
        return _addressed(answer.job, result)
    except MalformedMessage as error:
        return Malformed(str(error))


def _dead_letter(delivery: Delivery) -> tuple[StepMessage, Failed]:
    step = StepMessage.decode(delivery.message_id, delivery.body, delivery.headers)
    reason: Any = delivery.headers.get(DEATH_REASON, "rejected")
    if reason == "delivery_limit":
        text = "the step was handed out as often as its pool's deliveryLimit allows, and never answered"
        return step, Failed(StepError(DELIVERY_LIMIT, text, retryable=False))
    text = f"the step's message was dead-lettered ({str(reason)[:40]}); it lies in the pool's dead letters"
    return step, Failed(StepError("DeadLettered", text, retryable=False))


def _key(ref: JobRef) -> JobKey:
    # It becomes the path of a read: what no object can be called must not get there, again and again.
    if len(ref.namespace) > NAMESPACE_CHARS or not _LABEL.fullmatch(ref.namespace):
        raise MalformedMessage(f"{ref.namespace[:80]!r} can be no namespace")
    if len(ref.name) > NAME_CHARS or not all(_LABEL.fullmatch(part) for part in ref.name.split(".")):
        raise MalformedMessage(f"{ref.name[:80]!r} can be no name of a job")
    return ref.namespace, ref.name


def _addressed(ref: JobRef, result: Result) -> Addressed:
    return Addressed(_key(ref), result)
