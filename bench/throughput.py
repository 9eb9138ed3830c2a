"""Transitions per second beside the API server's own limit, and the latency of one step: `make bench`.

Everything runs in this one call on this one machine: a real API server, a real RabbitMQ, the operator's process and a
worker that does nothing. Machines differ and are noisy, so the figure that counts is the ratio of two rates of the
same run: transitions per second to raw status patches per second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pika

from mastercontrol.kube.client import KubeClient, Limits, PatchType
from mastercontrol.kube.lists import list_all
from mastercontrol.kube.paths import JOBS, POOLS, WORKFLOWS, Target
from mastercontrol_worker import contract

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
GROUP = "mastercontrol.dev/v1alpha1"
CONNECTIONS = 32
PORT = 18199

T = TypeVar("T")


def main() -> None:
    """Run all parts and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000, help="jobs of the throughput part")
    parser.add_argument("--steps", type=int, default=5, help="steps of each job")
    parser.add_argument("--patches", type=int, default=4000, help="status patches of the raw part")
    parser.add_argument("--chains", type=int, default=30, help="jobs of the latency part, one after another")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environ = stack.enter_context(services(folder, "raw", "bench"))
        asyncio.run(measure(args, environ, folder))


async def measure(args: argparse.Namespace, environ: dict[str, str], folder: Path) -> None:
    """The three parts."""
    async with await KubeClient.connect(environ["KUBECONFIG"], limits=Limits(connections=CONNECTIONS)) as client:
        before = await raw_patches(client, "before", args.patches // 2)
        with process([str(BIN / "mastercontrol"), "run"], environ, folder / "operator.log"):
            moved = await throughput(client, args, environ, folder)
            latencies = await latency(client, args, environ)
        # Before and after: the machine may be slower at one time than at another.
        after = await raw_patches(client, "after", args.patches // 2)
    raw = 2 / (1 / before + 1 / after)
    ratio = moved / raw
    print(f"raw status patches      {raw:8.0f} /s  ({CONNECTIONS} connections)")
    print(f"transitions             {moved:8.0f} /s  ({args.jobs} jobs of {args.steps} steps)")
    print(f"ratio                   {ratio:8.2f}     (goal: 0.40)")
    print(f"result to next dispatch {statistics.median(latencies) * 1000:8.1f} ms median, idle  (goal: below 30)")
    print(f"                        {statistics.quantiles(latencies, n=20)[-1] * 1000:8.1f} ms 95th percentile")
    print(json.dumps({"raw": raw, "transitions": moved, "ratio": ratio, "median": statistics.median(latencies)}))


async def raw_patches(client: KubeClient, name: str, count: int) -> float:
    """Status patches per second that the API server does when nothing else happens."""
    objects = [job("raw", f"{name}-{i}", "none", {}) for i in range(CONNECTIONS * 4)]
    await gather(objects, lambda o: client.create(Target(JOBS, "raw"), o))
    status = {"phase": "Running", "state": "InProgress.step-1", "sequence": 1, "message": "step-1 is with pool bench"}

    async def patch(i: int) -> None:
        target = Target(JOBS, "raw", f"{name}-{i % len(objects)}", "status")
        body = [{"op": "add", "path": "/status", "value": {**status, "sequence": i}}]
        await client.patch(target, body, PatchType.JSON)

    began = time.perf_counter()
    await gather(range(count), patch)
    return count / (time.perf_counter() - began)


async def throughput(client: KubeClient, args: argparse.Namespace, environ: dict[str, str], folder: Path) -> float:
    """Transitions per second of many jobs at once, from the first result to the last end."""
    await client.create(Target(POOLS, "bench"), pool())
    await client.create(Target(WORKFLOWS, "bench"), workflow(args.steps))
    await until(lambda: states(client), lambda _: True)
    names = [f"many-{i}" for i in range(args.jobs)]
    await gather(names, lambda n: client.create(Target(JOBS, "bench"), job("bench", n, "chain", {"n": n})))
    await until(lambda: states(client), lambda found: len([s for s in found if s != "Begin"]) == args.jobs)
    worker = {**environ, "MCP_QUEUE": contract.pool_queue("bench", "bench"), "MCP_CONCURRENCY": "128"}
    command = [str(BIN / "mastercontrol-worker"), "--handlers", "bench_handlers"]
    began = time.perf_counter()
    with process(command, {**worker, "PYTHONPATH": str(handlers(folder, args.steps))}, folder / "worker.log"):
        await until(lambda: asyncio.to_thread(ended), lambda done: done == args.jobs, every=0.25)
        seconds = time.perf_counter() - began
    return args.jobs * args.steps / seconds


async def latency(client: KubeClient, args: argparse.Namespace, environ: dict[str, str]) -> list[float]:
    """Seconds from the confirm of a result to the arrival of the next step, of one job at a time."""
    found: list[float] = []
    for i in range(args.chains):
        await client.create(Target(JOBS, "bench"), job("bench", f"one-{i}", "chain", {}))
        found += await asyncio.to_thread(one_chain, environ["MCP_AMQP_URL"], args.steps)
    return found


def one_chain(url: str, steps: int) -> list[float]:
    """Be the worker of one job."""
    found: list[float] = []
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        answered = None
        for method, properties, body in channel.consume(contract.pool_queue("bench", "bench")):
            if answered is not None:
                found.append(time.perf_counter() - answered)
            step = contract.StepMessage.decode(properties.message_id, body)
            result = contract.ResultMessage.of(step, contract.Succeeded({}), "bench")
            sent = pika.BasicProperties(message_id=step.id, type=step.step, delivery_mode=2)
            channel.basic_publish(contract.RESULTS_EXCHANGE, contract.RESULTS_ROUTING_KEY, result.encode(), sent)
            answered = time.perf_counter()
            channel.basic_ack(method.delivery_tag)
            if len(found) == steps - 1:
                break
        channel.cancel()
    return found


async def states(client: KubeClient) -> list[str]:
    """The states of the jobs of the throughput part."""
    jobs = await list_all(client, JOBS, "bench")
    return [j.get("status", {}).get("state", "Begin") for j in jobs if j["metadata"]["name"].startswith("many-")]


def ended() -> float:
    """Jobs that ended, as the operator says: listing them from the API server would take away what is measured."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("mcp_jobs_ended_total{"))


async def until(read: Callable[[], Awaitable[T]], good: Callable[[T], bool], every: float = 0.5) -> None:
    """Look again and again."""
    deadline = time.monotonic() + 300
    while not good(await read()):
        if time.monotonic() > deadline:
            raise TimeoutError("the jobs did not get on")
        await asyncio.sleep(every)


async def gather(items: Any, act: Callable[[Any], Awaitable[Any]]) -> None:
    """Do something with each item, CONNECTIONS at a time."""
    waiting = iter(items)

    async def lane() -> None:
        for item in waiting:
            await act(item)

    await asyncio.gather(*(lane() for _ in range(CONNECTIONS)))


def job(namespace: str, name: str, workflow_name: str, data: dict[str, Any]) -> dict[str, Any]:
    """A Job."""
    meta = {"namespace": namespace, "name": name}
    return {
        "apiVersion": GROUP,
        "kind": "Job",
        "metadata": meta,
        "spec": {"workflow": workflow_name, "input": data},
    }


def workflow(steps: int) -> dict[str, Any]:
    """A chain."""
    states_ = [{"name": f"step-{i}", "pool": "bench"} for i in range(1, steps + 1)]
    meta = {"namespace": "bench", "name": "chain"}
    return {"apiVersion": GROUP, "kind": "Workflow", "metadata": meta, "spec": {"states": states_}}


def pool() -> dict[str, Any]:
    """A pool whose workers the benchmark starts itself: nothing here runs pods."""
    meta = {"namespace": "bench", "name": "bench"}
    spec = {"autoscaling": {"enabled": False}, "template": {"image": "none", "handlers": "bench_handlers"}}
    return {"apiVersion": GROUP, "kind": "WorkerPool", "metadata": meta, "spec": spec}


def handlers(folder: Path, steps: int) -> Path:
    """A module of handlers that do nothing; the folder it is in."""
    lines = ["import mastercontrol_worker as worker"]
    for i in range(1, steps + 1):
        lines += [f'@worker.step("step-{i}")', f"def step_{i}(data): return data"]
    (folder / "bench_handlers.py").write_text("\n".join(lines) + "\n")
    return folder


@contextmanager
def services(folder: Path, *namespaces: str) -> Iterator[dict[str, str]]:
    """An API server with the CRDs and these namespaces, and a RabbitMQ; the environment of an operator of `bench`."""
    with service("control-plane", folder / "api") as kube, service("rabbitmq", folder / "rabbitmq") as rabbit:
        kubectl(kube["KUBECONFIG"], "apply", "--server-side", "-f", str(ROOT / "crds"))
        kubectl(kube["KUBECONFIG"], "wait", "--for=condition=Established", "crd", "--all")
        for namespace in namespaces:
            kubectl(kube["KUBECONFIG"], "create", "namespace", namespace)
        yield {**os.environ, **kube, **rabbit, "MCP_NAMESPACES": "bench", "MCP_HTTP_PORT": str(PORT)}


@contextmanager
def service(name: str, folder: Path) -> Iterator[dict[str, str]]:
    """A service that hack/ runs, and what its `env` prints."""
    script = str(ROOT / "hack" / name)
    subprocess.run([script, "start", str(folder)], check=True)
    try:
        lines = subprocess.run([script, "env", str(folder)], check=True, capture_output=True, text=True).stdout.split()
        yield dict(line.split("=", 1) for line in lines)
    finally:
        subprocess.run([script, "stop", str(folder)], check=True)


@contextmanager
def process(command: list[str], environ: dict[str, str], log: Path) -> Iterator[None]:
    """A process that is told to end at the end."""
    with log.open("w") as out, subprocess.Popen(command, env=environ, stdout=out, stderr=out) as running:
        try:
            yield
        finally:
            running.terminate()
            running.wait(30)


def kubectl(config: str, *arguments: str) -> None:
    """Run kubectl."""
    subprocess.run(["kubectl", "--kubeconfig", config, *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
