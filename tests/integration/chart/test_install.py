"""The chart against a real API server: it takes every manifest, and an upgrade keeps what must be kept.

There are no nodes here, so nothing runs. That the network policies are enforced depends on the cluster's network and
is not tested; that the API server takes them is.
"""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHART = str(Path(__file__).parents[3] / "charts" / "mcp")
Run = Callable[..., "subprocess.CompletedProcess[str]"]

# One owner of the CRDs in a cluster: these tests share the API server with others, so most leave the CRDs out.
NO_CRDS = ("--set", "crds.install=false")

AXES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("scope=namespace",), ("scope=cluster",)),
    (("operator.replicas=2", "rabbitmq.replicas=3"), ("rabbitmq.enabled=false", "rabbitmq.external.existingSecret=b")),
    (("crds.install=true",), ("crds.install=false", "networkPolicy.enabled=false")),
)
MATRIX = [tuple(itertools.chain(*choice)) for choice in itertools.product(*AXES)] + [()]


def secret(kubectl: Run, namespace: str, name: str = "mcp-rabbitmq") -> dict[str, str]:
    data = json.loads(kubectl("-n", namespace, "get", "secret", name, "-o", "json").stdout)["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def pod_annotations(kubectl: Run, namespace: str, target: str) -> dict[str, str]:
    found = json.loads(kubectl("-n", namespace, "get", target, "-o", "json").stdout)
    result: dict[str, str] = found["spec"]["template"]["metadata"]["annotations"]
    return result


@pytest.mark.parametrize("values", MATRIX, ids=lambda values: ",".join(values) or "defaults")
def test_the_api_server_takes_every_manifest_strictly_and_without_a_warning(
    values: tuple[str, ...], helm: Run, kubectl: Run, namespace: str
) -> None:
    options = [option for value in values for option in ("--set", value)]
    manifests = helm("template", "mcp", CHART, "-n", namespace, *options).stdout
    kubectl("-n", namespace, "create", "serviceaccount", "mcp-operator")  # a dry run makes none for the pod after it
    apply = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-")
    done = kubectl("-n", namespace, *apply, stdin=manifests)
    assert "deployment.apps/mcp-operator serverside-applied" in done.stdout
    warnings = [line for line in done.stderr.splitlines() if "version difference" not in line]
    assert warnings == []


def test_an_install_says_the_next_commands(helm: Run, namespace: str) -> None:
    notes = helm("install", "mcp", CHART, "-n", namespace, *NO_CRDS).stdout
    assert f"kubectl -n {namespace} rollout status deployment/mcp-operator" in notes
    assert f"kubectl -n {namespace} apply -f examples/relay" in notes
    assert f"kubectl -n {namespace} get mcpjobs --watch" in notes
    assert f"helm -n {namespace} test mcp" in notes
    assert "RabbitMQ's data stays too" in notes


def test_an_upgrade_keeps_the_passwords_and_restarts_nothing(helm: Run, kubectl: Run, namespace: str) -> None:
    helm("install", "mcp", CHART, "-n", namespace, *NO_CRDS)
    before = secret(kubectl, namespace)
    pods = {
        target: pod_annotations(kubectl, namespace, target) for target in ("deploy/mcp-operator", "sts/mcp-rabbitmq")
    }
    helm("upgrade", "mcp", CHART, "-n", namespace, *NO_CRDS, "--set", "operator.replicas=2")
    helm("upgrade", "mcp", CHART, "-n", namespace, "--reuse-values")
    assert secret(kubectl, namespace) == before
    assert {target: pod_annotations(kubectl, namespace, target) for target in pods} == pods
    values = helm("get", "values", "mcp", "-n", namespace, "-o", "json").stdout
    assert before["password"] not in values


def test_a_new_password_restarts_both_sides(helm: Run, kubectl: Run, namespace: str) -> None:
    helm("install", "mcp", CHART, "-n", namespace, *NO_CRDS)
    pods = {
        target: pod_annotations(kubectl, namespace, target) for target in ("deploy/mcp-operator", "sts/mcp-rabbitmq")
    }
    helm("upgrade", "mcp", CHART, "-n", namespace, *NO_CRDS, "--set", "rabbitmq.auth.password=correct-horse-battery")
    assert secret(kubectl, namespace)["password"] == "correct-horse-battery"
    for target, old in pods.items():
        assert pod_annotations(kubectl, namespace, target) != old


def test_two_releases_share_a_cluster(helm: Run, kubectl: Run, namespace: str) -> None:
    for release in ("one", "two"):
        helm("install", release, CHART, "-n", namespace, *NO_CRDS, "--set", "scope=cluster")
    assert (
        secret(kubectl, namespace, "one-rabbitmq")["password"] != secret(kubectl, namespace, "two-rabbitmq")["password"]
    )
    for release in ("one", "two"):
        helm("uninstall", release, "-n", namespace)


def test_fewer_nodes_are_refused_as_queues_would_lose_their_majority(helm: Run, namespace: str) -> None:
    helm("install", "mcp", CHART, "-n", namespace, *NO_CRDS)
    helm("upgrade", "mcp", CHART, "-n", namespace, *NO_CRDS, "--set", "rabbitmq.replicas=3")
    done = helm("upgrade", "mcp", CHART, "-n", namespace, *NO_CRDS, check=False)
    assert done.returncode != 0
    assert "rabbitmq.replicas can't be lowered" in done.stderr


def test_the_crds_are_upgraded_and_outlive_the_release(helm: Run, kubectl: Run, namespace: str, tmp_path: Path) -> None:
    older = tmp_path / "mcp"
    shutil.copytree(CHART, older)
    file = older / "files" / "crds" / "mcpjobs.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("name: Age", "name: Since"), encoding="utf-8")
    query = ("get", "crd", "mcpjobs.mastercontrol.dev", "-o")
    last_column = "jsonpath={.spec.versions[0].additionalPrinterColumns[-1:].name}"

    # Other tests of this API server may have applied them by kubectl.
    helm("install", "mcp", str(older), "-n", namespace, "--take-ownership", "--force-conflicts")
    assert kubectl(*query, last_column).stdout == "Since"
    helm("upgrade", "mcp", CHART, "-n", namespace)
    assert kubectl(*query, last_column).stdout == "Age"
    helm("uninstall", "mcp", "-n", namespace)
    assert kubectl(*query, last_column).stdout == "Age"
    assert kubectl("-n", namespace, "get", "deploy,sts,secret,role", "-o", "name").stdout == ""
    helm("install", "mcp", CHART, "-n", namespace)  # takes the CRDs that it left behind
    helm("uninstall", "mcp", "-n", namespace)


def can(kubectl: Run, namespace: str, verb: str, resource: str, name: str = "", where: str = "") -> bool:
    """May the operator of `namespace` do that in `where`? A resource may be `plural.group/subresource`."""
    plural, _, subresource = resource.partition("/")
    account = ("--as", f"system:serviceaccount:{namespace}:mcp-operator")
    target = (f"{plural}/{name}" if name else plural, f"--subresource={subresource}")
    done = kubectl("auth", "can-i", verb, *target, *account, "-n", where or namespace, check=False)
    assert done.stdout.strip() in {"yes", "no"}, done.stderr
    return done.stdout.strip() == "yes"


def test_the_rights_of_the_operator_end_at_its_namespace_and_its_own_names(
    helm: Run, kubectl: Run, namespace: str
) -> None:
    helm("install", "mcp", CHART, "-n", namespace, *NO_CRDS)
    assert can(kubectl, namespace, "get", "deployments.apps/scale")
    assert can(kubectl, namespace, "patch", "mcpjobs.mastercontrol.dev/status")
    assert can(kubectl, namespace, "create", "mcpjobs.mastercontrol.dev")
    assert can(kubectl, namespace, "patch", "mcpschedules.mastercontrol.dev/status")
    assert can(kubectl, namespace, "patch", "deployments.apps")
    assert can(kubectl, namespace, "patch", "leases.coordination.k8s.io", "mcp-operator")
    assert can(kubectl, namespace, "patch", "secrets")
    for verb, resource, name in (
        ("get", "secrets", ""),
        ("list", "secrets", ""),
        ("create", "pods/exec", ""),
        ("patch", "leases.coordination.k8s.io", "another"),
        ("get", "configmaps", "another"),
        ("update", "mcpjobs.mastercontrol.dev", ""),
        ("delete", "mcpworkerpools.mastercontrol.dev", ""),
        ("create", "mcpschedules.mastercontrol.dev", ""),
        ("patch", "mcpschedules.mastercontrol.dev", ""),
        ("delete", "deployments.apps", ""),
    ):
        assert not can(kubectl, namespace, verb, resource, name), (verb, resource, name)
    assert not can(kubectl, namespace, "get", "mcpjobs.mastercontrol.dev", where="default")


def test_the_operator_of_a_cluster_may_work_in_every_namespace(helm: Run, kubectl: Run, namespace: str) -> None:
    helm("install", "mcp", CHART, "-n", namespace, *NO_CRDS, "--set", "scope=cluster")
    assert can(kubectl, namespace, "patch", "mcpjobs.mastercontrol.dev/status", where="default")
    assert not can(kubectl, namespace, "get", "configmaps", "mcp-broker-epoch", where="default")
    assert not can(kubectl, namespace, "get", "secrets", where="default")
    helm("uninstall", "mcp", "-n", namespace)


def test_the_check_of_helm_test_is_taken(helm: Run, kubectl: Run, namespace: str) -> None:
    hooks = helm("template", "mcp", CHART, "-n", namespace, "--show-only", "templates/tests/check.yaml").stdout
    kubectl("-n", namespace, "create", "serviceaccount", "mcp-operator")
    made: dict[str, Any] = json.loads(kubectl("-n", namespace, "create", "-f", "-", "-o", "json", stdin=hooks).stdout)
    assert made["spec"]["containers"][0]["args"] == ["check"]
