"""What a Deployment's number of replicas was, and when: seen by a watch of kubectl's own."""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from e2e.harness import Cluster, Timeout


class ReplicasWatch:
    """Watches from entering to leaving. `seen` are pairs of time.monotonic() and spec.replicas, one for each change."""

    def __init__(self, cluster: Cluster, deployment: str) -> None:
        self.seen: list[tuple[float, int]] = []
        path = 'jsonpath={.spec.replicas}{"\\n"}'
        self._command = ["kubectl", "--kubeconfig", cluster.kubeconfig, "--namespace", cluster.namespace]
        self._command += ["get", "deployment", deployment, "--watch", "-o", path]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def until(self, holds: Callable[[int], bool], after: float, seconds: float) -> float:
        """When the number first was so, at or after a moment."""
        deadline = time.monotonic() + seconds
        while True:
            # The last one before the moment holds at the moment.
            times = [max(at, after) for at, replicas in self._from(after) if holds(replicas)]
            if times:
                return times[0]
            if time.monotonic() > deadline:
                raise Timeout(f"not so within {seconds:g} s; seen: {self.seen[-5:]}")
            time.sleep(0.02)

    @property
    def downs(self) -> int:
        """By how much the number went down, in all: pods that were to go."""
        return sum(max(one - other, 0) for (_, one), (_, other) in itertools.pairwise(self.seen))

    def _from(self, after: float) -> list[tuple[float, int]]:
        before = [pair for pair in self.seen if pair[0] <= after][-1:]
        return before + [pair for pair in self.seen if pair[0] > after]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            replicas = int(line)
            if not self.seen or self.seen[-1][1] != replicas:
                self.seen.append((time.monotonic(), replicas))
