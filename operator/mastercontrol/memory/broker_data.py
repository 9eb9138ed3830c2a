"""What `memory.broker` keeps on its disk, and what a test makes go wrong with it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from mastercontrol.memory.queues import Message, Queue
from mastercontrol_worker.contract import STEPS_EXCHANGE, StepMessage, pool_queue

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
