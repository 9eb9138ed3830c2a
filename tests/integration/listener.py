"""A TCP server on loopback that leaves no connection half taken when it closes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

TURNS = 10
"""More than asyncio's loop needs from accept() to the call that tells of the connection, or from abort() to the end."""


class Listener:
    """Calls `serve` in a task for each connection, and ends the connection with it, however it ends.

    What arrives in the moment of `close` would else be collected unclosed, a warning in whichever test runs then.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults: list[BaseException] = []

    @property
    def port(self) -> int:
        assert self._server is not None, "not open"
        return int(self._server.sockets[0].getsockname()[1])

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._taken, "127.0.0.1", 0)

    async def cut(self) -> None:
        """End all connections at once, without a goodbye. New ones are taken."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Take no more, and end what is there.

        Raises: the first that `serve` raised; an OSError is a connection's end and not told.
        """
        assert self._server is not None, "not open"
        asyncio.get_running_loop().remove_reader(self._server.sockets[0].fileno())
        await _turns()  # a server that closes between accept() and the transport leaves the socket to nobody
        self._server.close()
        await self.cut()
        await self._server.wait_closed()
        await _turns()
        if self._faults:
            raise self._faults[0]

    def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._run(reader, writer))
        self._tasks.add(task)

        def done(_: asyncio.Task[None]) -> None:  # and not in the task: one that is cancelled in time never begins
            writer.transport.abort()
            self._tasks.discard(task)
            fault = None if task.cancelled() else task.exception()
            if fault is not None and not isinstance(fault, OSError):
                self._faults.append(fault)

        task.add_done_callback(done)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(reader, writer)


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)
