"""Whose turn it is where there are fewer workers than pools with work."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.pools.turns import START_SECONDS, TURN_SECONDS, Candidate, Turns


def working(*names: str, ready: str = "", room: str = "") -> list[Candidate]:
    return [Candidate(name, 1, ready=name in ready, room=name in room or name in ready) for name in names]


def test_where_there_are_enough_all_have_one() -> None:
    assert Turns().first(0, 3, working("a", "b")) == {"a", "b"}


def test_a_turn_begins_when_a_worker_is_ready() -> None:
    turns = Turns()
    assert turns.first(0, 1, working("a", "b", room="a")) == {"a"}
    assert turns.first(400, 1, working("a", "b", ready="a")) == {"a"}
    assert turns.first(400 + TURN_SECONDS - 1, 1, working("a", "b", ready="a")) == {"a"}
    assert turns.first(400 + TURN_SECONDS, 1, working("a", "b", ready="a")) == {"b"}


def test_who_waits_for_another_one_s_last_step_loses_nothing() -> None:
    turns = Turns()
    turns.first(0, 1, working("a", "b", ready="a"))
    assert turns.first(TURN_SECONDS, 1, working("a", "b", ready="a")) == {"b"}
    assert turns.first(9000, 1, working("a", "b", ready="a")) == {"b"}, "its step takes hours"
    assert turns.first(9001, 1, working("a", "b", ready="b")) == {"b"}
    assert turns.first(9001 + TURN_SECONDS, 1, working("a", "b", ready="b")) == {"a"}


def test_who_never_gets_ready_has_its_place_not_for_ever() -> None:
    turns = Turns()
    turns.first(0, 1, working("a", "b", room="a"))
    assert turns.first(START_SECONDS - 1, 1, working("a", "b", room="a")) == {"a"}
    assert turns.first(START_SECONDS, 1, working("a", "b", room="a")) == {"b"}


def test_who_has_waited_longest_is_next() -> None:
    turns = Turns()
    turns.first(0, 1, working("b", ready="b"))
    turns.first(10, 1, working("b", "c", ready="b"))
    turns.first(20, 1, working("a", "b", "c", ready="b"))
    assert turns.first(TURN_SECONDS, 1, working("a", "b", "c", ready="b")) == {"c"}


def test_who_has_no_work_any_more_gives_its_place_away_and_comes_last_again() -> None:
    turns = Turns()
    turns.first(0, 1, working("a", "b", ready="a"))
    assert turns.first(5, 1, working("b")) == {"b"}
    assert turns.first(6, 1, working("a", "b")) == {"b"}


def test_others_that_come_and_go_end_nobody_s_turn() -> None:
    turns = Turns()
    turns.first(0, 1, working("m", "n", ready="m"))
    for at in range(1, int(TURN_SECONDS)):
        names = ("a", "m", "n", "z") if at % 2 else ("m", "n")
        assert turns.first(at, 1, working(*names, ready="m")) == {"m"}


def test_nobody_is_ended_while_nobody_waits() -> None:
    turns = Turns()
    turns.first(0, 2, working("a", "b", ready="ab"))
    assert turns.first(9000, 2, working("a", "b", ready="ab")) == {"a", "b"}


def test_with_fewer_places_those_go_whose_turn_ends_first() -> None:
    turns = Turns()
    turns.first(0, 2, working("a", ready="a"))
    turns.first(30, 2, working("a", "b", ready="ab"))
    assert turns.first(40, 1, working("a", "b", ready="ab")) == {"b"}
    assert turns.first(41, 0, working("a", "b", ready="ab")) == frozenset()


def test_a_heavier_pool_has_longer_turns_and_not_for_ever() -> None:
    def pools(ready: str, weight: int) -> list[Candidate]:
        return [Candidate(n, weight if n == "a" else 2, ready=n == ready, room=n == ready) for n in "ab"]

    for weight, times in ((6, 3), (1000, 10)):
        turns = Turns()
        turns.first(0, 1, pools("a", weight))
        assert turns.first(times * TURN_SECONDS - 1, 1, pools("a", weight)) == {"a"}
        assert turns.first(times * TURN_SECONDS, 1, pools("a", weight)) == {"b"}


@given(
    st.integers(0, 4),
    st.lists(st.tuples(st.integers(0, 300), st.sets(st.sampled_from("abcdef")), st.integers(0, 4)), max_size=30),
)
def test_all_places_are_taken_and_no_more(start: int, looks: list[tuple[int, set[str], int]]) -> None:
    turns, now = Turns(), float(start)
    for seconds, names, places in looks:
        now += seconds
        found = turns.first(now, places, [Candidate(n, 1 + ord(n) % 3, ready=True, room=True) for n in sorted(names)])
        assert found <= names
        assert len(found) == min(places, len(names))


@given(st.integers(1, 4), st.integers(0, 400), st.integers(0, 500))
def test_everybody_works_in_the_end_however_long_steps_and_starts_take(places: int, step: int, starts: int) -> None:
    """Who has a place becomes ready so long after the last one's step ended; a second is one look."""
    turns, worked = Turns(), dict.fromkeys("abcde", 0)
    busy_until: dict[str, float] = {}
    began: dict[str, float] = {}
    for now in range(0, 12000, 5):
        ready = {n for n, at in began.items() if now >= at + starts}
        room = set(began)
        first = turns.first(now, places, [Candidate(n, 1, ready=n in ready, room=n in room) for n in "abcde"])
        for name in set(began) - first:
            busy_until.setdefault(name, now + (step if name in ready else 0))
            if now >= busy_until[name]:
                del began[name], busy_until[name]
        for name in sorted(first - set(began)):
            if len(began) < places:
                began[name] = now
        for name in first & ready:
            worked[name] += 5
    assert all(seconds >= TURN_SECONDS - 5 for seconds in worked.values()), worked
