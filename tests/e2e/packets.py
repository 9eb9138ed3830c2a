"""The packet filter of the cluster's node: what pods send each other is dropped, refused or led astray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from e2e.harness import Cluster, run

Rule = list[str]
"""The words of an iptables command after `-I` or `-D`; the table before them, if it is another than `filter`."""


@contextmanager
def rules(cluster: Cluster, *wanted: Rule, table: str = "filter") -> Iterator[None]:
    """Rules that come before all others, while it is entered."""
    iptables = ["docker", "exec", cluster.node, "iptables", "-w", "-t", table]
    with ExitStack() as stack:
        for rule in wanted:
            run([*iptables, "-I", *rule])
            stack.callback(run, [*iptables, "-D", *rule])
        yield


def address(cluster: Cluster, pod: str) -> str:
    """A pod's IP address."""
    return str(cluster.get("pod", pod)["status"]["podIP"])
