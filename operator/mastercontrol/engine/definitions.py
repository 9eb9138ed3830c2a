"""Which Definition a Job runs: that of its Workflow when it begins, that of its pinned revision ever after.

Each accepted revision of a Workflow is kept as a ControllerRevision before the first Job begins with it, so editing
or deleting the Workflow never changes a running Job. Revisions that no Job needs any more are collected.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from mastercontrol.api.names import LABEL_MANAGED_BY, LABEL_WORKFLOW, Reason
from mastercontrol.api.workflow import Workflow, parse_workflow
from mastercontrol.engine.facts import Missing
from mastercontrol.engine.inbox import JobKey
from mastercontrol.engine.ports import RawObject, WorkflowStore
from mastercontrol.workflow.checked import PoolUse, check
from mastercontrol.workflow.definition import Definition, Faults, TaskState

log = logging.getLogger(__name__)

Found = Definition | Missing
_CACHED: Final = 4096


@dataclass(frozen=True, slots=True)
class _Known:
    """A Workflow. `told`: `observe` has said that it is new; what a Job asked for first is not told of yet."""

    uid: str
    version: int
    raw: RawObject
    found: Found
    pools: tuple[PoolUse, ...]
    told: bool = True


class Definitions:
    """The Workflows as they are now, and the revisions that Jobs are pinned to."""

    def __init__(self, store: WorkflowStore) -> None:
        self._store = store
        self._workflows: dict[JobKey, _Known] = {}
        self._pinned: dict[JobKey, Definition] = {}
        self._kept: set[JobKey] = set()
        self._locks: dict[JobKey, asyncio.Lock] = {}
        self._unneeded: set[JobKey] = set()
        self._longest: dict[tuple[str, str, int], int] = {}  # what `longest_step` said, until a definition changes

    def observe(self, raw: RawObject) -> bool:
        """Take note of a Workflow; whether its definition is new to who calls."""
        return self._learn(raw, told=True)

    def _learn(self, raw: RawObject, *, told: bool) -> bool:
        meta = raw["metadata"]
        key = (meta.get("namespace", "default"), meta["name"])
        old = self._workflows.get(key)
        version = int(meta.get("resourceVersion") or 0)
        if old is not None and old.uid == meta.get("uid"):
            is_new = told and not old.told
            if version <= old.version:
                self._workflows[key] = replace(old, told=old.told or told)
                return is_new
            if old.raw.get("spec") == raw.get("spec"):
                self._workflows[key] = replace(old, version=version, raw=raw, told=old.told or told)
                return is_new
        found, pools = _checked(raw)
        self._longest.clear()
        self._workflows[key] = _Known(str(meta.get("uid", "")), version, raw, found, pools, told)
        return True

    def gone(self, namespace: str, name: str) -> None:
        """A Workflow was deleted. Jobs that run keep their revision."""
        self._longest.clear()
        self._workflows.pop((namespace, name), None)

    def newest(self, namespace: str, name: str) -> tuple[RawObject, tuple[PoolUse, ...]] | None:
        """The newest object of a Workflow that is known, and the pools that it names, whether it has faults or not."""
        known = self._workflows.get((namespace, name))
        return None if known is None else (known.raw, known.pools)

    def uids(self) -> dict[JobKey, str]:
        """The Workflows that are known, and which objects they are."""
        return {key: known.uid for key, known in self._workflows.items()}

    def retain(self, stored: Iterable[JobKey], before: Mapping[JobKey, str]) -> None:
        """Of those that were known `before` a listing, these are stored: the others were deleted unseen."""
        for key in before.keys() - set(stored):
            known = self._workflows.get(key)
            if known is not None and known.uid == before[key]:
                del self._workflows[key]
                self._longest.clear()

    def longest_step(self, namespace: str, pool: str, unlimited: int) -> int:
        """The longest time-out of the steps that are sent to a pool, in seconds; 0 where there is none.

        Of current Workflows, and of the revisions that Jobs run: their steps stay as long as they were.

        :param unlimited: what a step without a time-out counts as.
        """
        key = (namespace, pool, unlimited)
        if key not in self._longest:
            self._longest[key] = max((s.timeout_seconds or unlimited for s in self._steps(namespace, pool)), default=0)
        return self._longest[key]

    def _steps(self, namespace: str, pool: str) -> Iterator[TaskState]:
        current = (w.found for (ns, _), w in self._workflows.items() if ns == namespace)
        pinned = (definition for (ns, _), definition in self._pinned.items() if ns == namespace)
        found = (d for d in (*current, *pinned) if isinstance(d, Definition))
        return (state for definition in found for state in definition.tasks() if state.pool == pool)

    async def current(self, namespace: str, name: str) -> Found:
        """What a Job that begins now would run. Its revision is kept before this returns.

        :raises StoreUnavailable: no answer.
        """
        if (namespace, name) not in self._workflows:
            # The watch of Workflows may be behind that of Jobs: ask before saying that there is none.
            raw = await self._store.read_workflow(namespace, name)
            if raw is None:
                return Missing(Reason.UNKNOWN_WORKFLOW, f"there is no Workflow {name!r} in this namespace")
            self._learn(raw, told=False)
        known = self._workflows[(namespace, name)]
        if isinstance(known.found, Definition):
            await self._keep(parse_workflow(known.raw), known.raw, known.found)
        return known.found

    async def pinned(self, namespace: str, revision: str) -> Found:
        """What a Job that has begun runs.

        :raises StoreUnavailable: no answer.
        """
        found = self._pinned.get((namespace, revision))
        if found is not None:
            return found
        raw = await self._store.read_revision(namespace, revision)
        if raw is None:
            text = f"the ControllerRevision {revision!r} that this job is pinned to is gone"
            return Missing(Reason.UNKNOWN_WORKFLOW, text)
        compiled = _compile(str(raw["data"]["workflow"]), raw["data"]["spec"])
        if isinstance(compiled, Definition):
            # It keeps its name, also where a newer operator would name the same states otherwise.
            compiled = replace(compiled, revision=revision)
            self._remember(namespace, compiled)
        return compiled

    async def _keep(self, workflow: Workflow, raw: RawObject, definition: Definition) -> None:
        key = (workflow.namespace, definition.revision)
        if key in self._kept:
            return
        async with self._locks.setdefault(key, asyncio.Lock()):
            if key not in self._kept:
                await self._store.create_revision(_revision(workflow, raw, definition))
                self._kept.add(key)
                self._remember(workflow.namespace, definition)
        self._locks.pop(key, None)

    def _remember(self, namespace: str, definition: Definition) -> None:
        self._longest.clear()
        self._pinned[(namespace, definition.revision)] = definition
        while len(self._pinned) > _CACHED:
            del self._pinned[next(iter(self._pinned))]

    async def collect(self, watched: frozenset[str] | None, in_use: Iterable[JobKey]) -> int:
        """Delete the revisions that are neither current nor in use; how many.

        :param watched: the namespaces to look in; None for all. In others there may be another operator's.
        :raises StoreUnavailable: no answer.
        """
        needed = set(in_use) | self._current()
        places = [None] if watched is None else sorted(watched)
        stored = {_key(raw) for place in places for raw in await self._store.list_revisions(place)}
        unneeded = stored - needed
        # Twice in a row: a Job may just be beginning with a revision that was current a moment ago.
        doomed = unneeded & self._unneeded
        deleted = 0
        for key in doomed:
            async with self._locks.setdefault(key, asyncio.Lock()):
                # A Workflow may have become what it was before since it was asked what is needed, and a Job have begun.
                if key not in self._current():
                    # A Job that begins with it from here on waits, and then it is made again.
                    self._kept.discard(key)
                    self._pinned.pop(key, None)
                    self._longest.clear()
                    await self._store.delete_revision(*key)
                    deleted += 1
            self._locks.pop(key, None)
        self._unneeded = unneeded - doomed
        return deleted

    def _current(self) -> set[JobKey]:
        """The revisions of the Workflows as they are now."""
        return {(k[0], w.found.revision) for k, w in self._workflows.items() if isinstance(w.found, Definition)}


def _key(raw: RawObject) -> JobKey:
    meta = raw["metadata"]
    return meta.get("namespace", "default"), meta["name"]


def compile_raw(raw: RawObject) -> Found:
    """The Definition of a Workflow object, or why it has none."""
    return _checked(raw)[0]


def _checked(raw: RawObject) -> tuple[Found, tuple[PoolUse, ...]]:
    checked = check(raw["metadata"]["name"], raw.get("spec") or {})
    return _found(raw["metadata"]["name"], checked.found), checked.pools


def _compile(name: str, spec: Any) -> Found:
    return _found(name, check(name, spec).found)


def _found(name: str, compiled: Definition | Faults) -> Found:
    if isinstance(compiled, Faults):
        return Missing(Reason.INVALID_WORKFLOW, f"Workflow {name!r}: {compiled}", compiled.messages)
    return compiled


def _revision(workflow: Workflow, raw: RawObject, definition: Definition) -> RawObject:
    """The ControllerRevision that keeps a Definition, named by its content."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "namespace": workflow.namespace,
            "name": definition.revision,
            "labels": {LABEL_WORKFLOW: workflow.name[:63], LABEL_MANAGED_BY: "mastercontrol"},
        },
        "revision": workflow.generation,
        "data": {"workflow": workflow.name, "spec": raw["spec"]},
    }
