"""Writes what is known of a pool into its status, when it has changed and not more often than it should.

`controller.py` calls it at the end of each turn. A change of meaning (a condition, the generation) is written at
once, a change of mere numbers at most once in `status_interval_seconds`; the last one is always written.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import Final

from mastercontrol.api.values import format_time
from mastercontrol.engine.ports import Gone, RawObject, StoreError
from mastercontrol.pools import metrics
from mastercontrol.pools import status as statuses
from mastercontrol.pools.crashes import to_replace
from mastercontrol.pools.deadletters.state import Known
from mastercontrol.pools.deployment import child_name, selector
from mastercontrol.pools.pods import why_not_ready
from mastercontrol.pools.ports import PoolCluster
from mastercontrol.pools.scaling import policy_of
from mastercontrol.pools.scheduling import Scheduling, look
from mastercontrol.pools.settings import PoolSettings
from mastercontrol.pools.state import PoolState

logger = logging.getLogger(__name__)

REPLACED_MOST: Final = 30
REPLACED_SECONDS: Final = 600.0
"""No more pods than that are replaced in so long: where workers die of everything the kubelet's patience is better."""

DeadLettersOf = Callable[[str, str], Known | None]
"""What is known of the dead letters of a pool, by namespace and name."""


class Reporter:
    """One for all pools; what it knows of a pool is in its PoolState."""

    def __init__(
        self,
        cluster: PoolCluster,
        settings: PoolSettings,
        clock: Callable[[], dt.datetime],
        monotonic: Callable[[], float],
        dead_letters: DeadLettersOf,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._dead_letters = dead_letters

    async def diagnose(self, state: PoolState) -> float | None:
        """Look why workers are not ready, if they are not for some time; seconds until it is to be called again."""
        now = self._monotonic()
        wanted, counts = state.live.replicas, state.live.counts
        # More pods than are wanted, and some of them not ready: a rollout, which may be stuck.
        if counts.ready >= max(wanted, counts.replicas):
            state.unready_since = state.trouble = state.trouble_at = None
            state.scheduling = Scheduling() if state.live.known else state.scheduling
            return None
        state.unready_since = now if state.unready_since is None else state.unready_since
        wait = state.unready_since + self._settings.trouble_after_seconds - now
        if state.trouble_at is not None:
            wait = max(wait, state.trouble_at + self._settings.trouble_interval_seconds - now)
        if wait > 0:
            return wait
        state.trouble_at = now
        pods = await self._pods(state)
        state.trouble = state.live.failure() or why_not_ready(pods)
        await self._replace(state, pods)
        if state.trouble is not None and f'secret "{child_name(state.name)}" not found' in state.trouble:
            state.secret_applied = None  # it can't be watched, only missed
        return self._settings.trouble_interval_seconds

    async def report(self, state: PoolState) -> float | None:
        """Write the status if it is due; seconds until it is to be called again, None when all is written.

        :raises StoreError: it could not be written.
        """
        view = _view(state, self._dead_letters(*state.key))
        metrics.show(metrics.WORKERS, *state.key, view.wanted)
        metrics.show(metrics.BACKLOG, *state.key, view.backlog)
        wanted = None if view.policy is None or view.backlog is None else view.policy.recommend(view.backlog)
        metrics.show(metrics.WANTED, *state.key, wanted)
        new = statuses.build(view, state.status, format_time(self._clock()))
        change = statuses.compare(new, state.status)
        if change is statuses.Change.NONE:
            return None
        now = self._monotonic()
        if change is statuses.Change.COUNTS and state.status_at is not None:
            wait = state.status_at + self._settings.status_interval_seconds - now
            if wait > 0:
                return wait
        try:
            await self._cluster.patch_pool_status(state.namespace, state.name, new)
        except Gone:
            logger.debug("pool %s/%s is deleted: its status is not written", state.namespace, state.name)
            return None
        state.status = new
        state.status_at = now
        return None

    async def _pods(self, state: PoolState) -> list[RawObject]:
        try:
            pods = await self._cluster.list_pods(state.namespace, selector(state.name))
        except StoreError as error:
            logger.warning("pool %s/%s: its pods can't be listed: %s", state.namespace, state.name, error)
            return []
        state.scheduling = look(pods)
        return pods

    async def _replace(self, state: PoolState, pods: list[RawObject]) -> None:
        """Let new pods do the work of those that steps have killed."""
        if state.depth is None or not state.depth.backlog:
            return
        now = self._monotonic()
        state.replaced = tuple(at for at in state.replaced if now - at < REPLACED_SECONDS)
        for name in to_replace(pods, state.crew.spoken)[: max(REPLACED_MOST - len(state.replaced), 0)]:
            logger.warning("pool %s/%s: pod %s is replaced: a step seems to kill its worker", *state.key, name)
            try:
                await self._cluster.delete_pod(state.namespace, name)
            except StoreError as error:
                logger.warning("pool %s/%s: pod %s can't be replaced: %s", *state.key, name, error)
            else:
                state.replaced += (now,)
                metrics.REPLACED.inc()


def _view(state: PoolState, dead_letters: Known | None) -> statuses.View:
    return statuses.View(
        generation=state.generation,
        selector=selector(state.name),
        policy=None if state.pool is None else policy_of(state.pool),
        counts=state.live.counts,
        wanted=None if state.live.raw is None else state.live.replicas,
        backlog=None if state.depth is None else state.depth.backlog,
        leaving=state.departures.busy,
        mute=state.departures.mute,
        limit=state.limit,
        busy=None if state.depth is None else state.depth.unacknowledged,
        dead_letters=dead_letters,
        last_scale_time=state.last_scale_time,
        unread=None if state.unread is None else f"{state.unread.reason}: {state.unread}",
        problem=state.problem,
        trouble=state.trouble,
        scheduling=state.scheduling,
    )
