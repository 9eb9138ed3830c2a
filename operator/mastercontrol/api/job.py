"""Job: one run of a Workflow. Its status is the state store, so reading and writing it lose nothing.

`JobStatus` is the only form in which the engine handles a status; `to_raw` and `parse_status` are each other's
inverse for every status that the engine writes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mastercontrol.api import values
from mastercontrol.api.family import Parent, depth_of, parent_of
from mastercontrol.api.names import ENDED, ConditionType, Phase, Reason
from mastercontrol.api.operation import Operation, parse_operations
from mastercontrol.api.values import format_time, parse_time

BEGIN = "Begin"


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
class ActiveStep:
    """A state that the job waits in. A step without `dispatched_at` is not known to be sent.

    `seq` is the sequence of the transition that made it due: with `attempt` it identifies the dispatch. `cause` is
    the sequence of the dispatch whose result made it due; None where it is the one before, or where time did.
    `tried` counts the failed attempts by retry rule, where there are several rules. Of a step that reports while it is
    done, `heartbeat_at` is when it was last heard of, of `worker`, and `progress` what that said.
    """

    path: str
    seq: int
    attempt: int = 1
    not_before: dt.datetime | None = None
    dispatched_at: dt.datetime | None = None
    deadline: dt.datetime | None = None
    cause: int | None = None
    tried: tuple[int, ...] = ()
    heartbeat_at: dt.datetime | None = None
    worker: str | None = None
    progress: Any = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What is known inside a block that runs: of the job (path ""), a branch (`fan[0]`) or an item (`each[12]`).

    `after` names the state whose output is the input of the state it is in now; None: the block's own input.
    """

    path: str = ""
    after: str | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    error: Any = None

    @property
    def is_bare(self) -> bool:
        """Whether it says nothing, so that it need not be written."""
        return self.after is None and not self.outputs and not self.variables and self.error is None


@dataclass(frozen=True, slots=True)
class Group:
    """A Parallel or Map state at work: `size` blocks, of which `started` were begun and `results` are done."""

    path: str
    seq: int
    size: int
    started: int = 0
    failed: int = 0
    attempt: int = 1
    tried: tuple[int, ...] = ()
    results: Mapping[int, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as all of Kubernetes has them."""

    type: ConditionType
    status: bool
    reason: str
    message: str
    last_transition: dt.datetime


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One transition: what the state became and why. `attempt` None: the first that succeeded, or none at all.

    Stored, a reason that is absent is StepSucceeded: each field costs the API server time at each transition.
    """

    seq: int
    time: dt.datetime
    state: str
    reason: str
    attempt: int | None = None
    message: str | None = None
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed, and in which state of its Workflow."""

    code: str
    message: str
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job will end once its closing states are done. `seq` is the sequence of the transition into the first.

    `failures` says which of them failed, in one line each.
    """

    phase: Phase
    seq: int
    output: Any = None
    error: JobError | None = None
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Undo:
    """A state that is done and is to be undone if the job does not end well; `input` is for what undoes it."""

    path: str
    input: Any = None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A Job's status. The value without arguments is that of a Job nothing was done for yet.

    `resumable` are the paths of the states that a failed job was in, the one that failed first: a retry enters these.
    `counted_from` is the sequence from which transitions count against `maxTransitions`.
    """

    state: str = BEGIN
    phase: Phase = Phase.PENDING
    revision: str | None = None
    sequence: int = 0
    broker_epoch: str | None = None
    active: tuple[ActiveStep, ...] = ()
    scope: Scope = Scope()  # frozen
    scopes: tuple[Scope, ...] = ()
    groups: tuple[Group, ...] = ()
    signals_taken: tuple[int, ...] = ()
    conditions: tuple[Condition, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    start_time: dt.datetime | None = None
    completion_time: dt.datetime | None = None
    observed_generation: int | None = None
    output: Any = None
    error: JobError | None = None
    message: str | None = None
    outcome: Outcome | None = None
    compensations: tuple[Undo, ...] = ()
    operations_taken: int = 0
    resumable: tuple[str, ...] = ()
    counted_from: int = 0

    @property
    def ended(self) -> bool:
        """Whether the job will never move again by itself."""
        return self.phase in ENDED

    def with_condition(self, condition: Condition) -> JobStatus:
        """This status with a condition put in the place of the one of its type.

        The time of the last transition is kept where the condition's status is what it was.
        """
        old = next((c for c in self.conditions if c.type is condition.type), None)
        if old is not None and old.status == condition.status:
            condition = replace(condition, last_transition=old.last_transition)
        others = tuple(c for c in self.conditions if c.type is not condition.type)
        return replace(self, conditions=(*others, condition))

    def without_condition(self, kind: ConditionType) -> JobStatus:
        """This status without a condition of that type."""
        return replace(self, conditions=tuple(c for c in self.conditions if c.type is not kind))

    def to_raw(self) -> dict[str, Any]:
        """The status as JSON; what is absent is left away."""
        raw: dict[str, Any] = {
            "state": self.state,
            "phase": self.phase.value,
            "revision": self.revision,
            "sequence": self.sequence,
            "brokerEpoch": self.broker_epoch,
            "active": [_active_raw(a) for a in self.active] or None,
            **_scope_raw(self.scope),
            "scopes": [_scope_raw(s) for s in self.scopes] or None,
            "groups": [_group_raw(g) for g in self.groups] or None,
            "signalsTaken": list(self.signals_taken) or None,
            "conditions": [_condition_raw(c) for c in self.conditions] or None,
            "history": [_history_raw(h) for h in self.history] or None,
            "startTime": _time(self.start_time),
            "completionTime": _time(self.completion_time),
            "observedGeneration": self.observed_generation,
            "output": self.output,
            "error": _error_raw(self.error),
            "message": self.message,
            "outcome": _outcome_raw(self.outcome),
            "compensations": [_drop_none({"path": u.path, "input": u.input}) for u in self.compensations] or None,
            "operationsTaken": self.operations_taken or None,
            "resumable": list(self.resumable) or None,
            "countedFrom": self.counted_from or None,
        }
        return _drop_none(raw)


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


def parse_job(raw: Mapping[str, Any]) -> Job:
    """Read a Job.

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
        status=parse_status(status) if status else None,
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


def parse_status(raw: Mapping[str, Any]) -> JobStatus:
    """Read a status that the engine wrote."""
    error = raw.get("error")
    return JobStatus(
        state=str(raw.get("state", BEGIN)),
        phase=Phase(raw.get("phase", Phase.PENDING)),
        revision=raw.get("revision"),
        sequence=int(raw.get("sequence", 0)),
        broker_epoch=raw.get("brokerEpoch"),
        active=tuple(_active(a) for a in raw.get("active") or ()),
        scope=_scope({k: v for k, v in raw.items() if k != "path"}),
        scopes=tuple(_scope(s) for s in raw.get("scopes") or ()),
        groups=tuple(_group(g) for g in raw.get("groups") or ()),
        signals_taken=tuple(raw.get("signalsTaken") or ()),
        conditions=tuple(_condition(c) for c in raw.get("conditions") or ()),
        history=tuple(_history(h) for h in raw.get("history") or ()),
        start_time=parse_time(raw.get("startTime")),
        completion_time=parse_time(raw.get("completionTime")),
        observed_generation=raw.get("observedGeneration"),
        output=raw.get("output"),
        error=_error(error) if error else None,
        message=raw.get("message"),
        outcome=_outcome(raw["outcome"]) if raw.get("outcome") else None,
        compensations=tuple(Undo(u["path"], u.get("input")) for u in raw.get("compensations") or ()),
        operations_taken=raw.get("operationsTaken", 0),
        resumable=tuple(raw.get("resumable") or ()),
        counted_from=raw.get("countedFrom", 0),
    )


def _time(moment: dt.datetime | None) -> str | None:
    return None if moment is None else format_time(moment)


def _required_time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _drop_none(raw: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in raw.items() if v is not None}


def _active_raw(a: ActiveStep) -> dict[str, Any]:
    return _drop_none(
        {
            "path": a.path,
            "seq": a.seq,
            "attempt": a.attempt,
            "notBefore": _time(a.not_before),
            "dispatchedAt": _time(a.dispatched_at),
            "deadline": _time(a.deadline),
            "cause": a.cause,
            "tried": list(a.tried) or None,
            "heartbeatAt": _time(a.heartbeat_at),
            "worker": a.worker,
            "progress": a.progress,
        }
    )


def _active(raw: Mapping[str, Any]) -> ActiveStep:
    return ActiveStep(
        path=raw["path"],
        seq=raw["seq"],
        attempt=raw.get("attempt", 1),
        not_before=parse_time(raw.get("notBefore")),
        dispatched_at=parse_time(raw.get("dispatchedAt")),
        deadline=parse_time(raw.get("deadline")),
        cause=raw.get("cause"),
        tried=tuple(raw.get("tried") or ()),
        heartbeat_at=parse_time(raw.get("heartbeatAt")),
        worker=raw.get("worker"),
        progress=raw.get("progress"),
    )


def _scope_raw(s: Scope) -> dict[str, Any]:
    return _drop_none(
        {
            "path": s.path or None,
            "after": s.after,
            "outputs": dict(s.outputs) or None,
            "vars": dict(s.variables) or None,
            "caught": s.error,
        }
    )


def _scope(raw: Mapping[str, Any]) -> Scope:
    outputs, variables = raw.get("outputs") or {}, raw.get("vars") or {}
    return Scope(raw.get("path", ""), raw.get("after"), outputs, variables, raw.get("caught"))


def _group_raw(g: Group) -> dict[str, Any]:
    return _drop_none(
        {
            "path": g.path,
            "seq": g.seq,
            "size": g.size,
            "started": g.started,
            "failed": g.failed or None,
            "attempt": g.attempt if g.attempt > 1 else None,
            "tried": list(g.tried) or None,
            "results": {str(i): r for i, r in g.results.items()} or None,
        }
    )


def _group(raw: Mapping[str, Any]) -> Group:
    return Group(
        path=raw["path"],
        seq=raw["seq"],
        size=raw["size"],
        started=raw.get("started", 0),
        failed=raw.get("failed", 0),
        attempt=raw.get("attempt", 1),
        tried=tuple(raw.get("tried") or ()),
        results={int(i): r for i, r in (raw.get("results") or {}).items()},
    )


def _condition_raw(c: Condition) -> dict[str, Any]:
    return {
        "type": c.type.value,
        "status": str(c.status),
        "reason": c.reason,
        "message": c.message,
        "lastTransitionTime": format_time(c.last_transition),
    }


def _condition(raw: Mapping[str, Any]) -> Condition:
    return Condition(
        type=ConditionType(raw["type"]),
        status=raw["status"] == "True",
        reason=raw.get("reason", ""),
        message=raw.get("message", ""),
        last_transition=_required_time(raw["lastTransitionTime"]),
    )


def _history_raw(h: HistoryEntry) -> dict[str, Any]:
    return _drop_none(
        {
            "seq": h.seq,
            "time": format_time(h.time),
            "state": h.state,
            "reason": h.reason if h.reason != Reason.STEP_SUCCEEDED else None,
            "attempt": h.attempt,
            "message": h.message,
            "worker": h.worker,
        }
    )


def _history(raw: Mapping[str, Any]) -> HistoryEntry:
    return HistoryEntry(
        seq=raw["seq"],
        time=_required_time(raw["time"]),
        state=raw["state"],
        reason=raw.get("reason", Reason.STEP_SUCCEEDED.value),
        attempt=raw.get("attempt"),
        message=raw.get("message"),
        worker=raw.get("worker"),
    )


def _error_raw(e: JobError | None) -> dict[str, Any] | None:
    return None if e is None else _drop_none({"code": e.code, "message": e.message, "state": e.state})


def _error(raw: Mapping[str, Any]) -> JobError:
    return JobError(raw["code"], raw.get("message", ""), raw.get("state"))


def _outcome_raw(o: Outcome | None) -> dict[str, Any] | None:
    if o is None:
        return None
    return _drop_none(
        {
            "phase": o.phase.value,
            "seq": o.seq,
            "output": o.output,
            "error": _error_raw(o.error),
            "failures": list(o.failures) or None,
        }
    )


def _outcome(raw: Mapping[str, Any]) -> Outcome:
    error = raw.get("error")
    return Outcome(
        phase=Phase(raw["phase"]),
        seq=raw["seq"],
        output=raw.get("output"),
        error=_error(error) if error else None,
        failures=tuple(raw.get("failures") or ()),
    )
