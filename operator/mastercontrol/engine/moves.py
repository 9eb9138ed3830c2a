"""The moves of a Job's status that are none of its states' doing, and what its moved states come to. Pure.

Whatever changes `.status.state` fires a trigger on the Workflow's machine, counts the sequence up and leaves a line in
the history: here for what ends a job from outside, in `flow` for everything else.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mastercontrol.api.names import ConditionType, Phase, Reason
from mastercontrol.api.status import ActiveStep, Condition, Group, HistoryEntry, JobError, JobStatus, Scope
from mastercontrol.api.status_json import to_raw
from mastercontrol.api.values import format_time
from mastercontrol.engine.facts import Facts, Missing
from mastercontrol.workflow.definition import Block, Definition, SignalState, State, TaskState, WaitState
from mastercontrol.workflow.machine import Trigger, machine_of, step_of
from mastercontrol_worker.contract import StepError

if TYPE_CHECKING:
    from mastercontrol.engine.flow import Flow

MESSAGE_CHARS = 1024
"""The longest message of a handler that a history entry or a condition carries; status.error has it longer."""
PROGRESS_CHARS = 80
"""How much of a step's progress the line about the job shows; its entry in `active` has it all."""
WORKER_CHARS = 253
"""The longest identity of a worker that is kept: that of a pod's name."""


def started(status: JobStatus, definition: Definition, now: dt.datetime, epoch: str | None) -> JobStatus:
    """The job begins. A suspended one stays so: its first step was sent before."""
    phase = status.phase if status.phase is Phase.SUSPENDED else Phase.RUNNING
    return replace(
        status.without_condition(ConditionType.WAITING),
        phase=phase,
        revision=definition.revision,
        broker_epoch=epoch if epoch is not None else status.broker_epoch,
        start_time=now,
        message=status.message if phase is Phase.SUSPENDED else None,
    )


def absorb(status: JobStatus, flow: Flow, now: dt.datetime) -> JobStatus:
    """The status after a job moved; with its end, if it has ended."""
    if flow.sequence == status.sequence:
        return replace(status, active=tuple(flow.active.values()))
    moved = replace(
        status,
        state=flow.state,
        sequence=flow.sequence,
        history=tuple(flow.history),
        active=tuple(flow.active.values()),
        scope=flow.scopes.get(""),
        scopes=tuple(s for p, s in flow.scopes.found.items() if p and not s.is_bare),
        groups=tuple(flow.groups.values()),
        outcome=flow.closing.outcome,
        compensations=flow.closing.stack,
        resumable=flow.resumable,
    )
    if flow.error is not None:
        error, path = flow.error
        return _failed(moved, error, path, now)
    if flow.is_cancelled and moved.outcome is not None and moved.outcome.error is not None:
        return _cancelled(moved, moved.outcome.error, now)
    return _completed(moved, flow.output, now) if flow.is_done else moved


def fail(status: JobStatus, facts: Facts, error: StepError, entry: ActiveStep | None, worker: str) -> JobStatus:
    """The job failed, for a reason that lies outside its states."""
    message = error.message[:MESSAGE_CHARS]
    moved = _fire(status, facts.definition, Trigger.FAIL, facts, error.code, entry, worker=worker, message=message)
    resumable = dict.fromkeys(a.path for a in (*([entry] if entry else []), *status.active))
    moved = replace(moved, resumable=tuple(resumable))
    return _failed(moved, error, entry.path if entry else step_of(status.state), facts.now)


def _failed(status: JobStatus, error: StepError, path: str | None, now: dt.datetime) -> JobStatus:
    text = f"{path}: {_text(error)}" if path else _text(error)
    text = _with_failures(text, status)
    ended = _ended(status, Phase.FAILED, ConditionType.FAILED, error.code, text, now)
    return replace(ended, error=JobError(error.code, error.message, path), message=text)


def cancel(status: JobStatus, facts: Facts, error: JobError) -> JobStatus:
    """The user, or a newer job, cancelled it. It counts as failed for who waits for an end, as in batch/v1."""
    moved = _fire(status, facts.definition, Trigger.CANCEL, facts, error.code)
    return _cancelled(moved, error, facts.now)


def _cancelled(status: JobStatus, error: JobError, now: dt.datetime) -> JobStatus:
    text = _with_failures(error.message, status)
    ended = _ended(status, Phase.CANCELLED, ConditionType.FAILED, error.code, text, now)
    return replace(ended, error=error, message=text)


def _with_failures(text: str, status: JobStatus) -> str:
    """What is said at the end, with what failed of the clean-up."""
    failures = status.outcome.failures if status.outcome is not None else ()
    return f"{text}; clean-up failed: {'; '.join(failures)}"[:MESSAGE_CHARS] if failures else text


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


def at_work(status: JobStatus) -> Group | None:
    """The Parallel or Map at the top that a job is in; what it was in before it closes stands there for a retry."""
    return next((g for g in status.groups if "." not in g.path and status.outcome is None), None)


def explained(status: JobStatus, definition: Definition, now: dt.datetime) -> JobStatus:
    """Say in one line what a running job waits for, and in a condition where it is not for a worker."""
    whole = at_work(status)
    if whole is not None:
        busy = whole.started - len(whole.results)
        failed = f", {whole.failed} failed" if whole.failed else ""
        text = f"{whole.path}: {len(whole.results)} of {whole.size} done{failed}, {busy} at work"
        return replace(status.without_condition(ConditionType.WAITING), message=text)
    entry = status.active[0] if status.active else None
    state = None if entry is None else definition.find(entry.path)
    if entry is None or state is None:
        return status
    if entry.not_before is not None and entry.dispatched_at is None:
        return _for_time(status, entry, state, now)
    match state:
        case TaskState(pool=pool) if entry.dispatched_at is not None:
            attempt = f", attempt {entry.attempt}" if entry.attempt > 1 else ""
            text = f"{entry.path} is with pool {pool}{attempt}{_progress(entry.progress)}"
            return replace(status.without_condition(ConditionType.WAITING), message=text)
        case SignalState(signal=signal):
            until = f" until {format_time(entry.deadline)}" if entry.deadline else ""
            return wait(status, Reason.SIGNAL, f"{entry.path} waits for the signal {signal!r}{until}", now)
        case _:
            return replace(status.without_condition(ConditionType.WAITING), message=f"{entry.path} is next")


def _progress(progress: Any) -> str:
    """What a worker reported, in a few words."""
    if progress is None:
        return ""
    text = progress if isinstance(progress, str) else json.dumps(progress, ensure_ascii=False)
    words = " ".join(text.split())
    return f": {words if len(words) <= PROGRESS_CHARS else words[: PROGRESS_CHARS - 1] + '…'}"


def _for_time(status: JobStatus, entry: ActiveStep, state: State, now: dt.datetime) -> JobStatus:
    until = format_time(entry.not_before) if entry.not_before else ""
    if isinstance(state, WaitState):
        return wait(status, Reason.WAIT, f"{entry.path} waits until {until}", now)
    last = next((h for h in reversed(status.history) if h.seq == entry.seq), None)
    why = f" ({last.reason}: {last.message or ''})" if last else ""
    return wait(status, Reason.BACK_OFF, f"{entry.path} failed{why}; attempt {entry.attempt} not before {until}", now)


def status_bytes(status: JobStatus) -> int:
    """The size of a status as it is stored, in bytes."""
    return len(json.dumps(to_raw(status), separators=(",", ":"), ensure_ascii=False).encode())


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
    only = TaskState(name=here, pool="gone")
    return Definition(f"?{here}", Block(here, {here: only}))


def _completed(status: JobStatus, output: Any, now: dt.datetime) -> JobStatus:
    text = "the last state is done"
    done = _ended(status, Phase.SUCCEEDED, ConditionType.COMPLETE, Reason.COMPLETED, text, now)
    return replace(done, output=output, message=None)


def _ended(status: JobStatus, phase: Phase, kind: ConditionType, reason: str, text: str, now: dt.datetime) -> JobStatus:
    ended = status.without_condition(ConditionType.WAITING)
    ended = ended.with_condition(Condition(kind, True, str(reason), text[:MESSAGE_CHARS], now))  # noqa: FBT003  # a condition's status
    ended = replace(ended, phase=phase, active=(), outcome=None, compensations=(), completion_time=now)
    return ended if phase is Phase.FAILED and ended.resumable else without_rest(ended)


def without_rest(status: JobStatus) -> JobStatus:
    """An ended job without what a retry would need."""
    return replace(status, scope=Scope(), scopes=(), groups=(), resumable=())


def _text(error: StepError) -> str:
    return f"{error.code}: {error.message}"[:MESSAGE_CHARS]
