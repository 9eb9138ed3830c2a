"""From objects of the API server to events. Pure.

What a watch shows of a Job is what stands after a change: who compares it with what stood before knows the change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

Raw = Mapping[str, Any]
Event = dict[str, Any]

ENDED: Final = frozenset({"Succeeded", "Failed", "Cancelled"})
SUCCEEDED: Final = "StepSucceeded"
DISPATCH: Final = "mastercontrol.dev/dispatch"
"""The annotation of a child Job that names the dispatch of its parent."""


def of_workflow(raw: Raw) -> Event:
    """A Workflow as it was created or edited. `revision` is there once the operator has said it of this generation."""
    meta, status = raw["metadata"], raw.get("status") or {}
    event = {"kind": "workflow", "namespace": meta["namespace"], "name": meta["name"], "spec": raw["spec"]}
    if status.get("revision") and status.get("observedGeneration") == meta.get("generation"):
        event["revision"] = status["revision"]
    return event


def of_job(before: Raw | None, after: Raw) -> Iterator[Event]:
    """What happened to a Job between two of its versions. `before` None: it was not there."""
    meta, spec = after["metadata"], after["spec"]
    uid = str(meta["uid"])
    was: Raw = {} if before is None else before["spec"]
    if before is None:
        yield _created(after)
    else:
        for signal in (spec.get("signals") or [])[len(was.get("signals") or []) :]:
            yield {"kind": "signal", "job": uid, "name": signal["name"]}
    for operation in (spec.get("operations") or [])[len(was.get("operations") or []) :]:
        yield {"kind": "operate", "job": uid, "type": operation.get("type")}
    if bool(spec.get("suspend")) != bool(was.get("suspend")):
        yield {"kind": "suspend" if spec.get("suspend") else "resume", "job": uid}
    if spec.get("cancel") and not was.get("cancel"):
        yield {"kind": "cancel", "job": uid}
    status_before = {} if before is None else before.get("status") or {}
    if (after.get("status") or {}) != status_before:
        yield of_commit(uid, status_before, after["status"])


def unpacked(status: Raw) -> Raw:
    """A status with its lists as fields. As texts their first element is what all others have in common."""
    found = dict(status)
    for name, text in (status.get("packed") or {}).items():
        common, *entries = json.loads(text)
        found[name] = [_with_common(entry, common) for entry in entries] if common else entries
    return found


def _with_common(entry: Raw, common: Raw) -> Raw:
    return {key: value for key, value in {**common, **entry}.items() if value is not None or key not in common}


def of_commit(uid: str, before: Raw, after: Raw) -> Event:
    """A status that was written. `bounded`: its history has lost its oldest lines."""
    was, after = int(before.get("sequence", 0)), unpacked(after)
    history = after.get("history") or []
    event = {
        "kind": "commit",
        "job": uid,
        "before": was,
        "seq": int(after.get("sequence", 0)),
        "state": after.get("state"),
        "phase": after.get("phase"),
        "ended": after.get("phase") in ENDED,
        "revision": after.get("revision"),
        "epoch": after.get("brokerEpoch"),
        "active": [{**entry, "id": f"{uid}:{entry['seq']}:{entry['attempt']}"} for entry in after.get("active") or ()],
        "last": history[-1] if history else None,
        "history": [{"reason": SUCCEEDED, **line} for line in history if line["seq"] > was],
        "groups": [_without_results(group) for group in after.get("groups") or ()] or None,
        "operation": after.get("operationsTaken"),
        "signalsTaken": after.get("signalsTaken"),
        "waiting": _waiting(after),
        "bounded": bool(history) and history[0]["seq"] > 1,
        "output": after.get("output"),
        "error": (after.get("error") or {}).get("code"),
    }
    return {key: value for key, value in event.items() if value is not None}


def of_deletion(raw: Raw) -> Event:
    """A Job is gone from the store."""
    return {"kind": "delete", "job": raw["metadata"]["uid"]}


def _created(raw: Raw) -> Event:
    meta, spec = raw["metadata"], raw["spec"]
    event = {
        "kind": "create",
        "job": meta["uid"],
        "namespace": meta["namespace"],
        "name": meta["name"],
        "workflow": spec["workflow"],
        "signals": [signal["name"] for signal in spec.get("signals") or ()],
    }
    parent = (meta.get("annotations") or {}).get(DISPATCH)
    return event if parent is None else {**event, "parent": parent}


def _without_results(group: Raw) -> Event:
    """Which blocks are done, without what came of them."""
    return {**group, "results": dict.fromkeys(group.get("results") or {}, True)}


def _waiting(status: Raw) -> str | None:
    found = (c for c in status.get("conditions") or () if c["type"] == "Waiting" and c["status"] == "True")
    return next((str(c["reason"]) for c in found), None)
