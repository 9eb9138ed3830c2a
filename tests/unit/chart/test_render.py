"""What is rendered, over the values that change its shape."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "mcp"

Manifests = list[dict[str, Any]]
Render = Callable[..., Manifests]
Helm = Callable[..., "subprocess.CompletedProcess[str]"]

EXTERNAL = ("rabbitmq.enabled=false", "rabbitmq.external.existingSecret=broker")
AXES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("scope=namespace",), ("scope=cluster",)),
    (("operator.replicas=1",), ("operator.replicas=2",)),
    (("rabbitmq.replicas=1",), ("rabbitmq.replicas=3", "rabbitmq.persistence.enabled=false"), EXTERNAL),
    (
        ("networkPolicy.enabled=true", "crds.install=true"),
        ("networkPolicy.enabled=false", "crds.install=false", "metrics.serviceMonitor.enabled=true"),
    ),
)
MATRIX = [tuple(itertools.chain(*choice)) for choice in itertools.product(*AXES)]


def find(manifests: Manifests, kind: str, name: str) -> dict[str, Any]:
    return next(m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name)


def names(manifests: Manifests) -> set[str]:
    return {f"{m['kind']}/{m['metadata']['name']}" for m in manifests}


def pod_specs(manifests: Manifests) -> list[dict[str, Any]]:
    templates = [m["spec"]["template"]["spec"] for m in manifests if m["kind"] in {"Deployment", "StatefulSet"}]
    return templates + [m["spec"] for m in manifests if m["kind"] == "Pod"]


def rules(manifests: Manifests) -> list[dict[str, Any]]:
    return [rule for m in manifests if m["kind"] in {"Role", "ClusterRole"} for rule in m["rules"]]


def test_helm_lint_finds_nothing(helm: Helm) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART)).stdout


@pytest.mark.parametrize("values", MATRIX, ids=",".join)
def test_every_combination_renders_objects_that_agree(values: tuple[str, ...], render: Render) -> None:
    manifests = render(*values)
    found = names(manifests)
    assert len(found) == len(manifests), "two objects of one name"
    assert ("StatefulSet/demo-rabbitmq" in found) == (EXTERNAL[0] not in values)
    assert ("Secret/demo-rabbitmq" in found) == (EXTERNAL[0] not in values)
    assert ("ClusterRole/where-demo-operator" in found) == ("scope=cluster" in values)
    assert ("Role/demo-operator" in found) == ("scope=namespace" in values)
    assert ("PodDisruptionBudget/demo-operator" in found) == ("operator.replicas=2" in values)
    assert ("PodDisruptionBudget/demo-rabbitmq" in found) == ("rabbitmq.replicas=3" in values)
    assert ("NetworkPolicy/demo-operator" in found) == ("networkPolicy.enabled=true" in values)
    assert ("CustomResourceDefinition/mcpjobs.mastercontrol.dev" in found) == ("crds.install=true" in values)
    assert ("ServiceMonitor/demo-operator" in found) == ("crds.install=false" in values)
    for manifest in manifests:
        if manifest["kind"] not in {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}:
            assert manifest["metadata"]["namespace"] == "where"
        assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == "demo"
        if manifest["kind"] == "Service":
            assert_a_service_reaches_its_pods(manifest, manifests)
    for workload in (m for m in manifests if m["kind"] in {"Deployment", "StatefulSet"}):
        assert workload["spec"]["selector"]["matchLabels"] == workload["spec"]["template"]["metadata"]["labels"]


def assert_a_service_reaches_its_pods(service: dict[str, Any], manifests: Manifests) -> None:
    workloads = [m["spec"]["template"] for m in manifests if m["kind"] in {"Deployment", "StatefulSet"}]
    chosen = [t["spec"] for t in workloads if service["spec"]["selector"].items() <= t["metadata"]["labels"].items()]
    assert len(chosen) == 1
    ports = {port["name"] for port in chosen[0]["containers"][0]["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


@pytest.mark.parametrize("scope", ["namespace", "cluster"])
def test_the_operator_has_no_more_rights_than_it_needs(scope: str, render: Render) -> None:
    granted: dict[str, set[str]] = {}
    for rule in rules(render(f"scope={scope}")):
        assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]
        for resource in rule["resources"]:
            granted.setdefault(resource, set()).update(rule["verbs"])
    assert granted["secrets"] == {"create", "patch"}
    assert granted["poddisruptionbudgets"] == {"get", "create", "patch", "delete"}
    assert granted["mcpjobs"] == {"get", "list", "watch", "create", "patch", "delete"}
    for resource in ("mcpworkflows", "mcpschedules"):
        assert granted[resource] == {"get", "list", "watch"}
    assert granted["mcpworkerpools"] == {"get", "list", "watch", "patch"}
    for resource in ("mcpjobs", "mcpworkflows", "mcpworkerpools", "mcpschedules"):
        assert granted[f"{resource}/status"] == {"patch"}
    assert not {"pods/exec", "pods/log", "pods/attach", "serviceaccounts", "roles"} & set(granted)
    for resource in ("leases", "configmaps"):
        assert granted[resource] == {"create", "get", "patch"}


def test_the_operator_reads_no_lease_and_no_configmap_but_its_own(render: Render) -> None:
    manifests = render()
    env = operator_env(manifests)
    for rule in rules(manifests):
        for resource, variable in (("leases", "MCP_LEASE_NAME"), ("configmaps", "MCP_EPOCH_CONFIGMAP")):
            if resource in rule["resources"] and rule["verbs"] != ["create"]:
                assert rule["resourceNames"] == [env[variable]]


def operator_env(manifests: Manifests) -> dict[str, Any]:
    container = find(manifests, "Deployment", "demo-operator")["spec"]["template"]["spec"]["containers"][0]
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container["env"]}


def test_the_operator_watches_what_its_scope_says(render: Render) -> None:
    assert operator_env(render("scope=namespace"))["MCP_NAMESPACES"] == "where"
    assert operator_env(render("scope=cluster"))["MCP_NAMESPACES"] == ""


@pytest.mark.parametrize(("values", "secret"), [((), "demo-rabbitmq"), (EXTERNAL, "broker")], ids=["own", "external"])
def test_the_operator_gets_its_credentials_from_a_secret(values: tuple[str, ...], secret: str, render: Render) -> None:
    env = operator_env(render(*values))
    assert env["MCP_AMQP_URL"] == {"secretKeyRef": {"name": secret, "key": "amqp-url"}}
    assert env["MCP_MANAGEMENT_URL"] == {"secretKeyRef": {"name": secret, "key": "management-url"}}


def test_the_operator_is_not_process_1_which_would_not_hear_a_signal_before_it_listens(render: Render) -> None:
    assert find(render(), "Deployment", "demo-operator")["spec"]["template"]["spec"]["shareProcessNamespace"] is True


def test_every_pod_is_restricted_and_has_a_read_only_root(render: Render) -> None:
    specs = pod_specs(render("rabbitmq.replicas=3"))
    assert len(specs) == 3
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_pods_go_where_the_values_say(render: Render) -> None:
    values = [f"{part}.{value}" for part in ("operator", "rabbitmq") for value in ("nodeSelector.disk=ssd",)]
    more = ("operator.tolerations[0].key=gpu", "rabbitmq.priorityClassName=high", "imagePullSecrets[0]=registry")
    check, operator, broker = sorted(pod_specs(render(*values, *more)), key=lambda s: str(s["containers"][0]["name"]))
    for spec in (check, operator, broker):
        assert spec["nodeSelector"] == {"disk": "ssd"}
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert operator["tolerations"] == check["tolerations"] == [{"key": "gpu"}]
    assert broker["priorityClassName"] == "high"
    assert "tolerations" not in broker


def test_rabbitmq_gets_no_token_of_the_api_server(render: Render) -> None:
    stateful = find(render(), "StatefulSet", "demo-rabbitmq")
    assert stateful["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_rabbitmq_knows_its_user_from_the_definitions_and_the_urls_agree(render: Render) -> None:
    secret = find(render("rabbitmq.auth.password=correct-horse-battery"), "Secret", "demo-rabbitmq")["stringData"]
    definitions = json.loads(secret["definitions.json"])
    assert definitions["users"] == [
        {"name": "mcp-operator", "password": "correct-horse-battery", "tags": ["administrator"]}
    ]
    credentials = "mcp-operator:correct-horse-battery"
    assert secret["amqp-url"] == f"amqp://{credentials}@demo-rabbitmq.where.svc:5672/%2F"
    assert secret["management-url"] == f"http://{credentials}@demo-rabbitmq.where.svc:15672"


def test_a_generated_password_is_the_same_everywhere_in_one_release(render: Render) -> None:
    manifests = render()
    secret = find(manifests, "Secret", "demo-rabbitmq")["stringData"]
    assert len(secret["password"]) == 32
    assert secret["password"] in secret["amqp-url"]
    assert secret["password"] in secret["definitions.json"]
    digests = {
        m["spec"]["template"]["metadata"]["annotations"]["mastercontrol.dev/broker-credentials"]
        for m in manifests
        if m["kind"] in {"Deployment", "StatefulSet"}
    }
    assert len(digests) == 1


def test_three_nodes_find_each_other_by_the_names_that_they_have(render: Render) -> None:
    manifests = render("rabbitmq.replicas=3")
    stateful = find(manifests, "StatefulSet", "demo-rabbitmq")["spec"]
    env = {e["name"]: e.get("value") for e in stateful["template"]["spec"]["containers"][0]["env"]}
    own = [env["RABBITMQ_NODENAME"].replace("$(POD_NAME)", f"demo-rabbitmq-{i}") for i in range(3)]
    conf = find(manifests, "ConfigMap", "demo-rabbitmq")["data"]["rabbitmq.conf"].splitlines()
    listed = [line.split(" = ")[1] for line in conf if line.startswith("cluster_formation.classic_config.nodes.")]
    assert listed == own
    assert own[0] == f"rabbit@demo-rabbitmq-0.{stateful['serviceName']}.where.svc"
    assert find(manifests, "Service", stateful["serviceName"])["spec"]["publishNotReadyAddresses"] is True
    assert stateful["podManagementPolicy"] == "Parallel"


def test_only_workers_and_the_operator_reach_rabbitmq(render: Render) -> None:
    ingress = find(render(), "NetworkPolicy", "demo-rabbitmq")["spec"]["ingress"]
    sources = {
        port["port"]: [rule.get("from") for rule in ingress if port in rule["ports"]]
        for rule in ingress
        for port in rule["ports"]
    }
    operator, workers = sources["amqp"]
    assert sources["management"] == [operator]
    assert workers == [{"podSelector": {"matchExpressions": [{"key": "mastercontrol.dev/pool", "operator": "Exists"}]}}]
    everywhere = find(render("scope=cluster"), "NetworkPolicy", "demo-rabbitmq")["spec"]["ingress"][1]["from"]
    assert everywhere == [{**workers[0], "namespaceSelector": {}}]


def test_the_crds_are_those_of_the_tree_and_kept_on_uninstall(render: Render) -> None:
    rendered = {m["metadata"]["name"]: m for m in render() if m["kind"] == "CustomResourceDefinition"}
    files = sorted((ROOT / "crds").glob("*.yaml"))
    assert len(rendered) == len(files)
    for file in files:
        crd = yaml.safe_load(file.read_text(encoding="utf-8"))
        ours = rendered[crd["metadata"]["name"]]
        assert ours["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert ours["spec"] == crd["spec"]


def test_a_packaged_chart_holds_the_crds(helm: Helm, tmp_path: Path) -> None:
    helm("package", str(CHART), "--destination", str(tmp_path))
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as package:
        for file in (ROOT / "crds").glob("*.yaml"):
            packed = package.extractfile(f"mcp/files/crds/{file.name}")
            assert packed is not None
            assert packed.read() == file.read_bytes()


def test_the_charts_version_of_the_operator_is_that_of_the_tree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    source = (ROOT / "operator" / "mastercontrol" / "__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{chart["appVersion"]}"' in source


def test_the_image_without_a_tag_is_that_of_the_charts_version(render: Render) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    for values, image in (
        ((), f"mastercontrol-operator:{chart['appVersion']}"),
        (("operator.image.repository=registry.example/op", "operator.image.tag=dev"), "registry.example/op:dev"),
    ):
        manifests = render(*values)
        specs = (
            find(manifests, "Deployment", "demo-operator")["spec"]["template"]["spec"],
            find(manifests, "Pod", "demo-check")["spec"],
        )
        assert {spec["containers"][0]["image"] for spec in specs} == {image}


def test_the_generated_reference_pages_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
