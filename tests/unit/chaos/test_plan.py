"""A plan is made of its seed, hits everything, and leaves what it hit the time to come back."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

import pytest

from chaos.plan import RULES, SPARE, Action, Kind, Mix, Target, chosen, make

SEEDS = range(50)


def test_the_same_seed_gives_the_same_plan() -> None:
    assert make(7, 600, 8) == make(7, 600, 8)
    assert make(7, 600, 8) != make(8, 600, 8)


def test_a_plan_is_the_same_on_every_machine() -> None:
    """If this fails a seed of an old report can't be replayed any more: say so in the changelog."""
    first = make(20, 60, 8)[:3]
    assert first == [
        Action(11.6, Kind.API_KILL, 0.449401, 0.0),
        Action(17.3, Kind.BROKER_RESTART, 0.316904, 0.0),
        Action(28.6, Kind.WORKER_KILL, 0.335569, 0.0),
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_each_kind_comes_before_others_come_again(seed: int) -> None:
    seen: set[Kind] = set()
    for action in make(seed, 3600, 8):
        left = set(Kind) - seen
        # Where all that are left have to be spared at this time, another one comes again.
        assert action.kind in left or {kind.target for kind in left} <= set(SPARE)
        seen.add(action.kind)
    assert seen == set(Kind)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_has_to_be_spared_is_spared(seed: int) -> None:
    free: dict[Target, float] = defaultdict(float)
    for action in make(seed, 3600, 8):
        target = action.kind.target
        assert action.at >= free[target]
        if target in SPARE:
            free[target] = action.at + action.seconds + SPARE[target]


def test_one_operator_may_die_while_the_other_stands_still() -> None:
    plan = make(1, 36000, 8)
    pairs = [(a, b) for a, b in itertools.pairwise(plan) if b.at < a.at + a.seconds]
    assert any(a.kind is Kind.OPERATOR_PAUSE and b.kind is Kind.OPERATOR_KILL for a, b in pairs)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_is_done_within_the_time_and_in_order(seed: int) -> None:
    plan = make(seed, 200, 10)
    assert plan == sorted(plan)
    assert all(0 < action.at < 200 for action in plan)
    assert 13 <= len(plan) <= 40


def test_blows_come_as_often_as_the_gap_says() -> None:
    assert len(make(1, 36000, 8)) == pytest.approx(4500, rel=0.05)


def test_only_pauses_last_and_within_their_bounds() -> None:
    for action in make(3, 36000, 5):
        pause = RULES[action.kind].pause
        assert (action.seconds > 0) == (pause is not None)
        assert pause is None or pause[0] <= action.seconds <= pause[1]


def test_an_operator_is_paused_for_longer_than_its_lease() -> None:
    pause = RULES[Kind.OPERATOR_PAUSE].pause
    assert pause is not None
    assert pause[0] > 10


def test_operators_and_workers_die_more_often_than_brokers_are_wiped() -> None:
    counts = Counter(action.kind for action in make(5, 36000, 5))
    assert counts[Kind.OPERATOR_KILL] > counts[Kind.WORKER_KILL] * 0.9
    assert counts[Kind.WORKER_KILL] > 5 * counts[Kind.BROKER_WIPE] > 0


def test_a_long_run_of_kills_has_twice_as_many_of_operators_as_of_workers_and_some_of_everything() -> None:
    counts = Counter(action.kind for action in make(1, 2 * 3600, 2, Mix.KILLS))
    assert set(counts) == set(Kind)
    assert counts[Kind.OPERATOR_KILL] == pytest.approx(2 * counts[Kind.WORKER_KILL], rel=0.15)
    kills = counts[Kind.OPERATOR_KILL] + counts[Kind.WORKER_KILL]
    assert kills > 0.9 * counts.total()
    assert counts[Kind.BROKER_RESTART] > counts[Kind.BROKER_WIPE] > 1


def test_a_pick_means_one_of_those_that_are_there() -> None:
    assert chosen([], 0.5) is None
    assert chosen(["a"], 0.999) == "a"
    assert [chosen("abcd", pick) for pick in (0, 0.25, 0.5, 0.999999)] == ["a", "b", "c", "d"]
