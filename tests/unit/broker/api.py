"""RabbitMQ's HTTP API as a test wants it: down, slow, or answering nonsense."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """An HTTP API that answers as a test says, and notes what it was asked."""

    def __init__(self, server: TestServer) -> None:
        self.server = server
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.handler: Handler | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.raw_path.split("?")[0], dict(request.query), body))
        assert self.handler is not None
        return await self.handler(request)

    def answers(self, text: str, status: int = 200) -> None:
        async def handler(_request: web.Request) -> web.Response:
            return web.Response(text=text, status=status)

        self.handler = handler


@asynccontextmanager
async def serving() -> AsyncIterator[Api]:
    """An HTTP API on loopback."""
    app = web.Application()
    server = TestServer(app)
    api = Api(server)
    app.router.add_route("*", "/{path:.*}", api.handle)
    await server.start_server()
    yield api
    await server.close()
