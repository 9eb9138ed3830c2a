"""What a result costs where many steps are at work, on a real API server and a real RabbitMQ: `make bench-fanout`.

A Map of 10, 100 and 1,000 items and a Parallel of 50 branches, one job each, with a worker process that does nothing.
All steps are sent before the worker starts. The time is from the first step that it begins to the end of the job, so
that of one result should not grow with the number of items. Writes are counted by the API server, and the size is that
of the largest status that a watch saw. `bench/map.py` has the operator's part alone.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mastercontrol.kube.client import KubeClient
from mastercontrol.kube.paths import JOBS, POOLS, WORKFLOWS, Target
from mastercontrol_worker import contract
from throughput import BIN, GROUP, job, pool, process, services

SIZES = (10, 100, 1000)
HANDLERS = """
import os, time
import mastercontrol_worker as worker

@worker.step("step-1")
def step_1(data):
    try:
        with open(os.environ["BEGAN"], "x") as began:
            began.write(str(time.time()))
    except FileExistsError:
        pass
    return data
"""


@dataclass
class Cost:
    """Of one job. `seconds` is from its first step to its end."""

    seconds: float
    writes: int
    largest: int


def main() -> None:
    """Run all sizes and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--concurrency", type=int, default=0, help="maxConcurrency of the Map; 0: all at once")
    parser.add_argument("--rounds", type=int, default=3, help="of each size; the best one counts")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environ = stack.enter_context(services(folder, "bench"))
        asyncio.run(measure(args, environ, folder))


async def measure(args: argparse.Namespace, environ: dict[str, str], folder: Path) -> None:
    """All sizes, each with as many workers."""
    workflows = {f"map-{size}": map_of(size, args.concurrency) for size in SIZES}
    workflows["parallel-50"] = parallel_of(50)
    (folder / "bench_handlers.py").write_text(HANDLERS)
    async with await KubeClient.connect(environ["KUBECONFIG"]) as client:
        await client.create(Target(POOLS, "bench"), pool())
        for name, states in workflows.items():
            body = {"apiVersion": GROUP, "kind": "Workflow", "metadata": {"name": name}, "spec": {"states": states}}
            await client.create(Target(WORKFLOWS, "bench"), body)
        with process([str(BIN / "mastercontrol"), "run"], environ, folder / "operator.log"):
            found = {
                name: [await one(client, f"{name}-{i}", name, environ, folder) for i in range(args.rounds)]
                for name in workflows
            }
    for name, costs in found.items():
        size = int(name.rpartition("-")[2])
        best = min(costs, key=lambda cost: cost.seconds)
        ms = best.seconds / size * 1000
        largest = max(cost.largest for cost in costs)
        print(f"{name:12} {ms:6.2f} ms a result {best.writes / size:6.3f} writes {largest / 1024:7.1f} KiB at most")
        print(json.dumps({"name": name, "ms": ms, "writes": best.writes / size, "bytes": largest}))


async def one(client: KubeClient, name: str, workflow: str, environ: dict[str, str], folder: Path) -> Cost:
    """One job from its creation to its end, with a worker that starts when its first steps are sent."""
    watch = folder / f"{name}.json"
    command = [
        "kubectl",
        "-n",
        "bench",
        "get",
        "mcpjobs",
        "--watch-only",
        "-o",
        "json",
        f"--field-selector=metadata.name={name}",
    ]
    with process(command, environ, watch):
        await asyncio.sleep(1)
        await client.create(Target(JOBS, "bench"), job("bench", name, workflow, {"n": 1}))
        await until(client, name, lambda status: "dispatchedAt" in json.dumps(status))
        before = await writes(environ)
        worker = {
            **environ,
            "MCP_QUEUE": contract.pool_queue("bench", "bench"),
            "MCP_CONCURRENCY": "128",
            "BEGAN": str(folder / "began"),
        }
        (folder / "began").unlink(missing_ok=True)
        arguments = [str(BIN / "mastercontrol-worker"), "--handlers", "bench_handlers"]
        with process(arguments, {**worker, "PYTHONPATH": str(folder)}, folder / "worker.log"):
            ended = await until(client, name, lambda status: "completionTime" in status)
        await asyncio.sleep(1)
        after = await writes(environ)
    began = float((folder / "began").read_text())
    seconds = dt.datetime.fromisoformat(ended["completionTime"]).timestamp() - began
    return Cost(seconds, after - before, largest(watch.read_text()))


async def until(client: KubeClient, name: str, good: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Look every 200 ms, at one object: that costs the API server little. The status that is good."""
    deadline = time.monotonic() + 120
    while True:
        status: dict[str, Any] = (await client.get(Target(JOBS, "bench", name))).get("status", {})
        if good(status):
            return status
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} did not get on")
        await asyncio.sleep(0.2)


async def writes(environ: dict[str, str]) -> int:
    """Status writes of Jobs that the API server has counted."""
    # Its metrics are text, which the client does not speak.
    command = ["kubectl", "get", "--raw", "/metrics"]
    done = await asyncio.to_thread(subprocess.run, command, env=environ, check=True, capture_output=True, text=True)
    wanted = ('resource="mcpjobs"', 'subresource="status"', 'verb="PATCH"')
    lines = [line for line in done.stdout.splitlines() if line.startswith("apiserver_request_total{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if all(part in line for part in wanted))


def largest(text: str) -> int:
    """The size of the largest status in a stream of JSON documents, in bytes."""
    decoder, sizes, at = json.JSONDecoder(), [0], 0
    while at < len(text.rstrip()):
        found, at = decoder.raw_decode(text, at)
        sizes.append(len(json.dumps(found.get("status", {}), separators=(",", ":"), ensure_ascii=False).encode()))
        while at < len(text) and text[at].isspace():
            at += 1
    return max(sizes)


def map_of(size: int, concurrency: int) -> list[dict[str, Any]]:
    """A step for each item of a list."""
    inner = [{"name": "step-1", "pool": "bench", "input": {"n": "${item}"}}]
    return [{"name": "each", "type": "Map", "items": list(range(size)), "maxConcurrency": concurrency, "states": inner}]


def parallel_of(size: int) -> list[dict[str, Any]]:
    """A step in each branch. All steps have the name that the one handler knows."""
    return [{"name": "fan", "type": "Parallel", "branches": [{"states": [{"name": "step-1", "pool": "bench"}]}] * size}]


if __name__ == "__main__":
    main()
