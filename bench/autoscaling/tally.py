"""What is measured of one run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from autoscaling.controllers import Why


@dataclass(eq=False, slots=True)
class Step:
    """One step. `times`: how often it was begun, first when it `began`, and at the `latest`.

    `lost`: how often the node failed on which it was at work.
    """

    dispatched: float
    seconds: float
    began: float | None = None
    latest: float = 0.0
    ended: float | None = None
    times: int = 0
    lost: int = 0

    def begin(self, now: float) -> None:
        """A worker has it."""
        self.began = now if self.began is None else self.began
        self.latest = now
        self.times += 1


@dataclass(frozen=True, slots=True)
class Sample:
    """What there was at a moment: pods, and steps that wait or are at work."""

    at: float
    pods: int
    backlog: int


@dataclass
class Tally:
    """Counts of one run. Times in seconds.

    `ended` pods were told to end, by why; those of them that held a step then, or got one, were `busy`. `killed` ones
    did not finish it within the grace period, so that it was done again; `lost_seconds` of work were thrown away by
    that.
    With failed nodes went `lost_pods`, on which `lost_steps` were at work.
    """

    steps: list[Step] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    pod_seconds: float = 0.0
    decisions: int = 0
    changes: int = 0
    ended: Counter[Why] = field(default_factory=Counter)
    busy: Counter[Why] = field(default_factory=Counter)
    killed: int = 0
    lost_seconds: float = 0.0
    lost_pods: int = 0
    lost_steps: int = 0
    rolls: int = 0

    @property
    def chosen(self) -> int:
        """Busy pods that the policy's own scale-downs ended."""
        return self.busy[Why.SCALE_DOWN]

    @property
    def waits(self) -> list[float]:
        """Seconds from dispatch to begin, sorted. A step that was not begun at all waits without end."""
        return sorted(math.inf if step.began is None else step.began - step.dispatched for step in self.steps)

    @property
    def unfinished(self) -> int:
        """Steps that are not done at the end."""
        return sum(step.ended is None for step in self.steps)

    @property
    def again(self) -> int:
        """Executions beyond the first of each step, and those that failed nodes make necessary."""
        return sum(max(step.times - 1 - step.lost, 0) for step in self.steps)

    @property
    def replica_hours(self) -> float:
        """Of pods that exist: starting, at work, idle or ending."""
        return self.pod_seconds / 3600

    def mean_wait(self) -> float:
        """In seconds."""
        return sum(self.waits) / len(self.steps)

    def wait(self, share: float) -> float:
        """What that share of the steps waits at most: 0.5 for the median."""
        waits = self.waits
        return waits[min(len(waits) - 1, math.ceil(share * len(waits)) - 1)]


def together(tallies: Sequence[Tally]) -> Tally:
    """All that several runs measured; without samples, which are of one run."""
    return Tally(
        steps=[step for tally in tallies for step in tally.steps],
        pod_seconds=sum(tally.pod_seconds for tally in tallies),
        decisions=sum(tally.decisions for tally in tallies),
        changes=sum(tally.changes for tally in tallies),
        ended=sum((tally.ended for tally in tallies), Counter()),
        busy=sum((tally.busy for tally in tallies), Counter()),
        killed=sum(tally.killed for tally in tallies),
        lost_seconds=sum(tally.lost_seconds for tally in tallies),
        lost_pods=sum(tally.lost_pods for tally in tallies),
        lost_steps=sum(tally.lost_steps for tally in tallies),
        rolls=sum(tally.rolls for tally in tallies),
    )
