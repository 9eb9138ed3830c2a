"""Pools and loads that nobody chose, until so many decisions were made: is a worker ever ended that is at work?

Each world is drawn from a seed (world.py): the pools' fields, their loads, how long everything takes. In many of them
operators die and the broker is out of the operator's reach for a while, or does not tell a depth; templates change,
nodes are drained or fail; a pool may grow only so fast, or shares the namespace's workers with others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from autoscaling.controllers import Why
from autoscaling.disturbances import Evictable, Nodes
from autoscaling.operators import Operator
from autoscaling.pool import OperatorPool
from autoscaling.site import Site
from autoscaling.tally import Tally, together
from autoscaling.timeline import Timeline
from autoscaling.world import Paused, PlannedPool, Rolled, World, draw
from mastercontrol.pools.disruption import budget
from mastercontrol.pools.settings import PoolSettings

REST = 400.0
"""Seconds without new steps at the end of a world: more than any window and any drain."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a world. `left`: pods beyond `minReplicas`, or a roll-out, were there at the end."""

    tally: Tally
    left: bool
    drained: int
    failed: int
    over: int
    hasty: int


@dataclass
class Found:
    """All worlds together; `stuck` are seeds of worlds in which work or too many workers were left."""

    worlds: int = 0
    decisions: int = 0
    steps: int = 0
    changes: int = 0
    ended: Counter[Why] = field(default_factory=Counter)
    busy: Counter[Why] = field(default_factory=Counter)
    killed: int = 0
    again: int = 0
    rolls: int = 0
    drained: int = 0
    failed: int = 0
    lost_pods: int = 0
    lost_steps: int = 0
    shared: int = 0
    over: int = 0
    paced: int = 0
    hasty: int = 0
    wronged: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    def add(self, world: World, played: Played) -> None:
        """Count a world."""
        tally = played.tally
        self.worlds += 1
        self.decisions += tally.decisions
        self.steps += len(tally.steps)
        self.changes += tally.changes
        self.ended += tally.ended
        self.busy += tally.busy
        self.killed += tally.killed
        self.again += tally.again
        self.rolls += tally.rolls
        self.drained += played.drained
        self.failed += played.failed
        self.lost_pods += tally.lost_pods
        self.lost_steps += tally.lost_steps
        self.shared += world.max_workers is not None
        self.over += played.over
        self.paced += any("scaleUp" in pool.spec["autoscaling"] for pool in world.pools)
        self.hasty += played.hasty
        if tally.chosen or tally.killed or tally.again or played.over or played.hasty:
            self.wronged.append(world.seed)
        if tally.unfinished or played.left:
            self.stuck.append(world.seed)

    @property
    def chosen(self) -> int:
        """Busy pods that the operator's own scale-downs ended."""
        return self.busy[Why.SCALE_DOWN]

    @property
    def is_right(self) -> bool:
        """Whether all was as it should be."""
        return not self.wronged and not self.stuck

    def __str__(self) -> str:
        lines = [
            f"decisions              {self.decisions:10,}   in {self.worlds:,} worlds, about {self.steps:,} steps",
            f"changes of the number  {self.changes:10,}",
            f"pods ended             {self.ended[Why.SCALE_DOWN]:10,}",
            f"busy pods chosen       {self.chosen:10,}",
            f"busy pods killed       {self.killed:10,}",
            f"executed again         {self.again:10,}   apart from what failed nodes had",
            f"roll-outs              {self.rolls:10,}   ended {self._pods(Why.ROLL_OUT)}",
            f"drains of nodes        {self.drained:10,}   evicted {self._pods(Why.EVICTION)}",
            f"failures of nodes      {self.failed:10,}   took {self.lost_pods:,} pods with {self.lost_steps:,} steps",
            f"beyond the quota       {self.over:10,}   in {self.shared:,} worlds with maxWorkers",
            f"faster than scaleUp    {self.hasty:10,}   in {self.paced:,} worlds with policies",
        ]
        lines += [f"wronged: {seed}" for seed in self.wronged[:10]]
        lines += [f"did not come to rest: {seed}" for seed in self.stuck[:10]]
        return "\n".join(lines)

    def _pods(self, why: Why) -> str:
        return f"{self.ended[why]:,} pods, {self.busy[why]:,} of them busy"


def soak(seed: int, decisions: int, settings: PoolSettings | None = None) -> Found:
    """Go through worlds until there were so many decisions."""
    found, number = Found(), 0
    while found.decisions < decisions:
        number += 1
        world = draw(f"{seed}/{number}")
        found.add(world, play(world, settings))
    return found


def play(world: World, settings: PoolSettings | None = None) -> Played:
    """One world from its beginning to its end."""
    timeline = Timeline()
    operator = Operator(replace(settings or PoolSettings(), max_workers=world.max_workers))
    pools = [place(timeline, operator, world, i, plan) for i, plan in enumerate(world.pools)]
    nodes = Nodes(timeline, [Evictable(pool.site, _budget(pool)) for pool in pools], world.nodes)
    for at in world.restarts:
        timeline.at(at, operator.begin)
    for at, seconds in world.outages:
        timeline.at(at, lambda: operator.connected(is_connected=False))
        timeline.at(at + seconds, lambda: operator.connected(is_connected=True))
    for drain in world.drains:
        timeline.at(drain.at, lambda drain=drain: nodes.drain(drain))  # type: ignore[misc]
    for failure in world.failures:
        timeline.at(failure.at, lambda failure=failure: nodes.fail(failure))  # type: ignore[misc]
    timeline.run(world.seconds)
    end = world.seconds
    while any(pool.site.has_work for pool in pools) and timeline.now < 4 * world.seconds:
        end = timeline.now + 60
        timeline.run(end)
    timeline.run(end + REST)
    for pool in pools:
        pool.site.close()
    left = any(pool.site.existing > pool.pool.min_replicas or pool.site.deployment.rolls for pool in pools)
    tally = together([pool.site.tally for pool in pools])
    return Played(tally, left, nodes.drained, nodes.failed, operator.over, operator.hasty)


def place(timeline: Timeline, operator: Operator, world: World, number: int, plan: PlannedPool) -> OperatorPool:
    """Make one pool of a world, with all that is to come over it."""
    site = Site(timeline, f"{world.seed}/{number}", plan.ways, plan.pods)
    pool = OperatorPool(site, plan.spec, unread=world.unread, operator=operator)
    for arrival in plan.arrivals:
        timeline.at(arrival.at, _publish(site, arrival.seconds))
    for roll in plan.rolls:
        timeline.at(roll.at, _roll(pool, roll))
    for pause in plan.pauses:
        timeline.at(pause.at, _pause(pool, pause))
        timeline.at(pause.at + pause.seconds, lambda: pool.pause(paused=False))
    return pool


def _publish(site: Site, seconds: float) -> Callable[[], None]:
    return lambda: site.publish(seconds)


def _roll(pool: OperatorPool, roll: Rolled) -> Callable[[], None]:
    return pool.roll if roll.by_operator else pool.site.roll


def _pause(pool: OperatorPool, pause: Paused) -> Callable[[], None]:
    def act() -> None:
        pool.pause(paused=True)
        if pause.rolls:
            pool.roll()

    return act


def _budget(pool: OperatorPool) -> dict[str, object] | None:
    manifest = budget(pool.pool)
    return None if manifest is None else manifest["spec"]
