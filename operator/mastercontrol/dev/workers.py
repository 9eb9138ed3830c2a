"""The workers of the embedded mode: for each pool the real worker loop, in this process, with what the pool names.

`handlers` are imported with the folder of the pool's file on the import path; a `command` runs in that folder. A
pool whose image brings a worker of its own cannot run here: `--handlers` gives it one.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mastercontrol.api.pool import WorkerPool
from mastercontrol.dev.transport import MemoryTransport
from mastercontrol.memory.broker import MemoryBroker
from mastercontrol_worker.exec_mode import ExecRunner
from mastercontrol_worker.execute import Executor, Runner
from mastercontrol_worker.python_mode import PythonRunner
from mastercontrol_worker.recent import RecentResults
from mastercontrol_worker.steps import registry
from mastercontrol_worker.worker import Worker

log = logging.getLogger(__name__)

MOST_SLOTS: Final = 16
"""Steps of one pool at a time, at most: this is one process on one machine."""

GRACE_SECONDS: Final = 2.0


class NoHandlers(Exception):
    """A pool has nothing that could do its steps here. `str()` says what to write."""


class Workers:
    """One worker loop per pool."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._workers: list[Worker] = []
        self._tasks: list[asyncio.Task[int]] = []

    def start(self, pool: WorkerPool, folder: Path, modules: Sequence[str]) -> None:
        """Start the worker of a pool; none where the pool is paused (maxReplicas 0).

        :raises NoHandlers: nothing here can do its steps.
        """
        if pool.max_replicas == 0:
            return
        slots = min(MOST_SLOTS, pool.concurrency * pool.max_replicas)
        worker = Worker(
            MemoryTransport(self._broker, pool.namespace, pool.name, slots),
            Executor(_runner(pool, folder, modules), worker=f"{pool.name}-local"),
            RecentResults(1000, 16 * 1024 * 1024),
            concurrency=slots,
            grace_seconds=GRACE_SECONDS,
        )
        self._workers.append(worker)
        self._tasks.append(asyncio.create_task(worker.run(), name=f"worker {pool.name}"))

    async def close(self) -> None:
        """Let what runs finish, for a moment, and end."""
        for worker in self._workers:
            worker.drain()
        for worker in self._workers:
            worker.drain()  # the second time: without waiting for handlers
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                log.error("a worker ended with %r", result)


def _runner(pool: WorkerPool, folder: Path, modules: Sequence[str]) -> Runner:
    command, handlers = pool.template.get("command"), pool.template.get("handlers")
    environ = {str(e["name"]): str(e["value"]) for e in pool.template.get("env") or () if "value" in e}
    if command:
        # What the user's own shell says wins over what is meant for a pod.
        return ExecRunner(_local(command, folder), {**environ, **os.environ})
    for name, value in environ.items():
        os.environ.setdefault(name, value)
    for module in [handlers] if handlers else []:
        _import(module, folder, pool, modules)
    for module in modules:
        _import(module, Path.cwd(), pool, ())
    if not handlers and not modules:
        raise NoHandlers(
            f"WorkerPool {pool.name!r} has neither handlers nor a command, so its image's own worker does its steps; "
            "here write --handlers MODULE"
        )
    return PythonRunner(registry)


def _local(command: Sequence[str], folder: Path) -> list[str]:
    """A command as it is found here: an image has its programs in /app, here they lie beside the pool's file."""
    return [str(folder / Path(word).name) if (folder / Path(word).name).is_file() else word for word in command]


def _import(module: str, folder: Path, pool: WorkerPool, others: Sequence[str]) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise NoHandlers(
                f"the handlers {module!r} of WorkerPool {pool.name!r} need {error.name!r}: {error}"
            ) from error
        if not others:
            raise NoHandlers(
                f"the handlers {module!r} of WorkerPool {pool.name!r} are not in {folder}; write --handlers MODULE"
            ) from None
