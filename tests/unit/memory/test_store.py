from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.store import (
    Cluster,
    EpochStoreContract,
    JobStoreContract,
    PoolClusterContract,
    UnavailableContract,
    WorkflowStoreContract,
    advance,
    begin,
    job,
)
from mastercontrol.engine.ports import Expired, Gone, RawObject, Refused, Rejected, StoreUnavailable
from mastercontrol.memory.faults import WriteFault
from mastercontrol.memory.journal import EventType
from mastercontrol.memory.store import JOB, MemoryStore, WatchEvent

PHASES = {None, "Pending", "Running", "Suspended", "Succeeded", "Failed", "Cancelled"}


def schema(subject: RawObject) -> list[str]:
    """The part of the CRD's schema that the contract tests try."""
    status = subject.get("status", {})
    if not isinstance(status, dict):
        return ["status: must be of type object"]
    sequence = status.get("sequence", 0)
    if not isinstance(sequence, int) or sequence < 0:
        return ["status.sequence: must be an integer of at least 0"]
    if subject["kind"] == "Job" and status.get("phase") not in PHASES:
        return ["status.phase: unsupported value"]
    return []


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(clock=lambda: datetime(2031, 2, 3, 4, 5, 6, 7, tzinfo=UTC), admit=schema, history=50)


def cluster_of(store: MemoryStore) -> Cluster:
    async def edit(subject: RawObject, change: dict[str, Any]) -> RawObject:
        metadata = subject["metadata"]
        kind = (subject["apiVersion"], subject["kind"])
        return await store.merge(kind, metadata["namespace"], metadata["name"], change)

    return Cluster("here", "there", store, store, store, store, store.create, edit)


@pytest.fixture
def cluster(store: MemoryStore) -> Cluster:
    return cluster_of(store)


class TestJobs(JobStoreContract):
    pass


class TestEpochs(EpochStoreContract):
    pass


class TestPools(PoolClusterContract):
    pass


class TestWorkflows(WorkflowStoreContract):
    pass


class TestUnavailable(UnavailableContract):
    @pytest.fixture
    def away(self, store: MemoryStore) -> Cluster:
        store.faults.unavailable(100)
        return cluster_of(store)


async def test_two_stores_of_the_same_calls_are_the_same() -> None:
    made = [await MemoryStore(clock=lambda: datetime(2031, 1, 1, tzinfo=UTC)).create(job("a", "b")) for _ in "12"]
    assert made[0] == made[1]
    assert made[0]["metadata"]["creationTimestamp"] == "2031-01-01T00:00:00Z"


async def test_versions_grow_over_all_objects(store: MemoryStore) -> None:
    a, b = await store.create(job("here", "a")), await store.create(job("there", "b"))
    c = await store.patch_status("here", "a", begin(a))
    assert [int(o["metadata"]["resourceVersion"]) for o in (a, b, c)] == [1, 2, 3]


async def test_an_update_needs_the_current_version(store: MemoryStore) -> None:
    made = await store.create(job("here", "a"))
    changed = {**made, "spec": {"workflow": "other"}}
    after = await store.update(changed)
    assert (after["spec"], after["metadata"]["generation"]) == ({"workflow": "other"}, 2)
    with pytest.raises(Refused):
        await store.update(changed)
    del changed["metadata"]["resourceVersion"]
    with pytest.raises(Rejected):
        await store.update(changed)


async def test_the_identity_of_an_object_cannot_be_changed(store: MemoryStore) -> None:
    await store.create(job("here", "a"))
    for change in ({"uid": "x"}, {"name": "b"}, {"namespace": "there"}):
        with pytest.raises(Rejected):
            await store.merge(JOB, "here", "a", {"metadata": change})


async def test_removing_what_is_absent_says_gone(store: MemoryStore) -> None:
    with pytest.raises(Gone):
        await store.remove(JOB, "here", "a")


class TestWatch:
    async def take(self, store: MemoryStore, count: int, since: str | None, **more: Any) -> list[WatchEvent]:
        async with contextlib.aclosing(store.watch(JOB, since=since, **more)) as events, asyncio.timeout(2):
            return [await anext(events) for _ in range(count)]

    async def test_a_watch_tells_each_change_in_order(self, store: MemoryStore) -> None:
        made = await store.create(job("here", "a"))
        await store.patch_status("here", "a", begin(made))
        await store.delete("here", "a", made["metadata"]["uid"])
        added, modified, deleted = await self.take(store, 3, "0")
        assert (added.type, added.object) == (EventType.ADDED, made)
        assert (modified.type, modified.object["status"]) == (EventType.MODIFIED, {"sequence": 1})
        assert (deleted.type, deleted.object["status"]) == (EventType.DELETED, {"sequence": 1})
        assert int(deleted.object["metadata"]["resourceVersion"]) > int(modified.object["metadata"]["resourceVersion"])

    async def test_a_watch_from_a_list_has_no_gap_and_no_repeat(self, store: MemoryStore) -> None:
        await store.create(job("here", "a"))
        listing = await store.listing(JOB)
        await store.create(job("here", "b"))
        (event,) = await self.take(store, 1, listing.resource_version)
        assert [item["metadata"]["name"] for item in listing.items] == ["a"]
        assert event.object["metadata"]["name"] == "b"

    async def test_a_watch_from_nowhere_begins_with_what_is_there_and_goes_on(self, store: MemoryStore) -> None:
        await store.create(job("here", "a"))
        async with contextlib.aclosing(store.watch(JOB)) as events, asyncio.timeout(2):
            first = await anext(events)
            second = asyncio.ensure_future(anext(events))
            await store.create(job("here", "b"))
            names = [event.object["metadata"]["name"] for event in (first, await second)]
        assert names == ["a", "b"]

    async def test_a_watch_sees_its_kind_namespace_and_labels_only(self, store: MemoryStore) -> None:
        await store.create({**job("here", "pod"), "kind": "Pod", "apiVersion": "v1"})
        await store.create(job("there", "a"))
        await store.create(job("here", "b"))
        (event,) = await self.take(store, 1, "0", namespace="here", selector="team=shop")
        assert event.object["metadata"]["name"] == "b"

    async def test_a_watch_of_forgotten_changes_says_expired(self, store: MemoryStore) -> None:
        await store.create(job("here", "a"))
        store.compact()
        with pytest.raises(Expired):
            await self.take(store, 1, "0")

    async def test_a_watch_that_falls_behind_says_expired(self, store: MemoryStore) -> None:
        made = await store.create(job("here", "a"))
        await store.patch_status("here", "a", begin(made))
        async with contextlib.aclosing(store.watch(JOB, since="0")) as events:
            await anext(events)
            for sequence in range(1, 150):
                await store.patch_status("here", "a", advance(made, sequence))
            with pytest.raises(Expired):
                async for _ in events:
                    pass

    async def test_history_is_kept_for_as_many_changes_as_was_asked(self, store: MemoryStore) -> None:
        for number in range(49):
            await store.create(job("here", f"j{number}"))
        assert len(await self.take(store, 49, "0")) == 49


class TestFaults:
    async def test_a_refused_write_writes_nothing(self, store: MemoryStore) -> None:
        made = await store.create(job("here", "a"))
        store.faults.next_write(WriteFault.REFUSED)
        with pytest.raises(Refused):
            await store.patch_status("here", "a", begin(made))
        assert await store.read("here", "a") == made
        await store.patch_status("here", "a", begin(made))

    async def test_a_dropped_write_writes_nothing(self, store: MemoryStore) -> None:
        made = await store.create(job("here", "a"))
        store.faults.next_write(WriteFault.DROPPED)
        with pytest.raises(StoreUnavailable):
            await store.patch_status("here", "a", begin(made))
        assert await store.read("here", "a") == made

    async def test_a_write_whose_reply_is_lost_is_written(self, store: MemoryStore) -> None:
        made = await store.create(job("here", "a"))
        store.faults.next_write(WriteFault.REPLY_LOST)
        with pytest.raises(StoreUnavailable):
            await store.patch_status("here", "a", begin(made))
        found = await store.read("here", "a")
        assert found is not None
        assert found["status"] == {"sequence": 1}

    async def test_faults_are_used_up_in_the_order_they_were_asked_for(self, store: MemoryStore) -> None:
        store.faults.next_write(WriteFault.REFUSED, times=2)
        store.faults.next_write(WriteFault.DROPPED)
        outcomes = await asyncio.gather(*(store.create(job("here", n)) for n in "abcd"), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Refused, Refused, StoreUnavailable, dict]

    async def test_an_unavailable_store_comes_back(self, store: MemoryStore) -> None:
        store.faults.unavailable(2)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await store.read("here", "a")
        assert await store.read("here", "a") is None

    async def test_a_stale_read_answers_with_the_version_before_the_last(self, store: MemoryStore) -> None:
        made = await store.create(job("here", "a"))
        after = await store.patch_status("here", "a", begin(made))
        store.faults.stale_read()
        assert await store.read("here", "a") == made
        assert await store.read("here", "a") == after

    async def test_a_stale_read_of_a_new_object_does_not_see_it(self, store: MemoryStore) -> None:
        await store.create(job("here", "a"))
        store.faults.stale_read()
        assert await store.read("here", "a") is None

    async def test_held_writes_wait_and_then_happen(self, store: MemoryStore) -> None:
        release = store.faults.hold_writes()
        write = asyncio.create_task(store.create(job("here", "a")))
        assert await store.read("here", "a") is None
        assert not write.done()
        release()
        await write
        assert await store.read("here", "a") is not None
