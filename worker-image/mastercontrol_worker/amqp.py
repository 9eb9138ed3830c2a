"""The transport over RabbitMQ: one connection, one channel, one consumer, made anew whenever one of them is lost.

`cli` makes it for the worker loop. Connecting is tried for ever, with exponential back-off and jitter, whatever the
reason: a broker that is away, refused credentials (they may be about to be created), a queue that is not there (the
operator declares it, also after the broker lost its data), a channel that the broker closed (`consumer_timeout`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mastercontrol_worker.backoff import Backoff
from mastercontrol_worker.link import Link, LinkSettings, Lost
from mastercontrol_worker.transport import NotConfirmed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mastercontrol_worker.transport import Delivery

logger = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 0.5
STEADY_SECONDS = 10.0
"""A connection that lasted this long was a good one: the next back-off begins anew."""


@dataclass(frozen=True, slots=True)
class AmqpSettings:
    """How to reach the queue, and how hard to try."""

    link: LinkSettings
    reconnect_max_seconds: float = 15.0


class AmqpTransport:
    """See `transport.Transport`.

    :param link: makes a connection.
    """

    def __init__(self, settings: AmqpSettings, link: type[Link] = Link) -> None:
        self._settings = settings
        self._make_link = link
        self._backoff = Backoff(FIRST_WAIT_SECONDS, settings.reconnect_max_seconds)
        self._consuming = True
        self._link: Link | None = None
        self._connected = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._on_open: Callable[[], None] | None = None
        self._on_command: Callable[[bytes], None] | None = None

    def attend(self, on_open: Callable[[], None], on_command: Callable[[bytes], None]) -> None:
        """See `attendance.Line`. To be called before `start`."""
        self._on_open, self._on_command = on_open, on_command

    def start(self, on_delivery: Callable[[Delivery], None]) -> None:
        """Connect and consume until `close`."""
        self._keeper = asyncio.get_running_loop().create_task(self._stay_connected(on_delivery))
        self._keeper.add_done_callback(_report_fault)

    async def publish(self, message_id: str, step: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Publish a result when there is a connection, and wait for its confirm.

        :raises NotConfirmed: the connection was lost, the broker refused it, or no queue took it.
        """
        await self._connected.wait()
        if self._link is None:
            raise NotConfirmed("the connection was lost")
        await self._link.publish(message_id, step, body, headers)

    def beat(self, message_id: str, step: str, body: bytes, headers: Mapping[str, str]) -> bool:
        """Send a heartbeat if there is a connection; False: it was not sent."""
        return self._link is not None and self._link.beat(message_id, step, body, headers)

    def announce(self, body: bytes) -> bool:
        """Send a presence if there is a connection; False: it was not sent."""
        return self._link is not None and self._link.announce(body)

    async def stop_consuming(self) -> None:
        """Cancel the consumer, here and on connections to come; results can still be published."""
        self._consuming = False
        if self._link is not None:
            await self._link.stop_consuming()

    async def resume_consuming(self) -> None:
        """Consume again, here and on connections to come."""
        self._consuming = True
        if self._link is not None:
            with contextlib.suppress(Lost):  # the next connection consumes
                await self._link.consume()

    async def close(self) -> None:
        """Close the connection, or stop trying to get one."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper

    async def _stay_connected(self, on_delivery: Callable[[Delivery], None]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            reason = await self._one_connection(on_delivery)
            if loop.time() - began > STEADY_SECONDS:
                self._backoff.reset()
            wait = self._backoff.next()
            logger.warning("no connection to %s, trying again in %.1f s: %s", self._settings.link.where, wait, reason)
            await asyncio.sleep(wait)

    async def _one_connection(self, on_delivery: Callable[[Delivery], None]) -> str:
        """Connect and stay until it is lost; the reason."""
        link = self._make_link(self._settings.link, on_delivery, self._on_command)
        try:
            await link.open(consume=self._consuming)
            logger.info("connected to %s", self._settings.link.where)
            self._link = link
            self._connected.set()
            if self._consuming:  # what was wanted may have changed while it was opening
                await link.consume()
            else:
                await link.stop_consuming()
            if self._on_open is not None:
                self._on_open()
            return await link.lost
        except Lost as lost:
            return str(lost)
        finally:
            self._link = None
            self._connected.clear()
            await link.close()


def _report_fault(task: asyncio.Task[None]) -> None:
    """The keeper never returns; if it raises, that is a fault that must not go unseen."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("the connection is no longer kept", exc_info=error)
