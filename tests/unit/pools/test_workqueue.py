"""The queue of keys that gives each pool its turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mastercontrol.workqueue import WorkQueue
from unit.pools.fakes import Clock


class Turns:
    """What the queue does; a test may hold a turn."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.running = 0
        self.most = 0
        self.next: float | None = None
        self.held = asyncio.Event()
        self.held.set()
        self.queue = WorkQueue(self.turn, 3)

    async def turn(self, key: str) -> float | None:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.held.wait()
        self.done.append(key)
        self.running -= 1
        return self.next


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", made.monotonic)
    return made


@pytest.fixture
async def turns(clock: Clock) -> AsyncIterator[Turns]:
    del clock
    made = Turns()
    task = asyncio.create_task(made.queue.run())
    yield made
    task.cancel()
    await asyncio.wait([task])


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_key_added_twice_gets_one_turn(turns: Turns) -> None:
    turns.queue.add("a")
    turns.queue.add("a")
    await settle()
    assert turns.done == ["a"]


async def test_a_key_added_during_its_turn_gets_another_one_after_it(turns: Turns) -> None:
    turns.held.clear()
    turns.queue.add("a")
    await settle()
    turns.queue.add("a")
    turns.queue.add("a")
    await settle()
    assert turns.running == 1
    turns.held.set()
    await settle()
    assert turns.done == ["a", "a"]
    assert turns.most == 1


async def test_different_keys_have_their_turns_at_the_same_time(turns: Turns) -> None:
    turns.held.clear()
    for key in "abcde":
        turns.queue.add(key)
    await settle()
    assert turns.running == 3
    turns.held.set()
    await settle()
    assert sorted(turns.done) == list("abcde")


async def test_a_turn_says_when_the_next_one_is_due(turns: Turns, clock: Clock) -> None:
    turns.next = 5
    turns.queue.add("a")
    await settle()
    clock.seconds += 4.9
    await settle()
    assert turns.done == ["a"]
    clock.seconds += 0.2
    await settle()
    assert turns.done == ["a", "a"]


@pytest.mark.parametrize("order", [(1.0, 9.0), (9.0, 1.0)])
async def test_the_earliest_time_counts(turns: Turns, clock: Clock, order: tuple[float, float]) -> None:
    for seconds in order:
        turns.queue.add_after("a", seconds)
    clock.seconds += 2
    await settle()
    assert turns.done == ["a"]
    clock.seconds += 20
    await settle()
    assert turns.done == ["a"]


async def test_a_turn_now_takes_the_place_of_a_later_one(turns: Turns, clock: Clock) -> None:
    turns.queue.add_after("a", 5)
    turns.queue.add("a")
    clock.seconds += 20
    await settle()
    assert turns.done == ["a"]


async def test_a_forgotten_key_gets_no_timed_turn(turns: Turns, clock: Clock) -> None:
    turns.queue.add_after("a", 5)
    turns.queue.forget("a")
    clock.seconds += 20
    await settle()
    assert turns.done == []


async def test_nothing_happens_before_and_after_the_queue_runs(clock: Clock) -> None:
    made = Turns()
    made.queue.add("a")
    await settle()
    assert made.done == []
    task = asyncio.create_task(made.queue.run())
    await settle()
    assert made.done == ["a"]
    made.queue.add_after("a", 1)
    task.cancel()
    await asyncio.wait([task])
    clock.seconds += 20
    await settle()
    assert made.done == ["a"]
