"""How many workers a pool should have. Pure: all policy of autoscaling is here, no clock, no I/O.

`scaler.py` calls it with what it gathered: the number of workers now, the depth of the pool's queue (None when it
can't be known) and the number of steps that the operator itself has dispatched and not seen answered.

- Up at once, by the larger of the two numbers, from zero as well.
- Down only when the depth is known and when every recommendation of the stabilization window allows it (as the
  HorizontalPodAutoscaler does it). Which workers go then, and when, `leaving.py` says: none that is at work.
- What is not known lowers nothing. The bounds that the user wrote hold at once, whatever is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from mastercontrol.api.pool import WorkerPool
from mastercontrol.engine.ports import Depth

GAP_SECONDS: Final = 5.0
"""A longer time without a recommendation is one of which nothing is known."""


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """The bounds and the manner. `fixed` is the user's own number, used where `automatic` is off; None: not ours.

    `shared`: the bounds are those of the namespace's quota and not the user's.
    """

    minimum: int
    maximum: int
    target_backlog: int = 1
    window_seconds: float = 60.0
    automatic: bool = True
    fixed: int | None = None
    shared: bool = False

    def clamp(self, replicas: int) -> int:
        """The nearest number within the bounds."""
        return max(self.minimum, min(replicas, self.maximum))

    def recommend(self, backlog: int) -> int:
        """The number of workers for that many steps."""
        return self.clamp(self.needed(backlog))

    def needed(self, backlog: int) -> int:
        """The same without bounds."""
        return -(-backlog // self.target_backlog)

    def within(self, share: int) -> ScalingPolicy:
        """The same where the namespace leaves the pool no more than `share` workers."""
        if share >= self.maximum:
            return self
        return replace(self, minimum=min(self.minimum, share), maximum=share, shared=True)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What was recommended at a moment, in seconds of a monotonic clock."""

    at: float
    replicas: int


History = tuple[Recommendation, ...]
"""The recommendations of the window that can still be its maximum: times rise, numbers fall."""


class ScalingReason(Enum):
    """Why a decision is what it is."""

    PAUSED = auto()  # maxReplicas is 0
    FIXED = auto()  # autoscaling is off: the user's number
    DISABLED = auto()  # autoscaling is off and there is no number: somebody else scales
    BOUNDS = auto()  # the user's bounds moved
    QUOTA = auto()  # the namespace has no more for it
    BACKLOG = auto()  # there is more work than before
    SHRINK = auto()  # less work for the whole window
    STABILIZING = auto()  # less work, but not yet for the whole window
    DEPTH_UNKNOWN = auto()  # the queue could not be read
    STEADY = auto()  # it is as it should be


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """`replicas` is the number to set, None for no change; `history` is to be passed to the next decision."""

    replicas: int | None
    reason: ScalingReason
    history: History


def policy_of(pool: WorkerPool) -> ScalingPolicy:
    """What a WorkerPool says of its scaling."""
    auto_spec = pool.autoscaling
    return ScalingPolicy(
        minimum=pool.min_replicas,
        maximum=pool.max_replicas,
        target_backlog=auto_spec.target_backlog,
        window_seconds=auto_spec.scale_down_stabilization_seconds,
        automatic=auto_spec.enabled,
        fixed=pool.replicas,
    )


def decide_replicas(
    now: float,
    policy: ScalingPolicy,
    current: int,
    observed: Depth | None,
    outstanding: int,
    history: History,
    ceiling: int | None = None,
) -> ScalingDecision:
    """Decide on the number of workers of a pool that has `current`.

    `now` is in seconds of a monotonic clock, `outstanding` in steps: exact, and known without asking the broker. To no
    more than `ceiling` may it grow now (None: as far as it likes).
    """
    if policy.maximum == 0:
        return _set(0, current, ScalingReason.QUOTA if policy.shared else ScalingReason.PAUSED, ())
    if not policy.automatic:
        if policy.fixed is None:
            return ScalingDecision(None, ScalingReason.DISABLED, ())
        return _set(policy.clamp(policy.fixed), current, ScalingReason.FIXED, ())
    recommended = policy.recommend(max(outstanding, observed.backlog if observed else 0))
    bounded = policy.clamp(current)
    if recommended > bounded:
        allowed = recommended if ceiling is None else min(recommended, max(ceiling, bounded))
        return _set(allowed, current, ScalingReason.BACKLOG, _record(now, policy, recommended, history))
    if observed is None:
        # Not recorded: a moment of which nothing is known neither allows nor forbids anything later.
        reason = ScalingReason.DEPTH_UNKNOWN if bounded == current else _moved(policy)
        return _set(bounded, current, reason, history)
    return _shrink(now, policy, current, recommended, history)


def initial_replicas(
    policy: ScalingPolicy, observed: Depth | None, outstanding: int, ceiling: int | None = None
) -> int:
    """The number that a Deployment is made with."""
    decision = decide_replicas(0.0, policy, 0, observed, outstanding, (), ceiling)
    if decision.reason is ScalingReason.DISABLED:
        return policy.minimum
    return decision.replicas or 0


def _shrink(now: float, policy: ScalingPolicy, current: int, recommended: int, history: History) -> ScalingDecision:
    bounded = policy.clamp(current)
    recent = _within(now, policy, history)
    if policy.window_seconds > 0 and not recent and not _goes_on(now, history):
        # Nothing is known of the window (a new operator, a broker that was away): what there is was right so far.
        recent = (Recommendation(now, bounded),)
    recent = _record(now, policy, recommended, recent)
    stable = min(bounded, recent[0].replicas)
    if stable < bounded:
        reason = ScalingReason.SHRINK
    elif bounded != current:
        reason = _moved(policy)
    elif recommended == bounded:
        reason = ScalingReason.STEADY
    else:
        reason = ScalingReason.STABILIZING
    return _set(stable, current, reason, recent)


def _moved(policy: ScalingPolicy) -> ScalingReason:
    return ScalingReason.QUOTA if policy.shared else ScalingReason.BOUNDS


def _goes_on(now: float, history: History) -> bool:
    """Whether the last recommendation is of just before: a window may be shorter than the time between two."""
    return bool(history) and now - history[-1].at <= GAP_SECONDS


def _within(now: float, policy: ScalingPolicy, history: History) -> History:
    return tuple(item for item in history if item.at > now - policy.window_seconds)


def _record(now: float, policy: ScalingPolicy, replicas: int, history: History) -> History:
    """Add a recommendation; older ones that are not larger can never be the window's maximum again."""
    larger = tuple(item for item in _within(now, policy, history) if item.replicas > replicas)
    return (*larger, Recommendation(now, replicas))


def _set(replicas: int, current: int, reason: ScalingReason, history: History) -> ScalingDecision:
    return ScalingDecision(replicas if replicas != current else None, reason, history)
