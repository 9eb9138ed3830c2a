"""A world whose Workflow limits how many of its jobs run at once, watched at every write and every publish.

What holds is asserted where it happens, in whatever test uses it: no write lets one job too many begin, and no step is
sent for a job that is not known to hold a place.
"""

from __future__ import annotations

import copy
import datetime as dt
from typing import Any

from mastercontrol.api.values import format_time
from mastercontrol.engine.ports import Gone, JsonPatch, RawObject, Refused, StoreUnavailable
from mastercontrol.engine.recovery import Sweeper
from mastercontrol_worker.contract import StepMessage
from unit.engine.fakes import FakeBroker, FakeJobs, Journal
from unit.engine.world import World, until

CUSTOMER = "${job.input.customer}"


class WatchedJobs(FakeJobs):
    """Jobs whose places are counted at every write, by the store alone."""

    def __init__(self, journal: Journal, concurrency: dict[str, Any]) -> None:
        super().__init__(journal)
        self.concurrency: dict[str, Any] | None = concurrency
        self.begun: list[str] = []
        self.most = 0
        self.broken: list[str] = []
        self.late: list[tuple[str, str, JsonPatch]] = []
        self.delays = 0

    async def patch_status(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        if self.delays:
            # It is on its way for longer than its sender waits.
            self.delays -= 1
            self.late.append((namespace, name, copy.deepcopy(list(patch))))
            raise StoreUnavailable("no answer in time")
        return await super().patch_status(namespace, name, patch)

    def land(self) -> None:
        """What was on its way arrives."""
        late, self.late = self.late, []
        for namespace, name, patch in late:
            try:
                self._patch(namespace, name, patch)
            except (Refused, Gone):
                continue

    def _patch(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        before = self._holds(self.objects.get((namespace, name)))
        raw = super()._patch(namespace, name, patch)
        if not before and self._holds(raw):
            self.begun.append(name)
            running = self.running(key_of(raw, self.concurrency))
            self.most = max(self.most, len(running))
            if self.concurrency is not None and len(running) > self.concurrency["limit"]:
                self.broken.append(f"{running} run at once under {self.concurrency}")
        return raw

    def running(self, key: Any = None) -> list[str]:
        """The jobs that hold a place of a key, by the store alone."""
        found = [raw for raw in self.objects.values() if self._holds(raw)]
        return [raw["metadata"]["name"] for raw in found if key_of(raw, self.concurrency) == key]

    def all_running(self) -> list[str]:
        return [raw["metadata"]["name"] for raw in self.objects.values() if self._holds(raw)]

    @staticmethod
    def _holds(raw: RawObject | None) -> bool:
        status = (raw or {}).get("status") or {}
        deleting = "deletionTimestamp" in (raw or {}).get("metadata", {})
        return status.get("sequence", 0) > 0 and "completionTime" not in status and not deleting


def key_of(raw: RawObject, concurrency: dict[str, Any] | None) -> Any:
    """The key of a job, told independently of the gate."""
    if concurrency is None or "key" not in concurrency:
        return None
    return raw["spec"]["input"][concurrency["key"].rpartition(".")[2].rstrip("}")]


class WatchedBroker(FakeBroker):
    """Nothing is sent for a job that holds no place in the store."""

    jobs: WatchedJobs

    async def publish(self, namespace: str, pool: str, message: StepMessage, *, high: bool = False) -> None:
        raw = self.jobs.objects.get((message.job.namespace, message.job.name))
        begun = raw is None or (raw.get("status") or {}).get("sequence", 0) > 0
        if self.jobs.concurrency is not None and not begun:
            self.jobs.broken.append(f"a step of {message.job.name} was sent before it had a place")
        await super().publish(namespace, pool, message, high=high)


class Shop(World):
    """A world with one limited Workflow, `order`, of the steps a and b."""

    def __init__(self, **concurrency: Any) -> None:
        super().__init__()
        self.jobs: WatchedJobs = WatchedJobs(self.journal, concurrency)
        self.broker: WatchedBroker = WatchedBroker(self.journal)
        self.broker.jobs = self.jobs
        self.numbers = 0
        self.workflows.put("a", "b", concurrency=concurrency)
        self.engine = self.new_engine()

    def order(self, name: str | None = None, customer: Any = "acme", *, seen: bool = True, **spec: Any) -> str:
        """A user creates a Job, a second after the one before."""
        self.numbers += 1
        name = name or f"order-{self.numbers:05}"
        self.clock.time += dt.timedelta(seconds=1)
        self.jobs.created = format_time(self.clock.time)
        raw = self.jobs.put(name, f"u{self.numbers}", **{"input": {"customer": customer}, **spec})
        if seen:
            self.engine.observe(raw)
        return name

    def limit(self, **concurrency: Any) -> None:
        """The user edits the Workflow."""
        self.jobs.concurrency = concurrency or None
        more: dict[str, Any] = {"concurrency": concurrency} if concurrency else {}
        self.engine.outside.definitions.observe(self.workflows.put("a", "b", **more))
        self.engine.look_at_namespace("shop")

    def message(self, name: str) -> str | None:
        found: str | None = self.jobs.status(name).get("message")
        return found

    def waits_for(self, name: str) -> str | None:
        """The reason of a Job's condition Waiting."""
        conditions = self.jobs.status(name).get("conditions", [])
        return next((c["reason"] for c in conditions if c["type"] == "Waiting"), None)

    async def runs(self, *names: str) -> None:
        """Until these run, and no other does."""
        await until(
            lambda: sorted(self.jobs.all_running()) == sorted(names) and self.quiet(), f"not {names} but {self.seen()}"
        )
        await self.rest()
        self.check()

    async def ends(self, name: str) -> None:
        """Workers do all steps of a Job, and of no other."""

        def ended() -> bool:
            for step in [s for s in self.broker.queue if s.job.name == name]:
                self.answer(step)
            return self.jobs.status(name).get("completionTime") is not None

        await until(ended, f"{name} never ended: {self.seen()}")
        await self.rest()

    async def sweep(self) -> None:
        """What no event told of is found."""

        async def list_jobs() -> list[RawObject]:
            return await self.jobs.list_jobs("shop")

        sweeper = Sweeper(self.engine, self.engine.outside.definitions, list_jobs, seconds=1, watched=None)
        await sweeper._sweep_jobs()
        await self.rest()

    def admitted(self) -> list[str]:
        """Those that may begin and have not yet."""
        lines = [line for group in self.engine.gate._groups.values() for line in group.lines.values()]
        return [name for line in lines for name in line.admitted]

    def seen(self) -> dict[str, Any]:
        return {
            raw["metadata"]["name"]: self.jobs.status(raw["metadata"]["name"]) for raw in self.jobs.objects.values()
        }

    def check(self) -> None:
        assert not self.jobs.broken, self.jobs.broken[0]
