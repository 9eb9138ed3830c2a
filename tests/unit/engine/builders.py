"""Small builders for the values that a decision is made of, and `Run`: one job that is taken from turn to turn."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from mastercontrol.api.job import Job, JobSpec, JobStatus, parse_status
from mastercontrol.api.names import ConditionType
from mastercontrol.api.workflow import RetrySpec, TaskSpec
from mastercontrol.engine.decide import decide
from mastercontrol.engine.facts import Decision, Facts, Limits, Missing, Note, Result
from mastercontrol.workflow.definition import Definition, compile_workflow
from mastercontrol_worker.contract import Failed, StepError, StepMessage, Succeeded

NOW = dt.datetime(2030, 1, 1, 12, 0, tzinfo=dt.UTC)
UID = "0b5e"
EPOCH = "e1"
PLAIN = RetrySpec(limit=3, backoff_seconds=1, backoff_rate=2, max_backoff_seconds=60, jitter=False)


def seconds(number: float) -> dt.timedelta:
    return dt.timedelta(seconds=number)


def task(name: str, *, timeout: int | None = None, retry: RetrySpec = PLAIN) -> TaskSpec:
    """A state whose pool has the name of the state with `-pool` behind it."""
    return TaskSpec(name, f"{name}-pool", None, timeout, retry)


def chain(*states: TaskSpec | str, name: str = "order") -> Definition:
    compiled = compile_workflow(name, [task(s) if isinstance(s, str) else s for s in states])
    assert isinstance(compiled, Definition), compiled
    return compiled


def ok(seq: int, attempt: int = 1, output: Any = None, *, uid: str = UID, epoch: str = EPOCH) -> Result:
    return Result(uid, seq, attempt, Succeeded(output), epoch, "worker-1")


def failure(seq: int, attempt: int = 1, *, code: str = "Broken", message: str = "no", retryable: bool = True) -> Result:
    return Result(UID, seq, attempt, Failed(StepError(code, message, retryable)), EPOCH, "worker-1")


def stored(status: JobStatus) -> JobStatus:
    """A status as it comes back from the store."""
    return parse_status(status.to_raw())


class Run:
    """A job, its definition, the clock and the outside; each `turn` decides and stores what was decided."""

    def __init__(self, *states: TaskSpec | str, **spec: Any) -> None:
        self.definition: Definition | Missing = chain(*(states or ("reserve", "charge")))
        self.now = NOW
        self.epoch: str | None = EPOCH
        self.jitter = 0.5
        self.missing_pools: set[str] = set()
        self.confirmed: frozenset[str] = frozenset()
        self.resend: frozenset[str] = frozenset()
        self.late_from: dt.datetime | None = None
        self.limits = Limits()
        self.fresh = False
        self.job = Job("shop", "order-1", UID, "1", 1, JobSpec("order", **{"input": {"sku": "A1"}, **spec}), None)
        self.writes = 0
        self.sent: list[StepMessage] = []
        self.notes: list[Note] = []
        self.last = Decision()

    @property
    def status(self) -> JobStatus:
        assert self.job.status is not None, "nothing was written yet"
        return self.job.status

    @property
    def ids(self) -> list[str]:
        """What was sent, as `<sequence>:<attempt>`."""
        return [message.id.removeprefix(f"{UID}:") for message in self.sent]

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
        )

    def decide(self, *results: Result) -> Decision:
        return decide(self.job, results, self.facts())

    def turn(self, *results: Result) -> Decision:
        decision = self.decide(*results)
        if decision.status is not None:
            self.writes += 1
            version = str(int(self.job.resource_version) + 1)
            self.job = replace(self.job, status=stored(decision.status), resource_version=version)
        self.sent += [d.message for d in (*decision.publish_first, *decision.publish)]
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
