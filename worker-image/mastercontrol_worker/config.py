"""Every setting of the worker: its environment variable, unit, default and reason, in one table.

`cli` reads it once at the start; command-line options win over their variables.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class ConfigError(ValueError):
    """A setting is missing or wrong; the text is one line for the person who set it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The worker's settings; see VARIABLES for what each means."""

    amqp_url: str
    queue: str
    name: str
    handlers: tuple[str, ...]
    program: tuple[str, ...]
    concurrency: int
    grace_seconds: float
    stuck_seconds: float
    heartbeat_seconds: int
    confirm_seconds: float
    reconnect_max_seconds: float
    recent_results: int
    recent_bytes: int
    log_level: str
    log_format: str


@dataclass(frozen=True, slots=True)
class Variable:
    """One setting. `default` None: it must be set."""

    name: str
    field: str
    default: str | None
    read: Callable[[str], Any]
    meaning: str


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ConfigError(f"a whole number from {low} to {high}")
        return int(text)

    return read


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ConfigError("a number of seconds, 0 or more")
    return value


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in words:
            raise ConfigError(f"one of {', '.join(words)}")
        return text.lower()

    return read


def _url(text: str) -> str:
    from mastercontrol_worker.link import LinkSettings  # noqa: PLC0415  a probe needs no pika

    wrong = ConfigError("a URL like amqp://user:password@host:5672/vhost (or amqps://)")
    if not text.startswith(("amqp://", "amqps://")):
        raise wrong
    try:
        LinkSettings(text, "").parameters()
    except Exception:  # noqa: BLE001  pika raises this and that, with the password in it
        raise wrong from None
    return text


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


VARIABLES = (
    Variable("MCP_AMQP_URL", "amqp_url", None, _url, "where the broker is, with user and password"),
    Variable("MCP_QUEUE", "queue", None, str, "the queue of the pool: mcp.pool.<namespace>.<pool>"),
    Variable("MCP_HANDLERS", "handlers", "", _words, "modules of handlers, comma separated; or --handlers"),
    Variable("MCP_CONCURRENCY", "concurrency", "1", _whole(1, 1000), "steps done at the same time"),
    Variable(
        "MCP_GRACE_SECONDS",
        "grace_seconds",
        "30",
        _seconds,
        "how long running steps may go on after SIGTERM; the pod's grace period must be 10 s longer",
    ),
    Variable(
        "MCP_STUCK_SECONDS",
        "stuck_seconds",
        "30",
        _seconds,
        "how long a handler may go on after its deadline; when every slot is held by such a one, the worker ends "
        "with exit code 1 to be started anew, for a thread cannot be killed",
    ),
    Variable("MCP_WORKER_NAME", "name", "", str, "this worker in results, logs and at the broker; default: host name"),
    Variable("MCP_LOG_LEVEL", "log_level", "info", _one_of("debug", "info", "warning", "error"), "least level logged"),
    Variable("MCP_LOG_FORMAT", "log_format", "text", _one_of("text", "json"), "text for people, json for collectors"),
    Variable(
        "MCP_HEARTBEAT_SECONDS",
        "heartbeat_seconds",
        "30",
        _whole(1, 3600),
        "AMQP heartbeat: how soon a silent broker is taken for dead, and this worker by the broker",
    ),
    Variable(
        "MCP_CONFIRM_SECONDS",
        "confirm_seconds",
        "60",
        _seconds,
        "how long the broker may take to confirm a result before the connection is made anew",
    ),
    Variable(
        "MCP_RECONNECT_MAX_SECONDS",
        "reconnect_max_seconds",
        "15",
        _seconds,
        "the longest wait between two tries to connect; the first is half a second",
    ),
    Variable(
        "MCP_RECENT_RESULTS",
        "recent_results",
        "128",
        _whole(0, 100_000),
        "results kept to answer a step that is delivered again without doing it again; 0: none",
    ),
    Variable(
        "MCP_RECENT_BYTES", "recent_bytes", "4194304", _whole(0, 2**40), "the most bytes that those results may take"
    ),
)


def read_settings(
    environ: Mapping[str, str], handlers: tuple[str, ...] = (), program: tuple[str, ...] = ()
) -> Settings:
    """The settings of an environment and of the command line's handlers or program.

    :raises ConfigError: one is missing or wrong.
    """
    values: dict[str, Any] = {variable.field: _read(variable, environ) for variable in VARIABLES}
    values["name"] = values["name"] or socket.gethostname()
    if program:
        values["handlers"] = ()
    elif handlers:
        values["handlers"] = handlers
    if not program and not values["handlers"]:
        raise ConfigError("nothing to run: give --handlers MODULE (or MCP_HANDLERS), or --exec -- PROGRAM")
    return Settings(program=program, **values)


def _read(variable: Variable, environ: Mapping[str, str]) -> Any:
    text = environ.get(variable.name, "").strip() or variable.default
    if text is None:
        raise ConfigError(f"{variable.name} is not set: {variable.meaning}")
    try:
        return variable.read(text)
    except ConfigError as expected:
        shown = "it" if variable.name == "MCP_AMQP_URL" else repr(text[:80])  # a password must not be shown
        raise ConfigError(f"{variable.name}: {shown} is not {expected}") from None
