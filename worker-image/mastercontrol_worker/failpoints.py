"""Failpoints: places between two messages where a process can be made to die or to stop, for tests only.

`MCP_FAILPOINT=worker.ack.before=kill@3` makes the worker kill itself (SIGKILL) the third time that it is about to
acknowledge a step; with `stop` it stops itself (SIGSTOP), and goes on from there when somebody sends SIGCONT. Without
the variable nothing here is loaded: what is wrapped below is then not wrapped. The operator has the same for its side.

| point | before | after |
| --- | --- | --- |
| `execute` | a step came, its handler has not begun | its handler has ended, the result is not sent |
| `publish` | nothing of the message is sent | all of it is handed to the kernel |
| `confirm` | the broker has confirmed, and nobody was told | who waits is told, and has not gone on yet |
| `ack` | nothing of the acknowledgement is sent | all of it is handed to the kernel |
"""

from __future__ import annotations

import logging
import signal
import threading
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from mastercontrol_worker.link import Link

if TYPE_CHECKING:
    from collections.abc import Callable

    from mastercontrol_worker.context import Context
    from mastercontrol_worker.contract import ResultMessage, StepMessage
    from mastercontrol_worker.execute import Outcome, Run, Runner

logger = logging.getLogger(__name__)

VARIABLE = "MCP_FAILPOINT"
WHEN = ("before", "after")
WORKER = "worker"
OF_THE_WIRE = ("publish", "confirm", "ack")
OF_THE_WORKER = ("execute", *OF_THE_WIRE)


class InvalidFailpoint(ValueError):
    """The variable cannot be read; the text names it and says what to write."""


class Action(Enum):
    """What a process does to itself."""

    KILL = signal.SIGKILL
    STOP = signal.SIGSTOP


def _act(action: Action) -> None:
    # To this thread and not to the process: it is then taken before the call returns, whatever other threads there are.
    signal.pthread_kill(threading.get_ident(), action.value)


@dataclass
class Failpoint:
    """One point of a process, and what happens there at one of its passes (counted from 1). Used by any thread."""

    point: str
    action: Action
    at: int
    act: Callable[[Action], None] = _act
    _passed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reach(self, point: str) -> None:
        """To be called where the process passes a point."""
        if point != self.point:
            return
        with self._lock:
            self._passed += 1
            reached = self._passed == self.at
        if reached:
            logger.warning("failpoint %s reached at pass %d: %s", point, self.at, self.action.name)
            self.act(self.action)


def read_failpoint(text: str, process: str, kinds: tuple[str, ...]) -> Failpoint:
    """Read the value of the variable: POINT=ACTION, or POINT=ACTION@PASS.

    :param process: the first word of this process' points.
    :param kinds: the second words.
    :raises InvalidFailpoint: it cannot be read, or this process has no such point.
    """
    points = [f"{process}.{kind}.{when}" for kind in kinds for when in WHEN]
    point, _, what = text.partition("=")
    word, _, at = what.partition("@")
    if point not in points:
        raise InvalidFailpoint(f"{VARIABLE}: {point[:80]!r} is none of {', '.join(points)}")
    if word.upper() not in Action.__members__ or not (at or "1").isdecimal() or int(at or "1") < 1:
        raise InvalidFailpoint(f"{VARIABLE}: write {point}=kill, {point}=stop, or {point}=kill@3 for the third pass")
    logger.warning("%s is set: this process is going to harm itself, which only tests want", VARIABLE)
    return Failpoint(point, Action[word.upper()], int(at or "1"))


class FailingChannel:
    """A channel of pika with the points of the wire; all else goes through."""

    def __init__(self, channel: Any, failpoint: Failpoint, process: str) -> None:
        self._channel, self._failpoint, self._process = channel, failpoint, process
        self._published = 0
        self._points: set[int] = set()  # the numbers of those publishes whose confirm is a point

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def basic_publish(self, exchange: str, routing_key: str, body: bytes, properties: Any, **how: Any) -> None:
        """Steps and results are mandatory; what is not is a heartbeat or a presence, which may be lost anyway."""
        self._published += 1
        if not how.get("mandatory"):
            self._channel.basic_publish(exchange, routing_key, body, properties, **how)
            return
        self._points.add(self._published)
        self._reach("publish.before")
        self._channel.basic_publish(exchange, routing_key, body, properties, **how)
        self._flush("publish.after")

    def basic_ack(self, delivery_tag: int) -> None:
        """An acknowledgement."""
        self._reach("ack.before")
        self._channel.basic_ack(delivery_tag)
        self._flush("ack.after")

    def confirm_delivery(self, ack_nack_callback: Callable[[Any], None], callback: Callable[..., None]) -> None:
        """The broker's word on publishes: one pass each, also where it is one word on several."""

        def on_word(frame: Any) -> None:
            last = frame.method.delivery_tag
            meant = {n for n in self._points if n == last or (frame.method.multiple and n < last)}
            self._points -= meant
            if meant:
                self._reach("confirm.before")
            ack_nack_callback(frame)
            if meant:
                self._reach("confirm.after")

        self._channel.confirm_delivery(on_word, callback)

    def basic_consume(self, queue: str, on_message_callback: Callable[..., None], **how: Any) -> None:
        """Deliveries are acknowledged on the channel that they are said to come from: this one."""

        def on_message(_channel: Any, *message: Any) -> None:
            on_message_callback(self, *message)

        self._channel.basic_consume(queue, on_message, **how)

    def _reach(self, point: str) -> None:
        self._failpoint.reach(f"{self._process}.{point}")

    def _flush(self, point: str) -> None:
        # Pika only notes what is to be sent, and sends it in a later turn of the event loop: a process that died here
        # would have sent nothing. It has no public way to send at once.
        transport = self._channel.connection._transport  # noqa: SLF001
        left = -1
        while transport is not None and (size := transport.get_write_buffer_size()) not in {0, left}:
            left = size
            transport._on_socket_writable()  # noqa: SLF001
        self._reach(point)


class FailingRunner:
    """See `execute.Runner`: one with the points of `execute`."""

    def __init__(self, runner: Runner, failpoint: Failpoint) -> None:
        self._runner, self._failpoint = runner, failpoint

    def start(self, message: StepMessage, context: Context, seal: Callable[[Outcome], ResultMessage | None]) -> Run:
        """See `Runner.start`."""

        def sealed(outcome: Outcome) -> ResultMessage | None:
            result = seal(outcome)
            self._failpoint.reach(f"{WORKER}.execute.after")
            return result

        self._failpoint.reach(f"{WORKER}.execute.before")
        return self._runner.start(message, context, sealed)

    def close(self) -> None:
        """See `Runner.close`."""
        self._runner.close()


def failing_link(failpoint: Failpoint) -> type[Link]:
    """Links whose channel has the points of the wire."""

    class FailingLink(Link):
        def _open_channel(self, done: Callable[..., None]) -> None:
            super()._open_channel(lambda channel: done(FailingChannel(channel, failpoint, WORKER)))

    return FailingLink
