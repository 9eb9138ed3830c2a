"""A wrong object is refused with a message that says what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Refusal = Callable[..., str]
Create = Callable[..., dict[str, Any]]


def states(*changed: dict[str, Any]) -> dict[str, Any]:
    """A Workflow's spec with states that are right except for what is given."""
    return {"states": [{"name": f"s{i}", "pool": "p", **state} for i, state in enumerate(changed)]}


def pool(template: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A WorkerPool's spec that is right except for what is given."""
    return {"template": {"image": "worker:1", **(template or {})}, **spec}


def volume(**source: Any) -> dict[str, Any]:
    return pool({"volumes": [{"mountPath": "/data", **source}]})


def env(**variable: Any) -> dict[str, Any]:
    return pool({"env": [{"name": "A", **variable}]})


JOBS: dict[str, tuple[dict[str, Any], str]] = {
    "no workflow": ({}, "spec.workflow: Required value"),
    "a workflow in capitals": ({"workflow": "Order"}, '"Order" cannot be the name of a Workflow. Write lower case'),
    "an empty workflow": ({"workflow": ""}, '"" cannot be the name of a Workflow. Write lower case'),
    "a workflow that is too long": ({"workflow": "a" * 64}, "may not be more than 63"),
    "no time at all": ({"workflow": "w", "activeDeadlineSeconds": 0}, "should be greater than or equal to 1"),
    "a negative time": ({"workflow": "w", "ttlSecondsAfterFinished": -1}, "should be greater than or equal to 0"),
    "a word for a flag": ({"workflow": "w", "suspend": "yes"}, 'must be of type boolean: "string"'),
    "a misspelt field": ({"workflow": "w", "inputs": {}}, 'unknown field "spec.inputs"'),
}

WORKFLOWS: dict[str, tuple[dict[str, Any], str]] = {
    "no states": ({"states": []}, "should have at least 1 items"),
    "too many states": (states(*[{}] * 201), "must have at most 200 items"),
    "two states of one name": (states({"name": "a"}, {"name": "a"}), 'Duplicate value: {"name":"a"}'),
    "a state's name with a space": (states({"name": "a b"}), '"a b" cannot be the name of a state. Write letters'),
    "a state's name with a digit first": (states({"name": "1a"}), '"1a" cannot be the name of a state. Write letters'),
    "a state without a pool": (
        {"states": [{"name": "pay"}]},
        'state "pay" needs a pool. Write pool and the name of the WorkerPool whose workers do the step.',
    ),
    "a pool that can't be one": (states({"pool": "My_Pool"}), '"My_Pool" cannot be the name of a WorkerPool. Write'),
    "a kind of state that is not there": (states({"type": "Choice"}), 'supported values: "Task"'),
    "a next that is no state": (
        states({"name": "a", "next": "c"}, {"name": "b"}),
        'next of state "a" is "c", and no state has that name. Write the name of one of the states, or leave next out',
    ),
    "a next that is itself": (states({}, {"name": "b", "next": "b"}), 'next of state "b" is the state itself. Write'),
    "no time at all": (states({"timeoutSeconds": 0}), "should be greater than or equal to 1"),
    "a negative limit": (states({"retry": {"limit": -1}}), "should be greater than or equal to 0"),
    "too many attempts": (states({"retry": {"limit": 101}}), "should be less than or equal to 100"),
    "a back-off that shrinks": (states({"retry": {"backoffRate": 0.5}}), "should be greater than or equal to 1"),
    "a back-off above its cap": (
        states({"name": "a", "retry": {"backoffSeconds": 60, "maxBackoffSeconds": 30}}),
        "Write a maxBackoffSeconds of at least backoffSeconds.",
    ),
    "a back-off above the cap's default": (
        states({"name": "a", "retry": {"backoffSeconds": 600}}),
        'state "a" waits longer before its second attempt than its maxBackoffSeconds (300 unless written) allows.',
    ),
    "a jitter that is not there": (states({"retry": {"jitter": "some"}}), 'supported values: "full", "none"'),
    "a misspelt field": (states({"timeout": 5}), 'unknown field "spec.states[0].timeout"'),
}

POOLS: dict[str, tuple[dict[str, Any], str]] = {
    "no template": ({}, "spec.template: Required value"),
    "no image": ({"template": {}}, "spec.template.image: Required value"),
    "an image with a space": (pool({"image": "a b"}), "write the name of a container image, without spaces"),
    "a minimum above the maximum": (
        pool(minReplicas=3, maxReplicas=2),
        "minReplicas is more than maxReplicas. Write a smaller minReplicas or a larger maxReplicas.",
    ),
    "a minimum above the default maximum": (pool(minReplicas=11), "minReplicas is more than maxReplicas. Write"),
    "a negative number of replicas": (pool(replicas=-1), "should be greater than or equal to 0"),
    "no backlog at all": (pool(autoscaling={"targetBacklog": 0}), "should be greater than or equal to 1"),
    "an endless stabilization": (pool(autoscaling={"scaleDownStabilizationSeconds": 3601}), "or equal to 3600"),
    "no delivery at all": (pool(deliveryLimit=0), "should be greater than or equal to 1"),
    "handlers and a command": (
        pool({"handlers": "orders", "command": ["sh"]}),
        "handlers and command exclude each other. Write handlers for steps that are Python functions, or command",
    ),
    "handlers that are a file": (
        pool({"handlers": "orders/handlers.py"}),
        '"orders/handlers.py" is not the name of a Python module. Write it as in an import statement, without .py',
    ),
    "an empty command": (pool({"command": []}), "should have at least 1 items"),
    "a command that is a text": (pool({"command": "sh -c x"}), 'must be of type array: "string"'),
    "no concurrency": (pool({"concurrency": 0}), "should be greater than or equal to 1"),
    "too much concurrency": (pool({"concurrency": 257}), "should be less than or equal to 256"),
    "no grace": (pool({"gracePeriodSeconds": 0}), "should be greater than or equal to 1"),
    "root": (pool({"runAsUser": 0}), "should be greater than or equal to 1"),
    "a memory that is no quantity": (
        pool({"resources": {"limits": {"memory": "lots"}}}),
        "write a quantity from 0, as in 100m or 2 for cpu and 128Mi for memory.",
    ),
    "a negative cpu": (pool({"resources": {"requests": {"cpu": "-1"}}}), "write a quantity from 0"),
    "a pull policy that is not there": (pool({"imagePullPolicy": "Sometimes"}), 'supported values: "Always", "IfNot'),
    "a variable's name with a dash": (env(name="A-B"), '"A-B" cannot be the name of an environment variable. Write'),
    "a variable of the operator's": (
        env(name="MCP_QUEUE", value="q"),
        "MCP_QUEUE is set by the operator. Leave it out",
    ),
    "a variable twice": (pool({"env": [{"name": "A"}, {"name": "A"}]}), 'Duplicate value: {"name":"A"}'),
    "a variable with two values": (
        env(value="x", valueFrom={"secretKeyRef": {"name": "s", "key": "k"}}),
        'environment variable "A" has both value and valueFrom. Write only one of them.',
    ),
    "a variable from nowhere": (env(valueFrom={}), "valueFrom has one source. Write either secretKeyRef"),
    "a variable from a secret without a key": (env(valueFrom={"secretKeyRef": {"name": "s"}}), "key: Required value"),
    "an envFrom from nowhere": (pool({"envFrom": [{"prefix": "A_"}]}), "an entry has one source. Write either"),
    "a volume from nowhere": (
        volume(),
        'the volume at "/data" needs exactly one source. Write one of claimName, configMap, secret and emptyDir.',
    ),
    "a volume from two sources": (volume(claimName="c", emptyDir={}), 'the volume at "/data" needs exactly one source'),
    "a relative path": (volume(mountPath="data", claimName="c"), '"data" is no absolute path. Write a path that'),
    "a volume's name in capitals": (volume(name="Data", claimName="c"), '"Data" cannot be the name of a volume.'),
    "an emptyDir of no size": (volume(emptyDir={"sizeLimit": "big"}), "write a quantity from 0, as in 512Mi."),
    "a label of the operator's": (
        pool({"labels": {"mastercontrol.dev/pool": "x"}}),
        "labels that begin with mastercontrol.dev/ or app.kubernetes.io/ are set by the operator. Write another",
    ),
    "a misspelt field": (pool({"envs": []}), 'unknown field "spec.template.envs"'),
}


@pytest.mark.parametrize("case", JOBS)
def test_a_wrong_job_is_refused(case: str, create: Create, refusal: Refusal) -> None:
    spec, message = JOBS[case]
    assert message in refusal(create, "Job", spec)


@pytest.mark.parametrize("case", WORKFLOWS)
def test_a_wrong_workflow_is_refused(case: str, create: Create, refusal: Refusal) -> None:
    spec, message = WORKFLOWS[case]
    assert message in refusal(create, "Workflow", spec)


@pytest.mark.parametrize("case", POOLS)
def test_a_wrong_pool_is_refused(case: str, create: Create, refusal: Refusal) -> None:
    spec, message = POOLS[case]
    assert message in refusal(create, "WorkerPool", spec)


def test_a_name_that_children_could_not_be_named_after_is_refused(create: Create, refusal: Refusal) -> None:
    assert "a WorkerPool has up to 40 characters" in refusal(create, "WorkerPool", pool(), "p" * 41)
    assert "a WorkerPool has no dots. Write - instead" in refusal(create, "WorkerPool", pool(), "a.b")
    assert "a Workflow has up to 63 characters" in refusal(create, "Workflow", states({}), "w" * 64)
    assert create("WorkerPool", pool(), "p" * 40)
    assert create("Workflow", states({}), "w" * 63)


@pytest.mark.parametrize("kind", ["Job", "Workflow", "WorkerPool"])
def test_an_object_without_a_spec_is_refused(kind: str, create: Create, refusal: Refusal) -> None:
    assert "spec" in refusal(create, kind, None)
