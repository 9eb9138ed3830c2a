"""How a Job's status is stored: `to_raw` and `parse_status` are each other's inverse for all that the engine writes.

Both are spared where the value is the one that was written last.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from mastercontrol.api.names import ConditionType, Phase, Reason
from mastercontrol.api.packing import PACKED_FROM, PackedEntry, pack_list, pack_plain, unpack_list
from mastercontrol.api.status import (
    BEGIN,
    ActiveStep,
    Condition,
    Group,
    HistoryEntry,
    JobError,
    JobStatus,
    Outcome,
    Scope,
    Undo,
)
from mastercontrol.api.values import format_time, parse_time

ALIKE: Final = ("attempt", "notBefore", "dispatchedAt", "deadline", "heartbeatAt", "worker")
"""What the entries of `active` mostly have in common: they were sent together."""

T = TypeVar("T")


class _Packable(Protocol):
    """An entry that keeps its JSON."""

    @property
    def memo(self) -> Any: ...


P = TypeVar("P", bound=_Packable)


def to_raw(status: JobStatus) -> dict[str, Any]:
    """The status as JSON; what is absent is left away. Made once and not to be changed by who gets it.

    Where it has many entries its lists are in `packed`, see `packing`.
    """
    if status.memo is None:
        lists = _packed_lists(status) if _entries(status) >= PACKED_FROM else _lists(status)
        raw: dict[str, Any] = {
            "state": status.state,
            "phase": status.phase.value,
            "revision": status.revision,
            "sequence": status.sequence,
            "brokerEpoch": status.broker_epoch,
            **_scope_raw(status.scope),
            "signalsTaken": list(status.signals_taken) or None,
            "conditions": [_condition_raw(c) for c in status.conditions] or None,
            "startTime": _time(status.start_time),
            "completionTime": _time(status.completion_time),
            "observedGeneration": status.observed_generation,
            "output": status.output,
            "error": _error_raw(status.error),
            "message": status.message,
            "outcome": _outcome_raw(status.outcome),
            "operationsTaken": status.operations_taken or None,
            "countedFrom": status.counted_from or None,
            **lists,
        }
        object.__setattr__(status, "memo", _drop_none(raw))
    made: dict[str, Any] = status.memo
    return made


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
        if self.written is not None and text == to_raw(self.written).get("packed", {}).get(name):
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
    found: PackedEntry | None = entry.memo
    if found is None:
        found = PackedEntry(raw_of(entry))
        object.__setattr__(entry, "memo", found)
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
