"""The status of a Job as frozen values: the only form in which the engine handles it. `status_json` stores it.

`memo` is no part of a value: `status_json` keeps there what it made of it, so that it need not be made again for each
item of a Map that is done.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mastercontrol.api.names import ENDED, ConditionType, Phase

BEGIN = "Begin"


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
    memo: Any = field(default=None, init=False, compare=False, repr=False)


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
    memo: Any = field(default=None, init=False, compare=False, repr=False)

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
    memo: Any = field(default=None, init=False, compare=False, repr=False)


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
    memo: Any = field(default=None, init=False, compare=False, repr=False)


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
    memo: Any = field(default=None, init=False, compare=False, repr=False)

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
