"""What comes in on the results queue: each kind is dealt with by name and disturbs nothing else."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from mastercontrol_worker.contract import JobRef, ResultMessage, StepMessage, Succeeded
from unit.engine.fakes import FakeDelivery
from unit.engine.world import World, until


def counted(reason: str) -> float:
    return REGISTRY.get_sample_value("mcp_results_total", {"reason": reason}) or 0.0


async def settled(delivery: FakeDelivery) -> str | None:
    await until(lambda: delivery.settled)
    return delivery.settled


BAD: dict[str, tuple[str | None, bytes]] = {
    "garbage": ("u1:1:1", b"\x00\xff garbage"),
    "no id": (None, b"{}"),
    "an id of another form": ("order 66", b"{}"),
    "no json object": ("u1:1:1", b"[1, 2]"),
    "another job in the body": (
        "u9:1:1",
        ResultMessage("u1:1:1", JobRef("shop", "j", "u1"), "a", 1, Succeeded(1)).encode(),
    ),
    "another version": ("u1:1:1", b'{"version": 99}'),
    "large garbage": ("u9:1:1", b"x" * 100_000),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_malformed_result_is_refused_for_good_and_nothing_else_happens(world: World, kind: str) -> None:
    await world.begun()
    world.journal.clear()
    before = counted("malformed")
    delivery = world.broker.deliver(*BAD[kind])
    world.engine.deliver(delivery)
    assert delivery.settled == "reject"
    assert counted("malformed") == before + 1
    await world.finish()


async def test_an_oversized_result_fails_its_step_by_name_even_when_its_body_is_cut_off(world: World) -> None:
    step = await world.begun()
    body = ResultMessage.of(step, Succeeded("x")).encode() + b"x" * (1024 * 1024)
    delivery = world.broker.deliver(step.id, body)
    world.engine.deliver(delivery)
    assert await settled(delivery) == "ack"
    error = world.jobs.status()["error"]
    assert error["code"] == "ResultTooLarge"
    assert "the limit is 65536" in error["message"]


async def test_a_step_that_was_handed_out_too_often_fails_its_job_by_name(world: World) -> None:
    step = await world.begun()
    headers = {"x-first-death-queue": "mcp.pool.shop.a-pool", "x-first-death-reason": "delivery_limit"}
    delivery = world.broker.deliver(step.id, step.encode(), **headers)
    world.engine.deliver(delivery)
    assert await settled(delivery) == "ack"
    assert world.jobs.status()["error"]["code"] == "DeliveryLimitExceeded"


async def test_a_result_for_a_namespace_that_is_not_watched_is_refused() -> None:
    world = World(watched=frozenset({"shop"}))
    before = counted("foreign")
    message = ResultMessage("u1:1:1", JobRef("elsewhere", "j", "u1"), "a", 1, Succeeded(1))
    delivery = world.broker.deliver("u1:1:1", message.encode())
    world.engine.deliver(delivery)
    assert delivery.settled == "reject"
    assert counted("foreign") == before + 1
    assert list(world.engine.mailboxes) == []
    await world.close()


async def test_a_result_for_a_namespace_that_is_watched_moves_its_job() -> None:
    world = World(watched=frozenset({"shop"}))
    delivery = world.answer(await world.begun())
    assert await settled(delivery) == "ack"
    assert world.jobs.state() == "InProgress.b"
    await world.close()


async def test_a_result_of_a_dispatch_that_was_never_made_is_acknowledged_as_foreign(world: World) -> None:
    step = await world.begun()
    before = counted("foreign")
    delivery = world.answer(StepMessage("u1:7:1", step.job, "a", 1, None))
    assert await settled(delivery) == "ack"
    assert counted("foreign") == before + 1
    assert world.jobs.status()["sequence"] == 1


async def test_a_result_for_a_deleted_job_is_acknowledged(world: World) -> None:
    step = await world.begun()
    world.remove()
    before = counted("job_gone")
    delivery = world.answer(step)
    assert await settled(delivery) == "ack"
    assert counted("job_gone") == before + 1
    await until(lambda: list(world.engine.mailboxes) == [], "and leaves nothing in memory")


async def test_a_result_for_a_job_that_ended_is_acknowledged_and_leaves_nothing_in_memory(world: World) -> None:
    step = await world.begun()
    await world.finish()
    before = counted("stale")
    delivery = world.answer(step)
    assert await settled(delivery) == "ack"
    assert counted("stale") == before + 1
    await until(lambda: list(world.engine.mailboxes) == [])
