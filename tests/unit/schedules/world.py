"""A controller of schedules at work over the store in memory, with a clock that a test moves."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from mastercontrol.api.names import API_VERSION
from mastercontrol.engine.ports import RawObject
from mastercontrol.memory.journal import EventType
from mastercontrol.memory.schedules import SCHEDULE, MemorySchedules
from mastercontrol.memory.store import JOB, MemoryStore
from mastercontrol.schedules.controller import ScheduleController
from mastercontrol.schedules.runs import job_name

NAMESPACE = "shop"
START = dt.datetime(2030, 5, 6, 11, 59, 30, tzinfo=dt.UTC)  # a Monday
MANY_TURNS_OF_THE_LOOP = 60
Condition = dict[str, Any]


class Warnings:
    """Kubernetes Events, as a person reads them."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def warn(self, regarding: RawObject, reason: str, note: str) -> None:
        assert regarding["kind"] == "Schedule"
        self.told.append((str(reason), note))

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.told]


class World:
    """What a person does with Schedules, and what becomes of it. Time stands still unless `at` or `pass_` move it."""

    def __init__(self) -> None:
        self.now = START
        self.store = MemoryStore(clock=lambda: self.now)
        self.cluster = MemorySchedules(self.store)
        self.warnings = Warnings()
        self.loop = asyncio.get_running_loop()
        # Small numbers: the loop compares with its resolution of a nanosecond.
        self.loop.time = lambda: (self.now - START).total_seconds() + 1000  # type: ignore[method-assign]
        self.tasks: list[asyncio.Task[None]] = []
        self.controller = self.new_controller()

    def new_controller(self) -> ScheduleController:
        return ScheduleController(self.cluster, self.warnings, lambda: self.now)

    async def start(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        """The operator begins to lead: it lists, something may happen `meanwhile`, then it watches and works."""
        self.controller = self.new_controller()
        for raw in await self.cluster.list_schedules(None):
            self.controller.on_schedule(raw)
        self.controller.listed(await self.cluster.list_scheduled_jobs(None))
        if meanwhile is not None:
            await meanwhile()
        self.tasks = [asyncio.create_task(work) for work in (self.controller.run(), self.watch(), self.watch_jobs())]
        await self.settle()

    async def stop(self) -> None:
        """It ends, or is killed: nothing is done any more."""
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        self.tasks = []

    async def close(self) -> None:
        await self.stop()
        del self.loop.time

    async def watch(self) -> None:
        events = self.store.watch(SCHEDULE, since=(await self.store.listing(SCHEDULE)).resource_version)
        async with _closing(events):
            async for event in events:
                self.controller.on_schedule(event.object, deleted=event.type is EventType.DELETED)

    async def watch_jobs(self) -> None:
        events = self.store.watch(JOB, since=(await self.store.listing(JOB)).resource_version)
        async with _closing(events):
            async for event in events:
                self.controller.on_job(event.object, deleted=event.type is EventType.DELETED)

    async def settle(self) -> None:
        for _ in range(MANY_TURNS_OF_THE_LOOP):
            await asyncio.sleep(0)

    async def at(self, time: str) -> None:
        """Let time pass until then, as `12:05` or `2030-05-07 12:05`, in UTC."""
        day = self.now.date().isoformat()
        end = dt.datetime.fromisoformat(time if "-" in time else f"{day} {time}").replace(tzinfo=dt.UTC)
        assert end > self.now
        await self.settle()
        while self.now < end:
            self.now = min(end, self.now + dt.timedelta(seconds=10))
            await self.settle()

    def sleep_until(self, time: str) -> None:
        """The clock is put forward with nobody at work."""
        assert not self.tasks
        self.now = dt.datetime.fromisoformat(time).replace(tzinfo=dt.UTC)

    # What a person does

    async def create(self, name: str = "report", template: RawObject | None = None, **spec: Any) -> RawObject:
        whole = {"schedule": "* * * * *", "jobTemplate": {"spec": {"workflow": "w"}, **(template or {})}, **spec}
        metadata = {"namespace": NAMESPACE, "name": name}
        raw = {"apiVersion": API_VERSION, "kind": "Schedule", "metadata": metadata, "spec": whole}
        made = await self.store.create(raw)
        await self.settle()
        return made

    async def edit(self, name: str = "report", **spec: Any) -> None:
        await self.store.merge(SCHEDULE, NAMESPACE, name, {"spec": spec})
        await self.settle()

    async def end(self, job: str, phase: str = "Succeeded") -> None:
        """The engine ends a Job."""
        status = {"phase": phase, "completionTime": self.now.isoformat()}
        await self.store.merge_status(JOB, NAMESPACE, job, status)
        await self.settle()

    # What there is

    async def jobs(self) -> list[RawObject]:
        return (await self.store.listing(JOB, NAMESPACE)).items

    async def names(self) -> list[str]:
        return [raw["metadata"]["name"] for raw in await self.jobs()]

    async def status(self, name: str = "report") -> dict[str, Any]:
        raw = await self.store.get(SCHEDULE, NAMESPACE, name)
        assert raw is not None
        return dict(raw.get("status") or {})

    async def ready(self, name: str = "report") -> Condition:
        (condition,) = (await self.status(name))["conditions"]
        assert condition["type"] == "Ready"
        return dict(condition)


def named(time: str, schedule: str = "report", day: str = "2030-05-06") -> str:
    """The name of the Job of a run."""
    return job_name(schedule, dt.datetime.fromisoformat(f"{day} {time}").replace(tzinfo=dt.UTC))


@contextlib.asynccontextmanager
async def _closing(events: AsyncGenerator[Any, None]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await events.aclose()
