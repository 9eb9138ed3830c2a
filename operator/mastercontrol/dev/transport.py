"""The in-memory broker as the worker runtime sees it: `mastercontrol_worker.transport.Transport`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mastercontrol.engine.ports import BrokerUnavailable
from mastercontrol.memory.broker import MemoryBroker
from mastercontrol.memory.deliveries import StepDelivery, WorkerConsumer
from mastercontrol_worker.transport import Delivery, NotConfirmed


class MemoryDelivery:
    """One step in the hands of a worker."""

    def __init__(self, step: StepDelivery) -> None:
        self._step = step
        self.message_id = step.message_id
        self.body = step.body
        self.headers: Mapping[str, Any] = step.headers
        self.redelivered = step.returns > 0
        self.lost = False

    def ack(self) -> None:
        """See `Delivery.ack`."""
        self._step.ack()

    def give_back(self) -> None:
        """See `Delivery.give_back`."""
        self._step.requeue()

    def refuse(self) -> None:
        """See `Delivery.refuse`."""
        self._step.reject()


class MemoryTransport:
    """A pool's queue and the way back, in this process."""

    def __init__(self, broker: MemoryBroker, namespace: str, pool: str, prefetch: int) -> None:
        self._broker = broker
        self._pool = (namespace, pool)
        self._prefetch = prefetch
        self._consumer: WorkerConsumer | None = None

    def start(self, on_delivery: Callable[[Delivery], None]) -> None:
        """See `Transport.start`."""
        self._consumer = self._broker.consume(
            *self._pool, self._prefetch, lambda step: on_delivery(MemoryDelivery(step))
        )

    async def publish(self, message_id: str, step: str, body: bytes, headers: Mapping[str, str]) -> None:
        """See `Transport.publish`."""
        try:
            await self._broker.publish_result(message_id, body, {**headers, "type": step})
        except BrokerUnavailable as error:
            raise NotConfirmed(str(error)) from error

    def beat(self, message_id: str, step: str, body: bytes, headers: Mapping[str, str]) -> bool:
        """See `Transport.beat`."""
        del step, headers
        return self._broker.publish_heartbeat(message_id, body)

    async def stop_consuming(self) -> None:
        """See `Transport.stop_consuming`."""
        if self._consumer is not None:
            self._consumer.cancel()

    async def close(self) -> None:
        """See `Transport.close`."""
        if self._consumer is not None:
            self._consumer.close()
