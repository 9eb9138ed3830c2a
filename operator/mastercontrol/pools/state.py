"""What the controller holds of one pool between its turns.

Only the turn of that pool changes it, besides the event handlers of `controller.py`, which set what they have seen
and add the pool to the queue. Nothing here is needed to survive a restart: all of it can be seen again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mastercontrol.api.pool import WorkerPool
from mastercontrol.engine.ports import Depth, DepthUnknown, RawObject, Readiness
from mastercontrol.pools.backoff import Backoff, Problem
from mastercontrol.pools.crew import Crew
from mastercontrol.pools.departures import Departures
from mastercontrol.pools.live import LiveDeployment
from mastercontrol.pools.pace import Change
from mastercontrol.pools.scaling import History, ScalingReason
from mastercontrol.pools.scheduling import Scheduling
from mastercontrol.pools.settings import PoolSettings

Key = tuple[str, str]
"""Namespace and name of a pool."""


class PoolState:
    """Times are seconds of a monotonic clock unless they are texts."""

    def __init__(self, namespace: str, name: str, uid: str, settings: PoolSettings) -> None:
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.generation = 0
        self.pool: WorkerPool | None = None  # the newest valid one
        self.invalid: Problem | None = None  # why the newest one is not valid
        self.deleting = False
        self.gone = False
        self.seen_status: Mapping[str, Any] = {}  # as the watch shows it
        self._settings = settings
        self.start_over()

    def start_over(self) -> None:
        """Forget what another process may have changed since: this one begins to lead."""
        self.live = LiveDeployment()
        self.declared_for: object = None  # what the queue was declared for; see provision.py
        self.conflict: Problem | None = None  # what of the queue is not as declared
        self.url_for: object = None
        self.url = ""
        self.secret_applied: str | None = None
        self.manifest: RawObject | None = None
        self.manifest_for: object = None
        self.applied_at: float | None = None
        self.grace = 0  # seconds that its pods have to end; see grace.py
        self.grace_for: object = None  # the version of the pool that this was settled for
        self.inherited: tuple[float, int] | None = None  # when the Deployment was first seen, and its grace then
        self.observed_generation = self.seen_status.get("observedGeneration")  # as somebody before us wrote it
        self.budget_for: object = None  # the version of the pool whose PodDisruptionBudget is as it should be
        self.resynced_at: float | None = None
        self.depth: Depth | None = None
        self.depth_at: float | None = None
        self.unread: DepthUnknown | None = None  # why the last reading gave no depth
        self.workers: Readiness | None = None
        self.history: History = ()
        self.changes: tuple[Change, ...] = ()  # of the number of workers, as far as its pace asks for them
        self.limit: Problem | None = None  # what keeps it from having as many as its steps call for
        self.target: tuple[int, ScalingReason] | None = None  # fewer workers than it has, and why
        self.crew = Crew()
        self.departures = Departures()
        self.start_seconds: float | None = None  # that its pods take to start; None: not seen yet
        self.reserved = 0  # the number that it is about to have
        self.known_at = -math.inf  # when its depth was known last
        self.replaced: tuple[float, ...] = ()  # when pods were replaced that steps had killed
        self.status: Mapping[str, Any] = self.seen_status
        self.status_at: float | None = None
        self.last_scale_time: str | None = self.seen_status.get("lastScaleTime")
        self.unready_since: float | None = None
        self.trouble: str | None = None
        self.trouble_at: float | None = None
        self.scheduling: Scheduling | None = None  # whether its pods have nodes; None: not known yet
        self.reading = Backoff(self._settings)
        self.provision = Backoff(self._settings)
        self.budgeting = Backoff(self._settings)
        self.scaling = Backoff(self._settings)
        self.lowering = Backoff(self._settings)
        self.reporting = Backoff(self._settings)

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def active(self) -> WorkerPool | None:
        """The pool to work for, if there is one."""
        return None if self.gone or self.deleting else self.pool

    @property
    def problem(self) -> Problem | None:
        """The first thing that is wrong."""
        efforts = (self.provision, self.reading, self.scaling, self.lowering, self.budgeting)
        found = (self.invalid, *(effort.problem for effort in efforts), self.conflict)
        return next((problem for problem in found if problem is not None), None)

    def hurry(self) -> None:
        """Something that efforts depend on has changed: make them at once."""
        for effort in (self.reading, self.provision, self.budgeting, self.scaling, self.lowering, self.reporting):
            effort.hurry()
