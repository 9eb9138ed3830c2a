"""The watches: kopf handlers, thin. They hand on what they saw and decide nothing.

Only `on.event` handlers are used: they cost no write per object, where kopf's change handlers keep annotations and
finalizers. kopf's peering is not used either: the Lease says who leads.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Collection
from typing import Any, Protocol, cast

import kopf

from mastercontrol.api.names import GROUP, JOBS, LABEL_POOL, POOLS, SCHEDULES, VERSION, WORKFLOWS
from mastercontrol.engine.ports import RawObject

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Who wants to know what the watches saw. `deleted` comes with the last state of the object."""

    def job(self, raw: RawObject, *, deleted: bool) -> None:
        """A watch saw a Job."""
        ...

    def workflow(self, raw: RawObject, *, deleted: bool) -> None:
        """A watch saw a Workflow."""
        ...

    def pool(self, raw: RawObject, *, deleted: bool) -> None:
        """A watch saw a WorkerPool."""
        ...

    def schedule(self, raw: RawObject, *, deleted: bool) -> None:
        """A watch saw a Schedule."""
        ...

    def deployment(self, raw: RawObject, *, deleted: bool) -> None:
        """A watch saw a Deployment of a pool."""
        ...


class _NoProgress(kopf.ProgressStorage):
    """Nothing to remember between events: the Job itself is the memory."""

    def fetch(self, **_: Any) -> None:
        """Nothing."""

    def store(self, **_: Any) -> None:
        """Nothing."""

    def purge(self, **_: Any) -> None:
        """Nothing."""

    def touch(self, **_: Any) -> None:
        """Nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Nothing to take out."""
        return essence


class _NoDiffBase(kopf.DiffBaseStorage):
    """No differences are asked for, so no essence of an object is taken, which costs a deep copy of each event."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing."""
        return cast("kopf.BodyEssence", {})

    def fetch(self, **_: Any) -> None:
        """Nothing."""

    def store(self, **_: Any) -> None:
        """Nothing."""


def watch_settings(watch_seconds: int) -> kopf.OperatorSettings:
    """How kopf watches: bounded requests, endless retries, nothing written."""
    settings = kopf.OperatorSettings()
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.server_timeout = watch_seconds
    settings.watching.client_timeout = watch_seconds + 10
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.watching.label_selectors["apps", "deployments"] = LABEL_POOL
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    # An API server that is away for an hour must be found again when it is back.
    settings.networking.error_backoffs = _Backoffs()
    return settings


class _Backoffs:
    """Waits between attempts, in seconds, without end; each iteration starts anew."""

    def __iter__(self) -> itertools.chain[float]:
        return itertools.chain([0.2, 0.5, 1, 2], itertools.repeat(4))


def registry(sink: Sink) -> kopf.OperatorRegistry:
    """The handlers, bound to a sink."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers, id="login")
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        # The client library knows kubeconfigs, service accounts and auth plugins alike.
        return kopf.login_via_client(**kwargs)

    # The group is named: a bare kind Job would match batch/v1 as well.
    @kopf.on.event(GROUP, VERSION, JOBS, registry=handlers, id="job")
    async def job(event: Any, **_: Any) -> None:
        sink.job(dict(event["object"]), deleted=event["type"] == "DELETED")

    @kopf.on.event(GROUP, VERSION, WORKFLOWS, registry=handlers, id="workflow")
    async def workflow(event: Any, **_: Any) -> None:
        sink.workflow(dict(event["object"]), deleted=event["type"] == "DELETED")

    @kopf.on.event(GROUP, VERSION, POOLS, registry=handlers, id="pool")
    async def pool(event: Any, **_: Any) -> None:
        sink.pool(dict(event["object"]), deleted=event["type"] == "DELETED")

    @kopf.on.event(GROUP, VERSION, SCHEDULES, registry=handlers, id="schedule")
    async def schedule(event: Any, **_: Any) -> None:
        sink.schedule(dict(event["object"]), deleted=event["type"] == "DELETED")

    @kopf.on.event("apps", "v1", "deployments", registry=handlers, id="deployment", labels={LABEL_POOL: kopf.PRESENT})
    async def deployment(event: Any, **_: Any) -> None:
        sink.deployment(dict(event["object"]), deleted=event["type"] == "DELETED")

    return handlers


async def watch(
    sink: Sink, namespaces: Collection[str] | None, stop: asyncio.Event, watch_seconds: int, ready: asyncio.Event
) -> None:
    """Watch until `stop`, which it sets itself where kopf got the signal first; namespaces None for all.

    Not by `kopf.operator`: at its end that waits for, and cancels, every task of the event loop which began after it,
    and those are our turns and the broker's connection.
    """
    tasks = await kopf.spawn_tasks(
        registry=registry(sink),
        settings=watch_settings(watch_seconds),
        standalone=True,
        # kopf would make one from the user's name, which a container has not. Without peering nobody reads it.
        identity=cast("Any", "mastercontrol"),
        clusterwide=namespaces is None,
        namespaces=sorted(namespaces or ()),
        stop_flag=stop,
        ready_flag=ready,
    )
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    stop.set()
    for task in ended:
        task.result()
