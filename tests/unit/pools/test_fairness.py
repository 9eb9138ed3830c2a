"""How a namespace's workers are shared: examples, and what holds for all."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from mastercontrol.pools import fairness
from mastercontrol.pools.fairness import Demand, places, room


def demand(
    name: str, wanted: int, *, minimum: int = 0, weight: int = 1, current: int = 0, fixed: bool = False
) -> Demand:
    return Demand(name, wanted, minimum, weight, current, fixed)


def shares(quota: int, demands: list[Demand]) -> dict[str, int] | None:
    """Where all that ask for workers have work, and those first by name have their turn."""
    working = sorted(one.name for one in demands if one.wanted and not one.fixed)
    return fairness.shares(quota, demands, working[: places(quota, demands)])


demands = st.lists(
    st.builds(
        demand,
        st.sampled_from("abcdef"),
        st.integers(0, 30),
        minimum=st.integers(0, 5),
        weight=st.integers(1, 5),
        current=st.integers(0, 30),
    ),
    max_size=6,
    unique_by=lambda one: one.name,
)


def test_nothing_is_shared_out_while_there_is_enough() -> None:
    assert shares(10, [demand("a", 4), demand("b", 2, current=6)]) is None


def test_workers_are_shared_by_weight() -> None:
    assert shares(9, [demand("a", 20), demand("b", 20, weight=2)]) == {"a": 3, "b": 6}


def test_what_one_does_not_need_goes_to_the_others() -> None:
    assert shares(12, [demand("a", 2), demand("b", 20), demand("c", 20)]) == {"a": 2, "b": 5, "c": 5}


def test_minimums_come_first() -> None:
    assert shares(4, [demand("a", 5, minimum=3), demand("b", 20, weight=9)]) == {"a": 3, "b": 1}


def test_a_quota_that_is_smaller_than_the_minimums_is_shared_too() -> None:
    assert shares(3, [demand("a", 5, minimum=3), demand("b", 5, minimum=3)]) == {"a": 2, "b": 1}


def test_nobody_has_none_because_another_weighs_more() -> None:
    assert shares(3, [demand("a", 1), demand("b", 1), demand("c", 9, weight=3)]) == {"a": 1, "b": 1, "c": 1}


def test_minimums_leave_no_pool_with_work_without_a_worker() -> None:
    assert shares(3, [demand("a", 5, minimum=3), demand("b", 5)]) == {"a": 2, "b": 1}
    idle = [demand("a", 1, minimum=1), demand("b", 1, minimum=1), demand("c", 5)]
    assert fairness.shares(2, idle, ["c"]) == {"a": 1, "b": 0, "c": 1}


def test_what_somebody_wrote_is_taken_off_before() -> None:
    pools = [demand("fixed", 2, current=2, fixed=True), demand("a", 5), demand("b", 5)]
    assert places(3, pools) == 1
    assert shares(3, pools) == {"fixed": 2, "a": 1, "b": 0}
    assert fairness.shares(3, pools, ["b"]) == {"fixed": 2, "a": 0, "b": 1}
    assert shares(1, pools) == {"fixed": 2, "a": 0, "b": 0}


def test_there_is_room_for_what_the_others_have_not() -> None:
    pools = [demand("a", 5, current=2), demand("b", 5, current=7)]
    assert (room(10, "a", pools), room(10, "b", pools), room(5, "a", pools)) == (3, 8, 0)


@given(st.integers(1, 60), demands)
def test_shares_use_up_the_quota_and_nobody_gets_more_than_it_wants_or_has(quota: int, pools: list[Demand]) -> None:
    found = shares(quota, pools)
    if found is not None:
        assert sum(found.values()) == quota
        assert all(0 <= found[one.name] <= max(one.wanted, one.current) for one in pools)
        if sum(one.wanted for one in pools) <= quota:
            assert all(found[one.name] >= one.wanted for one in pools)


@given(st.integers(1, 60), demands)
def test_nobody_who_wants_more_has_less_for_its_weight_than_another(quota: int, pools: list[Demand]) -> None:
    assume(quota >= sum(one.wanted > 0 for one in pools))
    found = shares(quota, [Demand(one.name, one.wanted, 0, one.weight, one.current) for one in pools])
    for one in pools if found is not None else ():
        for other in pools:
            if found is not None and found[one.name] < one.wanted and found[other.name] > 0:
                assert (found[other.name] - 1) / other.weight < (found[one.name] + 1) / one.weight + 1e-9
