"""A pool controller at work, with fakes around it and a clock that a test moves."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from typing import Any

from mastercontrol.engine.ports import Depth, RawObject
from mastercontrol.pools.controller import PoolController
from mastercontrol.pools.provision import LongestStep
from mastercontrol.pools.settings import PoolSettings
from unit.pools.fakes import Broker, Clock, Cluster

STEP_SECONDS = 0.25
MANY_TURNS_OF_THE_LOOP = 30


def pool(name: str = "resize", *, uid: str = "u1", generation: int = 1, **spec: Any) -> RawObject:
    """A WorkerPool as the watch shows it."""
    template = {"image": "registry.example/resize:1", "handlers": "resize.steps"} | spec.pop("template", {})
    meta = {"namespace": "shop", "name": name, "uid": uid, "generation": generation}
    return {"metadata": meta, "spec": {"template": template, **spec}}


class World:
    """Everything that the controller sees, and what it did in `journal`."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.journal: list[str] = []
        self.cluster = Cluster(self.journal)
        self.broker = Broker(self.journal)
        self.outstanding: Counter[tuple[str, str]] = Counter()
        self.questions = 0  # how often the controller asked for it: at least once a turn
        self.settings = PoolSettings()
        self.steps = {"resize": 60}  # the longest time-out of each pool's steps, in seconds
        self.controller = self.new_controller()
        self._loop = asyncio.get_running_loop()
        self._loop.time = self.clock.monotonic  # type: ignore[method-assign]
        self._task: asyncio.Task[None] | None = None

    def new_controller(self, longest_step: LongestStep | None = None) -> PoolController:
        """One that has seen nothing yet, as after a restart."""
        controller = PoolController(
            self.cluster,
            self.broker,
            self.broker,
            outstanding=self._outstanding,
            settings=self.settings,
            clock=self.clock.now,
            monotonic=self.clock.monotonic,
            longest_step=longest_step or (lambda _, pool, unlimited: self.steps.get(pool) or unlimited),
        )
        self.cluster.deployment_events = controller.on_deployment
        return controller

    def _outstanding(self, namespace: str, name: str) -> int:
        self.questions += 1
        return self.outstanding[namespace, name]

    def start(self) -> None:
        """The controller begins to lead."""
        self._task = self._loop.create_task(self.controller.run())

    async def stop(self) -> None:
        """The controller no longer leads."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """To be called at the end of a test."""
        await self.stop()
        del self._loop.time

    def connect(self, epoch: str = "e1") -> None:
        """The broker is there."""
        self.broker.epoch = epoch
        self.controller.on_connected(epoch)

    async def settle(self) -> None:
        """Let everything happen that can without time going on."""
        for _ in range(MANY_TURNS_OF_THE_LOOP):
            await asyncio.sleep(0)

    async def after(self, seconds: float) -> None:
        """Let that time pass."""
        await self.settle()
        end = self.clock.seconds + seconds
        while self.clock.seconds < end:
            self.clock.seconds = min(end, self.clock.seconds + STEP_SECONDS)
            await self.settle()

    async def add(self, raw: RawObject) -> None:
        """Somebody creates or changes a pool."""
        self.controller.on_pool(copy.deepcopy(raw))
        await self.settle()

    def publish(self, steps: int = 1, name: str = "resize") -> None:
        """The engine publishes steps: they are outstanding and in the queue."""
        self.outstanding["shop", name] += steps
        depth = self.broker.depths.get(name) or Depth(0, 0, 0)
        self.broker.depths[name] = Depth(depth.ready + steps, depth.unacknowledged, depth.consumers)
        self.controller.poke("shop", name)

    def finish(self, name: str = "resize") -> None:
        """All steps are answered."""
        self.outstanding["shop", name] = 0
        self.broker.depths[name] = Depth(0, 0, 0)

    def status(self, name: str = "resize") -> dict[str, Any]:
        """The status of the pool, as kubectl shows it."""
        return self.cluster.statuses.get(("shop", name), {})

    def condition(self, kind: str, name: str = "resize") -> dict[str, Any]:
        """One condition of the pool."""
        found = [item for item in self.status(name).get("conditions", []) if item["type"] == kind]
        assert len(found) == 1, f"{kind}: {found}"
        return dict(found[0])
