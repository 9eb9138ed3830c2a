"""A decision in the making: what it is made of, and what all of its parts do with it.

The parts are `answers` (results), `timing` (the clock and signals) and `bounds` (sizes); `decide` says in which order.
Pure.
"""

from __future__ import annotations

from mastercontrol.api.job import Job
from mastercontrol.api.names import Phase, Reason
from mastercontrol.api.status import ActiveStep, JobStatus
from mastercontrol.engine import moves, silence
from mastercontrol.engine.facts import Facts, Missing, NewChild, Note, Verdict
from mastercontrol.engine.flow import Flow
from mastercontrol.engine.places import Held
from mastercontrol.engine.sending import Sender
from mastercontrol.engine.subjobs import Children
from mastercontrol.engine.workers import lacking
from mastercontrol.workflow.definition import Definition, TaskState
from mastercontrol_worker.contract import StepError


class Draft:
    """One decision in the making. Lives for one call of `decide`.

    `flow` moves the job and `sender` its messages; both are None where its Definition is missing, and once it ended.
    """

    def __init__(self, job: Job, facts: Facts) -> None:
        self.job = job
        self.facts = facts
        self.was = job.status or JobStatus()
        self.was_active = {a.path: a for a in self.was.active}
        self.status = self.was
        self.flow: Flow | None = None
        self.sender: Sender | None = None
        self.verdicts: list[Verdict] = []
        self.notes: list[Note] = []
        self.read_again = False
        self.children: Children | None = None  # there is one as long as there is a flow
        self.create: tuple[NewChild, ...] = ()
        self.shown = silence.Shown(self.was)
        self.listen = False

    @property
    def _suspended(self) -> bool:
        return self.status.phase is Phase.SUSPENDED

    @property
    def _has_ended(self) -> bool:
        return self.status.ended or (self.flow is not None and self.flow.ended)

    def _is_task(self, entry: ActiveStep) -> bool:
        return self.sender is None or self.sender.task(entry) is not None

    @property
    def _knows_no_place(self) -> bool:
        """Whether the jobs that may hold a place are being listed: it is tried again in a moment."""
        return self.status.ended and isinstance(self.facts.place, Held) and self.facts.place.text is None

    def _load(self, definition: Definition) -> None:
        self._use(Flow(self.job, self.status, definition, self.facts))

    def _use(self, flow: Flow) -> None:
        self.flow = flow
        self.sender = Sender(self.job, self.was, self.facts, flow, suspended=self._suspended)
        self.children = Children(self.job, self.was, self.facts, flow, suspended=self._suspended)

    def _unload(self) -> None:
        self.flow = self.sender = self.children = None

    # -- what it comes to

    def _absorb(self) -> None:
        """Take the moved job into the status."""
        flow = self.flow
        if flow is None:
            return
        self.notes += flow.notes
        flow.notes = []
        self.status = moves.absorb(self.status, flow, self.facts.now)
        if flow.ended:
            self._unload()

    def _give_up(self, error: StepError, entry: ActiveStep | None, worker: str = "") -> None:
        self.status = moves.fail(self.status, self.facts, error, entry, worker)
        self.notes.append(Note(Reason.JOB_FAILED, self.status.message or error.message))

    def _wait(self, reason: Reason, message: str) -> None:
        waiting = moves.wait(self.status, reason, message, self.facts.now)
        if waiting != self.status and reason not in {Reason.BACK_OFF, Reason.CONCURRENCY_LIMIT}:
            self.notes.append(Note(reason, message))
        self.status = waiting

    def _explain(self) -> None:
        """Say in one line what the job waits for."""
        if self._suspended:
            return
        if self.flow is None or self.sender is None:
            missing = self.facts.definition
            if isinstance(missing, Missing):
                self._wait(missing.reason, missing.message)
            return
        unknown = {t.pool for t in self.flow.definition.tasks() if not self.facts.pool_known(t.pool)}
        for entry in self.status.active if unknown else ():
            task = self.sender.task(entry)
            if task is not None and task.pool in unknown:
                self._wait(Reason.UNKNOWN_POOL, no_pool(task))
                return
        lacks = lacking(self.status, self.flow.definition, self.facts)
        if lacks is not None:
            self.status = moves.wait(self.status, Reason.NO_WORKER, lacks, self.facts.now)
            return
        waits = self.children.explained(self.status) if self.children is not None else None
        self.status = waits or moves.explained(self.status, self.flow.definition, self.facts.now)


def no_pool(state: TaskState) -> str:
    """That the pool of a state is not there."""
    return f"state {state.name!r} needs the WorkerPool {state.pool!r}, which is not in this namespace"
