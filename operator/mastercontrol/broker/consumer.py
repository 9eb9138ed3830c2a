"""Takes results from the results queue and hands each to the engine, unacknowledged."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from pika.channel import Channel as PikaChannel
from pika.spec import Basic, BasicProperties

from mastercontrol.broker.session import Channel, ChannelClosed, Session
from mastercontrol.engine.ports import OnDelivery
from mastercontrol_worker.contract import RESULTS_QUEUE

log = logging.getLogger(__name__)


class ResultDelivery:
    """`engine.ports.Delivery` of one message on one channel. Only the first `ack` or `reject` counts."""

    __slots__ = ("_channel", "_settled", "_tag", "body", "epoch", "headers", "message_id")

    def __init__(self, channel: PikaChannel, tag: int, properties: BasicProperties, body: bytes, epoch: str) -> None:
        self.message_id: str | None = properties.message_id
        self.body = body
        self.headers: dict[str, Any] = properties.headers or {}
        self.epoch = epoch
        self._channel = channel
        self._tag = tag
        self._settled = False

    def ack(self) -> None:
        """Done with it."""
        if self._may_settle():
            self._channel.basic_ack(self._tag)

    def reject(self) -> None:
        """Refuse it for good: it goes to the dead letters."""
        if self._may_settle():
            self._channel.basic_reject(self._tag, requeue=False)

    def _may_settle(self) -> bool:
        # A tag belongs to its channel: on a closed one there is nothing to settle, and a second answer for the same
        # tag would make the broker close the channel.
        if self._settled or not self._channel.is_open:
            return False
        self._settled = True
        return True


class ResultConsumer:
    """Consumes on one session, on a channel of its own."""

    def __init__(self, channel: Channel, on_delivery: OnDelivery, epoch: str) -> None:
        self._channel = channel
        self._on_delivery = on_delivery
        self._epoch = epoch
        self._stopped = False
        self.ended: asyncio.Future[ChannelClosed] = asyncio.get_running_loop().create_future()
        """Done with the reason once there will be no more deliveries."""

    @classmethod
    async def start(cls, session: Session, prefetch: int, on_delivery: OnDelivery, epoch: str) -> ResultConsumer:
        """Begin to consume.

        :raises ChannelClosed: the queue is gone, or the connection is lost.
        """
        channel = await session.channel()
        consumer = cls(channel, on_delivery, epoch)
        raw = channel.raw
        await channel.call(raw.basic_qos, prefetch_count=prefetch)
        raw.add_on_cancel_callback(consumer._on_cancel)
        channel.ended.add_done_callback(lambda ended: consumer._end(ended.result()))
        await channel.call(raw.basic_consume, queue=RESULTS_QUEUE, on_message_callback=consumer._on_message)
        return consumer

    def stop(self) -> None:
        """Hand out no more; what still comes stays in the queue."""
        self._stopped = True

    def _on_message(
        self, channel: PikaChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes
    ) -> None:
        if self._stopped:
            return
        delivery = ResultDelivery(channel, method.delivery_tag, properties, body, self._epoch)
        try:
            self._on_delivery(delivery)
        except Exception:
            # Raised into pika it would cut the connection, and again at each redelivery. It stays unacknowledged.
            log.exception("a result (%s) could not be taken in; it stays in the queue", delivery.message_id)

    def _on_cancel(self, _frame: Any) -> None:
        self._end(ChannelClosed("the broker cancelled the consumer: the results queue is gone"))

    def _end(self, reason: ChannelClosed) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)
