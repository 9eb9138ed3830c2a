"""When to try again what failed: a wait that doubles up to a cap and is forgotten with the first success."""

from __future__ import annotations

from dataclasses import dataclass

from mastercontrol.api.names import Reason
from mastercontrol.pools.settings import PoolSettings


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a pool is not as it should be, for its condition."""

    reason: Reason
    message: str


@dataclass(slots=True)
class Backoff:
    """One kind of effort, and how it goes. Times are seconds of a monotonic clock."""

    settings: PoolSettings
    failures: int = 0
    until: float | None = None
    problem: Problem | None = None

    def failed(self, now: float, problem: Problem) -> float:
        """Note a failure; the seconds to wait."""
        # The exponent is bounded too: a float has an end, a broken cluster may not.
        delay = min(self.settings.retry_cap_seconds, self.settings.retry_base_seconds * 2.0 ** min(self.failures, 30))
        self.failures += 1
        self.until = now + delay
        self.problem = problem
        return delay

    def reset(self) -> None:
        """It worked."""
        self.failures = 0
        self.until = None
        self.problem = None

    def hurry(self) -> None:
        """What it depends on has changed: try again at once. The problem stands until it works."""
        self.failures = 0
        self.until = None

    def remaining(self, now: float) -> float:
        """Seconds until the next try; 0 when it may be tried now."""
        return 0.0 if self.until is None else max(0.0, self.until - now)
