"""Metrics of the pools, in one place. What is unknown has no sample: never zero."""

from __future__ import annotations

import contextlib

from prometheus_client import Counter, Gauge

from mastercontrol.engine.ports import UNKNOWN_REASONS

WORKERS = Gauge("mcp_pool_workers", "Workers that a pool's Deployment is told to have.", ["namespace", "pool"])
WANTED = Gauge(
    "mcp_pool_wanted_workers", "Workers that a pool's backlog calls for, within its bounds.", ["namespace", "pool"]
)
BACKLOG = Gauge("mcp_pool_backlog", "Steps of a pool that are not done yet.", ["namespace", "pool"])
DEAD_LETTERS = Gauge("mcp_pool_dead_letters", "Steps of a pool that nobody could do.", ["namespace", "pool"])
SCALINGS = Counter("mcp_pool_scalings_total", "Changes of a pool's number of workers, by why.", ["reason"])
REPLACED = Counter("mcp_pool_pods_replaced_total", "Pods that were replaced because steps killed their worker.")
FAILURES = Counter("mcp_pool_failures_total", "Efforts for a pool that failed and are made again.", ["reason"])
READINGS_FAILED = Counter(
    "mcp_pool_readings_failed_total",
    "Readings of a pool's queue that gave no number, by why. Nothing shrinks by them.",
    ["namespace", "pool", "reason"],
)


def show(gauge: Gauge, namespace: str, pool: str, value: int | None) -> None:
    """Set a pool's sample, or take it away where the value is not known."""
    if value is None:
        with contextlib.suppress(KeyError):  # there was none
            gauge.remove(namespace, pool)
    else:
        gauge.labels(namespace, pool).set(value)


def forget(namespace: str, pool: str) -> None:
    """Take away the samples of a pool that this process no longer works for."""
    show(WORKERS, namespace, pool, None)
    show(WANTED, namespace, pool, None)
    show(BACKLOG, namespace, pool, None)
    for reason in UNKNOWN_REASONS:
        with contextlib.suppress(KeyError):  # there was none
            READINGS_FAILED.remove(namespace, pool, reason)
