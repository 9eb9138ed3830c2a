"""Fakes of the two ports of the pool controller, and a clock that both the controller and the event loop go by."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mastercontrol.engine.ports import (
    BrokerError,
    BrokerUnavailable,
    Depth,
    DepthUnknown,
    Gone,
    RawObject,
    Rejected,
    StoreError,
    TopologyConflict,
)
from mastercontrol_worker.contract import StepMessage
from mastercontrol_worker.presence import CommandMessage

Path = tuple[str, ...]


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> dt.datetime:
        return dt.datetime(2030, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=self.seconds - 1000)


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path, value


class Cluster:
    """An API server for Deployments and Secrets that knows generations, scale, and who owns a field.

    As with a server-side apply: a field that an earlier apply set and a later one leaves out is removed, and a
    Deployment without `replicas` has 1. `deployment_events` are called with each version, later, as by a watch.
    """

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        self.objects: dict[tuple[str, str, str], RawObject] = {}
        self.statuses: dict[tuple[str, str], dict[str, Any]] = {}
        self.status_writes: list[dict[str, Any]] = []
        self.pods: list[RawObject] = []
        self.unmarkable: str | None = None
        self.fails: StoreError | None = None
        self.status_fails: StoreError | None = None
        self.pods_fail: StoreError | None = None
        self.calls: Counter[str] = Counter()
        self.deployment_events: Callable[..., None] = lambda *_, **__: None
        self.mutate: Callable[[RawObject], None] = lambda _: None
        self.gate = asyncio.Event()
        self.gate.set()
        self._owned: dict[tuple[str, str, str], set[Path]] = {}
        self._versions = itertools.count(1)

    # PoolCluster

    async def apply(self, manifest: RawObject) -> RawObject:
        await self._call("apply", f"apply {manifest['kind']}")
        key = self._key(manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        before = self.objects.get(key)
        new: RawObject = copy.deepcopy(before) if before else {"metadata": {"uid": f"uid-{next(self._versions)}"}}
        applied = dict(leaves(manifest))
        for path in self._owned.get(key, set()) - set(applied):
            self._remove(new, path)
        for path, value in applied.items():
            self._put(new, path, copy.deepcopy(value))
        self._owned[key] = set(applied)
        if manifest["kind"] == "Deployment":
            new["spec"].setdefault("replicas", 1)
        self.mutate(new)
        return self._store(key, new)

    async def read_deployment(self, namespace: str, name: str) -> RawObject | None:
        await self._call("read")
        return copy.deepcopy(self.objects.get(self._key("Deployment", namespace, name)))

    async def scale(self, namespace: str, name: str, replicas: int) -> None:
        await self._call("scale", f"scale {replicas}")
        key = self._key("Deployment", namespace, name)
        if key not in self.objects:
            raise Gone(name)
        new = copy.deepcopy(self.objects[key])
        new["spec"]["replicas"] = replicas
        self._store(key, new)

    async def patch_pool_status(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        await self._call("status")
        if self.status_fails is not None:
            raise self.status_fails
        self.status_writes.append(copy.deepcopy(status))
        merged = self.statuses.setdefault((namespace, name), {})
        for field, value in status.items():
            if value is None:
                merged.pop(field, None)
            else:
                merged[field] = copy.deepcopy(value)

    async def annotate_pod(self, namespace: str, name: str, annotations: dict[str, str | None]) -> None:
        del namespace
        if name == self.unmarkable:
            raise Rejected("the webhook says no")
        marked = any(annotations.values())
        await self._call("annotate", f"{'mark' if marked else 'unmark'} {name}")
        for pod in self.pods:
            if pod["metadata"]["name"] == name:
                pod["metadata"]["annotations"] = {k: v for k, v in annotations.items() if v is not None}
                return
        raise Gone(name)

    async def delete_pod(self, namespace: str, name: str) -> None:
        del namespace
        await self._call("delete", f"delete pod {name}")
        self.pods[:] = [pod for pod in self.pods if pod["metadata"]["name"] != name]

    async def read_budget(self, namespace: str, name: str) -> RawObject | None:
        await self._call("read budget")
        return copy.deepcopy(self.objects.get(self._key("PodDisruptionBudget", namespace, name)))

    async def delete_budget(self, namespace: str, name: str, uid: str) -> None:
        await self._call("delete budget", "delete PodDisruptionBudget")
        key = self._key("PodDisruptionBudget", namespace, name)
        if key in self.objects and self.objects[key]["metadata"]["uid"] == uid:
            del self.objects[key]
            self._owned.pop(key, None)

    async def list_pods(self, namespace: str, selector: str) -> list[RawObject]:
        del namespace, selector
        await self._call("pods")
        if self.pods_fail is not None:
            raise self.pods_fail
        return copy.deepcopy(self.pods)

    # What a test does to it

    @property
    def writes(self) -> int:
        return sum(self.calls[name] for name in ("apply", "scale", "status"))

    def deployment(self, name: str = "resize", namespace: str = "shop") -> RawObject:
        return self.objects[self._key("Deployment", namespace, f"mcp-worker-{name}")]

    def replicas(self, name: str = "resize") -> int:
        return int(self.deployment(name)["spec"]["replicas"])

    @property
    def budget(self) -> RawObject | None:
        """The PodDisruptionBudget of the pool."""
        return self.objects.get(self._key("PodDisruptionBudget", "shop", "mcp-worker-resize"))

    def edit(self, change: Callable[[RawObject], None], name: str = "resize") -> None:
        """Somebody else changes the Deployment."""
        new = copy.deepcopy(self.deployment(name))
        change(new)
        self._store(self._key("Deployment", "shop", f"mcp-worker-{name}"), new)

    def workers(self, replicas: int, ready: int, name: str = "resize") -> None:
        """The Deployment controller reports its pods."""
        counts = {"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready}
        self.edit(
            lambda raw: raw.update(status=counts | {"observedGeneration": raw["metadata"].get("generation", 1)}), name
        )

    def delete_deployment(self, name: str = "resize", namespace: str = "shop") -> None:
        raw = self.objects.pop(self._key("Deployment", namespace, f"mcp-worker-{name}"))
        self._owned.pop(self._key("Deployment", namespace, f"mcp-worker-{name}"), None)
        asyncio.get_running_loop().call_soon(lambda: self.deployment_events(raw, deleted=True))

    # Inside

    async def _call(self, name: str, entry: str | None = None) -> None:
        self.calls[name] += 1
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        if entry is not None:
            self.journal.append(entry)

    def _store(self, key: tuple[str, str, str], new: RawObject) -> RawObject:
        before = self.objects.get(key)
        if before == new:
            return copy.deepcopy(new)
        meta = new["metadata"]
        meta["resourceVersion"] = str(next(self._versions))
        if before is None or before.get("spec") != new.get("spec"):
            meta["generation"] = meta.get("generation", 0) + 1
        self.objects[key] = new
        if key[0] == "Deployment":
            seen = copy.deepcopy(new)
            asyncio.get_running_loop().call_soon(lambda: self.deployment_events(seen))
        return copy.deepcopy(new)

    @staticmethod
    def _key(kind: str, namespace: str, name: str) -> tuple[str, str, str]:
        return kind, namespace, name

    @staticmethod
    def _put(target: RawObject, path: Path, value: Any) -> None:
        for name in path[:-1]:
            target = target.setdefault(name, {})
        target[path[-1]] = value

    @staticmethod
    def _remove(target: RawObject, path: Path) -> None:
        for name in path[:-1]:
            target = target.get(name, {})
        target.pop(path[-1], None)


class Broker:
    """Queues are numbers that a test sets. Down until `epoch` is set."""

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        self.epoch: str | None = None
        self.depths: dict[str, Depth | None] = {}
        self.unknown = DepthUnknown("timeout", "no answer in time")
        """What is said of a depth that is None."""
        self.password = "first"
        self.users_fail: BrokerError | None = None
        self.conflict: TopologyConflict | None = None
        self.holds: dict[tuple[str, str], int | None] = {}
        self.calls: Counter[str] = Counter()
        self.consumers: dict[str, int] | None = {}
        self.on_letter: Callable[[str, CommandMessage], None] = lambda *_: None

    async def publish(self, namespace: str, pool: str, message: StepMessage, *, high: bool = False) -> None:
        del namespace, pool, message, high
        raise AssertionError("the pool controller publishes nothing")

    async def declare_pool(
        self, namespace: str, pool: str, delivery_limit: int, consumer_timeout_seconds: int | None = None
    ) -> None:
        self.holds[namespace, pool] = consumer_timeout_seconds
        self.calls["declare"] += 1
        self._check()
        if self.conflict is not None:
            raise self.conflict
        self.journal.append(f"declare {namespace}.{pool} limit {delivery_limit}")

    async def forget_pool(self, namespace: str, pool: str) -> None:
        self.calls["forget"] += 1
        self._check()
        self.journal.append(f"forget {namespace}.{pool}")

    async def depth(self, namespace: str, pool: str) -> Depth:
        del namespace
        self.calls["depth"] += 1
        depth = self.depths.get(pool, Depth(0, 0, 0))
        if depth is None:
            raise DepthUnknown(self.unknown.reason, str(self.unknown))
        return depth

    async def held(self, namespace: str, pool: str) -> dict[str, int] | None:
        del namespace, pool
        return self.consumers

    async def tell(self, letters: Sequence[tuple[str, bytes]]) -> None:
        self._check()
        for address, body in letters:
            self.on_letter(address, CommandMessage.decode(body))

    async def heard_all(self) -> bool:
        raise AssertionError("the pool controller hears no heartbeats")

    async def worker_url(self, namespace: str, pool: str) -> str:
        self.calls["user"] += 1
        self._check()
        if self.users_fail is not None:
            raise self.users_fail
        self.journal.append(f"user {namespace}.{pool}")
        return f"amqp://{namespace}.{pool}:{self.password}@broker/"

    def _check(self) -> None:
        if self.epoch is None:
            raise BrokerUnavailable("not connected")
