"""Job: one run of a Workflow. Its status is the state store: values in `status`, their JSON in `status_json`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mastercontrol.api import values
from mastercontrol.api.family import Parent, depth_of, parent_of
from mastercontrol.api.operation import Operation, parse_operations
from mastercontrol.api.status import JobStatus
from mastercontrol.api.status_json import parse_status
from mastercontrol.api.values import parse_time


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What the user asked for. Times are in seconds."""

    workflow: str
    input: Any = None
    suspend: bool = False
    cancel: bool = False
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    signals: tuple[Signal, ...] = ()
    operations: tuple[Operation, ...] = ()
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that happened outside and that a Signal state waits for."""

    name: str
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Job:
    """A Job object. `status` is None where nothing was ever written for it.

    `parent` is the Job whose SubJob state it is, and `depth` how many Jobs are above it.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    spec: JobSpec
    status: JobStatus | None
    deleting: bool = False
    created: dt.datetime | None = None
    parent: Parent | None = None
    depth: int = 0

    @property
    def asked(self) -> tuple[Operation, ...]:
        """The operations that were not dealt with yet, in order."""
        return self.spec.operations[self.status.operations_taken if self.status else 0 :]


MAX_PRIORITY = 9

_SPEC_FIELDS = frozenset(
    {
        "workflow",
        "input",
        "suspend",
        "cancel",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
        "signals",
        "operations",
        "priority",
    }
)


def parse_job(raw: Mapping[str, Any], written: JobStatus | None = None) -> Job:
    """Read a Job.

    :param written: the status that was written last; what is stored as it says is taken from it.
    :raises InvalidObject: with the first fault of its spec.
    """
    meta = values.mapping(raw, "metadata", "")
    status = values.mapping(raw, "status", "")
    return Job(
        namespace=str(meta.get("namespace", "default")),
        name=values.text(meta, "name", "metadata"),
        uid=str(meta.get("uid", "")),
        resource_version=str(meta.get("resourceVersion", "")),
        generation=int(meta.get("generation", 1)),
        spec=parse_spec(values.mapping(raw, "spec", "")),
        status=parse_status(status, written) if status else None,
        deleting=meta.get("deletionTimestamp") is not None,
        created=parse_time(meta.get("creationTimestamp")),
        parent=parent_of(meta),
        depth=depth_of(meta),
    )


def parse_spec(spec: Mapping[str, Any]) -> JobSpec:
    """Read a Job's spec.

    :raises InvalidObject: with the first fault.
    """
    values.known(spec, _SPEC_FIELDS, "spec")
    return JobSpec(
        workflow=values.text(spec, "workflow", "spec"),
        input=spec.get("input"),
        suspend=values.flag(spec, "suspend", "spec", default=False),
        cancel=values.flag(spec, "cancel", "spec", default=False),
        active_deadline_seconds=values.optional_whole(spec, "activeDeadlineSeconds", "spec", 1, 2**31 - 1),
        ttl_seconds_after_finished=values.optional_whole(spec, "ttlSecondsAfterFinished", "spec", 0, 2**31 - 1),
        signals=_signals(spec),
        operations=parse_operations(spec),
        priority=values.whole(spec, "priority", "spec", 0, MAX_PRIORITY, 0),
    )


def _signals(spec: Mapping[str, Any]) -> tuple[Signal, ...]:
    found = spec.get("signals")
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(s, Mapping) for s in found):
        raise values.InvalidObject("spec.signals: write a list of mappings with name and payload")
    for i, signal in enumerate(found):
        values.known(signal, frozenset({"name", "payload"}), f"spec.signals[{i}]")
    return tuple(Signal(values.text(s, "name", f"spec.signals[{i}]"), s.get("payload")) for i, s in enumerate(found))
