"""A TCP proxy on loopback that breaks connections on request. TLS passes through it unread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import Enum, auto

from integration.listener import Listener


class Mode(Enum):
    """What the proxy does with bytes that arrive from now on."""

    PASS = auto()
    CUT_REQUEST = auto()  # the request does not arrive, and the connection is closed
    CUT_ANSWER = auto()  # the request arrives; when the answer comes the connection is closed instead
    HANG_REQUEST = auto()  # the request does not arrive, and nothing happens
    HANG_ANSWER = auto()  # the request arrives, and nothing comes back
    CLOSED = auto()  # every connection is closed at once


class Proxy:
    """Listens on `port` while `serve` is entered. `mode` holds until it is changed."""

    def __init__(self, upstream: int) -> None:
        self.mode = Mode.PASS
        self.once = False
        """Break one connection only, and let the next ones pass."""
        self.answered = asyncio.Event()
        """Set when an answer came that was not passed on."""
        self.port = 0
        self._upstream = upstream
        self._writers: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[Proxy]:
        listener = Listener(self._accept)
        await listener.open()
        self.port = listener.port
        try:
            yield self
        finally:
            await listener.close()

    def cut(self) -> None:
        """Close all connections."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode is Mode.CLOSED:
            return
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        both = {writer, up_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._pump(reader, up_writer, Mode.CUT_REQUEST, Mode.HANG_REQUEST, both),
                self._pump(up_reader, writer, Mode.CUT_ANSWER, Mode.HANG_ANSWER, both),
            )
        finally:
            for each in both:
                each.transport.abort()
            self._writers -= both

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        cut: Mode,
        hang: Mode,
        both: set[asyncio.StreamWriter],
    ) -> None:
        with contextlib.suppress(OSError):
            hangs = False
            while data := await reader.read(65536):
                mode = self.mode
                if mode in {cut, hang}:
                    if hang is Mode.HANG_ANSWER:
                        self.answered.set()
                    if self.once:
                        self.mode = Mode.PASS
                if mode in {cut, Mode.CLOSED}:
                    break
                hangs = hangs or (mode is hang and self.once)
                if mode is not hang and not hangs:
                    writer.write(data)
                    await writer.drain()
        for each in both:
            each.transport.abort()
