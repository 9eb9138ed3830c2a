"""Roll-outs, drains and failures of nodes in the simulator of autoscaling: that they are as Kubernetes' are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from autoscaling import deployment
from autoscaling.controllers import Why
from autoscaling.disturbances import GIVE_UP, Drain, Evictable, Failure, Nodes
from autoscaling.pool import OperatorPool
from autoscaling.site import Pods, Site, Ways
from autoscaling.timeline import Timeline
from mastercontrol.api.pool import parse_pool
from mastercontrol.pools import deployment as operators


def site(replicas: int, nodes: int = 2, grace: float = 60.0) -> Site:
    """With so many workers, all of which consume."""
    made = Site(Timeline(), "seed", Ways(start=(1.0, 2.0)), Pods(grace_seconds=grace, nodes=nodes))
    made.scale(replicas)
    made.timeline.run(10.0)
    return made


def test_the_strategy_is_the_one_that_the_operator_writes() -> None:
    meta = {"namespace": "shop", "name": "resize", "uid": "u"}
    pool = parse_pool({"metadata": meta, "spec": {"template": {"image": "i", "handlers": "h"}}})
    strategy = operators.deployment(pool, "amqp://")["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxUnavailable": 0, "maxSurge": f"{deployment.SURGE:.0%}"}


@pytest.mark.parametrize(
    ("sets", "replicas", "available", "after"),
    [
        ({1: 4}, 4, {1: 4}, {1: 4, 2: 1}),  # one more than there are to be
        ({1: 4, 2: 1}, 4, {1: 4}, {1: 4, 2: 1}),  # it is not ready yet
        ({1: 4, 2: 1}, 4, {1: 4, 2: 1}, {1: 3, 2: 1}),
        ({1: 3, 2: 1}, 4, {1: 3, 2: 1}, {1: 3, 2: 2}),
        ({1: 4, 2: 1}, 4, {1: 2}, {1: 4, 2: 1}),  # one that is not ready stays as long as the new one is not either
        ({1: 4, 2: 2}, 4, {1: 3, 2: 1}, {1: 3, 2: 2}),  # and goes before one that is
        ({1: 0}, 0, {}, {1: 0, 2: 0}),
        ({2: 5}, 4, {2: 5}, {2: 4}),
    ],
)
def test_a_step_of_a_roll_out(
    sets: Mapping[int, int], replicas: int, available: Mapping[int, int], after: Mapping[int, int]
) -> None:
    assert deployment.rolled(sets, 2, replicas, available) == after


@pytest.mark.parametrize(
    ("sets", "before", "replicas", "after"),
    [
        ({1: 4}, 4, 2, {1: 2}),
        ({1: 0, 2: 4}, 4, 8, {1: 0, 2: 8}),
        ({1: 8, 2: 2}, 8, 4, {1: 4, 2: 1}),  # each its part
        ({1: 8, 2: 2}, 8, 16, {1: 16, 2: 4}),
        ({1: 3, 2: 3}, 5, 4, {1: 2, 2: 3}),  # of two that are as large the older one
        ({1: 3, 2: 2}, 4, 0, {1: 0, 2: 0}),
        ({1: 0}, 0, 3, {1: 0}),
    ],
)
def test_a_changed_number_is_divided_among_the_replicasets(
    sets: Mapping[int, int], before: int, replicas: int, after: Mapping[int, int]
) -> None:
    assert deployment.scaled(sets, before, replicas) == after


def test_a_roll_out_replaces_all_pods_and_lets_the_busy_ones_finish() -> None:
    here = site(4)
    old = set(here.workers)
    for _ in range(4):
        here.publish(50.0)
    here.roll()
    least = most = 4
    while here.deployment.rolls or here.timeline.now < 11:
        here.timeline.run(here.timeline.now + 0.1)
        least = min(least, sum(worker.ready_at is not None for worker in here.workers.values()))
        most = max(most, len(here.workers))
    assert (least, most) == (4, 5)
    assert not old & set(here.workers)
    assert here.existing == 8
    here.timeline.run(100.0)
    assert here.existing == 4
    tally = here.tally
    assert (tally.busy[Why.ROLL_OUT], tally.chosen, tally.killed, tally.again, tally.unfinished) == (4, 0, 0, 0, 0)


def test_the_operator_sees_a_roll_out_from_its_own_write_to_the_last_old_pod() -> None:
    here = Site(Timeline(), "seed", Ways(start=(1.0, 2.0)))
    pool = OperatorPool(here, {"minReplicas": 4, "maxReplicas": 4})
    here.timeline.run(20.0)
    seen = [pool.state.live.is_rolling]
    pool.roll()
    while here.deployment.rolls:
        seen.append(pool.state.live.is_rolling)
        here.timeline.run(here.timeline.now + 0.05)
    here.timeline.run(here.timeline.now + 1.0)
    seen.append(pool.state.live.is_rolling)
    assert (seen[0], set(seen[1:-1]), seen[-1]) == (False, {True}, False)
    assert len(seen) > 100
    assert pool.state.live.counts.replicas == 4


def drained(budget: Mapping[str, Any] | None, seconds: float) -> tuple[Site, int]:
    """A site of which a node is drained for so long, and how many pods were there."""
    here = site(6)
    nodes = Nodes(here.timeline, [Evictable(here, budget)], 2)
    count = len(here.on(0))
    assert count >= 2
    nodes.drain(Drain(10.0, 0, 30.0))
    here.timeline.run(10.0 + seconds)
    return here, count


def test_without_a_budget_all_pods_of_a_drained_node_go_at_once_and_come_again_elsewhere() -> None:
    here, count = drained(None, 4.0)
    assert here.tally.ended[Why.EVICTION] == count
    assert {worker.node for worker in here.workers.values()} == {1}
    assert len(here.workers) == 6
    here.timeline.run(45.0)
    here.scale(16)
    here.timeline.run(50.0)
    assert {worker.node for worker in here.workers.values()} == {0, 1}  # it is open again


@pytest.mark.parametrize("budget", [{"maxUnavailable": 1}, {"maxUnavailable": "10%"}, {"minAvailable": 5}])
def test_with_a_budget_they_go_one_after_the_other(budget: Mapping[str, Any]) -> None:
    here, count = drained(budget, 0.5)
    assert here.tally.ended[Why.EVICTION] == 1
    here.timeline.run(60.0)
    assert here.tally.ended[Why.EVICTION] == count


def test_a_budget_that_allows_nothing_ends_the_drain() -> None:
    here, _ = drained({"maxUnavailable": 0}, GIVE_UP + 40.0)
    assert here.tally.ended[Why.EVICTION] == 0
    here.scale(16)
    here.timeline.run(here.timeline.now + 10.0)
    assert here.on(0)


def test_an_evicted_worker_finishes_what_it_has() -> None:
    here = site(6)
    for _ in range(6):
        here.publish(40.0)
    Nodes(here.timeline, [Evictable(here, None)], 2).drain(Drain(10.0, 0, 30.0))
    here.timeline.run(100.0)
    tally = here.tally
    assert tally.busy[Why.EVICTION] == tally.ended[Why.EVICTION] > 0
    assert (tally.chosen, tally.killed, tally.again, tally.unfinished) == (0, 0, 0, 0)


def test_what_a_failed_node_had_is_done_again_once_the_broker_has_noticed_and_is_nobodys_fault() -> None:
    here = site(6)
    for _ in range(6):
        here.publish(30.0)
    lost = len(here.on(0))
    Nodes(here.timeline, [Evictable(here, None)], 2).fail(Failure(10.0, 0, 8.0, 12.0, 20.0))
    assert len(here.workers) == 6
    here.timeline.run(19.0)
    assert sum(worker.ready_at is None for worker in here.workers.values()) == lost
    here.scale(6 - lost)  # not ready pods go first: the dead ones
    here.timeline.run(300.0)
    tally = here.tally
    assert (tally.lost_pods, tally.lost_steps) == (lost, lost)
    assert (tally.chosen, tally.killed, tally.again, tally.unfinished) == (0, 0, 0, 0)
    assert sorted(step.times for step in tally.steps) == [1] * (6 - lost) + [2] * lost


def test_pods_of_a_failed_node_are_replaced_and_steps_that_reach_them_are_not_lost() -> None:
    here = site(6)
    failure = Failure(10.0, 0, 20.0, 25.0, 200.0)
    Nodes(here.timeline, [Evictable(here, None)], 2).fail(failure)
    for _ in range(6):
        here.publish(1.0)
    here.timeline.run(10.0 + 4.0)
    assert 0 < here.tally.unfinished < 6  # the others are with consumers that are not there
    here.timeline.run(10.0 + 40.0)
    assert len(here.workers) == 6
    assert {worker.node for worker in here.workers.values()} == {1}
    here.timeline.run(10.0 + 80.0)
    assert (here.tally.unfinished, here.tally.again) == (0, 0)


def test_the_last_open_node_stays_open() -> None:
    here = site(4)
    nodes = Nodes(here.timeline, [Evictable(here, None)], 2)
    nodes.drain(Drain(10.0, 0, 30.0))
    nodes.fail(Failure(10.0, 1, 1.0, 2.0, 3.0))
    assert (nodes.drained, nodes.failed) == (1, 0)
