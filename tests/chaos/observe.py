"""What goes on beside the blows, each in a thread: jobs are created, and it is seen who leads and what comes again.

All of it goes through the API server, which may be away: then it waits for that long, and goes on.
"""

from __future__ import annotations

import datetime as dt
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import yaml

from chaos.hands import AWAY, BROKER
from chaos.load import Wanted, due
from e2e.harness import Cluster, samples

_REDELIVERED: Final = "rabbitmq_global_messages_redelivered_total"


class Watcher(ABC):
    """Something that goes on in a thread of its own between `with` and the end of it; `pause` s from look to look."""

    pause = 0.5

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go, name=type(self).__name__)
        self._fault: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.interrupt()
        self._thread.join()
        if self._fault is not None and error is None:
            raise self._fault

    def _go(self) -> None:
        try:
            while not self._over.is_set():
                self.look()
                self._over.wait(self.pause)
        except BaseException as fault:  # noqa: BLE001  raised where the thread is joined
            self._fault = fault

    @abstractmethod
    def look(self) -> None:
        """Look once."""

    def interrupt(self) -> None:  # noqa: B027  most looks are short
        """End a look that takes long."""


class Leaders(Watcher):
    """Watches the Lease. `taken` are the times (seconds since 1970) at which somebody took it."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        (name,) = [o["metadata"]["name"] for o in cluster.objects("leases") if "mcp" in o["metadata"]["name"]]
        text = '{.spec.holderIdentity} {.spec.acquireTime}{"\\n"}'
        self._command = ["kubectl", "--kubeconfig", cluster.kubeconfig, "-n", cluster.namespace]
        self._command += ["get", "lease", name, "--watch", "-o", f"jsonpath={text}"]
        self._process: subprocess.Popen[str] | None = None
        self._taken: dict[float, str] = {}
        self._holder = ""

    def holder(self) -> str:
        """The pod that leads, as far as is known."""
        return self._holder

    @property
    def taken(self) -> list[float]:
        """When somebody took it."""
        return sorted(self._taken)

    def look(self) -> None:
        """Read what the watch says until it ends, as with the API server."""
        with subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as watch:
            self._process = watch
            if self._over.is_set():  # since the last time that it was asked
                watch.terminate()
            assert watch.stdout is not None
            for line in watch.stdout:
                self._see(line.split())

    def interrupt(self) -> None:
        """End the watch."""
        if self._process is not None:
            self._process.terminate()

    def _see(self, words: list[str]) -> None:
        if len(words) == 2:  # else nobody holds it
            self._holder = words[0]
            self._taken[dt.datetime.fromisoformat(words[1]).timestamp()] = words[0]


class Redeliveries(Watcher):
    """Reads how many messages the broker has handed out again; `seen` has what it said, every 5 s where it did."""

    pause = 5

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster
        self.seen: list[float] = []

    def look(self) -> None:
        """Read it once."""
        path = f"/api/v1/namespaces/{self._cluster.namespace}/pods/{BROKER}:15692/proxy/metrics"
        try:
            text = self._cluster.kubectl("get", "--raw", path, "--request-timeout=5s", seconds=8)
        except AWAY:
            text = ""
        if found := samples(text, _REDELIVERED):
            self.seen.append(sum(found.values()))


class Submission(Watcher):
    """Creates jobs at a steady rate, and makes up for what could not be created in time."""

    pause = 2

    def __init__(self, cluster: Cluster, jobs: Sequence[Wanted], seconds: float) -> None:
        super().__init__()
        self._cluster, self._jobs, self._seconds = cluster, jobs, seconds
        self._began = time.monotonic()
        self.created = 0

    @property
    def over(self) -> bool:
        """Whether all are created."""
        return self.created == len(self._jobs)

    def look(self) -> None:
        """Create those that are due now."""
        number = due(self.created, len(self._jobs), time.monotonic() - self._began, self._seconds)
        # Not all at once that an API server that was away has missed.
        batch = self._jobs[self.created : self.created + min(number, 50)]
        if batch and self._create(batch):
            self.created += len(batch)

    def _create(self, batch: Sequence[Wanted]) -> bool:
        """Whether all of these are there now. To apply one that is there already changes nothing."""
        manifests = yaml.safe_dump_all(job.manifest() for job in batch)
        arguments = ("apply", "--validate=false", "--request-timeout=10s", "-f", "-")
        try:
            self._cluster.kubectl(*arguments, stdin=manifests, seconds=30)
        except AWAY:
            return False
        return True
