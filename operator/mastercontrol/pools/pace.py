"""How fast a pool may grow: rate limits as `behavior.scaleUp` of the HorizontalPodAutoscaler has them. Pure.

A policy allows so many more workers, or so many percent more, than there were at the beginning of its period, which
ends now. Of several the most generous counts, or the least (`selectPolicy: Min`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mastercontrol.api.pool import ScaleUp, ScaleUpPolicy, SelectPolicy, Unit


@dataclass(frozen=True, slots=True)
class Change:
    """The number of workers was changed by so many, at a moment in seconds of a monotonic clock."""

    at: float
    by: int


def most(now: float, behavior: ScaleUp, current: int, changes: Sequence[Change]) -> int | None:
    """The largest number that a pool of `current` workers may have now; None for no limit.

    From none to one is always allowed: no percentage of none is any.
    """
    if behavior.select is SelectPolicy.DISABLED:
        return current
    if not behavior.policies:
        return None
    limits = [_limit(now, policy, current, changes) for policy in behavior.policies]
    limit = min(limits) if behavior.select is SelectPolicy.MIN else max(limits)
    return max(limit, current, 1)


def kept(now: float, behavior: ScaleUp, changes: Sequence[Change]) -> tuple[Change, ...]:
    """The changes that a policy can still ask for."""
    longest = max((policy.period_seconds for policy in behavior.policies), default=0)
    return tuple(change for change in changes if change.at > now - longest)


def _limit(now: float, policy: ScaleUpPolicy, current: int, changes: Sequence[Change]) -> int:
    before = max(current - sum(change.by for change in changes if change.at > now - policy.period_seconds), 0)
    if policy.unit is Unit.PERCENT:
        return math.ceil(before * (100 + policy.value) / 100)
    return before + policy.value
