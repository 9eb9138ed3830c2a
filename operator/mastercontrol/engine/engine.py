"""The engine: one mailbox a Job, one turn at a time a Job, many Jobs at once.

`handlers` tells it what the watches saw, the broker adapter what came on the results queue. Everything that can move
a Job ends in `_want`, which starts a turn unless one is under way (then another one follows it). A turn that does not
get through is tried again with back-off, its results still unacknowledged.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from typing import Any, Final

from mastercontrol import metrics
from mastercontrol.api.job import Job, parse_job
from mastercontrol.api.names import API_VERSION, KIND_JOB, Reason, ResultReason
from mastercontrol.api.values import InvalidObject
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
REDELIVERY_SECONDS: Final = 15.0
"""After each connection no step is late for so long: answers that came while nobody listened come first."""


class Engine:
    """Runs the Jobs of the watched namespaces. All methods are called on its event loop."""

    def __init__(self, outside: Outside, *, concurrent_turns: int, watched: frozenset[str] | None = None) -> None:
        """Make an engine.

        :param concurrent_turns: turns in flight at once, each at most one write and its publishes.
        :param watched: the namespaces whose Jobs are this engine's; None for all.
        """
        self.outside = outside
        self.mailboxes = Mailboxes()
        self._slots = asyncio.Semaphore(concurrent_turns)
        self._watched = watched
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._late_from: dt.datetime | None = None

    # -- what can move a Job

    def observe(self, raw: RawObject) -> None:
        """A watch or a listing showed a Job."""
        meta = raw.get("metadata", {})
        cell = self.mailboxes.find((meta.get("namespace", "default"), meta.get("name", "")))
        if cell is not None and cell.knows(str(meta.get("uid", "")), int(meta.get("resourceVersion") or 0)):
            return  # mostly the echo of our own write
        try:
            job = parse_job(raw)
        except InvalidObject as error:
            self._complain(raw, error)
            return
        if cell is None and (_at_rest(job) or self.mailboxes.is_old(job)):
            return
        cell = cell or self.mailboxes.cell((job.namespace, job.name))
        if cell.learn(job):
            self.mailboxes.index(job)
            self._want(cell)

    def gone(self, raw: RawObject) -> None:
        """A watch or a listing showed that a Job was deleted."""
        meta = raw["metadata"]
        cell = self.mailboxes.find((meta.get("namespace", "default"), meta["name"]))
        if cell is None or cell.job is None or cell.job.uid != meta.get("uid"):
            return
        if cell.running or cell.letters:
            cell.must_read = True  # the name may have been taken again: the read tells
            self._want(cell)
        else:
            self.mailboxes.drop(cell)

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

    def connected(self, epoch: str) -> None:
        """The broker is there (again): every Job may have something to send."""
        log.info("broker epoch %s: looking at all jobs", epoch)
        self._late_from = self.outside.clock() + dt.timedelta(seconds=REDELIVERY_SECONDS)
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

    async def close(self, seconds: float = 5) -> None:
        """Take no more turns; let those under way end, for so long."""
        self._closed = True
        for cell in self.mailboxes:
            cell.cancel_timer()
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
        try:
            outcome = await take_turn(cell, letters, self.outside, self._late_from)
        except (StoreError, BrokerError, Contended) as error:
            if isinstance(error, Rejected) and cell.job is not None and cell.failures == 0:
                self.outside.reporter.warn(job_reference(cell.job), Reason.WRITE_REJECTED.value, str(error))
            if isinstance(error, Rejected) and not isinstance(error, Forbidden):
                letters = self._set_aside(cell, letters, str(error))
            self._try_later(cell, letters, type(error).__name__, str(error))
        except Exception as error:
            # A fault of ours must not take the other Jobs with it, nor be silent.
            log.exception("a turn of job %s/%s failed", *cell.key)
            self._try_later(cell, self._set_aside(cell, letters, str(error)), "fault", str(error))
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

    def _try_later(self, cell: Cell, letters: list[Letter], reason: str, text: str) -> None:
        metrics.TURN_FAILURES.labels(reason).inc()
        cell.put_back(letters)
        cell.failures += 1
        seconds = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(cell.failures - 1, 10))
        seconds *= 0.5 + self.outside.random() / 2
        log.warning("job %s/%s: %s: %s; again in %.1f s", *cell.key, reason, text, seconds)
        self._wake_in(cell, seconds)

    def _conclude(self, cell: Cell, outcome: Outcome) -> None:
        job = outcome.job
        if job is None or (_at_rest(job) and not cell.letters and not cell.wanted):
            if not cell.letters and not cell.wanted:
                self.mailboxes.drop(cell)
            else:  # something came meanwhile: for a Job that has the name now, perhaps
                cell.must_read = cell.wanted = True
            return
        self.mailboxes.index(job)
        for pool in self.mailboxes.set_outstanding(cell, outcome.pools):
            self.outside.pools.poke(cell.key[0], pool)
        if outcome.wake_at is not None:
            self._wake_in(cell, (outcome.wake_at - self.outside.clock()).total_seconds())

    def _wake_in(self, cell: Cell, seconds: float) -> None:
        cell.cancel_timer()
        if self._closed:
            return
        # A long wait is taken in parts: a clock that is put right in between is then followed.
        delay = min(max(seconds, 0), dt.timedelta(hours=1).total_seconds())
        cell.timer = asyncio.get_running_loop().call_later(delay, self._want, cell)

    def _complain(self, raw: RawObject, error: InvalidObject) -> None:
        log.warning("a Job that its schema should have refused: %s", error)
        reference: dict[str, Any] = {"apiVersion": API_VERSION, "kind": KIND_JOB, "metadata": raw.get("metadata", {})}
        self.outside.reporter.warn(reference, Reason.INVALID_SPEC.value, str(error))


def _at_rest(job: Job) -> bool:
    """Whether a Job needs no place in memory: it ended and nothing is to be done for it later."""
    return job.status is not None and job.status.ended and job.spec.ttl_seconds_after_finished is None
