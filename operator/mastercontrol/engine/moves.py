"""The moves of a Job's status: each takes a status and gives the next one. Pure; called by `decide` only.

Whatever changes `.status.state` fires a trigger on the Workflow's machine, counts the sequence up by one and leaves a
line in the history. Nothing else does any of the three.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

from mastercontrol.api.job import ActiveStep, Condition, HistoryEntry, Job, JobError, JobStatus
from mastercontrol.api.names import ConditionType, Phase, Reason
from mastercontrol.api.values import format_time
from mastercontrol.api.workflow import RetrySpec
from mastercontrol.engine.facts import Facts, Missing
from mastercontrol.workflow.definition import Definition, TaskState
from mastercontrol.workflow.machine import Trigger, machine_of, step_of
from mastercontrol_worker.contract import JobRef, StepError

MESSAGE_CHARS = 1024
"""The longest message of a handler that a history entry or a condition carries; status.error has it longer."""
WORKER_CHARS = 253
"""The longest identity of a worker that is kept: that of a pod's name."""

__all__ = [
    "advance",
    "cancel",
    "fail",
    "format_time",
    "job_ref",
    "put_entry",
    "resume",
    "retry",
    "start",
    "status_bytes",
    "step_input",
    "suspend",
    "wait",
    "with_pool",
]


def start(status: JobStatus, definition: Definition, facts: Facts) -> JobStatus:
    """Begin: the first state's step becomes active, not dispatched yet."""
    moved = _fire(status, definition, Trigger.START, facts, Reason.STARTED)
    phase = status.phase if status.phase is Phase.SUSPENDED else Phase.RUNNING
    return replace(
        moved.without_condition(ConditionType.WAITING),
        phase=phase,
        revision=definition.revision,
        active=(ActiveStep(definition.start, moved.sequence),),
        start_time=facts.now,
        message=None,
    )


def advance(
    status: JobStatus, definition: Definition, entry: ActiveStep, output: Any, facts: Facts, worker: str
) -> JobStatus:
    """A step is done: on to the next state, not dispatched yet, or to the end.

    :raises TriggerRefused: the machine has no such move.
    """
    moved = _fire(status, definition, Trigger.SUCCEED, facts, Reason.STEP_SUCCEEDED, entry, worker=worker)
    following = definition.states[entry.path].next
    if following is None:
        return _completed(moved, output, facts.now)
    # A chain's next state reads the output before it and nothing else, so nothing else is kept.
    return replace(
        moved.without_condition(ConditionType.WAITING),
        active=(ActiveStep(following, moved.sequence),),
        outputs={entry.path: output},
        message=status.message if status.phase is Phase.SUSPENDED else None,
    )


def retry(
    status: JobStatus,
    definition: Definition,
    entry: ActiveStep,
    error: StepError,
    backoff: dt.timedelta,
    facts: Facts,
    worker: str,
) -> JobStatus:
    """An attempt failed and another one is due after the back-off. The clock sends it, not this turn.

    :raises TriggerRefused: the machine has no such move.
    """
    reason = _text(error)
    moved = _fire(status, definition, Trigger.RETRY, facts, error.code, entry, worker=worker, message=error.message)
    due = facts.now + backoff
    following = ActiveStep(entry.path, moved.sequence, entry.attempt + 1, not_before=due)
    message = f"{entry.path} failed ({reason}); attempt {following.attempt} not before {format_time(due)}"
    moved = replace(moved, active=tuple(following if a == entry else a for a in moved.active))
    if status.phase is Phase.SUSPENDED:
        return moved  # it waits for being resumed, and says so already
    return wait(moved, Reason.BACK_OFF, message, facts.now)


def fail(status: JobStatus, facts: Facts, error: StepError, entry: ActiveStep | None, worker: str) -> JobStatus:
    """The job failed, for good."""
    message = error.message[:MESSAGE_CHARS]
    moved = _fire(status, facts.definition, Trigger.FAIL, facts, error.code, entry, worker=worker, message=message)
    path = entry.path if entry else step_of(status.state)
    text = f"{path}: {_text(error)}" if path else _text(error)
    ended = _ended(moved, Phase.FAILED, ConditionType.FAILED, error.code, text, facts.now)
    return replace(ended, error=JobError(error.code, error.message, path), message=text)


def cancel(status: JobStatus, facts: Facts) -> JobStatus:
    """The user cancelled the job. It counts as failed for who waits for an end, as a batch/v1 Job's deadline does."""
    moved = _fire(status, facts.definition, Trigger.CANCEL, facts, Reason.CANCELLED)
    text = "spec.cancel was set"
    ended = _ended(moved, Phase.CANCELLED, ConditionType.FAILED, Reason.CANCELLED, text, facts.now)
    error = JobError(Reason.CANCELLED.value, text, step_of(status.state))
    return replace(ended, error=error, message=text)


def suspend(status: JobStatus, now: dt.datetime) -> JobStatus:
    """Send nothing more. What is with a worker goes on, and its result is taken."""
    text = "spec.suspend is set: what runs finishes, nothing new starts"
    held = status.without_condition(ConditionType.WAITING)
    held = held.with_condition(Condition(ConditionType.SUSPENDED, True, Reason.SUSPENDED, text, now))  # noqa: FBT003  # a condition's status
    return replace(held, phase=Phase.SUSPENDED, message=text)


def resume(status: JobStatus, now: dt.datetime) -> JobStatus:
    """Go on. The active deadline counts from here, as it does for a batch/v1 Job."""
    text = "spec.suspend is not set"
    free = status.with_condition(Condition(ConditionType.SUSPENDED, False, Reason.RESUMED, text, now))  # noqa: FBT003  # a condition's status
    begun = status.sequence > 0
    phase = Phase.RUNNING if begun else Phase.PENDING
    return replace(free, phase=phase, message=None, start_time=now if begun else None)


def wait(status: JobStatus, reason: Reason, message: str, now: dt.datetime) -> JobStatus:
    """Say what the job waits for, where a person looks."""
    message = message[:MESSAGE_CHARS]
    waiting = status.with_condition(Condition(ConditionType.WAITING, True, reason, message, now))  # noqa: FBT003  # a condition's status
    return replace(waiting, message=message)


def with_pool(status: JobStatus, entry: ActiveStep, pool: str) -> JobStatus:
    """The job waits for a worker's answer and for nothing else."""
    text = f"{entry.path} is with pool {pool}" + (f", attempt {entry.attempt}" if entry.attempt > 1 else "")
    return replace(status.without_condition(ConditionType.WAITING), message=text)


def put_entry(status: JobStatus, old: ActiveStep, new: ActiveStep) -> JobStatus:
    """This status with one active step in the place of another."""
    return replace(status, active=tuple(new if a == old else a for a in status.active))


def step_input(job: Job, status: JobStatus, definition: Definition, state: str) -> Any:
    """The input of a state: the output of the state before it, the job's input for the first."""
    before = next((s.name for s in definition.states.values() if s.next == state), None)
    return job.spec.input if before is None else status.outputs.get(before)


def job_ref(job: Job) -> JobRef:
    """How a message names a Job."""
    return JobRef(job.namespace, job.name, job.uid)


def status_bytes(status: JobStatus) -> int:
    """The size of a status as it is stored, in bytes."""
    return len(json.dumps(status.to_raw(), separators=(",", ":"), ensure_ascii=False).encode())


def _fire(
    status: JobStatus,
    definition: Definition | Missing,
    trigger: Trigger,
    facts: Facts,
    reason: str,
    entry: ActiveStep | None = None,
    *,
    worker: str = "",
    message: str | None = None,
) -> JobStatus:
    """Move the state by a trigger: the one place where state, sequence and history change."""
    known = _stand_in(status.state) if isinstance(definition, Missing) else definition
    state = machine_of(known).fire(status.state, trigger)
    line = HistoryEntry(
        seq=status.sequence + 1,
        time=facts.now,
        state=state,
        reason=str(reason),
        attempt=entry.attempt if entry else None,
        message=message[:MESSAGE_CHARS] if message else None,
        worker=worker[:WORKER_CHARS] or None,
    )
    history = (*status.history, line)[-facts.limits.history :]
    return replace(status, state=state, sequence=status.sequence + 1, history=history)


def _stand_in(state: str) -> Definition:
    """A definition for a Job whose own is gone, so that it can still be failed and cancelled: the state it is in."""
    here = step_of(state) or "gone"
    only = TaskState(here, "gone", None, None, RetrySpec())
    return Definition(f"?{here}", here, {here: only})


def _completed(status: JobStatus, output: Any, now: dt.datetime) -> JobStatus:
    text = "the last state is done"
    done = _ended(status, Phase.SUCCEEDED, ConditionType.COMPLETE, Reason.COMPLETED, text, now)
    return replace(done, output=output, message=None)


def _ended(status: JobStatus, phase: Phase, kind: ConditionType, reason: str, text: str, now: dt.datetime) -> JobStatus:
    ended = status.without_condition(ConditionType.WAITING)
    ended = ended.with_condition(Condition(kind, True, str(reason), text[:MESSAGE_CHARS], now))  # noqa: FBT003  # a condition's status
    return replace(ended, phase=phase, active=(), outputs={}, completion_time=now)


def _text(error: StepError) -> str:
    return f"{error.code}: {error.message}"[:MESSAGE_CHARS]
