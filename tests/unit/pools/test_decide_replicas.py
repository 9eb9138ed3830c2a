"""`decide_replicas`: examples, and what holds for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.api.pool import parse_pool
from mastercontrol.engine.ports import Depth
from mastercontrol.pools.scaling import (
    GAP_SECONDS,
    History,
    Recommendation,
    ScalingDecision,
    ScalingPolicy,
    ScalingReason,
    decide_replicas,
    initial_replicas,
    policy_of,
)
from unit.pools.world import pool

counts = st.integers(0, 40)
depths = st.builds(Depth, counts, counts, counts)
policies = st.builds(
    lambda low, more, target, window, linger: ScalingPolicy(low, low + more, target, window, linger),
    st.integers(0, 6),
    st.integers(0, 12),
    st.integers(1, 7),
    st.sampled_from([0.0, 5.0, 60.0]),
    st.sampled_from([None, 0.0, 30.0, 70.0, 300.0]),
)
histories = st.lists(st.tuples(st.floats(0, 100), st.integers(0, 18))).map(
    lambda items: tuple(
        Recommendation(at, replicas)
        for at, replicas in zip(sorted(i[0] for i in items), sorted((i[1] for i in items), reverse=True), strict=True)
    )
)


def result(decision: ScalingDecision, current: int) -> int:
    return current if decision.replicas is None else decision.replicas


@given(policies, counts, st.none() | depths, counts, histories)
def test_the_number_is_within_the_bounds(
    policy: ScalingPolicy, current: int, depth: Depth | None, outstanding: int, history: History
) -> None:
    decision = decide_replicas(100, policy, current, depth, outstanding, history)
    assert policy.minimum <= result(decision, current) <= policy.maximum


@given(policies, counts, counts, histories)
def test_an_unknown_depth_lowers_nothing_but_to_the_bounds(
    policy: ScalingPolicy, current: int, outstanding: int, history: History
) -> None:
    decision = decide_replicas(100, policy, current, None, outstanding, history)
    assert result(decision, current) >= min(current, policy.maximum)


@given(policies, counts, depths, counts, counts, counts, counts, histories)
def test_more_work_never_means_fewer_workers(
    policy: ScalingPolicy,
    current: int,
    depth: Depth,
    outstanding: int,
    ready: int,
    unacknowledged: int,
    more: int,
    history: History,
) -> None:
    larger = Depth(depth.ready + ready, depth.unacknowledged + unacknowledged, depth.consumers)
    less = decide_replicas(100, policy, current, depth, outstanding, history)
    greater = decide_replicas(100, policy, current, larger, outstanding + more, history)
    assert result(greater, current) >= result(less, current)


@given(policies, st.none() | depths, counts, histories)
def test_from_zero_work_is_answered_at_once(
    policy: ScalingPolicy, depth: Depth | None, outstanding: int, history: History
) -> None:
    decision = decide_replicas(100, policy, 0, depth, outstanding, history)
    needed = -(-max(outstanding, depth.backlog if depth else 0) // policy.target_backlog)
    assert result(decision, 0) >= min(needed, policy.maximum)


@given(policies, counts, depths, counts, histories)
def test_the_number_goes_down_only_as_far_as_the_whole_window_allows(
    policy: ScalingPolicy, current: int, depth: Depth, outstanding: int, history: History
) -> None:
    decision = decide_replicas(100, policy, current, depth, outstanding, history)
    if result(decision, current) < policy.clamp(current):
        recent = [item for item in history if item.at > 100 - policy.window_seconds]
        assert all(item.replicas <= result(decision, current) for item in recent)
        assert recent or policy.window_seconds == 0 or history[-1].at >= 100 - GAP_SECONDS


@given(policies, counts, st.lists(st.tuples(st.floats(0.1, 20), st.none() | depths, counts), max_size=40))
def test_over_time_the_number_goes_down_only_after_a_window_of_less_work(
    policy: ScalingPolicy, current: int, readings: Sequence[tuple[float, Depth | None, int]]
) -> None:
    """The history that it keeps is as good as all that was ever read."""
    now, seen = 0.0, list[tuple[float, int]]()
    history: History = ()
    for pause, depth, outstanding in readings:
        now += pause
        decision = decide_replicas(now, policy, current, depth, outstanding, history)
        needed = policy.recommend(max(outstanding, depth.backlog if depth else 0))
        if depth is not None or needed > policy.clamp(current):
            seen.append((now, needed))
        after = result(decision, current)
        if after < policy.clamp(current):
            assert all(number <= after for at, number in seen if at > now - policy.window_seconds)
        assert len(decision.history) <= policy.maximum - policy.minimum + 2
        current, history = after, decision.history


def by_the_rule(
    now: float, policy: ScalingPolicy, current: int, recommended: int, seen: list[tuple[float, int]]
) -> int:
    """What the module's text says, from all that was ever recommended."""
    newest = seen[-1][0] if seen else -1e9
    if policy.window_seconds > 0 and newest <= now - policy.window_seconds and now - newest > GAP_SECONDS:
        seen.append((now, policy.clamp(current)))
    whole = [number for at, number in seen if at > now - policy.window_seconds]
    half = [-(-number // 2) for at, number in seen if at > now - (policy.linger_seconds or 0)]
    return min(policy.clamp(current), max(recommended, *whole, *half, 0))


@given(
    policies,
    counts,
    st.lists(st.tuples(st.sampled_from([0.5, 1, 4, 11, 40, 90]), counts), max_size=40),
    st.none() | st.integers(0, 40),
)
def test_the_history_that_is_kept_decides_as_all_that_was_ever_recommended(
    policy: ScalingPolicy, current: int, readings: Sequence[tuple[float, int]], learned_at: int | None
) -> None:
    """Also where it is learned only in between for how long half of the workers stay."""
    linger = policy.linger_seconds
    now, seen = 0.0, list[tuple[float, int]]()
    history: History = ()
    for index, (pause, backlog) in enumerate(readings):
        if learned_at is not None:
            policy = replace(policy, linger_seconds=None if index < learned_at else linger)
        now += pause
        needed = policy.recommend(backlog)
        expected = needed if needed > policy.clamp(current) else by_the_rule(now, policy, current, needed, seen)
        seen.append((now, needed))
        decision = decide_replicas(now, policy, current, Depth(backlog, 0, 0), 0, history)
        assert result(decision, current) == expected
        current, history = expected, decision.history


@given(policies, counts, depths, counts, histories)
def test_who_lingers_only_ever_adds_workers(
    policy: ScalingPolicy, current: int, depth: Depth, outstanding: int, history: History
) -> None:
    lingering = decide_replicas(100, policy, current, depth, outstanding, history)
    plain = decide_replicas(100, replace(policy, linger_seconds=0.0), current, depth, outstanding, history)
    assert result(lingering, current) >= result(plain, current)


@given(policies, st.none() | depths, counts)
def test_a_new_deployment_has_what_its_work_needs(policy: ScalingPolicy, depth: Depth | None, outstanding: int) -> None:
    assert initial_replicas(policy, depth, outstanding) == policy.recommend(
        max(outstanding, depth.backlog if depth else 0)
    )


def test_a_backlog_that_is_no_multiple_of_the_target_is_rounded_up() -> None:
    assert decide_replicas(0, ScalingPolicy(0, 10, 3), 0, Depth(4, 0, 0), 0, ()).replicas == 2


def test_the_larger_of_both_numbers_counts() -> None:
    assert decide_replicas(0, ScalingPolicy(0, 10), 0, Depth(2, 0, 0), 5, ()).replicas == 5
    assert decide_replicas(0, ScalingPolicy(0, 10), 0, Depth(5, 0, 0), 2, ()).replicas == 5


def test_a_pause_stops_busy_workers_whose_queue_is_unknown() -> None:
    decision = decide_replicas(0, ScalingPolicy(0, 0), 4, None, 9, ())
    assert (decision.replicas, decision.reason) == (0, ScalingReason.PAUSED)


def test_a_lower_maximum_holds_at_once() -> None:
    decision = decide_replicas(0, ScalingPolicy(0, 2), 4, Depth(9, 4, 4), 9, ())
    assert decision.replicas == 2


def test_nothing_goes_down_before_a_window_was_seen() -> None:
    policy = ScalingPolicy(0, 10, window_seconds=60)
    decision = decide_replicas(0, policy, 4, Depth(0, 0, 0), 0, ())
    assert (decision.replicas, decision.reason) == (None, ScalingReason.STABILIZING)
    decision = decide_replicas(59.9, policy, 4, Depth(0, 0, 0), 0, decision.history)
    assert decision.replicas is None
    decision = decide_replicas(60, policy, 4, Depth(0, 0, 0), 0, decision.history)
    assert (decision.replicas, decision.reason) == (0, ScalingReason.SHRINK)


def test_a_window_shorter_than_the_time_between_two_readings_is_one_too() -> None:
    policy = ScalingPolicy(0, 10, window_seconds=1)
    first = decide_replicas(0, policy, 4, Depth(0, 0, 0), 0, ())
    assert first.replicas is None
    assert decide_replicas(1.01, policy, 4, Depth(0, 0, 0), 0, first.history).replicas == 0


def test_without_a_window_the_number_goes_down_at_once() -> None:
    decision = decide_replicas(0, ScalingPolicy(0, 10, window_seconds=0), 4, Depth(1, 0, 4), 1, ())
    assert decision.replicas == 1


def test_a_window_of_which_nothing_is_known_starts_over() -> None:
    policy = ScalingPolicy(0, 10, window_seconds=10)
    old = (Recommendation(0, 0),)
    assert decide_replicas(100, policy, 4, Depth(0, 0, 0), 0, old).replicas is None


def numbers(policy: ScalingPolicy, backlogs: Sequence[tuple[int, int]], until: int) -> dict[int, int]:
    """The number of workers each second; a backlog stands from its second to the next one's, read each second."""
    current, found = 0, dict[int, int]()
    history: History = ()
    for now in range(until):
        backlog = next(count for since, count in reversed(backlogs) if since <= now)
        decision = decide_replicas(now, policy, current, Depth(backlog, 0, 0), 0, history)
        current, history = result(decision, current), decision.history
        found[now] = current
    return found


def test_half_of_the_workers_rounded_up_stay_for_longer() -> None:
    policy = ScalingPolicy(0, 10, window_seconds=60, linger_seconds=200)
    after = numbers(policy, [(0, 5), (1, 0)], 300)
    assert [after[second] for second in (0, 59, 60, 199, 200)] == [5, 5, 3, 3, 0]


def test_half_of_a_former_peak_and_all_of_a_later_one_stay() -> None:
    policy = ScalingPolicy(0, 20, window_seconds=60, linger_seconds=300)
    after = numbers(policy, [(0, 20), (1, 12), (101, 0)], 500)
    assert [after[second] for second in (59, 60, 159, 160, 299, 300, 399, 400)] == [20, 12, 12, 10, 10, 6, 6, 0]


def test_a_lower_maximum_and_the_quota_are_stronger_than_who_lingers() -> None:
    policy = ScalingPolicy(0, 20, window_seconds=60, linger_seconds=300)
    history = decide_replicas(0, policy, 0, Depth(20, 0, 0), 0, ()).history
    lower = decide_replicas(100, replace(policy, maximum=3), 20, Depth(0, 0, 0), 0, history)
    shared = decide_replicas(100, policy.within(4), 20, Depth(0, 0, 0), 0, history)
    assert (lower.replicas, lower.reason) == (3, ScalingReason.BOUNDS)
    assert (shared.replicas, shared.reason) == (4, ScalingReason.QUOTA)


def test_after_a_time_of_which_nothing_is_known_all_stay_for_a_window_and_half_for_longer() -> None:
    policy = ScalingPolicy(0, 10, window_seconds=60, linger_seconds=200)
    history = decide_replicas(0, policy, 0, Depth(4, 0, 0), 0, ()).history
    back = decide_replicas(100, policy, 8, Depth(0, 0, 0), 0, history)
    assert (back.replicas, back.reason) == (None, ScalingReason.STABILIZING)
    later = decide_replicas(159, policy, 8, Depth(0, 0, 0), 0, back.history)
    assert later.replicas is None
    assert decide_replicas(160, policy, 8, Depth(0, 0, 0), 0, later.history).replicas == 4


@pytest.mark.parametrize(
    ("written", "start", "window", "linger"),
    [
        (None, None, 60, None),  # not seen yet
        (None, 2.5, 60, 25),
        (None, 20, 60, 200),
        (None, 1000, 60, 300),
        (60, 60, 60, 0),  # the user's own window is all there is
        (0, None, 0, 0),
    ],
)
def test_who_lingers_follows_the_start_of_the_pods_where_the_user_wrote_no_window(
    written: int | None, start: float | None, window: float, linger: float | None
) -> None:
    spec = {} if written is None else {"scaleDownStabilizationSeconds": written}
    policy = policy_of(parse_pool(pool(autoscaling=spec)), start)
    assert (policy.window_seconds, policy.linger_seconds) == (window, linger)


def test_without_autoscaling_the_users_number_is_kept_within_the_bounds() -> None:
    def decide(fixed: int | None) -> int | None:
        policy = ScalingPolicy(1, 5, automatic=False, fixed=fixed)
        return decide_replicas(0, policy, 3, Depth(50, 0, 0), 50, ()).replicas

    assert [decide(0), decide(3), decide(9), decide(None)] == [1, None, 5, None]
