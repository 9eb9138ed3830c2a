"""The verdict on one run: every event goes to its job, and at the end every job is judged."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from checker.causes import Rest, stuck
from checker.events import Event
from checker.faults import Fault, Rule
from checker.jobs import Job
from checker.language import Workflow, read

ALL: frozenset[str] = frozenset({"commit", "dispatch", "execute", "result"})
"""What a run without a `run` line has seen completely."""


@dataclass
class Verdict:
    """What came of a run. `sees` are the kinds that it has completely, so the rules about others were not judged."""

    jobs: dict[str, Job] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    sees: frozenset[str] = ALL
    unknown: int = 0  # events of jobs that nobody has created

    @property
    def ended(self) -> Counter[str]:
        """How many jobs ended, by phase; others as `open` or `deleted`."""
        return Counter(
            str(job.last["phase"]) if job.ended and job.last else "deleted" if job.deleted else "open"
            for job in self.jobs.values()
        )


def check(events: Iterable[Event]) -> Verdict:
    """Judge a run.

    :raises KeyError, TypeError, ValueError: an event or the spec of a Workflow is none.
    """
    run = _Run()
    for event in events:
        run.take(event)
    return run.verdict_of_all()


class _Run:
    def __init__(self) -> None:
        self.verdict = Verdict()
        self.jobs = self.verdict.jobs
        self.children: dict[str, Job] = {}  # by the dispatch that they answer
        self.newest: dict[tuple[str, str], Workflow] = {}  # by namespace and name
        self.revisions: dict[str, Workflow] = {}
        self.namespaces: dict[str, str] = {}
        self.ordered = True
        self.rest: Rest | None = None
        self.t = 0.0

    def take(self, event: Event) -> None:
        kind = str(event["kind"])
        self.verdict.kinds[kind] += 1
        self.t = float(event.get("t", self.t))
        match kind:
            case "run":
                self.ordered = bool(event.get("ordered", True))
                self.verdict.sees = frozenset(event.get("sees", ALL))
            case "gap":
                lost = {"commit"} if event["what"] == "commits" else {"dispatch", "result"}
                self.verdict.sees -= lost
            case "workflow":
                self._workflow(event)
            case "create":
                self._create(event)
            case "rest":
                self._rest(event)
            case _:
                self._of_job(kind, event)

    def _workflow(self, event: Event) -> None:
        workflow = read(event["spec"])
        self.newest[str(event["namespace"]), str(event["name"])] = workflow
        if event.get("revision"):
            self.revisions[str(event["revision"])] = workflow

    def _create(self, event: Event) -> None:
        job = Job(str(event["job"]), str(event["name"]), str(event["workflow"]), event.get("parent"))
        job.knows_signals = "signals" in event
        job.signals.update(map(str, event.get("signals", ())))
        self.jobs[job.uid] = job
        self.namespaces[job.uid] = str(event["namespace"])
        if job.parent is not None:
            self.children[job.parent] = job

    def _rest(self, event: Event) -> None:
        known = "steps" in event and "results" in event
        messages = frozenset([*event["steps"], *event["results"]]) if known else None
        now = event.get("now")
        time = None if now is None else dt.datetime.fromisoformat(str(now))
        self.rest = Rest(messages, time, still=bool(event.get("still", True)))

    def _of_job(self, kind: str, event: Event) -> None:
        if "job" not in event:
            return
        job = self.jobs.get(str(event["job"]))
        if job is None:
            self.verdict.unknown += 1
            return
        if kind == "commit":
            job.commit(event, self._workflow_of(job, event))
            if self.ordered:
                self._judge_left(job)
        else:
            job.take(kind, self.t, event)

    def _workflow_of(self, job: Job, event: Event) -> Workflow | None:
        """That of the revision that it keeps to. Where no line says which that is: the newest at its first write."""
        if event.get("revision") is None:
            return None
        revision, key = str(event["revision"]), (self.namespaces[job.uid], job.workflow)
        if revision not in self.revisions and key in self.newest:
            self.revisions[revision] = self.newest[key]
        if revision not in self.revisions:
            raise ValueError(f"there is no line for the Workflow {job.workflow!r} of which job {job.name} is")
        return self.revisions[revision]

    def _judge_left(self, job: Job) -> None:
        for left in job.newly_left():
            job.judge_left(self.t, left, self.verdict.sees, self.children)

    def verdict_of_all(self) -> Verdict:
        for job in self.jobs.values():
            self._judge_left(job)
            if "commit" in self.verdict.sees:
                job.judge_dispatches(ordered=self.ordered)
            if self.rest is not None and self.rest.still:
                for why in stuck(job, self.rest, self.children):
                    job.fault(self.t, Rule.LIVE, why)
            self.verdict.faults += job.faults
        if self.rest is None:
            text = "the run has no line `rest`, so nobody knows whether its jobs go on"
            self.verdict.faults.append(Fault(self.t, "*", Rule.LIVE, text))
        self.verdict.faults.sort()
        return self.verdict
