"""Hears heartbeats and presences of workers: on a queue of this connection alone, which is gone with it.

So nothing piles up while no operator is there, what comes is always new, and a process that lost the Lease and does not
know it yet takes nothing away from its successor. Nothing is acknowledged: a heartbeat that is lost is followed by
another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
from collections.abc import Callable
from typing import Any

from pika.channel import Channel as PikaChannel
from pika.exceptions import AMQPError
from pika.spec import Basic, BasicProperties

from mastercontrol.broker.session import Channel, ChannelClosed, Session
from mastercontrol.broker.topology import HEARTBEATS_KEPT, heartbeats_queue
from mastercontrol.engine.ports import OnHeartbeat
from mastercontrol_worker.contract import HEARTBEATS_ROUTING_KEY, RESULTS_EXCHANGE
from mastercontrol_worker.presence import PRESENCE_ROUTING_KEY

log = logging.getLogger(__name__)

OnPresence = Callable[[str | None, str | None, bytes], None]
"""Called on the event loop for each presence, with the worker's user, its address, and the body. Must not block.

The user is what the broker has compared with the connection's own: nobody can be somebody else.
"""


class HeartbeatConsumer:
    """Consumes on one session, on a channel of its own."""

    def __init__(self, session: Session, channel: Channel, on_heartbeat: OnHeartbeat, on_presence: OnPresence) -> None:
        self._session = session
        self._channel = channel
        self._on_heartbeat, self._on_presence = on_heartbeat, on_presence
        self._queue = heartbeats_queue(secrets.token_hex(6))
        self._numbers = itertools.count(1)
        self._echoes: dict[str, asyncio.Future[None]] = {}
        self.ended: asyncio.Future[ChannelClosed] = asyncio.get_running_loop().create_future()
        """Done with the reason once nothing more will be heard."""

    @classmethod
    async def start(cls, session: Session, on_heartbeat: OnHeartbeat, on_presence: OnPresence) -> HeartbeatConsumer:
        """Begin to listen.

        :raises ChannelClosed: the connection is lost, or the operator's user may not declare the queue.
        """
        channel = await session.channel()
        consumer = cls(session, channel, on_heartbeat, on_presence)
        raw, queue = channel.raw, consumer._queue
        arguments = {"x-queue-type": "classic", "x-max-length": HEARTBEATS_KEPT, "x-overflow": "drop-head"}
        await channel.call(raw.queue_declare, queue=queue, exclusive=True, arguments=arguments)
        # The last key is for the echo alone.
        for key in (HEARTBEATS_ROUTING_KEY, PRESENCE_ROUTING_KEY, queue):
            await channel.call(raw.queue_bind, queue=queue, exchange=RESULTS_EXCHANGE, routing_key=key)
        raw.add_on_cancel_callback(lambda _: consumer._end(ChannelClosed("the queue of heartbeats is gone")))
        channel.ended.add_done_callback(lambda ended: consumer._end(ended.result()))
        await channel.call(raw.basic_consume, queue=queue, on_message_callback=consumer._on_message, auto_ack=True)
        return consumer

    async def heard_all(self, limit_seconds: float) -> bool:
        """Whether all that came to the broker before this call has been handed on, and soon: an echo tells.

        False: it takes longer than that, as when the broker has an alarm and takes no publishes, heartbeats included.
        """
        if not self._session.unblocked.is_set() or self.ended.done():
            return False
        number = f"echo-{next(self._numbers)}"
        echo = self._echoes[number] = asyncio.get_running_loop().create_future()
        make: Any = BasicProperties  # pika gives its arguments no types
        try:
            with contextlib.suppress(AMQPError):
                properties = make(message_id=number)
                self._channel.raw.basic_publish(RESULTS_EXCHANGE, self._queue, b"", properties)
                await asyncio.wait((echo, self.ended), timeout=limit_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._echoes[number]
        return echo.done()

    def _on_message(self, _: PikaChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        if method.routing_key == self._queue:
            echo = self._echoes.get(properties.message_id or "")
            if echo is not None and not echo.done():
                echo.set_result(None)
            return
        try:
            if method.routing_key == PRESENCE_ROUTING_KEY:
                self._on_presence(properties.user_id, properties.reply_to, body)
            else:
                self._on_heartbeat(properties.message_id, body)
        except Exception:
            # Raised into pika it would cut the connection.
            log.exception("what a worker says (%s) could not be taken in", properties.message_id or properties.app_id)

    def _end(self, reason: ChannelClosed) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)
