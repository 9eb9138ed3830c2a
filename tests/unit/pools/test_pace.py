"""How fast a pool may grow: examples of the HorizontalPodAutoscaler's own documentation, and what holds for all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.api.pool import ScaleUp, ScaleUpPolicy, SelectPolicy, Unit, parse_pool
from mastercontrol.api.values import InvalidObject
from mastercontrol.pools.pace import Change, kept, most
from unit.pools.world import pool

FOUR = ScaleUpPolicy(Unit.PODS, 4, 15)
DOUBLE = ScaleUpPolicy(Unit.PERCENT, 100, 15)

policies = st.builds(ScaleUpPolicy, st.sampled_from(Unit), st.integers(1, 300), st.integers(1, 1800))
changes = st.lists(st.builds(Change, st.floats(0, 100), st.integers(-20, 20)), max_size=6)


def limit(
    current: int, *rules: ScaleUpPolicy, select: SelectPolicy = SelectPolicy.MAX, before: Sequence[Change] = ()
) -> int | None:
    return most(100, ScaleUp(rules, select), current, before)


def test_without_policies_there_is_no_limit() -> None:
    assert limit(3) is None


def test_the_most_generous_policy_counts_unless_the_least_is_asked_for() -> None:
    assert limit(2, FOUR, DOUBLE) == 6
    assert limit(10, FOUR, DOUBLE) == 20
    assert limit(10, FOUR, DOUBLE, select=SelectPolicy.MIN) == 14
    assert limit(10, FOUR, select=SelectPolicy.DISABLED) == 10


def test_what_was_added_in_the_period_counts() -> None:
    assert limit(10, FOUR, before=[Change(95, 3)]) == 11
    assert limit(10, FOUR, before=[Change(84, 3)]) == 14
    assert limit(10, DOUBLE, before=[Change(95, 5)]) == 10
    assert limit(10, FOUR, before=[Change(95, 6)]) == 10  # more than allowed, as when somebody else scaled
    assert limit(10, FOUR, before=[Change(95, -2)]) == 16


def test_a_percentage_is_rounded_up_and_the_first_worker_is_always_allowed() -> None:
    assert limit(3, ScaleUpPolicy(Unit.PERCENT, 10, 60)) == 4
    assert limit(0, DOUBLE) == 1


@given(st.lists(policies, max_size=4), st.sampled_from(SelectPolicy), st.integers(0, 100), changes)
def test_a_limit_takes_no_worker_away(
    rules: list[ScaleUpPolicy], select: SelectPolicy, current: int, before: list[Change]
) -> None:
    found = most(100, ScaleUp(tuple(rules), select), current, before)
    assert found is None or found >= current


@given(st.lists(policies, min_size=1, max_size=4), st.integers(0, 100), changes)
def test_changes_that_are_forgotten_change_nothing(
    rules: list[ScaleUpPolicy], current: int, before: list[Change]
) -> None:
    behavior = ScaleUp(tuple(rules))
    assert most(100, behavior, current, kept(100, behavior, before)) == most(100, behavior, current, before)


def test_policies_are_read_as_they_are_written() -> None:
    rules = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
    parsed = parse_pool(pool(autoscaling={"scaleUp": {"policies": rules, "selectPolicy": "Min"}, "weight": 3}))
    assert parsed.autoscaling.scale_up == ScaleUp((DOUBLE,), SelectPolicy.MIN)
    assert parsed.autoscaling.weight == 3


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"type": "Cores", "value": 1, "periodSeconds": 1}, "type: write one of Pods, Percent"),
        ({"type": "Pods", "periodSeconds": 1}, "value: write a whole number .* required"),
        ({"type": "Pods", "value": 1, "periodSeconds": 0}, "periodSeconds: write a whole number"),
        ({"type": "Pods", "value": 1, "period": 1}, "period: there is no such field"),
    ],
    ids=["type", "value", "period", "field"],
)
def test_a_policy_that_is_none_is_refused(rule: dict[str, object], fault: str) -> None:
    with pytest.raises(InvalidObject, match=rf"spec.autoscaling.scaleUp.policies\[0\].{fault}"):
        parse_pool(pool(autoscaling={"scaleUp": {"policies": [rule]}}))
