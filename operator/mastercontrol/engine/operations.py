"""What becomes of what a user asked for in `spec.operations`: which operation makes sense now, and what is noted of it.

`decide` asks `refusal` before it does one, and `OperatedFlow` moves the job. An operation is dealt with once: it is
done or refused, counted in `operations_taken` by the same write that says so, and never looked at again. Pure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mastercontrol.api.job import Job
from mastercontrol.api.names import ConditionType, Phase, Reason
from mastercontrol.api.operation import Operation, OperationType
from mastercontrol.api.status import Condition, JobStatus, Scope
from mastercontrol.engine.facts import Missing
from mastercontrol.engine.moves import MESSAGE_CHARS
from mastercontrol.workflow.definition import Definition, FailState

SHOWN: Final = 5
"""States that a refusal names; a Map may be in thousands."""

DONE: Final = {
    OperationType.RETRY: Reason.RETRIED,
    OperationType.RESTART: Reason.RESTARTED,
    OperationType.SKIP: Reason.SKIPPED,
}


def refusal(operation: Operation, job: Job, status: JobStatus, definition: Definition | Missing) -> str | None:
    """Why an operation makes no sense for a job as it is, and what to do; None: it does."""
    match status.phase:
        case Phase.SUCCEEDED:
            return "the job has succeeded; create another Job to run the workflow again"
        case Phase.CANCELLED:
            return "the job was cancelled; create another Job to run the workflow again"
        case Phase.FAILED:
            return _of_failed(operation, job, status, definition)
        case Phase.PENDING | Phase.RUNNING | Phase.SUSPENDED:
            return _of_running(operation, status, definition)


def _of_failed(operation: Operation, job: Job, status: JobStatus, definition: Definition | Missing) -> str | None:
    if job.spec.cancel:
        return "spec.cancel is set, so the job would be cancelled; create another Job to run the workflow again"
    if isinstance(definition, Missing):
        never = status.revision is None
        return (
            "the job never began; create another Job" if never else f"{definition.message}; ask again when it is there"
        )
    if operation.type is OperationType.RESTART:
        return None
    if not status.resumable or any(definition.find(path) is None for path in status.resumable):
        return "it is not kept where the job stood, as that was undone or too large; write Restart"
    if operation.state is None:
        return None
    return _of_skip(operation.state, status.resumable, status, definition)


def _of_running(operation: Operation, status: JobStatus, definition: Definition | Missing) -> str | None:
    if operation.state is None:
        return f"the job has not failed, it is in {status.state}; ask again when it has"
    if status.sequence == 0:
        return "the job has not begun; ask again when it is in that state"
    if isinstance(definition, Missing):
        return f"{definition.message}; ask again when it is there"
    return _of_skip(operation.state, [entry.path for entry in status.active], status, definition)


def _of_skip(path: str, waits: Sequence[str], status: JobStatus, definition: Definition) -> str | None:
    """A state can be skipped that the job waits in, or waits inside of."""
    known = [*waits, *(group.path for group in status.groups)]
    if path not in known:
        others = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
        return f"the job is not in {path!r}; write a state that it is in: {', '.join(known[:SHOWN])}{others}"
    if isinstance(definition.find(path), FailState):
        return f"{path!r} is a Fail state, after which nothing comes; write Restart, or skip what it is in"
    return None


def revived(status: JobStatus, now: dt.datetime, *, anew: bool) -> JobStatus:
    """A failed job as one that runs. Its active deadline and its transitions count from here.

    :param anew: it forgets what it did. Signals that were taken stay taken.
    """
    running = status.without_condition(ConditionType.FAILED).without_condition(ConditionType.SUSPENDED)
    running = replace(
        running,
        phase=Phase.RUNNING,
        start_time=now,
        completion_time=None,
        error=None,
        message=None,
        resumable=(),
        counted_from=status.sequence,
    )
    return replace(running, scope=Scope(), scopes=(), groups=()) if anew else running


def noted(status: JobStatus, operation: Operation, refused: str | None, now: dt.datetime) -> JobStatus:
    """An operation was dealt with: it is counted, and a condition says what became of it. `refused`: why."""
    text = said(status, operation, refused or operation.reason or "done")[:MESSAGE_CHARS]
    reason = DONE[operation.type] if refused is None else Reason.OPERATION_REFUSED
    noted = status.with_condition(Condition(ConditionType.OPERATED, refused is None, reason, text, now))
    return replace(noted, operations_taken=status.operations_taken + 1)


def said(status: JobStatus, operation: Operation, text: str) -> str:
    """A text with the operation that it is about, which is the next one of a status."""
    return f"spec.operations[{status.operations_taken}], {operation}: {text}"
