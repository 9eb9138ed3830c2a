"""A real API server with the CRDs of this tree, an empty namespace a test, and a controller with its own clock."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.register_assert_rewrite("contracts.schedules")

# ruff: noqa: E402  # the line above must come before what imports it
from contracts.schedules import Create
from mastercontrol.engine.ports import RawObject, Reporter, StoreError
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.paths import JOBS, SCHEDULES, Resource, Target, resource_of
from mastercontrol.kube.schedules import KubeSchedules
from mastercontrol.schedules.controller import ScheduleController
from mastercontrol.schedules.ports import ScheduleCluster

ROOT = Path(__file__).parents[3]
CRDS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions")
NAMESPACES = Resource("v1", "Namespace", "namespaces")


@pytest.fixture(scope="session")
def crds(kubeconfig: str) -> None:
    """The CRDs of this tree, served."""
    asyncio.run(_install(kubeconfig))


async def _install(kubeconfig: str) -> None:
    async with await KubeClient.connect(kubeconfig) as client, asyncio.timeout(30):
        for path in sorted((ROOT / "crds").glob("*.yaml")):
            crd = yaml.safe_load(path.read_text())
            target = Target(CRDS, None, crd["metadata"]["name"])
            await client.patch(target, crd, PatchType.APPLY, {"fieldManager": "tests", "force": "true"})
        for resource in (JOBS, SCHEDULES):
            while True:
                try:
                    await client.get(Target(resource, None))
                    break
                except StoreError:  # not served yet
                    await asyncio.sleep(0.1)


@pytest.fixture
async def client(kubeconfig: str, crds: None) -> AsyncIterator[KubeClient]:  # noqa: ARG001  # the kinds must be there
    """An administrator."""
    async with await KubeClient.connect(kubeconfig) as client:
        yield client


@pytest.fixture
async def where(client: KubeClient) -> str:
    name = f"schedules-{uuid.uuid4().hex[:10]}"
    await client.create(Target(NAMESPACES, None), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


@pytest.fixture
def schedules(client: KubeClient) -> KubeSchedules:
    return KubeSchedules(client)


@pytest.fixture
def create(client: KubeClient) -> Create:
    async def run(manifest: RawObject) -> RawObject:
        return await client.create(Target(resource_of(manifest), manifest["metadata"]["namespace"]), manifest)

    return run


class Warnings:
    """Events; none is expected here."""

    def warn(self, regarding: RawObject, reason: str, note: str) -> None:
        raise AssertionError(f"{regarding['metadata']['name']}: {reason}: {note}")


class Operator:
    """A controller over the real API server. Its clock is put so that a minute is up `seconds` after it was made.

    It learns of changes from lists, five times a second, as the watches would tell them.
    """

    def __init__(self, cluster: KubeSchedules, where: str, seconds: float) -> None:
        real = dt.datetime.now(dt.UTC)
        full = (real + dt.timedelta(minutes=1)).replace(second=0, microsecond=0)
        self.ahead = full - real - dt.timedelta(seconds=seconds)
        self.full = full
        self.cluster = cluster
        self.where = where

    def clock(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.ahead

    @contextlib.asynccontextmanager
    async def leads(
        self, port: ScheduleCluster | None = None, reporter: Reporter | None = None
    ) -> AsyncIterator[ScheduleController]:
        """`port` stands in for the API server where it is to be broken."""
        controller = ScheduleController(port or self.cluster, reporter or Warnings(), self.clock)
        for raw in await self.cluster.list_schedules(self.where):
            controller.on_schedule(raw)
        controller.listed(await self.cluster.list_scheduled_jobs(self.where))
        tasks = [asyncio.create_task(work) for work in (controller.run(), self._watch(controller))]
        try:
            yield controller
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, controller: ScheduleController) -> None:
        while True:
            for raw in await self.cluster.list_schedules(self.where):
                controller.on_schedule(raw)
            for raw in await self.cluster.list_scheduled_jobs(self.where):
                controller.on_job(raw)
            await asyncio.sleep(0.2)

    async def wait(self, what: str, look: Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
        deadline = asyncio.get_running_loop().time() + seconds
        while not (seen := await look()):
            assert asyncio.get_running_loop().time() < deadline, f"within {seconds} s there was no {what}"
            await asyncio.sleep(0.1)
        return seen

    async def jobs(self) -> list[RawObject]:
        return await self.cluster.list_scheduled_jobs(self.where)

    async def status(self) -> dict[str, Any]:
        (found,) = await self.cluster.list_schedules(self.where)
        return dict(found.get("status") or {})


@pytest.fixture
def operator(schedules: KubeSchedules, where: str) -> Operator:
    return Operator(schedules, where, seconds=3)
