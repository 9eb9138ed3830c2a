"""Job: one run of a Workflow. Its status is the state store, so reading and writing it lose nothing.

`JobStatus` is the only form in which the engine handles a status; `to_raw` and `parse_status` are each other's
inverse for every status that the engine writes. Both are spared where the value is the one that was written: a Map of
1,000 items would be made and read anew for each item that is done.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

from mastercontrol.api import values
from mastercontrol.api.family import Parent, depth_of, parent_of
from mastercontrol.api.names import ENDED, ConditionType, Phase, Reason
from mastercontrol.api.operation import Operation, parse_operations
from mastercontrol.api.packing import PACKED_FROM, PackedEntry, pack_list, pack_plain, unpack_list
from mastercontrol.api.values import format_time, parse_time

BEGIN = "Begin"

ALIKE: Final = ("attempt", "notBefore", "dispatchedAt", "deadline", "heartbeatAt", "worker")
"""What the entries of `active` mostly have in common: they were sent together."""

T = TypeVar("T")


class _Packable(Protocol):
    """An entry that keeps its JSON."""

    @property
    def _packed(self) -> PackedEntry | None: ...


P = TypeVar("P", bound=_Packable)


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
    _packed: PackedEntry | None = field(default=None, init=False, compare=False, repr=False)


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
    _packed: PackedEntry | None = field(default=None, init=False, compare=False, repr=False)

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
    _packed: PackedEntry | None = field(default=None, init=False, compare=False, repr=False)


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
    _packed: PackedEntry | None = field(default=None, init=False, compare=False, repr=False)


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
    _raw: dict[str, Any] | None = field(default=None, init=False, compare=False, repr=False)

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
        """The status as JSON; what is absent is left away. Made once and not to be changed by who gets it.

        Where it has many entries its lists are in `packed`, see `packing`.
        """
        if self._raw is None:
            lists = _packed_lists(self) if _entries(self) >= PACKED_FROM else _lists(self)
            raw: dict[str, Any] = {
                "state": self.state,
                "phase": self.phase.value,
                "revision": self.revision,
                "sequence": self.sequence,
                "brokerEpoch": self.broker_epoch,
                **_scope_raw(self.scope),
                "signalsTaken": list(self.signals_taken) or None,
                "conditions": [_condition_raw(c) for c in self.conditions] or None,
                "startTime": _time(self.start_time),
                "completionTime": _time(self.completion_time),
                "observedGeneration": self.observed_generation,
                "output": self.output,
                "error": _error_raw(self.error),
                "message": self.message,
                "outcome": _outcome_raw(self.outcome),
                "operationsTaken": self.operations_taken or None,
                "countedFrom": self.counted_from or None,
                **lists,
            }
            object.__setattr__(self, "_raw", _drop_none(raw))
        assert self._raw is not None  # noqa: S101  # it was made just now
        return self._raw


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


def parse_status(raw: Mapping[str, Any], written: JobStatus | None = None) -> JobStatus:
    """Read a status that the engine wrote. `written`: see `parse_job`."""
    error = raw.get("error")
    lists = _Lists(raw, written)
    return JobStatus(
        state=str(raw.get("state", BEGIN)),
        phase=Phase(raw.get("phase", Phase.PENDING)),
        revision=raw.get("revision"),
        sequence=int(raw.get("sequence", 0)),
        broker_epoch=raw.get("brokerEpoch"),
        active=lists.take("active", _active, lambda s: s.active),
        scope=_scope({k: v for k, v in raw.items() if k != "path"}),
        scopes=lists.take("scopes", _scope, lambda s: s.scopes),
        groups=lists.take("groups", _group, lambda s: s.groups),
        signals_taken=tuple(raw.get("signalsTaken") or ()),
        conditions=tuple(_condition(c) for c in raw.get("conditions") or ()),
        history=lists.take("history", _history, lambda s: s.history),
        start_time=parse_time(raw.get("startTime")),
        completion_time=parse_time(raw.get("completionTime")),
        observed_generation=raw.get("observedGeneration"),
        output=raw.get("output"),
        error=_error(error) if error else None,
        message=raw.get("message"),
        outcome=_outcome(raw["outcome"]) if raw.get("outcome") else None,
        compensations=lists.take("compensations", _undo, lambda s: s.compensations),
        operations_taken=raw.get("operationsTaken", 0),
        resumable=lists.take("resumable", str, lambda s: s.resumable),
        counted_from=raw.get("countedFrom", 0),
    )


@dataclass(frozen=True, slots=True)
class _Lists:
    """The lists of a stored status, packed or not."""

    raw: Mapping[str, Any]
    written: JobStatus | None

    def take(self, name: str, parse: Callable[[Any], T], same: Callable[[JobStatus], tuple[T, ...]]) -> tuple[T, ...]:
        """One list; `same` finds it in the status that was written."""
        text = (self.raw.get("packed") or {}).get(name)
        if text is None:
            return tuple(parse(entry) for entry in self.raw.get(name) or ())
        if self.written is not None and text == self.written.to_raw().get("packed", {}).get(name):
            return same(self.written)
        return tuple(parse(entry) for entry in unpack_list(text))


def _entries(s: JobStatus) -> int:
    """How many entries a status has that there can be any number of."""
    results = sum(len(g.results) for g in s.groups)
    return len(s.active) + len(s.scopes) + results + len(s.compensations) + len(s.resumable)


def _lists(s: JobStatus) -> dict[str, Any]:
    return {
        "active": [_active_raw(a) for a in s.active] or None,
        "scopes": [_scope_raw(c) for c in s.scopes] or None,
        "groups": [_group_raw(g) for g in s.groups] or None,
        "history": [_history_raw(h) for h in s.history] or None,
        "compensations": [_undo_raw(u) for u in s.compensations] or None,
        "resumable": list(s.resumable) or None,
    }


def _packed_lists(s: JobStatus) -> dict[str, Any]:
    packed = {
        "active": _packed(s.active, _active_raw, ALIKE),
        "scopes": _packed(s.scopes, _scope_raw),
        # A group has each result in it, so it is a new one whenever anything happens.
        "groups": pack_plain([_group_raw(g) for g in s.groups]) if s.groups else None,
        "history": _packed(s.history, _history_raw),
        "compensations": _packed(s.compensations, _undo_raw),
        "resumable": pack_plain(s.resumable) if s.resumable else None,
    }
    return {"packed": _drop_none(packed)}


def _packed(entries: Sequence[P], raw_of: Callable[[P], dict[str, Any]], alike: Sequence[str] = ()) -> str | None:
    return pack_list([_packed_entry(entry, raw_of) for entry in entries], alike) if entries else None


def _packed_entry(entry: P, raw_of: Callable[[P], dict[str, Any]]) -> PackedEntry:
    found = entry._packed  # noqa: SLF001  # of a value of this module
    if found is None:
        found = PackedEntry(raw_of(entry))
        object.__setattr__(entry, "_packed", found)
    return found


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


def _undo_raw(u: Undo) -> dict[str, Any]:
    return _drop_none({"path": u.path, "input": u.input})


def _undo(raw: Mapping[str, Any]) -> Undo:
    return Undo(raw["path"], raw.get("input"))


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
