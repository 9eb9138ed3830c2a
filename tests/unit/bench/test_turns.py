"""Pools that take turns, with work that never ends: what is done of it is what counts, and not who has pods."""

from __future__ import annotations

import pytest

from autoscaling.loads import Arrival
from autoscaling.operators import Operator
from autoscaling.site import Pods, Ways
from autoscaling.soak import place
from autoscaling.timeline import Timeline
from autoscaling.world import PlannedPool, World
from mastercontrol.pools.settings import PoolSettings

SECONDS = 7200.0


def work_done(step_seconds: tuple[float, ...], quota: int, start: tuple[float, float]) -> list[float]:
    """Seconds of work that each pool has done, of more than it can do."""
    plans = tuple(
        PlannedPool(
            spec={"minReplicas": 0, "maxReplicas": 5, "autoscaling": {}},
            pods=Pods(grace_seconds=3600.0),
            ways=Ways(start=start),
            arrivals=tuple(Arrival(1.0, seconds) for _ in range(int(3 * SECONDS / seconds))),
        )
        for seconds in step_seconds
    )
    timeline, operator = Timeline(), Operator(PoolSettings(max_workers=quota))
    world = World("turns", plans, SECONDS, max_workers=quota)
    pools = [place(timeline, operator, world, number, plan) for number, plan in enumerate(plans)]
    timeline.run(SECONDS)
    assert sum(pool.site.tally.killed for pool in pools) == 0
    return [sum(step.seconds for step in pool.site.tally.steps if step.ended is not None) for pool in pools]


@pytest.mark.parametrize(
    ("step_seconds", "quota", "start"),
    [
        ((10.0, 10.0), 1, (5.0, 10.0)),
        ((200.0, 10.0), 1, (25.0, 30.0)),  # longer than a turn
        ((10.0, 10.0, 10.0), 2, (125.0, 140.0)),  # and so are the starts
        ((1000.0, 10.0), 1, (60.0, 180.0)),
    ],
)
def test_each_pool_gets_work_done(step_seconds: tuple[float, ...], quota: int, start: tuple[float, float]) -> None:
    done = work_done(step_seconds, quota, start)
    assert min(done) > 0.07 * SECONDS * quota / len(done), done


def test_pools_of_one_sort_get_the_same_done() -> None:
    one, other = work_done((10.0, 10.0), 1, (5.0, 10.0))
    assert one == pytest.approx(other, rel=0.1)
    assert one + other > 0.8 * SECONDS
