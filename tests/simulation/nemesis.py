"""What goes wrong by itself, at random moments of a run: it strikes the world as a whole and the wishes of people."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mastercontrol.api.names import Phase
from mastercontrol.engine.ports import Gone
from mastercontrol.memory.queues import Message
from mastercontrol.memory.store import JOB, POOL
from simulation.api import TIMEOUT_SECONDS
from simulation.events import Kind
from simulation.faults import API_HELD_UP, Fault
from simulation.history import Tracked
from simulation.operators import KINDS
from simulation.workload import NAMESPACE, POOLS, pool_object

if TYPE_CHECKING:
    from simulation.operators import Operator
    from simulation.world import World

MOST_INCIDENTS: Final = 60
GAPS: Final = (0.5, 2.0, 6.0)
"""Seconds between two incidents, on average."""
FOLLOWS: Final = 0.5
"""The share of runs in which things strike while a write is held up. A wipe strikes at no other moment there: it has
all sent again, so a second one hides what the first has spoilt."""
FOLLOWED: Final = 0.9
"""How likely something strikes while a write is held up in such a run."""
DOOMED: Final = 0.7
"""How likely the writer dies as soon as its next write has got through."""
CALM: Final = (20, 15.0)
"""Incidents of such a run at most, and the seconds between two: no more, or they spoil what is being held up."""
OUTAGES: Final = (0.5, 2.0, 10.0)
"""Seconds that an outage takes at most. One that strikes while a write is held up is over before the write is."""
LONGER_SECONDS: Final = 30.0
STOPS_EARLY: Final = 0.3
"""How likely it is that nothing more happens once all Jobs have ended: to be asked at each incident."""
STANDBY: Final = 0.2
"""How often what strikes an operator strikes one that does nothing yet, where there is no other."""
WHILE_RUNNING: Final = 0.3
"""How often a retry is asked of just any job: of one that has not failed it is refused."""
JUMP_SECONDS: Final = (-60.0, -5.0, 5.0, 60.0)


class Nemesis:
    """One run's. `run` strikes, `heal` takes back all that lasts."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.incidents = world.dice.randrange(MOST_INCIDENTS)
        self.gap = world.dice.choice(GAPS)
        self._is_short = False
        self.follows = bool(world.faults.enabled & set(API_HELD_UP)) and world.dice.random() < FOLLOWS
        self._doomed: set[str] = set()
        if self.follows:
            self.incidents, self.gap = min(self.incidents, CALM[0]), CALM[1]
        self._does: dict[Fault, Callable[[], bool]] = {
            Fault.OPERATOR_CRASH: self._crash_operator,
            Fault.ZOMBIE: self._freeze_operator,
            Fault.WORKER_CRASH: self._crash_worker,
            Fault.WORKER_DRAIN: self._drain_worker,
            Fault.CUT: self._cut,
            Fault.DUPLICATE: self._duplicate,
            Fault.BROKER_RESTART: self._restart_broker,
            Fault.BROKER_WIPE: self._wipe_broker,
            Fault.QUEUE_LOSS: self._purge,
            Fault.API_DOWN: self._stop_api,
            Fault.WATCH_EXPIRED: self._compact,
            Fault.WATCH_STALE: self._slow_watch,
            Fault.WATCH_GAP: self._break_watch,
            Fault.CLOCK_JUMP: self._jump,
            Fault.POOL_GONE: self._delete_pool,
            Fault.CANCEL: self._cancel,
            Fault.SUSPEND: self._suspend,
            Fault.DELETE: self._delete,
            Fault.RETRY: self._retry,
        }

    async def run(self) -> None:
        """Strike at random moments; and as long as there are Jobs, calls may go wrong for a while longer."""
        dice, world = self.world.dice, self.world
        for _ in range(self.incidents):
            await asyncio.sleep(dice.expovariate(1 / self.gap))
            if world.all_submitted and not world.history.open_jobs() and dice.random() < STOPS_EARLY:
                return
            self._strike()
        end = world.loop.time() + LONGER_SECONDS
        while world.history.open_jobs() and world.loop.time() < end:  # noqa: ASYNC110  # time costs nothing here
            await asyncio.sleep(1)

    def _strike(self) -> None:
        world = self.world
        fault = world.faults.incident()
        if fault is not None and self._does[fault]():
            world.faults.count[fault] += 1
            world.note_fault(fault, "", "simulation")

    def follow(self, fault: Fault, where: str, actor: str) -> None:
        """A call went wrong. Who waits for the answer to a write still holds what it is about.

        So something may strike meanwhile; and the writer may die as soon as its next write has got through.
        """
        if not self.follows or where != "patch" or fault not in API_HELD_UP:
            return
        if self.world.dice.random() < FOLLOWED:
            self.world.later(self.world.dice.random(), self._strike_shortly)
        if Fault.OPERATOR_CRASH in self.world.faults.enabled and self.world.dice.random() < DOOMED:
            self.world.later(TIMEOUT_SECONDS, self._doomed.add, actor)

    def dooms(self, actor: str, where: str) -> bool:
        """Whether a process is to die of this call, as its write before was held up."""
        if where != "patch" or actor not in self._doomed or self.world.faults.healed:
            return False
        self._doomed.discard(actor)
        self.world.faults.count[Fault.OPERATOR_CRASH] += 1
        return True

    def _strike_shortly(self) -> None:
        self._is_short = True
        self._strike()
        self._is_short = False

    def heal(self) -> None:
        """All is as it should be, and what people asked for can come to an end."""
        world = self.world
        world.api.down = False
        self._resume_broker()
        for operator in world.operators:
            operator.clock_skew, operator.watch_lag = dt.timedelta(), 0.0
            world.thaw(operator.process)
        for worker in world.workers:
            world.thaw(worker)
        for pool in POOLS:
            self._create_pool(pool)
        for job in world.history.open_jobs():
            if job.raw["spec"].get("suspend"):
                self._edit(job, Kind.RESUME, {"suspend": False})

    def _later(self, act: Callable[..., object], *args: Any) -> None:
        """Soon, or within ten seconds."""
        seconds = self.world.dice.random() * self.world.dice.choice(OUTAGES[:1] if self._is_short else OUTAGES)
        self.world.later(seconds, act, *args)

    # -- processes

    def _operator(self) -> Operator | None:
        found = [o for o in self.world.operators if o.broker.epoch is not None]
        if not found and self.world.dice.random() < STANDBY:
            found = self.world.operators
        return self.world.dice.choice(found) if found else None

    def _crash_operator(self) -> bool:
        operator = self._operator()
        if operator is not None:
            self.world.end(operator.process)
        return operator is not None

    def _freeze_operator(self) -> bool:
        operator = self._operator()
        if operator is not None:
            self.world.freeze(operator.process)
        return operator is not None

    def _crash_worker(self) -> bool:
        if not self.world.workers:
            return False
        self.world.end(self.world.dice.choice(self.world.workers))
        return True

    def _drain_worker(self) -> bool:
        if not self.world.workers:
            return False
        process = self.world.dice.choice(self.world.workers)
        self.world.loop.within(process).run(self.world.drains[process])
        return True

    # -- the broker

    def _cut(self) -> bool:
        connections = self.world.broker.connections
        if not connections:
            return False
        self.world.dice.choice(connections).close("cut")
        return True

    def _duplicate(self) -> bool:
        disk = self.world.broker.disk
        queues = [q for q in (*disk.pools.values(), disk.results) if q._ready or q.unacknowledged]
        if not queues:
            return False
        queue = self.world.dice.choice(queues)
        held = [m for consumer in queue._consumers for m in consumer._held.values()]
        message = self.world.dice.choice(queue._ready.messages() + held)
        headers = dict(message.headers)
        queue.put(Message(message.message_id, message.body, message.type, headers, high=message.high))
        return True

    def _restart_broker(self) -> bool:
        if not self.world.broker.up:
            return False
        self.world.broker.stop()
        self._later(self._resume_broker)
        return True

    def _wipe_broker(self) -> bool:
        spared = self.follows and not self._is_short
        if spared or not self._restart_broker():
            return False
        self.world.broker.wipe()
        return True

    def _resume_broker(self) -> None:
        self.world.broker.up = True

    def _purge(self) -> bool:
        pool = (NAMESPACE, self.world.dice.choice(POOLS))
        return self.world.broker.purge(pool, all_of_it=self.world.dice.random() < 0.7) > 0

    # -- the API server

    def _stop_api(self) -> bool:
        self.world.api.down = True
        self._later(self._start_api)
        return True

    def _start_api(self) -> None:
        self.world.api.down = False

    def _compact(self) -> bool:
        self.world.api.objects.journal.compact()
        return True

    def _slow_watch(self) -> bool:
        operator = self._operator()
        if operator is None:
            return False
        operator.watch_lag = self.world.dice.random() * 12
        self._later(setattr, operator, "watch_lag", 0.0)
        return True

    def _break_watch(self) -> bool:
        operator = self._operator()
        if operator is None:
            return False
        operator.broken_watches.add(self.world.dice.choice(KINDS))
        return True

    def _jump(self) -> bool:
        operator = self._operator()
        if operator is None:
            return False
        operator.clock_skew = dt.timedelta(seconds=self.world.dice.choice(JUMP_SECONDS))
        return True

    def _delete_pool(self) -> bool:
        pool = self.world.dice.choice(POOLS)
        try:
            self.world.api.objects.delete(POOL, NAMESPACE, pool)
        except Gone:
            return False
        self._later(self._create_pool, pool)
        return True

    def _create_pool(self, pool: str) -> None:
        objects = self.world.api.objects
        if not any(raw["metadata"]["name"] == pool for raw in objects.listing(POOL).items):
            objects.create(pool_object(pool))

    # -- people

    def _job(self) -> Tracked | None:
        found = self.world.history.open_jobs()
        return self.world.dice.choice(found) if found else None

    def _edit(self, job: Tracked, kind: Kind, spec: dict[str, Any], **fields: Any) -> None:
        self.world.log(kind, "user", job.uid, **fields)
        job.raw = self.world.api.objects.merge_patch(JOB, NAMESPACE, job.name, {"spec": spec})

    def _cancel(self) -> bool:
        job = self._job()
        if job is None or job.raw["spec"].get("cancel"):
            return False
        job.touched.add("cancel")
        self._touch_parent(job, "child cancelled")
        self._edit(job, Kind.CANCEL, {"cancel": True})
        return True

    def _suspend(self) -> bool:
        job = self._job()
        if job is None:
            return False
        suspended = bool(job.raw["spec"].get("suspend"))
        self._edit(job, Kind.RESUME if suspended else Kind.SUSPEND, {"suspend": not suspended})
        return True

    def _delete(self) -> bool:
        job = self._job()
        if job is None:
            return False
        self._touch_parent(job, "child deleted")
        self.world.api.delete(NAMESPACE, job.name, job.uid, "user")
        if job.parent is None and self.world.dice.random() < 0.5:
            self._later(self.world.submit, job.name, job.workflow)
        return True

    def _retry(self) -> bool:
        jobs = [job for job in self.world.history.jobs.values() if job.alive and job.parent is None]
        failed = [job for job in jobs if (job.raw.get("status") or {}).get("phase") == Phase.FAILED]
        found = failed if failed and self.world.dice.random() > WHILE_RUNNING else jobs
        if not found:
            return False
        job = self.world.dice.choice(found)
        kind = self.world.dice.choice(("Retry", "Restart"))
        asked = [*job.raw["spec"].get("operations", ()), {"type": kind}]
        job.touched.add("retried")  # one that runs may fail before it is refused
        self._edit(job, Kind.OPERATE, {"operations": asked}, type=kind)
        return True

    def _touch_parent(self, job: Tracked, why: str) -> None:
        """What becomes of a child that people end is not what its parent's Workflow says."""
        if job.parent is not None:
            parent = self.world.history.jobs[job.parent.partition(":")[0]]
            parent.touched.add(why)
            self._touch_parent(parent, why)
