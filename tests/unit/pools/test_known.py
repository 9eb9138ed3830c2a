"""Who is told that a pool came or went: whoever showed that, all who wait for it hear of it once."""

from __future__ import annotations

import pytest

from unit.pools.world import World, pool


@pytest.fixture
def told(world: World) -> list[tuple[str, bool]]:
    calls: list[tuple[str, bool]] = []
    world.controller._on_known = lambda namespace, name: calls.append((name, world.controller.known(namespace, name)))
    return calls


async def test_a_pool_that_is_shown_twice_is_told_of_once(world: World, told: list[tuple[str, bool]]) -> None:
    await world.add(pool())
    await world.add(pool())
    assert told == [("resize", True)]


async def test_a_pool_that_is_put_right_is_told_of(world: World, told: list[tuple[str, bool]]) -> None:
    await world.add(pool(minReplicas="many"))
    assert told == []
    await world.add(pool(generation=2))
    assert told == [("resize", True)]


async def test_a_pool_that_is_deleted_is_told_of(world: World, told: list[tuple[str, bool]]) -> None:
    await world.add(pool())
    world.controller.on_pool(pool(), deleted=True)
    await world.settle()
    assert told == [("resize", True), ("resize", False)]


async def test_a_pool_whose_end_no_watch_showed_is_told_of(world: World, told: list[tuple[str, bool]]) -> None:
    await world.add(pool())
    world.controller.retain([], world.controller.uids())
    assert told == [("resize", True), ("resize", False)]
