"""A gate by itself, and the Jobs that stand before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mastercontrol.api.job import Job, parse_spec
from mastercontrol.api.names import Phase
from mastercontrol.api.status import JobStatus
from mastercontrol.engine.gate import Gate
from mastercontrol.engine.inbox import JobKey
from mastercontrol.engine.places import Admitted, Held, NoKey, Place, RejectedBy, Replaced
from mastercontrol.workflow.definition import Definition
from unit.engine.builders import NOW, seconds, step, written

KEYED = "${job.input.customer}"


class Entrance:
    """A gate, and the Jobs that stand before it. `woken` is who was woken since it was last looked at."""

    def __init__(self, *, listed: bool = True, **concurrency: Any) -> None:
        self.jobs: dict[str, Job] = {}
        self.version = 0
        self.leads = True
        self.listings: list[str] = []
        self._woken: list[str] = []
        self.definition: Definition = written(step("a"), concurrency=concurrency)
        self.gate = self.new(listed=listed)

    def new(self, *, listed: bool = True) -> Gate:
        """Another leader's."""
        gate = Gate(self._wake, self.listings.append, lambda *_: list(self.jobs.values()), lambda: self.leads)
        if listed:
            gate.listed("shop")
        return gate

    def _wake(self, key: JobKey) -> None:
        assert key[0] == "shop"
        self._woken.append(key[1])

    @property
    def woken(self) -> list[str]:
        found, self._woken[:] = list(dict.fromkeys(self._woken)), []
        return found

    def calm(self) -> None:
        """What was woken until now is of no interest."""
        self._woken.clear()

    def edit(self, **concurrency: Any) -> None:
        more: dict[str, Any] = {"concurrency": concurrency} if concurrency else {}
        self.definition = written(step("a"), **more)

    def come(self, name: str, customer: Any = "acme", *, age: float = 0, **spec: Any) -> Entrance:
        """A Job is created; `age` is how many seconds before now."""
        parsed = parse_spec({"workflow": "order", "input": {"customer": customer}, **spec})
        self.learn(Job("shop", name, f"uid-{name}", "", 1, parsed, None, created=NOW - seconds(age)))
        return self

    def learn(self, job: Job) -> None:
        self.version += 1
        self.jobs[job.name] = replace(job, resource_version=str(self.version))
        self.gate.observe(self.jobs[job.name])

    def ask(self, name: str) -> Place | None:
        return self.gate.place(self.jobs[name], self.definition, wants=True)

    def passes(self, name: str) -> Place | None:
        """Its turn does not want to begin it."""
        return self.gate.place(self.jobs[name], self.definition, wants=False)

    def begin(self, name: str) -> Entrance:
        """It asks, is admitted, and begins."""
        assert self.ask(name) == Admitted()
        return self.written(name, JobStatus("InProgress.a", Phase.RUNNING, "r", 1))

    def written(self, name: str, status: JobStatus) -> Entrance:
        self.learn(replace(self.jobs[name], status=status))
        return self

    def end(self, name: str) -> Entrance:
        self.written(name, JobStatus("Done", Phase.SUCCEEDED, "r", 2, completion_time=NOW))
        del self.jobs[name]
        self.gate.forget(("shop", name))
        return self

    def change(self, name: str, **spec: Any) -> Entrance:
        self.learn(replace(self.jobs[name], spec=replace(self.jobs[name].spec, **spec)))
        return self

    def text(self, name: str) -> str | None:
        place = self.ask(name)
        assert isinstance(place, Held | RejectedBy | Replaced | NoKey), place
        return place.text

    def fail(self, name: str) -> Job:
        """It has failed, and is kept."""
        self.written(name, JobStatus("Failed", Phase.FAILED, "r", 2))
        return self.jobs[name]
