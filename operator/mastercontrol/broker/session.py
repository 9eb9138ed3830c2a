"""One AMQP connection from its opening to its end, with pika's callbacks turned into awaitables.

`adapter` opens one after the other. A session never reconnects: when it ends, `ended` is done with the reason, each
call that waited for an answer on it fails with ChannelClosed, and its channels do nothing any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel as PikaChannel
from pika.connection import Connection
from pika.exceptions import AMQPError, ChannelClosedByBroker, ConnectionClosedByClient

from mastercontrol.broker.topology import Version, parse_version
from mastercontrol.engine.ports import BrokerUnavailable

T = TypeVar("T")

log = logging.getLogger(__name__)
# Pika reports each failure up to five times, as an error; it is an exception here, which `adapter` reports once.
logging.getLogger("pika").setLevel(logging.CRITICAL)


class ChannelClosed(BrokerUnavailable):
    """A channel ended before the broker answered. `code` is the broker's reply code, None for a lost connection."""

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code


class Channel:
    """One channel. Each call awaits the broker's answer.

    :raises ChannelClosed: from every call, when the channel is or becomes closed.
    """

    def __init__(self, raw: PikaChannel) -> None:
        self.raw = raw
        self.ended: asyncio.Future[ChannelClosed] = asyncio.get_running_loop().create_future()
        raw.add_on_close_callback(self._on_close)

    async def call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        """Call a method of `raw` that takes `callback`; the frame that the broker answered with."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.require_open()
        method(callback=lambda frame: _settle(answer, frame), **arguments)
        return await self.answered(answer)

    def close(self) -> None:
        """Close it, if it is not closed, without waiting for the broker."""
        if not self.raw.is_closed and not self.raw.is_closing:
            self.raw.close()

    async def opened(self, opening: asyncio.Future[PikaChannel]) -> None:
        """Wait until the broker opened it."""
        await self.answered(opening)

    async def answered(self, answer: asyncio.Future[Any]) -> Any:
        """Wait for what is set by a callback of `raw`, or for the end of the channel."""
        await asyncio.wait((answer, self.ended), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise self.ended.result()

    def require_open(self) -> None:
        """Raise when it is closed or closing."""
        if self.ended.done():
            raise self.ended.result()
        if not self.raw.is_open:
            raise ChannelClosed("the channel is closing")

    def _on_close(self, _channel: PikaChannel, reason: Exception) -> None:
        code = reason.reply_code if isinstance(reason, ChannelClosedByBroker) else None
        _settle(self.ended, ChannelClosed(str(reason) or type(reason).__name__, code))


class Session:
    """An open connection."""

    def __init__(self, raw: AsyncioConnection, ended: asyncio.Future[Exception]) -> None:
        self.ended = ended
        """Done with the reason once the connection is gone."""
        self.unblocked = asyncio.Event()
        """Clear while an alarm of the broker (memory, disk) keeps it from taking publishes."""
        self.unblocked.set()
        self._raw = raw
        raw.add_on_connection_blocked_callback(self._on_blocked)
        raw.add_on_connection_unblocked_callback(self._on_unblocked)

    @property
    def version(self) -> Version:
        """The broker's major and minor version."""
        properties = self._raw.server_properties or {}
        return parse_version(str(properties.get("version", "")))

    async def channel(self) -> Channel:
        """Open one more channel.

        :raises ChannelClosed: the connection ended.
        """
        opening: asyncio.Future[PikaChannel] = asyncio.get_running_loop().create_future()
        if not self._raw.is_open:
            raise ChannelClosed("the connection is closed")
        channel = Channel(self._raw.channel(on_open_callback=lambda raw: _settle(opening, raw)))
        try:
            await channel.opened(opening)
        except asyncio.CancelledError:
            channel.close()
            raise
        return channel

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Channel]:
        """A channel for a few calls, closed after them whatever happens.

        :raises ChannelClosed: the connection ended.
        """
        channel = await self.channel()
        try:
            yield channel
        finally:
            channel.close()

    async def close(self, limit_seconds: float) -> None:
        """Close it properly within the limit, else cut it."""
        if self._raw.is_open:
            self._raw.close()
        await asyncio.wait((self.ended,), timeout=limit_seconds)
        if not self.ended.done():
            _cut(self._raw, "the broker did not answer the closing of the connection")
            await self.ended

    def _on_blocked(self, _connection: Connection, frame: Any) -> None:
        log.warning("the broker takes no publishes: %s", frame.method.reason)
        self.unblocked.clear()

    def _on_unblocked(self, _connection: Connection, _frame: Any) -> None:
        log.info("the broker takes publishes again")
        self.unblocked.set()


MakeSession = Callable[[AsyncioConnection, asyncio.Future[Exception]], Session]


async def connect(parameters: pika.connection.Parameters, limit_seconds: float, make: MakeSession = Session) -> Session:
    """Open a connection on the running event loop.

    :raises BrokerUnavailable: it could not be opened, or not in time.
    """
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[None] = loop.create_future()
    ended: asyncio.Future[Exception] = loop.create_future()

    def end(_connection: Connection, error: BaseException) -> None:
        _settle(ended, error if isinstance(error, Exception) else AMQPError(repr(error)))

    raw = AsyncioConnection(
        parameters,
        on_open_callback=lambda _: _settle(opened, None),
        on_open_error_callback=end,
        on_close_callback=end,
        custom_ioloop=loop,
    )
    session = make(raw, ended)
    try:
        await asyncio.wait((opened, ended), timeout=limit_seconds, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await _abandon(raw, ended)
        raise
    if ended.done():
        raise BrokerUnavailable(f"cannot connect: {_reason(ended.result())}")
    if not opened.done():
        await _abandon(raw, ended)
        raise BrokerUnavailable(f"cannot connect: no answer in {limit_seconds:g} s")
    return session


async def _abandon(raw: AsyncioConnection, ended: asyncio.Future[Exception]) -> None:
    """End a connection whose opening is no longer wanted; pika then skips the closing handshake."""
    if not raw.is_closed and not raw.is_closing:
        raw.close()
    if not ended.done():
        await ended


def _cut(raw: AsyncioConnection, why: str) -> None:
    # Pika has no public way to end a connection whose peer is silent.
    raw._terminate_stream(ConnectionClosedByClient(320, why))  # noqa: SLF001


def _settle(future: asyncio.Future[T], value: T) -> None:
    """Set a result; whoever waited may have given up."""
    if not future.done():
        future.set_result(value)


def _reason(error: Exception) -> str:
    return str(error) or repr(error)
