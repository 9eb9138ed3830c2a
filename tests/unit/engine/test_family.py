"""What a turn asks of other Jobs, and tells them: what is taken from memory, what is read, and who looks again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from mastercontrol.api.family import Parent
from mastercontrol.api.job import Job, parse_job
from mastercontrol.engine.facts import Absent, ChildState, Missing, NewChild, NoParent, Running
from mastercontrol.engine.family import AT_ONCE, Family
from mastercontrol.engine.mailbox import Cell, Mailboxes
from mastercontrol.engine.ports import RawObject, Refused, Rejected, StoreUnavailable
from unit.engine.builders import Run, each, state
from unit.engine.fakes import FakeJobs, Fault

BILL = state("SubJob", "bill", workflow="billing")
MANY = 2 * AT_ONCE + 8


class Home:
    """A parent whose children are due, the store, and what the family told the engine."""

    def __init__(self, children: int = 1) -> None:
        self.run = Run.of(each("m", list(range(children)), BILL))
        self.run.wake()
        self.mailboxes = Mailboxes()
        self.jobs = FakeJobs([])
        self.observed: list[RawObject] = []
        self.wanted: list[str] = []
        self.family = Family(
            self.mailboxes, self.jobs, self.observed.append, lambda cell: self.wanted.append(cell.key[1])
        )

    @property
    def new(self) -> list[NewChild]:
        return self.run.made

    def name(self, index: int = 0) -> str:
        return str(self.new[index].manifest["metadata"]["name"])

    def child(self, index: int = 0) -> Job:
        """A child as it is in the store."""
        return parse_job(self.jobs.objects["shop", self.name(index)])

    def know(self, job: Job) -> Cell:
        """A Job comes into memory."""
        cell = self.mailboxes.cell((job.namespace, job.name))
        cell.learn(job)
        return cell

    async def children(self) -> dict[str, ChildState]:
        assert not isinstance(self.run.definition, Missing)
        return await self.family.children(Cell(("shop", "order-1")), self.run.job, self.run.definition)

    @property
    def reads(self) -> int:
        return self.jobs.journal.count("read")


# -- children


async def test_all_children_that_are_not_in_memory_are_read_once_and_come_there() -> None:
    home = Home(MANY)
    await home.family.create(home.new)
    home.observed.clear()
    assert await home.children() == {new.id: Running() for new in home.new}
    assert home.reads == MANY
    assert sorted(raw["metadata"]["name"] for raw in home.observed) == sorted(home.name(i) for i in range(MANY))


async def test_a_child_in_memory_is_not_read() -> None:
    home = Home(2)
    await home.family.create(home.new)
    home.know(home.child(0))
    assert await home.children() == {new.id: Running() for new in home.new}
    assert home.reads == 1


async def test_a_child_in_memory_that_is_to_be_read_is_read() -> None:
    home = Home()
    await home.family.create(home.new)
    home.know(home.child()).must_read = True
    del home.jobs.objects["shop", home.name()]
    assert await home.children() == {home.new[0].id: Absent()}


async def test_a_job_in_memory_that_only_has_the_name_of_a_child_is_none() -> None:
    home = Home()
    await home.family.create(home.new)
    stranger = home.jobs.put(home.name(), "u9", workflow="billing")
    home.know(parse_job(stranger))
    assert await home.children() == {home.new[0].id: Absent()}
    assert home.reads == 1


async def test_a_child_that_this_operator_cannot_read_runs_and_is_left_to_who_can() -> None:
    home = Home()
    await home.family.create(home.new)
    home.observed.clear()
    home.jobs.objects["shop", home.name()]["spec"]["ofLaterVersions"] = True
    assert await home.children() == {home.new[0].id: Running("this operator cannot read it")}
    assert home.observed == []


# -- the parent


async def test_a_parent_in_memory_that_made_the_child_is_not_read() -> None:
    home = Home()
    await home.family.create(home.new)
    home.know(home.run.job)
    assert await home.family.parent(home.child()) == home.run.job
    assert home.reads == 0


@pytest.mark.parametrize("how", ["unsure", "older", "not-begun", "another"])
async def test_a_parent_in_memory_that_cannot_be_trusted_is_read(how: str) -> None:
    home = Home()
    await home.family.create(home.new)
    job, child = home.run.job, home.child()
    assert child.parent is not None
    match how:
        case "unsure":
            home.know(job).must_read = True
        case "older":
            home.know(replace(job, status=replace(home.run.status, sequence=child.parent.seq - 1)))
        case "not-begun":
            home.know(replace(job, status=None))
        case _:
            home.know(replace(job, uid="u9"))
    assert await home.family.parent(child) == NoParent()
    assert home.reads == 1


async def test_a_parent_that_is_just_where_the_child_was_made_is_not_read() -> None:
    home = Home()
    await home.family.create(home.new)
    child = home.child()
    assert child.parent is not None
    job = replace(home.run.job, status=replace(home.run.status, sequence=child.parent.seq))
    home.know(job)
    assert await home.family.parent(child) == job


async def test_another_job_of_the_name_in_the_store_is_no_parent() -> None:
    home = Home()
    await home.family.create(home.new)
    home.jobs.put("order-1", "u9")
    assert await home.family.parent(home.child()) == NoParent()


async def test_a_parent_is_read_where_it_is_not_in_memory() -> None:
    home = Home()
    await home.family.create(home.new)
    raw = home.jobs.put("order-1", home.run.job.uid)
    assert await home.family.parent(home.child()) == parse_job(raw)


async def test_a_parent_that_this_operator_cannot_read_is_not_known() -> None:
    home = Home()
    await home.family.create(home.new)
    home.jobs.put("order-1", home.run.job.uid, ofLaterVersions=True)
    assert await home.family.parent(home.child()) is None


# -- creation


async def test_many_children_are_each_created_once() -> None:
    home = Home(MANY)
    assert await home.family.create(home.new) == {}
    assert len(home.jobs.objects) == MANY
    assert home.jobs.journal == [f"create {new.id.partition(':')[2]}" for new in home.new]


async def test_each_child_that_cannot_be_is_named() -> None:
    home = Home(MANY)
    home.jobs.create_faults.extend([Fault(Rejected("first")), *[None] * (MANY - 2), Fault(Rejected("last"))])
    refused = await home.family.create(home.new)
    assert list(refused) == [home.new[0].id, home.new[-1].id]
    text = f"the API server refuses the Job {home.name(-1)!r}: last"
    assert refused[home.new[-1].id].message == text


async def test_a_child_that_is_there_already_is_as_good_as_created() -> None:
    home = Home()
    await home.family.create(home.new)
    assert await home.family.create(home.new) == {}
    assert home.jobs.journal == ["create 2:1", "exists", "read"]
    assert [raw["metadata"]["uid"] for raw in home.observed] == ["made-1", "made-1"]


async def test_a_name_that_was_free_again_when_it_was_looked_at_is_tried_again() -> None:
    home = Home()
    home.jobs.create_faults.append(Fault(Refused("409")))
    with pytest.raises(Refused):
        await home.family.create(home.new)


async def test_a_creation_that_fails_leaves_none_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(2)
    create, answers = home.jobs.create, asyncio.Event()

    async def slowly(manifest: RawObject) -> RawObject:
        if manifest["metadata"]["name"] == home.name(1):
            await answers.wait()
        return await create(manifest)

    monkeypatch.setattr(home.jobs, "create", slowly)
    home.jobs.create_faults.append(Fault(StoreUnavailable("503")))
    task = asyncio.create_task(home.family.create(home.new))
    await asyncio.wait([task], timeout=0.01)
    assert not task.done()
    answers.set()
    with pytest.raises(StoreUnavailable):
        await task
    assert home.observed == [home.jobs.objects["shop", home.name(1)]]


# -- who looks again


async def test_the_end_of_a_child_is_told_to_its_parent() -> None:
    home = Home()
    await home.family.create(home.new)
    cell, child = home.know(home.run.job), home.child()
    home.family.ended(child)
    assert cell.told == {child.name: child}
    assert home.wanted == ["order-1"]


async def test_the_end_of_a_job_that_is_nobody_s_child_is_told_to_nobody() -> None:
    home = Home()
    home.know(home.run.job)
    home.family.ended(home.run.job)
    assert home.wanted == []


async def test_who_is_told_of_a_child_that_is_gone_does_not_take_it_for_ended() -> None:
    home = Home()
    await home.family.create(home.new)
    cell = home.know(home.run.job)
    home.family.gone(home.jobs.objects["shop", home.name()], None)
    assert cell.told == {}
    assert home.wanted == ["order-1"]


async def test_the_parent_of_a_child_that_is_gone_is_known_from_memory_where_little_is_known_of_it() -> None:
    home = Home()
    await home.family.create(home.new)
    home.know(home.run.job)
    its = home.know(home.child())
    home.family.gone({"metadata": {"namespace": "shop", "name": home.name(), "uid": home.child().uid}}, its)
    assert home.wanted == ["order-1"]


async def test_the_children_of_a_job_that_is_gone_look_again() -> None:
    home = Home(2)
    await home.family.create(home.new)
    cell = home.know(home.run.job)
    home.know(home.child(0))
    home.family.settle(cell, {new.id: home.name(i) for i, new in enumerate(home.new)})
    home.family.gone({"metadata": {"namespace": "shop", "name": "order-1", "uid": home.run.job.uid}}, cell)
    assert home.wanted == [home.name(0)], "the other one is not in memory"


async def test_the_children_of_a_job_do_not_mind_that_an_earlier_one_of_its_name_is_gone() -> None:
    home = Home()
    await home.family.create(home.new)
    cell = home.know(home.run.job)
    home.know(home.child())
    home.family.settle(cell, {home.new[0].id: home.name()})
    home.family.gone({"metadata": {"namespace": "shop", "name": "order-1", "uid": "u0"}}, cell)
    assert home.wanted == []


async def test_a_child_that_is_waited_for_no_more_looks_again_and_is_forgotten() -> None:
    home = Home(2)
    await home.family.create(home.new)
    cell = home.know(home.run.job)
    for index in range(2):
        home.family.ended(home.child(index))
        home.know(home.child(index))
    home.wanted.clear()
    both = {new.id: home.name(i) for i, new in enumerate(home.new)}
    home.family.settle(cell, both)
    assert (home.wanted, set(cell.told)) == ([], set(both.values()))
    home.family.settle(cell, {home.new[1].id: home.name(1)})
    assert home.wanted == [home.name(0)]
    assert set(cell.told) == {home.name(1)}
    assert cell.children == {home.new[1].id: home.name(1)}


def test_a_parent_that_is_not_in_memory_is_not_told() -> None:
    home = Home()
    home.family.ended(replace(home.run.job, parent=Parent("elsewhere", "p", 1, 1)))
    assert home.wanted == []
