"""Every setting: its unit, its default and why it is that.

Each field is the environment variable `MCP_<NAME>` and, for the operator, the chart value
`operator.settings.<name>` in camel case. Only the operator reads these; the worker's are in its own package.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from mastercontrol.broker.settings import BrokerSettings
from mastercontrol.broker.workers import BrokerAddress
from mastercontrol.engine.facts import Limits
from mastercontrol.pools.settings import PoolSettings

MOST_HISTORY = 50
"""What the CRD takes; more would have every write refused."""


class InvalidSetting(ValueError):
    """A setting cannot be read. `str()` names it and says what to write."""


def _setting(default: Any, about: str) -> Any:
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator runs with. Times are in seconds."""

    # Who and where: set by the chart, not by people.
    namespaces: str = _setting("default", "Namespaces to watch, separated by commas; empty for all.")
    pod_name: str = _setting("", "Name of the operator's pod: its identity in the Lease.")
    pod_namespace: str = _setting("default", "Namespace of the operator: of the Lease and the epoch's ConfigMap.")
    lease_name: str = _setting("mcp-operator", "Name of the Lease of the leader.")
    epoch_configmap: str = _setting("mcp-broker-epoch", "Name of the ConfigMap that names the broker's data.")
    replicas: int = _setting(1, "How many operators there are, so whether another one may have better luck.")
    amqp_url: str = _setting("", "AMQP URL of the broker, with the operator's user.")
    management_url: str = _setting("", "URL of the broker's management API, with the operator's user.")

    # What a person may tune.
    lease_seconds: float = _setting(10.0, "How long a leader that is silent stays leader: a take-over takes this long.")
    renew_deadline_seconds: float = _setting(7.0, "After so long without a renewal the leader stops by itself.")
    retry_seconds: float = _setting(2.0, "Between two renewals of the Lease, and two looks of a standby at it.")
    broker_patience_seconds: float = _setting(
        60.0, "A leader without a broker for so long lets another replica try; a restart of a broker takes less."
    )
    http_port: int = _setting(8080, "Port of /healthz, /readyz and /metrics.")
    concurrent_turns: int = _setting(64, "Jobs moved at the same time; above it the API server only queues them.")
    api_connections: int = _setting(32, "Connections to the API server; 32 reach its limit on small machines.")
    results_prefetch: int = _setting(256, "Results in hand at the same time; more form larger batches per job.")
    publish_timeout_seconds: float = _setting(10.0, "How long the broker may take to confirm a step.")
    sweep_seconds: float = _setting(300.0, "Between two sweeps for lost dispatches and vanished jobs.")
    scale_interval_seconds: float = _setting(1.0, "Between two looks at a busy pool's queue.")
    unlimited_step_seconds: int = _setting(86400, "How long a worker may hold a step that has no timeoutSeconds.")
    max_workers: int | None = _setting(None, "Workers that all pools of one namespace may have together; unset: any.")
    unlimited_grace_seconds: int = _setting(
        3600, "How long a worker that is told to end may go on with a step that has no timeoutSeconds."
    )
    history_limit: int = _setting(20, "Transitions kept in a job's status.history.")
    heartbeat_status_seconds: float = _setting(
        30.0, "Between two writes of a job's status that heartbeats alone are the reason for."
    )
    no_worker_seconds: float = _setting(30.0, "A step that lacks a worker for so long is said; pods start in less.")
    watch_seconds: int = _setting(290, "How long a watch lives before it is renewed; under common proxies' 300 s.")
    log_level: str = _setting("info", "debug, info, warning or error.")
    log_format: str = _setting("text", "text, or json for one object a line.")

    @property
    def watched(self) -> frozenset[str] | None:
        """The namespaces to watch; None for all."""
        names = frozenset(n.strip() for n in self.namespaces.split(",") if n.strip())
        return names or None

    @property
    def limits(self) -> Limits:
        """The bounds of a job's status."""
        return Limits(
            history=self.history_limit,
            heartbeat_seconds=self.heartbeat_status_seconds,
            no_worker_seconds=self.no_worker_seconds,
        )

    @property
    def broker(self) -> BrokerSettings:
        """The broker adapter's part."""
        return BrokerSettings(prefetch=self.results_prefetch, publish_timeout_seconds=self.publish_timeout_seconds)

    @property
    def pools(self) -> PoolSettings:
        """The pool controller's part."""
        return PoolSettings(
            scale_interval_seconds=self.scale_interval_seconds,
            unlimited_step_seconds=self.unlimited_step_seconds,
            max_workers=self.max_workers,
            unlimited_grace_seconds=self.unlimited_grace_seconds,
        )


def read_settings(environ: Mapping[str, str] | None = None, required: Sequence[str] = ()) -> Settings:
    """Read the settings from the environment.

    :raises InvalidSetting: one cannot be read, or one of `required` is empty.
    """
    environ = os.environ if environ is None else environ
    kinds = typing.get_type_hints(Settings)
    read: dict[str, Any] = {}
    for f in fields(Settings):
        name = f"MCP_{f.name.upper()}"
        if name in environ:
            read[f.name] = _read(name, environ[name], kinds[f.name])
    settings = Settings(**read)
    for field_name in required:
        if not getattr(settings, field_name):
            raise InvalidSetting(f"MCP_{field_name.upper()}: it is not set")
    _check(settings)
    return settings


def _check_urls(settings: Settings) -> None:
    """They hold a password, so nothing of them is repeated, nor what the standard library says of them."""
    try:
        if settings.amqp_url:
            BrokerAddress.parse(settings.amqp_url)
    except ValueError:
        form = "amqp[s]://user:password@host:port/vhost, with what is special in the password as %XX"
        raise InvalidSetting(f"MCP_AMQP_URL: write {form}") from None
    try:
        management = urlsplit(settings.management_url)
        wrong = management.scheme not in {"http", "https"} or not management.hostname or management.port == 0
    except ValueError:
        wrong = True
    if settings.management_url and wrong:
        form = "http[s]://user:password@host:port, with what is special in the password as %XX"
        raise InvalidSetting(f"MCP_MANAGEMENT_URL: write {form}")


def _read(name: str, text: str, kind: Any) -> Any:
    if kind is str:
        return text
    if kind not in {int, float}:  # what may be unset: an empty text leaves it so
        kind = next(one for one in typing.get_args(kind) if one is not type(None))
        if not text:
            return None
    try:
        value = kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise InvalidSetting(f"{name}: write {wanted}, not {text!r}") from None
    if not value > 0:
        raise InvalidSetting(f"{name}: write a number above 0, not {text!r}")
    return value


def _check(settings: Settings) -> None:
    _check_urls(settings)
    if not settings.retry_seconds < settings.renew_deadline_seconds < settings.lease_seconds:
        raise InvalidSetting(
            "MCP_RETRY_SECONDS < MCP_RENEW_DEADLINE_SECONDS < MCP_LEASE_SECONDS must hold, or two could lead at once"
        )
    if not 1 <= settings.history_limit <= MOST_HISTORY:
        raise InvalidSetting(f"MCP_HISTORY_LIMIT: write a whole number from 1 to {MOST_HISTORY}")
    if settings.log_level not in {"debug", "info", "warning", "error"}:
        raise InvalidSetting(f"MCP_LOG_LEVEL: write debug, info, warning or error, not {settings.log_level!r}")
    if settings.log_format not in {"text", "json"}:
        raise InvalidSetting(f"MCP_LOG_FORMAT: write text or json, not {settings.log_format!r}")
