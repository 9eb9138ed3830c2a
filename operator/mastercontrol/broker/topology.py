"""Which exchanges, queues and bindings exist, as data; `declare` in `declaring` sends them to the broker.

Pure. All is durable, all queues are quorum queues. Arguments of a queue can't be changed once it exists, so only what
never changes is an argument; a pool's limits are a policy (see `pool_policy`), which may change at any time.

Of two delivery limits, argument and policy, RabbitMQ takes the lower one (tried on 4.0.5), and a policy wins over an
argument of -1. A pool's queue therefore has no such argument: its limit can be raised as well as lowered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from mastercontrol_worker.contract import (
    RESULTS_EXCHANGE,
    RESULTS_QUEUE,
    RESULTS_ROUTING_KEY,
    STEPS_EXCHANGE,
    pool_queue,
    pool_routing_key,
)

DEAD_EXCHANGE: Final = "mcp.dead"
DEAD_RESULTS_QUEUE: Final = "mcp.dead.results"
DEAD_RESULTS_KEY: Final = "results"  # no pool has this key: theirs contain a dot
EPOCH_QUEUE_PREFIX: Final = "mcp.epoch."
HEARTBEATS_QUEUE_PREFIX: Final = "mcp.heartbeats."
HEARTBEATS_KEPT: Final = 10_000
"""Heartbeats that wait for an operator that does not keep up; the oldest are dropped beyond it."""
DEAD_LETTERS_KEPT: Final = 1000
"""Messages that a dead-letter queue keeps for people to look at; the oldest are dropped beyond it."""

DEAD_POLICY: Final = "mcp.dead"
DEAD_DELIVERY_LIMIT: Final = 1_000_000_000
"""Readings that a dead letter stands. RabbitMQ 4 drops a message after 20 returns where no policy says otherwise, and
-1 would put what is returned to the end of its queue."""

POLICY_PRIORITY: Final = 1
"""Over a catch-all policy of priority 0. Who wants another limit sets a policy of a higher priority."""

Version = tuple[int, int]
"""Major and minor version of the broker."""

SUPPORTED_SINCE: Final = (4, 0)
"""Older ones work, except that `depth` of a single queue is unknown (tried with 3.10)."""
UNLIMITED_SINCE: Final = (4, 0)  # before it there was no default delivery limit and -1 was refused
CONSUMER_TIMEOUT_SINCE: Final = (3, 12)  # a policy may set it from here on


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable direct exchange."""

    name: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue. `arguments` without x-queue-type."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Binding:
    """From an exchange to a queue."""

    exchange: str
    queue: str
    key: str


Declaration = Exchange | Queue | Binding


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What may change about a pool's queue.

    `delivery_limit` counts the returns of one message, so it is handed out once more than that.
    `consumer_timeout_seconds` is how long a worker may hold one message; None leaves the broker's own limit.
    """

    delivery_limit: int
    consumer_timeout_seconds: int | None = None


def dead_pool_queue(namespace: str, pool: str) -> str:
    """The queue of steps that a pool could not do."""
    return f"mcp.dead.{namespace}.{pool}"


def epoch_queue(epoch: str) -> str:
    """The queue whose presence says that the broker still has the data of that epoch."""
    return EPOCH_QUEUE_PREFIX + epoch


def heartbeats_queue(connection: str) -> str:
    """The queue of the heartbeats that one connection of an operator hears: classic, exclusive to it, gone with it."""
    return HEARTBEATS_QUEUE_PREFIX + connection


def epoch_declaration(epoch: str) -> Queue:
    """A queue that nothing is ever published to."""
    return Queue(epoch_queue(epoch))


def base(version: Version) -> tuple[Declaration, ...]:
    """What exists once per broker."""
    unlimited = {"x-delivery-limit": -1} if version >= UNLIMITED_SINCE else {}
    dead_letters = {"x-dead-letter-exchange": DEAD_EXCHANGE, "x-dead-letter-routing-key": DEAD_RESULTS_KEY}
    return (
        Exchange(STEPS_EXCHANGE),
        Exchange(RESULTS_EXCHANGE),
        Exchange(DEAD_EXCHANGE),
        _dead_letter_queue(DEAD_RESULTS_QUEUE),
        Binding(DEAD_EXCHANGE, DEAD_RESULTS_QUEUE, DEAD_RESULTS_KEY),
        Queue(RESULTS_QUEUE, unlimited | dead_letters),
        Binding(RESULTS_EXCHANGE, RESULTS_QUEUE, RESULTS_ROUTING_KEY),
    )


def for_pool(namespace: str, pool: str) -> tuple[Declaration, ...]:
    """What exists once per pool.

    A step that was handed out too often goes to the pool's dead letters and, as a copy, to the operator: without
    that its job would wait for ever. The dead letters come first so that no step can die without a place to go to.
    """
    key, queue, dead = pool_routing_key(namespace, pool), pool_queue(namespace, pool), dead_pool_queue(namespace, pool)
    arguments = {
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-dead-letter-routing-key": key,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # at-least-once asks for it
    }
    return (
        _dead_letter_queue(dead),
        Binding(DEAD_EXCHANGE, dead, key),
        Binding(DEAD_EXCHANGE, RESULTS_QUEUE, key),
        Queue(queue, arguments),
        Binding(STEPS_EXCHANGE, queue, key),
    )


def pool_policy(namespace: str, pool: str, limits: PoolLimits, version: Version) -> dict[str, Any]:
    """The body of the policy that carries a pool's limits, as the management API takes it."""
    definition: dict[str, int] = {"delivery-limit": limits.delivery_limit}
    if limits.consumer_timeout_seconds is not None and version >= CONSUMER_TIMEOUT_SINCE:
        definition["consumer-timeout"] = limits.consumer_timeout_seconds * 1000
    pattern = f"^{re.escape(pool_queue(namespace, pool))}$"
    return {"pattern": pattern, "definition": definition, "priority": POLICY_PRIORITY, "apply-to": "queues"}


def dead_policy() -> dict[str, Any]:
    """The body of the policy, named DEAD_POLICY, that lets all dead letters be looked at without being lost."""
    definition = {"delivery-limit": DEAD_DELIVERY_LIMIT}
    return {"pattern": r"^mcp\.dead\.", "definition": definition, "priority": POLICY_PRIORITY, "apply-to": "queues"}


def parse_version(text: str) -> Version:
    """Major and minor of a version text; (0, 0) when it is none, which asks for nothing new of the broker."""
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _dead_letter_queue(name: str) -> Queue:
    return Queue(name, {"x-max-length": DEAD_LETTERS_KEPT, "x-overflow": "drop-head"})
