"""Small builders for the values that a decision is made of, and `Run`: one job that is taken from turn to turn."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from mastercontrol.api.job import Job, JobSpec
from mastercontrol.api.names import ConditionType
from mastercontrol.api.status import ActiveStep, JobStatus
from mastercontrol.api.status_json import parse_status, to_raw
from mastercontrol.api.workflow import RetryRuleSpec, RetrySpec, StateSpec, WorkflowSpec, parse_spec
from mastercontrol.engine.decide import decide
from mastercontrol.engine.facts import (
    ChildState,
    Decision,
    Ended,
    Facts,
    Heard,
    Heartbeat,
    Limits,
    Missing,
    NewChild,
    NoParent,
    Note,
    Result,
)
from mastercontrol.engine.places import Place
from mastercontrol.engine.ports import Readiness
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import Definition
from mastercontrol_worker.contract import Failed, StepError, StepMessage, Succeeded

NOW = dt.datetime(2030, 1, 1, 12, 0, tzinfo=dt.UTC)
UID = "0b5e"
EPOCH = "e1"
PLAIN = RetrySpec(limit=3, backoff_seconds=1, backoff_rate=2, max_backoff_seconds=60, jitter=False)


def seconds(number: float) -> dt.timedelta:
    return dt.timedelta(seconds=number)


def task(name: str, *, timeout: int | None = None, retry: RetrySpec = PLAIN) -> StateSpec:
    """A state whose pool has the name of the state with `-pool` behind it."""
    rules = (RetryRuleSpec(("States.ALL",), retry),)
    return StateSpec(path=f"states.{name}", name=name, pool=f"{name}-pool", timeout_seconds=timeout, retry=rules)


def chain(*states: StateSpec | str, name: str = "order") -> Definition:
    compiled = compile_workflow(name, WorkflowSpec(tuple(task(s) if isinstance(s, str) else s for s in states)))
    assert isinstance(compiled, Definition), compiled
    return compiled


Raw = dict[str, Any]
"""A state as its author writes it."""


def written(*states: Raw, name: str = "order", **spec: Any) -> Definition:
    """The Definition of states as their author writes them."""
    compiled = compile_workflow(name, parse_spec({"states": list(states), **spec}))
    assert isinstance(compiled, Definition), compiled
    return compiled


def step(name: str, **more: Any) -> Raw:
    """A Task that is tried once."""
    return {"name": name, "type": "Task", "pool": "p", "retry": {"limit": 0}, **more}


def state(kind: str, name: str, **more: Any) -> Raw:
    return {"name": name, "type": kind, **more}


def parallel(name: str, *branches: list[Raw], **more: Any) -> Raw:
    return state("Parallel", name, branches=[{"states": branch} for branch in branches], **more)


def each(name: str, items: Any, *states: Raw, **more: Any) -> Raw:
    """A Map."""
    return state("Map", name, items=items, states=list(states), **more)


def catching(handler: str, *errors: str) -> list[Raw]:
    """A catch rule for these errors, for all if none is named."""
    return [{"errors": list(errors) or ["States.ALL"], "next": handler}]


def retrying(limit: int = 3, seconds: float = 1, **more: Any) -> Raw:
    """A retry policy whose waits can be told beforehand."""
    return {"limit": limit, "backoffSeconds": seconds, "jitter": "none", **more}


def ok(seq: int, attempt: int = 1, output: Any = None, *, uid: str = UID, epoch: str = EPOCH) -> Result:
    return Result(uid, seq, attempt, Succeeded(output), epoch, "worker-1")


def failure(seq: int, attempt: int = 1, *, code: str = "Broken", message: str = "no", retryable: bool = True) -> Result:
    return Result(UID, seq, attempt, Failed(StepError(code, message, retryable)), EPOCH, "worker-1")


def stored(status: JobStatus) -> JobStatus:
    """A status as it comes back from the store."""
    return parse_status(to_raw(status))


class Run:
    """A job, its definition, the clock and the outside; each `turn` decides and stores what was decided."""

    def __init__(self, *states: StateSpec | str, **spec: Any) -> None:
        self.definition: Definition | Missing = chain(*(states or ("reserve", "charge")))
        self.now = NOW
        self.epoch: str | None = EPOCH
        self.jitter = 0.5
        self.missing_pools: set[str] = set()
        self.workers: dict[str, Readiness] = {}
        self.confirmed: frozenset[str] = frozenset()
        self.resend: frozenset[str] = frozenset()
        self.late_from: dt.datetime | None = None
        self.limits = Limits()
        self.known: dict[tuple[int, int], Heartbeat] = {}
        self.heard = Heard(self.known, complete=True)
        self.fresh = False
        self.place: Place | None = None
        self.job = Job("shop", "order-1", UID, "1", 1, JobSpec("order", **{"input": {"sku": "A1"}, **spec}), None)
        self.writes = 0
        self.sent: list[StepMessage] = []
        self.notes: list[Note] = []
        self.last = Decision()
        self.children: dict[str, ChildState] = {}
        self.parent: Job | NoParent | None = None
        self.made: list[NewChild] = []

    @classmethod
    def of(cls, *states: Raw, max_transitions: int | None = None, **spec: Any) -> Run:
        """A job of states as their author writes them, after its first turn."""
        run = cls("unused", **spec)
        more: Raw = {} if max_transitions is None else {"maxTransitions": max_transitions}
        run.definition = written(*states, **more)
        run.turn()
        return run

    @property
    def status(self) -> JobStatus:
        assert self.job.status is not None, "nothing was written yet"
        return self.job.status

    @property
    def ids(self) -> list[str]:
        """What was sent, as `<sequence>:<attempt>`."""
        return [message.id.removeprefix(f"{UID}:") for message in self.sent]

    @property
    def steps(self) -> list[str]:
        """The steps that were sent."""
        return [message.step for message in self.sent]

    @property
    def paths(self) -> list[str]:
        """Where the job waits."""
        return [entry.path for entry in self.status.active]

    def at(self, path: str) -> ActiveStep:
        """What waits at a path."""
        found = next((entry for entry in self.status.active if entry.path == path), None)
        assert found is not None, f"nothing waits at {path}, but at {self.paths}"
        return found

    def message(self, path: str) -> StepMessage:
        """The message that the step at a path is with its worker by."""
        entry = self.at(path)
        return next(m for m in self.sent if m.id == f"{UID}:{entry.seq}:{entry.attempt}")

    def result(self, path: str, output: Any = None) -> Result:
        """A worker's answer to the step at a path."""
        return ok(self.at(path).seq, self.at(path).attempt, output)

    def error(self, path: str, code: str = "Broken", *, retryable: bool = True) -> Result:
        """A worker's answer that it could not do the step at a path."""
        return failure(self.at(path).seq, self.at(path).attempt, code=code, retryable=retryable)

    def done(self, path: str, output: Any = None) -> Decision:
        """The step at a path succeeds."""
        return self.turn(self.result(path, output))

    def broken(self, path: str, code: str = "Broken", *, retryable: bool = True) -> Decision:
        """The step at a path fails."""
        return self.turn(self.error(path, code, retryable=retryable))

    def id(self, path: str) -> str:
        """The dispatch id of what waits at a path."""
        return f"{UID}:{self.at(path).seq}:{self.at(path).attempt}"

    def child(self, path: str, outcome: ChildState) -> Decision:
        """What has become of the child Job that waits at a path."""
        self.children[self.id(path)] = outcome
        return self.turn()

    def child_done(self, path: str, output: Any = None) -> Decision:
        """The child Job at a path has Succeeded."""
        return self.child(path, Ended(Succeeded(output)))

    def child_failed(self, path: str, code: str = "Broken") -> Decision:
        """The child Job at a path has Failed."""
        return self.child(path, Ended(Failed(StepError(code, "no"))))

    @property
    def made_ids(self) -> list[str]:
        """The dispatch ids of the child Jobs that were created, as `<sequence>:<attempt>`."""
        return [child.id.removeprefix(f"{UID}:") for child in self.made]

    @property
    def ending(self) -> tuple[str, Any]:
        """How the job ended: its state, and its output or the code of its error."""
        assert self.status.ended, f"the job is in {self.status.state}, waits at {self.paths}"
        return self.status.state, self.status.error.code if self.status.error else self.status.output

    def facts(self) -> Facts:
        return Facts(
            now=self.now,
            jitter=self.jitter,
            epoch=self.epoch,
            definition=self.definition,
            pool_known=lambda pool: pool not in self.missing_pools,
            fresh=self.fresh,
            confirmed=self.confirmed,
            resend=self.resend,
            late_from=self.late_from,
            limits=self.limits,
            place=self.place,
            children=self.children,
            parent=self.parent,
            heard=self.heard,
            workers=self.workers.get,
        )

    def beat(self, path: str, progress: Any = None, *, worker: str = "worker-1", waiting: bool = False) -> Run:
        """The worker of the step at a path is heard of, now."""
        entry = self.at(path)
        self.known[entry.seq, entry.attempt] = Heartbeat(self.now, worker, progress, waiting=waiting)
        return self

    def decide(self, *results: Result) -> Decision:
        return decide(self.job, results, self.facts())

    def turn(self, *results: Result) -> Decision:
        decision = self.decide(*results)
        if decision.status is not None:
            self.writes += 1
            version = str(int(self.job.resource_version) + 1)
            self.job = replace(self.job, status=stored(decision.status), resource_version=version)
        self.sent += [d.message for d in (*decision.publish_first, *decision.publish)]
        self.made += decision.create
        self.notes += decision.notes
        self.last = decision
        return decision

    def begun(self) -> Run:
        """With the first step at its worker."""
        self.turn()
        assert self.status.sequence == 1
        return self

    def later(self, number: float) -> Run:
        self.now += seconds(number)
        return self

    def wake(self) -> Decision:
        """The turn that the last one asked to be woken for."""
        assert self.last.wake_at is not None, "nothing wakes this job"
        self.now = max(self.now, self.last.wake_at)
        return self.turn()

    def change(self, **spec: Any) -> Run:
        """The user edits the job."""
        self.job = replace(self.job, spec=replace(self.job.spec, **spec), generation=self.job.generation + 1)
        return self

    def condition(self, kind: ConditionType) -> tuple[bool, str] | None:
        """Status and reason of a condition."""
        return next(((c.status, c.reason) for c in self.status.conditions if c.type is kind), None)


def ids(decision: Decision, *, first: bool) -> list[str]:
    """What a decision publishes before its commit, or after it, as `<sequence>:<attempt>`."""
    dispatches = decision.publish_first if first else decision.publish
    return [d.message.id.removeprefix(f"{UID}:") for d in dispatches]
