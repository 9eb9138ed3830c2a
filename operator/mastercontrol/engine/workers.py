"""Steps that wait for a worker, because none of their pool is ready: what is said of them, and when. Pure.

`decide` asks both. It is said only after a while, so that a pool which starts from zero costs no write; and it is taken
back by the turn that the first ready worker causes, or by the next transition.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from mastercontrol.api.names import ConditionType, Reason
from mastercontrol.api.status import ActiveStep, JobStatus
from mastercontrol.engine.facts import Facts
from mastercontrol.workflow.definition import Definition, TaskState


def lacking(status: JobStatus, definition: Definition, facts: Facts) -> str | None:
    """What a job says that has a step with a pool without workers, if it is to say it."""
    said = _said(status)
    if said is None and not _empty(definition, facts):
        return None  # as almost always
    for entry, pool in sent(status, definition):
        text = f"{entry.path} waits for a worker of pool {pool} (none is ready)"
        workers = facts.workers(pool)
        if workers is None:
            due = text == said  # nothing says that it is otherwise by now
        else:
            due = workers.ready == 0 and (text == said or _due_at(entry, workers.none_since, facts) <= facts.now)
        if due:
            return text
    return None


def lacking_at(status: JobStatus, definition: Definition, facts: Facts) -> dt.datetime | None:
    """When time alone makes a job say so next."""
    empty = _empty(definition, facts)
    if not empty or _said(status) is not None:
        return None
    times = [_due_at(entry, empty[pool], facts) for entry, pool in sent(status, definition) if pool in empty]
    return min((time for time in times if time > facts.now), default=None)


def says_no_worker(status: JobStatus | None) -> bool:
    """Whether a job says that it waits for a worker."""
    return status is not None and _said(status) is not None


def _said(status: JobStatus) -> str | None:
    waiting = (c for c in status.conditions if c.type is ConditionType.WAITING and c.status)
    return next((c.message for c in waiting if c.reason == Reason.NO_WORKER), None)


def _empty(definition: Definition, facts: Facts) -> dict[str, dt.datetime | None]:
    """The pools of which no worker is ready, and since when."""
    found = {pool: facts.workers(pool) for pool in {task.pool for task in definition.tasks()}}
    return {pool: workers.none_since for pool, workers in found.items() if workers is not None and workers.ready == 0}


def _due_at(entry: ActiveStep, since: dt.datetime | None, facts: Facts) -> dt.datetime:
    begun = [time for time in (entry.dispatched_at, since) if time is not None]
    return max(begun, default=facts.now) + dt.timedelta(seconds=facts.limits.no_worker_seconds)


def sent(status: JobStatus, definition: Definition) -> Iterator[tuple[ActiveStep, str]]:
    """The steps that are with their pools."""
    for entry in status.active:
        state = definition.find(entry.path)
        if entry.dispatched_at is not None and isinstance(state, TaskState):
            yield entry, state.pool
