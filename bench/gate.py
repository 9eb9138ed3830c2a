"""What a limit on jobs at once costs the operator, in memory alone: `python bench/gate.py`.

Jobs come, wait, begin and end at the gate, without turns, writes or a broker. It prints the time of each kind of event
for 1,000 to 100,000 jobs that wait, for one key or for one of many. It should hardly grow with their number.
"""

from __future__ import annotations

import argparse
import datetime as dt
import time
from collections.abc import Callable
from dataclasses import replace

from mastercontrol.api.job import Job, JobSpec
from mastercontrol.api.names import Phase
from mastercontrol.api.status import JobStatus
from mastercontrol.api.workflow import parse_spec
from mastercontrol.engine.gate import Gate
from mastercontrol.engine.places import Admitted
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import Definition

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
RUNNING = JobStatus("InProgress.a", Phase.RUNNING, "r", 1)
MOST = 900
ENDED = JobStatus("Done", Phase.SUCCEEDED, "r", 2)


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=1, help="so many values of the key")
    parser.add_argument("--limit", type=int, default=1, help="jobs at once for each of them")
    args = parser.parse_args()
    if args.keys * args.limit > MOST:
        parser.error(f"keys times limit may be {MOST}: of the first thousand some have to wait")
    print(
        f"{'waiting':>10}{'come':>10}{'ask':>10}{'next':>10}{'priority':>10}{'edit of the limit':>20}   (µs an event)"
    )
    for size in (1_000, 10_000, 100_000):
        print(f"{size:>10}" + measure(size, args.keys, args.limit))


class Gates:
    """A gate and the jobs before it."""

    def __init__(self, limit: int) -> None:
        self.jobs: dict[str, Job] = {}
        self.version = 0
        self.woken: list[str] = []
        self.running: list[str] = []
        self.gate = Gate(lambda key: self.woken.append(key[1]), lambda _: None, lambda *_: self.jobs.values())
        self.gate.listed("bench")
        self.definition = define(limit)

    def learn(self, job: Job) -> None:
        """A newer version of a job."""
        self.version += 1
        self.jobs[job.name] = replace(job, resource_version=str(self.version))
        self.gate.observe(self.jobs[job.name])

    def come(self, index: int, keys: int) -> None:
        """A job is created."""
        spec = JobSpec("order", {"customer": index % keys}, priority=index % 10)
        created = NOW + dt.timedelta(seconds=index)
        self.learn(Job("bench", f"job-{index}", f"uid-{index}", "", 1, spec, None, created=created))

    def ask(self, name: str) -> bool:
        """Whether it is admitted; then it begins."""
        if self.gate.place(self.jobs[name], self.definition, wants=True) != Admitted():
            return False
        self.learn(replace(self.jobs[name], status=RUNNING))
        self.running.append(name)
        return True

    def next(self) -> None:
        """A job that runs ends, and who is woken begins."""
        name = self.running.pop()
        self.woken.clear()
        self.learn(replace(self.jobs[name], status=ENDED))
        self.gate.forget(("bench", name))
        del self.jobs[name]
        for woken in self.woken:
            self.ask(woken)

    def raise_priority(self, name: str) -> None:
        """A user changes it."""
        self.learn(replace(self.jobs[name], spec=replace(self.jobs[name].spec, priority=9)))


def define(limit: int) -> Definition:
    """A Workflow with a key."""
    states = [{"name": "a", "pool": "p"}]
    spec = {"states": states, "concurrency": {"limit": limit, "key": "${job.input.customer}"}}
    compiled = compile_workflow("order", parse_spec(spec))
    if not isinstance(compiled, Definition):
        raise SystemExit(str(compiled))
    return compiled


def measure(size: int, keys: int, limit: int) -> str:
    """One line."""
    door = Gates(limit)
    names = [f"job-{i}" for i in range(size)]
    come = timed(lambda: [door.come(i, keys) for i in range(size)], size)
    ask = timed(lambda: [door.ask(name) for name in names], size)
    following = timed(lambda: [door.next() for _ in range(50)], 50)
    waiting = [name for name, job in door.jobs.items() if job.status is None][:50]
    priority = timed(lambda: [door.raise_priority(name) for name in waiting], len(waiting))
    door.definition = define(limit + 1)
    edit = timed(lambda: door.gate.place(door.jobs[waiting[0]], door.definition, wants=True), 1)
    return f"{come:>10.1f}{ask:>10.1f}{following:>10.1f}{priority:>10.1f}{edit / 1000:>17.1f} ms"


def timed(act: Callable[[], object], times: int) -> float:
    """Microseconds for each of so many."""
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) / times * 1e6


if __name__ == "__main__":
    main()
