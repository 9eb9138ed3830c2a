"""Right objects are kept as written, with the defaults filled in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Refusal = Callable[..., str]
Create = Callable[..., dict[str, Any]]

INPUTS = [{"sku": "A1", "deep": {"list": [1, None, {"x": 2.5}]}}, {}, [1, "two"], [], "text", "", 7, 0.5, True, False]


@pytest.mark.parametrize("value", INPUTS, ids=json.dumps)
def test_the_input_of_a_job_is_any_json_value(value: Any, create: Create) -> None:
    assert create("Job", {"workflow": "order", "input": value})["spec"]["input"] == value


def test_the_input_of_a_job_may_be_null(create: Create) -> None:
    assert create("Job", {"workflow": "order", "input": None})["spec"].get("input") is None


def test_a_job_needs_no_more_than_a_workflow(create: Create) -> None:
    made = create("Job", {"workflow": "order-v2.eu"})
    assert made["spec"] == {"workflow": "order-v2.eu", "suspend": False, "cancel": False}


def test_a_state_needs_no_more_than_a_name_and_a_pool(create: Create) -> None:
    made = create("Workflow", {"states": [{"name": "chargeCard", "pool": "payments"}]})
    retry = {"limit": 3, "backoffSeconds": 1, "backoffRate": 2, "maxBackoffSeconds": 300, "jitter": "full"}
    assert made["spec"]["states"] == [{"name": "chargeCard", "type": "Task", "pool": "payments", "retry": retry}]


def test_a_workflow_may_have_200_states_that_each_name_another(create: Create) -> None:
    states: list[dict[str, Any]] = [{"name": "s" * 60 + f"{i:03}", "pool": "p" * 40} for i in range(200)]
    for state in states[:-1]:
        state["next"] = states[-1]["name"]
    made = create("Workflow", {"states": states})
    assert len(made["spec"]["states"]) == 200


def test_a_pool_needs_no_more_than_an_image(create: Create) -> None:
    spec = create("WorkerPool", {"template": {"image": "worker:1"}})["spec"]
    assert spec == {
        "replicas": 1,
        "minReplicas": 0,
        "maxReplicas": 10,
        "deliveryLimit": 20,
        "autoscaling": {"enabled": True, "targetBacklog": 1, "scaleDownStabilizationSeconds": 60},
        "template": {"image": "worker:1", "concurrency": 1, "gracePeriodSeconds": 30},
    }


def test_a_pool_may_be_paused(create: Create) -> None:
    assert create("WorkerPool", {"maxReplicas": 0, "template": {"image": "worker:1"}})["spec"]["maxReplicas"] == 0


def test_everything_that_a_pool_can_say_is_kept(create: Create) -> None:
    template = {
        "image": "registry.example/team/resize@sha256:" + "0" * 64,
        "imagePullPolicy": "IfNotPresent",
        "imagePullSecrets": ["registry"],
        "handlers": "thumbnails.handlers,orders",
        "env": [
            {"name": "EMPTY", "value": ""},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "value", "optional": True}}},
            {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "modes", "key": "mode"}}},
        ],
        "envFrom": [{"prefix": "A_", "secretRef": {"name": "a"}}, {"configMapRef": {"name": "b", "optional": True}}],
        "resources": {
            "requests": {"cpu": 1, "memory": "128Mi", "example.com/gpu": "1"},
            "limits": {"memory": "1e9", "cpu": "2.5"},
        },
        "concurrency": 8,
        "gracePeriodSeconds": 3600,
        "volumes": [
            {"name": "photos", "mountPath": "/photos", "readOnly": True, "claimName": "photos"},
            {"mountPath": "/settings", "readOnly": False, "configMap": "settings"},
            {"mountPath": "/token", "readOnly": True, "secret": "token"},
            {"mountPath": "/tmp/fast", "readOnly": False, "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
            {"mountPath": "/tmp", "readOnly": False, "emptyDir": {}},
        ],
        "serviceAccountName": "resize",
        "runAsUser": 10001,
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "labels": {"team": "media"},
        "annotations": {"example.com/note": "two\nlines"},
    }
    assert create("WorkerPool", {"template": template})["spec"]["template"] == template


def test_a_program_may_be_the_worker(create: Create) -> None:
    command = ["/usr/bin/env", "sh", "-c", "cat"]
    made = create("WorkerPool", {"template": {"image": "worker:1", "command": command}})
    assert made["spec"]["template"]["command"] == command
