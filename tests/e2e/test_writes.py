"""What the operator costs the API server, counted from the server's own metrics."""

from __future__ import annotations

import time

from e2e.harness import Cluster, wait_while

WRITES = ("POST", "PUT", "PATCH", "DELETE", "APPLY")
OURS = (
    "mcpjobs",
    "mcpworkflows",
    "mcpworkerpools",
    "controllerrevisions",
    "deployments",
    "secrets",
    "configmaps",
)


def _writes(cluster: Cluster) -> dict[str, float]:
    """Writes so far, by resource; leases are counted by their holder elsewhere."""
    counted = dict.fromkeys(OURS, 0.0)
    for labels, value in cluster.api_metric("apiserver_request_total").items():
        fields = dict(part.split("=", 1) for part in labels.strip("{}").replace('"', "").split(",") if "=" in part)
        if fields["resource"] in counted and fields["verb"] in WRITES:
            counted[fields["resource"]] += value
    return counted


def _goes_on(cluster: Cluster) -> object:
    """The workers, those on their way out included; without any, the writes of 10 seconds. Empty at rest."""
    workers = [pod["metadata"]["name"] for pod in cluster.objects("pods", "mastercontrol.dev/pool")]
    if workers:
        return workers
    before = _writes(cluster)
    time.sleep(10)
    return {kind: number - before[kind] for kind, number in _writes(cluster).items() if number != before[kind]}


def test_an_idle_operator_writes_nothing_but_its_lease(cluster: Cluster) -> None:
    wait_while("work", 180, lambda: _goes_on(cluster))
    before, lease = _writes(cluster), cluster.get("lease", "mcp-operator")["metadata"]["resourceVersion"]
    time.sleep(30)
    assert _writes(cluster) == before
    assert cluster.get("lease", "mcp-operator")["metadata"]["resourceVersion"] != lease


def test_a_job_of_k_steps_costs_k_plus_one_writes_after_its_creation(cluster: Cluster) -> None:
    wait_while("work", 180, lambda: _goes_on(cluster))
    before = _writes(cluster)["mcpjobs"]
    names = [cluster.job("chain", {}) for _ in range(10)]
    cluster.wait_jobs(names, 120)
    time.sleep(2)
    spent = _writes(cluster)["mcpjobs"] - before
    creations, transitions = len(names), 3 + 1
    print(f"{len(names)} jobs of 3 steps: {spent:.0f} writes")
    # kubectl apply of an object that is not there is one POST.
    assert spent == creations + len(names) * transitions
