"""The API server of one run, and what one operator process sees of it: the ports of the engine over `ObjectStore`.

The server answers at once, in the world's own context; each call of a process takes two random times, to it and back,
and the faults of `faults` strike in between. So a write may land after its writer is dead or has given it up.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from mastercontrol.api.names import LABEL_WORKFLOW
from mastercontrol.engine.ports import Gone, JsonPatch, RawObject, Refused, StoreError, StoreUnavailable
from mastercontrol.kube.client import PatchType
from mastercontrol.kube.paths import Target
from mastercontrol.memory.objects import Kind, Listing, ObjectStore
from mastercontrol.memory.store import JOB, POOL, REVISION, WORKFLOW
from simulation.faults import API_READS, API_WRITES, Fault, weight

if TYPE_CHECKING:
    from simulation.loop import Process
    from simulation.world import World

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 10.0
"""How long a process waits for an answer."""

LATE_SECONDS: Final = 12.0
"""How long a write that lands late is on its way at most."""

_REFUSALS: Final[dict[Fault, Callable[[], StoreError]]] = {
    Fault.API_ERROR: lambda: StoreUnavailable("503"),
    Fault.CONFLICT: lambda: Refused("409: asked for"),
    Fault.UNPROCESSABLE: lambda: Refused("422: a test failed: asked for"),
}

LEASE: Final[Kind] = ("coordination.k8s.io/v1", "Lease")


class Server:
    """The truth. `down` while it answers nobody."""

    def __init__(self, world: World, now: Callable[[], dt.datetime]) -> None:
        self.world = world
        self.objects = ObjectStore(now, history=100_000)
        self.down = False
        self.epoch: str | None = None

    def patch_status(self, namespace: str, name: str, patch: JsonPatch, writer: str) -> RawObject:
        """Apply a patch to a Job's status; the oracle looks at each."""
        try:
            before = self.objects.get(JOB, namespace, name)
        except Gone:
            before = None
        try:
            after = self.objects.json_patch(JOB, namespace, name, list(patch), status=True)
        except Refused:
            assert before is not None
            self.world.history.refused(writer, before, patch)
            raise
        assert before is not None
        self.world.history.committed(writer, before, after)
        return after

    def create(self, manifest: RawObject, writer: str) -> RawObject:
        """Create an object."""
        made = self.objects.create(manifest)
        self.world.history.created(writer, made)
        return made

    def delete(self, namespace: str, name: str, uid: str | None, writer: str) -> None:
        """Delete a Job. Absent, or of another uid, is success."""
        try:
            gone = self.objects.get(JOB, namespace, name)
            self.objects.delete(JOB, namespace, name, uid)
        except (Gone, Refused):
            return
        self.world.history.deleted(writer, gone)

    def replace_epoch(self, old: str | None, new: str) -> bool:
        """Compare and set."""
        if self.epoch != old:
            return False
        self.epoch = new
        return True


class _Request(Generic[T]):
    """One request on its way, with what goes wrong with it. `dies` is who is killed when it is done."""

    def __init__(self, server: Server, act: Callable[[], T], fault: Fault | None, dies: Process | None) -> None:
        self.server, self.world = server, server.world
        self.act, self.fault, self.dies = act, fault, dies
        self.reply: asyncio.Future[T] = server.world.loop.create_future()

    def send(self) -> None:
        world = self.world
        match self.fault:
            case Fault.API_TIMEOUT:
                pass
            case Fault.API_ERROR | Fault.CONFLICT | Fault.UNPROCESSABLE:
                world.later(world.delay(), self._answer, _REFUSALS[self.fault]())
            case Fault.API_LATE:
                world.later(TIMEOUT_SECONDS + world.dice.random() * LATE_SECONDS, self._serve)
            case _:
                world.later(world.delay(), self._serve)

    def _serve(self) -> None:
        outcome = self._done()
        if self.dies is not None:
            self.world.end(self.dies)
        if self.fault is Fault.API_ERROR_WRITTEN and not isinstance(outcome, Refused):
            outcome = StoreUnavailable("500")
        if self.fault is not Fault.API_TIMEOUT_WRITTEN:
            self.world.later(self.world.delay(), self._answer, outcome)

    def _done(self) -> T | StoreError:
        if self.server.down:
            return StoreUnavailable("connection refused")
        try:
            return self.act()
        except StoreError as error:
            return error

    def _answer(self, outcome: T | StoreError) -> None:
        if self.reply.done():
            return
        if isinstance(outcome, StoreError):
            self.reply.set_exception(outcome)
        else:
            self.reply.set_result(outcome)


class Api:
    """`JobStore`, `WorkflowStore`, `EpochStore`, what the elector needs, and listings, for one process."""

    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        self.process = process
        self.server = world.api
        self.known: dict[str | None, int] = {}  # by the uid of a Job: what the store answered to a write

    # -- one call

    async def _read(self, where: str, act: Callable[[], T]) -> T:
        return await self._call(where, act, self.world.faults.strike(*API_READS, weight=weight(where)))

    async def _write(self, where: str, act: Callable[[], T], *, never: frozenset[Fault] = frozenset()) -> T:
        kinds = [kind for kind in API_WRITES if kind not in never]
        return await self._call(where, act, self.world.faults.strike(*kinds, weight=weight(where)))

    async def _call(self, where: str, act: Callable[[], T], fault: Fault | None) -> T:
        world = self.world
        death = world.strike_process(self.process, where)
        if fault is not None:
            world.note_fault(fault, where, self.process.name)
        if death.before:
            await world.death(self.process)
        request = _Request(self.server, act, fault, self.process if death.after else None)
        request.send()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await request.reply
        except TimeoutError:
            raise StoreUnavailable(f"no answer in {TIMEOUT_SECONDS:g} s") from None

    # -- JobStore

    async def read(self, namespace: str, name: str) -> RawObject | None:
        return await self._read("read", lambda: self._get(JOB, namespace, name))

    async def patch_status(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        told = {op["path"]: op["value"] for op in patch if op["op"] == "test"}
        uid, base = told.get("/metadata/uid"), told.get("/status/sequence")
        # Not of a process that stood still: seed 137 of before has one that does so, which is not understood yet.
        if base is not None and base < self.known.get(uid, 0) and not self.process.stood_still:
            text = f"writes on sequence {base} of {name}, and was told that it wrote {self.known[uid]}"
            self.world.violation(f"{self.process} {text}")
        where = "begin" if base is None else "patch"
        after = await self._write(where, lambda: self.server.patch_status(namespace, name, patch, self.process.name))
        self.known[after["metadata"]["uid"]] = after["status"]["sequence"]
        return after

    async def delete(self, namespace: str, name: str, uid: str) -> None:
        never = frozenset({Fault.CONFLICT, Fault.UNPROCESSABLE})
        await self._write("delete", lambda: self.server.delete(namespace, name, uid, self.process.name), never=never)

    async def create(self, manifest: RawObject) -> RawObject:
        never = frozenset({Fault.UNPROCESSABLE})
        return await self._write("create", lambda: self.server.create(manifest, self.process.name), never=never)

    async def list_jobs(self, namespace: str | None) -> list[RawObject]:
        return (await self.listing(JOB, namespace)).items

    async def listing(self, kind: Kind, namespace: str | None = None) -> Listing:
        """The objects of a kind, and the version to watch from."""
        return await self._read("list", lambda: self.server.objects.listing(kind, namespace))

    def _get(self, kind: Kind, namespace: str, name: str) -> RawObject | None:
        try:
            return self.server.objects.get(kind, namespace, name)
        except Gone:
            return None

    # -- WorkflowStore

    async def read_workflow(self, namespace: str, name: str) -> RawObject | None:
        return await self._read("read workflow", lambda: self._get(WORKFLOW, namespace, name))

    async def read_pool(self, namespace: str, name: str) -> RawObject | None:
        return await self._read("read pool", lambda: self._get(POOL, namespace, name))

    async def create_revision(self, manifest: RawObject) -> None:
        def act() -> None:
            try:
                self.server.objects.create(manifest)
            except Refused:
                return

        await self._write("create revision", act, never=frozenset({Fault.CONFLICT, Fault.UNPROCESSABLE}))

    async def read_revision(self, namespace: str, name: str) -> RawObject | None:
        return await self._read("read revision", lambda: self._get(REVISION, namespace, name))

    async def list_revisions(self, namespace: str | None) -> list[RawObject]:
        return (
            await self._read("list", lambda: self.server.objects.listing(REVISION, namespace, LABEL_WORKFLOW))
        ).items

    async def delete_revision(self, namespace: str, name: str) -> None:
        def act() -> None:
            try:
                self.server.objects.delete(REVISION, namespace, name)
            except Gone:
                return

        await self._write("delete revision", act, never=frozenset({Fault.CONFLICT, Fault.UNPROCESSABLE}))

    async def patch_workflow_status(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        raise AssertionError((namespace, name, status))  # nobody here says whether a Workflow is accepted

    # -- EpochStore

    async def load(self) -> str | None:
        return await self._read("load epoch", lambda: self.server.epoch)

    async def replace(self, old: str | None, new: str) -> bool:
        never = frozenset({Fault.CONFLICT, Fault.UNPROCESSABLE})
        return await self._write("replace epoch", lambda: self.server.replace_epoch(old, new), never=never)


class LeaseClient:
    """As much of `KubeClient` as the elector uses."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._objects = api.server.objects

    async def get(self, target: Target) -> RawObject:
        return await self._api._read("get lease", lambda: self._objects.get(LEASE, *_key(target)))

    async def create(self, target: Target, body: RawObject) -> RawObject:
        del target
        return await self._api._write("create lease", lambda: self._objects.create(body))

    async def patch(self, target: Target, body: RawObject, kind: PatchType) -> RawObject:
        assert kind is PatchType.MERGE
        return await self._api._write("patch lease", lambda: self._objects.merge_patch(LEASE, *_key(target), body))


def _key(target: Target) -> tuple[str, str]:
    assert target.namespace is not None
    assert target.name is not None
    return target.namespace, target.name
