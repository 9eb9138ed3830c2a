"""What a result costs where many steps are at work: a Map of 10, 100 and 1,000 items, a Parallel of 50 branches.

No service is needed: one decision and one fenced write a result, on the store in memory. Run `python bench/map.py`.
The time is split, since they grow for different reasons: what the decision takes, what reading and writing the whole
status takes, and how large it is at its largest. One result a turn is the worst case; `--together` takes more.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import time
from dataclasses import dataclass
from typing import Any

from mastercontrol.api.job import Job, parse_job
from mastercontrol.api.workflow import parse_spec
from mastercontrol.engine.commit import status_patch
from mastercontrol.engine.decide import decide
from mastercontrol.engine.facts import Facts, Result
from mastercontrol.engine.moves import status_bytes
from mastercontrol.memory.store import MemoryStore
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import Definition
from mastercontrol_worker.contract import StepMessage, Succeeded

EPOCH = "bench"
NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


@dataclass
class Cost:
    """Of one run. Times are in seconds, one for each turn."""

    writes: int
    largest: int
    deciding: list[float]
    writing: list[float]
    beginning: float


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output-bytes", type=int, default=20, help="size of what each step gives back")
    parser.add_argument("--together", type=int, default=1, help="results that one turn takes, as under load")
    parser.add_argument("--concurrency", type=int, default=0, help="maxConcurrency of the Map; 0: all at once")
    args = parser.parse_args()
    print(
        f"{'':16}{'writes':>8}{'a result':>9}{'largest':>12}{'begin':>10}{'decide':>10}{'store':>10}  (of one result)"
    )
    for size in (10, 100, 1000):
        report(f"Map of {size}", size, asyncio.run(play(map_of(args.concurrency), list(range(size)), args)))
    report("Parallel of 50", 50, asyncio.run(play(parallel_of(50), None, args)))


def map_of(concurrency: int) -> dict[str, Any]:
    """A Workflow that does one step for each item of its input."""
    inner = [{"name": "work", "pool": "p", "input": {"n": "${item}"}}]
    return {
        "states": [{"name": "each", "type": "Map", "items": "${input}", "maxConcurrency": concurrency, "states": inner}]
    }


def parallel_of(size: int) -> dict[str, Any]:
    """A Workflow with one step in each of its branches."""
    branches = [{"states": [{"name": f"work{i}", "pool": "p"}]} for i in range(size)]
    return {"states": [{"name": "fan", "type": "Parallel", "branches": branches}]}


async def play(spec: dict[str, Any], data: Any, args: argparse.Namespace) -> Cost:
    """Take one job from its beginning to its end, one result a turn."""
    definition = compile_workflow("bench", parse_spec(spec))
    assert isinstance(definition, Definition), definition
    facts = Facts(now=NOW, jitter=0.5, epoch=EPOCH, definition=definition, pool_known=lambda _: True, fresh=True)
    store = MemoryStore()
    raw = await store.create(
        {
            "apiVersion": "mastercontrol.dev/v1alpha1",
            "kind": "Job",
            "metadata": {"namespace": "bench", "name": "job"},
            "spec": {"workflow": "bench", "input": data},
        }
    )
    cost = Cost(0, 0, [], [], 0.0)
    began = time.perf_counter()
    job, sent = await turn(parse_job(raw), (), facts, store, cost)
    cost.beginning = time.perf_counter() - began
    cost.deciding.clear()
    cost.writing.clear()
    while sent:
        taken, sent = sent[: args.together], sent[args.together :]
        output = Succeeded("x" * args.output_bytes)
        ids = (message.id.split(":") for message in taken)
        results = tuple(Result(job.uid, int(seq), int(attempt), output, EPOCH) for _, seq, attempt in ids)
        job, more = await turn(job, results, facts, store, cost)
        sent += more
    assert job.status is not None
    assert job.status.ended
    assert job.status.error is None, job.status.error
    return cost


async def turn(
    job: Job, results: tuple[Result, ...], facts: Facts, store: MemoryStore, cost: Cost
) -> tuple[Job, list[StepMessage]]:
    """Decide, and write what was decided."""
    began = time.perf_counter()
    decision = decide(job, results, facts)
    decided = time.perf_counter()
    sent = [d.message for d in (*decision.publish_first, *decision.publish)]
    cost.deciding.append(decided - began)
    if decision.status is None:
        return job, sent
    raw = await store.patch_status(job.namespace, job.name, status_patch(job, decision.status))
    after = parse_job(raw, decision.status)
    cost.writing.append(time.perf_counter() - decided)
    cost.writes += 1
    cost.largest = max(cost.largest, status_bytes(decision.status))
    return after, sent


def report(title: str, results: int, cost: Cost) -> None:
    """One line, and the same for programs."""
    decide_ms, store_ms = (sum(times) / results * 1000 for times in (cost.deciding, cost.writing))
    print(
        f"{title:16}{cost.writes:8}{(cost.writes - 1) / results:9.2f}{cost.largest / 1024:8.1f} KiB"
        f"{cost.beginning * 1000:7.0f} ms{decide_ms:7.2f} ms{store_ms:7.2f} ms"
    )
    figures = {"title": title, "writes": cost.writes, "bytes": cost.largest, "decide": decide_ms, "store": store_ms}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
