"""Two small messages about a worker itself: who it is and what it holds, and what it is asked to do.

Shared by the operator and the worker, like `contract`. A presence goes the way of heartbeats: without a confirm, to
whichever operator is connected. It carries the address for answers (AMQP `reply_to`), to which the operator sends
commands: so a worker that is to go stops consuming before its pod is told to end. Both are optional: a worker that
says nothing of itself does its steps all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mastercontrol_worker import contract
from mastercontrol_worker.contract import JSON, MalformedMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

PRESENCE_ROUTING_KEY = "mcp.workers"
"""On RESULTS_EXCHANGE."""

PRESENCE_TYPE = "presence"
COMMAND_TYPE = "command"

PRESENCE_SECONDS = 10.0
"""Between two presences of a worker of which nothing changes."""

DRAIN_SECONDS = 30
"""How long a drain holds unless it is asked for again: the operator may be gone."""

MAX_BYTES = 4096
MAX_SECONDS = 3600
MAX_ORDER_CHARS = 64


class Doing(StrEnum):
    """What a worker does about new steps."""

    CONSUMING = "Consuming"  # it takes them
    DRAINING = "Draining"  # it takes none, and finishes those it has
    ENDING = "Ending"  # the same, and it will take none any more: its process ends


class Command(StrEnum):
    """What a worker can be asked."""

    DRAIN = "Drain"  # stop consuming, for `seconds`
    RESUME = "Resume"  # consume again


@dataclass(frozen=True, slots=True)
class PresenceMessage:
    """What a worker says of itself.

    `held`: deliveries that it has not settled yet, of at most `slots` at work. `obeys`: the `order` of the last command
    that it carried out, so that who gave it can tell an answer from what was said before.
    """

    queue: str
    worker: str
    doing: Doing
    held: int
    slots: int
    obeys: str = ""

    def encode(self) -> bytes:
        """The body of the AMQP message."""
        body: dict[str, JSON] = {"version": contract.VERSION, "queue": self.queue, "worker": self.worker}
        return contract.dump(
            body | {"doing": self.doing.value, "held": self.held, "slots": self.slots, "obeys": self.obeys}
        )

    @classmethod
    def decode(cls, body: bytes) -> PresenceMessage:
        """Read a presence.

        :raises MalformedMessage: it is not one of this contract's.
        """
        data = _load(body)
        queue, worker = data.get("queue"), data.get("worker")
        if not isinstance(queue, str) or not isinstance(worker, str) or not worker:
            raise MalformedMessage("'queue' or 'worker' is no text")
        doing = data.get("doing")
        if doing not in list(Doing):
            raise MalformedMessage(f"'doing' is {str(doing)[:40]!r}, none of {', '.join(Doing)}")
        obeys = _order(data, "obeys")
        return cls(queue, worker, Doing(doing), _whole(data, "held", 0), _whole(data, "slots", 1), obeys)


@dataclass(frozen=True, slots=True)
class CommandMessage:
    """What a worker is asked. `order` is echoed; `seconds` is how long a drain holds."""

    command: Command
    order: str = ""
    seconds: int = DRAIN_SECONDS

    def encode(self) -> bytes:
        """The body of the AMQP message."""
        body: dict[str, JSON] = {"version": contract.VERSION, "command": self.command.value, "order": self.order}
        return contract.dump(body | ({"seconds": self.seconds} if self.command is Command.DRAIN else {}))

    @classmethod
    def decode(cls, body: bytes) -> CommandMessage:
        """Read a command.

        :raises MalformedMessage: it is not one of this contract's.
        """
        data = _load(body)
        command = data.get("command")
        if command not in list(Command):
            raise MalformedMessage(f"'command' is {str(command)[:40]!r}, none of {', '.join(Command)}")
        order = _order(data, "order")
        if command == Command.RESUME:
            return cls(Command.RESUME, order)
        return cls(Command.DRAIN, order, min(_whole(data, "seconds", 1), MAX_SECONDS))


def _load(body: bytes) -> Mapping[str, Any]:
    if len(body) > MAX_BYTES:
        raise MalformedMessage(f"{len(body)} bytes, the limit is {MAX_BYTES}")
    return contract.load(body)


def _order(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name, "")
    if not isinstance(value, str) or len(value) > MAX_ORDER_CHARS:
        raise MalformedMessage(f"{name!r} is no text of up to {MAX_ORDER_CHARS} characters")
    return value


def _whole(data: Mapping[str, Any], name: str, least: int) -> int:
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise MalformedMessage(f"{name!r} is not a whole number from {least}")
    return value
