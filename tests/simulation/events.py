"""The events of one run, as JSON lines: what the simulation writes and a history checker reads.

One JSON object a line, in the order in which things happened. Every line has

- `t`: seconds since the run began (a number; virtual time in the simulation),
- `kind`: one of `Kind`, whose docstrings say what further fields a line has,
- `actor`: who did it: `operator-1`, `worker-p-2`, `user`, `broker`, `store`, `simulation`,
- `job`: the uid of the Job that it is about; absent where it is about none.

A *dispatch id* is `<job uid>:<sequence>:<attempt>`. A field that does not apply is absent; a reader ignores fields and
kinds that it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol


class Kind(StrEnum):
    """What a line tells. Here `id` is always a dispatch id."""

    WORKFLOW = "workflow"
    """A Workflow was created or edited: `namespace`, `name`, `spec` as its author wrote it."""

    CREATE = "create"
    """A Job was created: `namespace`, `name`, `workflow`, `input`; of a child also `parent`, the dispatch id of the
    SubJob state that it answers."""

    COMMIT = "commit"
    """A write of a Job's status landed in the store, whether its writer knows it or not: `before` and `seq`, the
    sequence before and after it; `state`, `phase`, `ended` (whether the phase is one of the ends); `revision`;
    `epoch` (status.brokerEpoch); `active`, a list of objects with `path`, `seq`, `attempt`, `id`, and where it has
    them `dispatchedAt`, `notBefore`, `deadline`, `cause`; `history`, the lines of status.history with a sequence above
    `before`, each with `seq`, `state`, `reason`, and where it has them `attempt`, `worker`; at the end `output` or
    `error` (its code). `operation` counts status.operationsTaken. `actor` is the operator that wrote it."""

    REFUSED = "refused"
    """The store refused a write of a Job's status by its fence (409 or 422): `base`, the sequence it was based on."""

    DISPATCH = "dispatch"
    """A step message came into a pool's queue: `id`, `pool`, `step`, `attempt`, `epoch` (of the broker's data). The
    same id may come more than once. `actor` is the operator that published it."""

    CONFIRM = "confirm"
    """An operator got the broker's confirm of a dispatch: `id`."""

    DELIVER = "deliver"
    """The broker handed a step to a worker: `id`, `redelivered`. `actor` is the worker."""

    EXECUTE = "execute"
    """A worker began to do a step: `id`, `step`, `attempt`."""

    RESULT = "result"
    """A result came into the results queue: `id`, `outcome` (`Succeeded` or `Failed`), `code` of a failure, `output`
    of a success, `epoch`. `actor` is the worker; it is `broker` for the dead letter of a step, with `code`
    `DeadLettered` or `DeliveryLimitExceeded`."""

    TAKE = "take"
    """The broker handed a result to an operator: `id`. `actor` is the operator."""

    ACK = "ack"
    """A message was acknowledged, so the broker has it no more: `id`, `what` (`step` or `result`)."""

    REJECT = "reject"
    """A message was refused for good and is a dead letter: `id` (null where it has none), `what`."""

    LOST = "lost"
    """The broker lost a message that nobody had acknowledged: `id`, `what`. Only after a fault that says so."""

    RESEND = "resend"
    """An operator's sweep found a dispatch in no queue and sends it again: `id`."""

    CANCEL = "cancel"
    """The user set spec.cancel of a Job."""

    SUSPEND = "suspend"
    """The user set spec.suspend of a Job."""

    RESUME = "resume"
    """The user took spec.suspend of a Job back."""

    SIGNAL = "signal"
    """The user sent a Job a signal: `name`."""

    OPERATE = "operate"
    """The user appended to spec.operations of a Job: `type`."""

    DELETE = "delete"
    """A Job is gone from the store. `actor` is the user, or the operator where its time to live was over."""

    START = "start"
    """A process began: `actor`."""

    LEAD = "lead"
    """An operator took the Lease."""

    CONNECTED = "connected"
    """An operator is connected to the broker: `epoch`."""

    CRASH = "crash"
    """A process is gone at once (SIGKILL): `actor`."""

    FREEZE = "freeze"
    """A process stands still (SIGSTOP): `actor`, `seconds`."""

    THAW = "thaw"
    """A process that stood still goes on: `actor`."""

    WIPE = "wipe"
    """The broker lost all its data."""

    FAULT = "fault"
    """Something was made to go wrong: `fault` names it (see `faults.Fault`), `where` says at which call."""

    HEAL = "heal"
    """Nothing is made to go wrong from here on: what is there must come to rest."""

    REST = "rest"
    """The run is over: `steps` and `results`, the messages that lie in the queues or in somebody's hands, by
    dispatch id; `dead`, the dead letters of the results queue."""

    VIOLATION = "violation"
    """The simulation's own oracle found a fault: `what`."""


Event = dict[str, Any]
"""One line."""


class Sink(Protocol):
    """Where events go."""

    def __call__(self, kind: Kind, actor: str, job: str | None = None, **fields: Any) -> None:
        """Note one event; fields that are None are left away."""
        ...


class Log:
    """Keeps the events of one run. `clock` gives the seconds since it began."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.events: list[Event] = []

    def __call__(self, kind: Kind, actor: str, job: str | None = None, **fields: Any) -> None:
        """See `Sink`."""
        event: Event = {"t": round(self._clock(), 6), "kind": kind.value, "actor": actor}
        if job is not None:
            event["job"] = job
        event.update((name, value) for name, value in fields.items() if value is not None)
        self.events.append(event)

    def lines(self) -> str:
        """All of them as JSON lines."""
        return "".join(json.dumps(event, separators=(",", ":"), sort_keys=False) + "\n" for event in self.events)
