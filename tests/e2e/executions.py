"""What workers executed, read from the logs of all pods of a pool, those that are gone included."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from chaos.node import Node
from e2e.harness import Cluster
from recording.recorder import EXECUTED


class Executions:
    """Of one pool. `dispatches` tells after the end."""

    def __init__(self, cluster: Cluster, pods: str) -> None:
        self._cluster, self._pods, self._node = cluster, pods, Node(cluster.node)
        self._names: dict[str, str] = {}
        self._found: list[tuple[str, str]] = []

    def begin(self, seconds: float) -> None:
        """Keep the logs from now on, for so long at most."""
        self._node.keep_logs(self._cluster.namespace, seconds)

    def end(self) -> None:
        """Read what was kept."""
        self._names = {job["metadata"]["uid"]: job["metadata"]["name"] for job in self._cluster.objects("mcpjobs")}
        time.sleep(3)  # the last lines are kept too
        self._node.forget_logs()
        self._found = EXECUTED.findall(self._node.kept_logs(self._pods))

    def dispatches(self, jobs: Collection[str]) -> Counter[str]:
        """How often each dispatch of these jobs was executed, by its idempotency key.

        Others' are not counted: pods of an earlier test may be there still.
        """
        return Counter(key for key, uid in self._found if self._names.get(uid) in jobs)

    def first_dispatches(self, jobs: Collection[str]) -> Counter[str]:
        """What `dispatches` is where each job has one step, and that was executed once."""
        return Counter({f"{uid}:1:1": 1 for uid, name in self._names.items() if name in jobs})


@contextmanager
def executions(cluster: Cluster, pods: str, seconds: float) -> Iterator[Executions]:
    """Executions from entering to leaving, by pods whose names begin so."""
    found = Executions(cluster, pods)
    found.begin(seconds)
    try:
        yield found
    finally:
        found.end()
