"""What a handler is told about the step that it does, beside its input.

The executor makes one Context for each run; handlers read it. A test of a handler may make one by hand: only job,
step, attempt and idempotency_key have no default.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mastercontrol_worker.heartbeat import encode_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from mastercontrol_worker.contract import JSON, JobRef, StepMessage
    from mastercontrol_worker.pulse import Pulse

STEP_LOGGER = "mastercontrol.step"
"""The name of the logger behind every Context.logger."""


class StepLogger(logging.LoggerAdapter[logging.Logger]):
    """Puts job, step, attempt and dispatch id into each record, beside the caller's own `extra`."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the step's fields to one call."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


def _now() -> datetime:
    return datetime.now(UTC)


def _plain_logger() -> StepLogger:
    return StepLogger(logging.getLogger(STEP_LOGGER), {})


def _unheard(progress: JSON) -> None:
    """Nobody asked for heartbeats; what is wrong with one is said all the same."""
    encode_progress(progress)


@dataclass(frozen=True, slots=True)
class Context:
    """One run of one step. All of it may be read from any thread."""

    job: JobRef
    step: str
    attempt: int
    """From 1. A step that is redelivered after a crash runs again under the same attempt."""

    idempotency_key: str
    """The dispatch id. The same for each run of this attempt: hand it to what must not be done twice."""

    deadline: datetime | None = None
    """When the result is no longer wanted (aware, UTC); None: no limit."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """The message's headers, which carry the trace context (`traceparent`, `tracestate`)."""

    logger: StepLogger = field(default_factory=_plain_logger, compare=False)
    _drain: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    _now: Callable[[], datetime] = field(default=_now, repr=False, compare=False)
    heartbeat_seconds: int | None = None
    """The step fails when the handler does not call `heartbeat` for longer than this; None: it need not."""

    _beat: Callable[[JSON], None] = field(default=_unheard, repr=False, compare=False)

    def heartbeat(self, progress: JSON = None) -> None:
        """Say that the handler lives, and how far it is. For steps with heartbeatSeconds; for others it does nothing.

        From any thread, as often as you like: it does not wait for the broker, and only the newest is sent, a few times
        in each heartbeatSeconds.

        :param progress: any JSON value of at most 1 KiB, for people to see in the Job's status. None: what was reported
            last still holds.
        :raises ValueError: the progress is none of these.
        """
        self._beat(progress)

    @property
    def draining(self) -> bool:
        """The worker was told to end: what is not done within its grace period is given back."""
        return self._drain.is_set()

    def remaining(self) -> float | None:
        """Seconds until the deadline, 0.0 when it has passed; None: no limit."""
        if self.deadline is None:
            return None
        return max(0.0, (self.deadline - self._now()).total_seconds())

    def should_stop(self) -> bool:
        """True when to go on is likely in vain: the worker drains or the deadline has passed.

        A long handler asks this between two pieces of work, keeps what it has and raises `GiveBack`.
        """
        return self.draining or self.remaining() == 0.0


def context_of(
    message: StepMessage,
    deadline: datetime | None,
    drain: threading.Event,
    now: Callable[[], datetime] = _now,
    pulse: Pulse | None = None,
) -> Context:
    """The Context of a step message whose deadline is already parsed; `pulse` takes its heartbeats."""
    job = message.job
    about = {
        "job": f"{job.namespace}/{job.name}",
        "step": message.step,
        "attempt": message.attempt,
        "dispatch": message.id,
    }
    logger = StepLogger(logging.getLogger(STEP_LOGGER), about)
    return Context(
        job,
        message.step,
        message.attempt,
        message.id,
        deadline,
        message.headers,
        logger,
        drain,
        now,
        message.heartbeat_seconds,
        _unheard if pulse is None else pulse.beat,
    )
