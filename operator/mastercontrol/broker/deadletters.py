"""Looks at the dead letters of a pool, and takes out some, over a channel of its own.

AMQP can't look without taking: each message is got without an acknowledgement, and those that are to stay are returned
together. A quorum queue counts returns and drops what is returned too often (20 times, unless a policy says otherwise).
So nothing is got from a queue before the broker says that the limit of `topology.dead_policy` is in force there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from pika import spec

from mastercontrol.broker.declaring import inspect
from mastercontrol.broker.management import Management, ManagementError
from mastercontrol.broker.pools import Pool, Pools
from mastercontrol.broker.session import Channel, ChannelClosed, Session
from mastercontrol.broker.settings import BrokerSettings
from mastercontrol.broker.topology import (
    DEAD_DELIVERY_LIMIT,
    DEAD_LETTERS_KEPT,
    UNLIMITED_SINCE,
    dead_pool_queue,
)
from mastercontrol.engine.ports import BrokerUnavailable
from mastercontrol.pools.deadletters.ports import DeadMessage, VisitDead

VISIT_SECONDS: Final = 60.0
"""For all of one visit: a thousand letters of the largest size over a slow network."""
OWN_SECONDS: Final = 15.0
"""So long the broker's counters may still show what was in hand in the last visit; they are some seconds old."""
RETURN_SECONDS: Final = 5.0
"""Until the broker counts what was returned as ready again; it takes some milliseconds."""
RETURN_PAUSE_SECONDS: Final = 0.02

_Got = tuple[spec.Basic.GetOk, spec.BasicProperties, bytes]


class DeadLetters:
    """Counts and visits over the session that `current` gives (None: not connected)."""

    def __init__(
        self, management: Management, pools: Pools, settings: BrokerSettings, current: Callable[[], Session | None]
    ) -> None:
        self._management = management
        self._pools = pools
        self._settings = settings
        self._current = current
        self._visited: dict[Pool, tuple[Session, float]] = {}

    async def count(self, pool: Pool) -> int | None:
        """How many there are; None: not known, or being looked at just now."""
        session, queue = self._current(), dead_pool_queue(*pool)
        if session is None or pool in self._pools.reading:
            return None
        try:
            async with asyncio.timeout(self._settings.management_timeout_seconds):
                found = (await inspect(session, (queue,))).get(queue)
        except (TimeoutError, ChannelClosed):
            return None
        return None if found is None or pool in self._pools.reading else found.ready

    async def visit(self, pool: Pool, visit: VisitDead) -> None:
        """Show each letter; see `pools.deadletters.ports.DeadLetterBroker`."""
        session, queue = self._current(), dead_pool_queue(*pool)
        if session is None:
            raise BrokerUnavailable("not connected")
        if pool in self._pools.reading:
            raise BrokerUnavailable(f"{queue} is being looked at")
        self._pools.reading.add(pool)
        try:
            async with asyncio.timeout(VISIT_SECONDS):
                await self._require_limit(session, queue)
                await self._require_rest(session, pool)
                async with session.scratch() as channel:
                    left = await _go_through(channel, queue, visit)
                await _returned(session, queue, left)
            self._visited[pool] = (session, time.monotonic())
        except TimeoutError:
            raise BrokerUnavailable(f"{queue} could not be looked at in {VISIT_SECONDS:g} s") from None
        finally:
            self._pools.reading.discard(pool)

    async def _require_limit(self, session: Session, queue: str) -> None:
        if session.version < UNLIMITED_SINCE:
            return  # no limit unless there is a policy
        await self._pools.ensure_dead_policy()
        try:
            limit = await self._management.delivery_limit(queue)
        except ManagementError as error:
            raise BrokerUnavailable(f"the delivery limit of {queue} is not known: {error}") from error
        if limit is None or limit < DEAD_DELIVERY_LIMIT:
            raise BrokerUnavailable(
                f"the delivery limit of {queue} is {'not known' if limit is None else limit}, not "
                f"{DEAD_DELIVERY_LIMIT}: to look at its messages would lose them. Its policy was written just now, or "
                "another policy comes before it, or RabbitMQ keeps no statistics"
            )

    async def _require_rest(self, session: Session, pool: Pool) -> None:
        """Nobody else has some of its messages in hand: they would seem to be gone."""
        queue, (last, ended) = dead_pool_queue(*pool), self._visited.get(pool, (None, 0.0))
        if last is session and time.monotonic() - ended < OWN_SECONDS:
            return  # it was so then, and what the broker says may be of that visit
        try:
            held = (await self._management.totals(queue)).unacknowledged
        except ManagementError as error:
            raise BrokerUnavailable(f"it is not known whether anybody looks at {queue}: {error}") from error
        if held:
            raise BrokerUnavailable(f"{held} messages of {queue} are in hand elsewhere: did an operator just die?")


async def _go_through(channel: Channel, queue: str, visit: VisitDead) -> int:
    """Show each message, take out what is to go, and return the rest; how many that are."""
    kept, last_kept = 0, 0
    messages = _Messages(channel, queue)
    for _ in range(DEAD_LETTERS_KEPT):
        got = await messages.get()
        if got is None:
            break
        method, properties, body = got
        if visit(DeadMessage(properties.message_id, body, properties.headers or {})):
            channel.raw.basic_ack(method.delivery_tag)
        else:
            kept, last_kept = kept + 1, method.delivery_tag
    if kept:
        channel.raw.basic_nack(last_kept, multiple=True, requeue=True)
    # A round trip: all of that has arrived.
    await channel.call(channel.raw.queue_declare, queue=queue, passive=True)
    return kept


class _Messages:
    """Gets the messages of a queue one by one."""

    def __init__(self, channel: Channel, queue: str) -> None:
        self._channel = channel
        self._queue = queue
        self._answer: asyncio.Future[_Got | None] = asyncio.get_running_loop().create_future()
        channel.raw.add_callback(lambda _: self._found(None), [spec.Basic.GetEmpty], one_shot=False)

    async def get(self) -> _Got | None:
        """The next one, unacknowledged; None when there is none.

        :raises ChannelClosed: the queue is gone, or the connection is lost.
        """
        self._answer = asyncio.get_running_loop().create_future()
        self._channel.require_open()
        self._channel.raw.basic_get(
            self._queue, lambda _, method, properties, body: self._found((method, properties, body))
        )
        got: _Got | None = await self._channel.answered(self._answer)
        return got

    def _found(self, got: _Got | None) -> None:
        if not self._answer.done():
            self._answer.set_result(got)


async def _returned(session: Session, queue: str, count: int) -> None:
    """Wait until what was returned is ready again: a count before that would be too low, and a visit miss some."""
    try:
        async with asyncio.timeout(RETURN_SECONDS):
            while True:
                found = (await inspect(session, (queue,))).get(queue)
                if found is None or found.ready >= count:
                    return
                await asyncio.sleep(RETURN_PAUSE_SECONDS)
    except TimeoutError:
        return  # somebody took some out meanwhile
