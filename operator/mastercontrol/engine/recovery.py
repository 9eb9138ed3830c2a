"""What no event tells of: Jobs that vanished while the watch was away, and dispatches that their queue lost.

Both are looked for rarely. What is found goes into the mailboxes like everything else; nothing is mended here.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Callable

from mastercontrol import metrics
from mastercontrol.api.names import Phase
from mastercontrol.engine.definitions import Definitions
from mastercontrol.engine.engine import Engine
from mastercontrol.engine.inbox import JobKey
from mastercontrol.engine.mailbox import Cell
from mastercontrol.engine.ports import DepthUnknown, RawObject, StoreError
from mastercontrol_worker.contract import dispatch_id

log = logging.getLogger(__name__)

ListJobs = Callable[[], Awaitable[list[RawObject]]]


class Sweeper:
    """Compares what is in memory with what is stored, every `seconds`."""

    def __init__(
        self,
        engine: Engine,
        definitions: Definitions,
        list_jobs: ListJobs,
        *,
        seconds: float,
        watched: frozenset[str] | None,
    ) -> None:
        self.engine = engine
        self.definitions = definitions
        self.list_jobs = list_jobs
        self.seconds = seconds
        self.watched = watched
        self._suspected: set[str] = set()

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            await asyncio.sleep(self.seconds)
            try:
                await self.sweep()
            except StoreError as error:
                log.warning("the sweep could not read: %s; again in %s s", error, self.seconds)

    async def sweep(self) -> None:
        """One pass.

        :raises StoreError: a listing failed.
        """
        await self._sweep_jobs()
        await self._sweep_queues()

    async def _sweep_jobs(self) -> None:
        # Their uids are those of before the listing: a name may be taken again while it is under way.
        before = {cell.key: cell.job.uid for cell in self.engine.mailboxes if cell.job is not None}
        stored = await self.list_jobs()
        listed = set[JobKey]()
        for raw in stored:
            listed.add((raw["metadata"]["namespace"], raw["metadata"]["name"]))
            self.engine.observe(raw)
        for key, uid in before.items():
            if key not in listed:
                self.engine.gone({"metadata": {"namespace": key[0], "name": key[1], "uid": uid}})
        in_use = [
            (raw["metadata"]["namespace"], raw["status"]["revision"])
            for raw in stored
            if raw.get("status", {}).get("revision") and _may_run(raw["status"])
        ]
        in_use += [
            (cell.key[0], cell.job.status.revision)
            for cell in self.engine.mailboxes
            if cell.job is not None and cell.job.status is not None and cell.job.status.revision is not None
        ]
        deleted = await self.definitions.collect(self.watched, in_use)
        if deleted:
            log.info("deleted %d revisions that no job needs", deleted)

    async def _sweep_queues(self) -> None:
        """Send again what was sent long ago while its queue is empty, twice in a row: nobody has it."""
        suspects = dict[str, JobKey]()
        empty = dict[JobKey, bool]()
        for cell in self.engine.mailboxes:
            for id_, pool in self._long_sent(cell):
                place = (cell.key[0], pool)
                if place not in empty:
                    empty[place] = await self._is_empty(*place)
                if empty[place]:
                    suspects[id_] = cell.key
        for id_ in self._suspected & suspects.keys():
            log.warning("dispatch %s is in no queue: sending it again", id_)
            metrics.SWEPT.inc()
            self.engine.resend(suspects.pop(id_), id_)
        self._suspected = set(suspects)

    async def _is_empty(self, namespace: str, pool: str) -> bool:
        """Whether it is known that there is nothing in the queue."""
        try:
            return (await self.engine.outside.broker.depth(namespace, pool)).backlog == 0
        except DepthUnknown as error:
            log.info("the queue of pool %s/%s can't be called empty: %s", namespace, pool, error)
            return False

    def _long_sent(self, cell: Cell) -> list[tuple[str, str]]:
        job = cell.job
        if job is None or job.status is None or not cell.pools:
            return []
        limit = self.engine.outside.clock() - dt.timedelta(seconds=self.seconds)
        sent = [
            a
            for a in job.status.active
            if a.dispatched_at is not None and dispatch_id(job.uid, a.seq, a.attempt) not in cell.children
        ]
        return [
            (dispatch_id(job.uid, a.seq, a.attempt), pool)
            for a, pool in zip(sent, cell.pools, strict=False)
            if a.dispatched_at is not None and a.dispatched_at < limit
        ]


def _may_run(status: RawObject) -> bool:
    """Whether a Job may still need its revision: it has not ended, or it failed and may be retried."""
    return "completionTime" not in status or status.get("phase") == Phase.FAILED
