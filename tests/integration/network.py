"""The network between a process and the broker, for tests that are no coroutines: a proxy on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from integration.broker.proxy import Proxy


class Network:
    """What a test may do to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: Proxy) -> None:
        self._loop, self._proxy = loop, proxy

    def stall(self) -> None:
        """Nothing comes through from now on, and nothing is closed."""
        self._loop.call_soon_threadsafe(self._proxy.stall)

    def part(self) -> None:
        """As `stall`, and the connections that there are break, so that nobody need wait to notice."""
        self.stall()
        asyncio.run_coroutine_threadsafe(self._proxy.cut(), self._loop).result(10)

    def flow(self) -> None:
        """Everything comes through again."""
        self._loop.call_soon_threadsafe(self._proxy.flow)


@contextmanager
def proxied(url: str) -> Iterator[tuple[str, Network]]:
    """The URL by which a broker is reached through a proxy, and that proxy."""
    parts = urlsplit(url)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="network")
    thread.start()
    proxy = Proxy(parts.hostname or "", parts.port or 5672)
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result(10)
    try:
        credentials = parts.netloc.rpartition("@")[0]
        yield parts._replace(netloc=f"{credentials}@127.0.0.1:{proxy.port}").geturl(), Network(loop, proxy)
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
