"""The runs of a Schedule: the Jobs that it made, how they are named, and which of them are no longer kept. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mastercontrol.api import names
from mastercontrol.api.names import ENDED, Phase
from mastercontrol.api.schedule import Schedule
from mastercontrol.api.values import format_time, parse_time
from mastercontrol.engine.ports import RawObject


@dataclass(frozen=True, slots=True)
class Run:
    """A Job that a Schedule made, as far as the Schedule cares."""

    name: str
    uid: str
    scheduled: dt.datetime
    phase: Phase = Phase.PENDING
    completed: dt.datetime | None = None
    leaving: bool = False  # told to cancel, or being deleted

    @property
    def active(self) -> bool:
        """Whether it has not ended yet."""
        return self.phase not in ENDED

    @property
    def succeeded(self) -> bool:
        """Whether it has ended well."""
        return self.phase is Phase.SUCCEEDED


def job_name(schedule: str, run: dt.datetime) -> str:
    """The name of the Job of a run: a second one for the same minute can't be created."""
    return f"{schedule}-{int(run.timestamp()) // 60}"


def job_manifest(schedule: Schedule, run: dt.datetime) -> RawObject:
    """The Job of a run. It goes when its Schedule goes."""
    template = schedule.spec.template
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND_SCHEDULE,
        "name": schedule.name,
        "uid": schedule.uid,
        "controller": True,
        # Deleting a schedule does not wait for its jobs to end.
        "blockOwnerDeletion": False,
    }
    metadata = {
        "name": job_name(schedule.name, run),
        "namespace": schedule.namespace,
        "labels": {**template.labels, names.LABEL_SCHEDULE: schedule.name},
        "annotations": {**template.annotations, names.ANNOTATION_SCHEDULED: format_time(run)},
        "ownerReferences": [owner],
    }
    spec: dict[str, Any] = dict(template.spec)
    return {"apiVersion": names.API_VERSION, "kind": names.KIND_JOB, "metadata": metadata, "spec": spec}


def schedule_of(raw: RawObject) -> tuple[str, str] | None:
    """The name and the uid of the Schedule that made a Job; None where none did."""
    for owner in raw["metadata"].get("ownerReferences") or ():
        ours = str(owner.get("apiVersion", "")).startswith(f"{names.GROUP}/")
        if ours and owner.get("controller") and owner.get("kind") == names.KIND_SCHEDULE:
            return str(owner.get("name")), str(owner.get("uid"))
    return None


def read_run(raw: RawObject) -> Run:
    """A Job that a Schedule made as a run."""
    meta, status = raw["metadata"], raw.get("status") or {}
    minute = meta["name"].rpartition("-")[2]
    scheduled = parse_time((meta.get("annotations") or {}).get(names.ANNOTATION_SCHEDULED))
    return Run(
        name=meta["name"],
        uid=str(meta.get("uid", "")),
        scheduled=scheduled or dt.datetime.fromtimestamp(int(minute) * 60, dt.UTC),
        phase=Phase(status.get("phase", Phase.PENDING)),
        completed=parse_time(status.get("completionTime")),
        leaving=bool((raw.get("spec") or {}).get("cancel")) or meta.get("deletionTimestamp") is not None,
    )


def surplus(runs: Iterable[Run], successful: int, failed: int) -> tuple[Run, ...]:
    """The ended runs that are more than are kept of their outcome, oldest first. Cancelled ones count as failed."""
    newest = sorted((run for run in runs if not run.active), key=lambda run: run.scheduled, reverse=True)
    good, bad = [run for run in newest if run.succeeded], [run for run in newest if not run.succeeded]
    return tuple(sorted([*good[successful:], *bad[failed:]], key=lambda run: run.scheduled))
