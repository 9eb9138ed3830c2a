"""Copies of what goes through RabbitMQ, by its firehose: it shows each message that a queue took, and disturbs none.

A queue of our own, bound beside those of the pools, would make messages routable that are not, and so hide from the
operator that a queue is missing. The firehose is off after each start of the node, so it is switched on at each
connection. Whatever passes while there is none is not seen, which is a gap.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any, Final

import pika
from pika.exceptions import AMQPError

from recording.events import Event

TRACE: Final = "amq.rabbitmq.trace"
STEPS: Final = "mcp.steps"
RESULTS: Final = "mcp.results"
HEARTBEAT: Final = "mcp.heartbeats"
PAUSE: Final = 1.0
"""Seconds before a broker that is not there is asked again."""
QUIET_SECONDS: Final = 0.5
"""For so long nothing must come before the last message is believed to be it."""
LAST_SECONDS: Final = 10.0
"""For so long it is waited for that, as others may use the broker as well."""


class Messages:
    """Tells of dispatches and results of a namespace, on a thread of its own."""

    def __init__(self, amqp_url: str, management_url: str, namespace: str, say: Callable[[Event], None]) -> None:
        self.connections = 0
        self.why = ""  # why it last had to connect again
        self.fault: Exception | None = None
        self.ready = threading.Event()
        self._amqp, self._management = amqp_url, management_url
        self._namespace, self._say = namespace, say
        self._end = 0.0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder-messages", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float = 30) -> None:
        """Take what is there already, and end.

        :raises Exception: what ended it before, or that it does not end.
        """
        self._end = time.monotonic() + LAST_SECONDS
        self._ending.set()
        self._thread.join(seconds)
        if self.fault is not None:
            raise self.fault
        if self._thread.is_alive():
            raise TimeoutError("the recorder of messages does not end")

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                try:
                    self._follow()
                except (AMQPError, OSError) as error:  # the test restarts and wipes it
                    self.why = f"the broker: {error!r}"
                    self._ending.wait(PAUSE)
        except Exception as fault:  # noqa: BLE001  # raised by stop, on the thread of the test
            self.fault = fault
            self.ready.set()

    def _follow(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self._amqp)) as connection:
            channel = connection.channel()
            queue = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(queue, TRACE, f"publish.{STEPS}")
            channel.queue_bind(queue, TRACE, f"publish.{RESULTS}")
            self._switch_on()
            if self.connections:
                self._say({"kind": "gap", "what": "messages"})
            self.connections += 1
            self.ready.set()
            for method, properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=QUIET_SECONDS):
                if method is not None:
                    self._take(properties, body)
                if self._ending.is_set() and (method is None or time.monotonic() > self._end):
                    return

    def _switch_on(self) -> None:
        """Switch the firehose on, at the virtual host of the URL.

        :raises OSError: the management does not answer.
        """
        parsed = urllib.parse.urlsplit(self._amqp)
        host = parsed.path.removeprefix("/") or urllib.parse.quote("/", safe="")
        name = urllib.parse.unquote(parsed.username or "guest")
        password = urllib.parse.unquote(parsed.password or "guest")
        request = urllib.request.Request(
            f"{self._management}/api/vhosts/{host}",
            method="PUT",
            data=json.dumps({"tracing": True}).encode(),
            headers={
                "Content-Type": "application/json",
                "Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode(),
            },
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

    def _take(self, properties: Any, body: bytes) -> None:
        event = of_message(properties.headers, body)
        if event is not None and event.pop("namespace") == self._namespace:
            self._say(event)


def of_message(headers: dict[str, Any], body: bytes) -> Event | None:
    """The event of a message that was published; None where no queue took it, or it is neither step nor result."""
    id_ = (headers.get("properties") or {}).get("message_id")
    if not headers.get("routed_queues") or not id_ or HEARTBEAT in (headers.get("routing_keys") or ()):
        return None
    try:
        message = json.loads(body)
        event = {
            "job": str(message["job"]["uid"]),
            "id": str(id_),
            "step": message["step"],
            "namespace": message["job"]["namespace"],
        }
    except (ValueError, TypeError, KeyError):
        return None  # no message of the contract, as tests send some
    if headers["exchange_name"] == STEPS:
        return {"kind": "dispatch", **event}
    error = message.get("error") or {}
    return {"kind": "result", **event, "outcome": str(message.get("outcome")), "code": error.get("code")}
