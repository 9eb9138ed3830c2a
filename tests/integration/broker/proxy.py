"""A TCP proxy on loopback that a test can stall, cut and close: the network between the operator and the broker."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self


class Proxy:
    """Forwards to `host:port`. Use as an async context manager; `port` is where it listens."""

    def __init__(self, host: str, port: int) -> None:
        self.accepted = 0
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._pairs: set[asyncio.Task[None]] = set()
        self._to_operator: set[asyncio.StreamWriter] = set()
        self._to_broker, self._from_broker = asyncio.Event(), asyncio.Event()
        self.flow()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()
        await self._server.wait_closed()

    def stall(self, *, to_broker: bool = True, from_broker: bool = True) -> None:
        """Hold bytes back from now on, without closing anything."""
        for flows, held in ((self._to_broker, to_broker), (self._from_broker, from_broker)):
            if held:
                flows.clear()

    def flow(self) -> None:
        """Forward what was held back, and go on."""
        self._to_broker.set()
        self._from_broker.set()

    def inject(self, data: bytes) -> None:
        """Send bytes to the operator as if they came from the broker. Only while nothing else is on its way."""
        for writer in self._to_operator:
            writer.write(data)

    async def cut(self) -> None:
        """End all connections at once, without a goodbye. New ones are taken."""
        pairs = list(self._pairs)
        for pair in pairs:
            pair.cancel()
        await asyncio.gather(*pairs, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        self._to_operator.add(writer)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._join(reader, writer)
        self._pairs.discard(task)
        self._to_operator.discard(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            raise
        ways = (
            asyncio.create_task(_copy(reader, there_writer, self._to_broker)),
            asyncio.create_task(_copy(there_reader, writer, self._from_broker)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in (writer, there_writer):  # at once: a second cancellation may interrupt what waits below
                end.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, flows: asyncio.Event) -> None:
    while data := await source.read(65536):
        await flows.wait()
        target.write(data)
        await target.drain()
