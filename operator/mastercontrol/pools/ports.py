"""What the pool controller needs of the API server, as a small protocol.

`kube.pools` implements it for a cluster, `memory.store` for one process. Both raise the errors of `engine.ports`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from mastercontrol.engine.ports import RawObject


class PoolCluster(Protocol):
    """The API server, as far as WorkerPools and what they own go."""

    async def apply(self, manifest: RawObject) -> RawObject:
        """Server-side apply of one object as field manager `mastercontrol`, forced; the object as it is after it.

        The same manifest may be applied again after any error.

        :raises StoreError: Rejected, Gone (its namespace is missing) or StoreUnavailable.
        """
        ...

    async def read_deployment(self, namespace: str, name: str) -> RawObject | None:
        """The newest Deployment, or None when there is none.

        :raises StoreUnavailable: no answer.
        """
        ...

    async def scale(self, namespace: str, name: str, replicas: int) -> None:
        """Set `spec.replicas` of a Deployment through its scale subresource.

        :raises StoreError: Gone, Rejected or StoreUnavailable.
        """
        ...

    async def patch_pool_status(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        """Merge `status` into the status of a WorkerPool; a None removes its field.

        :raises StoreError: Gone, Rejected or StoreUnavailable.
        """
        ...

    async def annotate_pod(self, namespace: str, name: str, annotations: dict[str, str | None]) -> None:
        """Set annotations of a pod; None removes one.

        :raises StoreError: Gone, Rejected or StoreUnavailable.
        """
        ...

    async def delete_pod(self, namespace: str, name: str) -> None:
        """Delete a pod, with its own grace period. One that is absent is a success.

        :raises StoreError: Rejected or StoreUnavailable.
        """
        ...

    async def read_budget(self, namespace: str, name: str) -> RawObject | None:
        """The newest PodDisruptionBudget, or None when there is none.

        :raises StoreUnavailable: no answer.
        """
        ...

    async def delete_budget(self, namespace: str, name: str, uid: str) -> None:
        """Delete the PodDisruptionBudget of that uid. One that is absent or has another uid is a success.

        :raises StoreError: Rejected or StoreUnavailable.
        """
        ...

    async def list_pods(self, namespace: str, selector: str) -> list[RawObject]:
        """The pods that a label selector (`key=value,key2=value2`) matches.

        :raises StoreUnavailable: no answer.
        """
        ...


class WorkerLine(Protocol):
    """The way to single workers, and what the broker knows of them. `broker.adapter` implements it."""

    async def held(self, namespace: str, pool: str) -> dict[str, int] | None:
        """The steps that each worker holds, by its consumer tag, as of some seconds ago; None when it is not known."""
        ...

    async def tell(self, letters: Sequence[tuple[str, bytes]]) -> None:
        """Send bodies to addresses that workers gave. Who is not there any more gets nothing, and that is no error.

        :raises BrokerForbidden: the operator's user may not write to the default exchange.
        :raises BrokerUnavailable: not connected, or an alarm of the broker.
        """
        ...
