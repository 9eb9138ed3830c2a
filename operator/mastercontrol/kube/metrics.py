"""The counters of this package."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

REQUESTS: Final = Counter(
    "mcp_kube_requests_total",
    "Requests to the API server. `code` is the HTTP status, `timeout`, or `connection` when there was no answer.",
    ["verb", "resource", "code"],
)

EVENTS: Final = Counter(
    "mcp_kube_events_total",
    "Kubernetes Events by what became of them: written, aggregated, failed or dropped.",
    ["outcome"],
)
