"""What may be wrong with a run, and where it was found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """The promises that are looked at, one by one."""

    SEQUENCE = "sequence"  # it has no gap and never goes back
    EDGE = "edge"  # each transition is one that the Workflow has
    ONCE = "once"  # each transition is applied once, and what was left is not come back to
    EXECUTED = "executed"  # a step that counts as done was executed, and its result was there
    ASKED = "asked"  # only what a job has committed is sent
    END = "end"  # nothing happens to a job after its end
    LIVE = "live"  # each job has ended, or something will move it on


@dataclass(frozen=True, order=True)
class Fault:
    """A rule that was broken, at a time (seconds from the beginning of the run), and the name of the job."""

    t: float
    job: str
    rule: Rule
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: job {self.job} at {self.t:g} s: {self.text}"
