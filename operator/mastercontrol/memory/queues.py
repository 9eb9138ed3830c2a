"""A queue in memory with what the engine relies on of a quorum queue. `memory.broker` makes and wires them.

Messages are handed out in order (see `Waiting`), in turn to consumers that have room. What is held and not settled
comes back in front, in its old order, when it is returned or its consumer goes. A message that was returned more often
than the limit dies. All runs on one event loop; handing out happens in a later turn of it, never inside the call that
caused it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

log = logging.getLogger(__name__)

HIGH_FOR_EACH_NORMAL: Final = 2


@dataclass(slots=True)
class Message:
    """One message. `returns` counts how often it was handed out without being settled.

    `high`: it is handed out ahead of others, as a quorum queue does it with the higher of its two priorities.
    """

    message_id: str | None
    body: bytes
    type: str = ""
    headers: dict[str, Any] = field(default_factory=dict)
    returns: int = 0
    high: bool = False


class Waiting:
    """The messages that wait, in the order in which a quorum queue hands them out.

    What came back is first, whatever its priority. Then two of high priority for each normal one, as long as there
    are both; every message that is handed out counts for that, as in RabbitMQ.
    """

    def __init__(self) -> None:
        self._returned: deque[tuple[int, Message]] = deque()
        self._high: deque[tuple[int, Message]] = deque()
        self._normal: deque[tuple[int, Message]] = deque()
        self._taken = 0

    def __len__(self) -> int:
        return len(self._returned) + len(self._high) + len(self._normal)

    def messages(self) -> list[Message]:
        """All of them, in no order that means anything."""
        return [message for lane in (self._returned, self._high, self._normal) for _, message in lane]

    def clear(self) -> None:
        """Drop all of them."""
        for lane in (self._returned, self._high, self._normal):
            lane.clear()

    def put(self, number: int, message: Message) -> None:
        """Append a new one."""
        (self._high if message.high else self._normal).append((number, message))

    def put_back(self, number: int, message: Message) -> None:
        """Put one that came back before all others."""
        self._returned.appendleft((number, message))

    def take(self) -> tuple[int, Message]:
        """Take the next one out; there must be one."""
        if self._returned:
            return self._returned.popleft()
        normal_next = self._taken == HIGH_FOR_EACH_NORMAL
        self._taken = 0 if normal_next else self._taken + 1
        lane = self._normal if self._normal and (normal_next or not self._high) else self._high
        return lane.popleft()


class Held:
    """One message in the hands of a consumer. Only the first answer counts, and none after the connection went."""

    __slots__ = ("_consumer", "_number", "message")

    def __init__(self, consumer: Consumer, number: int, message: Message) -> None:
        self._consumer = consumer
        self._number = number
        self.message = message

    def ack(self) -> None:
        """It is done."""
        self._consumer.settle(self._number)

    def requeue(self) -> None:
        """Give it back: it goes to the front, and counts against the limit."""
        if message := self._consumer.settle(self._number):
            self._consumer.queue.take_back([(self._number, message)])

    def reject(self) -> None:
        """Refuse it for good."""
        if message := self._consumer.settle(self._number):
            self._consumer.queue.on_dead(message, "rejected")


class Consumer:
    """One subscription. `take` is called for each message, at most `prefetch` of them held at once."""

    def __init__(self, queue: Queue, prefetch: int, take: Callable[[Held], None]) -> None:
        self.queue = queue
        self.active = True
        self._prefetch = prefetch
        self._take = take
        self._held: dict[int, Message] = {}

    @property
    def held(self) -> int:
        """Messages in its hands."""
        return len(self._held)

    @property
    def has_room(self) -> bool:
        """May it get one more?"""
        return self.active and self.held < self._prefetch

    def give(self, number: int, message: Message) -> None:
        """Hand one message out."""
        self._held[number] = message
        try:
            self._take(Held(self, number, message))
        except Exception:
            log.exception("a message (%s) could not be taken in; it stays in the queue", message.message_id)

    def settle(self, number: int) -> Message | None:
        """Take one out of its hands; None when it does not hold it any more."""
        message = self._held.pop(number, None)
        if message is not None:
            self.queue.changed()
        return message

    def cancel(self) -> None:
        """Get no more; what it holds it may still settle."""
        self.active = False
        self.queue.changed()

    def close(self) -> None:
        """The connection is gone: no more, and what it held goes back."""
        self.active = False
        held, self._held = self._held, {}
        self.queue.remove(self)
        self.queue.take_back(list(held.items()))


class Queue:
    """Messages in order, and who gets them.

    :param limit: returns of one message before it dies; None for no limit.
    :param on_dead: called with each message that died and the reason, as RabbitMQ names it.
    :param on_change: called after each change, in a later turn of the loop.
    """

    def __init__(
        self, limit: int | None, on_dead: Callable[[Message, str], None], on_change: Callable[[], None] | None = None
    ) -> None:
        self.limit = limit
        self.on_dead = on_dead
        self._on_change = on_change
        self._ready = Waiting()
        self._consumers: list[Consumer] = []
        self._next = 1
        self._scheduled = False

    @property
    def ready(self) -> int:
        """Messages that wait."""
        return len(self._ready)

    @property
    def unacknowledged(self) -> int:
        """Messages in the hands of consumers."""
        return sum(consumer.held for consumer in self._consumers)

    @property
    def consumers(self) -> int:
        """Subscriptions that may get more."""
        return sum(consumer.active for consumer in self._consumers)

    def put(self, message: Message) -> None:
        """Append one message."""
        self._ready.put(self._next, message)
        self._next += 1
        self.changed()

    def consume(self, prefetch: int, take: Callable[[Held], None]) -> Consumer:
        """Subscribe."""
        consumer = Consumer(self, prefetch, take)
        self._consumers.append(consumer)
        self.changed()
        return consumer

    def remove(self, consumer: Consumer) -> None:
        """End a subscription. Absent is success."""
        if consumer in self._consumers:
            self._consumers.remove(consumer)
        self.changed()

    def take_back(self, messages: list[tuple[int, Message]]) -> None:
        """Put messages back in front, in their old order; those over the limit die."""
        for number, message in sorted(messages, key=lambda pair: pair[0], reverse=True):
            message.returns += 1
            if self.limit is not None and message.returns > self.limit:
                self.on_dead(message, "delivery_limit")
            else:
                self._ready.put_back(number, message)
        self.changed()

    def changed(self) -> None:
        """Hand out what can be handed out, soon."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._hand_out)

    def _hand_out(self) -> None:
        self._scheduled = False
        while self._ready and (consumer := self._next_consumer()):
            consumer.give(*self._ready.take())
        if self._on_change is not None:
            self._on_change()

    def _next_consumer(self) -> Consumer | None:
        """The first with room; it goes to the end of the line."""
        for consumer in self._consumers:
            if consumer.has_room:
                self._consumers.remove(consumer)
                self._consumers.append(consumer)
                return consumer
        return None
