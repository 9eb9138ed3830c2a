"""Tunables of the pool controller, as one frozen value with defaults.

`mastercontrol.settings` fills it from the environment; tests make their own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """All times are in seconds."""

    scale_interval_seconds: float = 1.0
    """Between two readings of a busy pool's queue. A pool that comes from zero does not wait for it."""

    status_interval_seconds: float = 2.0
    """The least time between two status writes of a pool when nothing but counts changed."""

    mark_settle_seconds: float = 1.0
    """How long a pod was marked before the number of replicas goes down: what chooses by the mark must have seen it."""

    resync_seconds: float = 300.0
    """Between two looks at a pool at which nothing happens: reads only, in case an event of the watch was lost."""

    retry_base_seconds: float = 0.5
    """The first wait after a failure; it doubles with each further one."""

    retry_cap_seconds: float = 30.0
    """The longest wait after a failure."""

    drift_interval_seconds: float = 5.0
    """The least time between two corrections of the same Deployment, so that two writers can't drive each other."""

    trouble_after_seconds: float = 5.0
    """How long workers may be not ready before their pods are asked why."""

    trouble_interval_seconds: float = 10.0
    """Between two looks at the pods of a pool whose workers are not ready."""

    max_workers: int | None = None
    """The most workers that all pools of one namespace may have together; None for no such limit."""

    unlimited_step_seconds: int = 86400
    """How long a worker may hold a step that has no timeoutSeconds before the broker hands it out again."""

    unlimited_grace_seconds: int = 3600
    """How long a worker that is told to end may go on with a step that has no timeoutSeconds."""

    hold_margin_seconds: int = 300
    """A worker gives up a step at its deadline; the broker so much later, only where the worker does not."""

    least_hold_seconds: int = 1800
    """The least time that a worker may hold a step. It is RabbitMQ's own limit."""

    concurrent_pools: int = 8
    """Pools that are worked on at the same time. Turns of one pool never overlap."""
