"""Which publishes wait for the broker's word, and what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.broker.confirms import Confirms, Outcome


def told(futures: list[asyncio.Future[Outcome]]) -> list[Outcome | None]:
    return [future.result() if future.done() else None for future in futures]


async def test_each_publish_is_told_the_word_on_its_own_number() -> None:
    confirms = Confirms()
    waiting = [confirms.add(name) for name in "abc"]
    confirms.settled(2, multiple=False, confirmed=True)
    confirms.settled(3, multiple=False, confirmed=False)
    assert told(waiting) == [None, Outcome.CONFIRMED, Outcome.REFUSED]
    assert len(confirms) == 1


async def test_one_word_on_several_tells_all_up_to_its_number_and_none_after() -> None:
    confirms = Confirms()
    waiting = [confirms.add(name) for name in "abcd"]
    confirms.settled(1, multiple=False, confirmed=False)
    confirms.settled(3, multiple=True, confirmed=True)
    assert told(waiting) == [Outcome.REFUSED, Outcome.CONFIRMED, Outcome.CONFIRMED, None]


async def test_number_zero_with_several_means_all() -> None:
    confirms = Confirms()
    waiting = [confirms.add(name) for name in "ab"]
    confirms.settled(0, multiple=True, confirmed=True)
    assert told(waiting) == [Outcome.CONFIRMED] * 2


async def test_a_message_that_came_back_and_was_then_confirmed_was_returned() -> None:
    confirms = Confirms()
    waiting = [confirms.add(name) for name in "ab"]
    confirms.returned("b")
    confirms.settled(2, multiple=True, confirmed=True)
    assert told(waiting) == [Outcome.CONFIRMED, Outcome.RETURNED]


async def test_of_two_with_the_same_id_each_return_belongs_to_one() -> None:
    confirms = Confirms()
    waiting = [confirms.add("same") for _ in range(3)]
    confirms.returned("same")
    confirms.returned("same")
    confirms.settled(3, multiple=True, confirmed=True)
    assert told(waiting) == [Outcome.RETURNED, Outcome.RETURNED, Outcome.CONFIRMED]


async def test_a_publish_that_was_given_up_leaves_nothing_and_its_late_word_is_ignored() -> None:
    confirms = Confirms()
    given_up, other = confirms.add("a"), confirms.add("a")
    given_up.cancel()
    await asyncio.sleep(0)
    assert len(confirms) == 1
    confirms.settled(1, multiple=False, confirmed=True)
    confirms.settled(1, multiple=True, confirmed=False)
    confirms.settled(2, multiple=False, confirmed=True)
    assert other.result() is Outcome.CONFIRMED
    assert len(confirms) == 0


async def test_words_on_numbers_that_nobody_waits_for_change_nothing() -> None:
    confirms = Confirms()
    waiting = confirms.add("a")
    confirms.settled(7, multiple=False, confirmed=True)
    confirms.returned("unknown")
    assert not waiting.done()


async def test_all_that_wait_fail_when_the_channel_is_gone() -> None:
    confirms = Confirms()
    waiting = [confirms.add(name) for name in "abc"]
    waiting[0].cancel()
    confirms.fail_all(ConnectionError("gone"))
    for future in waiting[1:]:
        with pytest.raises(ConnectionError, match="gone"):
            future.result()
    assert len(confirms) == 0


Word = tuple[int, bool, bool]


@given(
    publishes=st.integers(1, 8),
    words=st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.booleans()), max_size=12),
    given_up=st.sets(st.integers(1, 8)),
)
def test_a_publish_is_told_the_first_word_that_covers_it(publishes: int, words: list[Word], given_up: set[int]) -> None:
    async def run() -> None:
        confirms = Confirms()
        waiting = {number: confirms.add(f"id-{number % 3}") for number in range(1, publishes + 1)}
        for number in given_up & waiting.keys():
            waiting.pop(number).cancel()
        await asyncio.sleep(0)
        for number, multiple, confirmed in words:
            confirms.settled(number, multiple=multiple, confirmed=confirmed)
        for number, future in waiting.items():
            word = first_word(number, words)
            expected = None if word is None else Outcome.CONFIRMED if word else Outcome.REFUSED
            assert (future.result() if future.done() else None) is expected
        assert len(confirms) == sum(not future.done() for future in waiting.values())

    asyncio.run(run())


def first_word(number: int, words: list[Word]) -> bool | None:
    covers: Callable[[Word], bool] = lambda word: (  # noqa: E731 - the rule in one place
        (word[1] and (word[0] == 0 or word[0] >= number)) or word[0] == number
    )
    return next((word[2] for word in words if covers(word)), None)
