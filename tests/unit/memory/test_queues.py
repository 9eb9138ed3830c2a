"""The order in which a queue in memory hands out what waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.memory.queues import Message, Waiting


def waiting(*lanes: tuple[int, bool]) -> Waiting:
    found = Waiting()
    for number, high in lanes:
        found.put(number, Message(str(number), b"", high=high))
    return found


def drain(found: Waiting) -> list[int]:
    return [found.take()[0] for _ in range(len(found))]


def test_without_high_ones_the_order_is_that_of_their_coming() -> None:
    assert drain(waiting((1, False), (2, False), (3, False), (4, False))) == [1, 2, 3, 4]


def test_without_normal_ones_no_turn_is_left_out() -> None:
    assert drain(waiting((1, True), (2, True), (3, True), (4, True))) == [1, 2, 3, 4]


def test_what_came_back_is_first_whatever_its_priority_and_in_its_old_order() -> None:
    found = waiting((4, True), (5, False))
    for number in (3, 2, 1):
        found.put_back(number, Message(str(number), b"", high=number == 2))
    assert drain(found) == [1, 2, 3, 4, 5]


@given(st.lists(st.booleans(), max_size=60))
def test_nothing_is_lost_each_lane_keeps_its_order_and_no_normal_one_waits_for_more_than_two(lanes: list[bool]) -> None:
    numbered = list(enumerate(lanes))
    order = drain(waiting(*numbered))
    assert sorted(order) == [number for number, _ in numbered]
    for lane in (True, False):
        assert [n for n in order if lanes[n] is lane] == [n for n, high in numbered if high is lane]
    normal = lanes.count(False)
    for start in range(len(order) - 2):
        before = sum(not lanes[n] for n in order[:start])
        if before < normal:
            assert not all(lanes[n] for n in order[start : start + 3]), "a normal one waited, and three high ones went"
