"""How long a pool's workers may go on after they are told to end. Pure, but for what `settle` notes.

`provision.py` asks, for the Deployment that it makes. A rollout, a drained node and a pool that shrinks end pods, and
each of them may be busy with the longest step of the pool. So the grace period follows that step, with two brakes,
since another one replaces all pods: it is rounded up to a coarse series, and it does not fall because a Workflow was
edited, only with an edit of the pool.
"""

from __future__ import annotations

from typing import Any, Final

from mastercontrol.api.pool import WorkerPool
from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.podtemplate import STOP_MARGIN_SECONDS
from mastercontrol.pools.state import PoolState

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR

SERIES: Final = (
    *(30, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY),
)
"""In seconds. Beyond it, whole days."""


def coarse(seconds: int) -> int:
    """The least number of the series that is not below `seconds`."""
    return next((step for step in SERIES if step >= seconds), -(-seconds // _DAY) * _DAY)


def wanted(pool: WorkerPool, longest: int) -> int:
    """The grace in seconds that the pool and its longest step ask for (0: no step uses the pool)."""
    return max(pool.grace_period_seconds, coarse(longest)) if longest > 0 else pool.grace_period_seconds


def live(raw: RawObject | None) -> int:
    """The grace in seconds that the pods of a live Deployment have; 0 where there is none."""
    template: Any = {} if raw is None else raw.get("spec", {}).get("template", {})
    given = template.get("spec", {}).get("terminationGracePeriodSeconds")
    return max(0, given - STOP_MARGIN_SECONDS) if isinstance(given, int) else 0


def settle(state: PoolState, pool: WorkerPool, longest: int) -> int:
    """The grace in seconds for the pods of a pool, and note it: it does not fall until the pool is edited.

    A process that has not seen the pool before goes on from what its Deployment has, unless the pool was edited since
    somebody last wrote its status. What is not known yet (the Deployment was not read) lowers nothing either.
    """
    asked = wanted(pool, longest)
    version = (pool.uid, pool.generation)
    if state.grace_for is None and not state.live.known:
        return asked  # nothing is applied before it is known
    if state.grace_for != version:
        unedited = state.grace_for is None and state.observed_generation == pool.generation
        state.grace = live(state.live.raw) if unedited else 0
        state.grace_for = version
    state.grace = max(state.grace, asked)
    return state.grace
