"""What the dead letters' controller needs of the outside, as small protocols.

`broker`, `kube` and `leader` implement them for a cluster, `memory` for one process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mastercontrol.engine.ports import JsonPatch, RawObject


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """One message in the dead letters of a pool, as it was when it was a step's."""

    message_id: str | None
    body: bytes
    headers: Mapping[str, Any]


VisitDead = Callable[[DeadMessage], bool]
"""Called with each dead letter, oldest first; True takes it out for good, False leaves it. Must not block or raise."""


class DeadLetterBroker(Protocol):
    """RabbitMQ, as far as dead letters go."""

    @property
    def epoch(self) -> str | None:
        """The epoch of the broker's data; None while there is no connection."""
        ...

    async def count_dead(self, namespace: str, pool: str) -> int | None:
        """How many dead letters a pool has; None when that can't be known now. It takes one question."""
        ...

    async def visit_dead(self, namespace: str, pool: str, visit: VisitDead) -> None:
        """Show each dead letter of a pool. Those that stay are in their old order when this returns.

        It moves all of them over the network. However often it is done, none is lost by that.

        :raises BrokerUnavailable: not now. Some may have been shown, and of those some may be taken out.
        """
        ...


class DeadLetterJobs(Protocol):
    """The API server, as far as the Jobs of dead letters go."""

    async def read(self, namespace: str, name: str) -> RawObject | None:
        """The newest object; None when there is none.

        :raises StoreUnavailable: no answer.
        """
        ...

    async def patch(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        """Apply one JSON Patch to a Job but for its status; the object as it is after it.

        :raises StoreError: one of Refused, Gone, Rejected, StoreUnavailable.
        """
        ...


class DeadLetterPools(Protocol):
    """The API server, as far as the WorkerPools of dead letters go."""

    async def read_pool(self, namespace: str, name: str) -> RawObject | None:
        """The newest object; None when there is none.

        :raises StoreUnavailable: no answer.
        """
        ...

    async def patch_pool(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        """Apply one JSON Patch to a WorkerPool but for its status; the object as it is after it.

        :raises StoreError: one of Refused, Gone, Rejected, StoreUnavailable.
        """
        ...


class Records(Protocol):
    """Where Kubernetes Events go. Never blocks and never raises."""

    def note(self, regarding: RawObject, reason: str, note: str) -> None:
        """Record something that was done because somebody asked for it. None is left out as a repeat."""
        ...

    def warn(self, regarding: RawObject, reason: str, note: str) -> None:
        """Report something that went wrong; repeats of a reason may be left out."""
        ...
