"""One run: everything that there is in it, from one seed. `explore` runs it to its end and says what came of it.

All dice are thrown from one Random; time is the loop's. So a seed names a run, and gives it again to the letter.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any, Final

import pytest

import mastercontrol_worker.worker
from checker.check import check as judge
from mastercontrol.engine import definitions
from mastercontrol.workflow.checked import check
from mastercontrol_worker.backoff import Backoff
from mastercontrol_worker.contract import Failed, StepMessage, Succeeded
from simulation import api, broker
from simulation.events import Kind, Log
from simulation.faults import NO_EMPHASIS, Emphasis, Fault, Faults
from simulation.history import History
from simulation.loop import Process, Stuck, new_loop
from simulation.nemesis import Nemesis
from simulation.operators import Operator
from simulation.processes import SURVIVES, Death
from simulation.workers import new_worker
from simulation.workload import NAMESPACE, POOLS, Workload, pool_object, workflow_object

EPOCH: Final = dt.datetime(2030, 1, 1, 12, 0, tzinfo=dt.UTC)
REST_SECONDS: Final = 300.0
"""How long nothing may be written while a job has not ended: back-offs, time-outs and take-overs are shorter."""
SWEEP_SECONDS: Final = 100.0
LOOK_SECONDS: Final = 2.0
OPERATORS: Final = 2
LEASES: Final = ((10.0, 7.0, 2.0), (2.5, 1.8, 0.4), (2.5, 1.8, 0.4))


@dataclass
class Outcome:
    """What came of one run. `violations`: empty where all held."""

    seed: int
    violations: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    log: Log | None = None
    jobs: int = 0
    commits: int = 0
    unchecked: int = 0
    seconds: float = 0.0


class World:
    """One run in the making."""

    def __init__(self, seed: int, emphasis: Emphasis = NO_EMPHASIS) -> None:
        self.seed = seed
        self.dice = Random(seed)
        self.violations: list[str] = []
        self.unchecked = 0
        self.all_submitted = False
        self.loop = new_loop(Random(seed + 1), self.violation)
        self.context = self.loop.within(self.loop.world)
        self.log = Log(self.loop.time)
        self.faults = Faults(self.dice, emphasis)
        self.workload = Workload(self.dice, emphasis)
        self.may_need_sweep = Fault.QUEUE_LOSS in self.faults.enabled
        self.sweeps = self.may_need_sweep or Fault.WATCH_GAP in self.faults.enabled or self.dice.random() < 0.3
        self.sweep_seconds = SWEEP_SECONDS
        self.lease = self.dice.choice(LEASES)  # how fast another one takes over
        self.slow = self.dice.choice((0.01, 0.1, 0.4))
        self.history = History(self)
        self.api = api.Server(self, self.now)
        self.broker = broker.Server(self)
        self.operators: list[Operator] = []
        self.workers: list[Process] = []
        self.drains: dict[Process, Callable[[], None]] = {}
        self.slots = self.dice.choice((1, 1, 1, 2, 3))
        self.spare = self.dice.randint(0, 2)  # steps that a worker may hold beyond those that it does
        self._numbers = itertools.count(1)
        self._epochs = itertools.count(1)
        self._kept: list[asyncio.Task[Any]] = []
        self.nemesis = Nemesis(self)

    # -- what processes ask of it

    def now(self) -> dt.datetime:
        """The wall clock."""
        return EPOCH + dt.timedelta(seconds=self.loop.time())

    def delay(self) -> float:
        """How long something is on its way, in seconds."""
        dice = self.dice.random()
        if dice < 0.3:
            return 0.0
        seconds = self.dice.expovariate(1 / self.slow)
        return min(seconds * (20 if dice > 0.98 and not self.faults.healed else 1), 3.0)

    def later(self, seconds: float, act: Callable[..., object], *args: Any) -> None:
        """Do something in so many seconds, whoever lives then."""
        self.loop.call_later(seconds, act, *args, context=self.context)

    def new_epoch(self) -> str:
        return f"{next(self._epochs):08x}"

    def work(self, message: StepMessage) -> tuple[float, Succeeded | Failed, bool]:
        """What a handler does with a step."""
        return self.workload.work(message, self.history.jobs[message.job.uid].workflow)

    def violation(self, what: str) -> None:
        """Something does not hold."""
        self.violations.append(f"{what} (at {self.loop.time():.3f} s)")
        self.log(Kind.VIOLATION, "simulation", what=what)
        self.loop.stopped = True

    def note_fault(self, fault: Fault, where: str, actor: str) -> None:
        self.log(Kind.FAULT, actor, fault=fault.value, where=where)
        self.nemesis.follow(fault, where, actor)

    def log_connected(self, process: Process, epoch: str) -> None:
        self.log(Kind.CONNECTED, process.name, epoch=epoch)

    def keep(self, task: asyncio.Task[Any]) -> None:
        """A task of a process that must not end with an error."""
        task.add_done_callback(self._ended)
        self._kept.append(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.violation(f"a task ended with {error!r}")

    # -- processes and their deaths

    def start_operator(self) -> None:
        process = Process(f"operator-{next(self._numbers)}")
        self.log(Kind.START, process.name)
        context = self.loop.within(process)
        operator = context.run(Operator, self, process)
        self.operators.append(operator)
        self.keep(self.loop.create_task(operator.run(), context=context))

    def start_worker(self, pool: str) -> None:
        process = Process(f"worker-{pool}-{next(self._numbers)}")
        self.log(Kind.START, process.name)
        context = self.loop.within(process)
        worker = context.run(new_worker, self, process, pool, self.slots)
        self.workers.append(process)
        self.drains[process] = worker.drain
        task = self.loop.create_task(worker.run(), context=context)
        self.keep(task)
        task.add_done_callback(lambda _: self.end(process), context=self.context)

    def strike_process(self, process: Process, where: str) -> Death:
        """Whether a process dies at this call, or stands still there."""
        if self.nemesis.dooms(process.name, where):
            self.note_fault(Fault.OPERATOR_CRASH, where, process.name)
            return Death(after=True)
        is_worker = process.name.startswith("worker")
        kinds = (Fault.WORKER_CRASH,) if is_worker else (Fault.OPERATOR_CRASH, Fault.ZOMBIE)
        fault = self.faults.strike(*kinds, weight=self.faults.deadliness(where))
        if fault is None:
            return SURVIVES
        self.note_fault(fault, where, process.name)
        if fault is Fault.ZOMBIE:
            self.freeze(process)
            return SURVIVES
        before = self.dice.random() < 0.5
        return Death(before=before, after=not before)

    async def death(self, process: Process) -> None:
        """The process that runs this dies here."""
        self.end(process)
        await self.loop.create_future()

    def end(self, process: Process) -> None:
        """A process is gone; another one takes its place after a while."""
        if not process.alive:
            return
        self.log(Kind.CRASH, process.name)
        self.loop.kill(process)
        for connection in list(self.broker.connections):
            if connection.process is process:
                delay = self.dice.random()
                self.later(delay, connection.close, "its process is gone")
        pause = 0.2 + 3 * self.dice.random()
        if process in self.workers:
            self.workers.remove(process)
            pool = process.name.split("-")[1]
            self.later(pause, self.start_worker, pool)
        else:
            self.operators = [operator for operator in self.operators if operator.process is not process]
            self.later(pause, self.start_operator)

    def freeze(self, process: Process) -> None:
        """A process stands still, mostly for longer than its Lease lasts."""
        if process.frozen:
            return
        seconds = self.dice.choice((3.0, 14.0, 25.0)) * (0.5 + self.dice.random())
        self.log(Kind.FREEZE, process.name, seconds=round(seconds, 3))
        self.loop.freeze(process)
        self.later(seconds, self.thaw, process)

    def thaw(self, process: Process) -> None:
        if process.frozen and process.alive:
            self.log(Kind.THAW, process.name)
            self.loop.thaw(process)

    # -- the run

    async def main(self) -> None:
        """From the first moment to rest."""
        for pool in POOLS:
            self.api.create(pool_object(pool), "user")
        for planned in self.workload.workflows.values():
            self.api.create(workflow_object(planned), "user")
        for _ in range(OPERATORS):
            self.start_operator()
        for pool in POOLS:
            for _ in range(self.dice.randint(1, 2)):
                self.start_worker(pool)
        jobs = self.loop.create_task(self._submit())
        await self.nemesis.run()
        await jobs
        self.nemesis.heal()
        self.faults.healed = True
        self.slow = min(self.slow, 0.05)
        self.log(Kind.HEAL, "simulation")
        await self._rest()

    async def _submit(self) -> None:
        longest = 3 + self.nemesis.incidents * self.nemesis.gap / 3
        times = sorted(self.dice.random() * longest for _ in range(self.workload.jobs))
        for number, time in enumerate(times):
            await asyncio.sleep(max(0.0, time - self.loop.time()))
            workflow = self.workload.draw().name
            self.submit(f"{workflow}-{number}", workflow)
        self.all_submitted = True

    def submit(self, name: str, workflow: str) -> None:
        """Somebody creates a Job, unless there is one of that name."""
        if not any(job.alive and job.name == name for job in self.history.jobs.values()):
            self.api.create(self.workload.job(name, workflow), "user")

    async def _rest(self) -> None:
        patience = REST_SECONDS + (3 * SWEEP_SECONDS if self.sweeps else 0)
        limit, commits = self.loop.time() + patience, self.history.commits
        while self.loop.time() < limit:
            await asyncio.sleep(LOOK_SECONDS)
            # What a leader wrongly remembers, the sweep puts right: a deletion that no watch saw, for one.
            if not self.history.open_jobs() and not self._waiting() and not self._remembered():
                break
            if self.history.commits != commits:
                limit, commits = self.loop.time() + patience, self.history.commits
        steps, results = self._messages()
        dead = len(self.broker.disk.dead_results)
        self.log(Kind.REST, "simulation", steps=steps, results=results, dead=dead)
        self.history.verdict()
        for broken in judge(self.log.events).faults:
            self.violation(str(broken))
        if steps or results:
            self.violation(f"messages are left: steps {steps}, results {results}")
        for fault in self._remembered():
            self.violation(fault)

    def _waiting(self) -> bool:
        steps, results = self._messages()
        turns = any(c.running or c.letters for o in self.operators if o.leads for c in o.engine.mailboxes)
        return bool(steps or results or turns)

    def _messages(self) -> tuple[list[str], list[str]]:
        disk = self.broker.disk
        return (
            [id_ for queue in disk.pools.values() for id_ in _ids(queue)],
            _ids(disk.results),
        )

    def _remembered(self) -> list[str]:
        """What leaders hold in memory of Jobs and steps that are no more."""
        leaders = [operator for operator in self.operators if operator.leads]
        held = [(o, cell) for o in leaders for cell in o.engine.mailboxes if cell.letters or cell.running]
        counts = [(o, pool, o.engine.outstanding(NAMESPACE, pool)) for o in leaders for pool in POOLS]
        return [f"{o.process} still holds something of {cell.key}" for o, cell in held] + [
            f"{o.process} counts {count} steps with pool {pool}, and none is" for o, pool, count in counts if count
        ]


def _ids(queue: Any) -> list[str]:
    ready = [message.message_id for message in queue._ready.messages()]
    return ready + [m.message_id for consumer in queue._consumers for m in consumer._held.values()]


_check = lru_cache(maxsize=1024)(lambda name, spec: check(name, json.loads(spec)))


@contextmanager
def _deterministic(world: World) -> Iterator[None]:
    """The worker's own dice, for as long as a run lasts; and Workflows are compiled once, not by each operator."""

    def backoff(first: float, limit: float) -> Backoff:
        return Backoff(first, limit, world.dice.random)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mastercontrol_worker.worker, "Backoff", backoff)
        patch.setattr(definitions, "check", lambda name, spec: _check(name, json.dumps(spec)))
        yield


def explore(seed: int, emphasis: Emphasis = NO_EMPHASIS) -> Outcome:
    """One run. A fault of the simulation's own passes through."""
    logging.disable(logging.CRITICAL)
    gc.disable()  # what is left of a killed process must not be cleared away in the middle of a run
    world = World(seed, emphasis)
    main: Coroutine[Any, Any, None] = world.main()
    try:
        with _deterministic(world):
            world.loop.run(main)
    except Stuck as stuck:
        world.violations.append(str(stuck))
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
    return Outcome(
        seed,
        world.violations,
        world.faults.count,
        world.log,
        len(world.history.jobs),
        world.history.commits,
        world.unchecked,
        world.loop.time(),
    )
