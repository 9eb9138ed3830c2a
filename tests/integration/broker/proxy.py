"""A TCP proxy on loopback that a test can stall, cut and close: the network between the operator and the broker."""

from __future__ import annotations

import asyncio
from typing import Self

from integration.listener import Listener


class Proxy:
    """Forwards to `host:port`. Use as an async context manager; `port` is where it listens."""

    def __init__(self, host: str, port: int) -> None:
        self.accepted = 0
        self._target = (host, port)
        self._listener = Listener(self._serve)
        self._to_operator: set[asyncio.StreamWriter] = set()
        self._to_broker, self._from_broker = asyncio.Event(), asyncio.Event()
        self.flow()

    @property
    def port(self) -> int:
        return self._listener.port

    async def __aenter__(self) -> Self:
        await self._listener.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()

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
        await self._listener.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._to_operator.add(writer)
        try:
            await self._join(reader, writer)
        finally:
            self._to_operator.discard(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
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
