"""Why a job that has not ended will go on: a message, a timer, a signal, a child, a user, or what is missing.

What nothing will move stands still for ever, which is as bad as a lost job. That the operator's sweep would find it is
no cause here: the sweep is for messages that vanish, and a run comes to rest after it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from checker.jobs import Job, entries
from checker.language import State, holder
from checker.replay import BEGIN, Replay

MISSING: Final = frozenset({"UnknownPool", "UnknownWorkflow", "InvalidWorkflow", "ConcurrencyLimit"})
"""The reasons of the condition Waiting that somebody else must put an end to."""

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Rest:
    """What there is when a run is over. `messages` are dispatch ids; None: nobody looked. `now`: the time then.

    `still`: nothing moved any more. Where something did, what a job waits for says nothing.
    """

    messages: Collection[str] | None
    now: dt.datetime | None = None
    still: bool = True


def stuck(job: Job, rest: Rest, children: Mapping[str, Job]) -> list[str]:
    """What of a job nothing will move, each with its reason; nothing: it ended or goes on."""
    if job.deleted:
        return []
    taken = 0 if job.last is None else int(job.last.get("operation") or 0)
    asked = [f"{job.operations - taken} of its operations were never dealt with"] if taken < job.operations else []
    return asked + _of_itself(job, rest, children)


def _of_itself(job: Job, rest: Rest, children: Mapping[str, Job]) -> list[str]:
    """What of the job's own way is stuck."""
    if job.ended or job.suspended or _phase(job) == "Suspended":
        return []
    waits_for = None if job.last is None else job.last.get("waiting")
    if job.replay.state == BEGIN:
        return [] if waits_for in MISSING else ["it never began, and nothing that it waits for is missing"]
    found = []
    active = entries(job.last)
    for path, _, state in job.replay.standing():
        entry = active.get(path)
        why = (
            _why_not_moved(job, state, entry, rest, children)
            if entry is not None
            else _why_not_left(job.replay, path, state)
        )
        if why is not None and not (state.type == "Task" and waits_for == "UnknownPool"):
            found.append(f"{path} {why}")
    return found


def _phase(job: Job) -> str:
    return "" if job.last is None else str(job.last["phase"])


def _why_not_moved(job: Job, state: State, entry: Entry, rest: Rest, children: Mapping[str, Job]) -> str | None:
    """Of what is in `status.active`; None: it will be moved."""
    match state.type:
        case "Task":
            return _of_task(job, entry, rest)
        case "SubJob":
            return _of_child(job, entry, rest, children)
        case "Signal":
            sent = job.untaken(state.signal) > 0
            return f"does not take the signal {state.signal!r} that was sent" if sent else None
        case _:  # a Wait, or the back-off of a Parallel or Map, after which its blocks begin again
            return _of_time(entry, rest, "notBefore")


def _why_not_left(replay: Replay, path: str, state: State) -> str | None:
    """Of a state that nothing in `status.active` is about; None: it will be left, or its block has failed."""
    if replay.may_be_over(path):
        return None
    if state.blocks:
        busy = any(s and holder(s) == path and not replay.is_over(s) for s in replay.places)
        return None if busy else "has no block at work, and is not left"
    if state.waits:
        return "is not in status.active, so nobody looks at it"
    return f"is a {state.type}, which waits for nothing"


def _of_task(job: Job, entry: Entry, rest: Rest) -> str | None:
    id_ = job.id(int(entry["seq"]), int(entry.get("attempt", 1)))
    if not entry.get("dispatchedAt"):
        return None if _of_time(entry, rest, "notBefore") is None else f"({id_}) is due and was never sent"
    if rest.messages is None or id_ in rest.messages or _of_time(entry, rest, "deadline") is None:
        return None
    return f"({id_}) was sent, and neither its message nor a result is anywhere"


def _of_child(job: Job, entry: Entry, rest: Rest, children: Mapping[str, Job]) -> str | None:
    id_ = job.id(int(entry["seq"]), int(entry.get("attempt", 1)))
    if not entry.get("dispatchedAt"):
        return None if _of_time(entry, rest, "notBefore") is None else f"({id_}): its Job is due and was not made"
    child = children.get(id_)
    if (child is not None and not child.ended and not child.deleted) or _of_time(entry, rest, "deadline") is None:
        return None
    return f"({id_}) waits for a Job that is not there, or has ended"


def _of_time(entry: Entry, rest: Rest, field: str) -> str | None:
    """Whether a time is still to come; None: it is."""
    text = entry.get(field)
    if not text:
        return "waits for no time"
    if rest.now is not None and dt.datetime.fromisoformat(str(text)) <= rest.now:
        return f"waits until {text}, which is over"
    return None
