"""A pool without a window of its user's whose pods start slowly: half of the workers stay for longer."""

from __future__ import annotations

from typing import Any

import pytest

from mastercontrol.engine.ports import StoreUnavailable
from unit.pools.test_going_down import Site
from unit.pools.world import STEP_SECONDS, World, pool

START = 15
"""Seconds that a pod takes: half stay for 150."""


async def begin(site: Site, workers: int, start: int | None = START, **spec: Any) -> None:
    await site.begin(workers, **({"autoscaling": {}} | spec))
    for worker in site.yard.workers.values():
        worker.start = start


async def most_drained(site: Site, seconds: float) -> int:
    """Let time pass, with a turn in each moment; how many drained or were gone at most."""
    workers, most = len(site.yard.workers), 0
    for _ in range(round(seconds / STEP_SECONDS)):
        site.world.controller.report("shop", "resize")
        await site.after(STEP_SECONDS)
        most = max(most, len(site.drained) + workers - len(site.yard.workers))
    return most


async def new_operator(site: Site) -> None:
    await site.world.stop()
    site.world.controller = site.world.new_controller()
    site.world.controller.on_pool(pool(autoscaling={}))
    site.world.connect("e1")
    site.world.start()
    for worker in site.yard.workers.values():
        site.yard.speak(worker)
    await site.world.settle()


@pytest.fixture
def site(world: World) -> Site:
    return Site(world)


async def test_half_stay_until_ten_starts_and_not_one_of_them_is_drained_before(site: Site) -> None:
    await begin(site, 7)
    assert await most_drained(site, 140) == 3
    assert (len(site.yard.workers), site.world.cluster.replicas()) == (4, 4)
    await site.after(20)
    assert site.world.cluster.replicas() == 0


async def test_the_last_one_stays_too(site: Site) -> None:
    await begin(site, 1)
    assert await most_drained(site, 140) == 0
    await site.after(20)
    assert site.world.cluster.replicas() == 0


@pytest.mark.parametrize("start", [None, 2, 6])
async def test_pods_that_start_fast_or_do_not_tell_go_after_a_minute(site: Site, start: int | None) -> None:
    await begin(site, 6, start)
    await site.after(58)
    assert site.world.cluster.replicas() == 6
    await site.after(10)
    assert site.world.cluster.replicas() == 0


@pytest.mark.parametrize("start", [None, START])
async def test_a_window_of_the_users_is_all_there_is_and_nothing_waits_for_a_look(
    site: Site, start: int | None
) -> None:
    await begin(site, 6, start, autoscaling={"scaleDownStabilizationSeconds": 60})
    began = site.world.clock.seconds
    while site.world.cluster.replicas():
        await site.after(STEP_SECONDS)
    assert site.world.clock.seconds - began == 60


async def test_pods_that_tell_no_more_are_no_reason_for_more_to_go(site: Site) -> None:
    await begin(site, 7)
    while not site.drained:
        await site.after(STEP_SECONDS)
    for worker in site.yard.workers.values():
        worker.start = None
    assert await most_drained(site, 75) == 3


async def test_pods_that_can_not_be_listed_are_looked_at_before_anybody_goes(site: Site) -> None:
    await begin(site, 6)
    site.world.cluster.pods_fail = StoreUnavailable("timed out")
    assert await most_drained(site, 90) == 0
    assert site.world.cluster.replicas() == 6
    site.world.publish(8)
    await site.world.settle()
    assert site.world.cluster.replicas() == 8  # it holds up no growth
    for index in (6, 7):
        site.yard.add(f"w{index}", start=START)
    site.world.finish()
    site.world.cluster.pods_fail = None
    assert await most_drained(site, 140) == 4
    assert site.world.cluster.replicas() == 4


async def test_a_new_operator_sees_it_again(site: Site) -> None:
    await begin(site, 6)
    await site.after(70)
    assert site.world.cluster.replicas() == 3
    await new_operator(site)
    assert await most_drained(site, 55) == 0  # it knows of nothing before
    assert await most_drained(site, 85) == 1
    assert site.world.cluster.replicas() == 2
    await site.after(20)
    assert site.world.cluster.replicas() == 0


async def test_more_work_meanwhile_finds_those_that_stayed(site: Site) -> None:
    await begin(site, 6)
    await site.after(100)
    scalings = site.world.cluster.calls["scale"]
    site.world.publish(3)
    await site.after(1)
    assert site.world.cluster.replicas() == 3
    assert site.world.cluster.calls["scale"] == scalings


async def test_a_lower_maximum_ends_those_that_stay(site: Site) -> None:
    await begin(site, 6)
    await site.after(70)
    await site.world.add(pool(generation=2, autoscaling={}, maxReplicas=1))
    await site.after(5)
    assert site.world.cluster.replicas() == 1
