"""A controller of dead letters at work on a broker and a store in memory, with a clock that a test moves.

`engine` stands for the rest of the operator: it deals with the operations of jobs, as `decide` would.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mastercontrol.engine.ports import Delivery, JsonPatch, RawObject
from mastercontrol.memory.broker import MemoryBroker
from mastercontrol.memory.deliveries import StepDelivery
from mastercontrol.memory.faults import WriteFault
from mastercontrol.memory.store import POOL, MemoryStore
from mastercontrol.pools.deadletters.controller import DeadLetterController
from mastercontrol.pools.deadletters.ports import VisitDead
from unit.deadletters.builders import failed_job, pool, step
from unit.pools.fakes import Clock

T = TypeVar("T")

MANY_TURNS_OF_THE_LOOP = 60
STEP_SECONDS = 0.1
HANDLED = "mastercontrol.dev/dead-letters-handled"


class Outside:
    """What the controller calls. A test may let the process die before or after the n-th write, or calls fail."""

    def __init__(self, broker: MemoryBroker, store: MemoryStore) -> None:
        self.broker = broker
        self.store = store
        self.calls = 0
        self.visits = 0
        self.dies_at: int | None = None
        self.dies_after = False
        self.died = asyncio.Event()
        self.job_faults: list[WriteFault] = []
        self.pool_faults: list[WriteFault] = []
        self.before_pool_patch: Callable[[], Awaitable[None]] | None = None

    @property
    def epoch(self) -> str | None:
        return self.broker.epoch

    async def count_dead(self, namespace: str, pool: str) -> int | None:
        return await self.broker.count_dead(namespace, pool)

    async def visit_dead(self, namespace: str, pool: str, visit: VisitDead) -> None:
        self.visits += 1
        await self._dying(lambda: self.broker.visit_dead(namespace, pool, visit))

    async def read(self, namespace: str, name: str) -> RawObject | None:
        return await self.store.read(namespace, name)

    async def patch(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        if self.job_faults:
            self.store.faults.next_write(self.job_faults.pop())
        return await self._dying(lambda: self.store.patch(namespace, name, patch))

    async def read_pool(self, namespace: str, name: str) -> RawObject | None:
        return await self.store.read_pool(namespace, name)

    async def patch_pool(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        if self.before_pool_patch is not None:
            await self.before_pool_patch()
        if self.pool_faults:
            self.store.faults.next_write(self.pool_faults.pop())
        return await self._dying(lambda: self.store.patch_pool(namespace, name, patch))

    async def _dying(self, call: Callable[[], Awaitable[T]]) -> T:
        self.calls += 1
        dies = self.dies_at == self.calls
        if dies and not self.dies_after:
            await self._die()
        answer = await call()
        if dies:
            await self._die()
        return answer

    async def _die(self) -> None:
        self.died.set()
        await asyncio.Event().wait()  # nothing comes after this moment but the cancellation


class Records:
    """The Events that were written, as (kind/name, reason, note)."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, str]] = []
        self.warnings: list[tuple[str, str, str]] = []

    def note(self, regarding: RawObject, reason: str, note: str) -> None:
        self.notes.append((f"{regarding['kind']}/{regarding['metadata']['name']}", reason, note))

    def warn(self, regarding: RawObject, reason: str, note: str) -> None:
        self.warnings.append((f"{regarding['kind']}/{regarding['metadata']['name']}", reason, note))


class World:
    """One pool, `payments` in `shop`, and what happened."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(clock=self.clock.now)
        self.records = Records()
        self.changes: list[tuple[str, str]] = []
        self.refuses = False  # the engine refuses operations
        self.stalls = False  # the engine does nothing
        self._loop = asyncio.get_running_loop()
        self._loop.time = self.clock.monotonic  # type: ignore[method-assign]
        self.broker = MemoryBroker(
            on_delivery=self._deliver,
            on_connected=self._connected,
        )
        self.outside = Outside(self.broker, self.store)
        self.controller = self.new_controller()
        self._task: asyncio.Task[None] | None = None

    def _deliver(self, delivery: Delivery) -> None:
        self.controller.died(delivery.headers)
        delivery.ack()

    def _connected(self, epoch: str) -> None:
        self.controller.on_connected(epoch)

    def new_controller(self) -> DeadLetterController:
        return DeadLetterController(
            self.outside,
            self.outside,
            self.outside,
            self.records,
            clock=self.clock.now,
            monotonic=self.clock.monotonic,
            on_change=lambda *key: self.changes.append(key),
        )

    async def start(self, **annotations: str) -> None:
        await self.store.create(pool(**annotations))
        await self.broker.start()
        await self.broker_is_ready()
        await self.leads()

    async def broker_is_ready(self) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await self.broker.declare_pool("shop", "payments", 1)

    async def leads(self) -> None:
        """A controller that knows nothing begins to lead."""
        self.controller = self.new_controller()
        self.controller.on_pool(await self.pool())
        self._task = self._loop.create_task(self.controller.run())
        await self.settle()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def close(self) -> None:
        await self.stop()
        await self.broker.close()
        del self._loop.time

    async def settle(self) -> None:
        for _ in range(MANY_TURNS_OF_THE_LOOP):
            await asyncio.sleep(0)
        if not self.stalls:
            await self.engine()

    async def after(self, seconds: float) -> None:
        await self.settle()
        end = self.clock.seconds + seconds
        while self.clock.seconds < end:
            self.clock.seconds = min(end, self.clock.seconds + STEP_SECONDS)
            await self.settle()

    async def engine(self) -> None:
        for raw in await self.store.list_jobs("shop"):
            status, asked = raw.get("status") or {}, len(raw["spec"].get("operations") or ())
            if status.get("operationsTaken", 0) >= asked:
                continue
            done = status["phase"] == "Failed" and not self.refuses
            text = f"spec.operations[{asked - 1}], Retry: {'done' if done else 'refused by the test'}"
            condition = {"type": "Operated", "status": str(done), "reason": "Retried" if done else "OperationRefused"}
            condition |= {"message": text, "lastTransitionTime": "2030-01-01T12:00:00.000Z"}
            new: dict[str, Any] = {"operationsTaken": asked, "conditions": [condition]}
            if done:
                new |= {"phase": "Running", "state": "InProgress.charge", "countedFrom": status["sequence"]}
                new |= {"sequence": status["sequence"] + 1, "resumable": None}
            merge = [{"op": "add", "path": f"/status/{name}", "value": value} for name, value in new.items()]
            await self.store.patch_status("shop", raw["metadata"]["name"], merge)

    async def dies(self, *jobs: str, seq: int = 1, exists: bool = True) -> list[str]:
        """A step of each job is refused by a worker, and the job fails; the ids."""
        ids = []
        steps: asyncio.Queue[StepDelivery] = asyncio.Queue()
        worker = self.broker.consume("shop", "payments", 1, steps.put_nowait)
        for name in jobs:
            raw = failed_job(name)
            if exists and await self.store.read("shop", name) is None:
                del raw["metadata"]["uid"], raw["metadata"]["resourceVersion"]
                made = await self.store.create(raw)
                uid = made["metadata"]["uid"]
                await self.store.merge_status(("mastercontrol.dev/v1alpha1", "Job"), "shop", name, raw["status"])
            else:
                found = await self.store.read("shop", name)
                uid = found["metadata"]["uid"] if found else f"u-{name}"
            message = step(seq, job=name, uid=uid)
            await self.broker.publish("shop", "payments", message)
            (await steps.get()).reject()
            ids.append(message.id)
        worker.close()
        await self.settle()
        return ids

    async def pool(self) -> RawObject:
        raw = await self.store.get(POOL, "shop", "payments")
        assert raw is not None
        return raw

    async def asks(self, **annotations: str) -> None:
        """Somebody annotates the pool, and the watch shows it."""
        found = {f"mastercontrol.dev/{verb}": text for verb, text in annotations.items()}
        raw = await self.store.merge(POOL, "shop", "payments", {"metadata": {"annotations": found}})
        self.controller.on_pool(raw)
        await self.settle()

    async def annotations(self) -> dict[str, str]:
        found: dict[str, str] = (await self.pool())["metadata"]["annotations"]
        return found

    async def said(self) -> dict[str, Any]:
        """The answer, once nothing is asked for any more."""
        found = await self.annotations()
        assert not {"mastercontrol.dev/redrive", "mastercontrol.dev/discard"} & set(found), found
        answer: dict[str, Any] = json.loads(found[HANDLED])
        return answer

    def letters(self) -> list[str]:
        """The ids of what lies in the dead letters."""
        return [message.message_id or "" for message in self.broker.dead_letters("shop", "payments")]

    async def operations(self, name: str) -> list[str]:
        raw = await self.store.read("shop", name)
        assert raw is not None
        return [operation["reason"] for operation in raw["spec"].get("operations") or ()]

    def known(self) -> tuple[int, list[str]] | None:
        """What is shown: the count, and the jobs of the newest."""
        found = self.controller.known("shop", "payments")
        return None if found is None else (found.count, [str(entry["job"]) for entry in found.newest or ()])
