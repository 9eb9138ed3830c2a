"""Runs of a load under a policy, and what came out as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from autoscaling.keda import Keda, KedaSettings
from autoscaling.loads import Load
from autoscaling.pool import OperatorPool
from autoscaling.site import Pods, Site, Ways
from autoscaling.tally import Tally
from autoscaling.timeline import Timeline
from mastercontrol.pools.settings import PoolSettings

MOST = 50
"""maxReplicas and maxReplicaCount."""

SAMPLES = 300
"""Points of a curve."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A way to scale: `place` puts it at a site."""

    name: str
    place: Callable[[Site], object]


def pool_policy(name: str, settings: PoolSettings | None = None, **autoscaling: Any) -> Policy:
    """The operator's own, with these fields of `spec.autoscaling`."""
    return Policy(name, lambda site: OperatorPool(site, {"maxReplicas": MOST, "autoscaling": autoscaling}, settings))


def keda_policy(name: str, *, target: float = 1.0, counts_unacknowledged: bool = True) -> Policy:
    """KEDA with the HPA."""
    settings = KedaSettings(target, MOST, counts_unacknowledged=counts_unacknowledged)
    return Policy(name, lambda site: Keda(site, settings))


OURS = pool_policy("MCP")
KEDA_HTTP = keda_policy("KEDA http")
KEDA_AMQP = keda_policy("KEDA amqp", counts_unacknowledged=False)
POLICIES = (OURS, KEDA_HTTP, KEDA_AMQP)


def run(load: Load, policy: Policy, seed: int, pods: Pods | None = None) -> Tally:
    """One run, from a pool without workers to `AFTERWARDS` after the last step."""
    timeline = Timeline()
    site = Site(timeline, f"{seed} {load.name}", replace(Ways(), start=load.start), pods)
    policy.place(site)
    for arrival in load.arrivals:
        timeline.at(arrival.at, lambda seconds=arrival.seconds: site.publish(seconds))  # type: ignore[misc]
    for i in range(SAMPLES + 1):
        timeline.at(load.duration * i / SAMPLES, site.sample)
    timeline.run(load.duration)
    while site.tally.unfinished and timeline.now < 3 * load.duration:
        timeline.run(timeline.now + 60)  # who is slower is looked at for longer
    site.close()
    return site.tally


HEAD: tuple[tuple[str, ...], ...] = (
    (
        "load",
        "policy",
        "wait mean",
        "p50",
        "p99",
        "replica-h",
        "decisions",
        "changes",
        "busy",
        "killed",
        "again",
        "lost h",
    ),
    ("", "", "s", "s", "s", "", "", "", "pods chosen", "", "steps", ""),
)


def row(load: str, policy: str, tally: Tally) -> tuple[str, ...]:
    """What is shown of a run."""
    return (
        load,
        policy,
        f"{tally.mean_wait():.2f}",
        f"{tally.wait(0.5):.2f}",
        f"{tally.wait(0.99):.2f}",
        f"{tally.replica_hours:.2f}",
        f"{tally.decisions}",
        f"{tally.changes}",
        f"{tally.chosen}",
        f"{tally.killed}",
        f"{tally.again}",
        f"{tally.lost_seconds / 3600:.2f}",
    )


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Aligned text: the first two columns to the left, numbers to the right."""
    lines = list(rows)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]

    def cells(line: tuple[str, ...]) -> Iterable[str]:
        for i, cell in enumerate(line):
            yield cell.ljust(widths[i]) if i < 2 else cell.rjust(widths[i])  # noqa: PLR2004

    return "\n".join("  ".join(cells(line)).rstrip() for line in lines)
