"""Sends something to single workers, at the addresses that they gave: RabbitMQ's direct reply-to.

The addresses are of channels, not of queues: who is not there any more gets nothing, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pika.spec import BasicProperties

from mastercontrol.broker.session import Session
from mastercontrol_worker.contract import CONTENT_TYPE
from mastercontrol_worker.presence import COMMAND_TYPE

DEFAULT_EXCHANGE: Final = ""


async def tell(session: Session, letters: Sequence[tuple[str, bytes]]) -> None:
    """Send bodies to addresses; returns when the broker has taken them.

    On a channel of its own: a user who may not write to the default exchange (403) loses that channel and no other.

    :raises ChannelClosed: refused, or the connection is lost.
    """
    make: Any = BasicProperties  # pika gives its arguments no types
    async with session.scratch() as channel:
        for address, body in letters:
            properties = make(type=COMMAND_TYPE, content_type=CONTENT_TYPE, delivery_mode=1)
            channel.require_open()
            channel.raw.basic_publish(DEFAULT_EXCHANGE, address, body, properties)
        # Anything that is answered comes after what was sent before it.
        await channel.call(channel.raw.basic_qos, prefetch_count=1)
