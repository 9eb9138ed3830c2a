"""A pool controller on a real API server, with the CRDs of this tree and an empty namespace a test.

Its broker is a fake.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mastercontrol.api import names
from mastercontrol.engine.ports import RawObject, StoreError
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.paths import POOLS, Resource, Target, resource_of
from mastercontrol.kube.pools import KubePools
from mastercontrol.pools.controller import PoolController
from mastercontrol.pools.settings import PoolSettings
from unit.pools.fakes import Broker

ROOT = Path(__file__).parents[3]
CRDS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions")
NAMESPACES = Resource("v1", "Namespace", "namespaces")
DEADLINE_SECONDS = 30.0


async def eventually(look: Callable[[], Awaitable[Any]], what: str) -> Any:
    """What `look` finds, as soon as it finds something."""
    until = time.monotonic() + DEADLINE_SECONDS
    while not (found := await look()):
        assert time.monotonic() < until, f"not within {DEADLINE_SECONDS} s: {what}"
        await asyncio.sleep(0.05)
    return found


class Counted(KubePools):
    """Counts the looks at a Deployment."""

    reads = 0

    async def read_deployment(self, namespace: str, name: str) -> RawObject | None:
        self.reads += 1
        return await super().read_deployment(namespace, name)


class Pools:
    """The controller at work, and the API server as a user sees it. `longest` is the longest step of each pool."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.client, self.namespace = client, namespace
        self.cluster = KubePools(client)
        self.longest = 0
        self._counted = Counted(client)
        self._broker = Broker([])
        self._broker.epoch = "e1"
        self._running: asyncio.Task[None] | None = None
        self.controller = self._new()

    @property
    def reads(self) -> int:
        """How often the controller looked at a Deployment."""
        return self._counted.reads

    def _new(self) -> PoolController:
        settings = PoolSettings(resync_seconds=0.5, trouble_after_seconds=0.5, trouble_interval_seconds=0.5)
        broker = self._broker
        return PoolController(
            self._counted, broker, broker, lambda *_: 0, settings, longest_step=lambda *_: self.longest
        )

    def start(self) -> None:
        """It begins to lead."""
        self.controller.on_connected("e1")
        self._running = asyncio.create_task(self.controller.run())

    async def stop(self) -> None:
        """It no longer leads, and nobody does."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def another_leader(self) -> None:
        """Another process leads. It lists the pools first, as they are stored."""
        await self.stop()
        self.controller = self._new()
        for raw in await self.cluster.list_pools(self.namespace):
            self.controller.on_pool(raw)
        self.start()

    def edit_workflow(self, longest: int) -> None:
        """A Workflow is edited: the longest step takes so long now."""
        self.longest = longest
        self.controller.on_workflow(self.namespace)

    async def apply(self, name: str = "resize", **spec: Any) -> None:
        """A user applies a pool, and the watch shows it."""
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND_POOL,
            "metadata": {"namespace": self.namespace, "name": name},
            "spec": {"template": {"image": "worker:1"}, **spec},
        }
        target = Target(POOLS, self.namespace, name)
        params = {"fieldManager": "user", "force": "true"}
        self.controller.on_pool(await self.client.patch(target, manifest, PatchType.APPLY, params))

    async def create(self, manifest: RawObject) -> RawObject:
        """Somebody else creates an object."""
        return await self.client.create(Target(resource_of(manifest), self.namespace), manifest)

    async def condition(self, kind: str, name: str = "resize") -> dict[str, Any]:
        """A condition of the pool; empty where it is not there."""
        raw = await self.cluster.read_pool(self.namespace, name)
        found = [] if raw is None else raw.get("status", {}).get("conditions", [])
        return next((dict(item) for item in found if item["type"] == kind), {})


@pytest.fixture
async def client(kubeconfig: str) -> AsyncIterator[KubeClient]:
    """An administrator, with the CRDs of this tree served."""
    async with await KubeClient.connect(kubeconfig) as client, asyncio.timeout(60):
        for path in sorted((ROOT / "crds").glob("*.yaml")):
            crd = yaml.safe_load(path.read_text())
            target = Target(CRDS, None, crd["metadata"]["name"])
            await client.patch(target, crd, PatchType.APPLY, {"fieldManager": "tests", "force": "true"})

        async def served() -> bool:
            try:
                return bool(await client.get(Target(POOLS, None)))
            except StoreError:
                return False

        await eventually(served, "the kinds are served")
        yield client


@pytest.fixture
async def pools(client: KubeClient) -> AsyncIterator[Pools]:
    name = f"pools-{uuid.uuid4().hex[:10]}"
    await client.create(Target(NAMESPACES, None), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    made = Pools(client, name)
    made.start()
    yield made
    await made.stop()
