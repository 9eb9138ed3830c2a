"""What the watches show the leader, and who is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from mastercontrol.engine.ports import RawObject
from mastercontrol.kube.client import KubeClient
from mastercontrol.leader import Leader
from mastercontrol.settings import Settings
from unit.engine.fakes import FakeBroker, FakeJobs, FakeReporter, FakeWorkflows, Journal
from unit.engine.world import until
from unit.pools.world import pool


class _Pools:
    """The API server's WorkerPools."""

    def __init__(self) -> None:
        self.stored: dict[str, RawObject] = {}

    async def read_pool(self, _namespace: str, name: str) -> RawObject | None:
        await asyncio.sleep(0)
        return self.stored.get(name)


class _Shop:
    """A leader on the fakes. Its watches show what a test hands to it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        journal: Journal = []
        self.jobs, self.workflows, self.pools = FakeJobs(journal), FakeWorkflows(), _Pools()
        broker = FakeBroker(journal)
        for name, fake in {
            "KubeJobStore": self.jobs,
            "KubeWorkflows": self.workflows,
            "KubePools": self.pools,
            "RabbitBroker": broker,
            "Warnings": FakeReporter(),
        }.items():
            patch.setattr(f"mastercontrol.leader.{name}", lambda *_, fake=fake, **__: fake)
        self.leader = Leader(Settings(namespaces="shop"), cast("KubeClient", None))
        self.leader.workflow(self.workflows.put("a"), deleted=False)

    def submit(self, name: str) -> None:
        self.leader.job(self.jobs.put(name, f"u-{name}"), deleted=False)

    def waits_for_its_pool(self, name: str) -> bool:
        conditions: list[dict[str, Any]] = self.jobs.status(name).get("conditions", [])
        return any(c["reason"] == "UnknownPool" and c["status"] == "True" for c in conditions)


@pytest.fixture
async def shop(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[_Shop]:
    made = _Shop(monkeypatch)
    yield made
    await made.leader.engine.close(0)


async def test_a_pool_that_one_job_asked_for_before_the_watch_showed_it_is_there_for_all(shop: _Shop) -> None:
    shop.submit("first")
    await until(lambda: shop.waits_for_its_pool("first"))
    shop.pools.stored["a-pool"] = pool("a-pool")
    shop.submit("second")
    await until(lambda: shop.jobs.state("second") == "InProgress.a")
    shop.leader.pool(pool("a-pool"), deleted=False)
    await until(lambda: shop.jobs.state("first") == "InProgress.a", "nobody told it that its pool is there")
