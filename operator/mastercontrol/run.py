"""`mastercontrol run`: the operator's process. Stands by until it holds the Lease, leads, and ends when told to.

A process that loses the Lease ends at once with status 1: what it was about to write is refused by the fence, and a
new process stands by with nothing in memory that could be stale. A leader that cannot reach the broker for long may be
the only one that cannot: where there are other replicas it gives the Lease back and begins anew behind them.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from mastercontrol import metrics
from mastercontrol.engine.ports import StoreError
from mastercontrol.health import HealthServer
from mastercontrol.kube.client import KubeClient, Limits
from mastercontrol.kube.lease import Elector, new_identity
from mastercontrol.leader import Leader
from mastercontrol.settings import Settings

log = logging.getLogger(__name__)


MakeLeader = Callable[[Settings, KubeClient, Callable[[], bool]], Leader]


class Process:
    """One process of the operator.

    :param make_leader: makes what leads, with the settings, the client, and a function that tells whether this process
        has the Lease.
    """

    def __init__(self, settings: Settings, make_leader: MakeLeader = Leader) -> None:
        self.settings = settings
        self.make_leader = make_leader
        self.stop = asyncio.Event()
        self.leader: Leader | None = None
        self.again = False
        """Whether the process is to begin anew, once `run` has returned."""

    async def run(self) -> int:
        """Run to the end; the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        health = HealthServer(self.settings.http_port, self.why_not_ready)
        try:
            await health.start()
            async with await KubeClient.connect(limits=Limits(connections=self.settings.api_connections)) as client:
                status = await self._stand_by(client)
                if self.again:
                    # Another one has as long to take the Lease as if we had died.
                    await _first(asyncio.sleep(self.settings.lease_seconds), self.stop.wait())
                    self.again = not self.stop.is_set()
                return status
        except (StoreError, OSError) as error:
            # Of the start; what comes later is tried again where it happens. No fault of ours, so no trace.
            log.critical("the operator ends: %s", error)
            return 1
        finally:
            await health.close()

    def why_not_ready(self) -> str | None:
        """What keeps this process from being ready, in words."""
        if self.leader is not None and not self.leader.is_working:
            return "leading, but not connected to RabbitMQ"
        return None

    async def _stand_by(self, client: KubeClient) -> int:
        s = self.settings
        elector = Elector(
            client,
            s.pod_name or new_identity(),
            s.pod_namespace,
            s.lease_name,
            s.lease_seconds,
            s.renew_deadline_seconds,
            s.retry_seconds,
        )
        log.info("standing by as %s", elector.identity)
        try:
            await _first(elector.acquire(), self.stop.wait())
            return await self._lead(client, elector) if elector.is_leader else 0
        finally:
            metrics.LEADER.set(0)
            await elector.release()

    async def _lead(self, client: KubeClient, elector: Elector) -> int:
        metrics.LEADER.set(1)
        self.leader = self.make_leader(self.settings, client, lambda: elector.is_leader)
        try:
            await _first(self.leader.run(self.stop), elector.lost(), self._without_broker(self.leader))
        finally:
            self.leader = None
        self.again = elector.is_leader and not self.stop.is_set()
        return 0 if self.stop.is_set() else 1

    async def _without_broker(self, leader: Leader) -> None:
        """Return once this leader has been without a broker for too long, if there is another one to try."""
        if self.settings.replicas == 1:
            await self.stop.wait()
            return
        clock = asyncio.get_running_loop().time
        last, patience = clock(), self.settings.broker_patience_seconds
        while clock() - last < patience:
            await asyncio.sleep(min(1.0, patience / 4))
            if leader.is_working:
                last = clock()
        log.warning("no connection to the broker for %g s: another replica shall try", patience)


async def _first(*awaitables: Coroutine[Any, Any, Any]) -> None:
    """Wait for the first to end, cancel the others, and raise what any of them raised."""
    tasks = [asyncio.create_task(a) for a in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
