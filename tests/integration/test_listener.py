"""A test's own server leaves nothing behind, whenever it closes: a leak would fail some other test."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings

import pytest

from integration.broker.proxy import Proxy
from integration.kube.loopback import Proxy as LoopbackProxy
from integration.listener import TURNS, Listener


async def _close_soon(turns: int) -> None:
    """A client comes, and `turns` of the loop later everything is closed."""

    async def goodbye(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    target = Listener(goodbye)
    await target.open()
    async with Proxy("127.0.0.1", target.port) as one, LoopbackProxy(target.port).serve() as other:
        with socket.socket() as client, socket.socket() as second:
            for end, port in ((client, one.port), (second, other.port)):
                end.settimeout(0)
                end.connect_ex(("127.0.0.1", port))
            for _ in range(turns):
                await asyncio.sleep(0)
    await target.close()


@pytest.mark.parametrize("turns", range(TURNS))
def test_a_connection_that_comes_in_the_moment_of_the_close_is_closed_too(turns: int) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(_close_soon(turns))
        gc.collect()
    assert [str(warning.message) for warning in told] == []


def test_what_a_connection_s_task_raises_is_told() -> None:
    async def fails(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        raise AssertionError("the test's own fault")

    async def run() -> None:
        listener = Listener(fails)
        await listener.open()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        assert await reader.read() == b""  # the connection ends with it
        writer.close()
        await listener.close()

    with pytest.raises(AssertionError, match="own fault"):
        asyncio.run(run())
