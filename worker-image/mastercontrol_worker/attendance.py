"""Says that this worker is there, and does what the operator asks of it: to stop consuming, and to begin again.

`cli` runs it beside the worker loop, on the same event loop. A drain is not the end: what the worker holds it
finishes, and it says when it holds nothing more, after the acknowledgements on the same channel. It ends by itself
after the time it was asked for, so that an operator that died leaves no worker idle.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from typing import TYPE_CHECKING, Protocol

from mastercontrol_worker.contract import MalformedMessage
from mastercontrol_worker.presence import PRESENCE_SECONDS, Command, CommandMessage, Doing, PresenceMessage

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class Line(Protocol):
    """The way to the operator and back; `amqp.AmqpTransport` is one."""

    def attend(self, on_open: Callable[[], None], on_command: Callable[[bytes], None]) -> None:
        """Call `on_open` after each connection that consumes or could, and `on_command` for each command."""
        ...

    def announce(self, body: bytes) -> bool:
        """Send a presence, with an address for commands, without waiting. False: it was not sent."""
        ...

    async def stop_consuming(self) -> None:
        """Take no more steps, on this connection and the next. Returns when no more can come."""
        ...

    async def resume_consuming(self) -> None:
        """Take steps again, on this connection and the next."""
        ...


class Attendance:
    """One worker's.

    :param held: how many deliveries the worker has not settled.
    :param ends: whether the worker ends: then it consumes no more, whatever is asked.
    :param jitter: a number from [0, 1): workers that start together do not speak together for ever.
    """

    def __init__(
        self,
        line: Line,
        queue: str,
        worker: str,
        slots: int,
        held: Callable[[], int],
        ends: Callable[[], bool],
        *,
        seconds: float = PRESENCE_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._line, self._queue, self._worker, self._slots, self._held = line, queue, worker, slots, held
        self._ends = ends
        self._seconds, self._jitter = seconds, jitter
        self._drained_until = -math.inf  # loop time
        self._order = ""  # the last command's
        self._doing = Doing.CONSUMING
        self._wake = asyncio.Event()
        line.attend(self._wake.set, self._on_command)

    def settled(self) -> None:
        """The worker settled a delivery, or ends: who waits for it to be idle is told."""
        if self._doing is Doing.DRAINING or self._ends():
            self._wake.set()

    async def run(self) -> None:
        """Speak and obey until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            order = self._order
            await self._obey(draining=self._drained_until > loop.time())
            doing = Doing.ENDING if self._ends() else self._doing
            presence = PresenceMessage(self._queue, self._worker, doing, self._held(), self._slots, order)
            self._line.announce(presence.encode())
            pause = self._seconds * (0.75 + self._jitter() / 4)
            if self._doing is Doing.DRAINING and not self._ends():
                pause = min(pause, max(self._drained_until - loop.time(), 0))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _obey(self, *, draining: bool) -> None:
        if self._ends() or draining == (self._doing is Doing.DRAINING):
            return
        if draining:
            await self._line.stop_consuming()
            self._doing = Doing.DRAINING
            logger.info("the operator asks for no more steps here: finishing %d", self._held())
        else:
            self._doing = Doing.CONSUMING
            await self._line.resume_consuming()
            logger.info("taking steps again")

    def _on_command(self, body: bytes) -> None:
        try:
            message = CommandMessage.decode(body)
        except MalformedMessage as reason:
            logger.warning("passed over a command that is none: %s", reason)
            return
        now = asyncio.get_running_loop().time()
        self._order = message.order
        self._drained_until = now + message.seconds if message.command is Command.DRAIN else -math.inf
        self._wake.set()
