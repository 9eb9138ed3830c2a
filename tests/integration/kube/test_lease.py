"""Leader election on a real API server: crashes, outages, zombies, shutdowns."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from integration.kube.harness import WriteConfig
from integration.kube.loopback import Mode, Proxy
from mastercontrol.engine.ports import RawObject
from mastercontrol.kube.client import KubeClient, Limits, PatchType
from mastercontrol.kube.lease import Elector
from mastercontrol.kube.paths import LEASES, Target

FAST = (2.0, 1.0, 0.2)
"""lease, renew deadline and retry in seconds"""

NewElector = Callable[..., Elector]
Candidate = Callable[..., "contextlib.AbstractAsyncContextManager[asyncio.subprocess.Process]"]


@pytest.fixture
async def elector(client: KubeClient, namespace: str) -> AsyncIterator[NewElector]:
    """Make electors of the test's own Lease."""
    made: list[Elector] = []

    def make(identity: str, times: tuple[float, float, float] = FAST, through: KubeClient | None = None) -> Elector:
        made.append(Elector(through or client, identity, namespace, "operator", *times))
        return made[-1]

    yield make
    for each in made:
        await each.release()


def leading(*electors: Elector) -> list[str]:
    return [each.identity for each in electors if each.is_leader]


async def lease_of(client: KubeClient, namespace: str) -> RawObject:
    return await client.get(Target(LEASES, namespace, "operator"))


@pytest.fixture
def candidate(api_server: str, namespace: str) -> Candidate:
    """Run a candidate in a process of its own."""

    @contextlib.asynccontextmanager
    async def run(identity: str, times: tuple[float, float, float]) -> AsyncIterator[asyncio.subprocess.Process]:
        script = str(Path(__file__).with_name("candidate.py"))
        arguments = [api_server, namespace, identity, *(str(each) for each in times)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, script, *arguments, stdout=asyncio.subprocess.PIPE
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    return run


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode().strip()


async def test_the_first_candidate_leads_and_says_so_in_the_lease(
    client: KubeClient, namespace: str, elector: NewElector
) -> None:
    first = elector("one")
    await asyncio.wait_for(first.acquire(), 5)
    assert first.is_leader
    spec = (await lease_of(client, namespace))["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("one", 2, 0)


async def test_of_many_candidates_at_once_exactly_one_leads(elector: NewElector) -> None:
    candidates = [elector(f"c{number}") for number in range(6)]
    tasks = [asyncio.create_task(each.acquire()) for each in candidates]
    try:
        await asyncio.wait(tasks, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        # Longer than the lease.
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            assert sum(each.is_leader for each in candidates) <= 1
            await asyncio.sleep(0.05)
        assert any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_after_a_release_the_next_one_leads_at_once(
    client: KubeClient, namespace: str, elector: NewElector
) -> None:
    first, second = elector("one", (10, 7, 0.2)), elector("two", (10, 7, 0.2))
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(0)
    await first.release()
    released = time.monotonic()
    assert not first.is_leader
    await asyncio.wait_for(first.lost(), 1)
    await asyncio.wait_for(waiting, 5)
    assert time.monotonic() - released < 3  # of 10
    assert (await lease_of(client, namespace))["spec"]["leaseTransitions"] == 1


async def test_a_leader_that_was_killed_is_replaced_within_15_seconds(
    candidate: Candidate, elector: NewElector
) -> None:
    """With the times that the operator runs with."""
    times = (10.0, 7.0, 2.0)
    async with candidate("victim", times) as victim:
        assert await line(victim) == "leads"
        second = elector("second", times)
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(1)
        victim.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        await asyncio.wait_for(waiting, 15)
    assert second.is_leader
    print(f"taken over after {time.monotonic() - killed:.1f} s")  # the figure is wanted


async def test_a_zombie_knows_that_it_leads_no_more_as_soon_as_it_wakes(
    candidate: Candidate, elector: NewElector
) -> None:
    async with candidate("zombie", FAST) as zombie:
        assert await line(zombie) == "leads"
        zombie.send_signal(signal.SIGSTOP)
        second = elector("second")
        await asyncio.wait_for(second.acquire(), 10)
        zombie.send_signal(signal.SIGCONT)
        assert await line(zombie) == "leads no more"
        assert second.is_leader


@pytest.mark.parametrize("mode", [Mode.CLOSED, Mode.HANG_REQUEST, Mode.HANG_ANSWER])
async def test_a_leader_without_an_api_server_steps_down_before_another_can_lead(
    mode: Mode, elector: NewElector, proxy: Proxy, write_config: WriteConfig
) -> None:
    async with await KubeClient.connect(write_config(port=proxy.port), limits=Limits()) as through:
        first, second = elector("one", through=through), elector("two")
        await first.acquire()
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(0.3)
        proxy.mode = mode
        cut = time.monotonic()
        await asyncio.wait_for(first.lost(), 5)
        stepped_down = time.monotonic() - cut
        assert leading(first, second) == []
        assert stepped_down < 2  # the lease
        await asyncio.wait_for(waiting, 5)
        assert leading(first, second) == ["two"]
        # It comes back as a follower, and waits.
        proxy.mode = Mode.PASS
        proxy.cut()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(first.acquire(), 2.5)
        assert not first.is_leader
        await first.release()


async def test_an_outage_shorter_than_the_deadline_changes_nothing(
    client: KubeClient, namespace: str, elector: NewElector, proxy: Proxy, write_config: WriteConfig
) -> None:
    async with await KubeClient.connect(write_config(port=proxy.port)) as through:
        first = elector("one", (4, 3, 0.2), through)
        await first.acquire()
        # Renewals land, but their answers do not come back: the version that is known is old by then.
        proxy.mode = Mode.CUT_ANSWER
        await asyncio.wait_for(proxy.answered.wait(), 5)
        proxy.mode = Mode.PASS
        before = (await lease_of(client, namespace))["spec"]["renewTime"]
        async with asyncio.timeout(3):
            while (await lease_of(client, namespace))["spec"]["renewTime"] == before:  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.05)
        assert first.is_leader
        assert (await lease_of(client, namespace))["spec"]["leaseTransitions"] == 0
        await first.release()


async def test_a_lease_that_somebody_deleted_is_made_again(
    client: KubeClient, namespace: str, elector: NewElector
) -> None:
    first = elector("one")
    await first.acquire()
    await client.delete(Target(LEASES, namespace, "operator"), {})
    await asyncio.wait_for(first.lost(), 5)
    await asyncio.wait_for(first.acquire(), 5)
    assert (await lease_of(client, namespace))["spec"]["holderIdentity"] == "one"


async def test_a_lease_that_somebody_else_took_is_lost_at_once(
    client: KubeClient, namespace: str, elector: NewElector
) -> None:
    first = elector("one", (10, 7, 0.2))
    await first.acquire()
    await client.patch(Target(LEASES, namespace, "operator"), {"spec": {"holderIdentity": "hand"}}, PatchType.MERGE)
    await asyncio.wait_for(first.lost(), 2)
    assert not first.is_leader
