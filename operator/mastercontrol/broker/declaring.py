"""Sends declarations to the broker on channels of their own, so that a refused one costs nothing else.

The broker closes a channel on the first error. What exists with other arguments (406) is left as it is and reported;
the rest is declared on a fresh channel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mastercontrol.broker.session import Channel, ChannelClosed, Session
from mastercontrol.broker.topology import Binding, Declaration, Exchange, Queue

NOT_FOUND: Final = 404
PRECONDITION_FAILED: Final = 406


@dataclass(frozen=True, slots=True)
class Conflict:
    """Something that exists with other properties than declared. `text` is what the broker said of it."""

    name: str
    text: str


async def declare(session: Session, items: Iterable[Declaration]) -> tuple[Conflict, ...]:
    """Declare all in order; those that exist otherwise are returned.

    :raises ChannelClosed: the broker refused one for another reason (403, 404), or the connection is lost.
    """
    conflicts: list[Conflict] = []
    left = deque(items)
    while left:
        async with session.scratch() as channel:
            conflict = await _declare_to_conflict(channel, left)
        if conflict is not None:
            conflicts.append(conflict)
    return tuple(conflicts)


async def _declare_to_conflict(channel: Channel, left: deque[Declaration]) -> Conflict | None:
    """Declare and take out until all are done or one exists otherwise; the channel is closed then."""
    while left:
        item = left.popleft()
        try:
            await _declare_one(channel, item)
        except ChannelClosed as error:
            if error.code != PRECONDITION_FAILED:
                raise
            return Conflict(_name(item), str(error))
    return None


@dataclass(frozen=True, slots=True)
class QueueState:
    """Exact counts of one queue at this moment. Messages that a worker holds are not in `ready`."""

    ready: int
    consumers: int


async def inspect(session: Session, queues: Iterable[str]) -> dict[str, QueueState]:
    """The exact counts of queues; those that do not exist are left out.

    :raises ChannelClosed: refused for another reason, or the connection is lost.
    """
    found: dict[str, QueueState] = {}
    left = deque(queues)
    while left:
        async with session.scratch() as channel:
            await _inspect_to_missing(channel, left, found)
    return found


async def _inspect_to_missing(channel: Channel, left: deque[str], found: dict[str, QueueState]) -> None:
    """Look and take out until all are done or one does not exist; the channel is closed then."""
    while left:
        queue = left.popleft()
        try:
            frame = await channel.call(channel.raw.queue_declare, queue=queue, passive=True)
        except ChannelClosed as error:
            if error.code != NOT_FOUND:
                raise
            return
        found[queue] = QueueState(frame.method.message_count, frame.method.consumer_count)


async def unbind(session: Session, binding: Binding) -> None:
    """Remove a binding. Absent is success.

    :raises ChannelClosed: refused, or the connection is lost.
    """
    where = {"exchange": binding.exchange, "queue": binding.queue, "routing_key": binding.key}
    async with session.scratch() as channel:
        await channel.call(channel.raw.queue_unbind, **where)


async def delete_queue(session: Session, queue: str) -> None:
    """Delete a queue and what is in it. Absent is success.

    RabbitMQ refuses `if-empty` and `if-unused` for quorum queues with an error that ends the connection.

    :raises ChannelClosed: refused, or the connection is lost.
    """
    async with session.scratch() as channel:
        await channel.call(channel.raw.queue_delete, queue=queue)


async def _declare_one(channel: Channel, item: Declaration) -> None:
    raw = channel.raw
    match item:
        case Exchange(name):
            await channel.call(raw.exchange_declare, exchange=name, exchange_type="direct", durable=True)
        case Queue(name, arguments):
            arguments = {"x-queue-type": "quorum", **arguments}
            await channel.call(raw.queue_declare, queue=name, durable=True, arguments=arguments)
        case Binding(exchange, queue, key):
            await channel.call(raw.queue_bind, queue=queue, exchange=exchange, routing_key=key)


def _name(item: Declaration) -> str:
    match item:
        case Exchange(name):
            return f"exchange {name}"
        case Queue(name):
            return f"queue {name}"
        case Binding(exchange, queue, key):
            return f"binding {exchange} -> {queue} ({key})"
