"""What a Workflow's own status says: whether jobs can run it, and every fault if not."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mastercontrol.engine.acceptance import Acceptance
from mastercontrol.engine.definitions import Definitions
from mastercontrol.engine.ports import Gone, RawObject
from unit.engine.fakes import FakeClock, FakePools, FakeWorkflows
from unit.engine.world import until


class Counting(FakeWorkflows):
    """Counts the writes of a status."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    async def patch_workflow_status(self, namespace: str, name: str, status: RawObject) -> None:
        await super().patch_workflow_status(namespace, name, {k: v for k, v in status.items() if v is not None})
        self.writes += 1


@asynccontextmanager
async def acceptance(
    store: Counting, pools: FakePools | None = None, clock: FakeClock | None = None
) -> AsyncIterator[tuple[Acceptance, Definitions]]:
    definitions = Definitions(store)
    made = Acceptance(store, definitions, clock or FakeClock(), pools or FakePools())
    running = asyncio.create_task(made.run())
    yield made, definitions
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def condition_of(store: Counting, kind: str) -> dict[str, Any] | None:
    conditions = store.workflows["shop", "order"].get("status", {}).get("conditions", [])
    return next((dict(c) for c in conditions if c["type"] == kind), None)


def ready(store: Counting) -> dict[str, Any] | None:
    return condition_of(store, "Ready")


async def told(raw: dict[str, Any], store: Counting, made: Acceptance, definitions: Definitions) -> None:
    """The watch showed a Workflow, and it was told whether jobs can run it."""
    definitions.observe(raw)
    made.observe(raw)
    await until(lambda: ready(store))


def invalid(store: Counting) -> dict[str, Any] | None:
    return condition_of(store, "Invalid")


async def test_a_workflow_that_jobs_can_run_is_ready_and_names_its_revision() -> None:
    store = Counting()
    async with acceptance(store) as (made, definitions):
        store.put("a")
        raw = store.put("a", "b")
        await told(raw, store, made, definitions)
    condition = ready(store)
    assert condition is not None
    assert (condition["type"], condition["status"], condition["reason"]) == ("Ready", "True", "Ready")
    assert condition["message"] == "jobs can run it"
    status = store.workflows["shop", "order"]["status"]
    assert status["revision"] in store.created
    assert status["observedGeneration"] == condition["observedGeneration"] == raw["metadata"]["generation"]
    assert invalid(store) is None


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
    said = invalid(store)
    assert said is not None
    assert (said["status"], said["message"]) == ("True", condition["message"])


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


@pytest.mark.parametrize("state", ["a", {"name": "1", "pool": "p"}], ids=["good", "faulty"])
async def test_another_operator_does_not_write_again_what_is_said_already(state: Any) -> None:
    store = Counting()
    async with acceptance(store) as (made, _):
        store.put("first")
        made.observe(store.put(state))
        await until(lambda: ready(store))
    async with acceptance(store) as (made, definitions):
        definitions.observe(store.workflows["shop", "order"])
        made.observe(store.workflows["shop", "order"])
        await asyncio.sleep(0.01)
    assert store.writes == 1


async def test_a_workflow_that_nothing_was_said_of_may_go() -> None:
    store = Counting()
    async with acceptance(store) as (made, _):
        made.gone("shop", "other")
        made.observe(store.put("a"))
        await until(lambda: ready(store))


async def test_a_workflow_that_goes_while_it_is_looked_at_does_not_keep_others_waiting() -> None:
    class Going(Counting):
        async def patch_workflow_status(self, namespace: str, name: str, status: RawObject) -> None:
            if name == "going":
                raise Gone("going")
            await super().patch_workflow_status(namespace, name, status)

    store = Going()
    async with acceptance(store) as (made, _):
        made.observe(store.put("a", name="going"))
        made.observe(store.put("a"))
        await until(lambda: ready(store))


async def test_a_workflow_that_is_being_deleted_by_now_is_left_alone() -> None:
    store = Counting()
    async with acceptance(store) as (made, definitions):
        raw = store.put("a")
        made.observe(raw)
        definitions.observe({**raw, "metadata": {**raw["metadata"], "deletionTimestamp": "2030-01-01T00:00:00Z"}})
        await asyncio.sleep(0.01)
    assert store.writes == 0


async def test_a_workflow_that_is_being_deleted_is_left_alone() -> None:
    store = Counting()
    async with acceptance(store) as (made, _):
        raw = store.put("a")
        raw["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
        made.observe(raw)
        await asyncio.sleep(0.01)
    assert store.writes == 0


async def shown(store: Counting, made: Acceptance, definitions: Definitions, *states: Any) -> None:
    """The user writes a Workflow, the watch shows it with its status of before, and something is said of it."""
    before, writes = store.workflows.get(("shop", "order"), {}).get("status"), store.writes
    raw = store.put(*states)
    if before is not None:
        raw["status"] = store.workflows["shop", "order"]["status"] = before
    definitions.observe(raw)
    made.observe(raw)
    await until(lambda: store.writes > writes)


async def test_a_workflow_that_is_put_right_is_no_longer_invalid() -> None:
    store = Counting()
    async with acceptance(store) as (made, definitions):
        await shown(store, made, definitions, {"name": "1", "pool": "p"})
        assert invalid(store) is not None
        await shown(store, made, definitions, {"name": "a", "pool": "p"})
    assert (ready(store) or {})["status"] == "True"
    assert invalid(store) is None
    assert store.writes == 2


async def test_a_missing_pool_is_said_and_so_is_that_it_came() -> None:
    store, pools = Counting(), FakePools()
    pools.missing = {"b-pool"}
    async with acceptance(store, pools) as (made, definitions):
        raw = store.put("a", "b")
        await told(raw, store, made, definitions)
        condition = ready(store)
        assert condition is not None
        assert (condition["status"], condition["reason"]) == ("False", "UnknownPool")
        assert condition["message"] == "spec.states[1].pool: there is no WorkerPool 'b-pool' in this namespace"
        assert invalid(store) is None, "it has no fault: its jobs begin, and wait where they need the pool"
        assert store.workflows["shop", "order"]["status"]["revision"] in store.created
        pools.missing = set()
        made.look_at_namespace("elsewhere")
        made.look_at_namespace("shop")
        await until(lambda: (ready(store) or {})["status"] == "True")
        pools.missing = {"a-pool"}
        made.look_at_namespace(None)
        await until(lambda: (ready(store) or {})["status"] == "False")
    assert store.writes == 3


async def test_a_missing_pool_stands_beside_the_other_faults() -> None:
    store, pools = Counting(), FakePools()
    pools.missing = {"q"}
    async with acceptance(store, pools) as (made, _):
        made.observe(store.put({"name": "a", "pool": "q", "next": "nowhere"}, {"name": "b", "pool": 5}))
        await until(lambda: ready(store))
    condition = invalid(store)
    assert condition is not None
    assert [fault.partition(": ")[0] for fault in condition["message"].split("; ") if fault.startswith("spec")] == [
        "spec.states[0].next",
        "spec.states[1].pool",
        "spec.states[0].pool",
    ]


async def test_a_pool_that_only_the_watch_has_not_shown_is_not_missing() -> None:
    store, pools = Counting(), FakePools()
    pools.unseen = {"a-pool"}
    async with acceptance(store, pools) as (made, _):
        made.observe(store.put("a"))
        await until(lambda: ready(store))
    assert (ready(store) or {})["status"] == "True"
    assert pools.asked == ["a-pool"]


async def test_a_condition_that_stays_keeps_its_time() -> None:
    store, clock = Counting(), FakeClock()
    async with acceptance(store, clock=clock) as (made, definitions):
        await shown(store, made, definitions, {"name": "1", "pool": "x"})
        first = ready(store)
        clock.time += dt.timedelta(hours=1)
        await shown(store, made, definitions, {"name": "1", "pool": "x"}, {"name": "2", "pool": "x"})
        second = ready(store)
        await shown(store, made, definitions, {"name": "a", "pool": "x"})
        third = ready(store)
    assert first is not None
    assert second is not None
    assert third is not None
    assert first["message"] != second["message"]
    assert first["lastTransitionTime"] == second["lastTransitionTime"] < third["lastTransitionTime"]


async def test_what_the_watch_has_not_shown_yet_is_not_written_twice() -> None:
    store = Counting()
    async with acceptance(store) as (made, definitions):
        raw = store.put("a")
        await told(raw, store, made, definitions)
        made.observe(raw)
        await asyncio.sleep(0.01)
    assert store.writes == 1


async def test_what_somebody_else_made_of_the_status_is_put_right() -> None:
    store = Counting()
    async with acceptance(store) as (made, definitions):
        raw = store.put("a")
        await told(raw, store, made, definitions)
        raw = store.put("a")
        raw["status"] = {"conditions": []}
        store.workflows["shop", "order"] = raw
        await told(raw, store, made, definitions)
    assert store.writes == 2


async def test_a_status_that_somebody_emptied_is_filled_again() -> None:
    store = Counting()
    async with acceptance(store) as (made, definitions):
        raw = store.put("a")
        await told(raw, store, made, definitions)
        newer = {**raw, "metadata": {**raw["metadata"], "resourceVersion": "9"}, "status": {}}
        store.workflows["shop", "order"] = newer
        await told(newer, store, made, definitions)
    assert store.writes == 2


async def test_another_workflow_of_the_name_is_told_as_well_though_its_version_is_older() -> None:
    """As after a restore of the cluster's data."""
    store = Counting()
    async with acceptance(store) as (made, definitions):
        raw = store.put("a")
        raw["metadata"]["resourceVersion"] = "9"
        await told(raw, store, made, definitions)
        restored = {**raw, "metadata": {**raw["metadata"], "uid": "w-2", "resourceVersion": "8"}}
        store.workflows["shop", "order"] = restored
        await told(restored, store, made, definitions)
    assert store.writes == 2
