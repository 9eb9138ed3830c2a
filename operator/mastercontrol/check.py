"""`mastercontrol check`: can the API server and the broker be used from here? For `helm test` and for people."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

import aiohttp

from mastercontrol.engine.ports import BrokerError, StoreError
from mastercontrol.kube.client import KubeClient
from mastercontrol.kube.jobs import KubeJobStore
from mastercontrol.kube.pools import KubePools
from mastercontrol.kube.schedules import KubeSchedules
from mastercontrol.kube.workflows import KubeWorkflows
from mastercontrol.settings import Settings


async def check(settings: Settings) -> int:
    """Look at everything that the operator needs, say what is there and what is not; 0 when all is."""
    namespace = None if settings.watched is None else min(settings.watched)
    failed = 0
    try:
        client = await KubeClient.connect()
    except StoreError as error:
        print(f"FAILED  credentials: {error}", file=sys.stderr)  # noqa: T201  # the output of the command
        return 1
    async with client:
        stores: dict[str, Callable[[], Awaitable[object]]] = {
            "mcpjobs": lambda: KubeJobStore(client).list_jobs(namespace),
            "mcpworkflows": lambda: KubeWorkflows(client).list_workflows(namespace),
            "mcpworkerpools": lambda: KubePools(client).list_pools(namespace),
            "mcpschedules": lambda: KubeSchedules(client).list_schedules(namespace),
        }
        for name, read in stores.items():
            failed += await _say(f"read {name}", read)
    failed += await _say("RabbitMQ management", lambda: _management(settings))
    return 1 if failed else 0


async def _management(settings: Settings) -> None:
    url = f"{settings.management_url.rstrip('/')}/api/overview"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        answer.raise_for_status()


async def _say(what: str, act: Callable[[], Awaitable[object]]) -> int:
    try:
        await act()
    except (StoreError, BrokerError, aiohttp.ClientError, OSError, TimeoutError) as error:
        print(f"FAILED  {what}: {error}", file=sys.stderr)  # noqa: T201  # the output of the command
        return 1
    print(f"ok      {what}")  # noqa: T201  # the output of the command
    return 0
