"""One run of the embedded mode: the store, the broker, the engine and the workers, until every job has ended."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from mastercontrol.api.job import Job, parse_job
from mastercontrol.api.names import API_VERSION, KIND_JOB, Phase
from mastercontrol.api.pool import parse_pool
from mastercontrol.clock import utc_now
from mastercontrol.dev.files import Loaded
from mastercontrol.dev.view import Lines, View, view_for
from mastercontrol.dev.workers import NoHandlers, Workers
from mastercontrol.engine.definitions import Definitions
from mastercontrol.engine.engine import Engine
from mastercontrol.engine.facts import Limits
from mastercontrol.engine.ports import Delivery, RawObject
from mastercontrol.engine.turn import Outside
from mastercontrol.memory.broker import MemoryBroker
from mastercontrol.memory.store import MemoryStore

NAMESPACE = "default"


class Pools:
    """The pools of the files: `engine.ports.PoolDirectory`."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def known(self, namespace: str, pool: str) -> bool:
        """See `PoolDirectory.known`."""
        return namespace == NAMESPACE and pool in self.names

    async def find(self, namespace: str, pool: str) -> bool:
        """See `PoolDirectory.find`."""
        return self.known(namespace, pool)

    def poke(self, namespace: str, pool: str) -> None:
        """Workers here do not come and go."""

    def workers(self, namespace: str, pool: str) -> None:
        """See `PoolDirectory.workers`: nobody counts them here."""


class Notes:
    """Warnings that a cluster would show as Events: `engine.ports.Reporter`."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def warn(self, regarding: RawObject, reason: str, note: str) -> None:
        """Print it."""
        name = regarding["metadata"].get("name", "?")
        self._console.print(f"Warning  {name}: {reason}: {note}", markup=False, soft_wrap=True)


class Session:
    """What runs while the jobs do."""

    def __init__(self, loaded: Loaded, view: View, console: Console) -> None:
        self.loaded = loaded
        self.view = view
        self.store = MemoryStore()
        self.broker = MemoryBroker(
            on_delivery=self._deliver,
            on_connected=self._connected,
            on_heartbeat=self._hear,
        )
        self.pools = Pools()
        self._ready = asyncio.Event()
        outside = Outside(
            jobs=self.store,
            broker=self.broker,
            definitions=Definitions(self.store),
            pools=self.pools,
            reporter=Notes(console),
            clock=utc_now,
            random=random.random,
            limits=Limits(),
        )
        self.engine = Engine(outside, concurrent_turns=64)
        self.workers = Workers(self.broker)
        self.jobs: dict[str, Job] = {}

    async def run(self, modules: Sequence[str]) -> None:
        """Run until every job has ended.

        :raises NoHandlers: a pool has nothing that could do its steps here.
        """
        await self.broker.start()
        await self._ready.wait()
        watcher = asyncio.create_task(self._watch())
        try:
            for raw in self.loaded.pools:
                pool = parse_pool(raw)
                await self.broker.declare_pool(NAMESPACE, pool.name, pool.delivery_limit)
                self.pools.names.add(pool.name)
                self.workers.start(pool, self.loaded.folders[pool.name], modules)
            for raw in (*self.loaded.workflows, *self.loaded.jobs):
                await self.store.create(raw)
            await watcher
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            await self.workers.close()
            await self.engine.close()
            await self.broker.close()

    def _deliver(self, delivery: Delivery) -> None:
        self.engine.deliver(delivery)

    def _hear(self, message_id: str | None, body: bytes) -> None:
        self.engine.hear(message_id, body)

    def _connected(self, epoch: str) -> None:
        self._ready.set()
        self.engine.connected(epoch)

    @property
    def succeeded(self) -> bool:
        """Whether every job ended well."""
        found = [self.jobs.get(raw["metadata"]["name"]) for raw in self.loaded.jobs]
        return all(j is not None and j.status is not None and j.status.phase is Phase.SUCCEEDED for j in found)

    async def _watch(self) -> None:
        """Hand the store's changes to the engine and the view, as the watch does in a cluster, until all is done.

        That is until all jobs of the files have ended, and all that these have made.
        """
        async for event in self.store.watch((API_VERSION, KIND_JOB)):
            if event.type == "DELETED":
                self.engine.gone(event.object)
                self.jobs.pop(event.object["metadata"]["name"], None)
            else:
                self.engine.observe(event.object)
                job = parse_job(event.object)
                self.jobs[job.name] = job
                self.view.show(job)
            if self._is_begun and all(j.status and j.status.ended for j in self.jobs.values()):
                return

    @property
    def _is_begun(self) -> bool:
        """Whether every job of the files was seen."""
        return all(raw["metadata"]["name"] in self.jobs for raw in self.loaded.jobs)


async def run(loaded: Loaded, modules: Sequence[str], *, seconds: float | None, plain: bool) -> int:
    """Run what was loaded; 0 when every job ended Succeeded.

    :raises NoHandlers: a pool has nothing that could do its steps here.
    """
    console = Console()
    for line in loaded.ignored:
        console.print(f"note: {line}", markup=False, soft_wrap=True, style="dim")
    view = Lines(console) if plain else view_for(console)
    session = Session(loaded, view, console)
    try:
        with view:
            async with asyncio.timeout(seconds):
                await session.run(modules)
    except TimeoutError:
        print(f"mastercontrol: not all jobs ended within {seconds} s", file=sys.stderr)  # noqa: T201  # where a user looks
    _sum_up(console, loaded, session.jobs)
    return 0 if session.succeeded else 1


def _sum_up(console: Console, loaded: Loaded, jobs: dict[str, Job]) -> None:
    for raw in loaded.jobs:
        job = jobs.get(raw["metadata"]["name"])
        status = job.status if job else None
        phase: Any = status.phase.value if status else "Pending"
        console.print(f"{raw['metadata']['name']}: {phase}", markup=False, highlight=False)
        if status is not None and status.error is not None:
            text = f"  {status.error.state}: {status.error.code}: {status.error.message}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
        elif status is not None and status.output is not None:
            console.print_json(data=status.output)


__all__ = ["NoHandlers", "Session", "run"]
