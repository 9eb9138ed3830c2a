"""What the tests of the worker need of the outside: a broker in a virtual host of its own, real worker processes, and
a network between the two that can be cut."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pika

from mastercontrol_worker.contract import (
    RESULTS_EXCHANGE,
    RESULTS_QUEUE,
    RESULTS_ROUTING_KEY,
    STEPS_EXCHANGE,
    JobRef,
    ResultMessage,
    StepMessage,
    dispatch_id,
    pool_queue,
    pool_routing_key,
)

PATIENCE = 30.0
QUEUE = pool_queue("default", "pool")
KEY = pool_routing_key("default", "pool")
DEAD_EXCHANGE = "mcp.dead"
DEAD_QUEUE = "mcp.dead.default.pool"


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """What the condition returns, once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
    return found


def step(name: str, value: Any = None, *, seq: int = 1, deadline: str | None = None) -> StepMessage:
    return StepMessage(dispatch_id("u-1", seq, 1), JobRef("default", "job-1", "u-1"), name, 1, value, deadline)


class Management:
    """RabbitMQ's management API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self._url}/api{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": "Basic Z3Vlc3Q6Z3Vlc3Q=", "content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None


class Broker:
    """One virtual host with the topology of a pool, as the operator declares it, and the operator's side of it."""

    def __init__(self, amqp_url: str, management_url: str, vhost: str) -> None:
        self.vhost = vhost
        self.management = Management(management_url)
        address = urlsplit(amqp_url)
        self.host, self.port = address.hostname or "127.0.0.1", address.port or 5672
        self.management.call("PUT", f"/vhosts/{vhost}")
        self.allow("guest", ".*", ".*", ".*")
        self._connection = pika.BlockingConnection(pika.URLParameters(self.url() + "?heartbeat=0"))
        self.channel = self._connection.channel()

    def url(self, user: str = "guest", password: str = "guest", port: int | None = None) -> str:
        return f"amqp://{user}:{password}@{self.host}:{port or self.port}/{self.vhost}"

    def allow(self, user: str, configure: str, write: str, read: str) -> None:
        rights = {"configure": configure, "write": write, "read": read}
        self.management.call("PUT", f"/permissions/{self.vhost}/{user}", rights)

    def declare(self, *, results: bool = True) -> None:
        for exchange in (STEPS_EXCHANGE, DEAD_EXCHANGE, RESULTS_EXCHANGE):
            self.channel.exchange_declare(exchange, "direct", durable=True)
        self.declare_pool()
        self._queue(RESULTS_QUEUE, {"x-delivery-limit": -1})
        if results:
            self.bind_results()

    def declare_pool(self) -> None:
        dead = {"x-dead-letter-exchange": DEAD_EXCHANGE, "x-dead-letter-routing-key": KEY, "x-delivery-limit": 10}
        self._queue(QUEUE, dead)
        self.channel.queue_bind(QUEUE, STEPS_EXCHANGE, KEY)
        self._queue(DEAD_QUEUE, {})
        self.channel.queue_bind(DEAD_QUEUE, DEAD_EXCHANGE, KEY)

    def bind_results(self) -> None:
        self.channel.queue_bind(RESULTS_QUEUE, RESULTS_EXCHANGE, RESULTS_ROUTING_KEY)

    def _queue(self, name: str, arguments: dict[str, Any]) -> None:
        self.channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"} | arguments)

    def send(self, message: StepMessage) -> None:
        self.send_raw(message.id, message.step, message.encode(), dict(message.headers))

    def send_raw(self, message_id: str, name: str, body: bytes, headers: dict[str, Any] | None = None) -> None:
        properties = pika.BasicProperties(message_id=message_id, type=name, headers=headers, delivery_mode=2)
        self.channel.basic_publish(STEPS_EXCHANGE, KEY, body, properties, mandatory=True)

    def take(self, queue: str = QUEUE, seconds: float = PATIENCE) -> tuple[Any, Any, bytes]:
        """The next message of a queue, acknowledged: method, properties, body."""

        def get() -> Any:
            method, properties, body = self.channel.basic_get(queue, auto_ack=True)
            return method and (method, properties, body)

        method, properties, body = until(get, f"a message in {queue}", seconds)
        return method, properties, body

    def result(self, seconds: float = PATIENCE) -> ResultMessage:
        _, properties, body = self.take(RESULTS_QUEUE, seconds)
        return ResultMessage.decode(properties.message_id, body)

    def messages(self, queue: str = QUEUE) -> int:
        """Ready and unacknowledged messages of a queue, as the queue itself counts them."""
        state = self.management.call(
            "GET", f"/queues/{self.vhost}/{quote(queue)}?disable_stats=true&enable_queue_totals=true"
        )
        return int(state.get("messages", -1))

    def until_empty(self, queue: str = QUEUE) -> None:
        until(lambda: self.messages(queue) == 0, f"{queue} is empty")

    def close_worker_connections(self) -> int:
        """Close, as an administrator would, all connections to this virtual host but the test's; how many."""
        connections = self.management.call("GET", f"/vhosts/{self.vhost}/connections")
        others = [
            c for c in connections if c.get("user_provided_name") or c["client_properties"].get("connection_name")
        ]
        for connection in others:
            self.management.call("DELETE", f"/connections/{quote(connection['name'])}")
        return len(others)

    def close(self) -> None:
        self._connection.close()
        self.management.call("DELETE", f"/vhosts/{self.vhost}")


class Network:
    """A TCP relay to the broker that can be cut (connections end) or go silent (bytes vanish)."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._silent: set[socket.socket] = set()
        self._refusing = False
        self._mute = False
        self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """End all connections there are."""
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):  # it has ended already
                    end.shutdown(socket.SHUT_RDWR)
        self._pairs = []

    def silence(self) -> None:
        """The connections there are stay open and carry nothing more."""
        self._silent.update(end for pair in self._pairs for end in pair)

    def mute(self) -> None:
        """New connections are taken and then carry nothing."""
        self._mute = True

    def refuse(self, *, on: bool) -> None:
        """Whether new connections are ended at once: the broker is away."""
        self._refusing = on

    def close(self) -> None:
        self._ended = True
        self._thread.join()

    def _serve(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._listener, selectors.EVENT_READ)
        every: list[socket.socket] = [self._listener]
        while not self._ended:
            for key, _ in selector.select(0.05):
                if key.fileobj is self._listener:
                    self._accept(selector, every)
                else:
                    self._relay(selector, key)
        for end in every:
            end.close()
        selector.close()

    def _accept(self, selector: selectors.BaseSelector, every: list[socket.socket]) -> None:
        near, _ = self._listener.accept()
        if self._refusing:
            near.close()
            return
        far = socket.create_connection(self._target)
        self.accepted += 1
        self._pairs.append((near, far))
        if self._mute:
            self._silent.update((near, far))
        every += [near, far]
        selector.register(near, selectors.EVENT_READ, far)
        selector.register(far, selectors.EVENT_READ, near)

    def _relay(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        one, other = key.fileobj, key.data
        assert isinstance(one, socket.socket)
        try:
            data = one.recv(65536)
            if data and one not in self._silent:
                other.sendall(data)
        except OSError:
            data = b""
        if not data:
            selector.unregister(one)
            with contextlib.suppress(OSError):  # it has ended already
                other.shutdown(socket.SHUT_RDWR)


@dataclass
class WorkerProcess:
    """A `mastercontrol-worker` process; `folder` holds its log, `log`, and what its handlers write."""

    process: subprocess.Popen[bytes]
    folder: Path
    name: str

    @property
    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text()

    def until_log(self, text: str) -> None:
        until(lambda: text in self.log or self._died(), f"{text!r} in the log of {self.name}")

    def until_file(self, name: str) -> None:
        until(lambda: (self.folder / name).exists() or self._died(), f"file {name}")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def exit_code(self, seconds: float = PATIENCE) -> int:
        return self.process.wait(seconds)

    def _died(self) -> bool:
        assert self.process.poll() is None, f"{self.name} ended: {self.log}"
        return False


def start_worker(folder: Path, url: str, name: str, arguments: list[str], settings: dict[str, str]) -> WorkerProcess:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MCP_")}
    environ |= {"MCP_AMQP_URL": url, "MCP_QUEUE": QUEUE, "MCP_WORKER_NAME": name, "MCP_LOG_LEVEL": "debug"}
    environ |= {"MCP_RECONNECT_MAX_SECONDS": "1", "FOLDER": str(folder)} | settings
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-m", "mastercontrol_worker", *arguments],
            cwd=folder,
            env=environ,
            stderr=log,
            stdout=log,
        )
    return WorkerProcess(process, folder, name)


__all__ = ["Broker", "Network", "WorkerProcess", "start_worker", "step", "until"]
