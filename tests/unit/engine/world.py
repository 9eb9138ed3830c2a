"""An engine on the fakes, and what people, workers and accidents do to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from mastercontrol.engine.definitions import Definitions
from mastercontrol.engine.engine import Engine
from mastercontrol.engine.facts import Limits
from mastercontrol.engine.ports import RawObject
from mastercontrol.engine.turn import Outside
from mastercontrol_worker.contract import Failed, ResultMessage, StepError, StepMessage, Succeeded
from mastercontrol_worker.heartbeat import Beat, HeartbeatMessage
from unit.engine.fakes import (
    FakeBroker,
    FakeClock,
    FakeDelivery,
    FakeJobs,
    FakePools,
    FakeReporter,
    FakeWorkflows,
    Journal,
)

PATIENCE = 10.0
"""For what should come about by itself, in seconds."""


async def until(condition: Callable[[], object], why: str = "", *, seconds: float | None = None) -> None:
    """Wait for a condition, with a deadline."""
    end = asyncio.get_running_loop().time() + (seconds if seconds is not None else PATIENCE)
    while not condition():
        assert asyncio.get_running_loop().time() < end, why or "it did not come about in time"
        await asyncio.sleep(0.001)


class World:
    """The stores, the broker, and an engine on them. `crash` gives a new engine on the same stores."""

    def __init__(self, *, watched: frozenset[str] | None = None, concurrent_turns: int = 8) -> None:
        self.journal: Journal = []
        self.jobs = FakeJobs(self.journal)
        self.workflows = FakeWorkflows()
        self.pools = FakePools()
        self.reporter = FakeReporter()
        self.broker = FakeBroker(self.journal)
        self.clock = FakeClock()
        self.patience = 10.0  # for a job that should end by itself, in seconds
        self.jitter = 0.5
        self.worker: Callable[[StepMessage], Any] = lambda step: f"output of {step.step}"
        self.limits = Limits()
        self._watched, self._turns = watched, concurrent_turns
        self.engines: list[Engine] = []
        self.workflows.put("a", "b")
        self.engine = self.new_engine()

    def new_engine(self) -> Engine:
        outside = Outside(
            jobs=self.jobs,
            broker=self.broker,
            definitions=Definitions(self.workflows),
            pools=self.pools,
            reporter=self.reporter,
            clock=self.clock,
            random=lambda: self.jitter,
            limits=self.limits,
        )
        engine = Engine(outside, concurrent_turns=self._turns, watched=self._watched)
        self.engines.append(engine)
        return engine

    async def crash(self) -> None:
        """The operator dies, another one starts, lists the Jobs and gets what was not acknowledged."""
        await self.engine.close(0)
        self.engine = self.new_engine()
        for raw in await self.jobs.list_jobs():
            self.engine.observe(raw)
        for delivery in self.broker.redeliver():
            self.engine.deliver(delivery)

    async def close(self) -> None:
        for engine in self.engines:
            await engine.close(0)

    def submit(self, name: str = "j", uid: str = "u1", **spec: Any) -> RawObject:
        """A user creates a Job, and the watch shows it."""
        raw = self.jobs.put(name, uid, **spec)
        self.engine.observe(raw)
        return raw

    def edit(self, name: str = "j", **spec: Any) -> None:
        self.engine.observe(self.jobs.edit(name, **spec))

    def remove(self, name: str = "j") -> None:
        self.engine.gone(self.jobs.objects.pop(("shop", name)))

    def answer(self, message: StepMessage, output: Any = None, *, error: StepError | None = None) -> FakeDelivery:
        """A worker answers a step, and the broker hands the answer to the engine."""
        if message in self.broker.queue:  # the worker has acknowledged it
            self.broker.queue.remove(message)
        outcome = Succeeded(output) if error is None else Failed(error)
        delivery = self.broker.deliver(message.id, ResultMessage.of(message, outcome, "w").encode())
        self.engine.deliver(delivery)
        return delivery

    def beat(self, message: StepMessage, progress: Any = None, *, worker: str = "w", beat: Beat = Beat.ALIVE) -> None:
        """A worker reports, and the broker hands that to the engine."""
        self.engine.hear(message.id, HeartbeatMessage.of(message, beat, worker, progress).encode())

    def work(self) -> int:
        """A worker does all that lies in the queues; how many steps."""
        steps, self.broker.queue[:] = list(self.broker.queue), []
        for step in steps:
            self.answer(step, self.worker(step))
        return len(steps)

    async def begun(self, name: str = "j", uid: str = "u1", **spec: Any) -> StepMessage:
        """A Job whose first step is out; that step."""
        self.submit(name, uid, **spec)
        await until(lambda: self.jobs.status(name).get("sequence", 0) > 0 and self.quiet())
        return next(m for _, m in reversed(self.broker.sent) if m.job.uid == uid)

    def sent(self, step: str) -> StepMessage:
        """The newest message of a step."""
        return next(m for _, m in reversed(self.broker.sent) if m.step == step)

    @property
    def steps_sent(self) -> set[str]:
        return {m.step for _, m in self.broker.sent}

    def quiet(self) -> bool:
        """No turn is under way."""
        return not any(cell.running for cell in self.engine.mailboxes)

    async def rest(self) -> None:
        await until(self.quiet)

    async def finish(self, name: str = "j", *, seconds: float | None = None) -> None:
        """Workers work until the Job has ended."""

        def ended() -> bool:
            self.work()
            return self.jobs.status(name).get("completionTime") is not None and self.quiet()

        await until(ended, f"{name} never ended: {self.journal}", seconds=seconds or self.patience)
