"""What happened to objects, in order, for watches: bounded, so that a watch may come too late, as it may in a cluster.

Owned by the object store.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum

from mastercontrol.engine.ports import Expired


class EventType(StrEnum):
    """As a watch names them."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


Key = tuple[str, str, str, str]
"""apiVersion, kind, namespace, name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One change. `data` is the object as JSON after it (for DELETED: as it was)."""

    version: int
    type: EventType
    key: Key
    data: bytes


class Journal:
    """The last `capacity` changes."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: list[Entry] = []
        self._forgotten = 0  # the version of the newest change that is no longer here
        self._changed = asyncio.Event()

    def append(self, entry: Entry) -> None:
        """Add the newest change and wake who waits for it."""
        self._entries.append(entry)
        if len(self._entries) >= 2 * self._capacity:
            self._forget(len(self._entries) - self._capacity)
        self._changed.set()
        self._changed = asyncio.Event()

    def compact(self) -> None:
        """Forget everything up to now: a watch from an older version is refused from here on."""
        self._forget(len(self._entries))
        self._changed.set()
        self._changed = asyncio.Event()

    def after(self, version: int) -> list[Entry]:
        """The changes since a version.

        :raises Expired: some of them are forgotten.
        """
        if version < self._forgotten:
            raise Expired(f"410: too old resource version: {version} ({self._forgotten})")
        return self._entries[bisect_right(self._entries, version, key=lambda entry: entry.version) :]

    def before_last(self, key: Key) -> Entry | None:
        """The last change but one of an object, if it is still known."""
        of_key = [entry for entry in self._entries if entry.key == key]
        return of_key[-2] if len(of_key) > 1 else None

    async def wait(self) -> None:
        """Return at the next change, or compaction."""
        await self._changed.wait()

    def _forget(self, count: int) -> None:
        if count:
            self._forgotten = self._entries[count - 1].version
            del self._entries[:count]
