"""A dead letter as a value: which step of which job it was, when it died and why; and how a status shows it. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mastercontrol.api.values import format_time
from mastercontrol.engine.inbox import DEATH_REASON, NAME_CHARS
from mastercontrol.pools.deadletters.ports import DeadMessage
from mastercontrol_worker.contract import (
    DELIVERY_LIMIT,
    JobRef,
    MalformedMessage,
    StepMessage,
    parse_dispatch_id,
)

SHOWN: Final = 20
"""Dead letters that a status has, the newest ones: what fits on a screen, and about 6 KiB."""
DEAD_LETTERED: Final = "DeadLettered"
ID_CHARS: Final = 100
"""Of an id that is none of ours so much is shown."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `job` is None for a message that is no step; `why` says in words why it died."""

    id: str
    code: str
    why: str
    job: JobRef | None = None
    step: str = ""
    seq: int = 0
    attempt: int = 0
    died: dt.datetime | None = None

    def __str__(self) -> str:
        if self.job is None:
            return f"{self.id[:ID_CHARS] or 'a message without an id'} (no step)"
        return f"{self.id} (step {self.step} of job {self.job.name}, attempt {self.attempt})"


def read_letter(message: DeadMessage) -> Letter:
    """What a message in the dead letters says. It never fails: whatever lies there is shown."""
    message_id = message.message_id or ""
    reason = str(message.headers.get(DEATH_REASON, "rejected"))
    code = DELIVERY_LIMIT if reason == "delivery_limit" else DEAD_LETTERED
    died = _died(message.headers)
    try:
        step = StepMessage.decode(message.message_id, message.body)
        _, seq, attempt = parse_dispatch_id(message_id)
    except MalformedMessage as error:
        return Letter(message_id, code, f"it is no message of a step: {error}", died=died)
    return Letter(message_id, code, _why(reason), step.job, step.step, seq, attempt, died)


def newest(letters: Iterable[Letter]) -> tuple[Letter, ...]:
    """At most SHOWN letters, the newest first. They come in the order of their queue, the oldest first."""
    oldest = dt.datetime.min.replace(tzinfo=dt.UTC)
    ordered = sorted(letters, key=lambda letter: letter.died or oldest)  # stable: the queue's order where equal
    return tuple(reversed(ordered[-SHOWN:]))


def as_status(letter: Letter) -> dict[str, Any]:
    """One entry of `status.newestDeadLetters`."""
    shown: dict[str, Any] = {"id": letter.id[:ID_CHARS] or None}
    if letter.job is not None:
        names = {"job": letter.job.name[:NAME_CHARS], "step": letter.step[:NAME_CHARS]}
        shown |= {**names, "attempt": letter.attempt}
    shown |= {"reason": letter.code, "message": letter.why[:500]}
    shown["time"] = None if letter.died is None else format_time(letter.died)
    return {name: value for name, value in shown.items() if value is not None}


def _why(reason: str) -> str:
    match reason:
        case "delivery_limit":
            return "handed out as often as the pool's deliveryLimit allows, and never answered"
        case "rejected":
            return "a worker refused the message as no step that it can read"
        case _:
            return f"RabbitMQ dropped it: {reason[:40]}"


def _died(headers: Mapping[str, Any]) -> dt.datetime | None:
    """When it died first, as the broker says; None where it does not."""
    deaths = headers.get("x-death")
    time = deaths[-1].get("time") if isinstance(deaths, list) and deaths and isinstance(deaths[-1], dict) else None
    if not isinstance(time, dt.datetime):
        return None
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)
