"""What `memory.broker` hands out: results to the operator, steps to workers, and a worker's subscription."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mastercontrol.memory.queues import Consumer, Held, Queue


class ResultDelivery:
    """`engine.ports.Delivery` of one message of the results queue."""

    __slots__ = ("_held", "body", "epoch", "headers", "message_id")

    def __init__(self, held: Held, epoch: str) -> None:
        self.message_id = held.message.message_id
        self.body = held.message.body
        self.headers: dict[str, Any] = dict(held.message.headers)
        self.epoch = epoch
        self._held = held

    def ack(self) -> None:
        """Done with it."""
        self._held.ack()

    def reject(self) -> None:
        """Refuse it for good: it goes to the dead letters."""
        self._held.reject()


class StepDelivery:
    """One step in the hands of a worker. `returns` says how often it was handed out before without an answer."""

    __slots__ = ("_held", "body", "headers", "message_id", "returns", "type")

    def __init__(self, held: Held) -> None:
        self.message_id = held.message.message_id or ""
        self.type = held.message.type
        self.body = held.message.body
        self.headers: dict[str, Any] = dict(held.message.headers)
        self.returns = held.message.returns
        self._held = held

    def ack(self) -> None:
        """The result is sent."""
        self._held.ack()

    def requeue(self) -> None:
        """Give it back for another worker."""
        self._held.requeue()

    def reject(self) -> None:
        """Refuse it for good."""
        self._held.reject()


class WorkerConsumer:
    """The subscription of one worker. Like a worker that reconnects, it outlives a restart and a wipe of the broker."""

    def __init__(self, prefetch: int, on_step: Callable[[StepDelivery], None]) -> None:
        self._prefetch = prefetch
        self._on_step = on_step
        self._consumer: Consumer | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """It gets no more, and holds nothing."""
        return self._ended and (self._consumer is None or not self._consumer.held)

    def attach(self, queue: Queue) -> None:
        """Consume from this queue (for the broker)."""
        if not self._ended and self._consumer is None:
            self._consumer = queue.consume(self._prefetch, lambda held: self._on_step(StepDelivery(held)))

    def detach(self) -> None:
        """The connection is gone (for the broker)."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def cancel(self) -> None:
        """Get no more steps; those in hand may still be settled. That is how a worker drains."""
        self._ended = True
        if self._consumer is not None:
            self._consumer.cancel()

    def close(self) -> None:
        """The worker is gone: what it held goes back."""
        self._ended = True
        self.detach()
