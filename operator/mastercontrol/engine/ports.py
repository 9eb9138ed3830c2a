"""What the engine needs of the outside, as small protocols.

`kube` and `broker` implement them for a cluster, `memory` for one process. Both sets pass the same contract tests
(tests/contracts), so what the engine is proved on in memory is what it finds in production.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mastercontrol_worker.contract import StepMessage

RawObject = dict[str, Any]
"""A Kubernetes object as JSON: apiVersion, kind, metadata, spec, status."""

JsonPatch = Sequence[dict[str, Any]]
"""RFC 6902 operations."""


class StoreError(Exception):
    """A call to the store did not do what was asked."""


class Refused(StoreError):
    """The fence did not hold (409, or 422 of a failed `test`): nothing was written. Read again, decide again."""


class Gone(StoreError):
    """There is no such object (404)."""


class Rejected(StoreError):
    """The store will never take this (400, 403, 413, or 422 that is no failed `test`): nothing was written."""


class Forbidden(Rejected):
    """We may not (403): nothing was written. Somebody can put that right, and then the same call goes through."""


class StoreUnavailable(StoreError):
    """No answer, or one that says nothing of the outcome (time-out, 5xx, 429): it may be written or not."""


class Expired(StoreError):
    """The resourceVersion or continue token is too old (410): list anew."""


class JobStore(Protocol):
    """The API server, as far as Jobs go."""

    async def read(self, namespace: str, name: str) -> RawObject | None:
        """The newest object (a quorum read, never from a cache); None when there is none.

        :raises StoreUnavailable: no answer.
        """
        ...

    async def patch_status(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        """Apply one JSON Patch to the status subresource; the object as it is after it.

        :raises StoreError: one of Refused, Gone, Rejected, StoreUnavailable.
        """
        ...

    async def delete(self, namespace: str, name: str, uid: str) -> None:
        """Delete the object of that uid. One that is absent or has another uid is a success.

        :raises StoreUnavailable: no answer.
        """
        ...

    async def create(self, manifest: RawObject) -> RawObject:
        """Create a Job; the object as it is then.

        :raises StoreError: one of Refused (there is one of that name), Gone (no such namespace), Rejected,
            StoreUnavailable.
        """
        ...

    async def list_jobs(self, namespace: str | None) -> list[RawObject]:
        """All Jobs of a namespace, or of all, as of one moment after the call (a quorum read, never from a cache).

        :raises StoreError: Rejected or StoreUnavailable.
        """
        ...


class WorkflowStore(Protocol):
    """The API server, as far as Workflows and their revisions go. All raise StoreUnavailable for no answer."""

    async def read_workflow(self, namespace: str, name: str) -> RawObject | None: ...
    async def create_revision(self, manifest: RawObject) -> None:
        """Create a ControllerRevision; one that is there already is a success (its name is its content)."""
        ...

    async def read_revision(self, namespace: str, name: str) -> RawObject | None: ...
    async def list_revisions(self, namespace: str | None) -> list[RawObject]:
        """The ControllerRevisions that the operator made, of one namespace or of all."""
        ...

    async def delete_revision(self, namespace: str, name: str) -> None: ...
    async def patch_workflow_status(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        """Merge `status` into the status of a Workflow.

        :raises StoreError: Gone, Rejected or StoreUnavailable.
        """
        ...


class Reporter(Protocol):
    """Where Kubernetes Events go. Never blocks and never raises: an Event is a courtesy."""

    def warn(self, regarding: RawObject, reason: str, note: str) -> None:
        """Report something that went wrong with an object (as much of it as names it)."""
        ...


@dataclass(frozen=True, slots=True)
class Readiness:
    """The workers of a pool that are ready. What is unknown is no Readiness but None: never zero.

    `none_since` is since when there is none, as far as this process has seen.
    """

    ready: int
    none_since: dt.datetime | None = None


class PoolDirectory(Protocol):
    """Which WorkerPools there are."""

    def known(self, namespace: str, pool: str) -> bool: ...
    async def find(self, namespace: str, pool: str) -> bool:
        """Ask the API server for a pool that the watch has not shown yet.

        :raises StoreUnavailable: no answer.
        """
        ...

    def poke(self, namespace: str, pool: str) -> None:
        """A step was sent to this pool: see whether it needs more replicas, now."""
        ...

    def workers(self, namespace: str, pool: str) -> Readiness | None:
        """How many workers of a pool are ready; None where that is not known."""
        ...


class BrokerError(Exception):
    """The broker did not do or say what was asked."""


class Unroutable(BrokerError):
    """There is no such queue: the broker returned the message (`mandatory`). No pool of that name was declared."""


class BrokerUnavailable(BrokerError):
    """Not connected, refused (nack), or no confirm in time: the message may be in its queue or not."""


class BrokerForbidden(BrokerError):
    """The operator's user may not do that."""


class TopologyConflict(BrokerError):
    """A queue of a pool exists with other arguments than declared. It is used as it is."""


UNKNOWN_REASONS: Final = ("timeout", "unreachable", "status", "missing", "malformed", "partial", "disconnected")


class DepthUnknown(BrokerError):
    """How many messages a queue holds can't be known now.

    `reason` says why in a word, one of UNKNOWN_REASONS; the text says it in a sentence.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Delivery(Protocol):
    """One message from the results queue, held unacknowledged until `ack` or `reject`.

    Both are no-ops once the connection that delivered it is gone: the broker hands it out again.
    """

    @property
    def message_id(self) -> str | None: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> dict[str, Any]:
        """AMQP headers; `x-first-death-queue` and `x-first-death-reason` tell a dead-lettered step."""
        ...

    @property
    def epoch(self) -> str:
        """The broker epoch of the connection that delivered it."""
        ...

    def ack(self) -> None: ...
    def reject(self) -> None:
        """Refuse it for good: it goes to the dead letters of the results queue."""
        ...


@dataclass(frozen=True, slots=True)
class Depth:
    """Messages of one queue. What is unknown is no Depth: never zero."""

    ready: int
    unacknowledged: int
    consumers: int

    @property
    def backlog(self) -> int:
        """All that is not done yet."""
        return self.ready + self.unacknowledged


class Broker(Protocol):
    """RabbitMQ, as far as the engine and the pools go."""

    @property
    def epoch(self) -> str | None:
        """The epoch of the broker's data; None while there is no connection."""
        ...

    async def publish(self, namespace: str, pool: str, message: StepMessage, *, high: bool = False) -> None:
        """Publish a step: persistent, mandatory; returns when the broker confirmed it.

        Of the steps that wait, two that are `high` are handed out for each one that is not, as long as there are both.
        Steps that came back are handed out before either.

        :raises BrokerError: Unroutable or BrokerUnavailable.
        """
        ...

    async def declare_pool(
        self, namespace: str, pool: str, delivery_limit: int, consumer_timeout_seconds: int | None = None
    ) -> None:
        """Make sure that the queues of a pool exist with these limits, now and after each reconnect.

        A step that was returned more often than `delivery_limit` is a dead letter. A worker that holds one message
        for longer than `consumer_timeout_seconds` loses it (None: the broker's own limit). Both may change.

        :raises BrokerUnavailable: not now; it is remembered and done at the next connection.
        :raises TopologyConflict: a queue exists with other arguments.
        """
        ...

    async def forget_pool(self, namespace: str, pool: str) -> None:
        """No longer declare the queues of a pool, and delete them once they are empty and unused."""
        ...

    async def depth(self, namespace: str, pool: str) -> Depth:
        """Messages of the pool's queue.

        :raises DepthUnknown: it can't be known now.
        """
        ...

    async def heard_all(self) -> bool:
        """Whether all heartbeats that the broker had when this is called have been handed on.

        False: it can't be said, as there is no connection, or an alarm, or no answer within a moment.
        """
        ...

    async def worker_url(self, namespace: str, pool: str) -> str:
        """The AMQP URL for the pool's workers: a user that may read this pool's queue and write results only.

        :raises BrokerUnavailable: the user could not be made sure of.
        """
        ...


OnDelivery = Callable[[Delivery], None]
"""Called on the event loop for each result. Must not block."""

OnHeartbeat = Callable[[str | None, bytes], None]
"""Called on the event loop for each heartbeat, with message id and body. There is nothing to settle. Must not block."""

OnConnected = Callable[[str], None]
"""Called on the event loop after each (re)connection, with the epoch, before the first delivery."""


class EpochStore(Protocol):
    """Where the id of the broker's data is kept outside the broker (a ConfigMap)."""

    async def load(self) -> str | None: ...
    async def replace(self, old: str | None, new: str) -> bool:
        """Compare and set; False when somebody else was faster."""
        ...
