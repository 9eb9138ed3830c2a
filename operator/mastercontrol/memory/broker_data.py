"""What `memory.broker` keeps on its disk, and what a test makes go wrong with it."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from mastercontrol.memory.queues import Message, Queue
from mastercontrol_worker.contract import STEPS_EXCHANGE, pool_queue

Pool = tuple[str, str]
"""Namespace and name."""

DEAD_LETTERS_KEPT: Final = 1000


class PublishFault(Enum):
    """What goes wrong with one publish."""

    REFUSED = auto()  # nack: it is not in the queue, and the publisher knows
    LOST = auto()  # it never arrived, and the publisher does not know
    CONFIRM_LOST = auto()  # it is in the queue, and the publisher does not know
    CONFIRM_LATE = auto()  # it is in the queue; no confirm comes within the time-out


@dataclass(slots=True)
class Faults:
    """What goes wrong from now on."""

    publishes: deque[PublishFault] = field(default_factory=deque)
    """One for each of the next publishes, in order."""
    depth_unknown: bool = False
    """No depth can be read."""


class BrokerData:
    """What a broker has on its disk."""

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.pools: dict[Pool, Queue] = {}
        self.dead: dict[Pool, deque[Message]] = {}
        self.dead_results: deque[Message] = deque(maxlen=DEAD_LETTERS_KEPT)
        self.results = Queue(None, lambda message, _: self.dead_results.append(message))

    def make_pool(self, pool: Pool, on_change: Callable[[], None]) -> Queue:
        """Make the queue of a pool."""
        queue = Queue(None, lambda message, reason: self._bury(pool, message, reason), on_change)
        self.pools[pool] = queue
        return queue

    def _bury(self, pool: Pool, message: Message, reason: str) -> None:
        """A dead letter, and a copy of it for the operator, with the headers that RabbitMQ gives it."""
        now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        death = {
            "x-death": [{"reason": reason, "queue": pool_queue(*pool), "time": now, "count": 1}],
            "x-first-death-exchange": STEPS_EXCHANGE,
            "x-first-death-queue": pool_queue(*pool),
            "x-first-death-reason": reason,
        }
        headers = message.headers | death
        letters = self.dead.setdefault(pool, deque(maxlen=DEAD_LETTERS_KEPT))
        letters.append(Message(message.message_id, message.body, message.type, headers))
        self.results.put(Message(message.message_id, message.body, message.type, dict(headers)))
