"""The HTTP port of the operator: /healthz, /readyz, /metrics.

Liveness is that the event loop answers; it does not fail because work piles up or a service is away, since a restart
helps with neither. Readiness is: standing by, or leading with a broker.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


class HealthServer:
    """Serves until closed. `why_not_ready` says in words what is missing, or None."""

    def __init__(self, port: int, why_not_ready: Callable[[], str | None]) -> None:
        self._port = port
        self._why_not_ready = why_not_ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen.

        :raises OSError: the port is taken.
        """
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, None, self._port).start()

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        missing = self._why_not_ready()
        return web.Response(text="ok\n") if missing is None else web.Response(status=503, text=f"{missing}\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
