"""The loop of the simulation: what dies is dead, what stands still goes on, and time passes when nothing else can."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from simulation.loop import Process, SimulatedLoop, Stuck, new_loop

Journal = list[str]


@pytest.fixture
def loop() -> SimulatedLoop:
    return new_loop(Random(1), pytest.fail)


async def work(journal: Journal, name: str) -> None:
    try:
        for _ in range(3):
            await asyncio.sleep(1)
            journal.append(f"{name} at {asyncio.get_running_loop().time():g}")
    finally:
        journal.append(f"{name} ends")


def start(loop: SimulatedLoop, journal: Journal, name: str) -> Process:
    process = Process(name)
    loop.create_task(work(journal, name), context=loop.within(process))
    return process


def test_hours_pass_at_once(loop: SimulatedLoop) -> None:
    loop.run(asyncio.sleep(100 * 3600))
    assert loop.time() == 100 * 3600


def test_a_killed_process_runs_no_line_more_not_even_a_finally(loop: SimulatedLoop) -> None:
    journal: Journal = []

    async def main() -> None:
        process = start(loop, journal, "a")
        await asyncio.sleep(1.5)
        loop.kill(process)
        await asyncio.sleep(10)
        assert journal == ["a at 1"]

    loop.run(main())


def test_a_process_that_stood_still_goes_on_with_what_became_due(loop: SimulatedLoop) -> None:
    journal: Journal = []

    async def main() -> None:
        process = start(loop, journal, "a")
        await asyncio.sleep(1.5)
        loop.freeze(process)
        await asyncio.sleep(10)
        assert journal == ["a at 1"]
        loop.thaw(process)
        await asyncio.sleep(0.5)
        assert journal == ["a at 1", "a at 11.5"]

    loop.run(main())


def test_what_one_process_makes_belongs_to_it(loop: SimulatedLoop) -> None:
    journal: Journal = []

    async def parent() -> None:
        asyncio.get_running_loop().create_task(work(journal, "child"))
        asyncio.get_running_loop().call_later(2, journal.append, "timer")

    async def main() -> None:
        process = Process("a")
        await loop.create_task(parent(), context=loop.within(process))
        loop.kill(process)
        await asyncio.sleep(10)
        assert journal == []

    loop.run(main())


def test_a_run_in_which_nothing_can_happen_says_so(loop: SimulatedLoop) -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck, match="nothing will ever happen"):
        loop.run(main())


def test_which_process_is_next_depends_on_the_seed() -> None:
    def order(seed: int) -> Journal:
        journal: Journal = []
        loop = new_loop(Random(seed), pytest.fail)

        async def main() -> None:
            for name in "abcde":
                start(loop, journal, name)
            await asyncio.sleep(5)

        loop.run(main())
        return journal[:5]

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(20)}) > 10
