"""How far the search goes: how many steps and workers, and which accidents may happen how often.

Every accident is in some of these, and each with most of the others. All of them at once have too many states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from model.broken import Broken
from model.state import Budget


@dataclass(frozen=True)
class Bound:
    """One search."""

    name: str
    budget: Budget
    steps: int = 2
    workers: int = 1


NONE: Final = Budget(0, 0, 0, 0, 0, 0, 0, 0, 0)
_DEATHS: Final = NONE._replace(operator_crashes=1, worker_crashes=1, losses=1)

SMALL: Final = (
    Bound("deaths, in three steps", _DEATHS, steps=3),
    Bound("deaths, with two workers", _DEATHS, workers=2),
    Bound("deaths and a step that fails", _DEATHS._replace(failures=1)),
    Bound("deaths and a zombie in its last turn", _DEATHS._replace(take_overs=1)),
    Bound(
        "deaths, and a zombie that goes on",
        NONE._replace(operator_crashes=1, worker_crashes=1, take_overs=1, zombie_turns=1),
    ),
    Bound("a deadline, a loss and a zombie", NONE._replace(deadlines=1, losses=1, take_overs=1)),
    Bound("a deadline, a failure and a zombie", NONE._replace(deadlines=1, failures=1, take_overs=1)),
    Bound(
        "a crash, a loss, a lost answer and a lost connection",
        NONE._replace(operator_crashes=1, losses=1, lost_replies=1, reconnects=1),
    ),
)
"""What the tests search: about a minute."""

LARGE: Final = (
    Bound("deaths, and a zombie that goes on", _DEATHS._replace(take_overs=1, zombie_turns=1)),
    Bound("deaths, a failure and a zombie", _DEATHS._replace(take_overs=1, failures=1)),
    Bound("deaths, a deadline and a zombie", _DEATHS._replace(take_overs=1, deadlines=1)),
    Bound(
        "steps that fail or are late, and connections",
        NONE._replace(worker_crashes=1, failures=1, deadlines=1, lost_replies=1, reconnects=1),
    ),
    Bound("deaths and a zombie, in three steps", _DEATHS._replace(take_overs=1), steps=3),
    Bound("deaths and a zombie, with two workers", _DEATHS._replace(take_overs=1), workers=2),
    Bound(
        "all that happens to connections, and a zombie",
        NONE._replace(operator_crashes=1, take_overs=1, losses=1, lost_replies=1, reconnects=1),
    ),
)
"""What `make model` searches besides."""

FAULTS: Final = {
    Broken.ACK_BEFORE_COMMIT: NONE._replace(operator_crashes=1),
    Broken.ACK_BEFORE_PUBLISH: NONE._replace(operator_crashes=1),
    Broken.NO_REPUBLISH: NONE._replace(operator_crashes=1),
    Broken.NO_EPOCH: NONE._replace(losses=1),
    Broken.EPOCH_OF_NOW: NONE._replace(operator_crashes=1, losses=1),
    Broken.NO_FENCE: NONE._replace(take_overs=1, failures=1),
    Broken.FENCE_BY_STEP: NONE._replace(take_overs=1, failures=2),
    Broken.WORKER_ACKS_FIRST: NONE._replace(worker_crashes=1),
    Broken.EARLY_RESULT_DROPPED: NONE._replace(operator_crashes=1),
    Broken.FIRST_STEP_AFTER_WRITE: NONE._replace(operator_crashes=1),
    Broken.MARKED_BEFORE_SENT: NONE._replace(operator_crashes=1, failures=1),
    Broken.EPOCH_BEFORE_RESEND: NONE._replace(operator_crashes=1, losses=1),
    Broken.MATCHED_BY_STEP: NONE._replace(take_overs=1, zombie_turns=1, deadlines=1),
}
"""For each broken variant the accidents in which its fault shows. Without the variant they show none."""
