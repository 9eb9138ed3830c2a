"""What the model remembers: the store, the broker, the workers and the operators, as values that can be compared.

Queues are sets of messages: two equal messages in the same hands are one. A message that is there twice is done twice,
and so is one whose worker dies before it acknowledges, which the model has.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

Id = tuple[int, int]
"""A dispatch: its sequence and its attempt."""

NOBODY: Final = 0
LEADER: Final = 1
ZOMBIE: Final = 2

NO_CONNECTION: Final = 0


class Job(NamedTuple):
    """A Job's status. `seq` 0: it has none. `step` counts from 0; the number of steps stands for Done."""

    seq: int = 0
    step: int = 0
    attempt: int = 0
    sent: bool = False  # its entry has dispatchedAt
    stamp: int = 0  # status.brokerEpoch

    @property
    def id(self) -> Id:
        """The dispatch of its entry."""
        return self.seq, self.attempt


class Result(NamedTuple):
    """An answer, in the results queue or in the memory of an operator. `epoch` is that of the connection it came by."""

    seq: int
    attempt: int
    step: int
    ok: bool
    epoch: int

    @property
    def id(self) -> Id:
        return self.seq, self.attempt


class Pc(IntEnum):
    """What a turn does next, in the order of the protocol."""

    PUBLISH = 1  # what no result stands behind
    COMMIT = 2
    ACT = 3  # publish what a result made due
    SETTLE = 4  # acknowledge


class Turn(NamedTuple):
    """A decision that is being carried out. `base` is the job that it was made for."""

    pc: Pc
    base: Job
    status: Job | None
    first: Id | None
    publish: Id | None
    settled: frozenset[Result]


class Operator(NamedTuple):
    """One process. `view` is the job as it knows it; None: it has to read. `confirmed` has the epoch with it."""

    epoch: int
    view: Job | None = None
    letters: frozenset[Result] = frozenset()
    confirmed: tuple[Id, int] | None = None
    resend: Id | None = None
    turn: Turn | None = None


class Step(NamedTuple):
    """A message in the step queue, in the hands of a worker (from 1) or of nobody."""

    seq: int
    attempt: int
    step: int
    holder: int

    @property
    def id(self) -> Id:
        return self.seq, self.attempt


class Worker(NamedTuple):
    """What a worker is at: a dispatch, and whether it has sent the answer. In a broken variant: has acknowledged it."""

    seq: int
    attempt: int
    step: int
    answered: bool = False
    acknowledged: bool = False


class Budget(NamedTuple):
    """The accidents that may still happen."""

    operator_crashes: int
    worker_crashes: int
    take_overs: int
    losses: int  # of all the broker's data
    failures: int  # of steps
    deadlines: int
    lost_replies: int  # to writes that were done
    reconnects: int
    zombie_turns: int  # that a zombie begins after another one took over; it also ends the one that it was in


class State(NamedTuple):
    """All of it. `executed` has a bit for each step that a worker has done."""

    job: Job
    steps: frozenset[Step]
    results: frozenset[tuple[Result, int]]  # with the operator that has it in hand
    epoch: int
    workers: tuple[Worker | None, ...]
    leader: Operator
    zombie: Operator | None
    budget: Budget
    executed: int = 0
