"""For tests of handlers and of the runtime: step messages by hand, and a transport without a broker.

`await Executor(PythonRunner(registry)).run(step_message("name", {...}))` does one step as a worker does it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mastercontrol_worker.context import Context
from mastercontrol_worker.contract import JSON, JobRef, ResultMessage, StepMessage, dispatch_id
from mastercontrol_worker.heartbeat import HeartbeatMessage, encode_progress
from mastercontrol_worker.transport import NotConfirmed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mastercontrol_worker.transport import Delivery

WAIT_SECONDS = 10.0


def step_message(
    step: str,
    input: JSON = None,  # noqa: A002  the contract's word
    *,
    seq: int = 1,
    attempt: int = 1,
    deadline: str | None = None,
    uid: str = "6f1c",
    heartbeat_seconds: int | None = None,
) -> StepMessage:
    """A step of the Job `default/job-1`."""
    job = JobRef("default", "job-1", uid)
    id_ = dispatch_id(uid, seq, attempt)
    return StepMessage(id_, job, step, attempt, input, deadline, heartbeat_seconds=heartbeat_seconds)


def step_context(step: str = "step", *, progress: list[JSON] | None = None) -> Context:
    """A Context to call a handler with by hand; what it reports by `heartbeat` is added to `progress`."""
    message = step_message(step, heartbeat_seconds=60)
    reported = [] if progress is None else progress

    def beat(said: JSON) -> None:
        encode_progress(said)
        reported.append(said)

    return Context(message.job, step, 1, message.id, heartbeat_seconds=message.heartbeat_seconds, _beat=beat)


class FakeDelivery:
    """See `transport.Delivery`; `settled` tells what became of it: None, "ack", "give_back" or "refuse"."""

    def __init__(self, events: list[str], message_id: str | None, body: bytes, headers: Mapping[str, Any]) -> None:
        self._events = events
        self.message_id, self.body, self.headers = message_id, body, headers
        self.redelivered = False
        self.lost = False
        self.settled: str | None = None

    def ack(self) -> None:
        """As the protocol says."""
        self._settle("ack")

    def give_back(self) -> None:
        """As the protocol says."""
        self._settle("give_back")

    def refuse(self) -> None:
        """As the protocol says."""
        self._settle("refuse")

    def _settle(self, how: str) -> None:
        if self.lost:
            return
        if self.settled is not None:
            raise AssertionError(f"{self.message_id}: {how} after {self.settled}")
        self.settled = how
        self._events.append(f"{how} {self.message_id}")


class FakeTransport:
    """See `transport.Transport`. The test delivers, holds confirms back and reads what happened in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        """`publish ID` (sent), `confirm ID`, `ack ID`, `give_back ID`, `refuse ID`, `stop_consuming`, `close`."""

        self.results: list[ResultMessage] = []
        """The confirmed ones."""

        self.heartbeats: list[HeartbeatMessage] = []
        """Those that were sent."""

        self.away = False
        """True: no heartbeat can be sent."""

        self.confirming = asyncio.Event()
        """Cleared: confirms are held back."""

        self.problems: list[str] = []
        """Each is the reason why one more publish is not confirmed."""

        self.confirming.set()
        self._on_delivery: Callable[[Delivery], None] | None = None

    def start(self, on_delivery: Callable[[Delivery], None]) -> None:
        """As the protocol says."""
        self._on_delivery = on_delivery

    async def publish(self, message_id: str, step: str, body: bytes, headers: Mapping[str, str]) -> None:
        """As the protocol says."""
        del step, headers
        self._note(f"publish {message_id}")
        await self.confirming.wait()
        if self.problems:
            raise NotConfirmed(self.problems.pop(0))
        self.results.append(ResultMessage.decode(message_id, body))
        self._note(f"confirm {message_id}")

    def beat(self, message_id: str, step: str, body: bytes, headers: Mapping[str, str]) -> bool:
        """As the protocol says."""
        del step, headers
        if not self.away:
            self.heartbeats.append(HeartbeatMessage.decode(message_id, body))
        return not self.away

    async def stop_consuming(self) -> None:
        """As the protocol says."""
        self._note("stop_consuming")

    async def close(self) -> None:
        """As the protocol says."""
        self._note("close")

    def deliver(self, message: StepMessage) -> FakeDelivery:
        """Hand out a step."""
        return self.deliver_raw(message.id, message.encode(), message.headers)

    def deliver_raw(
        self, message_id: str | None, body: bytes, headers: Mapping[str, Any] | None = None
    ) -> FakeDelivery:
        """Hand out anything."""
        if self._on_delivery is None:
            raise AssertionError("the worker has not started")
        delivery = FakeDelivery(self.events, message_id, body, headers or {})
        self._on_delivery(delivery)
        return delivery

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so.

        :raises TimeoutError: it is not so within WAIT_SECONDS.
        """
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():  # noqa: ASYNC110  any condition, no event to wait for
                await asyncio.sleep(0.002)

    def _note(self, event: str) -> None:
        self.events.append(event)
