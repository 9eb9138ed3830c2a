"""SubJob states: what is decided of child Jobs, from both sides. Pure; `decide` calls it.

No message passes between a parent and its child: each looks at the other as it is. The parent creates the child only
after the entry of `status.active` that it answers is committed, marks the entry once it is created, and takes its end
from the child's status. The child looks at its parent at each turn and cancels itself where that waits for it no more.
So whatever dies in between, the next look comes to the same.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from mastercontrol.api import names
from mastercontrol.api.family import Parent
from mastercontrol.api.job import Job
from mastercontrol.api.names import Phase, Reason
from mastercontrol.api.status import ActiveStep, JobStatus
from mastercontrol.engine import moves
from mastercontrol.engine.facts import Absent, ChildState, Ended, Facts, NewChild, NoParent, Running, Unusable
from mastercontrol.engine.flow import Flow
from mastercontrol.engine.ports import RawObject
from mastercontrol.engine.scopes import name_of
from mastercontrol.workflow import errors
from mastercontrol.workflow.definition import Definition, SubJobState
from mastercontrol_worker.contract import MAX_RESULT_BYTES, Failed, StepError, Succeeded, dispatch_id

MAX_DEPTH: Final = 10
"""Jobs above a Job. A Workflow that is its own SubJob ends here, and not with the cluster full of Jobs."""
NAME_CHARS: Final = 63
STATE_CHARS: Final = 20
HASH_CHARS: Final = 10


# -- what a child is


def child_name(job: Job, entry: ActiveStep) -> str:
    """The name of the Job that an entry waits for: the same at each look, another one for each attempt."""
    digest = hashlib.sha256(_id(job, entry).encode()).hexdigest()[:HASH_CHARS]
    state = name_of(entry.path).lower().replace("_", "-")[:STATE_CHARS].rstrip("-")
    whose = job.name[: NAME_CHARS - len(state) - len(digest) - 2].rstrip("-.")
    return f"{whose}-{state}-{digest}"


def is_child(job: Job, entry: ActiveStep, parent: Parent | None) -> bool:
    """Whether who names this parent is the Job that an entry waits for."""
    return parent is not None and (parent.uid, parent.seq, parent.attempt) == (job.uid, entry.seq, entry.attempt)


def child_state(child: Job) -> ChildState:
    """What has become of a child. One that is being deleted moves no more."""
    if child.status is not None and child.status.ended:
        return Ended(_outcome(child, child.status))
    return Absent() if child.deleting else Running(child.status.message if child.status else None)


def entries(status: JobStatus, definition: Definition) -> Iterator[tuple[ActiveStep, SubJobState]]:
    """The entries of a status that are SubJobs."""
    for entry in status.active if _has_sub_jobs(definition) else ():
        state = definition.find(entry.path)
        if isinstance(state, SubJobState):
            yield entry, state


@lru_cache(maxsize=512)  # most have none, and then the thousand items of a Map need not be looked through
def _has_sub_jobs(definition: Definition) -> bool:
    return any(isinstance(state, SubJobState) for state in definition.all_states())


def _id(job: Job, entry: ActiveStep) -> str:
    return dispatch_id(job.uid, entry.seq, entry.attempt)


def _outcome(child: Job, status: JobStatus) -> Succeeded | Failed:
    """The result of a child that has ended, bounded as a worker's is."""
    if status.phase is Phase.SUCCEEDED:
        size = len(json.dumps(status.output, separators=(",", ":"), ensure_ascii=False).encode())
        if size <= MAX_RESULT_BYTES:
            return Succeeded(status.output)
        text = f"the output of Job {child.name} has {size} bytes, the limit is {MAX_RESULT_BYTES}"
        return Failed(StepError(Reason.RESULT_TOO_LARGE, text, retryable=False))
    if status.phase is Phase.CANCELLED:
        return Failed(StepError(Reason.CANCELLED, f"Job {child.name} was cancelled: {status.message or ''}"))
    code, message = (status.error.code, status.error.message) if status.error else (Reason.SUB_JOB_FAILED.value, "")
    if code in errors.NEVER_CAUGHT:
        # What the child could not go on with is no fault in the data of its parent, which may well handle it.
        return Failed(StepError(Reason.SUB_JOB_FAILED, f"Job {child.name} failed: {code}: {message}"))
    return Failed(StepError(code, f"Job {child.name} failed: {message}"))


def _manifest(job: Job, entry: ActiveStep, state: SubJobState, data: Any) -> RawObject:
    """The child of an entry. It goes when its parent goes."""
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND_JOB,
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        # Deleting a job does not wait for its children; and who sets this needs a right to the owner's finalizers.
        "blockOwnerDeletion": False,
    }
    metadata = {
        "name": child_name(job, entry),
        "namespace": job.namespace,
        "labels": {names.LABEL_PARENT: _label(job.name), names.LABEL_STATE: _label(state.name)},
        "annotations": {names.ANNOTATION_DISPATCH: _id(job, entry), names.ANNOTATION_DEPTH: str(job.depth + 1)},
        "ownerReferences": [owner],
    }
    spec = {"workflow": state.workflow} | ({} if data is None else {"input": data})
    if job.spec.priority:  # what is urgent does not wait in its parts
        spec["priority"] = job.spec.priority
    return {"apiVersion": names.API_VERSION, "kind": names.KIND_JOB, "metadata": metadata, "spec": spec}


def _label(text: str) -> str:
    """A text as the value of a label."""
    return text[:63].rstrip("-_.")


# -- from below


def why_orphaned(job: Job, parent: Job | NoParent | None) -> str | None:
    """Why nobody waits for a child any more; None: its parent does, or it is not known.

    A parent that is being deleted is left out: what becomes of its children is for the garbage collector to say.
    """
    if job.parent is None or parent is None:
        return None
    whose = f"the Job {job.parent.name} that it belongs to"
    if isinstance(parent, NoParent):
        return f"{whose} is gone"
    status = parent.status or JobStatus()
    if status.ended:
        return f"{whose} has ended: {status.phase.value}"
    if status.sequence < job.parent.seq or parent.deleting:
        return None
    waits = any((a.seq, a.attempt) == (job.parent.seq, job.parent.attempt) for a in status.active)
    return None if waits else f"{whose} no longer waits for it"


# -- from above


class Children:
    """The child Jobs of one Job, for one decision."""

    def __init__(self, job: Job, was: JobStatus, facts: Facts, flow: Flow, *, suspended: bool) -> None:
        self.job = job
        self.was = was
        self.facts = facts
        self.flow = flow
        self.suspended = suspended

    def follow(self) -> None:
        """Take the ends of those that were created. What they make due is sent by the next turn: no message is
        unacknowledged that would come back after a crash.
        """
        for entry, _ in self._committed():
            found = None if entry.dispatched_at is None else self.facts.children.get(_id(self.job, entry))
            name = child_name(self.job, entry)
            match found:
                case Ended(Succeeded(output)):
                    self.flow.succeed(entry, output, name)
                case Ended(Failed(error)):
                    self.flow.fail(entry, error, name)
                case Absent():
                    text = f"Job {name} was deleted before it had ended"
                    self.flow.fail(entry, StepError(Reason.SUB_JOB_DELETED, text), name)
                case Running() | Unusable() | None:
                    pass
            self.flow.due.clear()

    def create(self) -> tuple[NewChild, ...]:
        """Those that are due and not known to be created, which the decision says they are."""
        new: dict[str, NewChild] = {}
        for entry, state in self._committed():
            early = entry.not_before is not None and entry.not_before > self.facts.now
            if entry.dispatched_at is not None or early or self.suspended:
                continue
            wrong = self._wrong(entry)
            if wrong is not None:
                self.flow.fail(entry, wrong)
                self.flow.due.clear()
                continue
            # It was evaluated when the state was entered, and its block stands still since.
            data = self.flow.scopes.input(entry.path)
            new[entry.path] = NewChild(_id(self.job, entry), _manifest(self.job, entry, state, data))
            self.flow.active[entry.path] = self._marked(entry, state)
        left = self.flow.active
        return tuple(n for p, n in new.items() if p in left and _id(self.job, left[p]) == n.id)

    def explained(self, status: JobStatus) -> JobStatus | None:
        """Say that the job waits for a child; None where that is not what there is to say.

        What the child itself waits for is said where there is a write anyway: it alone is not worth one.
        """
        entry = status.active[0] if status.active else None
        if entry is None or entry.dispatched_at is None or moves.at_work(status) is not None:
            return None
        if not isinstance(self.flow.definition.find(entry.path), SubJobState):
            return None
        text = f"{entry.path} waits for Job {child_name(self.job, entry)}"
        if self.was.message is not None and self.was.message.startswith(text):
            as_before = moves.wait(status, Reason.SUB_JOB, self.was.message, self.facts.now)
            if as_before == self.was:
                return as_before
        found = self.facts.children.get(_id(self.job, entry))
        said = f" ({found.message})" if isinstance(found, Running) and found.message else ""
        return moves.wait(status, Reason.SUB_JOB, f"{text}{said}", self.facts.now)

    def _committed(self) -> Iterator[tuple[ActiveStep, SubJobState]]:
        """The entries that are stored as they are, so far as this turn has not moved or ended them."""
        for entry, state in entries(self.was, self.flow.definition):
            if self.flow.active.get(entry.path) == entry:
                yield entry, state

    def _wrong(self, entry: ActiveStep) -> StepError | None:
        """Why there can be no child."""
        found = self.facts.children.get(_id(self.job, entry))
        if isinstance(found, Unusable):
            return StepError(found.reason, found.message, retryable=False)
        if self.job.depth >= MAX_DEPTH:
            text = f"there are {MAX_DEPTH} Jobs above this one already; does a Workflow start itself?"
            return StepError(Reason.SUB_JOB_TOO_DEEP, text, retryable=False)
        return None

    def _marked(self, entry: ActiveStep, state: SubJobState) -> ActiveStep:
        now, timeout = self.facts.now, state.timeout_seconds
        deadline = None if timeout is None else now + dt.timedelta(seconds=timeout)
        return replace(entry, dispatched_at=now, deadline=deadline)
