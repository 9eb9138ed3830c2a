"""Says on each Workflow whether Jobs can run it: conditions Ready and Invalid, with every fault in their message.

A Workflow with faults is Invalid and not Ready: its new Jobs wait. One that names WorkerPools which there are not is
not Ready either, but not Invalid: its Jobs begin, and wait where they need such a pool. Both are put right here as
soon as the Workflow is edited or the pool comes.

Writes only when what is said changes, so a Workflow costs one write per generation, and two per pool that came late.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from mastercontrol.api.names import ConditionType, Reason
from mastercontrol.api.values import format_time
from mastercontrol.engine.definitions import Definitions, Found
from mastercontrol.engine.facts import Missing
from mastercontrol.engine.inbox import JobKey
from mastercontrol.engine.ports import Gone, PoolDirectory, RawObject, StoreError, WorkflowStore
from mastercontrol.workflow.checked import PoolUse
from mastercontrol.workflow.definition import joined

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 5.0

Status = dict[str, Any]


class Acceptance:
    """Looks at one Workflow at a time, the newest object of each."""

    def __init__(
        self, store: WorkflowStore, definitions: Definitions, clock: Callable[[], dt.datetime], pools: PoolDirectory
    ) -> None:
        self._store = store
        self._definitions = definitions
        self._clock = clock
        self._pools = pools
        self._waiting: dict[JobKey, None] = {}
        self._said: dict[JobKey, tuple[str, int, Status]] = {}  # uid, the version that it was said of, and what
        self._wake = asyncio.Event()

    def observe(self, raw: RawObject) -> None:
        """A watch or a listing showed a Workflow."""
        meta = raw["metadata"]
        if meta.get("deletionTimestamp") is None:
            self._look_later((meta.get("namespace", "default"), meta["name"]))

    def gone(self, namespace: str, name: str) -> None:
        """A Workflow was deleted."""
        self._said.pop((namespace, name), None)

    def look_at_namespace(self, namespace: str | None) -> None:
        """WorkerPools of a namespace came or went, or of any: what was said of its Workflows may be otherwise."""
        for key in self._definitions.uids():
            if namespace in {None, key[0]}:
                self._look_later(key)

    def _look_later(self, key: JobKey) -> None:
        self._waiting[key] = None
        self._wake.set()

    async def run(self) -> None:
        """Work for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            for key in list(self._waiting):
                del self._waiting[key]
                try:
                    await self._look(key)
                except Gone:
                    continue
                except StoreError as error:
                    log.warning("Workflow %s/%s: %s; again in %s s", *key, error, RETRY_SECONDS)
                    self._waiting[key] = None
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self._wake.set)

    async def _look(self, key: JobKey) -> None:
        found = await self._definitions.current(*key)
        newest = self._definitions.newest(*key)
        if newest is None or newest[0]["metadata"].get("deletionTimestamp") is not None:
            return
        raw, pools = newest
        before = self._before(key, raw)
        status = workflow_status(raw, found, await self._missing(key[0], pools), self._clock(), before)
        if status != before:
            await self._store.patch_workflow_status(*key, status)
            self._said[key] = (*_version(raw), status)

    def _before(self, key: JobKey, raw: RawObject) -> Status:
        """What a Workflow says of itself: as it was written last, until the watch has shown anything newer."""
        uid, version = _version(raw)
        said = self._said.get(key)
        if said is not None and said[0] == uid and version <= said[1]:
            return said[2]
        return {"revision": None, **(raw.get("status") or {})}

    async def _missing(self, namespace: str, uses: Sequence[PoolUse]) -> list[PoolUse]:
        names = {use.pool for use in uses if not self._pools.known(namespace, use.pool)}
        # The watch of pools may be behind that of Workflows: ask before saying that there is none.
        missing = {name for name in names if not await self._pools.find(namespace, name)}
        return [use for use in uses if use.pool in missing]


def _version(raw: RawObject) -> tuple[str, int]:
    return str(raw["metadata"].get("uid", "")), int(raw["metadata"].get("resourceVersion") or 0)


def workflow_status(
    raw: RawObject, found: Found, missing: Sequence[PoolUse], now: dt.datetime, before: Status
) -> Status:
    """The status of a Workflow. A condition that stays as it was `before` keeps its time."""
    faults = [f"{use.path}: there is no WorkerPool {use.pool!r} in this namespace" for use in missing]
    invalid = isinstance(found, Missing)
    if isinstance(found, Missing):
        faults = [*(found.faults or (found.message,)), *faults]
    reason = found.reason if isinstance(found, Missing) else Reason.UNKNOWN_POOL if missing else Reason.READY
    text = joined(faults) if faults else "jobs can run it"
    conditions = [_condition(ConditionType.READY, not faults, reason, text)]
    if invalid:
        conditions.append(_condition(ConditionType.INVALID, True, reason, text))  # noqa: FBT003  # its status
    old = {c.get("type"): c for c in before.get("conditions", [])}
    generation = raw["metadata"].get("generation", 1)
    return {
        "observedGeneration": generation,
        "revision": None if isinstance(found, Missing) else found.revision,
        "conditions": [_dated(c, old.get(c["type"], {}), generation, now) for c in conditions],
    }


def _condition(kind: ConditionType, status: bool, reason: Reason, text: str) -> dict[str, Any]:  # noqa: FBT001  # it is one
    return {"type": kind.value, "status": str(status), "reason": reason.value, "message": text}


def _dated(condition: dict[str, Any], old: dict[str, Any], generation: int, now: dt.datetime) -> dict[str, Any]:
    """With the time since which it has its status."""
    since = old.get("lastTransitionTime") if old.get("status") == condition["status"] else None
    return {**condition, "lastTransitionTime": since or format_time(now), "observedGeneration": generation}
