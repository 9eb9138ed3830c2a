"""The manifests that a WorkerPool becomes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mastercontrol.api.pool import WorkerPool, parse_pool
from mastercontrol.api.values import InvalidObject
from mastercontrol.pools import deployment as manifests
from mastercontrol.pools.podtemplate import TEMPLATE_FIELDS, credentials_digest
from unit.pools.world import pool as raw_pool

URL = "amqp://user:secret@broker/"
CRD = Path(__file__).parents[3] / "crds" / "mcpworkerpools.yaml"


def pool(**template: Any) -> WorkerPool:
    raw = raw_pool(template=template)
    raw["spec"]["template"] = {name: value for name, value in raw["spec"]["template"].items() if value is not None}
    return parse_pool(raw)


def pod(**template: Any) -> dict[str, Any]:
    made = manifests.deployment(pool(**template), URL)["spec"]["template"]
    assert isinstance(made, dict)
    return made


def container(**template: Any) -> dict[str, Any]:
    made = pod(**template)["spec"]["containers"][0]
    assert isinstance(made, dict)
    return made


def env(**template: Any) -> dict[str, Any]:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container(**template)["env"]}


def test_handlers_are_told_to_the_entrypoint() -> None:
    made = container(handlers="shop.orders")
    assert made["args"] == ["--handlers", "shop.orders"]
    assert env(handlers="shop.orders")["MCP_HANDLERS"] == "shop.orders"
    assert "command" not in made


def test_a_command_is_run_by_the_entrypoint_for_each_step() -> None:
    made = container(handlers=None, command=["convert", "-", "png:-"])
    assert made["args"] == ["--exec", "--", "convert", "-", "png:-"]
    assert "command" not in made


def test_an_image_that_is_a_worker_by_itself_is_left_as_it_is() -> None:
    made = container(handlers=None)
    assert not made.keys() & {"args", "command", "livenessProbe", "startupProbe"}
    assert "MCP_QUEUE" in env(handlers=None)


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe"])
def test_the_worker_is_asked_whether_it_has_started_and_whether_it_lives(probe: str) -> None:
    assert container()[probe]["exec"]["command"] == ["mastercontrol-worker", "--healthy"]


def test_a_worker_may_take_an_hour_to_load_what_it_needs() -> None:
    probe = container()["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 3600


def test_the_environment_says_who_the_worker_is() -> None:
    made = env(concurrency=4, gracePeriodSeconds=120)
    assert made["MCP_AMQP_URL"] == {"secretKeyRef": {"name": "mcp-worker-resize", "key": "amqp-url"}}
    assert made["MCP_QUEUE"] == "mcp.pool.shop.resize"
    assert made["MCP_CONCURRENCY"] == "4"
    assert made["MCP_WORKER_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert made["MCP_LOG_FORMAT"] == "json"


def test_the_pod_outlasts_the_workers_grace_so_that_it_can_give_back() -> None:
    assert env(gracePeriodSeconds=120)["MCP_GRACE_SECONDS"] == "120"
    assert pod(gracePeriodSeconds=120)["spec"]["terminationGracePeriodSeconds"] == 130


def test_no_worker_is_process_1_which_would_not_hear_a_signal_before_it_listens() -> None:
    assert pod()["spec"]["shareProcessNamespace"] is True


def test_the_users_environment_comes_after_ours() -> None:
    source = {"secretKeyRef": {"name": "s", "key": "k"}}
    made = env(env=[{"name": "SIZE", "value": "3"}, {"name": "TOKEN", "valueFrom": source}])
    assert made["SIZE"] == "3"
    assert made["TOKEN"] == source
    assert list(made).index("MCP_QUEUE") < list(made).index("SIZE")


def test_the_log_format_may_be_chosen() -> None:
    assert env(env=[{"name": "MCP_LOG_FORMAT", "value": "text"}])["MCP_LOG_FORMAT"] == "text"


@pytest.mark.parametrize("name", ["MCP_AMQP_URL", "MCP_QUEUE", "MCP_CONCURRENCY", "MCP_GRACE_SECONDS", "MCP_HANDLERS"])
def test_the_users_environment_cannot_replace_ours(name: str) -> None:
    with pytest.raises(InvalidObject, match=re.escape("spec.template.env[1].name: ")) as error:
        pod(env=[{"name": "FINE"}, {"name": name, "value": "x"}])
    assert name in str(error.value)


def test_the_pod_passes_the_restricted_standard() -> None:
    made = pod()["spec"]
    assert made["securityContext"]["runAsNonRoot"] is True
    assert made["securityContext"]["runAsUser"] == 10001
    assert made["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    inner = made["containers"][0]["securityContext"]
    assert inner["allowPrivilegeEscalation"] is False
    assert inner["readOnlyRootFilesystem"] is True
    assert inner["capabilities"] == {"drop": ["ALL"]}


def test_another_user_owns_its_volumes_too() -> None:
    made = pod(runAsUser=2000)["spec"]["securityContext"]
    assert (made["runAsUser"], made["runAsGroup"], made["fsGroup"]) == (2000, 2000, 2000)


def test_a_token_is_mounted_only_for_a_named_service_account() -> None:
    assert pod()["spec"]["automountServiceAccountToken"] is False
    named = pod(serviceAccountName="uploader")["spec"]
    assert (named["automountServiceAccountToken"], named["serviceAccountName"]) == (True, "uploader")


def test_volumes_of_each_kind_are_mounted() -> None:
    volumes = [
        {"mountPath": "/data", "claimName": "photos"},
        {"mountPath": "/etc/shop", "configMap": "shop", "readOnly": True},
        {"mountPath": "/keys", "secret": "keys", "name": "keys"},
        {"mountPath": "/scratch", "emptyDir": {"sizeLimit": "1Gi"}},
    ]
    made = pod(volumes=volumes)["spec"]
    assert made["volumes"] == [
        {"name": "volume-0", "persistentVolumeClaim": {"claimName": "photos"}},
        {"name": "volume-1", "configMap": {"name": "shop"}},
        {"name": "keys", "secret": {"secretName": "keys"}},
        {"name": "volume-3", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "mcp-tmp", "emptyDir": {}},
    ]
    assert made["containers"][0]["volumeMounts"] == [
        {"name": "volume-0", "mountPath": "/data"},
        {"name": "volume-1", "mountPath": "/etc/shop", "readOnly": True},
        {"name": "keys", "mountPath": "/keys"},
        {"name": "volume-3", "mountPath": "/scratch"},
        {"name": "mcp-tmp", "mountPath": "/tmp"},
    ]


def test_what_the_user_mounts_at_tmp_takes_the_place_of_ours() -> None:
    made = pod(volumes=[{"mountPath": "/tmp/", "claimName": "big"}])["spec"]
    assert [mount["name"] for mount in made["containers"][0]["volumeMounts"]] == ["volume-0"]


@pytest.mark.parametrize("volume", [{"mountPath": "/x"}, {"mountPath": "/x", "secret": "a", "configMap": "b"}])
def test_a_volume_has_one_source(volume: dict[str, Any]) -> None:
    with pytest.raises(InvalidObject, match=r"spec.template.volumes\[0\]: write exactly one of"):
        pod(volumes=[volume])


def test_the_rest_of_the_template_is_passed_on() -> None:
    given = {
        "imagePullPolicy": "Never",
        "imagePullSecrets": ["registry"],
        "envFrom": [{"secretRef": {"name": "all"}}],
        "resources": {"limits": {"memory": "1Gi"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "labels": {"team": "media"},
        "annotations": {"note": "x"},
    }
    made = pod(**given)
    inner = made["spec"]["containers"][0]
    assert inner["imagePullPolicy"] == "Never"
    assert inner["envFrom"] == given["envFrom"]
    assert inner["resources"] == given["resources"]
    assert made["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert made["spec"]["nodeSelector"] == given["nodeSelector"]
    assert made["spec"]["tolerations"] == given["tolerations"]
    assert made["metadata"]["labels"]["team"] == "media"
    assert made["metadata"]["annotations"]["note"] == "x"


def test_the_template_cannot_take_the_pods_from_their_selector() -> None:
    made = manifests.deployment(pool(labels={"mastercontrol.dev/pool": "other"}), URL)
    chosen = made["spec"]["selector"]["matchLabels"]
    assert chosen == {"mastercontrol.dev/pool": "resize"}
    assert chosen.items() <= made["spec"]["template"]["metadata"]["labels"].items()


def test_the_template_has_the_fields_of_the_crd() -> None:
    crd = yaml.safe_load(CRD.read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert set(schema["properties"]["spec"]["properties"]["template"]["properties"]) == TEMPLATE_FIELDS


CHANGES: dict[str, Any] = {
    "annotations": {"a": "b"},
    "command": ["true"],
    "concurrency": 9,
    "env": [{"name": "A", "value": "b"}],
    "envFrom": [{"secretRef": {"name": "all"}}],
    "gracePeriodSeconds": 99,
    "handlers": "another.module",
    "image": "another:1",
    "imagePullPolicy": "Never",
    "imagePullSecrets": ["x"],
    "labels": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "resources": {"limits": {"cpu": 1}},
    "runAsUser": 99,
    "serviceAccountName": "x",
    "tolerations": [{"operator": "Exists"}],
    "volumes": [{"mountPath": "/x", "emptyDir": {}}],
}


@pytest.mark.parametrize("field", sorted(TEMPLATE_FIELDS))
def test_each_field_of_the_template_changes_the_pods(field: str) -> None:
    plain = {"handlers": None} if field == "command" else {}
    assert pod(**plain) != pod(**plain, **{field: CHANGES[field]})


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(InvalidObject, match=r"spec.template.imagePullSecret: there is no such field"):
        pod(imagePullSecret=["x"])


def test_an_image_must_be_given() -> None:
    with pytest.raises(InvalidObject, match=r"spec.template.image"):
        pod(image=None)


@pytest.mark.parametrize("kind", ["Secret", "Deployment"])
def test_the_pool_owns_what_it_makes(kind: str) -> None:
    made = manifests.secret(pool(), URL) if kind == "Secret" else manifests.deployment(pool(), URL)
    assert made["kind"] == kind
    assert made["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "mastercontrol.dev/v1alpha1",
            "kind": "WorkerPool",
            "name": "resize",
            "uid": "u1",
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    assert made["metadata"]["labels"] == {
        "mastercontrol.dev/pool": "resize",
        "app.kubernetes.io/name": "mcp-worker",
        "app.kubernetes.io/managed-by": "mastercontrol",
    }


def test_the_number_of_replicas_is_no_part_of_the_digest() -> None:
    made = manifests.deployment(pool(), URL)
    assert "replicas" not in made["spec"]
    scaled = manifests.with_replicas(made, 4)
    assert scaled["spec"]["replicas"] == 4
    assert scaled["metadata"] == made["metadata"]
    assert "replicas" not in made["spec"]


def test_the_url_is_in_the_secret_alone() -> None:
    made = str(manifests.deployment(pool(), URL))
    assert "secret@" not in made
    assert credentials_digest("u1", URL) in made


def test_another_url_changes_the_pods_and_the_same_one_does_not() -> None:
    assert manifests.deployment(pool(), URL) == manifests.deployment(pool(), URL)
    assert manifests.deployment(pool(), URL)["spec"] != manifests.deployment(pool(), URL + "x")["spec"]
