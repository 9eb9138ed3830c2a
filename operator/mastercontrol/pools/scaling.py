"""How many workers a pool should have. Pure: all policy of autoscaling is here, no clock, no I/O.

`scaler.py` calls it with what it gathered: the number of workers now, the depth of the pool's queue (None when it
can't be known) and the number of steps that the operator itself has dispatched and not seen answered.

- Up at once, by the larger of the two numbers, from zero as well.
- Down only when the depth is known and when every recommendation of the stabilization window allows it (as the
  HorizontalPodAutoscaler does it). Where the user set no window, half of the workers stay for longer, the slower the
  pool's pods start. Which workers go then, and when, `leaving.py` says: none that is at work.
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

WINDOW_SECONDS: Final = 60.0
"""The stabilization window of a pool whose user set none."""

LINGER_STARTS: Final = 10.0
"""So many times as long as a pod takes to start, half of those that were wanted stay."""

LINGER_MOST_SECONDS: Final = 300.0
"""No longer than that, however slowly they start."""


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """The bounds and the manner. `fixed` is the user's own number, used where `automatic` is off; None: not ours.

    For `linger_seconds` half of the workers that were wanted stay, rounded up. None: that is not known yet, and nobody
    stays for it. `shared`: the bounds are those of the namespace's quota and not the user's.
    """

    minimum: int
    maximum: int
    target_backlog: int = 1
    window_seconds: float = WINDOW_SECONDS
    linger_seconds: float | None = 0.0
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

    @property
    def memory_seconds(self) -> float:
        """For how long a recommendation may count, in seconds: what is not known yet may be the most there is."""
        linger = LINGER_MOST_SECONDS if self.linger_seconds is None else self.linger_seconds
        return max(self.window_seconds, linger)

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
"""The recommendations that may still count: times rise, numbers fall."""


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


def policy_of(pool: WorkerPool, start_seconds: float | None = None) -> ScalingPolicy:
    """What a WorkerPool says of its scaling. Its pods take `start_seconds` to start; None: not known."""
    auto_spec, window = pool.autoscaling, pool.autoscaling.scale_down_stabilization_seconds
    return ScalingPolicy(
        minimum=pool.min_replicas,
        maximum=pool.max_replicas,
        target_backlog=auto_spec.target_backlog,
        window_seconds=WINDOW_SECONDS if window is None else window,
        linger_seconds=_linger(start_seconds) if window is None else 0.0,
        automatic=auto_spec.enabled,
        fixed=pool.replicas,
    )


def _linger(start_seconds: float | None) -> float | None:
    return None if start_seconds is None else min(LINGER_STARTS * start_seconds, LINGER_MOST_SECONDS)


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
    if policy.window_seconds > 0 and not _goes_on(now, policy, history):
        # Nothing is known of the window (a new operator, a broker that was away): what there is was right so far.
        history = _record(now, policy, bounded, history)
    stable = min(bounded, max(recommended, _still_wanted(now, policy, history)))
    recent = _record(now, policy, recommended, history)
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


def _goes_on(now: float, policy: ScalingPolicy, history: History) -> bool:
    """Whether something is known of the window, or of just before: it may be shorter than the time between two."""
    return bool(history) and (history[-1].at > now - policy.window_seconds or now - history[-1].at <= GAP_SECONDS)


def _still_wanted(now: float, policy: ScalingPolicy, history: History) -> int:
    """The most that earlier recommendations stand for: all of one within the window, then half while they stay."""
    return max((_left(now, policy, item) for item in history), default=0)


def _left(now: float, policy: ScalingPolicy, item: Recommendation) -> int:
    if item.at > now - policy.window_seconds:
        return item.replicas
    return -(-item.replicas // 2) if item.at > now - (policy.linger_seconds or 0.0) else 0


def _record(now: float, policy: ScalingPolicy, replicas: int, history: History) -> History:
    """Add a recommendation; older ones that are not larger can never count for more again."""
    since = now - policy.memory_seconds
    return (*(item for item in history if item.at > since and item.replicas > replicas), Recommendation(now, replicas))


def _set(replicas: int, current: int, reason: ScalingReason, history: History) -> ScalingDecision:
    return ScalingDecision(replicas if replicas != current else None, reason, history)
