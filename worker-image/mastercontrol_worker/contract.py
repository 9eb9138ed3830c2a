"""The two messages between the operator and a worker, and the names of the queues they travel on.

This module, with the heartbeats in `heartbeat`, is the whole of what the operator and a worker share. It has no
dependencies, does no I/O and is described for other languages in docs/reference/worker-contract.md. The JSON Schemas of
the bodies lie beside it in schemas/. A change here that an older worker cannot read needs a new VERSION.

Bodies are UTF-8 JSON. What AMQP has a property for is a property, not a field of the body: `message_id` is the
dispatch id, `type` is the step's name, `headers` carry the trace context.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1

STEPS_EXCHANGE = "mcp.steps"
RESULTS_EXCHANGE = "mcp.results"
RESULTS_QUEUE = "mcp.results"
RESULTS_ROUTING_KEY = "mcp.results"
HEARTBEATS_ROUTING_KEY = "mcp.heartbeats"
CONTENT_TYPE = "application/json"

MAX_RESULT_BYTES = 64 * 1024
"""The largest body of a result, in bytes. A larger output fails its step with RESULT_TOO_LARGE."""

MAX_DEPTH = 100
"""How deep lists and objects of an output may be nested: JSON readers have limits, each another one."""

MAX_CODE_CHARS = 128
MAX_MESSAGE_CHARS = 4096
"""Bounds of an error's code and message, in characters; what is longer is cut when it is encoded."""

# Codes that the runtime or the operator give to a failure; a handler may use any other.
STEP_FAILED = "StepFailed"  # the handler raised something that names no code
STEP_UNKNOWN = "StepUnknown"  # this worker has no handler of that name
STEP_TIMEOUT = "Timeout"  # the deadline passed before there was a result
RESULT_TOO_LARGE = "ResultTooLarge"  # the output is larger than MAX_RESULT_BYTES
RESULT_NOT_JSON = "ResultNotJSON"  # the output is no JSON value
EXIT_CODE = "ExitCode"  # a program in exec mode ended with an exit code other than 0
DELIVERY_LIMIT = "DeliveryLimitExceeded"  # the step was handed out too often without an answer
HEARTBEAT_TIMEOUT = "States.HeartbeatTimeout"  # the step's heartbeatSeconds passed without a heartbeat

_DISPATCH_ID = re.compile(r"(.+):(0|[1-9][0-9]{0,17}):([1-9][0-9]{0,17})")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MAYBE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_MAYBE_HUGE = re.compile(rb"\d{309}")  # the largest float has 309 digits

JSON = Any
"""A JSON value as the json module reads it: None, bool, int, float, str, list or dict with str keys."""


class MalformedMessage(ValueError):
    """A message that is not one of this contract's. `str()` says what is wrong with it, for a log or a metric."""


class UnfitOutput(MalformedMessage):
    """An output that no result can carry; `code` is RESULT_NOT_JSON or RESULT_TOO_LARGE."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}"[:300])
        self.code = code
        self.reason = reason[:300]


def pool_routing_key(namespace: str, pool: str) -> str:
    """The routing key on STEPS_EXCHANGE of a pool's steps."""
    return f"{namespace}.{pool}"


def pool_queue(namespace: str, pool: str) -> str:
    """The queue that the workers of a pool consume."""
    return f"mcp.pool.{namespace}.{pool}"


def parse_pool_queue(queue: str) -> tuple[str, str] | None:
    """Namespace and pool of a queue's name; None where it is no pool's. Neither has a dot in it."""
    words = queue.split(".")
    return (words[2], words[3]) if len(words) == 4 and words[:2] == ["mcp", "pool"] else None  # noqa: PLR2004


def dispatch_id(uid: str, seq: int, attempt: int) -> str:
    """The id of one attempt at one step, and the key that makes a handler idempotent: `<job uid>:<seq>:<attempt>`."""
    return f"{uid}:{seq}:{attempt}"


def parse_dispatch_id(text: str) -> tuple[str, int, int]:
    """Take a dispatch id apart into job uid, sequence and attempt.

    :raises MalformedMessage: the text is not of that form.
    """
    found = _DISPATCH_ID.fullmatch(text)
    if found is None:
        raise MalformedMessage(f"not a dispatch id: {text[:80]!r}")
    return found[1], int(found[2]), int(found[3])


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time, such as a deadline, as an aware time in UTC.

    :raises MalformedMessage: the text is none.
    """
    malformed = MalformedMessage(f"not an RFC 3339 time: {text[:40]!r}")
    if not _TIME.fullmatch(text):
        raise malformed
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise malformed from None


def parse_json(text: bytes) -> JSON:
    """Read one JSON value as all readers of this contract do: UTF-8, numbers that a float can hold, whole characters.

    Python's own reader is laxer (NaN, infinite numbers, half surrogate pairs): it takes what all after it refuse.

    :raises ValueError: it is no such value; the text says why.
    """
    try:
        whole = _finite_whole if _MAYBE_HUGE.search(text) else None
        value = json.loads(text.decode(), parse_constant=_no_constant, parse_float=_finite, parse_int=whole)
        if _MAYBE_SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair is no character") from None
    return value


@dataclass(frozen=True, slots=True)
class JobRef:
    """Which Job a message belongs to. The uid tells two Jobs of the same name apart."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class StepMessage:
    """A dispatch: what a worker gets. `deadline` is an RFC 3339 time in UTC, or None for no limit.

    `heartbeat_seconds`: a worker that is silent for longer while it does the step has failed it. None: it may be.
    """

    id: str
    job: JobRef
    step: str
    attempt: int
    input: JSON
    deadline: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    heartbeat_seconds: int | None = None

    def encode(self) -> bytes:
        """The body of the AMQP message."""
        job = {"namespace": self.job.namespace, "name": self.job.name, "uid": self.job.uid}
        body: dict[str, JSON] = {"version": VERSION, "job": job, "step": self.step, "attempt": self.attempt}
        if self.deadline is not None:
            body["deadline"] = self.deadline
        if self.heartbeat_seconds is not None:
            body["heartbeatSeconds"] = self.heartbeat_seconds
        body["input"] = self.input
        return dump(body)

    @classmethod
    def decode(cls, message_id: str | None, body: bytes, headers: Mapping[str, Any] | None = None) -> StepMessage:
        """Read a step message.

        :raises MalformedMessage: it is not one of this contract's.
        """
        data = load(body)
        job, step, attempt = identity(message_id, data)
        deadline = data.get("deadline")
        if deadline is not None:
            if not isinstance(deadline, str):
                raise MalformedMessage("'deadline' is not a text")
            parse_time(deadline)
        heartbeat = None if data.get("heartbeatSeconds") is None else _count(data, "heartbeatSeconds")
        texts = {k: v for k, v in (headers or {}).items() if isinstance(v, str)}
        return cls(message_id or "", job, step, attempt, data.get("input"), deadline, texts, heartbeat)


@dataclass(frozen=True, slots=True)
class StepError:
    """Why a step failed. `retryable=False` says that another attempt cannot help."""

    code: str
    message: str
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The step is done; `output` is its result."""

    output: JSON


@dataclass(frozen=True, slots=True)
class Failed:
    """The step is not done."""

    error: StepError


@dataclass(frozen=True, slots=True)
class ResultMessage:
    """What a worker answers. `worker` is its identity, for the job's history."""

    id: str
    job: JobRef
    step: str
    attempt: int
    outcome: Succeeded | Failed
    worker: str = ""

    @classmethod
    def of(cls, step: StepMessage, outcome: Succeeded | Failed, worker: str = "") -> ResultMessage:
        """The answer to a step message, under the same ids."""
        return cls(step.id, step.job, step.step, step.attempt, outcome, worker)

    def encode(self) -> bytes:
        """The body of the AMQP message.

        :raises UnfitOutput: the output is no JSON value or the body is longer than MAX_RESULT_BYTES; the caller then
            answers with a Failed of its code. A Failed is always encoded: its texts are cut and cleaned.
        """
        job = {"namespace": self.job.namespace, "name": self.job.name, "uid": self.job.uid}
        body: dict[str, JSON] = {"version": VERSION, "job": job, "step": self.step, "attempt": self.attempt}
        body["worker"] = self.worker
        match self.outcome:
            case Succeeded(output):
                body |= {"outcome": "Succeeded", "output": output}
            case Failed(error):
                code, message = _clean(error.code, MAX_CODE_CHARS), _clean(error.message, MAX_MESSAGE_CHARS)
                body |= {
                    "outcome": "Failed",
                    "error": {"code": code or STEP_FAILED, "message": message, "retryable": error.retryable},
                }
        encoded = dump(body)
        if len(encoded) > MAX_RESULT_BYTES:
            raise UnfitOutput(RESULT_TOO_LARGE, f"{len(encoded)} bytes, the limit is {MAX_RESULT_BYTES}")
        # Only now is it known to be small and no circle.
        if isinstance(self.outcome, Succeeded) and too_deep(self.outcome.output):
            raise UnfitOutput(RESULT_NOT_JSON, f"nested deeper than {MAX_DEPTH} levels")
        if _MAYBE_HUGE.search(encoded):
            _require_readable(encoded)
        return encoded

    @classmethod
    def decode(cls, message_id: str | None, body: bytes) -> ResultMessage:
        """Read a result message of at most MAX_RESULT_BYTES.

        :raises MalformedMessage: it is not one of this contract's.
        """
        data = load(body)
        job, step, attempt = identity(message_id, data)
        worker = data.get("worker", "")
        if not isinstance(worker, str):
            raise MalformedMessage("'worker' is not a text")
        return cls(message_id or "", job, step, attempt, _outcome(data), worker)


def _outcome(data: Mapping[str, Any]) -> Succeeded | Failed:
    match data.get("outcome"):
        case "Succeeded":
            output = data.get("output")
            if too_deep(output):
                raise MalformedMessage(f"'output' is nested deeper than {MAX_DEPTH} levels")
            return Succeeded(output)
        case "Failed":
            error = data.get("error")
            if not isinstance(error, dict):
                raise MalformedMessage("'error' is not an object")
            retryable = error.get("retryable", True)
            if not isinstance(retryable, bool):
                raise MalformedMessage("'error.retryable' is not true or false")
            message = error.get("message", "")
            if not isinstance(message, str):
                raise MalformedMessage("'error.message' is not a text")
            code = _text(error, "code")
            return Failed(StepError(code[:MAX_CODE_CHARS], message[:MAX_MESSAGE_CHARS], retryable))
        case other:
            raise MalformedMessage(f"'outcome' is {str(other)[:40]!r}, neither 'Succeeded' nor 'Failed'")


def identity(message_id: str | None, data: Mapping[str, Any]) -> tuple[JobRef, str, int]:
    """Job, step and attempt of a body; what the dispatch id says again must be the same (for this package).

    :raises MalformedMessage: it is not, or one of them is missing.
    """
    uid, _, attempt = parse_dispatch_id(message_id or "")
    job = data.get("job")
    if not isinstance(job, dict):
        raise MalformedMessage("'job' is not an object")
    ref = JobRef(_text(job, "namespace"), _text(job, "name"), _text(job, "uid"))
    step = _text(data, "step")
    if ref.uid != uid:
        raise MalformedMessage("the dispatch id is of another job than the body")
    if _count(data, "attempt") != attempt:
        raise MalformedMessage("the dispatch id is of another attempt than the body")
    return ref, step, attempt


def too_deep(value: JSON) -> bool:
    """Has it more than MAX_DEPTH levels? Level by level, for a function that calls itself has a limit of its own."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list | tuple)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedMessage(f"{name!r} is not a text")
    return value


def _count(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    # JSON knows one kind of number: 1.0, as some languages write it, is the whole number 1.
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1 or value != int(value):
        raise MalformedMessage(f"{name!r} is not a whole number from 1")
    return int(value)


def load(body: bytes) -> dict[str, Any]:
    """The body of a message of this version as an object (for this package).

    :raises MalformedMessage: it is none.
    """
    try:
        data = parse_json(body)
    except ValueError as error:
        raise MalformedMessage(f"the body is not JSON: {error}"[:200]) from None
    if not isinstance(data, dict):
        raise MalformedMessage("the body is not a JSON object")
    version = data.get("version")
    if version != VERSION or isinstance(version, bool):
        raise MalformedMessage(f"version {str(version)[:20]!r}, this contract is version {VERSION}")
    return data


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _finite_whole(text: str) -> int:
    _finite(text)
    return int(text)


def _clean(text: str, limit: int) -> str:
    """At most that many characters, and only whole ones: names of files may hold half surrogate pairs."""
    return text[:limit].encode(errors="replace").decode()


def _require_readable(encoded: bytes) -> None:
    try:
        parse_json(encoded)
    except ValueError as error:
        raise UnfitOutput(RESULT_NOT_JSON, str(error)) from None


def dump(body: JSON) -> bytes:
    """Compact JSON (for this package).

    :raises UnfitOutput: it is no JSON value.
    """
    try:
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UnfitOutput(RESULT_NOT_JSON, str(error)) from None
