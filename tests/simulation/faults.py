"""What can go wrong, how often it does in one run, and a count of what did.

A run draws which faults there are in it (few or many: some faults hide others) and how likely each is. Those of
`CALLS` strike a call of a process to the API server or the broker, those of `INCIDENTS` happen by themselves.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final


class Fault(StrEnum):
    """All that is made to go wrong."""

    # At a call to the API server
    API_ERROR = "API error, not written"
    API_ERROR_WRITTEN = "API error, written"
    API_TIMEOUT = "API time-out, not written"
    API_TIMEOUT_WRITTEN = "API time-out, written"
    API_LATE = "write lands after its time-out"
    CONFLICT = "409"
    UNPROCESSABLE = "422"
    # At a publish
    NACK = "nack"
    PUBLISH_LOST = "publish lost"
    CONFIRM_LOST = "confirm lost"
    CONFIRM_LATE = "confirm late"
    PUBLISH_LATE = "publish lands after its time-out"
    RESULT_UNCONFIRMED = "confirm of a result lost"
    # At any call
    OPERATOR_CRASH = "operator crash"
    ZOMBIE = "zombie operator"
    WORKER_CRASH = "worker crash"
    # By themselves
    WORKER_DRAIN = "worker drained"
    CUT = "connection cut: redelivery"
    DUPLICATE = "message duplicated"
    BROKER_RESTART = "broker restart"
    BROKER_WIPE = "broker wipe"
    QUEUE_LOSS = "queue purged"
    API_DOWN = "API server away"
    WATCH_EXPIRED = "410 on the watch"
    WATCH_STALE = "watch stale"
    WATCH_GAP = "relist with a gap"
    CLOCK_JUMP = "clock jump"
    POOL_GONE = "pool deleted and made again"
    SLOW_STEP = "step runs into its time-out"
    # Of people
    CANCEL = "cancel"
    SUSPEND = "suspend"
    DELETE = "delete"
    RETRY = "retry of a failed job"


API_READS: Final = (Fault.API_ERROR, Fault.API_TIMEOUT)
API_WRITES: Final = (
    Fault.API_ERROR,
    Fault.API_ERROR_WRITTEN,
    Fault.API_TIMEOUT,
    Fault.API_TIMEOUT_WRITTEN,
    Fault.API_LATE,
    Fault.CONFLICT,
    Fault.UNPROCESSABLE,
)
API_HELD_UP: Final = (Fault.API_TIMEOUT, Fault.API_TIMEOUT_WRITTEN, Fault.API_LATE)
PUBLISHES: Final = (Fault.NACK, Fault.PUBLISH_LOST, Fault.CONFIRM_LOST, Fault.CONFIRM_LATE, Fault.PUBLISH_LATE)
DEATHS: Final[tuple[Fault, ...]] = (Fault.OPERATOR_CRASH, Fault.ZOMBIE, Fault.WORKER_CRASH)
CALLS: Final = frozenset({*API_WRITES, *PUBLISHES, *DEATHS, Fault.RESULT_UNCONFIRMED, Fault.SLOW_STEP})
INCIDENTS: Final = tuple(fault for fault in Fault if fault not in CALLS) + DEATHS

FOCUSED: Final = 0.5
"""The share of runs that have few faults and these often."""

BESIDE: Final = (0, 0, 2, 4)
"""How many other faults a run may have beside those that it is to have in any case: they spoil each other's stories."""

SPARED: Final = 0.7
"""How often something else strikes by itself than a death: deaths strike at calls as well, where they tell more."""

WORKER_DEATHS: Final = 2
"""How many times likelier a worker dies at a call than an operator, which has more of them."""


WEIGHTS: Final = {
    "get lease": 0.01,
    "patch lease": 0.01,
    "create lease": 0.01,
    "list": 0.3,
    "load epoch": 0.3,
    "replace epoch": 0.3,
    "publish": 2.0,
}


def weight(where: str) -> float:
    """How likely something goes wrong at a call, against others: most is in hand at a publish, least at the Lease."""
    return WEIGHTS.get(where, 1.0)


DEADLY_CALLS: Final = ("begin", "patch", "publish", "result")
"""Half of the runs have one call at which processes die, and they die nowhere else: all else gets through."""

DEADLY: Final = 3.0
"""How many times likelier they die there."""


@dataclass(frozen=True)
class Emphasis:
    """What a run is to have in any case: these faults, mostly these Workflows, and of ten steps so many that fail."""

    faults: frozenset[Fault] = frozenset()
    workflows: tuple[str, ...] = ()
    bad: int | None = None


NO_EMPHASIS: Final = Emphasis()


class Faults:
    """The faults of one run. `healed`: nothing goes wrong any more."""

    def __init__(self, dice: Random, emphasis: Emphasis = NO_EMPHASIS) -> None:
        self._dice = dice
        self.count: Counter[str] = Counter()
        self.healed = False
        self.deadly = dice.choice(DEADLY_CALLS) if dice.random() < 0.5 else None
        if dice.random() < FOCUSED or emphasis.faults:
            some = dice.choice(BESIDE) if emphasis.faults else dice.randint(1, 4)
            self._rate, self._death_rate = dice.choice((0.05, 0.15)), dice.choice((0.03, 0.1))
            self.enabled = frozenset(dice.sample(list(Fault), some)) | emphasis.faults
        else:
            share = dice.choice((0.1, 0.3, 0.5, 1.0))
            self._rate, self._death_rate = dice.choice((0.01, 0.03, 0.1)), dice.choice((0.005, 0.02, 0.06))
            self.enabled = frozenset(fault for fault in Fault if dice.random() < share) | emphasis.faults

    def deadliness(self, where: str) -> float:
        """How likely a process dies at a call, against other calls."""
        if self.deadly is None:
            return weight(where)
        return DEADLY if where == self.deadly else 0.0

    def strike(self, *kinds: Fault, weight: float = 1.0) -> Fault | None:
        """Which of these happens at this call, if one does. `weight`: how many times likelier than elsewhere."""
        if self.healed:
            return None
        for kind in kinds:
            rate = self._death_rate if kind in DEATHS else self._rate
            rate *= WORKER_DEATHS if kind is Fault.WORKER_CRASH else 1
            if kind in self.enabled and self._dice.random() < rate * weight:
                self.count[kind] += 1
                return kind
        return None

    def incident(self) -> Fault | None:
        """One of those that happen by themselves; not counted yet, as it may find nothing that it could strike."""
        possible = [kind for kind in INCIDENTS if kind in self.enabled]
        if self.deadly is not None:
            possible = [kind for kind in possible if kind not in DEATHS]
        others = [kind for kind in possible if kind not in DEATHS]
        if others and self._dice.random() < SPARED:
            possible = others
        return self._dice.choice(possible) if possible and not self.healed else None
