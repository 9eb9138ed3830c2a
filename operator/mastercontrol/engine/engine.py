"""The engine: one mailbox a Job, one turn at a time a Job, many Jobs at once.

`handlers` tells it what the watches saw, the broker adapter what came on the results queue. Everything that can move
a Job ends in `_want`, which starts a turn unless one is under way (then another one follows it). A turn that does not
get through is tried again with back-off, its results still unacknowledged.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from mastercontrol import metrics
from mastercontrol.api.job import Job, parse_job
from mastercontrol.api.names import API_VERSION, KIND_JOB, Reason, ResultReason
from mastercontrol.api.values import InvalidObject
from mastercontrol.engine.family import Family
from mastercontrol.engine.gate import Gate
from mastercontrol.engine.heartbeats import Hearing
from mastercontrol.engine.inbox import Addressed, JobKey, Malformed, read_delivery
from mastercontrol.engine.mailbox import Cell, Letter, Mailboxes
from mastercontrol.engine.ports import BrokerError, Delivery, Forbidden, RawObject, Rejected, StoreError
from mastercontrol.engine.turn import Contended, Outcome, Outside, job_reference, take_turn
from mastercontrol.engine.workers import says_no_worker

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS: Final = 0.1
LAST_RETRY_SECONDS: Final = 10.0
MOST_TRIES: Final = 20
"""Turns in a row with the same results that fail through no outage, before these are set aside: three minutes."""
CLOSE_SECONDS: Final = 5.0
"""So long turns under way have to end when the engine is closed."""
REDELIVERY_SECONDS: Final = 15.0
"""After each connection no step is late for so long: answers that came while nobody listened come first."""


class Engine:
    """Runs the Jobs of the watched namespaces. All methods are called on its event loop."""

    def __init__(
        self,
        outside: Outside,
        *,
        concurrent_turns: int,
        watched: frozenset[str] | None = None,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make an engine.

        :param concurrent_turns: turns in flight at once, each at most one write and its publishes.
        :param watched: the namespaces whose Jobs are this engine's; None for all.
        :param leads: whether this process may act as the leader right now, by its own clock.
        """
        self.outside = outside
        self.mailboxes = Mailboxes()
        self._slots = asyncio.Semaphore(concurrent_turns)
        self._watched = watched
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._late_from: dt.datetime | None = None
        self.gate = Gate(self._wake, self._list_for_gate, self.mailboxes.jobs_of, leads)
        self._listings: dict[str, Listing] = {}
        self._family = Family(self.mailboxes, outside.jobs, self.observe, self._want)
        self._hearing = Hearing(watched)

    # -- what can move a Job

    def observe(self, raw: RawObject) -> None:
        """A watch or a listing showed a Job."""
        meta = raw.get("metadata", {})
        cell = self.mailboxes.find((meta.get("namespace", "default"), meta.get("name")))
        if cell is not None and cell.knows(str(meta.get("uid", "")), int(meta.get("resourceVersion") or 0)):
            return  # mostly the echo of our own write
        try:
            job = parse_job(raw)
        except InvalidObject as error:
            self._complain(raw, error)
            return
        if cell is None and (_at_rest(job) or self.mailboxes.is_old(job)):
            if _at_rest(job):
                self._family.ended(job)
            return
        cell = cell or self.mailboxes.cell((job.namespace, job.name))
        if cell.learn(job):
            self.gate.observe(job)
            self.mailboxes.index(job)
            self._want(cell)

    def gone(self, raw: RawObject) -> None:
        """A watch or a listing showed that a Job was deleted."""
        meta = raw["metadata"]
        key = (meta.get("namespace", "default"), meta["name"])
        if (listing := self._listings.get(key[0])) is not None:
            listing.gone.add(meta.get("uid"))
        cell = self.mailboxes.find(key)
        self._family.gone(raw, cell)
        if cell is None or cell.job is None or cell.job.uid != meta.get("uid"):
            return
        if cell.running or cell.letters:
            cell.must_read = True  # the name may have been taken again: the read tells
            self._want(cell)
        else:
            self.mailboxes.drop(cell)
            self.gate.forget(cell.key)

    def deliver(self, delivery: Delivery) -> None:
        """The broker handed out a message of the results queue."""
        match read_delivery(delivery, self.mailboxes.key_of):
            case Malformed(why):
                metrics.RESULTS.labels(ResultReason.MALFORMED.value).inc()
                log.warning("refused a result: %s", why, extra={"message_id": delivery.message_id})
                delivery.reject()
            case Addressed(key, result):
                if self._watched is not None and key[0] not in self._watched:
                    metrics.RESULTS.labels(ResultReason.FOREIGN.value).inc()
                    log.warning("refused a result for namespace %r, which is not watched", key[0])
                    delivery.reject()
                    return
                cell = self.mailboxes.cell(key)
                cell.letters.append(Letter(result, delivery))
                if cell.job is not None and cell.job.uid != result.uid:
                    cell.must_read = True
                self._want(cell)

    def hear(self, message_id: str | None, body: bytes) -> None:
        """The broker handed out a heartbeat."""
        now = self.outside.clock()
        taken = self._hearing.take(message_id, body, self.mailboxes, now)
        if taken is None:
            return
        cell, at_once = taken
        look_at = cell.heartbeats.look_at(now, self.outside.limits.heartbeat_seconds)
        if at_once:
            self._want(cell)
        elif look_at is not None and not cell.running:  # a turn under way looks when it ends
            self._wake_by(cell, (look_at - now).total_seconds())

    def connected(self, epoch: str) -> None:
        """The broker is there (again): every Job may have something to send."""
        log.info("broker epoch %s: looking at all jobs", epoch)
        self._late_from = self.outside.clock() + dt.timedelta(seconds=REDELIVERY_SECONDS)
        self._hearing.connected(epoch, self._late_from, self.mailboxes)
        for cell in self.mailboxes:
            self._want(cell)

    def look_at_namespace(self, namespace: str) -> None:
        """A Workflow or a WorkerPool came: Jobs may have waited for it."""
        for cell in self.mailboxes:
            if cell.key[0] == namespace:
                self._want(cell)

    def look_at_pool(self, namespace: str, pool: str, *, ready: bool) -> None:
        """The first worker of a pool became ready, or the last one went: jobs that have a step there say so.

        Where one became ready these are only the jobs which say that none is.
        """
        for cell in self.mailboxes:
            here = cell.key[0] == namespace and pool in cell.pools
            if here and (not ready or (cell.job is not None and says_no_worker(cell.job.status))):
                self._want(cell)

    def resend(self, key: JobKey, dispatch_id: str) -> None:
        """Send a dispatch again, under its id."""
        cell = self.mailboxes.find(key)
        if cell is not None:
            cell.resend.add(dispatch_id)
            self._want(cell)

    def outstanding(self, namespace: str, pool: str) -> int:
        """Steps of a pool that are sent and not answered, as far as this process knows: exact once it has listed."""
        return self.mailboxes.outstanding(namespace, pool)

    async def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Take no more turns; let those under way end, for so long."""
        self._closed = True
        for cell in self.mailboxes:
            cell.cancel_timer()
        listings = [listing.task for listing in self._listings.values() if listing.task is not None]
        for listing in listings:
            listing.cancel()
        await asyncio.gather(*listings, return_exceptions=True)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # -- turns

    def _want(self, cell: Cell) -> None:
        cell.wanted = True
        if not cell.running and not self._closed:
            cell.running = True
            task = asyncio.get_running_loop().create_task(self._turns(cell))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _turns(self, cell: Cell) -> None:
        try:
            while cell.wanted and not self._closed:
                cell.wanted = False
                async with self._slots:
                    await self._turn(cell)
        finally:
            cell.running = False

    async def _turn(self, cell: Cell) -> None:
        cell.cancel_timer()
        letters = cell.drain()
        self._hearing.found(cell)
        try:
            outcome = await take_turn(
                cell, letters, self.outside, self.gate, self._late_from, self._family, self._hearing.attention
            )
        except (StoreError, BrokerError, Contended) as error:
            if isinstance(error, Rejected) and cell.job is not None and cell.failures == 0:
                self.outside.reporter.warn(job_reference(cell.job), Reason.WRITE_REJECTED.value, str(error))
            if isinstance(error, Rejected) and not isinstance(error, Forbidden):
                letters = self._set_aside(cell, letters, str(error))
            self.gate.failed(cell.key, unwritten=isinstance(error, Rejected))
            self._try_later(cell, letters, type(error).__name__, error)
        except Exception as error:
            # A fault of ours must not take the other Jobs with it, nor be silent.
            log.exception("a turn of job %s/%s failed", *cell.key)
            self.gate.failed(cell.key, unwritten=False)
            self._try_later(cell, self._set_aside(cell, letters, str(error)), "fault", error)
        else:
            cell.failures = 0
            self._conclude(cell, outcome)

    def _set_aside(self, cell: Cell, letters: list[Letter], why: str) -> list[Letter]:
        """Give up results that no turn gets through with; those that stay.

        Unacknowledged they would take the places of others' results for ever. They are kept in the dead letters, and
        the sweep sends their steps again, in case whatever stands in the way is mended.
        """
        if cell.failures + 1 < MOST_TRIES or not letters:
            return letters
        for letter in letters:
            letter.delivery.reject()
            metrics.RESULTS.labels(ResultReason.SET_ASIDE.value).inc()
        log.error("job %s/%s: %d results set aside: %s", *cell.key, len(letters), why)
        if cell.job is not None:
            text = f"after {MOST_TRIES} tries {len(letters)} results lie in mcp.dead.results: {why}"
            self.outside.reporter.warn(job_reference(cell.job), Reason.RESULTS_SET_ASIDE.value, text)
        return []

    def _try_later(self, cell: Cell, letters: list[Letter], reason: str, error: Exception) -> None:
        metrics.TURN_FAILURES.labels(reason).inc()
        cell.put_back(letters)
        cell.failures += 1
        seconds = _retry_seconds(cell.failures, self.outside.random())
        log.warning("job %s/%s: %s: %s; again in %.1f s", *cell.key, reason, error, seconds)
        self._wake_in(cell, seconds)

    def _conclude(self, cell: Cell, outcome: Outcome) -> None:
        job = outcome.job
        if job is None:
            self.gate.forget(cell.key)
        self._family.settle(cell, outcome.children)
        if job is not None and job.status is not None and job.status.ended:
            self._family.ended(job)
        if job is None or (_at_rest(job) and not cell.letters and not cell.wanted):
            if not cell.letters and not cell.wanted:
                self.mailboxes.drop(cell)
            else:  # something came meanwhile: for a Job that has the name now, perhaps
                cell.must_read = cell.wanted = True
            return
        self.mailboxes.index(job)
        for pool in self.mailboxes.set_outstanding(cell, outcome.pools):
            self.outside.pools.poke(cell.key[0], pool)
        now = self.outside.clock()
        cell.heartbeats.keep(job.status)
        look_at = cell.heartbeats.look_at(now, self.outside.limits.heartbeat_seconds)
        wake_at = min((t for t in (outcome.wake_at, look_at) if t is not None), default=None)
        if wake_at is not None:
            self._wake_in(cell, (wake_at - now).total_seconds())

    def _wake_in(self, cell: Cell, seconds: float) -> None:
        cell.cancel_timer()
        if self._closed:
            return
        # A long wait is taken in parts: a clock that is put right in between is then followed.
        delay = min(max(seconds, 0), dt.timedelta(hours=1).total_seconds())
        cell.timer = asyncio.get_running_loop().call_later(delay, self._want, cell)

    def _wake(self, key: JobKey) -> None:
        cell = self.mailboxes.find(key)
        if cell is not None:
            self._want(cell)

    # -- all Jobs of a namespace, for the gate

    def _list_for_gate(self, namespace: str) -> None:
        if not self._closed:
            listing = self._listings[namespace] = Listing()
            listing.task = asyncio.get_running_loop().create_task(self._list(namespace, listing))

    async def _list(self, namespace: str, listing: Listing) -> None:
        """List until it succeeds: until then no Job of the namespace begins under a limit."""
        seconds = FIRST_RETRY_SECONDS
        while True:
            listing.gone.clear()
            try:
                stored = await self.outside.jobs.list_jobs(namespace)
            except StoreError as error:
                log.warning("could not list the jobs of namespace %s: %s; again in %.1f s", namespace, error, seconds)
                self.gate.not_listed(namespace, str(error))
                await asyncio.sleep(seconds)
                seconds = min(LAST_RETRY_SECONDS, 2 * seconds)
                continue
            for raw in stored:
                if raw["metadata"].get("uid") not in listing.gone:  # it went while the answer was under way
                    self.observe(raw)
            del self._listings[namespace]
            self.gate.listed(namespace)
            return

    def _wake_by(self, cell: Cell, seconds: float) -> None:
        """Wake it in so many seconds, if nothing does so before."""
        if cell.timer is None or cell.timer.when() > asyncio.get_running_loop().time() + seconds:
            self._wake_in(cell, seconds)

    def _complain(self, raw: RawObject, error: InvalidObject) -> None:
        log.warning("a Job that its schema should have refused: %s", error)
        reference: dict[str, Any] = {"apiVersion": API_VERSION, "kind": KIND_JOB, "metadata": raw.get("metadata", {})}
        self.outside.reporter.warn(reference, Reason.INVALID_SPEC.value, str(error))


@dataclass(eq=False)
class Listing:
    """A listing under way, and which Jobs the watch saw go meanwhile."""

    gone: set[str | None] = field(default_factory=set)
    task: asyncio.Task[None] | None = None


def _retry_seconds(failures: int, jitter: float) -> float:
    """When to try a turn again that failed so often in a row. `jitter` is from 0 to 1, so that not all come at once."""
    seconds: float = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 10))
    return seconds * (0.5 + jitter / 2)


def _at_rest(job: Job) -> bool:
    """Whether a Job needs no place in memory: it ended and nothing is to be done for it later."""
    ended = job.status is not None and job.status.ended
    return ended and job.spec.ttl_seconds_after_finished is None and not job.asked
