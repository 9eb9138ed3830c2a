"""The leader: everything that works while this process holds the Lease, put together, started and ended in order.

Start: what jobs need is listed first, so that no job is told that its Workflow is missing; then the broker; then the
watches. End: no new turns, those under way end, the broker's confirms are awaited.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from mastercontrol import handlers
from mastercontrol.broker.adapter import RabbitBroker
from mastercontrol.broker.session import MakeSession, Session
from mastercontrol.broker.workers import worker_name
from mastercontrol.clock import utc_now
from mastercontrol.engine.acceptance import Acceptance
from mastercontrol.engine.definitions import Definitions
from mastercontrol.engine.engine import Engine
from mastercontrol.engine.ports import Delivery, RawObject, Readiness
from mastercontrol.engine.recovery import Sweeper
from mastercontrol.engine.turn import Outside
from mastercontrol.kube.client import KubeClient
from mastercontrol.kube.epoch import ConfigMapEpochStore
from mastercontrol.kube.events import EventRecorder, EventType
from mastercontrol.kube.jobs import KubeJobStore
from mastercontrol.kube.pools import KubePools
from mastercontrol.kube.schedules import KubeSchedules
from mastercontrol.kube.workflows import KubeWorkflows
from mastercontrol.pools.controller import PoolController
from mastercontrol.pools.deadletters.controller import DeadLetterController
from mastercontrol.schedules.controller import ScheduleController
from mastercontrol.settings import Settings
from mastercontrol_worker.contract import MalformedMessage, parse_pool_queue
from mastercontrol_worker.presence import PresenceMessage

log = logging.getLogger(__name__)

Lister = Callable[[str | None], Awaitable[list[RawObject]]]


def _key(raw: RawObject) -> tuple[str, str]:
    return raw["metadata"]["namespace"], raw["metadata"]["name"]


class Warnings:
    """Hands the warnings of the engine and of the schedules on as Kubernetes Events."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def warn(self, regarding: RawObject, reason: str, note: str) -> None:
        """See `Reporter.warn`."""
        self._recorder.emit(regarding, EventType.WARNING, reason, note, "Run")


class DeadLetterRecords:
    """Hands on what is said of dead letters, as Kubernetes Events."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def note(self, regarding: RawObject, reason: str, note: str) -> None:
        """See `Records.note`."""
        self._recorder.record(regarding, reason, note, "Answer")

    def warn(self, regarding: RawObject, reason: str, note: str) -> None:
        """See `Records.warn`."""
        self._recorder.emit(regarding, EventType.WARNING, reason, note, "Run")


class Directory:
    """Which pools there are: what the controller knows, and the API server where it does not."""

    def __init__(self, pools: KubePools) -> None:
        self._pools = pools
        self.controller: PoolController | None = None

    def known(self, namespace: str, pool: str) -> bool:
        """See `PoolDirectory.known`."""
        return self.controller is not None and self.controller.known(namespace, pool)

    async def find(self, namespace: str, pool: str) -> bool:
        """See `PoolDirectory.find`."""
        raw = await self._pools.read_pool(namespace, pool)
        if raw is not None and self.controller is not None:
            self.controller.on_pool(raw)
        return self.known(namespace, pool)

    def poke(self, namespace: str, pool: str) -> None:
        """See `PoolDirectory.poke`."""
        if self.controller is not None:
            self.controller.poke(namespace, pool)

    def workers(self, namespace: str, pool: str) -> Readiness | None:
        """See `PoolDirectory.workers`."""
        return None if self.controller is None else self.controller.workers(namespace, pool)


class Leader:
    """Implements `handlers.Sink`. One object per term of leadership.

    :param leads: whether this process leads, by its own clock.
    :param jobs: where Jobs are kept; the API server of `client` unless given.
    :param session: makes the session of a connection to the broker.
    """

    def __init__(
        self,
        settings: Settings,
        client: KubeClient,
        leads: Callable[[], bool] = lambda: True,
        *,
        jobs: KubeJobStore | None = None,
        session: MakeSession = Session,
    ) -> None:
        self.settings = settings
        self.jobs = jobs or KubeJobStore(client)
        self.workflows = KubeWorkflows(client)
        self.kube_pools = KubePools(client)
        self.kube_schedules = KubeSchedules(client)
        self.recorder = EventRecorder(client, settings.pod_name or "mastercontrol")
        self.broker = RabbitBroker(
            settings.amqp_url,
            settings.management_url,
            ConfigMapEpochStore(client, settings.pod_namespace, settings.epoch_configmap),
            on_delivery=self._deliver,
            on_connected=self._connected,
            on_heartbeat=self._hear,
            on_presence=self._attend,
            settings=settings.broker,
            session=session,
        )
        self.definitions = Definitions(self.workflows)
        directory = Directory(self.kube_pools)
        warnings = Warnings(self.recorder)
        outside = Outside(
            jobs=self.jobs,
            broker=self.broker,
            definitions=self.definitions,
            pools=directory,
            reporter=warnings,
            clock=utc_now,
            random=random.random,
            limits=settings.limits,
        )
        self.engine = Engine(outside, concurrent_turns=settings.concurrent_turns, watched=settings.watched, leads=leads)
        self.dead_letters = DeadLetterController(
            self.broker,
            self.jobs,
            self.kube_pools,
            DeadLetterRecords(self.recorder),
            on_change=self._dead_letters_changed,
        )
        self.pools = PoolController(
            self.kube_pools,
            self.broker,
            self.broker,
            self.engine.outstanding,
            settings.pools,
            longest_step=self.definitions.longest_step,
            on_workers=self.engine.look_at_pool,
            on_known=self._pool_known,
            dead_letters=self.dead_letters.known,
        )
        directory.controller = self.pools
        self.schedules = ScheduleController(self.kube_schedules, warnings, utc_now)
        self.acceptance = Acceptance(self.workflows, self.definitions, utc_now, directory)
        self.sweeper = Sweeper(
            self.engine, self.definitions, self._list_jobs, seconds=settings.sweep_seconds, watched=settings.watched
        )

    @property
    def is_working(self) -> bool:
        """Whether the broker is connected: then jobs move."""
        return self.broker.epoch is not None

    async def run(self, stop: asyncio.Event) -> None:
        """Lead until `stop`."""
        await self._list()
        await self.broker.start()
        try:
            async with asyncio.TaskGroup() as group:
                background = [
                    group.create_task(self.pools.run(), name="pools"),
                    group.create_task(self.dead_letters.run(), name="dead letters"),
                    group.create_task(self.schedules.run(), name="schedules"),
                    group.create_task(self.acceptance.run(), name="workflows"),
                    group.create_task(self.sweeper.run(), name="sweeper"),
                ]
                await handlers.watch(
                    self, self.settings.watched, stop, self.settings.watch_seconds, ready=asyncio.Event()
                )
                for task in background:
                    task.cancel()
        finally:
            await self.engine.close()
            await self.broker.close()
            await self.recorder.close()

    async def _list(self) -> None:
        for raw in await self._in_namespaces(self.kube_pools.list_pools):
            self.pool(raw, deleted=False)
        for raw in await self._in_namespaces(self.workflows.list_workflows):
            self.workflow(raw, deleted=False)
        # Before any job moves: a run that ends and is deleted at once must be seen, or it would be made again.
        for raw in await self._in_namespaces(self.kube_schedules.list_schedules):
            self.schedules.on_schedule(raw)
        self.schedules.listed(await self._in_namespaces(self.kube_schedules.list_scheduled_jobs))

    async def _list_jobs(self) -> list[RawObject]:
        # The sweep is also when the others are compared: all may have vanished in a gap of the watch.
        pools_before, workflows_before = self.pools.uids(), self.definitions.uids()
        schedules_before = self.schedules.known()
        pools = [_key(raw) for raw in await self._in_namespaces(self.kube_pools.list_pools)]
        self.pools.retain(pools, pools_before)
        self.dead_letters.retain(pools, pools_before)
        workflows = await self._in_namespaces(self.workflows.list_workflows)
        self.definitions.retain(map(_key, workflows), workflows_before)
        self.acceptance.look_at_namespace(None)
        schedules = await self._in_namespaces(self.kube_schedules.list_schedules)
        self.schedules.retain(schedules_before, map(_key, schedules))
        jobs = await self._in_namespaces(self.jobs.list_jobs)
        self.schedules.compare(jobs)
        return jobs

    async def _in_namespaces(self, list_: Lister) -> list[RawObject]:
        if self.settings.watched is None:
            return await list_(None)
        return [raw for namespace in sorted(self.settings.watched) for raw in await list_(namespace)]

    def _deliver(self, delivery: Delivery) -> None:
        self.dead_letters.died(delivery.headers)
        self.engine.deliver(delivery)

    def _hear(self, message_id: str | None, body: bytes) -> None:
        self.engine.hear(message_id, body)

    def _attend(self, user: str | None, address: str | None, body: bytes) -> None:
        try:
            message = PresenceMessage.decode(body)
        except MalformedMessage as error:
            log.warning("passed over a presence that is none: %s", error)
            return
        pool = parse_pool_queue(message.queue)
        if pool is None or user != worker_name(*pool):
            log.warning("user %s speaks for queue %.100s: passed over", user, message.queue)
            return
        self.pools.on_presence(message, address)

    def _pool_known(self, namespace: str, _pool: str) -> None:
        # Jobs may wait for it; or one that was deleted has steps that nobody will do, which they are to say.
        self.engine.look_at_namespace(namespace)
        self.acceptance.look_at_namespace(namespace)

    def _dead_letters_changed(self, namespace: str, pool: str) -> None:
        self.pools.report(namespace, pool)

    def _connected(self, epoch: str) -> None:
        self.pools.on_connected(epoch)
        self.dead_letters.on_connected(epoch)
        self.engine.connected(epoch)

    # -- handlers.Sink

    def job(self, raw: RawObject, *, deleted: bool) -> None:
        """A watch saw a Job."""
        self.schedules.on_job(raw, deleted=deleted)
        if deleted:
            self.engine.gone(raw)
        else:
            self.engine.observe(raw)

    def workflow(self, raw: RawObject, *, deleted: bool) -> None:
        """A watch saw a Workflow."""
        namespace, name = raw["metadata"]["namespace"], raw["metadata"]["name"]
        if deleted:
            self.definitions.gone(namespace, name)
            self.acceptance.gone(namespace, name)
        elif self.definitions.observe(raw):
            self.acceptance.observe(raw)
            self.pools.on_workflow(namespace)
            self.engine.look_at_namespace(namespace)

    def pool(self, raw: RawObject, *, deleted: bool) -> None:
        """A watch saw a WorkerPool."""
        self.pools.on_pool(raw, deleted=deleted)
        self.dead_letters.on_pool(raw, deleted=deleted)

    def schedule(self, raw: RawObject, *, deleted: bool) -> None:
        """A watch saw a Schedule."""
        self.schedules.on_schedule(raw, deleted=deleted)

    def deployment(self, raw: RawObject, *, deleted: bool) -> None:
        """A watch saw a Deployment of a pool."""
        self.pools.on_deployment(raw, deleted=deleted)
