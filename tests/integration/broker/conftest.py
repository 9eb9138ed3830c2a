"""A vhost for each test on the broker of MCP_TEST_AMQP_URL, or of the fixture `amqp_url`."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from urllib.parse import unquote, urlsplit

import aiohttp
import pytest

from contracts.broker import Seen, connected_again
from integration.broker.proxy import Proxy
from integration.broker.stage import Admin, MemoryEpochs, RealStage, through
from mastercontrol.broker.adapter import RabbitBroker
from mastercontrol.broker.settings import BrokerSettings

SETTINGS = BrokerSettings(reconnect_min_seconds=0.02, reconnect_max_seconds=0.2)

OpenStage = Callable[..., Awaitable[RealStage]]


@pytest.fixture(scope="session")
def node_url(request: pytest.FixtureRequest) -> str:
    """An administrator's AMQP URL."""
    return os.environ.get("MCP_TEST_AMQP_URL") or str(request.getfixturevalue("amqp_url"))


@pytest.fixture(scope="session")
def api_url(request: pytest.FixtureRequest) -> str:
    """The URL of the HTTP API."""
    return os.environ.get("MCP_TEST_MANAGEMENT_URL") or str(request.getfixturevalue("management_url"))


@pytest.fixture
async def admin(node_url: str, api_url: str) -> AsyncIterator[Admin]:
    parts = urlsplit(node_url)
    login = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
    headers = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
    async with aiohttp.ClientSession(headers=headers) as http:
        yield Admin(api_url, http)


@pytest.fixture
async def vhost(admin: Admin) -> AsyncIterator[str]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    await admin.call("PUT", f"/vhosts/{name}", {})
    yield name
    await admin.call("DELETE", f"/vhosts/{name}", ok=(204, 404))
    for user in await admin.call("GET", "/users?columns=name"):
        if user["name"].startswith("mcp."):
            await admin.call("DELETE", f"/users/{user['name']}", ok=(204, 404))


@pytest.fixture
async def open_stage(node_url: str, api_url: str, vhost: str, admin: Admin) -> AsyncIterator[OpenStage]:
    """Makes stages in this test's vhost: `await open_stage(settings=…, wait=False)`."""
    url = urlsplit(node_url)._replace(path=f"/{vhost}").geturl()
    stages: list[RealStage] = []
    async with AsyncExitStack() as stack:

        async def make(
            settings: BrokerSettings = SETTINGS,
            epochs: MemoryEpochs | None = None,
            management_url: str = api_url,
            *,
            wait: bool = True,
            stalled: bool = False,
        ) -> RealStage:
            parts = urlsplit(url)
            proxy = await stack.enter_async_context(Proxy(parts.hostname or "", parts.port or 5672))
            if stalled:
                proxy.stall()
            seen, store = Seen(), epochs or MemoryEpochs()
            broker = RabbitBroker(
                through(proxy, url),
                management_url,
                store,
                on_delivery=seen.on_delivery,
                on_connected=seen.on_connected,
                on_lost=seen.on_lost,
                on_heartbeat=seen.on_heartbeat,
                on_presence=seen.on_presence,
                settings=settings,
            )
            stage = RealStage(broker, seen, store, proxy, admin, url, vhost)
            stages.append(stage)
            await broker.start()
            if wait:
                await connected_again(seen, 1)
            return stage

        yield make
        for stage in stages:
            await stage.broker.close()
            for worker in stage.workers:
                await worker.close()


@pytest.fixture
async def stage(open_stage: OpenStage) -> RealStage:
    return await open_stage()
