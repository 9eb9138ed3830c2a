"""What the worker loop needs of a message broker. `amqp` implements it with pika; tests bring their own.

All of it is called on one event loop, and calls back on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class NotConfirmed(Exception):
    """The broker did not confirm a result: it may have it or not. To be published again, under the same id."""


class Delivery(Protocol):
    """One step message, held until `ack`, `give_back` or `refuse`.

    The three are no-ops once the connection that delivered it is gone: the broker then hands it out again by itself.
    """

    @property
    def message_id(self) -> str | None: ...  # noqa: D102  as in AMQP
    @property
    def body(self) -> bytes: ...  # noqa: D102  as in AMQP
    @property
    def headers(self) -> Mapping[str, Any]: ...  # noqa: D102  as in AMQP
    @property
    def redelivered(self) -> bool:
        """It was handed out before, to this worker or another."""
        ...

    @property
    def lost(self) -> bool:
        """Its connection is gone: the broker hands it out again."""
        ...

    def ack(self) -> None:
        """The step is answered."""
        ...

    def give_back(self) -> None:
        """Back to the queue, for any worker."""
        ...

    def refuse(self) -> None:
        """No worker can do anything with it: to the dead letters."""
        ...


class Transport(Protocol):
    """A queue of steps and a way for results, connected or on its way to be."""

    def start(self, on_delivery: Callable[[Delivery], None]) -> None:
        """Connect and consume, again and again, until `close`. Returns at once."""
        ...

    async def publish(self, message_id: str, step: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Publish a result, as soon as there is a connection; returns when the broker has confirmed it.

        :raises NotConfirmed: no confirm; the caller tries again.
        """
        ...

    def beat(self, message_id: str, step: str, body: bytes, headers: Mapping[str, str]) -> bool:
        """Send a heartbeat, if there is a connection that takes it now: without waiting, without a confirm.

        False: it was not sent.
        """
        ...

    async def stop_consuming(self) -> None:
        """Take no more steps, on this connection and the next. Returns when no more can come."""
        ...

    async def close(self) -> None:
        """End the connection. What is neither acknowledged nor given back goes back to the queue."""
        ...
