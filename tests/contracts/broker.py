"""What the engine and the pools may rely on, whatever the broker is: a real RabbitMQ or `memory`.

A test module subclasses `BrokerContract` and provides the fixture `stage`. A test that holds for one and not for the
other is a fault of the other.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from mastercontrol.engine.ports import Broker, BrokerUnavailable, Delivery, Depth, DepthUnknown, Unroutable
from mastercontrol.pools.deadletters.ports import DeadMessage, VisitDead
from mastercontrol_worker.contract import JobRef, StepMessage, dispatch_id, pool_queue

DEADLINE_SECONDS = 30.0
LIMIT = 2

Pool = tuple[str, str]


class RunningBroker(Broker, Protocol):
    """A Broker with its life and its bulk reading."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def depths(self) -> dict[Pool, Depth] | None: ...
    async def count_dead(self, namespace: str, pool: str) -> int | None: ...
    async def visit_dead(self, namespace: str, pool: str, visit: VisitDead) -> None: ...


class Step(Protocol):
    """One step in the hands of a worker."""

    @property
    def message_id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> dict[str, object]: ...
    async def ack(self) -> None: ...
    async def requeue(self) -> None: ...
    async def reject(self) -> None: ...


class Worker(Protocol):
    """A worker of one pool that holds up to its prefetch."""

    async def take(self) -> Step:
        """The next step; waits for it, and fails the test when none comes."""
        ...

    async def close(self) -> None:
        """It dies: its connection is gone."""
        ...


@dataclass
class Seen:
    """What the broker told the operator, in order."""

    deliveries: list[Delivery] = field(default_factory=list)
    heartbeats: list[tuple[str | None, bytes]] = field(default_factory=list)
    presences: list[tuple[str | None, bytes]] = field(default_factory=list)
    epochs: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def on_delivery(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self.order.append(f"delivery {delivery.message_id}")

    def on_heartbeat(self, message_id: str | None, body: bytes) -> None:
        self.heartbeats.append((message_id, body))

    def on_presence(self, user: str | None, address: str | None, body: bytes) -> None:
        del user
        self.presences.append((address, body))

    def on_connected(self, epoch: str) -> None:
        self.epochs.append(epoch)
        self.order.append("connected")

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)
        self.order.append("lost")

    def ids(self) -> list[str | None]:
        return [delivery.message_id for delivery in self.deliveries]


class Stage(Protocol):
    """One broker with nothing in it, started and connected, and the world around it."""

    @property
    def broker(self) -> RunningBroker: ...
    @property
    def seen(self) -> Seen: ...
    async def worker(self, namespace: str, pool: str, prefetch: int = 1) -> Worker: ...
    async def send_result(self, message_id: str, body: bytes = b"{}") -> None: ...
    async def send_heartbeat(self, message_id: str, body: bytes = b"{}") -> None:
        """Returns when the broker has it."""
        ...

    async def settled(self) -> None:
        """Returns when the operator's answers so far have arrived at the broker."""
        ...

    async def restart(self) -> None:
        """Every connection is lost; the data stays. Returns when the operator is connected again."""
        ...

    async def wipe(self) -> None:
        """Every connection is lost and all data too. Returns when the operator is connected again."""
        ...

    async def lose_queue(self, namespace: str, pool: str) -> None:
        """Somebody deletes the pool's queue."""
        ...

    async def queue_exists(self, namespace: str, pool: str) -> bool: ...
    async def dead_letters(self, namespace: str, pool: str) -> list[str]:
        """Message ids of the dead letters of a pool, oldest first. They are taken out."""
        ...

    async def dead_results(self) -> list[str]:
        """Message ids of refused results, oldest first. They are taken out."""
        ...


async def eventually(condition: Callable[[], object], what: str | Callable[[], str] = "") -> None:
    """Wait until it holds. What the condition returns is awaited if it can be; `what` is said if it never does."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await _holds(condition):  # noqa: ASYNC110 - what is waited for has no event of its own
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"still not so after {DEADLINE_SECONDS} s: {what() if callable(what) else what or condition}")


async def _holds(condition: Callable[[], object]) -> bool:
    value = condition()
    return bool(await value if inspect.isawaitable(value) else value)


async def connected_again(seen: Seen, times: int) -> None:
    await eventually(lambda: len(seen.epochs) >= times, f"connected {times} times")


async def delivered(seen: Seen, times: int) -> None:
    await eventually(lambda: len(seen.deliveries) == times, lambda: f"{times} deliveries, but {seen.ids()}")


async def gone(stage: Stage, namespace: str, pool: str) -> None:
    async def is_gone() -> bool:
        return not await stage.queue_exists(namespace, pool)

    await eventually(is_gone, "the queue is gone")


async def dies(stage: Stage, *numbers: int) -> None:
    """Steps that a worker refuses, one after the other."""
    await stage.broker.declare_pool("team", "payments", LIMIT)
    worker = await stage.worker("team", "payments")
    for number in numbers:
        await stage.broker.publish("team", "payments", step(number))
        await (await worker.take()).reject()

    async def all_are_dead() -> bool:
        return await stage.broker.count_dead("team", "payments") == len(numbers)

    await eventually(all_are_dead, "the dead letters")


async def looked_at(stage: Stage) -> list[DeadMessage]:
    """The dead letters of the pool, once they may be looked at."""
    found: list[DeadMessage] = []

    def visit(letter: DeadMessage) -> bool:
        found.append(letter)
        return False

    async def look() -> bool:
        try:
            await stage.broker.visit_dead("team", "payments", visit)
        except BrokerUnavailable:
            assert found == []  # nothing is taken before it is known to be safe
            return False
        return True

    await eventually(look, "a look at the dead letters")
    return found


def step(number: int = 1, name: str = "charge", **headers: str) -> StepMessage:
    """A dispatch; `number` makes its id."""
    job = JobRef("team", "order-1", "0b1c")
    return StepMessage(dispatch_id(job.uid, number, 1), job, name, 1, {"amount": number}, headers=headers)


class BrokerContract:
    """The behaviours."""

    async def test_a_published_step_reaches_a_worker_with_its_id_type_headers_and_body(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        sent = step(traceparent="00-ab-cd-01")
        await stage.broker.publish("team", "payments", sent)
        got = await (await stage.worker("team", "payments")).take()
        assert (got.message_id, got.type, got.body) == (sent.id, "charge", sent.encode())
        assert StepMessage.decode(got.message_id, got.body, got.headers) == sent
        await got.ack()

    async def test_steps_of_one_pool_come_in_the_order_in_which_they_were_published(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        for number in range(1, 6):
            await stage.broker.publish("team", "payments", step(number))
        worker = await stage.worker("team", "payments", prefetch=10)
        assert [(await worker.take()).message_id for _ in range(5)] == [step(n).id for n in range(1, 6)]

    async def test_of_the_steps_that_wait_two_high_ones_are_handed_out_for_each_other_one(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        for number in range(1, 7):
            await stage.broker.publish("team", "payments", step(number))
        for number in range(101, 105):
            await stage.broker.publish("team", "payments", step(number), high=True)
        worker = await stage.worker("team", "payments", prefetch=10)
        order = [101, 102, 1, 103, 104, 2, 3, 4, 5, 6]
        assert [(await worker.take()).message_id for _ in order] == [step(n).id for n in order]

    async def test_a_step_that_came_back_is_handed_out_before_a_high_one(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.broker.publish("team", "payments", step(1))
        first = await stage.worker("team", "payments")
        await first.take()
        await stage.broker.publish("team", "payments", step(2), high=True)
        await first.close()
        worker = await stage.worker("team", "payments", prefetch=2)
        assert [(await worker.take()).message_id for _ in range(2)] == [step(n).id for n in (1, 2)]

    async def test_pools_of_the_same_name_in_two_namespaces_do_not_share_steps(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.broker.declare_pool("other", "payments", LIMIT)
        await stage.broker.publish("team", "payments", step(1))
        await stage.broker.publish("other", "payments", step(2))
        assert (await (await stage.worker("other", "payments")).take()).message_id == step(2).id
        assert (await (await stage.worker("team", "payments")).take()).message_id == step(1).id

    async def test_a_step_for_a_pool_that_was_never_declared_is_unroutable(self, stage: Stage) -> None:
        with pytest.raises(Unroutable, match="team/nobody"):
            await stage.broker.publish("team", "nobody", step())

    async def test_many_publishes_in_flight_are_all_confirmed(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await asyncio.gather(*(stage.broker.publish("team", "payments", step(n)) for n in range(1, 301)))
        worker = await stage.worker("team", "payments", prefetch=500)
        assert {(await worker.take()).message_id for _ in range(300)} == {step(n).id for n in range(1, 301)}

    async def test_a_queue_that_was_deleted_is_declared_again_by_the_next_publish(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.lose_queue("team", "payments")
        await asyncio.gather(*(stage.broker.publish("team", "payments", step(n)) for n in range(1, 21)))
        worker = await stage.worker("team", "payments", prefetch=50)
        assert {(await worker.take()).message_id for _ in range(20)} == {step(n).id for n in range(1, 21)}

    async def test_a_result_is_delivered_with_the_epoch_of_its_connection(self, stage: Stage) -> None:
        await stage.send_result("0b1c:1:1", b'{"outcome": "Succeeded"}')
        await delivered(stage.seen, 1)
        (delivery,) = stage.seen.deliveries
        assert (delivery.message_id, delivery.body) == ("0b1c:1:1", b'{"outcome": "Succeeded"}')
        assert delivery.epoch == stage.broker.epoch == stage.seen.epochs[-1]

    async def test_an_acknowledged_result_does_not_come_back(self, stage: Stage) -> None:
        await stage.send_result("0b1c:1:1")
        await stage.send_result("0b1c:2:1")
        await delivered(stage.seen, 2)
        stage.seen.deliveries[0].ack()
        await stage.settled()
        await stage.restart()
        await delivered(stage.seen, 3)
        assert stage.seen.ids() == ["0b1c:1:1", "0b1c:2:1", "0b1c:2:1"]

    async def test_answers_to_a_delivery_of_a_lost_connection_do_nothing(self, stage: Stage) -> None:
        await stage.send_result("0b1c:1:1")
        await delivered(stage.seen, 1)
        await stage.restart()
        await delivered(stage.seen, 2)
        old, new = stage.seen.deliveries
        old.ack()
        old.reject()
        await stage.settled()
        await stage.restart()
        await delivered(stage.seen, 3)
        new.ack()
        stage.seen.deliveries[2].ack()
        await stage.settled()
        await stage.restart()
        await stage.send_result("0b1c:9:1")
        await delivered(stage.seen, 4)
        assert stage.seen.ids() == ["0b1c:1:1"] * 3 + ["0b1c:9:1"]
        assert await stage.dead_results() == []

    async def test_only_the_first_answer_to_a_delivery_counts(self, stage: Stage) -> None:
        await stage.send_result("0b1c:1:1")
        await delivered(stage.seen, 1)
        stage.seen.deliveries[0].ack()
        stage.seen.deliveries[0].reject()
        stage.seen.deliveries[0].ack()
        await stage.send_result("0b1c:2:1")
        await delivered(stage.seen, 2)
        assert stage.seen.lost == []
        assert await stage.dead_results() == []

    async def test_a_rejected_result_goes_to_the_dead_letters(self, stage: Stage) -> None:
        await stage.send_result("no dispatch id", b"garbage")
        await delivered(stage.seen, 1)
        stage.seen.deliveries[0].reject()
        dead: list[str] = []

        async def comes() -> bool:
            dead.extend(await stage.dead_results())
            return bool(dead)

        await eventually(comes)
        assert dead == ["no dispatch id"]
        await stage.restart()
        await stage.send_result("0b1c:2:1")
        await delivered(stage.seen, 2)
        assert stage.seen.ids() == ["no dispatch id", "0b1c:2:1"]

    async def test_a_result_is_never_given_up_however_often_it_comes_back(self, stage: Stage) -> None:
        await stage.send_result("0b1c:1:1")
        for times in range(1, 25):
            await delivered(stage.seen, times)
            await stage.restart()
        await delivered(stage.seen, 25)
        assert await stage.dead_results() == []

    async def test_a_heartbeat_is_handed_on_and_is_no_result(self, stage: Stage) -> None:
        await eventually(stage.broker.heard_all)
        await stage.send_heartbeat("0b1c:1:1", b'{"heartbeat": "Alive"}')
        await eventually(lambda: stage.seen.heartbeats == [("0b1c:1:1", b'{"heartbeat": "Alive"}')])
        await stage.send_result("0b1c:1:1")
        await delivered(stage.seen, 1)
        assert len(stage.seen.heartbeats) == 1

    async def test_heartbeats_are_not_kept_over_the_end_of_a_connection(self, stage: Stage) -> None:
        await eventually(stage.broker.heard_all)  # it listens from some moment after the connection on
        await stage.send_heartbeat("0b1c:1:1")
        await eventually(lambda: len(stage.seen.heartbeats) == 1)
        await stage.restart()
        await eventually(stage.broker.heard_all)
        await stage.send_heartbeat("0b1c:2:1")
        await eventually(lambda: len(stage.seen.heartbeats) == 2)
        assert [message_id for message_id, _ in stage.seen.heartbeats] == ["0b1c:1:1", "0b1c:2:1"]

    async def test_all_that_was_sent_before_is_heard_when_the_broker_says_so(self, stage: Stage) -> None:
        await eventually(stage.broker.heard_all)
        for number in range(1, 51):
            await stage.send_heartbeat(f"0b1c:{number}:1")
        assert await stage.broker.heard_all()
        assert len(stage.seen.heartbeats) == 50
        assert await asyncio.gather(*(stage.broker.heard_all() for _ in range(5))) == [True] * 5

    async def test_without_a_connection_nothing_is_known_to_be_heard(self, stage: Stage) -> None:
        await stage.broker.close()
        assert not await stage.broker.heard_all()

    async def test_deliveries_come_only_after_the_connection_was_told(self, stage: Stage) -> None:
        await stage.send_result("0b1c:1:1")
        await delivered(stage.seen, 1)
        await stage.restart()
        await delivered(stage.seen, 2)
        again = ["delivery 0b1c:1:1", "lost", "connected", "delivery 0b1c:1:1"]
        assert stage.seen.order == ["connected", *again]

    async def test_a_step_that_its_worker_held_when_it_died_goes_to_another(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.broker.publish("team", "payments", step())
        first = await stage.worker("team", "payments")
        await first.take()
        await first.close()
        again = await (await stage.worker("team", "payments")).take()
        assert again.message_id == step().id

    async def test_steps_wait_when_there_is_no_worker_and_outlive_a_restart(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.broker.publish("team", "payments", step(1))
        await stage.restart()
        await stage.broker.publish("team", "payments", step(2))
        worker = await stage.worker("team", "payments", prefetch=2)
        assert [(await worker.take()).message_id for _ in range(2)] == [step(1).id, step(2).id]

    async def test_a_step_that_is_returned_too_often_is_a_dead_letter_and_the_operator_hears_of_it(
        self, stage: Stage
    ) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.broker.publish("team", "payments", step())
        worker = await stage.worker("team", "payments")
        for _ in range(LIMIT + 1):
            await (await worker.take()).requeue()
        await delivered(stage.seen, 1)
        (delivery,) = stage.seen.deliveries
        assert (delivery.message_id, delivery.body) == (step().id, step().encode())
        assert delivery.headers["x-first-death-queue"] == pool_queue("team", "payments")
        assert delivery.headers["x-first-death-reason"] == "delivery_limit"
        delivery.ack()
        assert await stage.dead_letters("team", "payments") == [step().id]

    async def test_a_step_that_its_workers_die_of_is_a_dead_letter_too(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.broker.publish("team", "payments", step())
        for _ in range(LIMIT + 1):
            worker = await stage.worker("team", "payments")
            await worker.take()
            await worker.close()
        await delivered(stage.seen, 1)
        assert stage.seen.deliveries[0].headers["x-first-death-reason"] == "delivery_limit"

    async def test_a_step_that_a_worker_refuses_reaches_the_operator_as_rejected(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.broker.publish("team", "payments", step())
        await (await (await stage.worker("team", "payments")).take()).reject()
        await delivered(stage.seen, 1)
        assert stage.seen.deliveries[0].headers["x-first-death-reason"] == "rejected"

    async def test_dead_letters_are_looked_at_fifty_times_and_none_is_lost(self, stage: Stage) -> None:
        await dies(stage, 1, 2, 3)
        for _ in range(50):
            assert [letter.message_id for letter in await looked_at(stage)] == [step(n).id for n in (1, 2, 3)]
            assert await stage.broker.count_dead("team", "payments") == 3
        assert await stage.dead_letters("team", "payments") == [step(n).id for n in (1, 2, 3)]

    async def test_a_dead_letter_is_the_step_as_it_was_with_when_and_why_it_died(self, stage: Stage) -> None:
        before = dt.datetime.now(dt.UTC).replace(microsecond=0)
        await dies(stage, 1)
        (letter,) = await looked_at(stage)
        assert (letter.message_id, letter.body) == (step().id, step().encode())
        assert letter.headers["x-first-death-reason"] == "rejected"
        assert before <= letter.headers["x-death"][0]["time"] <= dt.datetime.now(dt.UTC)

    async def test_one_dead_letter_is_taken_out_and_the_others_stay_in_their_order(self, stage: Stage) -> None:
        await dies(stage, 1, 2, 3, 4)
        await looked_at(stage)
        await stage.broker.visit_dead("team", "payments", lambda letter: letter.message_id == step(2).id)
        assert [letter.message_id for letter in await looked_at(stage)] == [step(n).id for n in (1, 3, 4)]
        await stage.restart()
        assert [letter.message_id for letter in await looked_at(stage)] == [step(n).id for n in (1, 3, 4)]
        await stage.broker.visit_dead("team", "payments", lambda _: True)
        assert await looked_at(stage) == []
        assert await stage.broker.count_dead("team", "payments") == 0
        assert await stage.dead_letters("team", "payments") == []

    async def test_dead_letters_of_a_pool_that_is_not_there_or_without_a_connection_are_unknown(
        self, stage: Stage
    ) -> None:
        assert await stage.broker.count_dead("team", "nobody") is None
        with pytest.raises(BrokerUnavailable):
            await stage.broker.visit_dead("team", "nobody", lambda _: False)
        await stage.broker.declare_pool("team", "payments", LIMIT)
        assert await stage.broker.count_dead("team", "payments") == 0
        await stage.broker.close()
        assert await stage.broker.count_dead("team", "payments") is None
        with pytest.raises(BrokerUnavailable):
            await stage.broker.visit_dead("team", "payments", lambda _: False)

    async def test_the_delivery_limit_of_a_pool_may_be_raised_and_lowered(self, stage: Stage) -> None:
        worker: Worker | None = None
        for number, limit in enumerate((1, 4, 2), start=1):
            await stage.broker.declare_pool("team", "payments", limit)
            worker = worker or await stage.worker("team", "payments")
            await asyncio.sleep(0.5)  # RabbitMQ applies a policy in the background, and tells nobody when
            await stage.broker.publish("team", "payments", step(number))
            for _ in range(limit + 1):
                got = await worker.take()
                assert got.message_id == step(number).id
                await got.requeue()
            await delivered(stage.seen, number)
            assert stage.seen.ids()[-1] == step(number).id

    async def test_the_epoch_stays_over_a_restart(self, stage: Stage) -> None:
        before = stage.broker.epoch
        await stage.restart()
        assert stage.seen.epochs == [before, before]
        assert stage.broker.epoch == before

    async def test_a_new_epoch_begins_when_the_broker_lost_its_data(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        before = stage.broker.epoch
        await stage.wipe()
        assert stage.broker.epoch == stage.seen.epochs[-1] != before
        now = stage.broker.epoch
        await stage.restart()
        assert stage.broker.epoch == now

    async def test_the_queues_of_known_pools_are_there_before_a_connection_is_told(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.wipe()
        assert await stage.queue_exists("team", "payments")
        await stage.broker.publish("team", "payments", step())
        assert (await (await stage.worker("team", "payments")).take()).message_id == step().id

    async def test_the_depth_counts_what_is_ready_and_what_workers_hold(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.broker.declare_pool("team", "idle", LIMIT)
        for number in (1, 2, 3):
            await stage.broker.publish("team", "payments", step(number))
        await (await stage.worker("team", "payments")).take()
        wanted = Depth(ready=2, unacknowledged=1, consumers=1)

        async def is_told() -> bool:  # RabbitMQ tells what workers hold some seconds later
            return await stage.broker.depth("team", "payments") == wanted

        await eventually(is_told, str(wanted))
        assert wanted.backlog == 3
        assert await stage.broker.depths() == {("team", "payments"): wanted, ("team", "idle"): Depth(0, 0, 0)}

    async def test_the_depth_of_a_queue_that_is_not_there_is_unknown_and_not_zero(self, stage: Stage) -> None:
        with pytest.raises(DepthUnknown) as unknown:
            await stage.broker.depth("team", "nobody")
        assert unknown.value.reason == "missing"

    async def test_without_a_connection_no_depth_is_known(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.broker.close()
        with pytest.raises(DepthUnknown) as unknown:
            await stage.broker.depth("team", "payments")
        assert unknown.value.reason == "disconnected"

    async def test_a_forgotten_pool_loses_its_queue_when_it_is_empty_and_unused(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.broker.forget_pool("team", "payments")
        await gone(stage, "team", "payments")
        with pytest.raises(Unroutable):
            await stage.broker.publish("team", "payments", step())

    async def test_a_forgotten_pool_keeps_its_queue_while_a_step_is_in_it(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.broker.publish("team", "payments", step())
        await stage.broker.forget_pool("team", "payments")
        worker = await stage.worker("team", "payments")
        got = await worker.take()
        assert await stage.queue_exists("team", "payments")
        await got.ack()
        await worker.close()
        await gone(stage, "team", "payments")

    async def test_a_pool_that_is_declared_again_is_forgotten_no_more(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.broker.publish("team", "payments", step())
        await stage.broker.forget_pool("team", "payments")
        await stage.broker.declare_pool("team", "payments", LIMIT)
        worker = await stage.worker("team", "payments")
        await (await worker.take()).ack()
        await worker.close()
        await stage.restart()
        await stage.broker.publish("team", "payments", step(2))
        assert (await (await stage.worker("team", "payments")).take()).message_id == step(2).id

    async def test_workers_of_a_pool_get_the_same_url_each_time(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        url = await stage.broker.worker_url("team", "payments")
        await stage.wipe()
        assert await stage.broker.worker_url("team", "payments") == url
        assert await stage.broker.worker_url("team", "other") != url

    async def test_a_closed_broker_publishes_nothing_and_has_no_epoch(self, stage: Stage) -> None:
        await stage.broker.declare_pool("team", "payments", LIMIT)
        await stage.broker.close()
        assert stage.broker.epoch is None
        with pytest.raises(BrokerUnavailable, match="not connected"):
            await stage.broker.publish("team", "payments", step())
