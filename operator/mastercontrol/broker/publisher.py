"""The channel in confirm mode that all steps are published on. Any number of publishes are in flight at once."""

from __future__ import annotations

import asyncio
from typing import Any

from pika.channel import Channel as PikaChannel
from pika.spec import Basic, BasicProperties

from mastercontrol.broker.confirms import Confirms, Outcome
from mastercontrol.broker.session import Channel, ChannelClosed, Session
from mastercontrol_worker.contract import CONTENT_TYPE, STEPS_EXCHANGE, StepMessage

PERSISTENT = 2

HIGH_PRIORITY = 5
"""The least AMQP priority that a quorum queue takes for high. It knows two: up to 4, as without one, is normal."""


class Publisher:
    """Publishes on one session; useless after it (`ended`)."""

    def __init__(self, session: Session, channel: Channel) -> None:
        self._session = session
        self._channel = channel
        self._confirms = Confirms()

    @classmethod
    async def open(cls, session: Session) -> Publisher:
        """Open the channel and put it into confirm mode.

        :raises ChannelClosed: the connection is lost.
        """
        publisher = cls(session, await session.channel())
        await publisher._confirm_mode()
        return publisher

    @property
    def ended(self) -> asyncio.Future[ChannelClosed]:
        """Done with the reason once the channel is gone."""
        return self._channel.ended

    async def publish(self, routing_key: str, message: StepMessage, *, high: bool) -> Outcome:
        """Publish one step and wait for the broker's word. Cancel it to give up waiting.

        During an alarm nothing is sent, or the broker would take it in, and each repetition of it, when the alarm ends.

        :raises ChannelClosed: the channel is or became closed; the message may be in its queue or not.
        """
        body, properties = message.encode(), _properties(message, high=high)
        if not self._session.unblocked.is_set():
            await self._wait_for_end_of_alarm()
        self._channel.require_open()
        # Noted only once it is sent: the broker counts what reaches it, and its answer comes in a later turn at best.
        self._channel.raw.basic_publish(STEPS_EXCHANGE, routing_key, body, properties, mandatory=True)
        return await self._confirms.add(message.id)

    async def drain(self, limit_seconds: float) -> None:
        """Wait for the broker's word on all that are outstanding, until the channel ends or the limit is over."""
        outstanding = self._confirms.outstanding()
        if outstanding:
            await asyncio.wait(outstanding, timeout=limit_seconds)

    async def _confirm_mode(self) -> None:
        raw = self._channel.raw
        raw.add_on_return_callback(self._on_return)
        await self._channel.call(raw.confirm_delivery, ack_nack_callback=self._on_word)
        self._channel.ended.add_done_callback(lambda ended: self._confirms.fail_all(ended.result()))

    async def _wait_for_end_of_alarm(self) -> None:
        waiting = asyncio.ensure_future(self._session.unblocked.wait())
        try:
            await asyncio.wait((waiting, self._channel.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    def _on_word(self, frame: Any) -> None:
        method: Basic.Ack | Basic.Nack = frame.method
        confirmed = isinstance(method, Basic.Ack)
        self._confirms.settled(method.delivery_tag, multiple=method.multiple, confirmed=confirmed)

    def _on_return(self, _channel: PikaChannel, _method: Basic.Return, properties: BasicProperties, _: bytes) -> None:
        if properties.message_id is not None:
            self._confirms.returned(properties.message_id)


def _properties(message: StepMessage, *, high: bool) -> BasicProperties:
    make: Any = BasicProperties  # pika gives its arguments no types
    properties: BasicProperties = make(
        content_type=CONTENT_TYPE,
        delivery_mode=PERSISTENT,
        headers=dict(message.headers),
        message_id=message.id,
        priority=HIGH_PRIORITY if high else None,
        type=message.step,
    )
    return properties
