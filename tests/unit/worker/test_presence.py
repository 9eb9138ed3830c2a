"""The messages about a worker itself, and what a worker does about them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from mastercontrol_worker.attendance import Attendance
from mastercontrol_worker.contract import MalformedMessage
from mastercontrol_worker.presence import MAX_BYTES, Command, CommandMessage, Doing, PresenceMessage

PRESENCE = PresenceMessage("mcp.pool.shop.payments", "w-1", Doing.DRAINING, 2, 4, "order-7")


def test_a_presence_is_read_as_it_was_written() -> None:
    assert PresenceMessage.decode(PRESENCE.encode()) == PRESENCE


@pytest.mark.parametrize(
    "command", [CommandMessage(Command.DRAIN, "order-7", 7), CommandMessage(Command.RESUME, "order-8")], ids=["d", "r"]
)
def test_a_command_is_read_as_it_was_written(command: CommandMessage) -> None:
    assert CommandMessage.decode(command.encode()) == command


def test_what_is_written_fits_the_schemas_and_what_is_refused_does_not() -> None:
    for doing in Doing:
        _schema("presence.json").validate(json.loads(replace(PRESENCE, doing=doing).encode()))
    for command in (CommandMessage(Command.DRAIN, "order-7", 7), CommandMessage(Command.RESUME)):
        _schema("command.json").validate(json.loads(command.encode()))
    for name, change in WRONG.items():
        if name != "long":
            with pytest.raises(ValidationError):
                _schema("presence.json").validate(json.loads(PRESENCE.encode()) | change)


def _schema(name: str) -> Draft202012Validator:
    text = (files("mastercontrol_worker") / "schemas" / name).read_text()
    return Draft202012Validator(json.loads(text))


WRONG: dict[str, Any] = {
    "version": {"version": 2},
    "no-queue": {"queue": None},
    "no-worker": {"worker": ""},
    "doing": {"doing": "Sleeping"},
    "held-negative": {"held": -1},
    "held-true": {"held": True},
    "no-slots": {"slots": 0},
    "obeys-a-number": {"obeys": 7},
    "obeys-too-much": {"obeys": "x" * 65},
    "long": {"more": "x" * MAX_BYTES},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_a_presence_that_is_none_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        PresenceMessage.decode(json.dumps(json.loads(PRESENCE.encode()) | change).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b'{"version": 1}', b'{"version": 1, "command": "Sing"}'], ids=range(4))
def test_a_command_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        CommandMessage.decode(body)


def test_a_drain_is_bounded() -> None:
    assert CommandMessage.decode(b'{"version": 1, "command": "Drain", "seconds": 1000000}').seconds == 3600


class FakeLine:
    """A `Line` that notes what is done on it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.on_open: Callable[[], None] = lambda: None
        self.on_command: Callable[[bytes], None] = lambda _: None

    def attend(self, on_open: Callable[[], None], on_command: Callable[[bytes], None]) -> None:
        self.on_open, self.on_command = on_open, on_command

    def announce(self, body: bytes) -> bool:
        said = PresenceMessage.decode(body)
        assert said.obeys in {"", "an order"}
        self.events.append(f"{said.doing} {said.held}" + (" as ordered" if said.obeys else ""))
        return True

    async def stop_consuming(self) -> None:
        self.events.append("stop")

    async def resume_consuming(self) -> None:
        self.events.append("resume")


class Attending:
    def __init__(self, seconds: float = 1000.0) -> None:
        self.line = FakeLine()
        self.held, self.ends = 0, False
        self.attendance = Attendance(
            self.line,
            "mcp.pool.shop.payments",
            "w-1",
            2,
            held=lambda: self.held,
            ends=lambda: self.ends,
            seconds=seconds,
        )
        self.task = asyncio.create_task(self.attendance.run())

    def command(self, command: Command, seconds: int = 30) -> None:
        self.line.on_command(CommandMessage(command, "an order", seconds).encode())

    async def said(self) -> list[str]:
        """What happened since the last call."""
        for _ in range(10):
            await asyncio.sleep(0)
        events, self.line.events = self.line.events, []
        return events


@pytest.fixture
async def attending() -> AsyncIterator[Attending]:
    one = Attending()
    yield one
    one.task.cancel()
    await asyncio.wait((one.task,))


async def test_a_worker_says_that_it_is_there_at_once_and_after_each_connection(attending: Attending) -> None:
    assert await attending.said() == ["Consuming 0"]
    attending.held = 1
    attending.line.on_open()
    assert await attending.said() == ["Consuming 1"]


async def test_a_worker_of_which_nothing_changes_says_so_again() -> None:
    one = Attending(seconds=0.02)
    await asyncio.sleep(0.2)
    one.task.cancel()
    assert len(await one.said()) >= 3


async def test_a_drain_stops_consuming_before_it_is_answered_and_each_settled_step_is_told(
    attending: Attending,
) -> None:
    await attending.said()
    attending.held = 2
    attending.command(Command.DRAIN)
    assert await attending.said() == ["stop", "Draining 2 as ordered"]
    attending.held = 1
    attending.attendance.settled()
    assert await attending.said() == ["Draining 1 as ordered"]
    attending.held = 0
    attending.attendance.settled()
    assert await attending.said() == ["Draining 0 as ordered"]


async def test_a_worker_that_consumes_does_not_tell_each_settled_step(attending: Attending) -> None:
    await attending.said()
    attending.attendance.settled()
    assert await attending.said() == []


async def test_a_drain_that_is_asked_for_again_is_answered_again_and_stops_nothing_twice(attending: Attending) -> None:
    attending.command(Command.DRAIN)
    await attending.said()
    attending.command(Command.DRAIN)
    assert await attending.said() == ["Draining 0 as ordered"]


async def test_a_worker_that_is_to_resume_consumes_again(attending: Attending) -> None:
    attending.command(Command.DRAIN)
    await attending.said()
    attending.command(Command.RESUME)
    assert await attending.said() == ["resume", "Consuming 0 as ordered"]
    attending.command(Command.RESUME)
    assert await attending.said() == ["Consuming 0 as ordered"]


async def test_a_drain_that_nobody_asks_for_again_ends_by_itself(attending: Attending) -> None:
    await attending.said()
    attending.command(Command.DRAIN, seconds=1)
    assert await attending.said() == ["stop", "Draining 0 as ordered"]
    await asyncio.sleep(1.1)
    assert await attending.said() == ["resume", "Consuming 0 as ordered"]


async def test_a_worker_that_ends_consumes_no_more_whatever_is_asked(attending: Attending) -> None:
    attending.command(Command.DRAIN)
    await attending.said()
    attending.ends = True
    attending.command(Command.RESUME)
    assert await attending.said() == ["Ending 0 as ordered"]


async def test_a_command_that_is_none_is_passed_over(attending: Attending, caplog: pytest.LogCaptureFixture) -> None:
    await attending.said()
    attending.line.on_command(b"what?")
    assert await attending.said() == []
    assert "passed over a command" in caplog.text
