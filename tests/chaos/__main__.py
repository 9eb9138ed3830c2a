"""`python -m chaos`: chaos on a kind cluster of its own, made if it is not there. Exit code 1 with faults.

The cluster is MCP_CLUSTER, or `mcp-chaos`. It stays, so that the next run is faster.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from chaos import plan
from chaos.load import CHAINS
from chaos.run import VALUES, Options, chaos
from e2e import building
from e2e.harness import ROOT, Cluster

CACHE = Path(os.environ.get("MCP_CACHE") or ROOT / ".cache")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is not there, run, and print; the exit code."""
    given = _arguments(arguments)
    options = Options(
        jobs=given.jobs,
        seconds=given.minutes * 60,
        seed=given.seed,
        gap=given.gap,
        mix=given.mix,
        chains=given.chains,
        parts=given.parts,
        rest_seconds=given.rest_minutes * 60,
    )
    if given.plan:
        for part in options.split():
            print(f"seed {part.seed}", *plan.make(part.seed, part.seconds, part.gap, part.mix), sep="\n")
        return 0
    folder = CACHE / "chaos" / str(options.seed)
    outcome = chaos(_installed(os.environ.get("MCP_CLUSTER") or "mcp-chaos"), options, folder, _say)
    print("\n".join(outcome.lines))
    for fault in outcome.faults:
        print(f"FAULT {fault}")
    print(f"{len(outcome.faults)} faults; the logs are in {folder}. Again: SEED={options.seed} and the same figures")
    return 1 if outcome.faults else 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chaos", description="Kill everything while jobs flow, and judge what is left."
    )
    parser.add_argument("--jobs", type=int, default=300, help="how many jobs come, evenly over the time")
    parser.add_argument("--minutes", type=float, default=10, help="how long things are hit")
    parser.add_argument("--seed", type=int, default=None, help="what the plan is made from; without it a new one")
    parser.add_argument("--gap", type=float, default=8, help="seconds from one blow to the next, on average")
    parser.add_argument(
        "--mix", type=plan.Mix, choices=list(plan.Mix), default=plan.Mix.ALL, help="how often what happens"
    )
    parser.add_argument("--chains", type=int, default=CHAINS, help="chains of five steps for each job of an example")
    parser.add_argument("--parts", type=int, default=1, help="in so many runs, with a seed each")
    parser.add_argument("--rest-minutes", type=float, default=15, help="how long the jobs may take to end afterwards")
    parser.add_argument("--plan", action="store_true", help="print the plan, and do nothing")
    given = parser.parse_args(arguments)
    if given.seed is None:
        given.seed = secrets.randbelow(1_000_000)
    return given


def _installed(name: str) -> Cluster:
    """The cluster of that name with the images of this tree and the chart."""
    images = building.images(name)
    os.environ.setdefault("MCP_RESTART_PERIOD", "1s")  # else the kubelet soon keeps away what dies often
    kubeconfig = building.hack(name, "cluster", "up").splitlines()[-1]
    changed = building.hack(name, "cluster", "load", *images)
    cluster = Cluster(kubeconfig, node=f"{name}-control-plane")
    building.install(kubeconfig, *VALUES)
    if changed:
        # A tag says nothing of the content: pods of an earlier run have the image that they began with.
        cluster.kubectl("delete", "pods", "--all", "--wait=false")
    cluster.rollout("statefulset", "mcp-rabbitmq")
    cluster.rollout("deployment", "mcp-operator")
    return cluster


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
