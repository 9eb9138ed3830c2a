"""When a failed step is tried again."""

from __future__ import annotations

from mastercontrol.api.workflow import RetrySpec


def backoff_seconds(policy: RetrySpec, failed_attempts: int, jitter: float) -> float:
    """How long to wait after the given number of failed attempts (from 1), in seconds.

    The wait grows by the rate with each attempt up to the cap. With jitter it is drawn from zero to that ('full
    jitter': jobs that failed together do not come back together); `jitter` in [0, 1) is the draw.
    """
    exponent = failed_attempts - 1
    try:
        grown = policy.backoff_seconds * policy.backoff_rate**exponent
    except OverflowError:
        grown = policy.max_backoff_seconds
    capped = min(grown, policy.max_backoff_seconds)
    return capped * jitter if policy.jitter else capped


def may_retry(policy: RetrySpec, failed_attempts: int) -> bool:
    """Whether another attempt is allowed after the given number of failed ones."""
    return failed_attempts <= policy.limit
