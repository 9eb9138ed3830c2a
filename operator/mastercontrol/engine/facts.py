"""What a decision is made of, and what it is made into: frozen values between `decide` and the turn."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mastercontrol.api.job import Job
from mastercontrol.api.names import Reason, ResultReason
from mastercontrol.api.status import JobStatus
from mastercontrol.engine.places import Place
from mastercontrol.engine.ports import RawObject, Readiness
from mastercontrol.workflow.definition import Definition
from mastercontrol_worker.contract import Failed, StepMessage, Succeeded


@dataclass(frozen=True, slots=True)
class Result:
    """An answer to the dispatch `<uid>:<seq>:<attempt>` of a Job, as the mailbox holds it.

    `step` is the state that it says it answers; None where its body was too large to be looked into.

    `origin` says what it is counted as where it is applied: a worker's answer, or one that the operator made of an
    oversized message or of a dead letter. `epoch` is that of the connection which delivered it.
    """

    uid: str
    seq: int
    attempt: int
    outcome: Succeeded | Failed
    epoch: str
    worker: str = ""
    origin: ResultReason = ResultReason.APPLIED
    step: str | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no Definition that the Job could run. `faults`: all that is wrong with its Workflow."""

    reason: Reason
    message: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what is kept in a status, and of what is said in it.

    `heartbeat_seconds` is the time between two writes for heartbeats alone, `no_worker_seconds` how long a step may
    lack a worker before its job says so.
    """

    history: int = 20
    status_bytes: int = 256 * 1024
    heartbeat_seconds: float = 30.0
    no_worker_seconds: float = 30


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When a step was last heard of, and what was heard. `waiting`: that its worker gave it back to its queue."""

    at: dt.datetime
    worker: str = ""
    progress: Any = None
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of a Job's steps from their heartbeats, the newest of each by sequence and attempt.

    `since` is from when on no heartbeat was missed, None: always. `complete` says that the broker has handed out all
    that it had when this was asked: until then a step is not called silent. `show_from` is when heartbeats may next be
    the only reason for a write, None: any time.
    """

    known: Mapping[tuple[int, int], Heartbeat] = field(default_factory=dict)
    since: dt.datetime | None = None
    complete: bool = False
    show_from: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A child Job that has not ended; what it says of itself."""

    message: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A child Job that has ended."""

    outcome: Succeeded | Failed


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such child Job."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """A child Job that cannot be created, and never will."""

    reason: Reason
    message: str


ChildState = Running | Ended | Absent | Unusable


@dataclass(frozen=True, slots=True)
class NoParent:
    """The parent that a child Job names is not there."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a decision may know besides the Job and its results.

    `epoch` is that of the broker's data now, None while there is no connection. `fresh` says that the Job was read
    after the results came, so that a result which is ahead of it is no result of ours. `confirmed` are the dispatch
    ids that this process has the broker's confirm for in this epoch. `resend` are those to be sent again: committed
    but not confirmed by this process, or found by the sweep. `late_from` is when a step may first be called late: until
    then the broker may still be handing out answers that came in time. None: any time. `place` is what the gate says
    where the Workflow limits how many Jobs run at once; None: nothing.

    `children` is what became of the child Jobs, by dispatch id, where it is known. `parent` is who waits for this Job,
    as far as anybody should; None: nobody, or it is not known. `workers` are those of a pool that are ready, None where
    that is not known.
    """

    now: dt.datetime
    jitter: float
    epoch: str | None
    definition: Definition | Missing
    pool_known: Callable[[str], bool]
    fresh: bool = False
    confirmed: frozenset[str] = frozenset()
    resend: frozenset[str] = frozenset()
    late_from: dt.datetime | None = None
    limits: Limits = Limits()
    place: Place | None = None
    children: Mapping[str, ChildState] = field(default_factory=dict)
    parent: Job | NoParent | None = None
    heard: Heard = Heard()
    workers: Callable[[str], Readiness | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class NewChild:
    """A child Job to be created, and the dispatch id that it answers. One that is there already is as good."""

    id: str
    manifest: RawObject


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A step message for a pool of the Job's namespace. `high`: it goes ahead of others in the pool's queue."""

    pool: str
    message: StepMessage
    high: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """Something that people should see as a Kubernetes Event."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A result that stays in the mailbox, unacknowledged: it came before the write that makes its dispatch known."""


Verdict = ResultReason | Kept


@dataclass(frozen=True, slots=True)
class Decision:
    """What a turn does, in this order: `create`, `publish_first`, commit `status`, `publish`, settle by `verdicts`.

    `status` None: nothing to write. `verdicts` stand in the order of the results. `wake_at` is when time alone can
    move the Job next. `delete`: its time to live is over. `read_again`: decide once more with a fresh read.
    `listen`: decide once more when all heartbeats that were sent have been heard. `shows_heartbeats`: `status` has some
    that the one before has not.
    """

    status: JobStatus | None = None
    publish_first: tuple[Dispatch, ...] = ()
    publish: tuple[Dispatch, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[Note, ...] = ()
    wake_at: dt.datetime | None = None
    delete: bool = False
    read_again: bool = False
    create: tuple[NewChild, ...] = ()
    listen: bool = False
    shows_heartbeats: bool = False
