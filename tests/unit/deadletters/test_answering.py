"""What becomes of a request, and of the jobs that its letters are of."""

from __future__ import annotations

import pytest

from mastercontrol.engine.ports import StoreUnavailable
from mastercontrol.memory.faults import WriteFault
from mastercontrol.memory.store import JOB
from unit.deadletters.world import World


async def test_a_letter_is_redriven_its_job_retried_and_all_of_it_recorded(world: World) -> None:
    a, b = await world.dies("a", "b")
    await world.after(1)
    await world.asks(redrive=a)
    await world.after(1)
    assert world.letters() == [b]
    assert await world.operations("a") == ["redrive of dead letter 1:1"]
    assert await world.operations("b") == []
    said = await world.said()
    assert (said["asked"], said["done"], said["ids"], said["notDone"]) == ("redrive", 1, [a], 0)
    assert world.known() == (1, ["b"]), "shown at once"
    assert world.records.notes == [
        ("WorkerPool/payments", "Redriven", f"redriven: {a} (step charge of job a, attempt 1)"),
        ("Job/a", "Redriven", f"the dead letter {a} of pool payments, step charge, was redriven"),
    ]
    assert (await world.annotations())["team"] == "a", "what is not ours stays"


async def test_a_letter_is_discarded_and_its_job_left_alone(world: World) -> None:
    a, b = await world.dies("a", "b")
    await world.after(1)
    await world.asks(discard=a)
    await world.after(1)
    assert world.letters() == [b]
    assert await world.operations("a") == []
    assert (await world.said())["asked"] == "discard"
    assert [reason for _, reason, _ in world.records.notes] == ["Discarded", "Discarded"]


async def test_a_job_that_has_gone_on_keeps_its_letter_and_the_event_says_why(world: World) -> None:
    a, gone = [*await world.dies("a"), *await world.dies("gone", exists=False)]
    await world.store.merge_status(JOB, "shop", "a", {"phase": "Succeeded", "state": "Done"})
    await world.asks(redrive="all")
    await world.after(1)
    assert world.letters() == [a, gone]
    said = await world.said()
    assert (said["done"], said["notDone"]) == (0, 2)
    ((about, reason, note),) = world.records.notes
    assert (about, reason) == ("WorkerPool/payments", "RedriveRefused")
    assert f"{a}: its job went on and has succeeded" in note
    assert f"{gone}: its job is gone" in note
    await world.asks(discard="all")
    await world.after(1)
    assert world.letters() == []


async def test_two_requests_at_once_are_done_one_after_the_other(world: World) -> None:
    a, b = await world.dies("a", "b")
    await world.asks(redrive=a, discard=b)
    await world.after(2)
    assert world.letters() == []
    assert await world.operations("a") == ["redrive of dead letter 1:1"]
    assert (await world.said())["asked"] == "discard"


async def test_a_request_that_is_there_when_an_operator_begins_is_done(world: World) -> None:
    await world.stop()
    (a,) = await world.dies("a")
    await world.asks(redrive=a)
    await world.leads()
    await world.after(1)
    assert world.letters() == []
    assert await world.operations("a") == ["redrive of dead letter 1:1"]


async def test_a_newer_request_that_comes_while_one_is_done_is_done_too(world: World) -> None:
    a, b = await world.dies("a", "b")
    await world.after(1)
    asked = False

    async def somebody_asks() -> None:
        nonlocal asked
        if not asked:
            asked = True
            await world.asks(redrive=b)

    world.outside.before_pool_patch = somebody_asks
    await world.asks(redrive=a)
    await world.after(3)
    assert world.letters() == []
    assert (await world.said())["ids"] == [b]
    assert [note for _, reason, note in world.records.notes if reason == "RedriveRefused"] == []


async def test_letters_that_come_while_all_are_redriven_wait_for_the_next_request(world: World) -> None:
    await world.dies("a")
    await world.after(1)
    world.stalls = True
    await world.asks(redrive="all")
    (late,) = await world.dies("late")
    world.stalls = False
    await world.after(2)
    assert world.letters() == [late]
    assert await world.operations("late") == []


async def test_a_retry_that_its_job_refuses_leaves_the_letter(world: World) -> None:
    (a,) = await world.dies("a")
    world.refuses = True
    await world.asks(redrive=a)
    await world.after(2)
    assert world.letters() == [a]
    assert (await world.said())["refused"] == [
        {"id": a, "why": "spec.operations[0], Retry: refused by the test"},
    ]
    world.refuses = False
    await world.asks(redrive=a)
    await world.after(2)
    assert world.letters() == []
    assert len(await world.operations("a")) == 2


async def test_a_job_that_does_not_answer_is_told_after_a_minute_and_done_by_the_next_request(world: World) -> None:
    (a,) = await world.dies("a")
    world.stalls = True
    await world.asks(redrive=a)
    await world.after(62)
    assert world.letters() == [a]
    assert "has not dealt with the Retry in 60 s" in (await world.said())["refused"][0]["why"]
    world.stalls = False
    await world.settle()
    await world.asks(redrive=a)
    await world.after(2)
    assert world.letters() == []
    assert len(await world.operations("a")) == 1, "the Retry that was there is the one that was done"


@pytest.mark.parametrize("fault", WriteFault)
@pytest.mark.parametrize("write", ["job", "pool"])
async def test_a_write_that_fails_or_whose_answer_is_lost_is_made_again(
    world: World, write: str, fault: WriteFault
) -> None:
    (a,) = await world.dies("a")
    await world.after(1)
    (world.outside.job_faults if write == "job" else world.outside.pool_faults).append(fault)
    await world.asks(redrive=a)
    await world.after(5)
    assert world.letters() == []
    assert await world.operations("a") == ["redrive of dead letter 1:1"]
    assert (await world.said())["ids"] == [a]
    assert [reason for _, reason, _ in world.records.notes] == ["Redriven", "Redriven"]


async def test_a_store_that_is_away_is_waited_for(world: World) -> None:
    (a,) = await world.dies("a")
    await world.after(1)
    patch = world.outside.patch

    async def fail(*_: object) -> None:
        raise StoreUnavailable("no answer")

    world.outside.patch = fail  # type: ignore[method-assign,assignment]
    await world.asks(redrive=a)
    await world.after(20)
    assert world.letters() == [a]
    world.outside.patch = patch  # type: ignore[method-assign]
    await world.after(31)
    assert world.letters() == []
    assert (await world.said())["ids"] == [a]


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("verb", ["redrive", "discard"])
async def test_an_operator_may_die_at_every_call_and_the_next_one_ends_it(verb: str, after: bool) -> None:  # noqa: FBT001
    call = 0
    while True:
        call += 1
        world = World()
        try:
            await world.start()
            ids = await world.dies("a", "b")
            await world.after(10)
            world.outside.dies_at, world.outside.dies_after = world.outside.calls + call, after
            await world.asks(**{verb: "all"})
            await world.after(3)
            died = world.outside.died.is_set()
            if died:
                await world.stop()
                world.outside.dies_at = None
                await world.leads()
                await world.after(3)
            assert world.letters() == [], (call, ids)
            retried = ["redrive of dead letter 1:1"] if verb == "redrive" else []
            assert [await world.operations(name) for name in ("a", "b")] == [retried, retried], call
            assert (await world.said())["notDone"] == 0
        finally:
            await world.close()
        if not died:
            break
    assert call > 3, "it died at each of these calls"
