"""The pools that the adapter answers for: their queues, the policies with their limits, their workers' users.

Queues are declared over AMQP, policies and users over the HTTP API. What could not be done is kept as due; `upkeep`
does it, again and again, as long as a connection lasts. A new connection makes everything due: the broker may have
lost its data, and with it users and policies.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final

from mastercontrol.broker import metrics
from mastercontrol.broker.declaring import Conflict, declare, delete_queue, inspect, unbind
from mastercontrol.broker.management import Management, ManagementError
from mastercontrol.broker.session import ChannelClosed, Session
from mastercontrol.broker.topology import (
    DEAD_EXCHANGE,
    DEAD_POLICY,
    Binding,
    PoolLimits,
    dead_policy,
    dead_pool_queue,
    for_pool,
    pool_policy,
)
from mastercontrol.broker.workers import BrokerAddress, worker_name, worker_user
from mastercontrol.engine.ports import BrokerUnavailable
from mastercontrol_worker.contract import RESULTS_QUEUE, pool_queue, pool_routing_key

log = logging.getLogger(__name__)

Pool = tuple[str, str]
"""Namespace and name."""

UPKEEP_SECONDS: Final = 5.0
"""Between two attempts at what is due: the HTTP API may come up later than AMQP, workers may still hold a queue."""


class Pools:
    """What is known of the pools, and what is still to be done for them."""

    def __init__(self, address: BrokerAddress, management: Management) -> None:
        self.limits: dict[Pool, PoolLimits] = {}
        self.conflicts: dict[str, str] = {}
        """What exists with other arguments, by name, with the broker's own words."""
        self.reading: set[Pool] = set()
        """Those whose dead letters are being looked at: meanwhile their queue seems to be empty."""
        self._address = address
        self._management = management
        self._workers: set[Pool] = set()
        self._policies_done: dict[Pool, PoolLimits] = {}
        self._dead_policy_done = False
        self._users_done: set[Pool] = set()
        self._leaving: set[Pool] = set()
        self._declaring: dict[Pool, asyncio.Task[tuple[Conflict, ...]]] = {}
        self._due = asyncio.Event()

    def remember(self, pool: Pool, limits: PoolLimits) -> None:
        """From now on this pool is declared at each connection."""
        self.limits[pool] = limits
        self._leaving.discard(pool)

    def forget(self, pool: Pool) -> None:
        """From now on this pool is not declared, and removed once it is empty and unused."""
        self.limits.pop(pool, None)
        self._workers.discard(pool)
        self._policies_done.pop(pool, None)
        self._leaving.add(pool)
        self._due.set()

    def begin(self) -> None:
        """A new connection: nothing is known to be done."""
        self._policies_done.clear()
        self._dead_policy_done = False
        self._users_done.clear()
        self.conflicts.clear()
        self._due.set()

    def note(self, conflicts: tuple[Conflict, ...]) -> None:
        """Keep and log what exists with other arguments. It is used as it is."""
        for conflict in conflicts:
            if self.conflicts.get(conflict.name) != conflict.text:
                log.error("%s exists with other arguments, which stay: %s", conflict.name, conflict.text)
            self.conflicts[conflict.name] = conflict.text
        metrics.CONFLICTS.set(len(self.conflicts))

    async def declare(self, session: Session, pool: Pool) -> tuple[Conflict, ...]:
        """Declare the queues of one pool. Callers at the same time share one declaration.

        :raises ChannelClosed: refused, or the connection is lost.
        """
        task = self._declaring.get(pool)
        if task is None:
            task = asyncio.create_task(declare(session, for_pool(*pool)))
            self._declaring[pool] = task
            task.add_done_callback(lambda done: self._declared(pool, done))
        return await asyncio.shield(task)

    async def ensure_policy(self, pool: Pool, session: Session) -> None:
        """Write the pool's limits, unless this connection has.

        :raises BrokerUnavailable: it could not be done now; it is due.
        """
        limits = self.limits.get(pool)
        if limits is None or self._policies_done.get(pool) == limits:
            return
        policy = pool_policy(*pool, limits, session.version)
        await self._manage("policy", self._management.ensure_policy(pool_queue(*pool), policy))
        self._policies_done[pool] = limits

    async def ensure_dead_policy(self) -> None:
        """Write the policy of all dead letters, unless this connection has.

        :raises BrokerUnavailable: it could not be done now; it is due.
        """
        if not self._dead_policy_done:
            await self._manage("policy", self._management.ensure_policy(DEAD_POLICY, dead_policy()))
            self._dead_policy_done = True

    async def ensure_worker(self, pool: Pool) -> str:
        """Make sure of the workers' user, unless this connection has; its AMQP URL.

        :raises BrokerUnavailable: it could not be done now; it is due.
        """
        self._workers.add(pool)
        user = worker_user(*pool, self._address.password)
        if pool not in self._users_done:
            await self._manage("user", self._management.ensure_user(user))
            self._users_done.add(pool)
        return self._address.url(user.name, user.password)

    async def upkeep(self, session: Session) -> None:
        """Do what is due, at once and every few seconds, until cancelled."""
        while True:
            self._due.clear()
            try:
                await self._write_due(session)
                for pool in tuple(self._leaving):
                    await self._remove(session, pool)
            except Exception:
                log.exception("the upkeep of pools at the broker failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(UPKEEP_SECONDS):
                    await self._due.wait()

    async def _write_due(self, session: Session) -> None:
        """Write policies and users that this connection has not written yet."""
        try:
            await self.ensure_dead_policy()
            for pool in tuple(self.limits):
                await self.ensure_policy(pool, session)
            for pool in tuple(self._workers):
                await self.ensure_worker(pool)
        except BrokerUnavailable as error:  # then no other can be written now either
            log.warning("%s; trying again", error)

    async def _remove(self, session: Session, pool: Pool) -> None:
        """Remove a forgotten pool if its queue is empty and unused, else leave it for the next round.

        RabbitMQ does not check that itself for quorum queues. Nobody but this operator publishes to the queue, and
        it has forgotten the pool.
        """
        queue, dead = pool_queue(*pool), dead_pool_queue(*pool)
        if pool in self.reading:
            return
        try:
            states = await inspect(session, (queue, dead))
            state = states.get(queue)
            if state is not None:
                held = (await self._management.totals(queue)).unacknowledged
                if state.ready or state.consumers or held or pool not in self._leaving:
                    return
                await delete_queue(session, queue)
            if pool in self.reading:
                return
            if dead in states and not states[dead].ready:
                await delete_queue(session, dead)
            await unbind(session, Binding(DEAD_EXCHANGE, RESULTS_QUEUE, pool_routing_key(*pool)))
            await self._management.delete_policy(queue)
            await self._management.delete_user(worker_name(*pool))
        except (ChannelClosed, ManagementError) as error:
            log.warning("the queue of the deleted pool %s/%s is not removed yet: %s", *pool, error)
            return
        self._users_done.discard(pool)
        self._leaving.discard(pool)
        log.info("the queue of the deleted pool %s/%s is removed", *pool)

    async def _manage(self, kind: str, call: Awaitable[None]) -> None:
        try:
            await call
        except ManagementError as error:
            metrics.MANAGEMENT_FAILURES.labels(kind).inc()
            raise BrokerUnavailable(f"the broker's {kind} could not be written: {error}") from error

    def _declared(self, pool: Pool, task: asyncio.Task[tuple[Conflict, ...]]) -> None:
        self._declaring.pop(pool, None)
        if task.cancelled():
            return
        error = task.exception()  # asked for here too: all who waited for it may have given up
        if error is None:
            self.note(task.result())
        else:
            log.warning("the queues of pool %s/%s are not declared: %s", *pool, error)
