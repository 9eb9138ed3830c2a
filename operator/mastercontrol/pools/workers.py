"""How many workers of a pool are ready, as far as that is known: what its jobs say while a step waits for one. Pure.

The controller calls `seen` after whatever may have changed it. Unknown is None: before its Deployment was looked at by
the cluster, and while it can't be read. Readiness that are not of the Deployment are known by the queue they consume.
"""

from __future__ import annotations

import datetime as dt

from mastercontrol.engine.ports import Readiness
from mastercontrol.pools.state import PoolState


def seen(state: PoolState, now: dt.datetime) -> Readiness | None:
    """The ready workers of a pool; since when there is none stays what it was."""
    ready = _ready(state)
    if ready is None or ready > 0:
        return None if ready is None else Readiness(ready)
    before = state.workers
    since = None if before is None else before.none_since
    return Readiness(0, since or now)


def _ready(state: PoolState) -> int | None:
    consumers = 0 if state.depth is None else state.depth.consumers
    if not state.live.known or not state.live.is_observed:
        return consumers or None
    return max(state.live.counts.ready, consumers)
