"""Dead letters where RabbitMQ is not as the operator left it, and as many as their queue keeps."""

from __future__ import annotations

import asyncio

import pytest
from pika.adapters.blocking_connection import BlockingConnection

from contracts.broker import dies, eventually, looked_at, step
from integration.broker.stage import RealStage, open_blocking
from mastercontrol.broker.deadletters import _Messages
from mastercontrol.broker.topology import DEAD_LETTERS_KEPT
from mastercontrol.engine.ports import BrokerUnavailable

QUEUE = "mcp.dead.team.payments"


async def test_where_another_policy_limits_deliveries_the_letters_are_counted_and_not_touched(stage: RealStage) -> None:
    policy = {"pattern": "^mcp[.]dead[.]", "definition": {"delivery-limit": 2}, "priority": 9, "apply-to": "queues"}
    await stage.admin.call("PUT", f"/policies/{stage.vhost}/somebodys", policy)
    await dies(stage, 1, 2)
    for _ in range(10):
        with pytest.raises(BrokerUnavailable, match="to look at its messages would lose them"):
            await stage.broker.visit_dead("team", "payments", lambda _: False)
    assert await stage.broker.count_dead("team", "payments") == 2
    await stage.admin.call("DELETE", f"/policies/{stage.vhost}/somebodys")
    assert [letter.message_id for letter in await looked_at(stage)] == [step(1).id, step(2).id]


async def test_a_queue_that_is_full_of_dead_letters_is_looked_at_as_a_whole(stage: RealStage) -> None:
    await stage.broker.declare_pool("team", "payments", 1)
    numbers = range(1, DEAD_LETTERS_KEPT + 6)
    await asyncio.gather(*(stage.broker.publish("team", "payments", step(n)) for n in numbers))
    worker = await stage.worker("team", "payments", prefetch=2000)
    for _ in numbers:
        await (await worker.take()).reject()

    async def all_are_dead() -> bool:
        return await stage.broker.count_dead("team", "payments") == DEAD_LETTERS_KEPT

    await eventually(all_are_dead)
    for _ in range(3):
        assert len(await looked_at(stage)) == DEAD_LETTERS_KEPT
    last = step(numbers[-1]).id
    await stage.broker.visit_dead("team", "payments", lambda letter: letter.message_id == last)
    assert len(await looked_at(stage)) == DEAD_LETTERS_KEPT - 1


async def test_the_queue_of_dead_letters_is_not_deleted_while_all_of_them_are_taken_to_be_looked_at(
    stage: RealStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dies(stage, 1, 2, 3)
    await stage.workers[0].close()
    await looked_at(stage)
    all_taken, go_on, get = asyncio.Event(), asyncio.Event(), _Messages.get

    async def get_and_wait_at_the_end(messages: _Messages) -> object:
        got = await get(messages)
        if got is None:
            all_taken.set()
            await go_on.wait()
        return got

    monkeypatch.setattr(_Messages, "get", get_and_wait_at_the_end)
    look = asyncio.create_task(stage.broker.visit_dead("team", "payments", lambda _: False))
    await all_taken.wait()
    await stage.broker.forget_pool("team", "payments")
    await asyncio.sleep(1)  # it would be removed by now
    go_on.set()
    await look
    monkeypatch.undo()
    await stage.broker.declare_pool("team", "payments", 1)
    assert len(await looked_at(stage)) == 3


async def test_a_look_that_is_broken_off_leaves_every_letter(stage: RealStage) -> None:
    await dies(stage, *range(1, 41))
    await looked_at(stage)
    look = asyncio.create_task(stage.broker.visit_dead("team", "payments", lambda _: False))
    await asyncio.sleep(0.01)
    await stage.restart()
    with pytest.raises(BrokerUnavailable):
        await look
    assert len(await looked_at(stage)) == 40


async def test_letters_without_any_limit_are_looked_at_too(stage: RealStage) -> None:
    policy = {"pattern": "^mcp[.]dead[.]", "definition": {"delivery-limit": -1}, "priority": 9, "apply-to": "queues"}
    await stage.admin.call("PUT", f"/policies/{stage.vhost}/somebodys", policy)
    await dies(stage, 1, 2)
    for _ in range(25):
        assert {letter.message_id for letter in await looked_at(stage)} == {step(1).id, step(2).id}


async def test_letters_that_a_dead_operator_still_holds_are_waited_for_and_not_taken_for_gone(stage: RealStage) -> None:
    await dies(stage, 1, 2)
    await looked_at(stage)

    def take() -> BlockingConnection:
        connection = open_blocking(stage.url)
        channel = connection.channel()
        assert channel.basic_get(QUEUE)[0] is not None
        return connection

    connection = await asyncio.to_thread(take)

    async def refused() -> bool:
        stage.broker._dead._visited.clear()  # as in the process that leads next
        try:
            await stage.broker.visit_dead("team", "payments", lambda _: False)
        except BrokerUnavailable as error:
            return "in hand elsewhere" in str(error)
        return False

    try:
        await eventually(refused, "a refusal, once the broker's counters show it")
    finally:
        await asyncio.to_thread(connection.close)
    assert {letter.message_id for letter in await looked_at(stage)} == {step(1).id, step(2).id}
