"""RabbitMQ as `engine.ports.Broker`, over one connection that is made again whenever it ends.

The operator makes one `RabbitBroker`, on its own event loop, and calls nothing here from another thread. Each
connection goes through the same steps before anything else may use it: exchanges and queues (of all known pools),
publishing channel, epoch; then `on_connected`, then results are consumed. Users and policies that were asked for
before are written again right after `on_connected`, since the HTTP API may be slower than AMQP.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

import pika

from mastercontrol.broker import commands, metrics
from mastercontrol.broker.confirms import Outcome
from mastercontrol.broker.consumer import ResultConsumer
from mastercontrol.broker.deadletters import DeadLetters
from mastercontrol.broker.declaring import declare
from mastercontrol.broker.depths import Depths
from mastercontrol.broker.epoch import EpochQueues, agree
from mastercontrol.broker.heartbeats import HeartbeatConsumer, OnPresence
from mastercontrol.broker.management import Management, ManagementError
from mastercontrol.broker.pools import Pool, Pools
from mastercontrol.broker.publisher import Publisher
from mastercontrol.broker.session import ChannelClosed, MakeSession, Session, connect
from mastercontrol.broker.settings import BrokerSettings
from mastercontrol.broker.topology import SUPPORTED_SINCE, PoolLimits, base
from mastercontrol.broker.workers import BrokerAddress
from mastercontrol.engine.ports import (
    BrokerForbidden,
    BrokerUnavailable,
    Depth,
    EpochStore,
    OnConnected,
    OnDelivery,
    OnHeartbeat,
    TopologyConflict,
    Unroutable,
)
from mastercontrol.pools.deadletters.ports import VisitDead
from mastercontrol_worker.contract import StepMessage, pool_queue, pool_routing_key

log = logging.getLogger(__name__)

ACCESS_REFUSED: Final = 403

OnLost = Callable[[str], None]
"""Called on the event loop when a connection ended that `on_connected` was called for, with the reason."""


@dataclass(frozen=True, slots=True)
class _Link:
    """One connection that is ready for use."""

    session: Session
    publisher: Publisher
    epoch: str


class RabbitBroker:
    """`engine.ports.Broker` on RabbitMQ. `start` it, `close` it, once each.

    :param url: `amqp[s]://user:password@host:port/vhost` of a user that administers the vhost.
    :param management_url: `http[s]://host:port` of its HTTP API; user and password as in `url` unless it has its own.
    :param session: makes the session of a connection.
    :param new_epoch: makes the id of a new epoch.
    :param jitter: a number between the two given, to spread reconnects.
    """

    def __init__(
        self,
        url: str,
        management_url: str,
        epochs: EpochStore,
        *,
        on_delivery: OnDelivery,
        on_connected: OnConnected,
        on_lost: OnLost | None = None,
        on_heartbeat: OnHeartbeat | None = None,
        on_presence: OnPresence | None = None,
        settings: BrokerSettings | None = None,
        session: MakeSession = Session,
        new_epoch: Callable[[], str] = lambda: secrets.token_hex(4),
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._settings = settings or BrokerSettings()
        self._parameters = _parameters(url, self._settings)
        self._epochs = epochs
        self._on_delivery, self._on_connected, self._on_lost = on_delivery, on_connected, on_lost
        self._on_heartbeat = on_heartbeat or _unheard
        self._on_presence = on_presence or _unseen
        self._make_session, self._new_epoch, self._jitter = session, new_epoch, jitter
        address = BrokerAddress.parse(url)
        self._management = _management(management_url, address, self._settings)
        self._pools = Pools(address, self._management)
        self._depths = Depths(self._management, self._settings, self._session)
        self._dead = DeadLetters(self._management, self._pools, self._settings, self._session)
        self._link: _Link | None = None
        self._consumer: ResultConsumer | None = None
        self._heartbeats: HeartbeatConsumer | None = None
        self._running: asyncio.Task[None] | None = None
        self._closing = False
        self._attempts = 0

    async def start(self) -> None:
        """Begin to connect, and go on until `close`. Returns at once."""
        self._management.open()
        self._running = asyncio.create_task(self._run(), name="broker connection")

    async def close(self) -> None:
        """Wait a little for outstanding confirms, then end the connection. Unacknowledged results go back."""
        self._closing = True
        if self._consumer is not None:
            self._consumer.stop()
        if self._link is not None:
            await self._link.publisher.drain(self._settings.drain_seconds)
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
            self._running = None
        await self._management.close()

    @property
    def epoch(self) -> str | None:
        """The epoch of the broker's data; None while there is no connection."""
        return self._link.epoch if self._link else None

    @property
    def blocked(self) -> bool:
        """Is there an alarm of the broker (memory, disk), so that it takes no publishes?"""
        return self._link is not None and not self._link.session.unblocked.is_set()

    @property
    def conflicts(self) -> dict[str, str]:
        """Queues, exchanges and bindings that exist with other arguments than declared, with the broker's words."""
        return dict(self._pools.conflicts)

    async def publish(self, namespace: str, pool: str, message: StepMessage, *, high: bool = False) -> None:
        """See `engine.ports.Broker`."""
        limit = self._settings.publish_timeout_seconds
        try:
            link = self._ready()
            async with asyncio.timeout(limit):
                outcome = await self._publish(link, (namespace, pool), message, high=high)
        except TimeoutError:
            metrics.PUBLISHES.labels("timeout").inc()
            alarm = ", the broker has an alarm" if self.blocked else ""
            raise BrokerUnavailable(f"no confirm in {limit:g} s{alarm}") from None
        except ChannelClosed:
            metrics.PUBLISHES.labels("lost").inc()
            raise
        match outcome:
            case Outcome.CONFIRMED:
                metrics.PUBLISHES.labels("confirmed").inc()
            case Outcome.REFUSED:
                metrics.PUBLISHES.labels("refused").inc()
                raise BrokerUnavailable("the broker refused the message: is the queue full?")
            case Outcome.RETURNED:
                metrics.PUBLISHES.labels("unroutable").inc()
                raise Unroutable(f"there is no queue for pool {namespace}/{pool}")

    async def declare_pool(
        self, namespace: str, pool: str, delivery_limit: int, consumer_timeout_seconds: int | None = None
    ) -> None:
        """See `engine.ports.Broker`."""
        one = (namespace, pool)
        self._pools.remember(one, PoolLimits(delivery_limit, consumer_timeout_seconds))
        link = self._ready()
        limit = self._settings.setup_timeout_seconds
        try:
            async with asyncio.timeout(limit):
                conflicts = await self._pools.declare(link.session, one)
                await self._pools.ensure_policy(one, link.session)
        except TimeoutError:
            raise BrokerUnavailable(f"the queues of pool {namespace}/{pool} were not declared in {limit:g} s") from None
        if conflicts:
            raise TopologyConflict("; ".join(f"{conflict.name}: {conflict.text}" for conflict in conflicts))

    async def forget_pool(self, namespace: str, pool: str) -> None:
        """See `engine.ports.Broker`. The removal goes on in the background while workers still hold the queue."""
        self._pools.forget((namespace, pool))

    async def depth(self, namespace: str, pool: str) -> Depth:
        """See `engine.ports.Broker`."""
        return await self._depths.one((namespace, pool))

    async def depths(self) -> dict[Pool, Depth] | None:
        """The depths of all declared pools in one go; those that are not known are left out, None: none is known."""
        return await self._depths.all(tuple(self._pools.limits))

    async def held(self, namespace: str, pool: str) -> dict[str, int] | None:
        """See `pools.ports.WorkerLine`."""
        try:
            return await self._management.held(pool_queue(namespace, pool))
        except ManagementError as error:
            metrics.MANAGEMENT_FAILURES.labels("consumers").inc()
            log.warning("it is not known what the workers of %s/%s hold: %s", namespace, pool, error)
            return None

    async def count_dead(self, namespace: str, pool: str) -> int | None:
        """See `pools.deadletters.ports.DeadLetterBroker`."""
        return await self._dead.count((namespace, pool))

    async def visit_dead(self, namespace: str, pool: str, visit: VisitDead) -> None:
        """See `pools.deadletters.ports.DeadLetterBroker`."""
        await self._dead.visit((namespace, pool), visit)

    async def heard_all(self) -> bool:
        """See `engine.ports.Broker`."""
        if self._link is None or self._heartbeats is None:
            return False
        return await self._heartbeats.heard_all(self._settings.echo_seconds)

    async def tell(self, letters: Sequence[tuple[str, bytes]]) -> None:
        """See `pools.ports.WorkerLine`."""
        if not letters:
            return
        if self._link is None:
            raise BrokerUnavailable("not connected")
        if self.blocked:
            raise BrokerUnavailable("the broker has an alarm")
        try:
            async with asyncio.timeout(self._settings.management_timeout_seconds):
                await commands.tell(self._link.session, letters)
        except TimeoutError:
            raise BrokerUnavailable("no answer in time") from None
        except ChannelClosed as error:
            if error.code == ACCESS_REFUSED:
                raise BrokerForbidden(str(error)) from error
            raise

    async def worker_url(self, namespace: str, pool: str) -> str:
        """See `engine.ports.Broker`. The same URL each time, as long as the operator's password stays."""
        return await self._pools.ensure_worker((namespace, pool))

    async def _publish(self, link: _Link, pool: Pool, message: StepMessage, *, high: bool) -> Outcome:
        key = pool_routing_key(*pool)
        outcome = await link.publisher.publish(key, message, high=high)
        if outcome is Outcome.RETURNED and pool in self._pools.limits:
            log.warning("the queue of pool %s/%s is gone; declaring it again", *pool)
            await self._pools.declare(link.session, pool)
            outcome = await link.publisher.publish(key, message, high=high)
        return outcome

    def _session(self) -> Session | None:
        return self._link.session if self._link else None

    def _ready(self) -> _Link:
        if self._link is None or self._closing:
            metrics.PUBLISHES.labels("disconnected").inc()
            raise BrokerUnavailable("not connected")
        return self._link

    async def _run(self) -> None:
        while True:
            try:
                limit = self._settings.connect_timeout_seconds
                session = await connect(self._parameters, limit, self._make_session)
                try:
                    await self._serve(session)
                finally:
                    await session.close(limit)
            except Exception as error:  # noqa: BLE001 - whatever it was, the operator needs a broker
                metrics.CONNECTIONS.labels("failed").inc()
                log.warning("no connection to the broker: %s", str(error) or repr(error))
            await asyncio.sleep(self._backoff())

    def _backoff(self) -> float:
        """Seconds until the next attempt: between half and all of a bound that doubles."""
        longest = min(
            self._settings.reconnect_max_seconds, self._settings.reconnect_min_seconds * 2 ** min(self._attempts, 30)
        )
        self._attempts += 1
        return self._jitter(longest / 2, longest)

    async def _serve(self, session: Session) -> None:
        """Set one connection up and stay until it ends.

        :raises Exception: it could not be set up.
        """
        async with asyncio.timeout(self._settings.setup_timeout_seconds):
            link = await self._set_up(session)
        self._link, self._attempts = link, 0
        metrics.CONNECTIONS.labels("ready").inc()
        metrics.CONNECTED.set(1)
        upkeep = asyncio.create_task(self._pools.upkeep(session), name="broker upkeep")
        reason = "the operator closes it"
        try:
            self._tell(self._on_connected, link.epoch)
            reason = await self._consume(link)
        finally:
            self._link = None
            metrics.CONNECTED.set(0)
            upkeep.cancel()
            await asyncio.wait((upkeep,))
            if self._on_lost is not None:
                self._tell(self._on_lost, reason)
        log.warning("the connection to the broker ended: %s", reason)

    async def _set_up(self, session: Session) -> _Link:
        if session.version < SUPPORTED_SINCE:
            log.warning(
                "RabbitMQ %d.%d is older than %d.%d, which is the oldest supported", *session.version, *SUPPORTED_SINCE
            )
        self._pools.begin()
        self._pools.note(await declare(session, base(session.version)))
        publisher = await Publisher.open(session)
        declared: set[Pool] = set()
        await self._declare_missing(session, declared)
        epoch = await agree(self._epochs, EpochQueues(session), self._new_epoch)
        await self._declare_missing(session, declared)  # those that came in the meantime
        return _Link(session, publisher, epoch)

    async def _declare_missing(self, session: Session, declared: set[Pool]) -> None:
        while missing := self._pools.limits.keys() - declared:
            for pool in sorted(missing):
                await self._pools.declare(session, pool)
            declared |= missing

    async def _consume(self, link: _Link) -> str:
        """Hand results out until something of this connection ends; the reason."""
        try:
            heartbeats = await HeartbeatConsumer.start(link.session, self._on_heartbeat, self._on_presence)
            consumer = await ResultConsumer.start(link.session, self._settings.prefetch, self._on_delivery, link.epoch)
        except ChannelClosed as error:
            return str(error)
        self._consumer, self._heartbeats = consumer, heartbeats
        ends: tuple[asyncio.Future[Any], ...] = (
            link.session.ended,
            link.publisher.ended,
            consumer.ended,
            heartbeats.ended,
        )
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return "; ".join(sorted({str(end.result()) for end in done}))

    def _tell(self, callback: Callable[[str], None], text: str) -> None:
        try:
            callback(text)
        except Exception:
            log.exception("a listener for the state of the broker's connection failed")


def _unheard(_message_id: str | None, _body: bytes) -> None:
    """Nobody wants to know of them."""


def _unseen(_user: str | None, _address: str | None, _body: bytes) -> None:
    """Nobody wants to know of them."""


def _parameters(url: str, settings: BrokerSettings) -> pika.URLParameters:
    parameters = pika.URLParameters(url)
    parameters.heartbeat = settings.heartbeat_seconds
    parameters.socket_timeout = settings.connect_timeout_seconds
    parameters.stack_timeout = settings.connect_timeout_seconds
    parameters.connection_attempts = 1
    parameters.blocked_connection_timeout = None
    parameters.client_properties = {"connection_name": "mastercontrol"}
    return parameters


def _management(url: str, address: BrokerAddress, settings: BrokerSettings) -> Management:
    parts = urlsplit(url)
    user = unquote(parts.username) if parts.username is not None else address.user
    password = unquote(parts.password) if parts.password is not None else address.password
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return Management(bare, user, password, address.vhost, settings.management_timeout_seconds)
