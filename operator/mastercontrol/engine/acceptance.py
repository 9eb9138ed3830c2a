"""Says on each Workflow whether Jobs can run it: condition Ready, with every fault in its message.

Writes only when what is said changes, so a Workflow costs one write per generation.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from typing import Any, Final

from mastercontrol.api.names import ConditionType, Reason
from mastercontrol.api.values import format_time
from mastercontrol.engine.definitions import Definitions
from mastercontrol.engine.facts import Missing
from mastercontrol.engine.inbox import JobKey
from mastercontrol.engine.ports import Gone, RawObject, StoreError, WorkflowStore

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 5.0


class Acceptance:
    """Looks at one Workflow at a time, the newest object of each."""

    def __init__(self, store: WorkflowStore, definitions: Definitions, clock: Callable[[], dt.datetime]) -> None:
        self._store = store
        self._definitions = definitions
        self._clock = clock
        self._waiting: dict[JobKey, RawObject] = {}
        self._wake = asyncio.Event()

    def observe(self, raw: RawObject) -> None:
        """A watch or a listing showed a Workflow."""
        meta = raw["metadata"]
        if meta.get("deletionTimestamp") is None:
            self._waiting[(meta.get("namespace", "default"), meta["name"])] = raw
            self._wake.set()

    async def run(self) -> None:
        """Work for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            for key in list(self._waiting):
                raw = self._waiting.pop(key)
                try:
                    await self._look(key, raw)
                except Gone:
                    continue
                except StoreError as error:
                    log.warning("Workflow %s/%s: %s; again in %s s", *key, error, RETRY_SECONDS)
                    self._waiting.setdefault(key, raw)
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self._wake.set)

    async def _look(self, key: JobKey, raw: RawObject) -> None:
        found = await self._definitions.current(*key)
        if isinstance(found, Missing):
            status = workflow_status(raw, found.reason, found.message, self._clock())
        else:
            status = workflow_status(raw, None, found.revision, self._clock())
        if not _says_the_same(raw.get("status") or {}, status):
            await self._store.patch_workflow_status(*key, status)


def workflow_status(raw: RawObject, fault: Reason | None, text: str, now: dt.datetime) -> dict[str, Any]:
    """The status of a Workflow: `text` is its revision, or what is wrong where there is a fault."""
    condition = {
        "type": ConditionType.READY.value,
        "status": str(fault is None),
        "reason": (fault or Reason.READY).value,
        "message": "jobs can run it" if fault is None else text,
        "lastTransitionTime": format_time(now),
        "observedGeneration": raw["metadata"].get("generation", 1),
    }
    return {
        "observedGeneration": raw["metadata"].get("generation", 1),
        "revision": text if fault is None else None,
        "conditions": [condition],
    }


def _says_the_same(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return _without_times(old) == _without_times({k: v for k, v in new.items() if v is not None})


def _without_times(status: dict[str, Any]) -> dict[str, Any]:
    conditions = [{k: v for k, v in c.items() if k != "lastTransitionTime"} for c in status.get("conditions", [])]
    return {**status, "conditions": conditions}
