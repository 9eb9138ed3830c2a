"""A kind cluster with the chart, KEDA and a Prometheus that reads the operator's metrics. The cluster stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from e2e import building
from e2e.harness import HELM, Cluster, Object, pool, run, wait_for, workflow

NAME = os.environ.get("MCP_CLUSTER", "mcp-keda")
MONITORING = "monitoring"
POOL = "payments"


def _prometheus(image: str, target: str) -> list[Object]:
    """As a user has it who scrapes the operator: with the address that the how-to names."""
    config = {
        "scrape_configs": [{"job_name": "mcp", "scrape_interval": "5s", "static_configs": [{"targets": [target]}]}]
    }
    meta: Object = {"name": "prometheus", "namespace": MONITORING, "labels": {"app": "prometheus"}}
    container = {
        "name": "prometheus",
        "image": image,
        "args": ["--config.file=/config/prometheus.yml", "--storage.tsdb.path=/data"],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/config"}, {"name": "data", "mountPath": "/data"}],
    }
    volumes = [{"name": "config", "configMap": {"name": "prometheus"}}, {"name": "data", "emptyDir": {}}]
    spec = {"containers": [container], "volumes": volumes, "securityContext": {"fsGroup": 65532}}
    service = {"selector": {"app": "prometheus"}, "ports": [{"port": 9090}]}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": MONITORING}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"prometheus.yml": yaml.safe_dump(config)}},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service},
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec},
    ]


def _apply(cluster: Cluster, text: str) -> None:
    """Objects of several namespaces."""
    run(
        ["kubectl", "--kubeconfig", cluster.kubeconfig, "apply", "--server-side", "--force-conflicts", "-f", "-"],
        stdin=text,
    )


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """All of it, ready."""
    *theirs, manifest = building.hack(NAME, "keda").splitlines()
    images = [*building.images(NAME), *theirs]
    kubeconfig = building.hack(NAME, "cluster", "up").splitlines()[-1]
    building.hack(NAME, "cluster", "load", *images)
    cluster = Cluster(kubeconfig, node=f"{NAME}-control-plane")
    building.install(kubeconfig)
    _apply(cluster, Path(manifest).read_text())
    cluster.kubectl("delete", "pod", "prometheus", "-n", MONITORING, "--ignore-not-found", "--now")
    _apply(cluster, yaml.safe_dump_all(_prometheus(theirs[-1], f"mcp-operator.{cluster.namespace}.svc:8080")))
    for deployment in ("keda-operator", "keda-metrics-apiserver"):
        cluster.kubectl("rollout", "status", f"deployment/{deployment}", "-n", "keda", "--timeout=300s", seconds=310)
    cluster.kubectl("wait", "pod/prometheus", "-n", MONITORING, "--for=condition=Ready", "--timeout=60s")
    return cluster


@pytest.fixture
def payments(cluster: Cluster) -> Iterator[Cluster]:
    """A pool that somebody else scales, without a worker, and a workflow for it."""
    cluster.apply(workflow(POOL, {"name": "one", "pool": POOL, "timeoutSeconds": 600}))
    cluster.apply(pool(POOL, grace=60, replicas=0, maxReplicas=10, autoscaling={"enabled": False}))
    wait_for("the pool's Deployment", 60, lambda: f"mcp-worker-{POOL}" in cluster.kubectl("get", "deployments"))
    yield cluster
    cluster.kubectl("delete", "scaledobject", POOL, "--ignore-not-found")
    for kind in ("mcpjobs", "mcpworkerpools", "mcpworkflows"):
        cluster.kubectl("delete", kind, "--all", "--wait=false")
    run([str(HELM), "--kubeconfig", cluster.kubeconfig, "uninstall", "mcp"], seconds=180)
