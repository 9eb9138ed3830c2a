"""What heartbeats mean for a Job: which step is silent for too long, and what of them stands in its status. Pure.

`decide` calls it. A heartbeat never moves a job, it only keeps a silence from doing so. The silence of an attempt
counts from its first heartbeat: a step that still waits in its queue is not silent, and neither is one that its worker
gave back. What is known from the status alone is as old as that; `Heard.since` says from when on silence means
something at all.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

from mastercontrol.api.status import ActiveStep, JobStatus
from mastercontrol.engine.facts import Facts, Heartbeat, Missing
from mastercontrol.engine.moves import WORKER_CHARS
from mastercontrol.workflow.definition import TaskState
from mastercontrol_worker.contract import HEARTBEAT_TIMEOUT, StepError


@dataclass(frozen=True, slots=True)
class Shown:
    """A status with the heartbeats that are to be seen in it, and when to look again. `changed`: some are new."""

    status: JobStatus
    look_at: dt.datetime | None = None
    changed: bool = False


def period(entry: ActiveStep, facts: Facts) -> int | None:
    """The heartbeatSeconds of the step of an entry; None where it is no step, or need not report."""
    if isinstance(facts.definition, Missing):
        return None
    state = facts.definition.find(entry.path)
    return state.heartbeat_seconds if isinstance(state, TaskState) else None


def silent_at(entry: ActiveStep, status: JobStatus, facts: Facts) -> dt.datetime | None:
    """When a step will have been silent for too long, if nothing more is heard of it; None: that can't be said.

    Without a connection nothing is heard. And while its message may be lost with the data of another broker, nobody may
    have it.
    """
    beat = facts.heard.known.get((entry.seq, entry.attempt))
    if (beat is None and entry.heartbeat_at is None) or entry.dispatched_at is None:
        return None
    if facts.epoch is None or status.broker_epoch != facts.epoch or (beat is not None and beat.waiting):
        return None
    seconds = period(entry, facts)
    if seconds is None:
        return None
    times = (None if beat is None else beat.at, entry.heartbeat_at, facts.heard.since)
    return max(t for t in times if t is not None) + dt.timedelta(seconds=seconds)


def is_silent(entry: ActiveStep, status: JobStatus, facts: Facts) -> bool:
    """Whether a step has been silent for too long, as far as is known."""
    at = silent_at(entry, status, facts)
    return at is not None and at <= facts.now


def error(entry: ActiveStep, facts: Facts) -> StepError:
    """What a silent step failed with."""
    return StepError(HEARTBEAT_TIMEOUT, f"no heartbeat for {period(entry, facts)} s")


def worker(entry: ActiveStep, facts: Facts) -> str:
    """Who was heard of last."""
    beat = facts.heard.known.get((entry.seq, entry.attempt))
    return (entry.worker or "") if beat is None else beat.worker


def shown(was: JobStatus, status: JobStatus, facts: Facts) -> Shown:
    """Take heartbeats into a status that is about to be written, or write it for them where they waited long enough.

    The first one of a dispatch is written at once, and so is a step's going back to its queue: another operator must
    know that silence counts, or no longer does. What comes later waits for `Heard.show_from`, or for any other write.
    """
    lost = was.broker_epoch is not None and status.broker_epoch != was.broker_epoch
    if not facts.heard.known and not lost:
        return Shown(status)
    active = tuple(_heard(a, facts, lost=lost) for a in status.active)
    if active == status.active:
        return Shown(status)
    begins = any(
        (a.heartbeat_at is None) != (b.heartbeat_at is None) for a, b in zip(status.active, active, strict=True)
    )
    show_from = facts.heard.show_from
    if begins or status != was or show_from is None or show_from <= facts.now:
        return Shown(replace(status, active=active), changed=True)
    return Shown(status, look_at=show_from)


def _heard(entry: ActiveStep, facts: Facts, *, lost: bool) -> ActiveStep:
    beat = facts.heard.known.get((entry.seq, entry.attempt))
    if entry.dispatched_at is None or (beat is None and not lost) or period(entry, facts) is None:
        return entry
    if beat is None or beat.waiting:
        return _silenced(entry)
    if entry.heartbeat_at is not None and not _is_newer(beat, entry.heartbeat_at, entry.progress):
        return entry
    who = beat.worker[:WORKER_CHARS] or None
    return replace(entry, heartbeat_at=beat.at, worker=who, progress=beat.progress)


def _is_newer(beat: Heartbeat, at: dt.datetime, progress: Any) -> bool:
    """Two may come within one millisecond, which is as far as a status tells times apart."""
    return beat.at > at or (beat.at == at and beat.progress != progress)


def _silenced(entry: ActiveStep) -> ActiveStep:
    return replace(entry, heartbeat_at=None, worker=None, progress=None)


def cut_down(status: JobStatus) -> tuple[JobStatus, ...]:
    """A status that is too large with less and less of heartbeats in it: no progress, nothing of them at all."""
    if all(a.heartbeat_at is None for a in status.active):
        return ()
    bare = replace(status, active=tuple(replace(a, progress=None) for a in status.active))
    return bare, replace(status, active=tuple(_silenced(a) for a in status.active))
