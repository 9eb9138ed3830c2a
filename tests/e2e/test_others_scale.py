"""Somebody else scales a pool: `kubectl scale`, and the HorizontalPodAutoscaler with the manifest of the how-to."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.harness import Cluster, job, pool, wait_for, workflow
from e2e.manifests import manifest

NAME = "payments"
ADAPTER = "external-metrics"
API = "v1beta1.external.metrics.k8s.io"


def wanted(cluster: Cluster) -> int:
    return int(cluster.get("deployment", f"mcp-worker-{NAME}")["spec"]["replicas"])


@pytest.fixture
def payments(cluster: Cluster) -> Iterator[Cluster]:
    """A pool that does not scale itself, and a workflow for it."""
    cluster.apply(pool(NAME, grace=60, replicas=1, autoscaling={"enabled": False}))
    cluster.apply(workflow(NAME, {"name": "one", "pool": NAME}))
    wait_for("one worker", 60, lambda: len(cluster.workers(NAME)) == 1)
    yield cluster
    cluster.kubectl("delete", "hpa", NAME, "--ignore-not-found")
    cluster.kubectl("delete", "mcpworkerpool", NAME, "--wait=false")


@pytest.fixture
def adapter(cluster: Cluster, tmp_path: Path) -> Iterator[None]:
    """External metrics, from the operator's own page.

    The API server checks its certificate. Until kube-proxy knows a new Service, a packet to its address leaves the
    node, and a network that has an answer for every address (a transparent proxy) answers. An API server that checks
    nothing keeps that connection and asks the stranger from then on.
    """
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.crt"
    host = f"{ADAPTER}.{cluster.namespace}.svc"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={host}"]
    files = ["-addext", f"subjectAltName=DNS:{host}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    cluster.kubectl("create", "secret", "tls", ADAPTER, f"--key={key}", f"--cert={certificate}")
    url = f"http://mcp-operator.{cluster.namespace}.svc:8080/metrics"
    container = {
        "name": "adapter",
        "image": "mastercontrol-e2e:dev",
        "command": ["python3", "/app/external_metrics.py"],
        "env": [{"name": "METRICS_URL", "value": url}],
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
        "readinessProbe": {"tcpSocket": {"port": 6443}, "periodSeconds": 1},
    }
    volumes = [{"name": "tls", "secret": {"secretName": ADAPTER}}]
    meta = {"name": ADAPTER, "labels": {"app": ADAPTER}}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], "volumes": volumes}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": {"app": ADAPTER}, "ports": [{"port": 443, "targetPort": 6443}]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": API},
            "spec": {
                "group": "external.metrics.k8s.io",
                "version": "v1beta1",
                "service": {"name": ADAPTER, "namespace": cluster.namespace},
                "caBundle": base64.b64encode(certificate.read_bytes()).decode(),
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    )
    cluster.kubectl("wait", "pod", ADAPTER, "--for=condition=Ready", "--timeout=60s")
    cluster.kubectl("wait", "apiservice", API, "--for=condition=Available", "--timeout=60s")
    yield
    cluster.kubectl("delete", "apiservice", API)
    cluster.kubectl("delete", f"pod/{ADAPTER}", f"service/{ADAPTER}", f"secret/{ADAPTER}", "--wait=false")


def test_kubectl_scale_sets_the_number_of_workers(payments: Cluster) -> None:
    payments.kubectl("scale", "mcpworkerpool", NAME, "--replicas", "3")
    wait_for("three workers", 60, lambda: wanted(payments) == 3 and len(payments.workers(NAME)) == 3)
    payments.kubectl("scale", "mcpworkerpool", NAME, "--replicas", "0")
    wait_for("no worker", 60, lambda: wanted(payments) == 0)


@pytest.mark.usefixtures("adapter")
def test_a_horizontal_pod_autoscaler_follows_the_backlog(payments: Cluster) -> None:
    payments.apply(manifest("hpa"))
    names = [f"{NAME}-{number}" for number in range(3)]
    payments.apply(*(job(name, NAME, {"sleepSeconds": 45}) for name in names))
    try:
        wait_for("three workers by the autoscaler", 120, lambda: wanted(payments) == 3)
    except AssertionError:
        print(payments.kubectl("describe", "hpa", NAME))
        raise
    statuses = payments.wait_jobs(names, 180)
    assert {status["phase"] for status in statuses.values()} == {"Succeeded"}


def test_the_manifest_for_keda_names_a_pool_and_a_metric_that_there_are(payments: Cluster) -> None:
    """KEDA itself is run by `make keda`; here it is looked whether what it asks for is there."""
    scaled = manifest("keda")["spec"]
    target = scaled["scaleTargetRef"]
    group, _, version = target["apiVersion"].partition("/")
    raw = payments.kubectl(
        "get", "--raw", f"/apis/{group}/{version}/namespaces/{payments.namespace}/mcpworkerpools/{NAME}/scale"
    )
    assert '"kind":"Scale"' in raw
    query = scaled["triggers"][0]["metadata"]["query"]
    found = re.fullmatch(r'sum\((\w+)\{namespace="shop",pool="payments"\}\)', query)
    assert found is not None
    labels = f'{{namespace="{payments.namespace}",pool="{NAME}"}}'
    wait_for("a sample", 30, lambda: labels in payments.operator_metric(found[1]))
