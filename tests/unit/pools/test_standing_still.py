"""Between the write of a smaller number and the ReplicaSet's act: what it chooses by must not change.

Each of these was found by the simulator of autoscaling (bench/autoscaling): a busy worker was ended in its run.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.departures import GONE_SECONDS
from mastercontrol.pools.leaving import MARK
from mastercontrol.pools.reducer import Reducer
from mastercontrol.pools.scaling import ScalingReason
from mastercontrol.pools.settings import PoolSettings
from mastercontrol.pools.state import PoolState
from mastercontrol_worker.presence import Command, CommandMessage
from unit.pools.fakes import Cluster
from unit.pools.yard import Yard

SETTLE = PoolSettings().mark_settle_seconds


class Site:
    """A Reducer and a yard, in which nothing happens by itself."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.yard = Yard()
        self.cluster = Cluster([])
        self.state = PoolState("shop", "resize", "u", PoolSettings())
        self.state.crew.listen(0)
        self.told: list[tuple[str, Command]] = []
        self.reducer = Reducer(self.cluster, self, PoolSettings(), lambda: self.now)

    async def tell(self, letters: Sequence[tuple[str, bytes]]) -> None:
        for name, body in letters:
            command = CommandMessage.decode(body)
            self.told.append((name, command.command))
            self.yard.post(name, command)

    async def held(self, namespace: str, pool: str) -> dict[str, int] | None:
        raise NotImplementedError(namespace, pool)

    async def look(self, wanted: int) -> int:
        """A turn; all answers come at once."""
        self.hear()
        self.cluster.pods[:] = self.yard.pods()
        found, fault = await self.reducer.reduce(self.state, wanted, ScalingReason.SHRINK)
        assert fault is None
        for raw in self.cluster.pods:
            self.yard.annotate(raw["metadata"]["name"], next(iter(raw["metadata"]["annotations"].values()), None))
        self.state.live.scaled(found)
        self.yard.carry()
        self.hear()
        return found

    def hear(self) -> None:
        while self.yard.said:
            said = self.yard.said.popleft()
            self.state.crew.hear(said, said.worker, self.now)

    def begin(self, **left: list[float]) -> None:
        for name, steps in left.items():
            self.yard.add(name, left=steps)
        self.state.live.observe(_deployment(len(left)))

    async def lower(self) -> None:
        """Of three, a and b are to go; b is at work. The number goes down to two."""
        self.begin(a=[], b=[9.0], c=[9.0])
        assert await self.look(1) == 3
        assert await self.look(1) == 3
        self.now += SETTLE
        assert await self.look(1) == 2
        self.told.clear()
        self.cluster.calls.clear()


def _deployment(replicas: int) -> RawObject:
    return {"metadata": {"uid": "d", "generation": 1}, "spec": {"replicas": replicas}, "status": {}}


@pytest.fixture
def site() -> Site:
    return Site()


async def test_a_turn_before_the_replicaset_has_acted_takes_no_mark_away(site: Site) -> None:
    await site.lower()
    assert await site.look(1) == 2
    assert site.told == []
    assert site.cluster.calls["annotate"] == 0
    assert site.yard.workers["a"].cost == MARK


async def test_once_the_pod_is_gone_the_others_go_on_going(site: Site) -> None:
    await site.lower()
    site.yard.workers["b"].left.clear()
    site.yard.speak(site.yard.workers["b"])
    assert await site.look(1) == 2
    del site.yard.workers["a"]
    assert await site.look(1) == 2
    assert site.yard.workers["b"].cost == MARK
    site.now += SETTLE
    assert await site.look(1) == 1


async def test_new_work_in_that_moment_wakes_nobody_who_is_marked(site: Site) -> None:
    """Of two with a mark the ReplicaSet may take either."""
    site.begin(a=[], b=[9.0], c=[], d=[9.0])
    for _ in range(2):
        await site.look(1)
    site.now += SETTLE / 2
    site.yard.workers["b"].left.clear()
    site.yard.speak(site.yard.workers["b"])
    await site.look(1)
    assert {name: worker.cost for name, worker in site.yard.workers.items() if worker.cost} == dict.fromkeys(
        "abc", MARK
    )
    site.now += SETTLE / 2
    assert await site.look(1) == 2  # a and c; b's mark is too new
    site.told.clear()
    await site.reducer.keep(site.state)
    assert site.told == []
    site.now += GONE_SECONDS
    await site.reducer.keep(site.state)
    assert ("b", Command.RESUME) in site.told  # nobody took the others either


async def test_a_number_that_rose_again_before_the_replicaset_saw_it_holds_nobody_up_for_long(site: Site) -> None:
    await site.lower()
    site.state.live.scaled(3)
    site.now += GONE_SECONDS
    await site.reducer.keep(site.state)
    site.yard.carry()
    site.yard.workers["a"].draining = False  # its drain ends by itself
    site.yard.speak(site.yard.workers["a"])
    site.told.clear()
    assert await site.look(2) == 3
    assert site.told == [("a", Command.DRAIN)]  # it is at work again, or may be, so it is asked anew
    site.now += SETTLE
    assert await site.look(2) == 2


async def test_if_another_pod_was_taken_the_one_that_was_meant_is_chosen_anew(site: Site) -> None:
    """As one that was not ready when it was marked, and is at work when the next one is to go."""
    await site.lower()
    del site.yard.workers["c"]
    site.yard.workers["a"].left.append(9.0)
    site.yard.workers["a"].draining = False
    site.yard.speak(site.yard.workers["a"])
    assert await site.look(1) == 2
    site.now += SETTLE
    assert await site.look(1) == 2


async def test_where_all_are_to_go_while_pods_are_replaced_none_goes_before_all_can(site: Site) -> None:
    """Of two ReplicaSets Kubernetes takes by its own rules, and the marks may be in the other one."""
    site.begin(a=[], b=[], c=[9.0])
    status = {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 1}
    site.state.live.observe(_deployment(2) | {"status": status})
    for _ in range(5):
        assert await site.look(0) == 2
        site.now += SETTLE
    assert {name for name, worker in site.yard.workers.items() if worker.draining} == {"a", "b", "c"}
    site.yard.work(9.0)
    assert await site.look(0) == 0
