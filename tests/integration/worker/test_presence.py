"""Real worker processes on a real RabbitMQ: what a worker says of itself, and that it does what it is asked to."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

from integration.worker.harness import QUEUE, Broker, Network, WorkerProcess, step, until
from mastercontrol_worker.contract import RESULTS_EXCHANGE
from mastercontrol_worker.presence import PRESENCE_ROUTING_KEY, Command, CommandMessage, Doing, PresenceMessage

StartWorker = Callable[..., WorkerProcess]
HEARD = "heard"


class Operator:
    """Hears what workers say of themselves, and answers."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.address = ""
        broker.channel.queue_declare(HEARD)
        broker.channel.queue_bind(HEARD, RESULTS_EXCHANGE, PRESENCE_ROUTING_KEY)

    def hear(self) -> PresenceMessage:
        """The next presence."""
        _, properties, body = self._broker.take(HEARD)
        assert properties.type == "presence"
        self.address = properties.reply_to
        return PresenceMessage.decode(body)

    def until(self, doing: Doing, held: int) -> PresenceMessage:
        while (said := self.hear()).doing is not doing or said.held != held:
            pass
        assert said.obeys == "an order"
        return said

    def tell(self, command: Command, seconds: int = 30) -> None:
        self._broker.channel.basic_publish("", self.address, CommandMessage(command, "an order", seconds).encode())


def consumers(broker: Broker) -> int:
    return int(broker.channel.queue_declare(QUEUE, passive=True).method.consumer_count)


def test_a_worker_with_the_rights_of_its_pool_alone_is_drained_and_resumed(
    broker: Broker, start: StartWorker, tmp_path: Path
) -> None:
    broker.declare()
    broker.management.call("PUT", "/users/mcp.default.pool", {"password": "p", "tags": ""})
    broker.allow("mcp.default.pool", "^$", "^mcp\\.results$", "^mcp\\.pool\\.default\\.pool$")
    operator = Operator(broker)
    worker = start(url=broker.url("mcp.default.pool", "p"))
    assert operator.hear() == PresenceMessage(QUEUE, worker.name, Doing.CONSUMING, 0, 1)
    broker.send(step("hold", 1))
    worker.until_file("started")

    operator.tell(Command.DRAIN)
    operator.until(Doing.DRAINING, 1)
    # (A quorum queue counts a consumer that was cancelled until it holds nothing.)
    broker.send(step("double", 2, seq=2))
    (tmp_path / "release").touch()
    operator.until(Doing.DRAINING, 0)
    assert consumers(broker) == 0
    assert broker.result().id == "u-1:1:1"  # what it held it finished
    time.sleep(0.5)
    assert (tmp_path / "runs").read_text().split() == ["u-1:1:1"]

    operator.tell(Command.RESUME)
    operator.until(Doing.CONSUMING, 0)
    assert broker.result().id == "u-1:2:1"
    broker.until_empty()


def test_a_drained_worker_stays_drained_over_a_lost_connection(
    broker: Broker, start: StartWorker, network: Network
) -> None:
    broker.declare()
    operator = Operator(broker)
    start(url=broker.url(port=network.port))
    operator.hear()
    operator.tell(Command.DRAIN)
    operator.until(Doing.DRAINING, 0)
    before = operator.address
    network.cut()
    operator.until(Doing.DRAINING, 0)
    assert operator.address != before
    assert consumers(broker) == 0
    operator.tell(Command.RESUME)
    operator.until(Doing.CONSUMING, 0)
    assert consumers(broker) == 1


def test_a_worker_whose_operator_died_takes_steps_again(broker: Broker, start: StartWorker) -> None:
    broker.declare()
    operator = Operator(broker)
    start()
    operator.hear()
    operator.tell(Command.DRAIN, seconds=1)
    operator.until(Doing.DRAINING, 0)
    operator.until(Doing.CONSUMING, 0)
    assert until(lambda: consumers(broker) == 1, "it consumes")


def test_a_drained_worker_ends_at_once_when_it_is_told_to(broker: Broker, start: StartWorker) -> None:
    broker.declare()
    operator = Operator(broker)
    worker = start()
    operator.hear()
    operator.tell(Command.DRAIN)
    operator.until(Doing.DRAINING, 0)
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
