"""A broker, a network and worker processes for each test of the worker."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.worker.harness import Broker, Network, WorkerProcess, start_worker

HANDLERS = '''
import asyncio, os, pathlib, time
import mastercontrol_worker as worker

folder = pathlib.Path(os.environ["FOLDER"])

def ran(context):
    with (folder / "runs").open("a") as runs:
        runs.write(context.idempotency_key + "\\n")

@worker.step("double")
def double(value, context):
    ran(context)
    return value * 2

@worker.step("sleep")
def sleep(seconds, context):
    ran(context)
    (folder / "started").touch()
    time.sleep(seconds)
    return "slept"

@worker.step("async-sleep")
async def async_sleep(seconds, context):
    ran(context)
    (folder / "started").touch()
    await asyncio.sleep(seconds)
    return "slept"

@worker.step("hold")
def hold(value, context):
    """Runs until the file `release` is there."""
    ran(context)
    (folder / "started").touch()
    while not (folder / "release").exists():
        time.sleep(0.01)
    return value
'''

FAULTS = ("ResourceWarning", "never awaited", "never retrieved", "was destroyed", "fault in the worker", "CRITICAL")
"""What the log of no worker may say, whatever happens to it (they run with `python -X dev`)."""

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def broker(amqp_url: str, management_url: str) -> Iterator[Broker]:
    made = Broker(amqp_url, management_url, f"worker-{uuid.uuid4()}")
    yield made
    made.close()


@pytest.fixture
def network(broker: Broker) -> Iterator[Network]:
    made = Network(broker.host, broker.port)
    yield made
    made.close()


@pytest.fixture
def start(tmp_path: Path, broker: Broker) -> Iterator[StartWorker]:
    """Start a worker: `start(name="w-1", program=None, url=None, **settings)`."""
    (tmp_path / "handlers.py").write_text(HANDLERS)
    started: list[WorkerProcess] = []

    def start_one(
        name: str = "w-1", *, program: list[str] | None = None, url: str | None = None, **settings: str
    ) -> WorkerProcess:
        arguments = ["--exec", "--", *program] if program else ["--handlers", "handlers"]
        worker = start_worker(tmp_path, url or broker.url(), f"{name}.{broker.vhost}", arguments, settings)
        started.append(worker)
        return worker

    yield start_one
    for worker in started:
        if worker.process.poll() is None:
            worker.process.kill()
        worker.process.wait()
        print(worker.log)  # shown when the test failed
        for fault in FAULTS:
            assert fault not in worker.log
