"""The queue of a site: steps that wait, who is given one, and what the broker knows of it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from autoscaling.tally import Step
from mastercontrol.engine.ports import Depth

if TYPE_CHECKING:
    from autoscaling.site import Site, Worker

STATISTICS_SECONDS = 5.0
"""Between two updates of what RabbitMQ's management interface says."""


class Queue:
    """`held` steps are with workers. A ghost is a consumer whose node has failed, of which the broker does not know."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.waiting: deque[Step] = deque()
        self.held = 0
        self.statistics: dict[str, int] = {}
        self._ghosts: list[Worker] = []
        self._publish_statistics()

    def depth(self) -> Depth:
        """What the broker says."""
        consumers = sum(worker.consuming for worker in (*self._site.workers.values(), *self._ghosts))
        return Depth(len(self.waiting), self.held, consumers)

    def put(self, step: Step) -> None:
        """A step comes."""
        self.waiting.append(step)
        self.hand_out()

    def hand_out(self) -> None:
        """Give what waits to who has a free slot."""
        if not self.waiting:
            return
        slots, dice = self._site.kind.concurrency, self._site.random
        free = [one for one in self._consumers() if len(one.held) < slots]
        while self.waiting and free:
            worker = free[int(dice.random() * len(free))]
            self._give(worker, self.waiting.popleft())
            if len(worker.held) >= slots:
                free.remove(worker)

    def settle(self, worker: Worker, step: Step) -> None:
        """A worker has done a step."""
        worker.held.remove(step)
        self.held -= 1

    def take_back(self, worker: Worker) -> None:
        """The connection of a worker has ended: what it held waits again, first."""
        self.waiting.extendleft(reversed(worker.held))
        self.held -= len(worker.held)
        worker.held = []

    def haunt(self, ghost: Worker) -> None:
        """Nobody answers there any more, and the broker waits for heartbeats."""

        def miss() -> None:
            self._ghosts.remove(ghost)
            self.take_back(ghost)
            self.hand_out()

        self._ghosts.append(ghost)
        self._site.aside(self._site.ways.heartbeat, miss)

    def _consumers(self) -> list[Worker]:
        site = self._site
        return [one for one in (*site.workers.values(), *site.ending, *self._ghosts) if one.consuming]

    def _give(self, worker: Worker, step: Step) -> None:
        worker.held.append(step)
        self.held += 1
        if not worker.dead:
            self._site.work(worker, step)

    def _publish_statistics(self) -> None:
        self.statistics = {one.name: len(one.held) for one in self._consumers()}
        self._site.timeline.after(STATISTICS_SECONDS, self._publish_statistics)
