"""Fakes of the engine's ports, with hooks for faults; `unit.engine.world` puts an engine on them.

They are as small as the questions asked of them. All of them note what happens, in order, in one journal, as texts
such as `publish 1:1`, `write 2`, `ack 1:1`. `mastercontrol.memory` has the full stores and broker.
"""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mastercontrol.api.names import ANNOTATION_DISPATCH
from mastercontrol.engine.ports import (
    BrokerUnavailable,
    Depth,
    DepthUnknown,
    Gone,
    JsonPatch,
    RawObject,
    Readiness,
    Refused,
)
from mastercontrol_worker.contract import StepMessage

Journal = list[str]
Key = tuple[str, str]


def short(id_: str | None) -> str:
    """A dispatch id without the uid."""
    return (id_ or "?").partition(":")[2]


class FakeClock:
    """Stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.time = dt.datetime(2030, 1, 1, 12, 0, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.time


@dataclass
class Fault:
    """What becomes of one write: `written` or not, and the error that answers it."""

    error: Exception
    written: bool = False
    meanwhile: Callable[[], object] = lambda: None


class FakeJobs:
    """The API server's Jobs: resourceVersions, `test` operations, faults."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.objects: dict[Key, RawObject] = {}
        self.version = 100
        self.faults: deque[Fault] = deque()
        self.read_faults: deque[Exception] = deque()
        self.delete_faults: deque[Exception] = deque()
        self.list_faults: deque[Exception] = deque()
        self.listings = 0
        self.created: str | None = None
        self.create_faults: deque[Fault | None] = deque()
        self.made = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.writing: set[str] = set()
        self.overlaps = 0
        self.written: list[tuple[str, RawObject]] = []

    def put(self, name: str, uid: str, **spec: Any) -> RawObject:
        raw = {
            "metadata": {"namespace": "shop", "name": name, "uid": uid, "generation": 1},
            "spec": {"workflow": "order", "input": {"n": 1}, **spec},
        }
        if self.created is not None:
            raw["metadata"]["creationTimestamp"] = self.created
        return self._store(raw)

    def edit(self, name: str, **spec: Any) -> RawObject:
        raw = copy.deepcopy(self.objects["shop", name])
        raw["spec"].update(spec)
        raw["metadata"]["generation"] += 1
        return self._store(raw)

    def _store(self, raw: RawObject) -> RawObject:
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        self.objects[raw["metadata"]["namespace"], raw["metadata"]["name"]] = raw
        return copy.deepcopy(raw)

    async def read(self, namespace: str, name: str) -> RawObject | None:
        await asyncio.sleep(0)
        if self.read_faults:
            raise self.read_faults.popleft()
        self.journal.append("read")
        return copy.deepcopy(self.objects.get((namespace, name)))

    async def patch_status(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        self.overlaps += name in self.writing
        self.writing.add(name)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
            fault = self.faults.popleft() if self.faults else None
            if fault is None:
                return self._patch(namespace, name, patch)
            if fault.written:
                self._patch(namespace, name, patch)
            fault.meanwhile()
            raise fault.error
        finally:
            self.writing.discard(name)

    def _patch(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        raw = copy.deepcopy(self.objects.get((namespace, name)))
        if raw is None:
            raise Gone(name)
        for op in patch:
            parts = op["path"].strip("/").split("/")
            if op["op"] == "test":
                at: Any = raw
                for part in parts:
                    at = at.get(part) if isinstance(at, dict) else None
                if at != op["value"]:
                    self.journal.append("refused")
                    raise Refused(op["path"])
            else:
                assert parts == ["status"], op
                assert op["op"] == "add" or "status" in raw, "replace needs something to replace"
                raw["status"] = copy.deepcopy(op["value"])
        self.journal.append(f"write {raw['status']['sequence']}")
        self.written.append((name, copy.deepcopy(raw["status"])))
        return self._store(raw)

    async def delete(self, namespace: str, name: str, uid: str) -> None:
        await asyncio.sleep(0)
        if self.delete_faults:
            raise self.delete_faults.popleft()
        self.journal.append("delete")
        raw = self.objects.get((namespace, name))
        if raw is not None and raw["metadata"]["uid"] == uid:
            del self.objects[namespace, name]

    async def create(self, manifest: RawObject) -> RawObject:
        await asyncio.sleep(0)
        meta = manifest["metadata"]
        fault = self.create_faults.popleft() if self.create_faults else None
        if fault is not None and not fault.written:
            fault.meanwhile()
            raise fault.error
        if (meta["namespace"], meta["name"]) in self.objects:
            self.journal.append("exists")
            raise Refused(meta["name"])
        self.journal.append(f"create {short(meta.get('annotations', {}).get(ANNOTATION_DISPATCH))}")
        self.made += 1
        raw = copy.deepcopy(manifest)
        raw["metadata"] |= {"uid": f"made-{self.made}", "generation": 1}
        made = self._store(raw)
        if fault is not None:
            fault.meanwhile()
            raise fault.error
        return made

    def status(self, name: str = "j") -> dict[str, Any]:
        return dict(self.objects["shop", name].get("status") or {})

    def state(self, name: str = "j") -> str | None:
        return self.status(name).get("state")

    async def list_jobs(self, namespace: str | None = None) -> list[RawObject]:
        await asyncio.sleep(0)
        if self.list_faults:
            raise self.list_faults.popleft()
        self.listings += 1
        return copy.deepcopy([raw for (ns, _), raw in self.objects.items() if namespace in {None, ns}])


class FakeWorkflows:
    """The API server's Workflows and revisions."""

    def __init__(self) -> None:
        self.workflows: dict[Key, RawObject] = {}
        self.revisions: dict[Key, RawObject] = {}
        self.created: list[str] = []
        self.reads = 0
        self.faults: deque[Exception] = deque()
        self.version = 0

    def put(self, *states: Any, name: str = "order", **spec: Any) -> RawObject:
        self.version += 1
        listed = [s if isinstance(s, dict) else {"name": s, "pool": f"{s}-pool"} for s in states]
        meta = {"namespace": "shop", "name": name, "uid": f"w-{name}", "resourceVersion": str(self.version)}
        raw = {"metadata": {**meta, "generation": self.version}, "spec": {"states": listed, **spec}}
        self.workflows["shop", name] = raw
        return copy.deepcopy(raw)

    async def read_workflow(self, namespace: str, name: str) -> RawObject | None:
        await self._answer()
        self.reads += 1
        return copy.deepcopy(self.workflows.get((namespace, name)))

    async def create_revision(self, manifest: RawObject) -> None:
        await self._answer()
        meta = manifest["metadata"]
        self.created.append(meta["name"])
        self.revisions.setdefault((meta["namespace"], meta["name"]), copy.deepcopy(manifest))

    async def read_revision(self, namespace: str, name: str) -> RawObject | None:
        await self._answer()
        return copy.deepcopy(self.revisions.get((namespace, name)))

    async def list_revisions(self, namespace: str | None) -> list[RawObject]:
        await self._answer()
        return [copy.deepcopy(raw) for (ns, _), raw in self.revisions.items() if namespace in {None, ns}]

    async def delete_revision(self, namespace: str, name: str) -> None:
        await self._answer()
        self.revisions.pop((namespace, name), None)

    async def patch_workflow_status(self, namespace: str, name: str, status: RawObject) -> None:
        await self._answer()
        self.workflows[namespace, name]["status"] = status

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.faults:
            raise self.faults.popleft()


class FakePools:
    """Which pools there are: all but those named."""

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self.unseen: set[str] = set()
        self.poked: list[str] = []
        self.ready: dict[str, Readiness] = {}
        self.asked: list[str] = []

    def known(self, namespace: str, pool: str) -> bool:
        return namespace == "shop" and pool not in self.missing | self.unseen

    async def find(self, namespace: str, pool: str) -> bool:
        await asyncio.sleep(0)
        self.asked.append(pool)
        return namespace == "shop" and pool not in self.missing

    def poke(self, namespace: str, pool: str) -> None:
        assert namespace == "shop"
        self.poked.append(pool)

    def workers(self, namespace: str, pool: str) -> Readiness | None:
        assert namespace == "shop"
        return self.ready.get(pool)


class FakeReporter:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def warn(self, regarding: RawObject, reason: str, note: str) -> None:
        self.events.append((regarding["metadata"]["name"], reason, note))


@dataclass
class FakeDelivery:
    """A message of the results queue in somebody's hands."""

    queue: list[FakeDelivery]
    journal: Journal
    message_id: str | None
    body: bytes
    epoch: str
    headers: dict[str, Any] = field(default_factory=dict)
    settled: str | None = None

    def ack(self) -> None:
        self._settle("ack")

    def reject(self) -> None:
        self._settle("reject")

    def _settle(self, how: str) -> None:
        assert self.settled is None, f"{self.message_id} is settled twice"
        self.settled = how
        self.journal.append(f"{how} {short(self.message_id)}")
        if self in self.queue:
            self.queue.remove(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


class FakeBroker:
    """Step queues as lists, results in hand until they are settled, an epoch, faults."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.epoch: str | None = "e1"
        self.sent: list[tuple[str, StepMessage]] = []
        self.queue: list[StepMessage] = []
        self.unsettled: list[FakeDelivery] = []
        self.faults: deque[Exception | None] = deque()
        self.gate = asyncio.Event()
        self.gate.set()
        self.depths: dict[str, Depth | None] = {}
        self.hears_all = True
        self.before_echo: Callable[[], object] = lambda: None

    async def publish(self, namespace: str, pool: str, message: StepMessage, *, high: bool = False) -> None:
        assert namespace == message.job.namespace
        await self.gate.wait()
        await asyncio.sleep(0)
        fault = self.faults.popleft() if self.faults else None
        if self.epoch is None:
            fault = fault or BrokerUnavailable("not connected")
        if fault is not None:
            self.journal.append(f"no confirm {short(message.id)}")
            raise fault
        self.journal.append(f"publish {short(message.id)}" + (" high" if high else ""))
        self.sent.append((pool, message))
        self.queue.append(message)

    async def declare_pool(
        self, namespace: str, pool: str, delivery_limit: int, consumer_timeout_seconds: int | None = None
    ) -> None:
        del consumer_timeout_seconds
        raise AssertionError((namespace, pool, delivery_limit))

    async def forget_pool(self, namespace: str, pool: str) -> None:
        raise AssertionError((namespace, pool))

    async def depth(self, namespace: str, pool: str) -> Depth:
        await asyncio.sleep(0)
        assert namespace == "shop"
        depth = self.depths.get(pool, Depth(0, 0, 1))
        if depth is None:
            raise DepthUnknown("timeout", "no answer in time")
        return depth

    async def heard_all(self) -> bool:
        await asyncio.sleep(0)
        self.before_echo()
        self.journal.append("echo" if self.hears_all else "no echo")
        return self.hears_all

    async def worker_url(self, namespace: str, pool: str) -> str:
        raise AssertionError((namespace, pool))

    def deliver(self, message_id: str | None, body: bytes, **headers: Any) -> FakeDelivery:
        assert self.epoch is not None
        delivery = FakeDelivery(self.unsettled, self.journal, message_id, body, self.epoch, headers)
        self.unsettled.append(delivery)
        return delivery

    def redeliver(self) -> list[FakeDelivery]:
        """The connection is gone: what was not settled is handed out again."""
        old, self.unsettled[:] = list(self.unsettled), []
        for delivery in old:
            delivery.queue = []
        return [self.deliver(d.message_id, d.body, **d.headers) for d in old]

    def lose_everything(self, epoch: str) -> None:
        self.epoch = epoch
        self.queue.clear()
        for delivery in self.unsettled:
            delivery.queue = []
        self.unsettled.clear()
