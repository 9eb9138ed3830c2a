"""A pool with too many workers: the controller, with a ReplicaSet, pods and workers that answer around it."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from mastercontrol.engine.ports import BrokerForbidden, BrokerUnavailable, Depth, StoreUnavailable
from mastercontrol.pools.leaving import MARK
from mastercontrol_worker.presence import PRESENCE_SECONDS, CommandMessage, Doing, PresenceMessage
from unit.pools.world import STEP_SECONDS, World, pool
from unit.pools.yard import QUEUE, Yard


class Site:
    """A pool `resize` whose workers are in a yard. Answers take a quarter of a second, as does the ReplicaSet."""

    def __init__(self, world: World, *, seed: int = 0, lag: int = 0) -> None:
        self.world, self.yard = world, Yard(seed)
        self.cut = self.forbidden = False
        self._told = deque[int | None]([None] * lag)  # what the ReplicaSet will see, each a quarter of a second later
        world.broker.on_letter = self._post

    def _post(self, address: str, order: CommandMessage) -> None:
        if self.cut:
            raise BrokerUnavailable("gone")
        if self.forbidden:
            raise BrokerForbidden("403 ACCESS_REFUSED")
        self.yard.post(address.removeprefix("to-"), order)

    async def begin(self, workers: int, busy: int = 0, seconds: float = 1e6, **spec: Any) -> None:
        """So many workers, of which some do a step that takes so long."""
        spec = {"autoscaling": {"scaleDownStabilizationSeconds": 2}} | spec
        await self.world.add(pool(**spec))
        self.world.publish(workers * spec["autoscaling"].get("targetBacklog", 1))
        await self.world.settle()
        for index in range(workers):
            self.yard.add(f"w{index}", left=[seconds] if index < busy else [])
        await self.after(STEP_SECONDS)
        self.world.outstanding["shop", "resize"] = busy

    async def after(self, seconds: float) -> None:
        cluster = self.world.cluster
        for _ in range(round(seconds / STEP_SECONDS)):
            self._told.append(cluster.replicas())
            told = self._told.popleft()
            self.yard.replicas = len(self.yard.workers) if told is None else told
            self.yard.reconcile()
            self.yard.sync()
            self.yard.carry()
            self.yard.work(STEP_SECONDS)
            held = sum(len(worker.left) for worker in self.yard.workers.values())
            if self.world.broker.depths.get("resize") is not None:
                self.world.broker.depths["resize"] = Depth(0, held, len(self.yard.workers))
                self.world.outstanding["shop", "resize"] = held
            if (self.world.clock.seconds - 1000) % PRESENCE_SECONDS == 0:
                for worker in self.yard.workers.values():
                    self.yard.speak(worker)
            while self.yard.said:
                said = self.yard.said.popleft()
                self.world.controller.on_presence(said, f"to-{said.worker}")
            cluster.pods[:] = self.yard.pods()
            await self.world.after(STEP_SECONDS)
            for pod in cluster.pods:
                cost = pod["metadata"]["annotations"] or {}
                self.yard.annotate(pod["metadata"]["name"], next(iter(cost.values()), None))
        assert self.yard.wronged == []

    @property
    def drained(self) -> list[str]:
        return sorted(worker.name for worker in self.yard.workers.values() if worker.draining)


@pytest.fixture
def site(world: World) -> Site:
    return Site(world)


async def test_idle_workers_go_and_busy_ones_stay(site: Site) -> None:
    await site.begin(6, busy=2)
    await site.after(10)
    assert sorted(site.yard.workers) == ["w0", "w1"]
    assert site.world.cluster.replicas() == 2
    assert site.drained == []


async def test_a_scale_down_costs_a_write_for_each_pod_that_goes_and_one_for_the_number(site: Site) -> None:
    await site.begin(6, busy=2)
    before = site.world.cluster.calls.copy()
    await site.after(20)
    calls = site.world.cluster.calls - before
    assert (calls["annotate"], calls["scale"]) == (4, 1)


async def test_nobody_is_marked_where_all_go(site: Site) -> None:
    await site.begin(6)
    await site.after(10)
    assert site.world.cluster.replicas() == 0
    assert site.world.cluster.calls["annotate"] == 0


async def test_a_worker_with_a_long_step_is_waited_for_and_gets_no_other(site: Site) -> None:
    await site.begin(3, busy=3, seconds=100, autoscaling={"scaleDownStabilizationSeconds": 2, "targetBacklog": 3})
    await site.after(50)
    assert len(site.drained) == 2
    assert site.world.cluster.replicas() == 3
    message = site.world.condition("ScalingActive")["message"]
    assert message.endswith("2 finish their steps before they are stopped")
    await site.after(60)
    assert site.world.cluster.replicas() == 0
    assert "finish" not in site.world.condition("ScalingActive")["message"]


async def test_new_work_lets_those_that_drain_go_on_without_a_write(site: Site) -> None:
    await site.begin(3, busy=3, autoscaling={"scaleDownStabilizationSeconds": 2, "targetBacklog": 3})
    await site.after(10)
    assert len(site.drained) == 2
    scalings = site.world.cluster.calls["scale"]
    site.world.broker.depths["resize"] = None  # what the operator knows by itself is enough
    site.world.outstanding["shop", "resize"] = 9
    site.world.controller.poke("shop", "resize")
    await site.after(1)
    assert site.drained == []
    assert site.world.cluster.calls["scale"] == scalings


async def test_a_depth_that_is_unknown_for_long_lets_all_go_on(site: Site) -> None:
    await site.begin(3, busy=3, autoscaling={"scaleDownStabilizationSeconds": 2, "targetBacklog": 3})
    await site.after(10)
    site.world.broker.depths["resize"] = None
    await site.after(10)
    assert len(site.drained) == 2  # one answer that is missing undoes nothing
    await site.after(10)
    assert site.drained == []
    assert site.world.cluster.replicas() == 3


async def test_a_new_operator_goes_on_where_the_former_one_was(site: Site) -> None:
    await site.begin(4, busy=2, seconds=20)
    await site.after(3)
    site.yard.annotate("w0", MARK)  # a mark of one that was to go and no longer is
    await site.world.stop()
    site.world.controller = site.world.new_controller()
    site.world.controller.on_pool(pool(autoscaling={"scaleDownStabilizationSeconds": 2}))
    site.world.connect("e1")
    site.world.start()
    for worker in site.yard.workers.values():
        site.yard.speak(worker)
    await site.after(10)
    assert sorted(site.yard.workers) == ["w0", "w1"]
    await site.after(20)
    assert site.yard.workers == {}


async def test_workers_that_say_nothing_go_after_a_while_if_the_broker_knows_them_to_be_idle(site: Site) -> None:
    await site.begin(4, busy=0)
    for worker in site.yard.workers.values():
        worker.speaks = False
    site.yard.said.clear()
    await site.world.stop()
    site.world.controller = site.world.new_controller()
    site.world.controller.on_pool(pool(autoscaling={"scaleDownStabilizationSeconds": 2}))
    site.world.broker.consumers = {"w0": 0, "w1": 0, "w2": 1}
    site.world.connect("e1")
    site.world.start()
    await site.after(25)
    assert site.world.cluster.replicas() == 4  # nothing is known yet
    await site.after(20)
    assert sorted(site.yard.workers) == ["w2", "w3"]
    site.world.broker.consumers = None
    await site.after(20)
    assert sorted(site.yard.workers) == ["w2", "w3"]
    site.world.broker.consumers = {"w2": 0, "w3": 0}
    await site.after(20)
    assert site.world.cluster.replicas() == 0


async def new_operator(site: Site, **spec: Any) -> None:
    """One that has heard of nobody yet."""
    site.yard.said.clear()
    await site.world.stop()
    site.world.controller = site.world.new_controller()
    site.world.controller.on_pool(pool(autoscaling={"scaleDownStabilizationSeconds": 2}, **spec))
    site.world.connect("e1")
    site.world.start()
    await site.world.settle()


async def test_where_the_user_wrote_the_number_silence_holds_up_nothing_but_who_spoke_is_waited_for(site: Site) -> None:
    await site.begin(3, busy=1)
    for worker in site.yard.workers.values():
        worker.speaks = False
    await new_operator(site)
    site.world.controller.on_presence(site.yard.workers["w0"].presence, "to-w0")
    await site.after(40)
    await site.world.add(pool(generation=2, maxReplicas=0))
    await site.after(15)
    assert sorted(site.yard.workers) == ["w0"]


async def test_a_worker_that_has_just_started_is_not_taken_for_one_that_says_nothing(site: Site) -> None:
    """Found by the simulator of autoscaling (bench/autoscaling): it had its first step before it was heard of."""
    await site.begin(3, busy=3)
    await site.after(40)
    del site.yard.workers["w2"]
    late = site.yard.add("late", speaks=False)
    await site.world.add(pool(generation=2, maxReplicas=0))
    await site.after(3)
    late.left, late.speaks = [20.0], True
    site.yard.speak(late)
    await site.after(15)
    assert site.drained == ["late", "w0", "w1"]
    await site.after(15)
    assert site.drained == ["w0", "w1"]


async def test_while_the_broker_is_away_silence_says_nothing(site: Site) -> None:
    """Found by the simulator of autoscaling (bench/autoscaling): a worker that came meanwhile was not heard."""
    await site.begin(3, busy=3)
    await site.after(40)
    site.world.broker.epoch = None
    site.world.broker.depths["resize"] = None
    site.cut = True
    del site.yard.workers["w2"]
    late = site.yard.add("late", left=[1e6], speaks=False)
    await site.world.add(pool(generation=2, maxReplicas=0))
    await site.after(60)
    late.speaks, site.cut = True, False
    site.yard.speak(late)
    site.world.connect("e1")
    await site.after(60)
    assert site.drained == ["late", "w0", "w1"]


async def test_a_new_operator_ends_nobody_for_a_written_number_before_it_has_heard_of_all(site: Site) -> None:
    await site.begin(2, busy=2)
    await new_operator(site, maxReplicas=0, generation=2)
    await site.after(30)
    assert len(site.yard.workers) == 2
    assert site.drained == ["w0", "w1"]


@pytest.mark.parametrize("seed", range(12))
async def test_a_slow_replica_set_ends_those_that_were_meant(world: World, seed: int) -> None:
    """Turns that come before it has acted take no mark away and choose no other."""
    site = Site(world, seed=seed, lag=seed % 4)
    await site.begin(5, busy=4)
    await site.after(10)
    assert sorted(site.yard.workers) == ["w0", "w1", "w2", "w3"]
    assert site.world.journal.count("mark w4") == 1
    assert not [entry for entry in site.world.journal if entry.startswith("unmark")]


async def test_workers_that_a_former_operator_drained_go_on_and_lose_their_marks(site: Site) -> None:
    await site.begin(3, busy=3)
    site.yard.workers["w1"].draining = True
    site.yard.annotate("w2", MARK)
    site.world.cluster.pods[:] = site.yard.pods()
    await new_operator(site)
    for worker in site.yard.workers.values():
        site.yard.speak(worker)
    await site.after(3)
    assert site.drained == []
    assert site.world.journal.count("unmark w2") == 1


async def test_an_operator_that_may_not_speak_to_workers_ends_idle_ones_and_says_so(site: Site) -> None:
    await site.begin(3, busy=1)
    site.forbidden = True
    site.world.broker.consumers = {"w0": 1, "w1": 0, "w2": 0}
    await site.after(45)
    assert sorted(site.yard.workers) == ["w0"]
    assert "none can be asked to drain: 403" in site.world.condition("ScalingActive")["message"]


async def test_a_worker_whose_process_ends_costs_no_turns(site: Site) -> None:
    await site.begin(3, busy=3, autoscaling={"scaleDownStabilizationSeconds": 2, "targetBacklog": 3})
    await site.after(5)
    lists = site.world.cluster.calls["pods"]
    for _ in range(50):
        message = PresenceMessage(QUEUE, "w0", Doing.ENDING, 1, 1)
        site.world.controller.on_presence(message, "to-w0")
        await site.world.settle()
    assert site.world.cluster.calls["pods"] == lists


async def test_a_pod_that_can_not_be_marked_holds_up_no_growth(site: Site) -> None:
    await site.begin(4, busy=1)
    site.world.cluster.unmarkable = "w3"
    await site.after(10)
    assert sorted(site.yard.workers) == ["w0", "w3"]
    site.world.publish(6)
    await site.world.settle()
    assert site.world.cluster.replicas() == 7


async def test_a_pool_that_is_paused_lets_its_workers_finish(site: Site) -> None:
    await site.begin(3, busy=1, seconds=10)
    await site.world.add(pool(generation=2, maxReplicas=0))
    await site.after(5)
    assert sorted(site.yard.workers) == ["w0"]
    assert site.drained == ["w0"]
    await site.after(10)
    assert site.world.cluster.replicas() == 0


async def test_nobody_goes_while_the_pods_are_being_replaced(site: Site) -> None:
    await site.begin(4, busy=1)
    rolling = {"observedGeneration": 2, "replicas": 5, "updatedReplicas": 2, "readyReplicas": 5}
    site.world.cluster.edit(lambda raw: raw.update(status=rolling))
    await site.after(10)
    assert site.world.cluster.replicas() == 4
    stuck = {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}
    site.world.cluster.edit(lambda raw: raw.update(status=rolling | stuck))
    await site.after(10)
    assert site.world.cluster.replicas() == 1


async def test_workers_that_can_not_be_told_anything_stay(site: Site) -> None:
    await site.begin(4, busy=1)
    site.cut = True
    await site.after(20)
    assert site.world.cluster.replicas() == 4
    site.cut = False
    await site.after(20)
    assert site.world.cluster.replicas() == 1


async def test_pods_that_can_not_be_listed_stay_and_the_pool_says_so(site: Site) -> None:
    await site.begin(4, busy=1)
    site.world.cluster.fails = StoreUnavailable("timed out")
    await site.after(20)
    assert len(site.yard.workers) == 4
    site.world.cluster.fails = None
    await site.after(60)
    assert site.world.cluster.replicas() == 1
