"""The agreement on the epoch, step by step, with everything that may happen in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from mastercontrol.broker.epoch import agree
from mastercontrol.engine.ports import BrokerUnavailable, StoreUnavailable


@dataclass
class World:
    """The store and the broker's marks in one, with a log of what was done."""

    stored: str | None = None
    marks: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    made: int = 0

    def new_id(self) -> str:
        self.made += 1
        return f"new{self.made}"

    async def load(self) -> str | None:
        self._at("load")
        return self.stored

    async def replace(self, old: str | None, new: str) -> bool:
        self._at(f"replace {old} {new}")
        if self.stored != old:
            return False
        self.stored = new
        return True

    async def exists(self, epoch: str) -> bool:
        self._at(f"exists {epoch}")
        return epoch in self.marks

    async def create(self, epoch: str) -> None:
        self._at(f"create {epoch}")
        self.marks.add(epoch)

    async def delete(self, epoch: str) -> None:
        self._at(f"delete {epoch}")
        self.marks.discard(epoch)

    async def agree(self) -> str:
        return await agree(self, self, self.new_id)

    def _at(self, what: str) -> None:
        self.done.append(what)
        if act := self.before.pop(what, None):
            act()


def fail(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


async def test_a_broker_with_its_data_keeps_its_epoch_and_nothing_is_written() -> None:
    world = World(stored="old", marks={"old"})
    assert await world.agree() == "old"
    assert world.done == ["load", "exists old"]


async def test_the_first_epoch_begins_where_none_is_stored() -> None:
    world = World()
    assert await world.agree() == "new1"
    assert (world.stored, world.marks) == ("new1", {"new1"})


async def test_the_mark_of_a_new_epoch_is_made_before_its_id_is_stored() -> None:
    world = World(stored="old")
    assert await world.agree() == "new1"
    assert world.done == ["load", "exists old", "create new1", "replace old new1"]


async def test_who_is_second_takes_the_epoch_of_the_first_and_removes_its_own_mark() -> None:
    world = World()

    def overtake() -> None:
        world.stored = "theirs"
        world.marks.add("theirs")

    world.before["replace None new1"] = overtake
    assert await world.agree() == "theirs"
    assert world.marks == {"theirs"}


async def test_data_that_is_lost_between_two_looks_begins_another_epoch() -> None:
    world = World()

    def overtake() -> None:
        world.stored = "theirs"  # and its mark is lost again

    world.before["replace None new1"] = overtake
    assert await world.agree() == "new2"
    assert (world.stored, world.marks) == ("new2", {"new2"})


@pytest.mark.parametrize("at", ["load", "replace old new1"])
async def test_a_store_that_does_not_answer_leaves_the_epoch_unknown(at: str) -> None:
    world = World(stored="old", before={at: fail(StoreUnavailable("no answer"))})
    with pytest.raises(StoreUnavailable):
        await world.agree()


async def test_a_write_whose_outcome_is_unknown_keeps_its_mark_since_it_may_be_stored() -> None:
    world = World(stored="old", before={"replace old new1": fail(StoreUnavailable("no answer"))})
    with pytest.raises(StoreUnavailable):
        await world.agree()
    assert world.marks == {"new1"}
    world.stored = "new1"  # it was
    assert await world.agree() == "new1"


async def test_a_broker_that_does_not_answer_begins_no_epoch() -> None:
    world = World(stored="old", before={"exists old": fail(BrokerUnavailable("gone"))})
    with pytest.raises(BrokerUnavailable):
        await world.agree()
    assert (world.stored, world.made) == ("old", 0)
