"""What Kubernetes' Deployment controller makes of its ReplicaSets: numbers only, without pods or time. Pure.

As pkg/controller/deployment does it, for the strategy that the operator writes: a changed number of replicas comes
first (sync.go, `scale`), and is divided among the ReplicaSets in proportion while there are two of them; then a step of
the roll-out (rolling.go): new pods up to the surge, old ones down by as many as new ones are available.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

SURGE = 0.25
"""`maxSurge`; `maxUnavailable` is 0."""

Sets = Mapping[int, int]
"""By the revision of its template, the replicas of each ReplicaSet."""


def surge(replicas: int) -> int:
    """How many pods there may be beyond `replicas` in a roll-out."""
    return math.ceil(replicas * SURGE)


def scaled(sets: Sets, before: int, replicas: int) -> dict[int, int]:
    """The ReplicaSets once the Deployment, which had `before` replicas, is to have `replicas`."""
    result = dict(sets)
    active = [revision for revision, size in sets.items() if size]
    if not active:
        return result  # it goes the way of a roll-out
    if len(active) == 1:
        return result | {active[0]: replicas}
    return result | _divided({revision: sets[revision] for revision in active}, before, replicas)


def _divided(sets: Sets, before: int, replicas: int) -> dict[int, int]:
    change = (replicas + surge(replicas) if replicas else 0) - sum(sets.values())
    # The largest first; of two that are as large, the newer grows and the older shrinks.
    order = sorted(sets, key=lambda revision: (-sets[revision], -revision if change > 0 else revision))
    result, done = {}, 0
    for revision in order:
        size = sets[revision]
        if replicas:
            fraction = _rounded(size * (replicas + surge(replicas)) / (before + surge(before))) - size
        else:
            fraction = -size
        part = min(fraction, change - done) if change > 0 else max(fraction, change - done)
        result[revision] = size + (part if change != done else 0)
        done += result[revision] - size
    result[order[0]] = max(result[order[0]] + change - done, 0)
    return result


def _rounded(value: float) -> int:
    return math.floor(value + 0.5)


def rolled(sets: Sets, newest: int, replicas: int, available: Mapping[int, int]) -> dict[int, int]:
    """The ReplicaSets after one step towards the newest template."""
    result = {newest: 0, **sets}
    total = sum(result.values())
    if result[newest] > replicas:
        return result | {newest: replicas}
    room = min(replicas + surge(replicas) - total, replicas - result[newest])
    if room > 0:
        return result | {newest: result[newest] + room}
    old = sorted(revision for revision in result if revision != newest)
    spare = total - replicas - (result[newest] - available.get(newest, 0))
    for revision in old:  # those that do no work may go whatever comes
        gone = max(min(spare, result[revision] - available.get(revision, 0)), 0)
        result[revision] -= gone
        spare -= gone
    spare = sum(available.values()) - replicas
    for revision in old:
        gone = max(min(spare, result[revision]), 0)
        result[revision] -= gone
        spare -= gone
    return result
