"""Kubernetes Events (events.k8s.io/v1): what `kubectl describe` shows of what went wrong.

Used by the engine's and the pools' reporters. Events are best effort: `emit` never waits and never fails; what cannot
be written is logged and counted (mcp_kube_events_total), and nothing else happens. Repeats are kept from flooding the
API server: one object and reason is written at most once in `interval_seconds`. A repeat after that of the same text
raises the count of the first Event (its series) instead of making another.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from mastercontrol.engine.ports import Gone, RawObject, StoreError
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.metrics import EVENTS
from mastercontrol.kube.paths import EVENTS as RESOURCE
from mastercontrol.kube.paths import Target

_log = logging.getLogger(__name__)

# Bounds of the API, in bytes or characters of ASCII.
_NOTE_BYTES: Final = 1024
_WORD_CHARS: Final = 128
_NAME_CHARS: Final = 200  # of 253: the rest is for what makes the name unique


class EventType(StrEnum):
    """As the API names them."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(slots=True)
class _Series:
    """One Event and its repeats. `name` is that of the Event, None while it is not written."""

    note: str
    next_at: float
    count: int = 0
    name: str | None = None


_Key = tuple[str, str]
"""What repeats are told by: the uid of the object (or its namespace and name), and the reason."""


@dataclass(frozen=True, slots=True)
class _Emission:
    regarding: RawObject
    type: EventType
    reason: str
    note: str
    action: str
    at: str
    series: _Series


class EventRecorder:
    """Writes Events in the background. Made inside a running event loop; `close` it before the client."""

    def __init__(
        self,
        client: KubeClient,
        instance: str,
        controller: str = "mastercontrol.dev/operator",
        capacity: int = 1000,
        interval_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`instance` tells this process from its replicas; `capacity` bounds the queue and what is remembered."""
        self._client = client
        self._controller = controller
        self._instance = instance[:_WORD_CHARS]
        self._capacity = capacity
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._queue: asyncio.Queue[_Emission] = asyncio.Queue(capacity)
        self._seen: OrderedDict[_Key, _Series] = OrderedDict()
        self._closed = False
        self._writer = asyncio.create_task(self._write_all(), name="events")

    def emit(self, regarding: RawObject, type: EventType, reason: str, note: str, action: str) -> None:  # noqa: A002  # the API's word
        """Report something about an object.

        :param regarding: the object, with apiVersion, kind and metadata.
        :param reason: why, one CamelCase word for machines.
        :param note: what happened, for people; cut to 1024 bytes.
        :param action: what was done or tried, one CamelCase word.
        """
        reason, note = reason[:_WORD_CHARS], _cut(note)
        series = _Series(note, 0) if self._closed else self._due(_key(regarding, reason), note)
        if series is None:
            EVENTS.labels("aggregated").inc()
            return
        self._put(_Emission(regarding, type, reason, note, action[:_WORD_CHARS], _now(), series))

    def record(self, regarding: RawObject, reason: str, note: str, action: str) -> None:
        """Report what was done because somebody asked for it: each is written, none is a repeat of another one."""
        reason, note = reason[:_WORD_CHARS], _cut(note)
        series = _Series(note, 0, count=1)
        self._put(_Emission(regarding, EventType.NORMAL, reason, note, action[:_WORD_CHARS], _now(), series))

    def _put(self, emission: _Emission) -> None:
        regarding, reason = emission.regarding, emission.reason
        if self._closed:
            self._drop(regarding, reason, "the recorder is closed")
            return
        try:
            self._queue.put_nowait(emission)
        except asyncio.QueueFull:
            self._drop(regarding, reason, "too many wait to be written")

    async def close(self, seconds: float = 2.0) -> None:
        """Take no more, write what waits for so many seconds, and stop."""
        self._closed = True
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            left = self._queue.qsize() + 1
            _log.warning("%d Events were not written before the end", left)
            EVENTS.labels("dropped").inc(left)
        self._writer.cancel()
        await asyncio.wait([self._writer])

    def _drop(self, regarding: RawObject, reason: str, why: str) -> None:
        EVENTS.labels("dropped").inc()
        _log.warning("Event %s about %s dropped: %s", reason, _key(regarding, reason)[0], why)

    def _due(self, key: _Key, note: str) -> _Series | None:
        """Count a report; what it belongs to when it is to be written, None when it is too early for that."""
        now = self._clock()
        series = self._seen.get(key)
        if series is not None and now < series.next_at:
            series.count += 1
            return None
        if series is None or series.note != note:
            series = self._seen[key] = _Series(note, now)
        self._seen.move_to_end(key)
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        series.count += 1
        series.next_at = now + self._interval_seconds
        return series

    async def _write_all(self) -> None:
        while True:
            emission = await self._queue.get()
            try:
                await self._write(emission)
                EVENTS.labels("written").inc()
            except StoreError as error:
                EVENTS.labels("failed").inc()
                _log.warning(
                    "Event %s about %s not written: %s", emission.reason, emission.regarding["metadata"]["name"], error
                )
            except Exception:  # noqa: BLE001  # told with its traceback
                # Whatever is wrong with one Event, the next ones are still to be written.
                EVENTS.labels("failed").inc()
                _log.exception("Event %s about %s not written", emission.reason, emission.regarding["metadata"]["name"])
            finally:
                self._queue.task_done()

    async def _write(self, emission: _Emission) -> None:
        namespace = emission.regarding["metadata"].get("namespace") or "default"
        series = emission.series
        if series.name is not None:
            body = {"series": {"count": series.count, "lastObservedTime": emission.at}}
            try:
                await self._client.patch(Target(RESOURCE, namespace, series.name), body, PatchType.MERGE)
            except Gone:
                pass  # the API server keeps Events for an hour: begin another
            else:
                return
        created = await self._client.create(Target(RESOURCE, namespace), self._body(emission, namespace))
        series.name = created["metadata"]["name"]

    def _body(self, emission: _Emission, namespace: str) -> RawObject:
        metadata = emission.regarding["metadata"]
        name = f"{metadata['name'][:_NAME_CHARS].rstrip('.-')}.{uuid.uuid4().hex[:16]}"
        return {
            "apiVersion": RESOURCE.group_version,
            "kind": RESOURCE.kind,
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": emission.at,
            "type": emission.type,
            "reason": emission.reason,
            "action": emission.action,
            "note": emission.note,
            "regarding": _reference(emission.regarding),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
        }


def _key(regarding: RawObject, reason: str) -> _Key:
    metadata = regarding["metadata"]
    return metadata.get("uid") or f"{metadata.get('namespace')}/{metadata['name']}", reason


def _reference(regarding: RawObject) -> dict[str, Any]:
    metadata = regarding["metadata"]
    reference = {"apiVersion": regarding.get("apiVersion"), "kind": regarding.get("kind")}
    reference |= {field: metadata.get(field) for field in ("namespace", "name", "uid", "resourceVersion")}
    return {field: value for field, value in reference.items() if value}


def _cut(note: str) -> str:
    """At most so many bytes, without half a character at the end."""
    return note.encode(errors="replace")[:_NOTE_BYTES].decode(errors="ignore")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
