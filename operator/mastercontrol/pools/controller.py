"""The controller of WorkerPools: one turn at a time per pool, after each thing that may have changed it.

`handlers.py` calls it, on the event loop: `on_pool` and `on_deployment` from the watches, `on_connected` from the
broker, `run` as long as this process leads. The engine calls `poke` when it publishes a step, and `known`. Whoever
showed it that a pool came or went, all who wait for that are told by `on_known`.
A turn looks, provides (provision.py), scales (scaler.py) and reports (report.py); it says when the next one is due.

It promises that an idle pool costs no write and no read of its queue, that its own writes are not taken for
somebody else's, and that nothing which goes wrong with one pool stops or delays another.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

from mastercontrol.api.names import Reason
from mastercontrol.api.pool import parse_pool
from mastercontrol.api.values import InvalidObject
from mastercontrol.engine.ports import Broker, BrokerError, Gone, RawObject, Readiness, StoreError
from mastercontrol.pools import metrics
from mastercontrol.pools.backoff import Backoff, Problem
from mastercontrol.pools.deployment import APP_NAME, deployment
from mastercontrol.pools.disruption import BudgetKeeper
from mastercontrol.pools.limiter import Limiter
from mastercontrol.pools.ports import PoolCluster, WorkerLine
from mastercontrol.pools.provision import LongestStep, NotYetError, Provisioner
from mastercontrol.pools.reducer import Reducer
from mastercontrol.pools.report import DeadLettersOf, Reporter
from mastercontrol.pools.scaler import Scaler
from mastercontrol.pools.settings import PoolSettings
from mastercontrol.pools.state import Key, PoolState
from mastercontrol.pools.workers import seen
from mastercontrol.workqueue import WorkQueue
from mastercontrol_worker.contract import parse_pool_queue
from mastercontrol_worker.presence import Doing, PresenceMessage

logger = logging.getLogger(__name__)


class OnWorkers(Protocol):
    """Told that some worker of a pool is ready now, or that none is."""

    def __call__(self, namespace: str, pool: str, *, ready: bool) -> None:
        """Must not block."""
        ...


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class PoolController:
    """`outstanding(namespace, pool)` is the number of steps that are dispatched and not answered yet.

    `clock` gives the times in statuses, `monotonic` (seconds) all intervals. `on_workers` is called when the first
    worker of a pool became ready, and when it is known that none is. `on_known(namespace, pool)` is called when what
    `known` says of a pool changed. Both must not block. `dead_letters` says what a pool has of them, if it is known.
    """

    def __init__(
        self,
        cluster: PoolCluster,
        broker: Broker,
        line: WorkerLine,
        outstanding: Callable[[str, str], int],
        settings: PoolSettings | None = None,
        clock: Callable[[], dt.datetime] = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        longest_step: LongestStep = lambda *_: 0,
        on_workers: OnWorkers = lambda *_, **__: None,
        on_known: Callable[[str, str], None] = lambda *_: None,
        dead_letters: DeadLettersOf = lambda *_: None,
    ) -> None:
        self._settings = settings or PoolSettings()
        self._broker = broker
        self._monotonic = monotonic
        self._clock = clock
        self._on_workers = on_workers
        self._on_known = on_known
        self._pools: dict[Key, PoolState] = {}
        limiter = Limiter(self._settings, monotonic, outstanding, self._of_namespace)
        reducer = Reducer(cluster, line, self._settings, monotonic)
        times = clock, monotonic
        self._scaler = Scaler(cluster, broker, self._settings, *times, outstanding, reducer, limiter, self._hurry)
        self._provisioner = Provisioner(cluster, broker, self._settings, monotonic, self._scaler.initial, longest_step)
        self._budgets = BudgetKeeper(cluster)
        self._reporter = Reporter(cluster, self._settings, clock, monotonic, dead_letters)
        self._queue: WorkQueue[Key] = WorkQueue(self._turn, self._settings.concurrent_pools)

    # What others tell.

    def on_pool(self, raw: RawObject, *, deleted: bool = False) -> None:
        """A WorkerPool was added, changed or deleted: the watch showed it, or a read of somebody who asked first."""
        key: Key = (raw["metadata"]["namespace"], raw["metadata"]["name"])
        before = self.known(*key)
        self._see(key, raw, deleted=deleted)
        self._tell(key, before=before)

    def _see(self, key: Key, raw: RawObject, *, deleted: bool) -> None:
        meta = raw["metadata"]
        uid, generation = str(meta.get("uid", "")), int(meta.get("generation", 0))
        state = self._pools.get(key)
        if deleted:
            if state is not None and state.uid == uid:
                self._delete(state)
            return
        if state is None or state.uid != uid or state.gone:
            state = self._pools[key] = PoolState(*key, uid, self._settings)
            state.seen_status = raw.get("status") or {}
            state.start_over()
            state.crew.listen(self._monotonic())
        elif generation < state.generation:
            return
        state.seen_status = raw.get("status") or {}
        if self._take_in(state, raw, generation):
            state.hurry()
            self._queue.add(key)

    def on_deployment(self, raw: RawObject, *, deleted: bool = False) -> None:
        """A Deployment was added, changed or deleted; those that are no pool's are ignored."""
        meta = raw["metadata"]
        state = self._pools.get((meta["namespace"], meta["name"].removeprefix(f"{APP_NAME}-")))
        if state is None or not meta["name"].startswith(f"{APP_NAME}-"):
            return
        if deleted and state.live.lost(raw):
            state.provision.hurry()
            self._queue.add(state.key)
        elif not deleted and state.live.observe(raw):
            self._queue.add(state.key)
            self._count(state)

    def on_workflow(self, namespace: str) -> None:
        """A Workflow was added or changed: the steps of this namespace's pools may take longer now."""
        self._hurry(namespace)

    def report(self, namespace: str, pool: str) -> None:
        """What others know of a pool has changed, which its status is to show."""
        if (namespace, pool) in self._pools:
            self._queue.add((namespace, pool))

    def on_connected(self, epoch: str) -> None:
        """The broker is connected (again). In a new epoch all queues and users are made again."""
        if self._provisioner.new_epoch(epoch):
            logger.info("broker epoch %s: declaring %d pools", epoch, len(self._pools))
        for state in self._pools.values():
            state.depth_at = None
            state.crew.listen(self._monotonic())
            state.hurry()
            self._queue.add(state.key)

    def on_presence(self, message: PresenceMessage, address: str | None) -> None:
        """A worker says what it does; `address` is where it can be told something."""
        key = parse_pool_queue(message.queue)
        state = None if key is None else self._pools.get(key)
        if state is None:
            return
        state.crew.hear(message, address, self._monotonic())
        if state.target is not None and message.doing is not Doing.CONSUMING and not message.held:
            self._queue.add(state.key)

    def poke(self, namespace: str, pool: str) -> None:
        """A step was published for the pool: make sure that somebody does it."""
        state = self._pools.get((namespace, pool))
        if state is None or state.active is None:
            return
        if self._scaler.rises(state, state.active) and state.scaling.remaining(self._monotonic()) == 0:
            self._queue.add(state.key)
        else:
            self._queue.add_after(state.key, self._settings.scale_interval_seconds)

    def uids(self) -> dict[Key, str]:
        """The pools that are known, and which objects they are."""
        return {key: state.uid for key, state in self._pools.items()}

    def retain(self, stored: Iterable[Key], before: Mapping[Key, str]) -> None:
        """Of those that were known `before` a listing, these are stored: the others were deleted unseen.

        One that was made while the listing was under way is in neither, and stays.
        """
        for key in before.keys() - set(stored):
            state = self._pools.get(key)
            if state is not None and state.uid == before[key]:
                known = self.known(*key)
                self._delete(state)
                self._tell(key, before=known)

    def known(self, namespace: str, pool: str) -> bool:
        """Whether there is such a pool: its queue is declared or about to be."""
        state = self._pools.get((namespace, pool))
        return state is not None and state.active is not None

    def workers(self, namespace: str, pool: str) -> Readiness | None:
        """How many workers of a pool are ready; None where that is not known."""
        state = self._pools.get((namespace, pool))
        return None if state is None or state.active is None else state.workers

    async def run(self) -> None:
        """Work until cancelled. Only one process may do so at a time."""
        for state in self._pools.values():
            state.start_over()
            state.crew.listen(self._monotonic())
            self._queue.add(state.key)
        try:
            await self._queue.run()
        finally:
            for key in self._pools:
                metrics.forget(*key)  # the next leader shows them

    # A turn.

    async def _turn(self, key: Key) -> float | None:
        state = self._pools.get(key)
        if state is None:
            return None
        try:
            if state.gone:
                return await self._forget(state)
            if state.deleting:
                return None
            return await self._work(state)
        except Exception:  # one pool's surprise must not end the turns of all others
            logger.exception("pool %s/%s: its turn failed", *key)
            return self._settings.retry_cap_seconds

    async def _work(self, state: PoolState) -> float | None:
        pool = state.active
        self._resync(state)
        delays: list[float | None] = [self._settings.resync_seconds]
        if pool is not None:
            delays.append(await self._try(state, state.reading, lambda: self._provisioner.look(state)))
            delays.append(await self._try(state, state.provision, lambda: self._provisioner.provide(state, pool)))
            scaling = await self._try(state, state.scaling, lambda: self._scaler.scale(state, pool))
            delays.append(self._scaler.reading_due(state, pool) if scaling is None else scaling)
            delays.append(await self._try(state, state.lowering, lambda: self._scaler.lower(state, pool)))
            delays.append(await self._try(state, state.budgeting, lambda: self._budgets.keep(state, pool)))
            self._count(state)
            delays.append(await self._reporter.diagnose(state))
        delays.append(await self._report(state))
        return min(delay for delay in delays if delay is not None)

    def _count(self, state: PoolState) -> None:
        """Take note of how many workers are ready, and tell where that becomes some or none."""
        before, state.workers = state.workers, seen(state, self._clock())
        ready = None if state.workers is None else state.workers.ready > 0
        if ready is not None and (before is None or (before.ready > 0) != ready):
            self._on_workers(state.namespace, state.name, ready=ready)

    def _resync(self, state: PoolState) -> None:
        now = self._monotonic()
        if state.resynced_at is None or now - state.resynced_at >= self._settings.resync_seconds:
            state.resynced_at = now
            state.live.doubt()
            self._budgets.doubt(state, state.active)
            has_no_depth = state.depth_at is not None and state.depth is None and self._broker.epoch is not None
            state.depth_at = None
            if state.conflict is not None or has_no_depth:
                state.declared_for = None  # somebody may have deleted the queue since

    async def _report(self, state: PoolState) -> float | None:
        due: list[float | None] = []

        async def report() -> None:
            due.append(await self._reporter.report(state))

        return await self._try(state, state.reporting, report) or next(iter(due), None)

    async def _try(self, state: PoolState, effort: Backoff, step: Callable[[], Awaitable[None]]) -> float | None:
        """Do a step of a turn unless it is backing off; seconds until it is to be tried again, None when it worked."""
        waiting = effort.remaining(self._monotonic())
        if waiting > 0:
            return waiting
        problem = await _outcome(state, step)
        if problem is None:
            effort.reset()
            return None
        delay = effort.failed(self._monotonic(), problem)
        metrics.FAILURES.labels(problem.reason.value).inc()
        logger.warning("pool %s/%s: %s: %s; again in %.1f s", *state.key, problem.reason.value, problem.message, delay)
        return delay

    async def _forget(self, state: PoolState) -> float | None:
        # Secret and Deployment have the pool as their owner: the cluster removes them.
        try:
            await self._broker.forget_pool(*state.key)
        except BrokerError as error:
            problem = Problem(Reason.BROKER_UNAVAILABLE, str(error))
            logger.warning("pool %s/%s is deleted, its queue not yet: %s", *state.key, error)
            return state.provision.failed(self._monotonic(), problem)
        if self._pools.get(state.key) is state:
            del self._pools[state.key]
            metrics.forget(*state.key)
            self._queue.forget(state.key)
        return None

    # Small things.

    def _of_namespace(self, namespace: str) -> list[PoolState]:
        return [state for state in self._pools.values() if state.namespace == namespace]

    def _hurry(self, namespace: str) -> None:
        for state in self._of_namespace(namespace):
            self._queue.add(state.key)

    def _tell(self, key: Key, *, before: bool) -> None:
        if self.known(*key) != before:
            self._on_known(*key)

    def _delete(self, state: PoolState) -> None:
        state.gone = True
        self._queue.add(state.key)

    def _take_in(self, state: PoolState, raw: Mapping[str, Any], generation: int) -> bool:
        """Take in the newest version of a pool; False when it says nothing new."""
        deleting = raw["metadata"].get("deletionTimestamp") is not None
        if generation == state.generation and state.generation and deleting == state.deleting:
            return False
        state.generation, state.deleting = generation, deleting
        try:
            pool = parse_pool(raw)
            deployment(pool, "")  # reads the template, which parse_pool leaves as it is
            state.pool, state.invalid = pool, None
        except InvalidObject as error:
            # The last valid version goes on, so that a mistake in an edit stops no work.
            state.invalid = Problem(Reason.INVALID_SPEC, str(error))
        return True


async def _outcome(state: PoolState, step: Callable[[], Awaitable[None]]) -> Problem | None:
    try:
        await step()
    except Gone as error:
        state.live.doubt()  # the Deployment went, or its namespace: look before the next try
        return Problem(Reason.APPLY_FAILED, _text(error))
    except NotYetError as error:
        return error.problem
    except (InvalidObject, BrokerError, StoreError) as error:
        return Problem(_REASONS[next(kind for kind in _REASONS if isinstance(error, kind))], _text(error))
    except Exception as error:
        logger.exception("pool %s/%s: a step of its turn failed", *state.key)
        return Problem(Reason.INTERNAL_ERROR, _text(error))
    return None


_REASONS: Mapping[type[Exception], Reason] = {
    InvalidObject: Reason.INVALID_SPEC,
    BrokerError: Reason.BROKER_UNAVAILABLE,
    StoreError: Reason.APPLY_FAILED,
}


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
