"""Right objects are kept as written, with the defaults filled in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mastercontrol.api.workflow import parse_spec

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
    lists: dict[str, Any] = {"signals": [], "operations": []}
    flags: dict[str, Any] = {"suspend": False, "cancel": False, "priority": 0}
    assert made["spec"] == {"workflow": "order-v2.eu", **flags, **lists}


@pytest.mark.parametrize(
    "operation",
    [
        {"type": "Retry"},
        {"type": "Restart", "reason": "ann: the supplier is back"},
        {"type": "Skip", "state": "each[12].resize"},
        {"type": "Skip", "state": "charge", "output": {"deep": [1, None]}, "reason": "paid by hand"},
        {"type": "Skip", "state": "charge", "output": None},
        {"type": "Skip", "state": "charge", "output": "text"},
    ],
    ids=json.dumps,
)
def test_an_operation_is_kept_as_it_is_asked_for(operation: dict[str, Any], create: Create) -> None:
    made = create("Job", {"workflow": "order", "operations": [operation]})
    assert made["spec"]["operations"] == [operation]


def test_a_state_needs_no_more_than_a_name_and_a_pool(create: Create) -> None:
    made = create("Workflow", {"states": [{"name": "chargeCard", "pool": "payments"}]})
    assert made["spec"]["states"] == [{"name": "chargeCard", "type": "Task", "pool": "payments"}]
    assert made["spec"]["maxTransitions"] == 10_000


STATES: dict[str, dict[str, Any]] = {
    "Task": {
        "pool": "p",
        "timeoutSeconds": 30,
        "heartbeatSeconds": 10,
        "retry": {
            "rules": [{"errors": ["Busy"], "limit": 9, "jitter": "none"}, {"errors": ["States.ALL"], "limit": 0}],
            "limit": 1,
            "backoffSeconds": 0.5,
            "backoffRate": 1.5,
            "maxBackoffSeconds": 5,
            "jitter": "none",
        },
        "catch": [{"errors": ["States.Timeout", "Gone"], "next": "last"}],
        "input": {"sku": "${job.input.sku}", "none": None, "list": [1, 2.5, True]},
        "output": None,
        "assign": {"tries": "${vars.tries + 1}", "none": None, "all": [{}]},
        "next": "last",
    },
    "Pass": {"output": "${input}", "end": False},
    "Choice": {"choices": [{"when": "input.n > 1", "next": "first"}], "default": "last", "input": None},
    "Wait": {"seconds": 30},
    "Wait for an expression": {"seconds": "${input.seconds}"},
    "Wait until": {"until": "2030-01-31T12:00:00Z"},
    "Signal": {"signal": "approved", "timeoutSeconds": 60, "catch": [{"errors": ["States.ALL"], "next": "last"}]},
    "Parallel": {
        "branches": [{"states": [{"name": "a", "pool": "p", "free": ["form", None]}]}, {"states": [{"name": "a"}]}],
        "retry": {"rules": [{"errors": ["Busy"]}]},
        "catch": [{"errors": ["States.ALL"], "next": "last"}],
    },
    "Map": {
        "items": "${input.items}",
        "states": [{"name": "a", "type": "Map", "items": [1, None], "states": [{"name": "b", "pool": "p"}]}],
        "maxConcurrency": 5,
        "toleratedFailureCount": 2,
        "toleratedFailurePercentage": 12.5,
        "retry": {"limit": 1},
        "catch": [{"errors": ["States.ExceedToleratedFailureThreshold"], "next": "last"}],
    },
    "Map of a list": {"items": [{"n": 1}, None, "x"], "states": [{"name": "a", "pool": "p"}]},
    "Succeed": {"output": {"done": True}},
    "Fail": {"code": "OutOfStock", "message": "no ${input.sku} left"},
    "SubJob": {
        "workflow": "billing.v2",
        "timeoutSeconds": 60,
        "retry": {"limit": 1},
        "catch": [{"errors": ["SubJobDeleted"], "next": "last"}],
        "input": {"amount": "${input.amount}"},
        "output": "${result.receipt}",
    },
}


@pytest.mark.parametrize("kind", STATES)
def test_everything_that_a_state_can_say_is_kept_and_nothing_added(kind: str, create: Create) -> None:
    state = {"name": "first", "type": kind.split(maxsplit=1)[0], **STATES[kind]}
    made = create("Workflow", {"maxTransitions": 5, "states": [state, {"name": "last", "type": "Succeed"}]})
    assert made["spec"] == {"maxTransitions": 5, "states": [state, {"name": "last", "type": "Succeed"}]}


def test_the_operator_reads_what_the_cluster_keeps_of_a_state(create: Create) -> None:
    for kind, state in STATES.items():
        own = {"name": "first", "type": kind.split(maxsplit=1)[0], **state}
        kept = create("Workflow", {"states": [own, {"name": "last", "type": "Succeed"}]})["spec"]
        if kind != "Parallel":  # its inner states are wrong on purpose here: the cluster does not look into them
            assert parse_spec(kept).states[0].type == own["type"]


def test_a_limit_needs_no_more_than_a_number_and_is_read_as_it_is_kept(create: Create) -> None:
    states = [{"name": "a", "pool": "p"}]
    made = create("Workflow", {"states": states, "concurrency": {"limit": 2}})
    assert made["spec"]["concurrency"] == {"limit": 2, "policy": "Queue"}
    whole = {"limit": 1, "policy": "Replace", "key": "${job.input.customer}"}
    made = create("Workflow", {"states": states, "concurrency": whole})
    assert made["spec"]["concurrency"] == whole
    read = parse_spec(made["spec"]).concurrency
    assert read is not None
    assert (read.limit, read.policy, read.key) == (1, "Replace", "${job.input.customer}")


def test_a_state_may_lead_back(create: Create) -> None:
    states = [{"name": "a", "pool": "p"}, {"name": "b", "pool": "p", "next": "a"}]
    assert create("Workflow", {"states": states})["spec"]["states"][1]["next"] == "a"


@pytest.mark.parametrize("rules", [10, 20, 21, 50])
def test_a_large_workflow_is_checked_within_the_api_server_s_budget(rules: int, create: Create) -> None:
    names = ["s" * 60 + f"{i:03}" for i in range(200)]
    choices = [{"when": "true", "next": names[-1]}] * rules
    catch = [{"errors": ["States.ALL"], "next": names[-1]}] * rules
    states: list[dict[str, Any]] = []
    for i, name in enumerate(names):
        if i % 2:
            states.append({"name": name, "type": "Choice", "choices": choices, "default": names[-1]})
        else:
            states.append({"name": name, "pool": "p" * 40, "catch": catch, "next": names[-1]})
    assert len(create("Workflow", {"states": states})["spec"]["states"]) == 200


def test_the_last_of_2000_choices_is_checked(create: Create, refusal: Refusal) -> None:
    names = ["s" * 60 + f"{i:03}" for i in range(200)]
    choice: dict[str, Any] = {"type": "Choice", "default": names[-1]}
    choices = [{"when": "true", "next": names[-1]}] * 10
    states: list[dict[str, Any]] = [{"name": name, **choice, "choices": choices} for name in names]
    states[-1] = {"name": names[-1], **choice, "choices": [*choices[:-1], {"when": "true", "next": "nowhere"}]}
    message = f'a choice of state "{names[-1]}" leads to no state. Write the name of one of the states.'
    assert message in refusal(create, "Workflow", {"states": states})


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
        "autoscaling": {"enabled": True, "targetBacklog": 1, "weight": 1},
        "template": {"image": "worker:1", "concurrency": 1, "gracePeriodSeconds": 30},
    }


@pytest.mark.parametrize(
    "budget",
    [{"maxUnavailable": 0}, {"maxUnavailable": "25%"}, {"minAvailable": 10_000}, {"minAvailable": "100%"}],
    ids=str,
)
def test_a_disruption_budget_is_a_number_or_a_percentage(budget: dict[str, Any], create: Create) -> None:
    spec = {"disruptionBudget": budget, "template": {"image": "worker:1"}}
    assert create("WorkerPool", spec)["spec"]["disruptionBudget"] == budget


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
