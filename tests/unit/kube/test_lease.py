"""The elector's judgement, with a clock that the test turns and a Lease in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from mastercontrol.engine.ports import RawObject, StoreUnavailable
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.lease import Elector, new_identity
from mastercontrol.kube.paths import LEASES, Target, resource_of
from mastercontrol.memory.objects import Kind, ObjectStore

LEASE: Kind = (LEASES.group_version, LEASES.kind)
LONG_AGO, FAR_AHEAD = "1999-01-01T00:00:00.000000Z", "2199-01-01T00:00:00.000000Z"


class Api:
    """As much of a KubeClient as an elector uses."""

    def __init__(self) -> None:
        self.store = ObjectStore(lambda: datetime(2031, 1, 1, tzinfo=UTC))
        self.away = False
        self.lose_answers = False
        self.writes = 0

    async def get(self, target: Target) -> RawObject:
        self.reach()
        return self.store.get(LEASE, str(target.namespace), str(target.name))

    async def create(self, target: Target, body: RawObject) -> RawObject:
        self.reach()
        assert resource_of(body) == target.resource
        self.writes += 1
        return self.store.create(body)

    async def patch(self, target: Target, body: Any, kind: PatchType) -> RawObject:
        self.reach()
        assert kind is PatchType.MERGE
        self.writes += 1
        after = self.store.merge_patch(LEASE, str(target.namespace), str(target.name), body)
        if self.lose_answers:
            raise StoreUnavailable("no answer")
        return after

    def reach(self) -> None:
        if self.away:
            raise StoreUnavailable("away")

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.store.get(LEASE, "ns", "operator")["spec"]
        return spec


class Clock:
    """Seconds since nothing in particular: two machines do not agree on it."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Candidate:
    """An elector with its own clock; it looks every hundredth of a real second."""

    def __init__(self, api: Api, identity: str, now: float) -> None:
        self.clock = Clock(now)
        client = cast("KubeClient", api)
        self.elector = Elector(client, identity, "ns", "operator", 10, 7, 0.01, self.clock)
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self.elector.acquire())

    def leads(self) -> bool:
        return self.elector.is_leader

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
        await self.elector.release()


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def pair(api: Api) -> AsyncIterator[tuple[Candidate, Candidate]]:
    """One that leads, and one that has seen it lead."""
    one, two = Candidate(api, "one", 100.0), Candidate(api, "two", 9000.0)
    await asyncio.wait_for(one.elector.acquire(), 5)
    two.start()
    await looks()
    yield one, two
    for each in (one, two):
        await each.stop()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.005)


async def renewed(api: Api) -> None:
    """The leader has renewed with the clock as it is now: the second write from here began after the call."""
    before = api.writes
    await until(lambda: api.writes >= before + 2)


async def looks() -> None:
    """Time for everybody to look at the Lease several times."""
    await asyncio.sleep(0.1)


async def test_a_leader_that_renews_is_not_overtaken_however_long_it_leads(
    api: Api, pair: tuple[Candidate, Candidate]
) -> None:
    one, two = pair
    for _ in range(10):
        one.clock.now += 6
        two.clock.now += 6
        await renewed(api)
        assert (one.leads(), two.leads()) == (True, False)


async def test_a_leader_stops_by_its_own_clock_without_any_task_having_run(pair: tuple[Candidate, Candidate]) -> None:
    one, _ = pair
    one.clock.now += 6.9
    assert one.leads()
    one.clock.now += 0.2
    assert not one.leads()


async def test_a_leader_that_slept_through_its_deadline_does_not_just_renew(
    api: Api, pair: tuple[Candidate, Candidate]
) -> None:
    one, _ = pair
    before = api.writes
    one.clock.now += 60
    await asyncio.wait_for(one.elector.lost(), 5)
    assert api.writes == before
    assert not one.leads()


async def test_a_follower_waits_the_whole_lease_from_when_it_saw_the_last_renewal(
    api: Api, pair: tuple[Candidate, Candidate]
) -> None:
    one, two = pair
    one.clock.now += 60  # dead
    two.clock.now += 9.9
    await looks()
    assert not two.leads()
    two.clock.now += 0.2
    await until(two.leads)
    assert (api.spec["holderIdentity"], api.spec["leaseTransitions"]) == ("two", 1)


@pytest.mark.parametrize("written", [LONG_AGO, FAR_AHEAD])
async def test_the_time_that_is_written_in_the_lease_decides_nothing(api: Api, written: str) -> None:
    """The holder's wall clock may be years off."""
    spec = {"holderIdentity": "gone", "leaseDurationSeconds": 10, "renewTime": written, "acquireTime": written}
    metadata = {"namespace": "ns", "name": "operator"}
    api.store.create({"apiVersion": LEASE[0], "kind": LEASE[1], "metadata": metadata, "spec": spec})
    one = Candidate(api, "one", 100.0)
    one.start()
    await looks()
    assert not one.leads()
    one.clock.now += 10.1
    await until(one.leads)
    await one.stop()


async def test_a_follower_honours_the_length_that_the_holder_wrote(api: Api) -> None:
    spec = {"holderIdentity": "patient", "leaseDurationSeconds": 60, "renewTime": LONG_AGO}
    metadata = {"namespace": "ns", "name": "operator"}
    api.store.create({"apiVersion": LEASE[0], "kind": LEASE[1], "metadata": metadata, "spec": spec})
    one = Candidate(api, "one", 100.0)
    one.start()
    await looks()
    one.clock.now += 59
    await looks()
    assert not one.leads()
    one.clock.now += 2
    await until(one.leads)
    await one.stop()


async def test_an_empty_lease_is_free(api: Api) -> None:
    metadata = {"namespace": "ns", "name": "operator"}
    api.store.create({"apiVersion": LEASE[0], "kind": LEASE[1], "metadata": metadata})
    one = Candidate(api, "one", 100.0)
    await asyncio.wait_for(one.elector.acquire(), 5)
    assert api.spec["holderIdentity"] == "one"
    await one.stop()


async def test_a_leader_survives_lost_answers_while_its_deadline_lasts(
    api: Api, pair: tuple[Candidate, Candidate]
) -> None:
    one, two = pair
    api.lose_answers = True
    await renewed(api)
    one.clock.now += 6
    api.lose_answers = False
    await renewed(api)
    one.clock.now += 6  # past the first deadline: it was renewed since
    assert (one.leads(), two.leads()) == (True, False)
    assert api.spec["leaseTransitions"] == 0


async def test_a_leader_whose_lease_was_taken_stops_at_once(api: Api, pair: tuple[Candidate, Candidate]) -> None:
    one, _ = pair
    api.store.merge_patch(LEASE, "ns", "operator", {"spec": {"holderIdentity": "other"}})
    await asyncio.wait_for(one.elector.lost(), 5)
    assert not one.leads()
    assert api.spec["holderIdentity"] == "other"


async def test_a_leader_without_an_api_server_is_lost_at_its_deadline(
    api: Api, pair: tuple[Candidate, Candidate]
) -> None:
    one, _ = pair
    api.away = True
    one.clock.now += 6.9
    await looks()
    assert one.leads()
    one.clock.now += 0.2
    await asyncio.wait_for(one.elector.lost(), 5)
    api.away = False
    await looks()
    assert not one.leads()


async def test_release_frees_the_lease_although_a_renewal_landed_unseen(
    api: Api, pair: tuple[Candidate, Candidate]
) -> None:
    one, two = pair
    api.store.merge_patch(LEASE, "ns", "operator", {"spec": {"renewTime": FAR_AHEAD}})
    await one.elector.release()
    assert not one.leads()
    await until(two.leads)


async def test_release_leaves_the_lease_of_another_alone(api: Api, pair: tuple[Candidate, Candidate]) -> None:
    one, _ = pair
    api.store.merge_patch(LEASE, "ns", "operator", {"spec": {"holderIdentity": "other"}})
    await one.elector.release()
    assert api.spec["holderIdentity"] == "other"


async def test_releasing_what_was_never_acquired_writes_nothing(api: Api) -> None:
    await Candidate(api, "one", 0).elector.release()
    assert api.writes == 0


async def test_a_follower_writes_nothing(api: Api, pair: tuple[Candidate, Candidate]) -> None:
    one, _ = pair
    one.clock.now += 60
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(one.elector.lost(), 5)
    before = api.writes
    await looks()
    assert api.writes == before


def test_times_that_cannot_work_are_refused() -> None:
    for times in ((10, 10, 2), (10, 7, 7), (5, 7, 2)):
        with pytest.raises(ValueError, match="must hold"):
            Elector(cast("KubeClient", Api()), "one", "ns", "operator", *times)


def test_identities_differ_between_processes_of_one_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTNAME", "operator-0")
    assert new_identity().startswith("operator-0_")
    assert new_identity() != new_identity()
