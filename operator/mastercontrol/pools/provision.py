"""Brings what a pool needs into being, in this order: queue, the workers' user and Secret, Deployment.

`controller.py` calls it in each turn; nothing is asked or written where nothing has changed. A worker therefore
never starts before its queue exists and it may read it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from mastercontrol.api.names import Reason
from mastercontrol.api.pool import WorkerPool
from mastercontrol.engine.ports import Broker, RawObject, TopologyConflict
from mastercontrol.pools import deployment as manifests
from mastercontrol.pools import grace
from mastercontrol.pools.backoff import Problem
from mastercontrol.pools.ports import PoolCluster
from mastercontrol.pools.settings import PoolSettings
from mastercontrol.pools.state import PoolState

logger = logging.getLogger(__name__)

LongestStep = Callable[[str, str, int], int]
"""Namespace, pool, and what a step without a time-out counts as: the longest step of the pool, in seconds."""


class NotYetError(Exception):
    """Something stands in the way that no call can mend; `problem` says what."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Provisioner:
    """One for all pools; what it knows of a pool is in its PoolState."""

    def __init__(
        self,
        cluster: PoolCluster,
        broker: Broker,
        settings: PoolSettings,
        monotonic: Callable[[], float],
        initial: Callable[[PoolState, WorkerPool], int],
        longest_step: LongestStep,
    ) -> None:
        self._cluster = cluster
        self._broker = broker
        self._settings = settings
        self._monotonic = monotonic
        self._initial = initial
        self._longest_step = longest_step
        self._epoch: str | None = None

    def new_epoch(self, epoch: str) -> bool:
        """Note the epoch of the broker's data; True when it is another one: queues and users must be made again."""
        changed = epoch != self._epoch
        self._epoch = epoch
        return changed

    async def look(self, state: PoolState) -> None:
        """Read the Deployment if it is not known.

        :raises StoreError: it could not be read.
        """
        if not state.live.known:
            state.live.observe(await self._cluster.read_deployment(state.namespace, manifests.child_name(state.name)))

    async def provide(self, state: PoolState, pool: WorkerPool) -> None:
        """Make sure of queue, Secret and Deployment.

        :raises StoreError, BrokerError, InvalidObject, NotYetError: it is to be tried again, if need be later.
        """
        await self._queue(state, pool)
        await self._url(state, pool)
        manifest = self._manifest(state, pool)
        await self._secret(state, pool)
        await self._deployment(state, pool, manifest)

    async def _queue(self, state: PoolState, pool: WorkerPool) -> None:
        hold = self._hold_seconds(state, pool)
        wanted = (self._epoch, pool.uid, pool.delivery_limit, hold)  # before the call: an epoch may begin during it
        if state.declared_for != wanted:
            try:
                await self._broker.declare_pool(pool.namespace, pool.name, pool.delivery_limit, hold)
            except TopologyConflict as error:
                # Messages may be in it, so it is for a person to delete. Until then it does its work as it is.
                state.conflict = Problem(Reason.QUEUE_CONFLICT, f"used as it is; delete it once it is empty: {error}")
            else:
                state.conflict = None
            state.declared_for = wanted

    def _hold_seconds(self, state: PoolState, pool: WorkerPool) -> int:
        """How long a worker may hold a step. The broker's own limit, half an hour, would cut longer steps off.

        Jobs may run revisions with longer steps than the Workflows have now, and a process that has just begun has not
        read these yet. What the pods have of grace says how long steps were, so for a while that counts as well.
        """
        now = self._monotonic()
        if state.inherited is None and state.live.known:
            state.inherited = (now, grace.live(state.live.raw))
        longest = self._longest_step(pool.namespace, pool.name, self._settings.unlimited_step_seconds)
        if state.inherited is not None and now - state.inherited[0] < self._settings.resync_seconds:
            longest = max(longest, state.inherited[1])
        return max(longest + self._settings.hold_margin_seconds, self._settings.least_hold_seconds)

    async def _url(self, state: PoolState, pool: WorkerPool) -> None:
        wanted = (self._epoch, pool.uid)
        if state.url_for != wanted:
            state.url = await self._broker.worker_url(pool.namespace, pool.name)
            state.url_for = wanted

    def _manifest(self, state: PoolState, pool: WorkerPool) -> RawObject:
        longest = self._longest_step(pool.namespace, pool.name, self._settings.unlimited_grace_seconds)
        seconds = grace.settle(state, pool, longest)
        made_for = (pool.uid, pool.generation, state.url, seconds)
        if state.manifest is None or state.manifest_for != made_for:
            state.manifest = manifests.deployment(pool, state.url, seconds)
            state.manifest_for = made_for
        return state.manifest

    async def _secret(self, state: PoolState, pool: WorkerPool) -> None:
        # Secrets can't be read (the operator has no right to), so it is applied once in the life of a process.
        manifest = manifests.secret(pool, state.url)
        digest = manifests.digest(manifest)
        if state.secret_applied != digest:
            await self._cluster.apply(manifest)
            state.secret_applied = digest

    async def _deployment(self, state: PoolState, pool: WorkerPool, manifest: RawObject) -> None:
        if not state.live.known or (state.live.raw is not None and state.live.drift(manifest) is None):
            return
        # Decide by what is there now: an event may be on its way, and an apply carries the live number of replicas.
        state.live.doubt()
        await self.look(state)
        why = self._why_apply(state, pool, manifest)
        if why is None:
            return
        replicas = state.live.replicas if state.live.raw is not None else self._initial(state, pool)
        logger.info("pool %s/%s: applying its Deployment (%s)", pool.namespace, pool.name, why)
        answer = await self._cluster.apply(manifests.with_replicas(manifest, replicas))
        state.live.applied(manifest, answer)
        state.applied_at = self._monotonic()

    def _why_apply(self, state: PoolState, pool: WorkerPool, manifest: RawObject) -> str | None:
        """What an apply would change, in a word for the log; None when nothing."""
        live = state.live
        if live.raw is None:
            return "it does not exist"
        if live.terminating:
            raise NotYetError(Problem(Reason.NOT_READY, "the Deployment is being deleted; it is made again after that"))
        if not manifests.belongs(live.raw, pool):
            name = manifests.child_name(pool.name)
            message = f"there is another Deployment {name}; delete or rename it, or give this pool another name"
            raise NotYetError(Problem(Reason.APPLY_FAILED, message))
        path = live.drift(manifest)
        if path is None:
            return None
        if live.already_applied(manifest) and self._just_applied(state):
            message = f"somebody else keeps changing the Deployment ({path})"
            raise NotYetError(Problem(Reason.APPLY_FAILED, message))
        return f"{path} differs"

    def _just_applied(self, state: PoolState) -> bool:
        if state.applied_at is None:
            return False
        return self._monotonic() - state.applied_at < self._settings.drift_interval_seconds
