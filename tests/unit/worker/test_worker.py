"""The worker loop over a fake transport: the order of things, slots, redelivery and the end."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

import mastercontrol_worker as worker
from mastercontrol_worker.contract import STEP_TIMEOUT, Failed, ResultMessage, StepMessage, Succeeded
from mastercontrol_worker.execute import Executor
from mastercontrol_worker.python_mode import PythonRunner
from mastercontrol_worker.recent import RecentResults
from mastercontrol_worker.testing import FakeDelivery, FakeTransport, step_message
from mastercontrol_worker.worker import DRAINED, STUCK, Worker


class Bench:
    """A worker at work. Its step `hold` runs until `release`; `runs` counts all runs."""

    def __init__(self, **settings: Any) -> None:
        self.transport = FakeTransport()
        self.registry = worker.Registry()
        self.runs: list[str] = []
        self.release = threading.Event()
        self.registry.step("hold")(self._hold)
        self.registry.step("double")(self._double)
        self.executor = Executor(PythonRunner(self.registry), "w-1")
        self.recent = RecentResults(100, 10**6)
        self.worker = Worker(self.transport, self.executor, self.recent, **settings)
        self.running = asyncio.create_task(self.worker.run())

    def _hold(self, value: Any, context: worker.Context) -> Any:
        self.runs.append(context.idempotency_key)
        self.release.wait(10)
        return value

    def _double(self, value: Any, context: worker.Context) -> Any:
        self.runs.append(context.idempotency_key)
        return value * 2

    async def end(self) -> int:
        self.worker.drain()
        async with asyncio.timeout(10):
            return await self.running

    def outcomes(self) -> list[Any]:
        return [result.outcome for result in self.transport.results]


@pytest.fixture
async def benches() -> AsyncIterator[list[Bench]]:
    made: list[Bench] = []
    yield made
    for bench in made:
        bench.release.set()
        if not bench.running.done():
            await bench.end()


async def begin(benches: list[Bench], **settings: Any) -> Bench:
    bench = Bench(**settings)
    benches.append(bench)
    await asyncio.sleep(0)
    return bench


def _acknowledged(delivery: FakeDelivery) -> bool:
    return delivery.settled == "ack"


def hold(seq: int = 1, deadline: float | None = None) -> StepMessage:
    when = None if deadline is None else (datetime.now(UTC) + timedelta(seconds=deadline)).isoformat()
    return step_message("hold", seq, seq=seq, deadline=when)


async def test_a_step_is_acknowledged_only_after_its_result_is_confirmed(benches: list[Bench]) -> None:
    bench = await begin(benches)
    bench.transport.confirming.clear()
    delivery = bench.transport.deliver(step_message("double", 21))
    await bench.transport.until(lambda: bool(bench.transport.events))
    await asyncio.sleep(0.02)
    assert bench.transport.events == ["publish 6f1c:1:1"]
    bench.transport.confirming.set()
    await bench.transport.until(lambda: delivery.settled is not None)
    assert bench.transport.events == ["publish 6f1c:1:1", "confirm 6f1c:1:1", "ack 6f1c:1:1"]
    assert bench.outcomes() == [Succeeded(42)]


async def test_a_result_that_is_not_confirmed_is_sent_again_and_the_step_is_not_run_again(benches: list[Bench]) -> None:
    bench = await begin(benches)
    bench.transport.problems[:] = ["returned: NO_ROUTE", "refused by the broker"]
    delivery = bench.transport.deliver(step_message("double", 1))
    await bench.transport.until(lambda: delivery.settled is not None)
    assert bench.transport.events == ["publish 6f1c:1:1"] * 3 + ["confirm 6f1c:1:1", "ack 6f1c:1:1"]
    assert len(bench.runs) == 1


async def test_a_message_that_is_no_step_is_refused_with_its_reason(
    benches: list[Bench], caplog: pytest.LogCaptureFixture
) -> None:
    bench = await begin(benches)
    garbage = [
        bench.transport.deliver_raw("6f1c:1:1", b"\xff garbage"),
        bench.transport.deliver_raw(None, step_message("double").encode()),
        bench.transport.deliver_raw("other:1:1", step_message("double").encode()),
    ]
    assert [delivery.settled for delivery in garbage] == ["refuse"] * 3
    assert "not JSON" in caplog.text
    assert "of another job" in caplog.text
    delivery = bench.transport.deliver(step_message("double", 1))
    await bench.transport.until(lambda: delivery.settled == "ack")


async def test_no_more_handlers_run_than_there_are_slots(benches: list[Bench]) -> None:
    bench = await begin(benches, concurrency=2)
    for seq in (1, 2, 3):
        bench.transport.deliver(hold(seq))
    await bench.transport.until(lambda: len(bench.runs) == 2)
    await asyncio.sleep(0.02)
    assert bench.executor.at_work == 2
    bench.release.set()
    await bench.transport.until(lambda: len(bench.transport.results) == 3)


async def test_a_handler_past_its_deadline_is_answered_but_keeps_slot_and_delivery(benches: list[Bench]) -> None:
    bench = await begin(benches)
    late = bench.transport.deliver(hold(1, deadline=0.05))
    following = bench.transport.deliver(step_message("double", 4, seq=2))
    await bench.transport.until(lambda: bool(bench.transport.results))
    await asyncio.sleep(0.02)
    outcome = bench.transport.results[0].outcome
    assert isinstance(outcome, Failed)
    assert outcome.error.code == STEP_TIMEOUT
    assert (late.settled, following.settled) == (None, None)
    bench.release.set()
    await bench.transport.until(lambda: following.settled == "ack")
    assert late.settled == "ack"
    assert bench.outcomes()[1:] == [Succeeded(8)]


async def test_a_worker_whose_every_slot_is_stuck_ends_to_be_started_anew(benches: list[Bench]) -> None:
    bench = await begin(benches, concurrency=2, stuck_seconds=0.05, grace_seconds=60)
    stuck = [bench.transport.deliver(hold(seq, deadline=0.05)) for seq in (1, 2)]
    waiting = bench.transport.deliver(step_message("double", 1, seq=3))
    async with asyncio.timeout(10):
        assert await bench.running == STUCK
    assert [delivery.settled for delivery in stuck] == ["ack", "ack"]  # they are answered
    assert waiting.settled == "give_back"


async def test_a_worker_with_a_slot_left_goes_on_beside_a_stuck_one(benches: list[Bench]) -> None:
    bench = await begin(benches, concurrency=2, stuck_seconds=0.01)
    bench.transport.deliver(hold(1, deadline=0.02))
    await bench.transport.until(lambda: bool(bench.transport.results))
    await asyncio.sleep(0.05)
    delivery = bench.transport.deliver(step_message("double", 1, seq=2))
    await bench.transport.until(lambda: delivery.settled == "ack")
    assert not bench.running.done()


async def test_a_step_delivered_again_while_it_runs_is_not_run_twice(benches: list[Bench]) -> None:
    bench = await begin(benches)
    first = bench.transport.deliver(hold())
    await bench.transport.until(lambda: bool(bench.runs))
    first.lost = True
    second = bench.transport.deliver(hold())
    bench.release.set()
    await bench.transport.until(lambda: second.settled == "ack")
    assert len(bench.runs) == 1
    assert first.settled is None
    assert len(bench.transport.results) == 1


async def test_a_copy_that_comes_after_the_result_was_sent_is_answered_anew(benches: list[Bench]) -> None:
    bench = await begin(benches)
    bench.transport.confirming.clear()
    first = bench.transport.deliver(step_message("double", 1))
    await bench.transport.until(lambda: bool(bench.transport.events))
    second = bench.transport.deliver(step_message("double", 1))
    bench.transport.confirming.set()
    await bench.transport.until(lambda: second.settled == "ack")
    assert first.settled == "ack"
    assert len(bench.transport.results) == 2
    assert len(bench.runs) == 1


async def test_a_finished_step_delivered_again_is_answered_again_without_running(benches: list[Bench]) -> None:
    bench = await begin(benches)
    for _ in range(3):
        delivery = bench.transport.deliver(step_message("double", 21))
        await bench.transport.until(partial(_acknowledged, delivery))
    assert bench.outcomes() == [Succeeded(42)] * 3
    assert len(bench.runs) == 1


async def test_another_attempt_at_a_finished_step_runs(benches: list[Bench]) -> None:
    bench = await begin(benches)
    for attempt in (1, 2):
        delivery = bench.transport.deliver(step_message("double", 21, attempt=attempt))
        await bench.transport.until(partial(_acknowledged, delivery))
    assert bench.runs == ["6f1c:1:1", "6f1c:1:2"]


async def test_a_first_step_of_the_workflow_before_its_edit_is_no_copy_of_that_after_it(benches: list[Bench]) -> None:
    """They have the same id where the Workflow was edited before the first status of their job."""
    bench = await begin(benches, concurrency=2)
    before = bench.transport.deliver(step_message("hold", 1))
    after = bench.transport.deliver(step_message("double", 21))
    await bench.transport.until(lambda: after.settled == "ack")
    bench.release.set()
    await bench.transport.until(lambda: before.settled == "ack")
    assert {(r.step, r.outcome) for r in bench.transport.results} == {("hold", Succeeded(1)), ("double", Succeeded(42))}
    again = bench.transport.deliver(step_message("hold", 1))
    await bench.transport.until(lambda: again.settled == "ack")
    assert [(r.step, r.outcome) for r in bench.transport.results[2:]] == [("hold", Succeeded(1))]
    assert len(bench.runs) == 2


async def test_a_waiting_step_of_a_lost_connection_is_not_run(benches: list[Bench]) -> None:
    bench = await begin(benches)
    bench.transport.deliver(hold(1))
    waiting = bench.transport.deliver(step_message("double", 1, seq=2))
    waiting.lost = True
    other = bench.transport.deliver(step_message("double", 1, seq=3))
    bench.release.set()
    await bench.transport.until(lambda: other.settled == "ack")
    assert bench.runs == ["6f1c:1:1", "6f1c:3:1"]
    again = bench.transport.deliver(step_message("double", 1, seq=2))
    await bench.transport.until(lambda: again.settled == "ack")


async def test_the_result_of_a_lost_delivery_is_still_sent(benches: list[Bench]) -> None:
    bench = await begin(benches)
    delivery = bench.transport.deliver(hold(7))
    await bench.transport.until(lambda: bool(bench.runs))
    delivery.lost = True
    bench.release.set()
    await bench.transport.until(lambda: bool(bench.transport.results))
    assert bench.outcomes() == [Succeeded(7)]
    assert delivery.settled is None


async def test_drain_takes_nothing_more_and_finishes_what_runs(benches: list[Bench]) -> None:
    bench = await begin(benches)
    running = bench.transport.deliver(hold(1))
    waiting = bench.transport.deliver(hold(2))
    await bench.transport.until(lambda: bool(bench.runs))
    bench.worker.drain()
    await bench.transport.until(lambda: waiting.settled is not None)
    late = bench.transport.deliver(hold(3))
    assert (waiting.settled, late.settled, running.settled) == ("give_back", "give_back", None)
    bench.release.set()
    assert await bench.running == DRAINED
    assert running.settled == "ack"
    assert bench.transport.events[0:2] == ["give_back 6f1c:2:1", "stop_consuming"]
    assert bench.transport.events[-1] == "close"


async def test_what_is_not_done_within_the_grace_period_is_given_back(benches: list[Bench]) -> None:
    bench = await begin(benches, grace_seconds=0.05)
    delivery = bench.transport.deliver(hold())
    await bench.transport.until(lambda: bool(bench.runs))
    assert await bench.end() == DRAINED
    assert delivery.settled == "give_back"
    assert bench.transport.results == []


async def test_a_second_signal_does_not_wait_for_the_grace_period(benches: list[Bench]) -> None:
    bench = await begin(benches, grace_seconds=3600)
    delivery = bench.transport.deliver(hold())
    await bench.transport.until(lambda: bool(bench.runs))
    bench.worker.drain()
    await bench.transport.until(lambda: "stop_consuming" in bench.transport.events)
    assert await bench.end() == DRAINED
    assert delivery.settled == "give_back"


async def test_a_result_that_cannot_be_confirmed_before_the_end_is_given_back(
    benches: list[Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mastercontrol_worker.worker.FLUSH_SECONDS", 0.05)
    bench = await begin(benches, grace_seconds=0.05)
    bench.transport.confirming.clear()
    delivery = bench.transport.deliver(step_message("double", 1))
    await bench.transport.until(lambda: bool(bench.transport.events))
    assert await bench.end() == DRAINED
    assert delivery.settled == "give_back"


async def test_an_idle_worker_drains_at_once(benches: list[Bench]) -> None:
    bench = await begin(benches, grace_seconds=3600)
    assert await bench.end() == DRAINED
    assert bench.transport.events == ["stop_consuming", "close"]


async def test_a_handler_that_gives_back_while_draining_leaves_the_step_to_others(benches: list[Bench]) -> None:
    bench = await begin(benches, grace_seconds=3600)
    started = threading.Event()

    @bench.registry.step("long")
    def long(_value: Any, context: worker.Context) -> Any:
        started.set()
        while not context.should_stop():
            bench.release.wait(0.005)
        raise worker.GiveBack

    delivery = bench.transport.deliver(step_message("long"))
    await bench.transport.until(started.is_set)
    assert await bench.end() == DRAINED
    assert delivery.settled == "give_back"
    assert bench.transport.results == []


async def test_a_fault_of_the_worker_gives_the_step_back_and_is_logged(
    benches: list[Bench], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = await begin(benches)

    def broken(_message: StepMessage) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(bench.executor, "start", broken)
    delivery = bench.transport.deliver(step_message("double", 1))
    await bench.transport.until(lambda: delivery.settled == "give_back")
    await asyncio.sleep(0)
    assert "can't start new thread" in caplog.text
    monkeypatch.undo()
    again = bench.transport.deliver(step_message("double", 1))
    await bench.transport.until(lambda: again.settled == "ack")


async def test_a_thousand_steps_are_each_answered_once(benches: list[Bench], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    bench = await begin(benches, concurrency=16)
    deliveries = [bench.transport.deliver(step_message("double", n, seq=n)) for n in range(1, 1001)]
    await bench.transport.until(lambda: all(delivery.settled == "ack" for delivery in deliveries))
    assert sorted(result.id for result in bench.transport.results) == sorted(f"6f1c:{n}:1" for n in range(1, 1001))


def test_recent_results_forget_the_oldest_beyond_their_count() -> None:
    recent = RecentResults(2, 10**6)
    results = [ResultMessage.of(step_message("s", seq=n), Succeeded(n)) for n in (1, 2, 3)]
    recent.put(results[0])
    recent.put(results[1])
    assert recent.get(step_message("s", seq=1)) == results[0]  # and so it is no longer the oldest
    recent.put(results[2])
    assert recent.get(step_message("s", seq=2)) is None
    assert recent.get(step_message("s", seq=1)) == results[0]


def test_recent_results_stay_within_their_bytes() -> None:
    one = ResultMessage.of(step_message("s", seq=1), Succeeded("x" * 1000))
    size = len(one.encode())
    recent = RecentResults(100, 2 * size)
    for seq in range(1, 6):
        recent.put(ResultMessage.of(step_message("s", seq=seq), Succeeded("x" * 1000)))
    recent.put(ResultMessage.of(step_message("s", seq=5), Succeeded("x" * 1000)))
    assert len(recent) == 2
    RecentResults(0, 0).put(one)
    assert json.loads(one.encode())["output"] == "x" * 1000
