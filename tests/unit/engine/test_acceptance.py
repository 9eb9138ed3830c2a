"""What a Workflow's own status says: whether jobs can run it, and every fault if not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mastercontrol.engine.acceptance import Acceptance
from mastercontrol.engine.definitions import Definitions
from mastercontrol.engine.ports import RawObject
from unit.engine.fakes import FakeClock, FakeWorkflows
from unit.engine.world import until


class Counting(FakeWorkflows):
    """Counts the writes of a status."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    async def patch_workflow_status(self, namespace: str, name: str, status: RawObject) -> None:
        self.writes += 1
        await super().patch_workflow_status(namespace, name, {k: v for k, v in status.items() if v is not None})


@asynccontextmanager
async def acceptance(store: Counting) -> AsyncIterator[tuple[Acceptance, Definitions]]:
    definitions = Definitions(store)
    made = Acceptance(store, definitions, FakeClock())
    running = asyncio.create_task(made.run())
    yield made, definitions
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def ready(store: Counting) -> dict[str, Any] | None:
    conditions = store.workflows["shop", "order"].get("status", {}).get("conditions", [None])
    return dict(conditions[0]) if conditions[0] else None


async def test_a_workflow_that_jobs_can_run_is_ready_and_names_its_revision() -> None:
    store = Counting()
    async with acceptance(store) as (made, definitions):
        raw = store.put("a", "b")
        definitions.observe(raw)
        made.observe(raw)
        await until(lambda: ready(store))
    condition = ready(store)
    assert condition is not None
    assert (condition["type"], condition["status"], condition["reason"]) == ("Ready", "True", "Ready")
    assert store.workflows["shop", "order"]["status"]["revision"] in store.created


async def test_a_workflow_with_faults_is_not_ready_and_says_each_of_them() -> None:
    store = Counting()
    async with acceptance(store) as (made, _):
        made.observe(store.put({"name": "1", "pool": "p"}, {"name": "b", "pool": "p", "next": "c"}))
        await until(lambda: ready(store))
    condition = ready(store)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "InvalidWorkflow")
    assert "spec.states[0].name" in condition["message"]
    assert "spec.states[1].next" in condition["message"]
    assert "revision" not in store.workflows["shop", "order"]["status"]


async def test_what_is_said_already_is_not_written_again() -> None:
    store = Counting()
    async with acceptance(store) as (made, _):
        made.observe(store.put("a"))
        await until(lambda: ready(store))
        reads = len(store.created)
        made.observe(dict(store.workflows["shop", "order"]))
        await asyncio.sleep(0.01)
    assert store.writes == 1
    assert len(store.created) == reads == 1


async def test_a_workflow_that_is_being_deleted_is_left_alone() -> None:
    store = Counting()
    async with acceptance(store) as (made, _):
        raw = store.put("a")
        raw["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
        made.observe(raw)
        await asyncio.sleep(0.01)
    assert store.writes == 0
