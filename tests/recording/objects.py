"""Follows the Jobs and Workflows of a namespace: every version of every object, by watch; by a list after a gap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from recording import events
from recording.events import Event
from recording.server import Client, Expired, Raw

PAUSE = 0.2
"""Seconds before a server that did not answer is asked again."""

Changed = Callable[[Raw | None, Raw | None], None]
"""Takes an object as it was and as it is; None: it was not, or is not, there."""


class Follower:
    """All objects of one kind. `gaps` counts the lists that were needed after the first one."""

    def __init__(self, client: Client, plural: str, namespace: str, changed: Changed) -> None:
        self.gaps = -1
        self.why = ""  # why it last had to begin again
        self._client = client
        self._kind = (plural, namespace)
        self._changed = changed
        self._known: dict[str, Raw] = {}

    async def follow(self) -> None:
        """Follow for ever."""
        while True:
            try:
                version = await self.catch_up()
                while True:
                    version = await self._watch(version)
            except Expired:
                continue
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                self.why = f"{self._kind[0]}: {error!r}"
                await asyncio.sleep(PAUSE)  # the test may have killed it: it is listed when it is back

    async def catch_up(self) -> str:
        """List, and take what changed since; the version of the list.

        :raises aiohttp.ClientError, TimeoutError: there was no answer.
        """
        objects, version = await self._client.list(*self._kind)
        self.gaps += 1
        listed = {str(raw["metadata"]["uid"]) for raw in objects}
        for uid in [uid for uid in self._known if uid not in listed]:
            self._changed(self._known.pop(uid), None)
        for raw in objects:
            self._take(raw)
        return version

    async def _watch(self, version: str) -> str:
        """Take what changes until the watch ends; the version that it came to."""
        try:
            async for kind, raw in self._client.watch(*self._kind, version):
                version = str(raw["metadata"]["resourceVersion"])
                if kind == "DELETED":
                    self._changed(self._known.pop(str(raw["metadata"]["uid"]), None), None)
                elif kind != "BOOKMARK":
                    self._take(raw)
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            await asyncio.sleep(PAUSE)  # no version is lost: the next watch goes on from here
        return version

    def _take(self, raw: Raw) -> None:
        uid = str(raw["metadata"]["uid"])
        before = self._known.get(uid)
        self._known[uid] = raw
        self._changed(before, raw)


def job_events(before: Raw | None, after: Raw | None) -> list[Event]:
    """What happened to a Job between two versions."""
    if after is not None:
        return list(events.of_job(before, after))
    return [] if before is None else [events.of_deletion(before)]


def workflow_events(before: Raw | None, after: Raw | None) -> list[Event]:
    """The same of a Workflow, whose revision is said a moment after it is edited."""
    del before
    return [] if after is None else [events.of_workflow(after)]
