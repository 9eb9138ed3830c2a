"""The counters and gauges of this package."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

CONNECTED: Final = Gauge("mcp_broker_connected", "1 while there is a connection whose epoch is agreed on, else 0.")

CONNECTIONS: Final = Counter(
    "mcp_broker_connections_total", "Attempts to connect by what became of them: ready or failed.", ["outcome"]
)

PUBLISHES: Final = Counter(
    "mcp_broker_publishes_total",
    "Publishes of steps by outcome: confirmed, unroutable, refused, timeout, lost or disconnected.",
    ["outcome"],
)

DEPTH_FAILURES: Final = Counter(
    "mcp_broker_depth_failures_total",
    "Readings of a queue that gave no number, by why: timeout, unreachable, status, missing, malformed, partial or "
    "disconnected.",
    ["reason"],
)

CONFLICTS: Final = Gauge(
    "mcp_broker_topology_conflicts", "Queues, exchanges and bindings that exist with other arguments than declared."
)

MANAGEMENT_FAILURES: Final = Counter(
    "mcp_broker_management_failures_total",
    "Users and policies that could not be written, by kind: user or policy. They are tried again.",
    ["kind"],
)
