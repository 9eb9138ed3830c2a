"""From a step message to a result, with Python handlers."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import mastercontrol_worker as worker
from mastercontrol_worker.contract import (
    RESULT_NOT_JSON,
    RESULT_TOO_LARGE,
    STEP_FAILED,
    STEP_TIMEOUT,
    STEP_UNKNOWN,
    Failed,
    ResultMessage,
    Succeeded,
)
from mastercontrol_worker.execute import Executor
from mastercontrol_worker.python_mode import PythonRunner
from mastercontrol_worker.testing import step_message


class Bench:
    """An executor with a registry to fill, and messages by the name of the step alone."""

    def __init__(self) -> None:
        self.registry = worker.Registry()
        self.executor = Executor(PythonRunner(self.registry), "w-1")

    async def run(self, step: str, value: Any = None, seconds: float | None = None) -> ResultMessage | None:
        return await self.executor.run(step_message(step, value, deadline=soon(seconds)))


def soon(seconds: float | None) -> str | None:
    return None if seconds is None else (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def failed(result: ResultMessage | None) -> tuple[str, str, bool]:
    assert result is not None
    assert isinstance(result.outcome, Failed), result.outcome
    return result.outcome.error.code, result.outcome.error.message, result.outcome.error.retryable


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  any condition, no event to wait for
            await asyncio.sleep(0.002)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    made.executor.close()


async def test_a_function_gets_the_input_and_gives_the_output(bench: Bench) -> None:
    bench.registry.step("double")(lambda value: value * 2)
    result = await bench.run("double", 21)
    assert result is not None
    assert (result.outcome, result.id, result.worker) == (Succeeded(42), "6f1c:1:1", "w-1")


async def test_a_coroutine_does_the_same(bench: Bench) -> None:
    @bench.registry.step("double")
    async def double(value: int, context: worker.Context) -> Any:
        await asyncio.sleep(0)
        return [value * 2, context.idempotency_key]

    result = await bench.run("double", 21)
    assert result is not None
    assert result.outcome == Succeeded([42, "6f1c:1:1"])


async def test_a_handler_that_blocks_does_not_hold_up_the_loop(bench: Bench) -> None:
    release = threading.Event()

    @bench.registry.step("sync")
    def sync(_value: Any) -> bool:
        return release.wait(10)

    @bench.registry.step("async")
    async def async_(_value: Any) -> bool:
        return release.wait(10)  # a fault that handlers have

    runs = [asyncio.create_task(bench.run(name)) for name in ("sync", "async")]
    await asyncio.sleep(0)
    release.set()  # reached only because this loop goes on
    for result in await asyncio.gather(*runs):
        assert result is not None
        assert result.outcome == Succeeded(output=True)


async def test_an_exception_becomes_a_retryable_failure_with_its_type_and_text(bench: Bench) -> None:
    @bench.registry.step("sync")
    def sync(_value: Any) -> Any:
        raise KeyError("sku")

    @bench.registry.step("async")
    async def async_(_value: Any) -> Any:
        raise KeyError("sku")

    for name in ("sync", "async"):
        assert failed(await bench.run(name)) == (STEP_FAILED, "KeyError: 'sku'", True)


async def test_a_long_exception_text_is_cut(bench: Bench) -> None:
    @bench.registry.step("s")
    def s(_value: Any) -> Any:
        raise ValueError("x" * 100_000)

    assert len(failed(await bench.run("s"))[1]) == 2000


async def test_an_exception_whose_text_cannot_be_made_is_still_a_failure(bench: Bench) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    @bench.registry.step("s")
    def s(_value: Any) -> Any:
        raise Broken

    assert failed(await bench.run("s"))[1].startswith("Broken: ")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), StopIteration()])
async def test_a_handler_that_tries_to_end_the_process_only_fails_its_step(bench: Bench, error: BaseException) -> None:
    @bench.registry.step("sync")
    def sync(_value: Any) -> Any:
        raise error

    @bench.registry.step("async")
    async def async_(_value: Any) -> Any:
        raise error

    bench.registry.step("after")(lambda value: value)
    for name in ("sync", "async"):
        assert failed(await bench.run(name))[0] == STEP_FAILED
    assert await bench.run("after", 1) is not None


async def test_a_handler_says_its_code_and_whether_to_try_again(bench: Bench) -> None:
    @bench.registry.step("s")
    def s(_value: Any) -> Any:
        raise worker.StepFailure("card declined", code="CardDeclined", retryable=False)

    assert failed(await bench.run("s")) == ("CardDeclined", "card declined", False)


async def test_an_unknown_step_is_retryable_and_names_the_known_ones(bench: Bench) -> None:
    bench.registry.step("pay")(lambda value: value)
    code, message, retryable = failed(await bench.run("refund"))
    assert (code, retryable) == (STEP_UNKNOWN, True)
    assert "'refund'" in message
    assert "pay" in message


async def test_an_output_that_is_no_json_or_too_large_fails_for_good(bench: Bench) -> None:
    bench.registry.step("object")(lambda _value: object())
    bench.registry.step("large")(lambda _value: "x" * 100_000)
    code, message, retryable = failed(await bench.run("object"))
    assert (code, retryable) == (RESULT_NOT_JSON, False)
    assert "object" in message
    assert failed(await bench.run("large"))[::2] == (RESULT_TOO_LARGE, False)


async def test_a_step_whose_deadline_has_passed_does_not_run(bench: Bench) -> None:
    ran: list[Any] = []
    bench.registry.step("s")(ran.append)
    assert failed(await bench.run("s", seconds=-1))[::2] == (STEP_TIMEOUT, True)
    assert not ran
    assert bench.executor.at_work == 0


async def test_at_the_deadline_there_is_a_result_while_the_thread_keeps_its_slot(bench: Bench) -> None:
    release = threading.Event()
    bench.registry.step("hang")(lambda _value: release.wait(10))
    execution = bench.executor.start(step_message("hang", deadline=soon(0.05)))
    assert failed(await execution.result)[0] == STEP_TIMEOUT
    assert not execution.ended.done()
    assert bench.executor.at_work == 1
    release.set()
    await execution.ended
    assert bench.executor.at_work == 0


async def test_at_the_deadline_a_coroutine_is_cancelled(bench: Bench) -> None:
    ended = threading.Event()

    @bench.registry.step("hang")
    async def hang(_value: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    execution = bench.executor.start(step_message("hang", deadline=soon(0.05)))
    assert failed(await execution.result)[0] == STEP_TIMEOUT
    await execution.ended
    assert ended.is_set()


async def test_a_coroutine_that_will_not_end_keeps_its_slot(bench: Bench) -> None:
    release = threading.Event()

    @bench.registry.step("stubborn")
    async def stubborn(_value: Any) -> None:
        while not release.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    execution = bench.executor.start(step_message("stubborn", deadline=soon(0.05)))
    assert failed(await execution.result)[0] == STEP_TIMEOUT
    assert not execution.ended.done()
    release.set()
    await execution.ended


async def test_a_step_done_before_its_deadline_is_not_timed_out(bench: Bench) -> None:
    bench.registry.step("s")(lambda value: value)
    result = await bench.run("s", 1, seconds=60)
    assert result is not None
    assert result.outcome == Succeeded(1)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_handler_can_give_its_step_back(bench: Bench, kind: str) -> None:
    def body(context: worker.Context) -> Any:
        assert context.draining
        raise worker.GiveBack

    @bench.registry.step("sync")
    def sync(_value: Any, context: worker.Context) -> Any:
        return body(context)

    @bench.registry.step("async")
    async def async_(_value: Any, context: worker.Context) -> Any:
        return body(context)

    bench.executor.drain()
    assert await bench.run(kind) is None


async def test_what_is_abandoned_is_given_back_at_once(bench: Bench) -> None:
    release = threading.Event()
    bench.registry.step("hang")(lambda _value: release.wait(10))
    execution = bench.executor.start(step_message("hang"))
    bench.executor.abandon()
    assert await execution.result is None
    await execution.ended
    release.set()
    await until(lambda: bench.executor.at_work == 0)


async def test_closing_cancels_coroutines_that_still_run() -> None:
    bench, ended, started = Bench(), threading.Event(), threading.Event()

    @bench.registry.step("hang")
    async def hang(_value: Any) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    execution = bench.executor.start(step_message("hang"))
    await until(started.is_set)
    bench.executor.close()
    assert ended.is_set()
    await execution.ended


async def test_many_steps_run_at_the_same_time(bench: Bench) -> None:
    barrier = threading.Barrier(8)
    bench.registry.step("meet")(lambda _value: barrier.wait(10) >= 0)
    messages = [step_message("meet", seq=n) for n in range(1, 9)]
    runs: list[Awaitable[ResultMessage | None]] = [bench.executor.run(message) for message in messages]
    results = await asyncio.gather(*runs)
    assert [r.outcome for r in results if r is not None] == [Succeeded(output=True)] * 8


async def test_a_handler_may_nest_deeper_than_json_can(bench: Bench) -> None:
    def deep(_value: Any) -> Any:
        value: list[Any] = []
        for _ in range(sys.getrecursionlimit() * 2):
            value = [value]
        return value

    bench.registry.step("deep")(deep)
    assert failed(await bench.run("deep"))[0] == RESULT_NOT_JSON
