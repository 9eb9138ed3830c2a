"""The API server in one process: `JobStore`, `EpochStore`, `PoolCluster` and the rest of what `kube` offers.

Used by tests and by `mastercontrol dev`. The same contract tests hold it and `kube` (tests/contracts/store.py). It is
deterministic: uids are counted, the clock is given. Each call lets other tasks run once before it acts, as a network
would. Tests make it fail through `faults`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from mastercontrol.api import names
from mastercontrol.engine.ports import Gone, JsonPatch, RawObject, Refused, Rejected, StoreUnavailable
from mastercontrol.memory.faults import Faults, WriteFault
from mastercontrol.memory.journal import EventType
from mastercontrol.memory.objects import Admit, Kind, Listing, ObjectStore, decode, encode, key_of, matches
from mastercontrol.memory.patches import as_merge_patch

JOB: Final[Kind] = (names.API_VERSION, names.KIND_JOB)
WORKFLOW: Final[Kind] = (names.API_VERSION, names.KIND_WORKFLOW)
POOL: Final[Kind] = (names.API_VERSION, names.KIND_POOL)
DEPLOYMENT: Final[Kind] = ("apps/v1", "Deployment")
REVISION: Final[Kind] = ("apps/v1", "ControllerRevision")
BUDGET: Final[Kind] = ("policy/v1", "PodDisruptionBudget")
POD: Final[Kind] = ("v1", "Pod")
_APPLIED: Final = frozenset({DEPLOYMENT, ("v1", "Secret"), ("v1", "ConfigMap"), BUDGET})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch: the object as it is after it, or as it was when it was deleted."""

    type: EventType
    object: RawObject


def _wall_clock() -> datetime:
    return datetime.now(UTC)


class MemoryStore:
    """One pretended cluster. All methods raise the errors of engine.ports."""

    def __init__(
        self, clock: Callable[[], datetime] = _wall_clock, admit: Admit | None = None, history: int = 10_000
    ) -> None:
        """`admit` says what is wrong with an object; `history` is how many changes a watch may be behind."""
        self.faults = Faults()
        self._objects = ObjectStore(clock, admit, history)
        self._epoch: str | None = None
        self._applied: dict[tuple[str, str, str, str], RawObject] = {}

    # Any kind

    async def create(self, manifest: RawObject) -> RawObject:
        """Create an object; Refused when there is one of its name."""
        return await self._write(lambda: self._objects.create(manifest))

    async def get(self, kind: Kind, namespace: str, name: str) -> RawObject | None:
        """One object; None when there is none."""
        return await self._read(lambda: self._get(kind, namespace, name))

    async def listing(self, kind: Kind, namespace: str | None = None, selector: str | None = None) -> Listing:
        """The objects of a kind, and the version to watch from."""
        return await self._read(lambda: self._objects.listing(kind, namespace, selector))

    async def update(self, manifest: RawObject) -> RawObject:
        """Replace an object but for its status; its resourceVersion must be the current one."""
        return await self._write(lambda: self._objects.update(manifest))

    async def merge(self, kind: Kind, namespace: str, name: str, patch: RawObject) -> RawObject:
        """Merge into an object, as a person's `kubectl patch --type merge` does."""
        return await self._write(lambda: self._objects.merge_patch(kind, namespace, name, patch))

    async def merge_status(self, kind: Kind, namespace: str, name: str, status: dict[str, Any]) -> RawObject:
        """Merge into the status of an object; a None removes its field."""
        patch = {"status": status}
        return await self._write(lambda: self._objects.merge_patch(kind, namespace, name, patch, status=True))

    async def remove(self, kind: Kind, namespace: str, name: str, uid: str | None = None) -> None:
        """Delete an object, of that uid if one is given; Gone when there is none."""
        await self._write(lambda: self._objects.delete(kind, namespace, name, uid))

    async def watch(
        self, kind: Kind, namespace: str | None = None, since: str | None = None, selector: str | None = None
    ) -> AsyncGenerator[WatchEvent, None]:
        """Every change after the version `since`, without end; from None: what there is, as ADDED, and what follows.

        :raises Expired: changes since then are forgotten (or were, while the caller was slow): list anew.
        """
        journal = self._objects.journal
        if since is None:
            listing = self._objects.listing(kind, namespace, selector)
            since = listing.resource_version
            for item in listing.items:
                yield WatchEvent(EventType.ADDED, item)
        position = int(since)
        while True:
            for entry in journal.after(position):
                position = entry.version
                if entry.key[:2] == kind and namespace in {None, entry.key[2]}:
                    subject = decode(entry.data)
                    if matches(subject, selector):
                        yield WatchEvent(entry.type, subject)
            if not journal.after(position):
                await journal.wait()

    def compact(self) -> None:
        """Forget all history: watches from an older version end with Expired."""
        self._objects.journal.compact()

    # JobStore

    async def read(self, namespace: str, name: str) -> RawObject | None:
        """See `JobStore.read`."""
        return await self.get(JOB, namespace, name)

    async def patch_status(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        """See `JobStore.patch_status`."""
        return await self._write(lambda: self._objects.json_patch(JOB, namespace, name, list(patch), status=True))

    async def patch(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        """See `DeadLetterJobs.patch`."""
        return await self._write(lambda: self._objects.json_patch(JOB, namespace, name, list(patch)))

    async def delete(self, namespace: str, name: str, uid: str) -> None:
        """See `JobStore.delete`."""
        try:
            await self.remove(JOB, namespace, name, uid)
        except Gone:
            return
        except Refused as error:
            found = await self.read(namespace, name)
            if found is not None and found["metadata"]["uid"] == uid:
                raise StoreUnavailable(str(error)) from error

    async def list_jobs(self, namespace: str | None) -> list[RawObject]:
        """All Jobs of a namespace, or of all."""
        return (await self.listing(JOB, namespace)).items

    # EpochStore

    async def load(self) -> str | None:
        """See `EpochStore.load`."""
        return await self._read(lambda: self._epoch)

    async def replace(self, old: str | None, new: str) -> bool:
        """See `EpochStore.replace`."""
        try:
            return await self._write(lambda: self._replace(old, new))
        except Refused:
            return False

    def _replace(self, old: str | None, new: str) -> bool:
        if self._epoch != old:
            return False
        self._epoch = new
        return True

    # PoolCluster

    async def apply(self, manifest: RawObject) -> RawObject:
        """See `PoolCluster.apply`. Of server-side apply: fields that are no longer applied go, lists are replaced."""
        return await self._write(lambda: self._apply(decode(encode(manifest))))

    def _apply(self, manifest: RawObject) -> RawObject:
        key = key_of(manifest)
        if key[:2] not in _APPLIED:
            raise Rejected(f"this operator does not handle {key[0]} {key[1]}")
        before = self._applied.get(key, {})
        try:
            patch = as_merge_patch(before, manifest)
            applied = self._objects.merge_patch((key[0], key[1]), key[2], key[3], patch)
        except Gone:
            applied = self._objects.create(manifest)
        self._applied[key] = manifest
        return applied

    async def read_deployment(self, namespace: str, name: str) -> RawObject | None:
        """See `PoolCluster.read_deployment`."""
        return await self.get(DEPLOYMENT, namespace, name)

    async def scale(self, namespace: str, name: str, replicas: int) -> None:
        """See `PoolCluster.scale`."""
        await self.merge(DEPLOYMENT, namespace, name, {"spec": {"replicas": replicas}})

    async def patch_pool_status(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        """See `PoolCluster.patch_pool_status`."""
        await self.merge_status(POOL, namespace, name, status)

    async def annotate_pod(self, namespace: str, name: str, annotations: dict[str, str | None]) -> None:
        """See `PoolCluster.annotate_pod`: there are no pods here."""
        del annotations
        raise Gone(f"pod {namespace}/{name}")

    async def delete_pod(self, namespace: str, name: str) -> None:
        """See `PoolCluster.delete_pod`: there are no pods here."""

    async def read_budget(self, namespace: str, name: str) -> RawObject | None:
        """See `PoolCluster.read_budget`."""
        return await self.get(BUDGET, namespace, name)

    async def delete_budget(self, namespace: str, name: str, uid: str) -> None:
        """See `PoolCluster.delete_budget`."""
        with contextlib.suppress(Gone, Refused):
            await self.remove(BUDGET, namespace, name, uid)

    async def read_pool(self, namespace: str, name: str) -> RawObject | None:
        """See `DeadLetterPools.read_pool`."""
        return await self.get(POOL, namespace, name)

    async def patch_pool(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        """See `DeadLetterPools.patch_pool`."""
        return await self._write(lambda: self._objects.json_patch(POOL, namespace, name, list(patch)))

    async def list_pods(self, namespace: str, selector: str) -> list[RawObject]:
        """See `PoolCluster.list_pods`."""
        return (await self.listing(POD, namespace, selector)).items

    async def list_pools(self, namespace: str | None) -> list[RawObject]:
        """All WorkerPools of a namespace, or of all."""
        return (await self.listing(POOL, namespace)).items

    # Workflows

    async def list_workflows(self, namespace: str | None) -> list[RawObject]:
        """All Workflows of a namespace, or of all."""
        return (await self.listing(WORKFLOW, namespace)).items

    async def read_workflow(self, namespace: str, name: str) -> RawObject | None:
        """See `WorkflowStore.read_workflow`."""
        return await self.get(WORKFLOW, namespace, name)

    async def patch_workflow_status(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        """Merge into the status of a Workflow; a None removes its field."""
        await self.merge_status(WORKFLOW, namespace, name, status)

    async def create_revision(self, manifest: RawObject) -> None:
        """Create a ControllerRevision; one that is there already is a success."""
        try:
            await self.create(manifest)
        except Refused:
            return

    async def read_revision(self, namespace: str, name: str) -> RawObject | None:
        """A ControllerRevision; None when there is none."""
        return await self.get(REVISION, namespace, name)

    async def list_revisions(self, namespace: str | None) -> list[RawObject]:
        """See `WorkflowStore.list_revisions`."""
        return (await self.listing(REVISION, namespace, names.LABEL_WORKFLOW)).items

    async def delete_revision(self, namespace: str, name: str) -> None:
        """See `WorkflowStore.delete_revision`."""
        with contextlib.suppress(Gone):
            await self.remove(REVISION, namespace, name)

    # The network that is not there

    def _get(self, kind: Kind, namespace: str, name: str) -> RawObject | None:
        if self.faults.is_stale_read():
            entry = self._objects.journal.before_last((*kind, namespace, name))
            return None if entry is None or entry.type is EventType.DELETED else decode(entry.data)
        try:
            return self._objects.get(kind, namespace, name)
        except Gone:
            return None

    async def _read(self, act: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        self.faults.before_call()
        return act()

    async def _write(self, act: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        fault = await self.faults.before_write()
        done = act()
        if fault is WriteFault.REPLY_LOST:
            raise StoreUnavailable("a fault that was asked for: written, no answer")
        return done
