"""Heartbeats of steps that are really run: by functions, coroutines and programs, through the worker loop."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pika
import pytest

import mastercontrol_worker as worker
from mastercontrol_worker.contract import HEARTBEAT_TIMEOUT, HEARTBEATS_ROUTING_KEY, Failed, StepError, Succeeded
from mastercontrol_worker.exec_mode import ExecRunner
from mastercontrol_worker.execute import Executor
from mastercontrol_worker.heartbeat import Beat, HeartbeatMessage
from mastercontrol_worker.heartbeat_lines import HeartbeatLines, progress_of
from mastercontrol_worker.link import Link, LinkSettings
from mastercontrol_worker.python_mode import PythonRunner
from mastercontrol_worker.recent import RecentResults
from mastercontrol_worker.testing import FakeTransport, step_context, step_message
from mastercontrol_worker.worker import Worker


class Bench:
    """A worker at work on a fake transport; `release` lets its handlers end."""

    def __init__(self, program: str | None = None, **settings: Any) -> None:
        self.transport = FakeTransport()
        self.registry = worker.Registry()
        self.release = threading.Event()
        runner = ExecRunner([sys.executable, "-c", program]) if program else PythonRunner(self.registry)
        self.worker = Worker(self.transport, Executor(runner, "w-1"), RecentResults(10, 10**6), **settings)
        self.running = asyncio.create_task(self.worker.run())

    @property
    def heard(self) -> list[tuple[Beat, Any]]:
        return [(h.beat, h.progress) for h in self.transport.heartbeats]

    async def outcome(self, seconds: int | None = 30) -> Any:
        """What the step `s` comes to."""
        self.transport.deliver(step_message("s", heartbeat_seconds=seconds))
        await self.transport.until(lambda: bool(self.transport.results))
        return self.transport.results[0].outcome


Begin = Callable[..., Awaitable[Bench]]


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    made: list[Bench] = []

    async def make(program: str | None = None, **settings: Any) -> Bench:
        made.append(Bench(program, **settings))
        await asyncio.sleep(0)
        return made[-1]

    yield make
    for bench in made:
        bench.release.set()
        bench.worker.drain()
        async with asyncio.timeout(10):
            await bench.running


async def test_a_step_that_asks_for_it_says_that_it_begins_before_its_handler_runs(begin: Begin) -> None:
    bench = await begin()
    seen: list[int] = []
    bench.registry.step("s")(lambda _: seen.append(len(bench.transport.heartbeats)))
    assert await bench.outcome() == Succeeded(None)
    (heartbeat,) = bench.transport.heartbeats
    assert (seen, heartbeat.id, heartbeat.step, heartbeat.worker) == ([1], "6f1c:1:1", "s", "w-1")
    assert heartbeat.beat is Beat.BEGUN


async def test_a_step_that_does_not_ask_for_heartbeats_has_none_whatever_its_handler_reports(begin: Begin) -> None:
    bench = await begin()
    bench.registry.step("s")(lambda _, context: context.heartbeat({"page": 1}))
    assert await bench.outcome(None) == Succeeded(None)
    assert bench.heard == []


@pytest.mark.parametrize("seconds", [None, 30])
async def test_a_wrong_progress_fails_the_step_and_says_why_whether_or_not_anybody_listens(
    begin: Begin, seconds: int | None
) -> None:
    bench = await begin()
    bench.registry.step("s")(lambda _, context: context.heartbeat("x" * 1024))
    outcome = await bench.outcome(seconds)
    assert isinstance(outcome, Failed)
    assert outcome.error.message == "ValueError: the progress has 1026 bytes of JSON, the limit is 1024"


async def test_a_function_reports_and_its_step_goes_on_for_longer_than_the_period(begin: Begin) -> None:
    bench = await begin()

    @bench.registry.step("s")
    def pages(_: Any, context: worker.Context) -> int:
        end, page = time.monotonic() + 1.5, 0
        while time.monotonic() < end:
            page += 1
            context.heartbeat({"page": page})
        return page

    assert isinstance(await bench.outcome(1), Succeeded)
    (_, none), *later = bench.heard
    assert none is None
    numbers = [progress["page"] for _, progress in later]
    assert numbers == sorted(set(numbers))
    assert 2 <= len(numbers) <= 5, "a few of very many"


async def test_a_coroutine_reports_as_well(begin: Begin) -> None:
    bench = await begin()

    @bench.registry.step("s")
    async def pages(_: Any, context: worker.Context) -> None:
        context.heartbeat("half")
        while len(bench.heard) < 2:  # noqa: ASYNC110  what is waited for is on another thread
            await asyncio.sleep(0.01)

    assert await bench.outcome(1) == Succeeded(None)
    assert bench.heard == [(Beat.BEGUN, None), (Beat.ALIVE, "half")]


async def test_a_function_that_is_silent_for_too_long_is_answered_for_and_keeps_its_slot(begin: Begin) -> None:
    bench = await begin()
    bench.registry.step("s")(lambda _: bench.release.wait(20))
    outcome = await bench.outcome(1)
    assert outcome == Failed(StepError(HEARTBEAT_TIMEOUT, "no heartbeat for 1 s"))
    assert "ack 6f1c:1:1" not in bench.transport.events
    bench.release.set()
    await bench.transport.until(lambda: "ack 6f1c:1:1" in bench.transport.events)
    assert len(bench.transport.results) == 1, "its late result is dropped"


async def test_a_coroutine_that_is_silent_for_too_long_is_cancelled(begin: Begin) -> None:
    bench = await begin()
    cancelled = threading.Event()

    @bench.registry.step("s")
    async def wait(_: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    outcome = await bench.outcome(1)
    assert outcome.error.code == HEARTBEAT_TIMEOUT
    assert cancelled.wait(10)


async def test_a_handler_that_was_given_up_may_report_and_nobody_hears_it(begin: Begin) -> None:
    bench = await begin()
    ended = threading.Event()

    @bench.registry.step("s")
    def late(_: Any, context: worker.Context) -> None:
        bench.release.wait(20)
        context.heartbeat("I am back")
        ended.set()

    await bench.outcome(1)
    bench.release.set()
    assert await asyncio.to_thread(ended.wait, 10)
    await bench.transport.until(lambda: "ack 6f1c:1:1" in bench.transport.events)
    assert bench.heard == [(Beat.BEGUN, None)]


async def test_a_step_that_its_handler_gives_back_is_told_of_before_it_is_in_its_queue_again(begin: Begin) -> None:
    bench = await begin()

    @bench.registry.step("s")
    def stop(_: Any) -> None:
        raise worker.GiveBack

    delivery = bench.transport.deliver(step_message("s", heartbeat_seconds=30))
    await bench.transport.until(lambda: delivery.settled == "give_back")
    assert bench.heard == [(Beat.BEGUN, None), (Beat.GIVEN_BACK, None)]


async def test_steps_that_do_not_finish_before_the_worker_ends_are_told_of_too(begin: Begin) -> None:
    bench = await begin(grace_seconds=0)
    bench.registry.step("s")(lambda _: bench.release.wait(20))
    bench.transport.deliver(step_message("s", heartbeat_seconds=30))
    await bench.transport.until(lambda: bench.heard == [(Beat.BEGUN, None)])
    bench.worker.drain()
    await bench.transport.until(lambda: "give_back 6f1c:1:1" in bench.transport.events)
    assert bench.heard[-1] == (Beat.GIVEN_BACK, None)


async def test_while_the_broker_is_away_a_step_goes_on_and_is_done(begin: Begin) -> None:
    bench = await begin()
    bench.transport.away = True

    @bench.registry.step("s")
    def pages(_: Any, context: worker.Context) -> str:
        for page in range(1000):
            context.heartbeat(page)
        return "done"

    assert await bench.outcome() == Succeeded("done")
    assert bench.heard == []


# -- programs

WRITES = "import os, sys; fd = int(os.environ['MCP_HEARTBEAT_FD']); say = lambda text: os.write(fd, text.encode())\n"


async def test_each_line_that_a_program_writes_to_its_descriptor_is_a_heartbeat(begin: Begin) -> None:
    bench = await begin(WRITES + "say('40 %\\n'); sys.stdin.read(); import time; time.sleep(0.6); print(5)")
    assert await bench.outcome(1) == Succeeded(5)
    assert bench.heard == [(Beat.BEGUN, None), (Beat.ALIVE, "40 %")]


async def test_a_program_is_told_how_often_it_is_to_report(begin: Begin) -> None:
    bench = await begin("import os; print(os.environ['MCP_STEP_HEARTBEAT_SECONDS'])")
    assert await bench.outcome(7) == Succeeded(7)


async def test_a_program_of_a_step_without_heartbeats_has_no_descriptor(begin: Begin) -> None:
    bench = await begin("import os; print(int('MCP_HEARTBEAT_FD' in os.environ))")
    assert await bench.outcome(None) == Succeeded(0)


async def test_a_program_that_is_silent_for_too_long_is_killed(begin: Begin) -> None:
    bench = await begin("import time; time.sleep(60)")
    began = time.monotonic()
    outcome = await bench.outcome(1)
    assert outcome.error.code == HEARTBEAT_TIMEOUT
    await bench.transport.until(lambda: "ack 6f1c:1:1" in bench.transport.events)
    assert time.monotonic() - began < 20


async def test_a_shell_script_reports_through_dev_fd() -> None:
    heard: list[HeartbeatMessage] = []

    def hear(heartbeat: HeartbeatMessage) -> bool:
        heard.append(heartbeat)
        return True

    script = 'echo \'{"page": 3}\' >"/dev/fd/$MCP_HEARTBEAT_FD"; sleep 0.6; echo null'
    executor = Executor(ExecRunner(["/bin/sh", "-c", script]))
    executor.on_heartbeat = hear
    await executor.run(step_message("s", heartbeat_seconds=1))
    assert [h.progress for h in heard] == [None, {"page": 3}]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_program_that_can_not_be_started_leaves_no_descriptor_open() -> None:
    executor = Executor(ExecRunner(["/nowhere/to/be/found"]))
    before = descriptors()
    for _ in range(5):
        await executor.run(step_message("s", heartbeat_seconds=30))
    assert descriptors() == before


@pytest.mark.parametrize(
    ("line", "progress"),
    [
        (b"40 %", "40 %"),
        (b" 40 ", 40),
        (b'{"page": 3}', {"page": 3}),
        (b"", None),
        (b"null", None),
        (b"\xff half", "\ufffd half"),
        (b"NaN", "NaN"),
    ],
)
def test_what_a_line_says(line: bytes, progress: Any) -> None:
    assert progress_of(line) == progress


def test_a_line_that_is_too_long_is_cut_and_still_a_heartbeat() -> None:
    reported: list[Any] = []
    lines = HeartbeatLines(reported.append)
    for _ in range(100):
        lines.write(b"x" * 1000)
    lines.write(b"\n")
    (progress,) = reported
    assert progress == "x" * len(progress)
    assert 500 < len(progress) <= 1022


def test_of_several_lines_at_once_the_last_counts_and_the_rest_of_one_waits_for_its_end() -> None:
    reported: list[Any] = []
    lines = HeartbeatLines(reported.append)
    lines.write(b"1\n2\n3")
    assert reported == [2]
    lines.write(b"0\n")
    assert reported == [2, 30]


# -- the link


class FakeChannel:
    def __init__(self) -> None:
        self.published: list[tuple[str, str, bool]] = []
        self.problem: Exception | None = None

    def basic_publish(self, _exchange: str, key: str, _body: bytes, properties: Any, *, mandatory: bool) -> None:
        if self.problem is not None:
            raise self.problem
        self.published.append((key, properties.message_id, mandatory))


def link(channel: FakeChannel) -> Link:
    made = Link(LinkSettings("amqp://b/", "q"), lambda _delivery: None)
    made._channel = channel
    return made


async def test_a_heartbeat_goes_its_own_way_and_nobody_waits_for_its_confirm() -> None:
    channel = FakeChannel()
    made = link(channel)
    assert made.beat("a", "s", b"{}", {})
    result = asyncio.create_task(made.publish("a", "s", b"{}", {}))
    await asyncio.sleep(0)
    assert channel.published == [(HEARTBEATS_ROUTING_KEY, "a", False), ("mcp.results", "a", True)]
    made._confirms.on_confirm(pika.frame.Method(1, pika.spec.Basic.Ack(1)))
    await asyncio.sleep(0)
    assert not result.done(), "the first confirm was the heartbeat's"
    made._confirms.on_confirm(pika.frame.Method(1, pika.spec.Basic.Ack(2)))
    await result


async def test_during_an_alarm_and_on_a_link_that_is_lost_no_heartbeat_is_sent() -> None:
    channel = FakeChannel()
    made = link(channel)
    made._set_blocked(blocked=True)
    assert not made.beat("a", "s", b"{}", {})
    made._set_blocked(blocked=False)
    channel.problem = pika.exceptions.ChannelWrongStateError("closed")
    assert not made.beat("a", "s", b"{}", {})
    channel.problem = None
    made._lose("gone")
    assert not made.beat("a", "s", b"{}", {})
    assert channel.published == []


def test_a_handler_that_is_called_by_hand_reports_to_its_test() -> None:
    reported: list[Any] = []
    context = step_context(progress=reported)
    context.heartbeat({"page": 1})
    context.heartbeat()
    assert reported == [{"page": 1}, None]
    with pytest.raises(ValueError, match="no JSON value"):
        context.heartbeat({1, 2})
