"""Whether a dead letter can be redriven, which means that its job is retried, and how far that is. Pure.

The message itself is never sent again: its dispatch is over, so a worker's answer to it would be stale. The Retry is an
entry of the Job's `spec.operations` whose reason names the letters. That makes it safe to begin anew after a crash: an
entry that is there is not added twice, and `counted_from`, the sequence at which the job went on last, says whether it
was done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mastercontrol.api.job import Job, parse_job
from mastercontrol.api.names import ConditionType, Phase
from mastercontrol.api.operation import OperationType
from mastercontrol.api.status import JobStatus
from mastercontrol.api.values import InvalidObject
from mastercontrol.engine.ports import RawObject
from mastercontrol.engine.scopes import name_of
from mastercontrol.pools.deadletters.letters import Letter

REASON: Final = "redrive of dead letter"
REASON_CHARS: Final = 512  # of an operation, as the CRD says
OPERATIONS_MAX: Final = 256  # of a Job, as the CRD says


@dataclass(slots=True)
class Verdict:
    """What to do for the letters of one job. Each is done, waits for a Retry, or is refused, with why.

    `patch` is the JSON Patch that adds a Retry; None where nothing is to be added. Who has sent it judges anew.
    `indexes` are those of the job's operations that are waited for, that one among them.
    """

    done: list[Letter] = field(default_factory=list)
    waits: list[Letter] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    patch: list[dict[str, Any]] | None = None
    indexes: set[int] = field(default_factory=set)


def judge(letters: Sequence[Letter], raw: RawObject | None, sent: frozenset[int]) -> Verdict:
    """Judge letters that are all of one job, and of its namespace.

    :param raw: the newest version of the Job of that name; None: there is none.
    :param sent: which of its operations this very request has waited for. One that was refused before, for another
        request, is no reason not to try again.
    """
    verdict = Verdict()
    job = _job_of(letters[0], raw)
    if isinstance(job, str):
        verdict.refused = {letter.id: job for letter in letters}
        return verdict
    wanted = [letter for letter in letters if _is_wanted(letter, job, sent, verdict)]
    if wanted:
        _retry(wanted, job, verdict)
    return verdict


def _job_of(letter: Letter, raw: RawObject | None) -> Job | str:
    """The job of a letter, or why there is none that could be retried."""
    if raw is None:
        return "its job is gone; discard the letter"
    try:
        job = parse_job(raw)
    except InvalidObject as error:
        return f"its job can't be read: {error}"
    if letter.job is None or job.uid != letter.job.uid:
        return "its job is gone, another one has its name now; discard the letter"
    if job.deleting:
        return "its job is being deleted; discard the letter"
    return job


def _is_wanted(letter: Letter, job: Job, sent: frozenset[int], verdict: Verdict) -> bool:
    """Whether a Retry is to be added for a letter. If not, the verdict on it is noted."""
    status = job.status or JobStatus()
    index = _asked_at(letter, job)
    if index is not None and index >= status.operations_taken:
        verdict.waits.append(letter)
        verdict.indexes.add(index)
        return False
    if index is not None and status.counted_from > letter.seq:
        verdict.done.append(letter)
        return False
    why = _refused(index, status) if index in sent else _why_not(letter, job, status)
    if why is not None:
        verdict.refused[letter.id] = why
    return why is None


def _why_not(letter: Letter, job: Job, status: JobStatus) -> str | None:
    """Why a Retry of a job makes no sense for a letter; None: it does."""
    match status.phase:
        case Phase.SUCCEEDED:
            return "its job went on and has succeeded; discard the letter"
        case Phase.CANCELLED:
            return "its job was cancelled; discard the letter"
        case Phase.PENDING | Phase.RUNNING | Phase.SUSPENDED:
            return f"its job has not failed, it is in {status.state}; ask again if it has"
        case Phase.FAILED:
            return _elsewhere(letter, status) or _never(job)


def _elsewhere(letter: Letter, status: JobStatus) -> str | None:
    """Why a job that has failed does not come to the letter's step again by a Retry."""
    if status.counted_from > letter.seq:
        return "its job went on since, and failed again later; discard the letter"
    if not status.resumable:
        return "its job can't go on from where it failed; add the operation Restart to its spec.operations"
    if letter.step not in map(name_of, status.resumable):
        return f"its job went on, and failed in {status.resumable[0]}; discard the letter, and retry the job if need be"
    return None


def _never(job: Job) -> str | None:
    """Why a failed job is not to be retried at all."""
    if job.spec.cancel:
        return "spec.cancel of its job is set; discard the letter"
    if job.parent is not None:
        return f"its job is a child of job {job.parent.name}, which went on; retry that one"
    if len(job.spec.operations) >= OPERATIONS_MAX:
        return f"its job has {OPERATIONS_MAX} operations, which is the most; create another Job"
    return None


def _refused(index: int | None, status: JobStatus) -> str:
    """What the job says of an operation that it did not do."""
    condition = next((c for c in status.conditions if c.type is ConditionType.OPERATED), None)
    if condition is not None and not condition.status and condition.message.startswith(f"spec.operations[{index}]"):
        return condition.message
    return f"spec.operations[{index}] of its job was refused"


def _asked_at(letter: Letter, job: Job) -> int | None:
    """Which operation of a job, the last one if several, was added for a letter."""
    for index in reversed(range(len(job.spec.operations))):
        operation = job.spec.operations[index]
        if operation.type is OperationType.RETRY and _short(letter) in _named(operation.reason or ""):
            return index
    return None


def _named(reason: str) -> frozenset[str]:
    """The letters that the reason of an operation names."""
    return frozenset(reason.removeprefix(REASON).split()) if reason.startswith(REASON) else frozenset()


def _short(letter: Letter) -> str:
    """A dispatch without the uid of its job."""
    return f"{letter.seq}:{letter.attempt}"


def _retry(letters: Sequence[Letter], job: Job, verdict: Verdict) -> None:
    """Add one Retry for all letters of a job: it enters all states again that the job was in."""
    reason = REASON
    for letter in letters:
        longer = f"{reason} {_short(letter)}"
        if len(longer) > REASON_CHARS:
            verdict.refused[letter.id] = (
                "its job is retried for others, whose Retry can name no more; discard the letter"
            )
        else:
            reason = longer
            verdict.waits.append(letter)
    entry: Mapping[str, Any] = {"type": OperationType.RETRY.value, "reason": reason}
    count = len(job.spec.operations)
    add = (
        {"op": "add", "path": "/spec/operations/-", "value": entry}
        if count
        else {"op": "add", "path": "/spec/operations", "value": [entry]}
    )
    verdict.indexes.add(count)
    verdict.patch = [
        {"op": "test", "path": "/metadata/uid", "value": job.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": job.resource_version},
        add,
    ]
