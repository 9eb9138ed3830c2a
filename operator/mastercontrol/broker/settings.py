"""Tunables of the broker adapter, as one frozen value with defaults.

`mastercontrol.settings` fills it from the environment; tests make their own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """All times are in seconds."""

    prefetch: int = 256
    """Results that the broker hands out before the first of them is acknowledged: enough that batches form in the
    mailboxes, few enough that a take-over redelivers them in a moment."""

    publish_timeout_seconds: float = 10.0
    """How long a publish waits for its confirm, waiting for an alarm of the broker to end included."""

    connect_timeout_seconds: float = 10.0
    """How long one attempt to connect may take, TLS and log-in included; the same for closing."""

    setup_timeout_seconds: float = 120.0
    """How long a new connection may take to declare all queues and agree on the epoch. Quorum queues of a cluster
    that is just electing its leaders answer late."""

    heartbeat_seconds: int = 20
    """A connection without traffic for this long is dead. Pika adds 5 seconds."""

    reconnect_min_seconds: float = 0.2
    """The first wait before a new attempt to connect; it doubles with each further one."""

    reconnect_max_seconds: float = 15.0
    """The longest wait before a new attempt to connect."""

    echo_seconds: float = 2.0
    """How long an echo through the broker may take before heartbeats are taken to be delayed."""

    drain_seconds: float = 5.0
    """How long `close` waits for confirms that are outstanding."""

    management_timeout_seconds: float = 3.0
    """How long one request to the HTTP API may take."""

    management_page_size: int = 500
    """Queues in one answer when all depths are read at once; the API's own limit is 500."""
