"""An operator process of one run: the real elector, engine, definitions and sweeper, put together as `leader` does.

Of `kube` and `broker` it has what `api` and `broker` here stand for; pools and schedules have no controllers.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from mastercontrol.api.names import API_VERSION, KIND_JOB, KIND_POOL, KIND_WORKFLOW
from mastercontrol.engine.definitions import Definitions
from mastercontrol.engine.engine import Engine
from mastercontrol.engine.facts import Limits
from mastercontrol.engine.inbox import JobKey
from mastercontrol.engine.mailbox import Cell, Letter
from mastercontrol.engine.ports import Expired, RawObject, StoreError
from mastercontrol.engine.recovery import Sweeper
from mastercontrol.engine.turn import Outside
from mastercontrol.kube.lease import Elector
from mastercontrol.memory.journal import EventType
from mastercontrol.memory.objects import Kind, decode
from simulation.api import Api, LeaseClient
from simulation.broker import OperatorBroker, ResultDelivery
from simulation.events import Kind as Say

if TYPE_CHECKING:
    from simulation.loop import Process
    from simulation.world import World

KINDS: Final[tuple[Kind, ...]] = ((API_VERSION, KIND_POOL), (API_VERSION, KIND_WORKFLOW), (API_VERSION, KIND_JOB))
PREFETCH: Final = 16
TURNS: Final = 8
HISTORY: Final = 100_000
OWN_FAULT: Final = "no fault of the protocol"
"""How a violation begins that says that the code is at fault in itself: a broken variant is not found by that."""

LINGER_SECONDS: Final = 20.0
"""How long a process may go on that has lost the Lease and not noticed, or not ended yet."""


class Directory:
    """`PoolDirectory`: the pools that the watch showed, or that were asked for."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self.names: set[JobKey] = set()

    def known(self, namespace: str, pool: str) -> bool:
        return (namespace, pool) in self.names

    async def find(self, namespace: str, pool: str) -> bool:
        raw = await self._operator.api.read_pool(namespace, pool)
        if raw is not None:
            self._operator.pool(raw, deleted=False)
        return self.known(namespace, pool)

    def poke(self, namespace: str, pool: str) -> None:
        """Workers here come and go by the dice."""

    def workers(self, namespace: str, pool: str) -> None:
        """How many there are is not known."""


class Silent:
    """`Reporter`: nobody reads Events here."""

    def warn(self, regarding: RawObject, reason: str, note: str) -> None:
        """Nothing."""


class TellingEngine(Engine):
    """Says when the sweep sends something again, and when a turn ends with an error that none of its calls gave it."""

    world: World
    name: str

    def _try_later(self, cell: Cell, letters: list[Letter], reason: str, error: Exception) -> None:
        if reason == "fault":
            self.world.violation(f"{OWN_FAULT}: a turn of {cell.key} raised {error}")
        super()._try_later(cell, letters, reason, error)

    def resend(self, key: JobKey, dispatch_id: str) -> None:
        self.world.history.resent(self.name, dispatch_id)
        super().resend(key, dispatch_id)


class Operator:
    """One process. `run` in its context; it ends by being killed."""

    def __init__(self, world: World, process: Process) -> None:
        self.world, self.process = world, process
        self.api = Api(world, process)
        self.clock_skew = dt.timedelta()
        self.watch_lag = 0.0
        self.broken_watches: set[Kind] = set()
        self.broker = OperatorBroker(
            world,
            process,
            self.api,
            prefetch=PREFETCH,
            on_delivery=self._deliver,
            on_connected=self._connected,
            on_heartbeat=self._hear,
        )
        self.definitions = Definitions(self.api)
        self.directory = Directory(self)
        lease, deadline, retry = world.lease
        client: Any = LeaseClient(self.api)
        self.elector = Elector(client, process.name, "mcp", "mcp", lease, deadline, retry, world.loop.time)
        outside = Outside(
            jobs=self.api,
            broker=self.broker,
            definitions=self.definitions,
            pools=self.directory,
            reporter=Silent(),
            clock=lambda: world.now() + self.clock_skew,
            random=world.dice.random,
            limits=Limits(history=HISTORY),
        )
        self.engine = TellingEngine(outside, concurrent_turns=TURNS, leads=lambda: self.elector.is_leader)
        self.engine.world, self.engine.name = world, process.name
        self.sweeper = Sweeper(
            self.engine, self.definitions, self._list_jobs, seconds=world.sweep_seconds, watched=None
        )
        self.leads = False

    async def run(self) -> None:
        """Stand by, lead, and end when the Lease is lost, sooner or later."""
        await self.elector.acquire()
        self.leads = True
        self.world.log(Say.LEAD, self.process.name)
        loop = asyncio.get_running_loop()
        for task in (self._lead(), self.sweeper.run() if self.world.sweeps else None):
            if task is not None:
                self.world.keep(loop.create_task(task))
        await self.elector.lost()
        self.leads = False
        await asyncio.sleep(0.0 if self.world.dice.random() < 0.5 else self.world.dice.random() * LINGER_SECONDS)
        self.world.end(self.process)

    async def _lead(self) -> None:
        for kind in KINDS[:2]:
            for raw in (await self._list_until_it_works(kind))[0]:
                self._saw(kind, raw, deleted=False)
        loop = asyncio.get_running_loop()
        self.world.keep(loop.create_task(self.broker.run()))
        for kind in KINDS:
            self.world.keep(loop.create_task(self._watch(kind)))

    async def _list_until_it_works(self, kind: Kind) -> tuple[list[RawObject], str]:
        while True:
            try:
                listing = await self.api.listing(kind)
            except StoreError:
                await asyncio.sleep(0.2 + self.world.dice.random())
            else:
                return listing.items, listing.resource_version

    async def _watch(self, kind: Kind) -> None:
        """As kopf does: list, then every change; anew where that is too old, or the connection broke."""
        journal = self.world.api.objects.journal
        while True:
            items, version = await self._list_until_it_works(kind)
            for raw in items:
                self._saw(kind, raw, deleted=False)
            position = int(version)
            try:
                while kind not in self.broken_watches:
                    for entry in journal.after(position):
                        position = entry.version
                        if entry.key[:2] == kind:
                            await asyncio.sleep(self.world.delay() + self.watch_lag)
                            if kind in self.broken_watches:
                                break
                            self._saw(kind, decode(entry.data), deleted=entry.type is EventType.DELETED)
                    if not journal.after(position):
                        await journal.wait()
            except Expired:
                pass
            self.broken_watches.discard(kind)
            await asyncio.sleep(self.world.dice.random() * 5)

    def _saw(self, kind: Kind, raw: RawObject, *, deleted: bool) -> None:
        match kind[1]:
            case "WorkerPool":
                self.pool(raw, deleted=deleted)
            case "Workflow":
                self.workflow(raw, deleted=deleted)
            case _ if deleted:
                self.engine.gone(raw)
            case _:
                self.engine.observe(raw)

    def workflow(self, raw: RawObject, *, deleted: bool) -> None:
        """As `leader` does."""
        namespace, name = raw["metadata"]["namespace"], raw["metadata"]["name"]
        if deleted:
            self.definitions.gone(namespace, name)
        elif self.definitions.observe(raw):
            self.engine.look_at_namespace(namespace)

    def pool(self, raw: RawObject, *, deleted: bool) -> None:
        """As `leader` does; and one that a turn read first is told to all."""
        key = raw["metadata"]["namespace"], raw["metadata"]["name"]
        before = self.directory.known(*key)
        if deleted:
            self.directory.names.discard(key)
            self.broker.forget(key)
        else:
            self.directory.names.add(key)
            self.broker.declare_soon(key)
        if before == deleted:
            self.engine.look_at_namespace(key[0])

    async def _list_jobs(self) -> list[RawObject]:
        pools = {_key(raw) for raw in (await self.api.listing(KINDS[0])).items}
        for key in sorted(self.directory.names - pools):
            self.pool({"metadata": {"namespace": key[0], "name": key[1]}}, deleted=True)
        self.broker.declare_again()  # what the pool controller does, as often
        return await self.api.list_jobs(None)

    def _deliver(self, delivery: ResultDelivery) -> None:
        self.engine.deliver(delivery)

    def _hear(self, message_id: str | None, body: bytes) -> None:
        self.engine.hear(message_id, body)

    def _connected(self, epoch: str) -> None:
        self.engine.connected(epoch)


def _key(raw: RawObject) -> JobKey:
    return raw["metadata"]["namespace"], raw["metadata"]["name"]
