"""The retry policy as arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.api.workflow import RetrySpec
from mastercontrol.workflow.retry import backoff_seconds, may_retry


@pytest.mark.parametrize(("failed", "wait"), [(1, 2), (2, 6), (3, 18), (4, 50), (50, 50), (10_000, 50)], ids=str)
def test_the_wait_grows_by_the_rate_up_to_the_cap(failed: int, wait: float) -> None:
    policy = RetrySpec(backoff_seconds=2, backoff_rate=3, max_backoff_seconds=50, jitter=False)
    assert backoff_seconds(policy, failed, 0.5) == wait


def test_a_rate_of_one_waits_the_same_each_time() -> None:
    policy = RetrySpec(backoff_seconds=2, backoff_rate=1, jitter=False)
    assert [backoff_seconds(policy, n, 0.0) for n in (1, 2, 30)] == [2, 2, 2]


def test_no_back_off_stays_none_however_often_it_failed() -> None:
    policy = RetrySpec(backoff_seconds=0, backoff_rate=10, jitter=False)
    assert [backoff_seconds(policy, n, 0.9) for n in (1, 2, 100)] == [0, 0, 0]


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_jitter_draws_from_zero_to_the_wait(failed: int, draw: float) -> None:
    policy = RetrySpec()
    whole = backoff_seconds(RetrySpec(jitter=False), failed, draw)
    assert backoff_seconds(policy, failed, draw) == whole * draw
    assert 0 <= backoff_seconds(policy, failed, draw) <= policy.max_backoff_seconds


@pytest.mark.parametrize(("limit", "allowed"), [(0, 0), (1, 1), (3, 3)])
def test_the_limit_counts_the_attempts_after_the_first(limit: int, allowed: int) -> None:
    assert [may_retry(RetrySpec(limit=limit), failed) for failed in range(1, 6)] == [n < allowed for n in range(5)]
