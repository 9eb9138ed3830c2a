"""Reads how many messages a pool's queue holds. What can't be known has a reason, which is counted and logged.

Two sources, because neither has all of it: AMQP tells at once and exactly what is ready and who consumes, but not
what workers hold; the HTTP API tells that too, as it was some seconds ago (see `management`). The larger of both
numbers of ready messages counts, so that a queue is rather taken for busy than for empty.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from mastercontrol.broker import metrics
from mastercontrol.broker.declaring import QueueState, inspect
from mastercontrol.broker.management import Management, ManagementError, Totals
from mastercontrol.broker.pools import Pool
from mastercontrol.broker.session import ChannelClosed, Session
from mastercontrol.broker.settings import BrokerSettings
from mastercontrol.engine.ports import Depth, DepthUnknown
from mastercontrol_worker.contract import pool_queue

log = logging.getLogger(__name__)

POOL_QUEUES: Final = "mcp.pool."
LOG_SECONDS: Final = 60.0
"""Between two log lines of the same reason."""


class Depths:
    """Readings over the session that `current` gives (None: not connected)."""

    def __init__(self, management: Management, settings: BrokerSettings, current: Callable[[], Session | None]) -> None:
        self._management = management
        self._settings = settings
        self._current = current
        self._logged: dict[str, float] = {}

    async def one(self, pool: Pool) -> Depth:
        """The depth of one pool's queue.

        :raises DepthUnknown: it can't be known now.
        """
        queue = pool_queue(*pool)
        try:
            session = self._session()
            totals = await self._totals(queue)
            states = await self._inspect(session, (queue,))
            return _combine(queue, totals, states.get(queue))
        except DepthUnknown as error:
            self._failed(error)
            raise

    async def all(self, pools: tuple[Pool, ...]) -> dict[Pool, Depth] | None:
        """The depths of many pools in one go. Pools whose depth is not known are left out; None: none is known."""
        try:
            session = self._session()
            totals = await self._all_totals()
            states = await self._inspect(session, tuple(pool_queue(*pool) for pool in pools))
        except DepthUnknown as error:
            self._failed(error)
            return None
        found: dict[Pool, Depth] = {}
        for pool in pools:
            queue = pool_queue(*pool)
            try:
                found[pool] = _combine(queue, totals.get(queue), states.get(queue))
            except DepthUnknown as error:
                self._failed(error)
        return found

    def _session(self) -> Session:
        session = self._current()
        if session is None:
            raise DepthUnknown("disconnected", "not connected")
        return session

    async def _totals(self, queue: str) -> Totals:
        try:
            return await self._management.totals(queue)
        except ManagementError as error:
            raise DepthUnknown(error.reason, str(error)) from error

    async def _all_totals(self) -> dict[str, Totals]:
        try:
            return await self._management.all_totals(POOL_QUEUES, self._settings.management_page_size)
        except ManagementError as error:
            raise DepthUnknown(error.reason, str(error)) from error

    async def _inspect(self, session: Session, queues: tuple[str, ...]) -> dict[str, QueueState]:
        try:
            async with asyncio.timeout(self._settings.management_timeout_seconds):
                return await inspect(session, queues)
        except TimeoutError:
            raise DepthUnknown("timeout", "AMQP gave no answer in time") from None
        except ChannelClosed as error:
            raise DepthUnknown("disconnected", str(error)) from error

    def _failed(self, error: DepthUnknown) -> None:
        metrics.DEPTH_FAILURES.labels(error.reason).inc()
        now = time.monotonic()
        last = self._logged.get(error.reason)
        if last is None or now - last >= LOG_SECONDS:
            self._logged[error.reason] = now
            log.warning("the depth of a queue is not known (%s): %s", error.reason, error)


def _combine(queue: str, totals: Totals | None, state: QueueState | None) -> Depth:
    if totals is None and state is None:
        raise DepthUnknown("missing", f"queue {queue} is not there")
    if totals is None or state is None:
        source = "AMQP" if state is None else "the HTTP API"
        raise DepthUnknown("partial", f"{source} knows no numbers of queue {queue}, and the other one does")
    return Depth(max(totals.ready, state.ready), totals.unacknowledged, state.consumers)
