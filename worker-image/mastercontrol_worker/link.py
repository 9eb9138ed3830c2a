"""One connection to RabbitMQ with one channel and one consumer, from its opening to its loss.

Only `amqp` uses it, and only it uses pika. It lives on the worker's event loop, where no handler runs: heartbeats are
answered however long a step takes. When connection, channel or consumer is lost the whole link is, and a new one is
made.

Worker permissions are enough for it: it declares nothing.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import AMQPError

from mastercontrol_worker.contract import (
    CONTENT_TYPE,
    HEARTBEATS_ROUTING_KEY,
    RESULTS_EXCHANGE,
    RESULTS_ROUTING_KEY,
)
from mastercontrol_worker.presence import PRESENCE_ROUTING_KEY, PRESENCE_TYPE
from mastercontrol_worker.transport import Delivery, NotConfirmed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

OPEN_SECONDS = 20.0
"""How long each step of opening may take."""

REPLIES = "amq.rabbitmq.reply-to"
"""RabbitMQ's direct reply-to: a consumer without a queue and without rights, known only to whom it wrote."""

CLOSE_SECONDS = 2.0
"""How long cancelling the consumer and closing may take, each: a pod that ends has only so much time."""


class Lost(Exception):
    """There is no link (any more); the text says why."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What a link needs to know.

    :param url: AMQP URL with credentials; never logged.
    :param prefetch: deliveries that may be held at once.
    :param consumer_tag: how the broker names this consumer; the pod's name.
    :param heartbeat_seconds: a peer that is silent for about this long is taken for dead.
    :param confirm_seconds: how long a confirm may take before the link is given up.
    """

    url: str
    queue: str
    prefetch: int = 1
    consumer_tag: str = "worker"
    heartbeat_seconds: int = 30
    confirm_seconds: float = 60.0

    def parameters(self) -> Any:
        """The same for pika.

        :raises Exception: pika raises this and that for a URL that is none.
        """
        parameters = pika.URLParameters(self.url)
        parameters.heartbeat = self.heartbeat_seconds
        parameters.connection_attempts = 1
        parameters.socket_timeout = OPEN_SECONDS / 2
        parameters.stack_timeout = OPEN_SECONDS
        parameters.client_properties = {"connection_name": self.consumer_tag}
        return parameters

    @property
    def where(self) -> str:
        """Host, port and queue: for a log."""
        parameters = pika.URLParameters(self.url)
        return f"{parameters.host}:{parameters.port}, queue {self.queue}"


class _Delivery:
    """See `transport.Delivery`."""

    def __init__(self, link: Link, method: Any, properties: Any, body: bytes) -> None:
        self._link, self._tag = link, method.delivery_tag
        self.message_id: str | None = properties.message_id
        self.headers: Mapping[str, Any] = properties.headers or {}
        self.body = body
        self.redelivered: bool = method.redelivered

    @property
    def lost(self) -> bool:
        return self._link.lost.done()

    def ack(self) -> None:
        self._link.settle(lambda channel: channel.basic_ack(self._tag))

    def give_back(self) -> None:
        self._link.settle(lambda channel: channel.basic_nack(self._tag, requeue=True))

    def refuse(self) -> None:
        self._link.settle(lambda channel: channel.basic_reject(self._tag, requeue=False))


class Link:
    """One connection, channel and consumer.

    :param on_command: called with each command of the operator; None: it has no address for them.
    """

    def __init__(
        self,
        settings: LinkSettings,
        on_delivery: Callable[[Delivery], None],
        on_command: Callable[[bytes], None] | None = None,
    ) -> None:
        self._settings, self._on_delivery, self._on_command = settings, on_delivery, on_command
        self._loop = asyncio.get_running_loop()
        self._connection: Any = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._channel: Any = None
        self._confirms = _Confirms()
        self._user = pika.URLParameters(settings.url).credentials.username
        self._blocked = False
        self._cancelling: asyncio.Task[None] | None = None
        self.lost: asyncio.Future[str] = self._loop.create_future()
        """Resolved with the reason when the link no longer works."""

    async def open(self, *, consume: bool) -> None:
        """Connect, and consume if told so.

        :raises Lost: it did not come to be.
        """
        settings = self._settings
        await self._call("connecting", self._connect)
        channel = self._channel = await self._call("opening a channel", self._open_channel)
        await self._call("confirms", lambda done: channel.confirm_delivery(self._confirms.on_confirm, done))
        await self._call("prefetch", lambda done: channel.basic_qos(prefetch_count=settings.prefetch, callback=done))
        if self._on_command is not None:
            tag = f"{settings.consumer_tag}.commands"
            await self._call(
                "listening to commands",
                lambda done: channel.basic_consume(
                    REPLIES, self._on_reply, auto_ack=True, consumer_tag=tag, callback=done
                ),
            )
        if consume:
            await self.consume()

    async def consume(self) -> None:
        """Begin to take steps; nothing if it does.

        :raises Lost: the link does not work.
        """
        settings, channel = self._settings, self._channel
        if settings.consumer_tag in channel.consumer_tags:
            return
        try:
            await self._call(
                "consuming",
                lambda done: channel.basic_consume(
                    settings.queue, self._on_message, consumer_tag=settings.consumer_tag, callback=done
                ),
            )
        except Lost as lost:
            self._lose(str(lost))
            raise

    async def publish(self, message_id: str, step: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Publish a result, persistent and mandatory, and wait for its confirm.

        :raises NotConfirmed: no confirm.
        """
        properties = pika.BasicProperties(
            message_id=message_id,
            type=step,
            headers=dict(headers),
            content_type=CONTENT_TYPE,
            delivery_mode=2,
            app_id=self._settings.consumer_tag,
        )
        try:
            self._channel.basic_publish(RESULTS_EXCHANGE, RESULTS_ROUTING_KEY, body, properties, mandatory=True)
        except AMQPError as error:
            raise NotConfirmed(describe(error)) from None
        confirm = self._confirms.expect(self._loop, message_id)
        await _first(confirm, self.lost, self._settings.confirm_seconds)
        while self._blocked and not (confirm.done() or self.lost.done()):
            # It takes no messages (an alarm) and will. A new connection would not help, and cost what is held
            # one of the deliveries that its queue's limit allows.
            await _first(confirm, self.lost, self._settings.confirm_seconds)
        if not confirm.done():
            self._lose(f"no confirm within {self._settings.confirm_seconds:g} s")
            raise NotConfirmed(self.lost.result())
        if (problem := confirm.result()) is not None:
            raise NotConfirmed(problem)

    def beat(self, message_id: str, step: str, body: bytes, headers: Mapping[str, str]) -> bool:
        """Publish a heartbeat: not mandatory, and nobody waits for its confirm. False: it was not sent.

        While the broker takes no messages (an alarm) none is sent, or they would all come when it ends.
        """
        properties = pika.BasicProperties(
            message_id=message_id,
            type=step,
            headers=dict(headers),
            content_type=CONTENT_TYPE,
            delivery_mode=1,
            app_id=self._settings.consumer_tag,
        )
        return self._send(HEARTBEATS_ROUTING_KEY, body, properties)

    def announce(self, body: bytes) -> bool:
        """Publish a presence, as `beat` does a heartbeat, with this channel's address for commands."""
        properties = pika.BasicProperties(
            type=PRESENCE_TYPE,
            content_type=CONTENT_TYPE,
            delivery_mode=1,
            app_id=self._settings.consumer_tag,
            reply_to=None if self._on_command is None else REPLIES,
            user_id=self._user,
        )
        return self._send(PRESENCE_ROUTING_KEY, body, properties)

    def _send(self, routing_key: str, body: bytes, properties: Any) -> bool:
        if self._blocked or self.lost.done():
            return False
        try:
            self._channel.basic_publish(RESULTS_EXCHANGE, routing_key, body, properties, mandatory=False)
        except AMQPError:
            return False
        self._confirms.pass_over()
        return True

    async def stop_consuming(self) -> None:
        """Cancel the consumer; returns when no more deliveries can come."""
        if self._cancelling is None or self._cancelling.done():
            self._cancelling = self._loop.create_task(self._cancel())
        await asyncio.shield(self._cancelling)  # pika answers only the first of two cancels

    async def _cancel(self) -> None:
        tag = self._settings.consumer_tag
        if self.lost.done() or tag not in self._channel.consumer_tags:
            return
        try:
            await self._call("cancelling", lambda done: self._channel.basic_cancel(tag, done), CLOSE_SECONDS)
        except Lost as lost:
            self._lose(str(lost))

    def settle(self, answer: Callable[[Any], None]) -> None:
        """Acknowledge, give back or refuse a delivery, if the link still works."""
        if self.lost.done():
            return
        try:
            answer(self._channel)
        except AMQPError as error:
            self._lose(describe(error))

    async def close(self) -> None:
        """Close the connection in order, or drop it after CLOSE_SECONDS. What it held goes back to the queue."""
        self._lose("closed by this worker")
        if self._connection is None or self._closed.done():
            return
        if not (self._connection.is_closing or self._connection.is_closed):
            self._connection.close()
        await asyncio.wait({self._closed}, timeout=CLOSE_SECONDS)

    async def _call(
        self, what: str, begin: Callable[[Callable[..., None]], object], seconds: float = OPEN_SECONDS
    ) -> Any:
        """Begin something that answers by callback, and wait for it.

        :raises Lost: the link was lost first, or it took too long.
        """
        done: asyncio.Future[Any] = self._loop.create_future()

        def answered(*results: Any) -> None:
            if not done.done():
                done.set_result(results[0] if results else None)

        try:
            begin(answered)
        except (AMQPError, ValueError) as error:
            raise Lost(f"{what}: {describe(error)}") from None
        await _first(done, self.lost, seconds)
        if done.done():
            return done.result()
        why = self.lost.result() if self.lost.done() else f"no answer within {seconds:g} s"
        raise Lost(f"{what}: {why}")

    def _connect(self, done: Callable[..., None]) -> None:
        self._connection = AsyncioConnection(
            self._settings.parameters(),
            on_open_callback=done,
            on_open_error_callback=self._on_closed,
            on_close_callback=self._on_closed,
            custom_ioloop=self._loop,
        )
        self._connection.add_on_connection_blocked_callback(lambda *_: self._set_blocked(blocked=True))
        self._connection.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(blocked=False))

    def _set_blocked(self, *, blocked: bool) -> None:
        logger.warning("the broker %s messages", "takes no" if blocked else "again takes")
        self._blocked = blocked

    def _open_channel(self, done: Callable[..., None]) -> None:
        channel = self._connection.channel(on_open_callback=done)
        channel.add_on_close_callback(lambda _channel, error: self._lose(describe(error)))
        channel.add_on_cancel_callback(lambda _frame: self._lose("the broker cancelled the consumer: no queue"))
        channel.add_on_return_callback(self._confirms.on_return)

    def _on_closed(self, _connection: Any, error: BaseException) -> None:
        self._lose(describe(error))
        if not self._closed.done():
            self._closed.set_result(None)

    def _on_message(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._on_delivery(_Delivery(self, method, properties, body))

    def _on_reply(self, _channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        if self._on_command is not None:
            self._on_command(body)

    def _lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)


class _Confirms:
    """Publisher confirms of one channel: which message each delivery tag is, and what came of it."""

    def __init__(self) -> None:
        self._published = 0
        self._waiting: dict[int, tuple[str, asyncio.Future[str | None]]] = {}
        self._returned: dict[str, str] = {}

    def expect(self, loop: asyncio.AbstractEventLoop, message_id: str) -> asyncio.Future[str | None]:
        """To be called once after each publish: resolved with None when confirmed, else with the problem."""
        self._published += 1
        confirm: asyncio.Future[str | None] = loop.create_future()
        self._waiting[self._published] = (message_id, confirm)
        return confirm

    def pass_over(self) -> None:
        """To be called once after a publish whose confirm nobody waits for: the broker numbers it all the same."""
        self._published += 1

    def on_return(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        """No queue took a message; its confirm comes after this and must not count."""
        self._returned[properties.message_id] = f"returned: {method.reply_text}"

    def on_confirm(self, frame: Any) -> None:
        """Basic.Ack or Basic.Nack of one tag or of all up to it."""
        method = frame.method
        tags = [t for t in self._waiting if t <= method.delivery_tag] if method.multiple else [method.delivery_tag]
        for tag in tags:
            message_id, confirm = self._waiting.pop(tag, ("", None))
            problem = self._returned.pop(message_id, None)
            if isinstance(method, pika.spec.Basic.Nack):
                problem = "refused by the broker"
            if confirm is not None and not confirm.done():
                confirm.set_result(problem)


async def _first(one: asyncio.Future[Any], other: asyncio.Future[Any], seconds: float) -> None:
    """Wait for either, or that long. Neither is cancelled."""
    await asyncio.wait({one, other}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


def describe(error: BaseException | None) -> str:
    """The innermost reason of one of pika's errors."""
    while error is not None:
        inner = getattr(error, "exceptions", None)
        deeper = inner[-1] if inner else getattr(error, "exception", None)
        if not isinstance(deeper, BaseException):
            break
        error = deeper
    code, text = getattr(error, "reply_code", None), getattr(error, "reply_text", None)
    return f"{code} {text}" if code is not None else f"{type(error).__name__}: {error}"
