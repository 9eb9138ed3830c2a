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


CHOICE: dict[str, Any] = {"type": "Choice", "choices": [{"when": "true", "next": "end"}], "default": "end"}
END: list[dict[str, Any]] = [{"name": "end", "type": "Succeed"}]

# What each type needs, to which one field too many is added.
NEEDED: dict[str, dict[str, Any]] = {
    "Task": {"pool": "p"},
    "Pass": {},
    "Choice": CHOICE,
    "Wait": {"seconds": 1},
    "Signal": {},
    "Parallel": {"branches": [{"states": END}]},
    "Map": {"items": [], "states": END},
    "Succeed": {},
    "Fail": {},
    "SubJob": {"workflow": "w"},
}
# Each field that not all types have: a value, and the types that have it.
FIELDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "pool": ("p", ("Task",)),
    "timeoutSeconds": (1, ("Task", "Signal", "SubJob")),
    "heartbeatSeconds": (1, ("Task",)),
    "retry": ({}, ("Task", "Parallel", "Map", "SubJob")),
    "catch": ([], ("Task", "Signal", "Parallel", "Map", "SubJob")),
    "choices": (CHOICE["choices"], ("Choice",)),
    "default": ("end", ("Choice",)),
    "seconds": (1, ("Wait",)),
    "until": ("2030-01-31T12:00:00Z", ("Wait",)),
    "signal": ("go", ("Signal",)),
    "branches": ([{"states": END}], ("Parallel",)),
    "items": ([1], ("Map",)),
    "states": (END, ("Map",)),
    "maxConcurrency": (1, ("Map",)),
    "toleratedFailureCount": (1, ("Map",)),
    "toleratedFailurePercentage": (1, ("Map",)),
    "code": ("Gone", ("Fail",)),
    "message": ("gone", ("Fail",)),
    "compensate": ({"states": END}, ("Task", "Pass", "Signal", "Parallel", "Map", "SubJob")),
    "workflow": ("w", ("SubJob",)),
}
UNIONS = [(kind, field) for kind in NEEDED for field, (_, kinds) in FIELDS.items() if kind not in kinds]


def only(kind: str, **fields: Any) -> dict[str, Any]:
    """A Workflow's spec with a state of a type that has these fields only, and an end."""
    return {"states": [{"name": "a", "type": kind, **fields}, *END]}


JOBS: dict[str, tuple[dict[str, Any], str]] = {
    "no workflow": ({}, "spec.workflow: Required value"),
    "a workflow in capitals": ({"workflow": "Order"}, '"Order" cannot be the name of a Workflow. Write lower case'),
    "an empty workflow": ({"workflow": ""}, '"" cannot be the name of a Workflow. Write lower case'),
    "a workflow that is too long": ({"workflow": "a" * 64}, "may not be more than 63"),
    "no time at all": ({"workflow": "w", "activeDeadlineSeconds": 0}, "should be greater than or equal to 1"),
    "a negative time": ({"workflow": "w", "ttlSecondsAfterFinished": -1}, "should be greater than or equal to 0"),
    "a word for a flag": ({"workflow": "w", "suspend": "yes"}, 'must be of type boolean: "string"'),
    "a signal without a name": ({"workflow": "w", "signals": [{"payload": 1}]}, "signals[0].name: Required value"),
    "a signal with an empty name": ({"workflow": "w", "signals": [{"name": ""}]}, "should be at least 1 chars long"),
    "a signal with something else": ({"workflow": "w", "signals": [{"name": "a", "by": 1}]}, 'unknown field "spec.sig'),
    "too many signals": ({"workflow": "w", "signals": [{"name": "a"}] * 257}, "must have at most 256 items"),
    "an operation without a type": ({"workflow": "w", "operations": [{}]}, "operations[0].type: Required value"),
    "an operation that there is not": (
        {"workflow": "w", "operations": [{"type": "Redo"}]},
        'supported values: "Retry", "Restart", "Skip"',
    ),
    "a skip of no state": (
        {"workflow": "w", "operations": [{"type": "Retry"}, {"type": "Skip"}]},
        "state names the state to skip. Write it for a Skip, and for nothing else.",
    ),
    "a retry of a state": (
        {"workflow": "w", "operations": [{"type": "Retry", "state": "a"}]},
        "state names the state to skip. Write it for a Skip, and for nothing else.",
    ),
    "a restart with an output": (
        {"workflow": "w", "operations": [{"type": "Restart", "output": 1}]},
        "output is what a skipped state has given. Write it for a Skip, or leave it out.",
    ),
    "a reason that says nothing": (
        {"workflow": "w", "operations": [{"type": "Retry", "reason": ""}]},
        "should be at least 1 chars long",
    ),
    "too many operations": ({"workflow": "w", "operations": [{"type": "Retry"}] * 257}, "must have at most 256 items"),
    "a misspelt field": ({"workflow": "w", "inputs": {}}, 'unknown field "spec.inputs"'),
    "a priority below the lowest": ({"workflow": "w", "priority": -1}, "should be greater than or equal to 0"),
    "a priority above the highest": ({"workflow": "w", "priority": 10}, "should be less than or equal to 9"),
    "half a priority": ({"workflow": "w", "priority": 0.5}, "priority"),
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
    "a sub job without a workflow": (
        only("SubJob"),
        'state "a" needs a workflow. Write workflow and the name of the Workflow that its Job runs.',
    ),
    "a sub job of a workflow that can't be one": (
        only("SubJob", workflow="Bill_It"),
        '"Bill_It" cannot be the name of a Workflow. Write lower case',
    ),
    "a kind of state that is not there": (states({"type": "Task2"}), 'supported values: "Task", "Pass", "Choice"'),
    "a next that is no state": (
        states({"name": "a", "next": "c"}, {"name": "b"}),
        'next of state "a" is "c", and no state has that name. Write the name of one of the states, or leave next out',
    ),
    "a default that is no state": (
        {"states": [{"name": "a", **CHOICE, "default": "c"}, *END]},
        'default of state "a" is "c", and no state has that name. Write the name of one of the states.',
    ),
    "a choice that leads nowhere": (
        {"states": [{"name": "a", **CHOICE, "choices": [{"when": "true", "next": "c"}]}, *END]},
        'a choice of state "a" leads to no state. Write the name of one of the states.',
    ),
    "a catch rule that leads nowhere": (
        states({"name": "a", "catch": [{"errors": ["States.ALL"], "next": "c"}]}),
        'a catch rule of state "a" leads to no state. Write the name of one of the states.',
    ),
    "next and end": (
        states({"name": "a", "next": "b", "end": True}, {"name": "b"}),
        'state "a" has both next and end. Write next, or end: true, not both.',
    ),
    "a choice with a next": (
        {"states": [{"name": "a", **CHOICE, "next": "end"}, *END]},
        'state "a" is a Choice, which has no next and no end. Write where it leads in choices and default.',
    ),
    "a choice with an end": (
        {"states": [{"name": "a", **CHOICE, "end": True}, *END]},
        'state "a" is a Choice, which has no next and no end. Write where it leads in choices and default.',
    ),
    "an end with a next": (
        {"states": [{"name": "a", "type": "Succeed", "next": "end"}, *END]},
        'state "a" is a Succeed, which has no next and no end. Write a Pass to go on from there.',
    ),
    "a choice without choices": (only("Choice", default="end"), 'state "a" needs choices. Write a list of rules'),
    "a choice with no choice": (only("Choice", default="end", choices=[]), "should have at least 1 items"),
    "a choice without a default": (
        only("Choice", choices=CHOICE["choices"]),
        'state "a" needs a default. Write the name of the state to go to when no rule holds.',
    ),
    "a choice without a condition": (only("Choice", default="end", choices=[{"next": "end"}]), "when: Required value"),
    "a wait for nothing": (only("Wait"), 'state "a" needs to know how long. Write either seconds or until, one of'),
    "a wait for two times": (
        only("Wait", seconds=1, until="2030-01-31T12:00:00Z"),
        'state "a" needs to know how long. Write either seconds or until, one of them.',
    ),
    "a wait of less than no time": (only("Wait", seconds=-1), "write whole seconds from 0 to 316224000 (3660 days)"),
    "a wait for too long": (only("Wait", seconds=316224001), "write whole seconds from 0 to 316224000 (3660 days)"),
    "a wait of half a second": (only("Wait", seconds=0.5), "seconds"),
    "a parallel without branches": (only("Parallel"), 'state "a" needs branches. Write a list of them, each with'),
    "a parallel with no branch": (only("Parallel", branches=[]), "should have at least 1 items"),
    "a branch without states": (only("Parallel", branches=[{}]), "branches[0].states: Required value"),
    "a branch with no state": (only("Parallel", branches=[{"states": []}]), "should have at least 1 items"),
    "a state in a branch that is a text": (only("Parallel", branches=[{"states": ["a"]}]), "must be of type object"),
    "a map without items": (only("Map", states=END), 'state "a" needs items. Write an expression in ${} that gives a'),
    "a map without states": (only("Map", items=[]), 'state "a" needs states. Write those that each item goes through'),
    "more than all failures": (only("Map", items=[], states=END, toleratedFailurePercentage=101), "or equal to 100"),
    "a rule for no error": (states({"retry": {"rules": [{"errors": []}]}}), "should have at least 1 items"),
    "a rule for what is not said": (states({"retry": {"rules": [{"limit": 1}]}}), "errors: Required value"),
    "a rule that waits above its cap": (
        states({"retry": {"rules": [{"errors": ["X"], "backoffSeconds": 9, "maxBackoffSeconds": 3}]}}),
        "Write a maxBackoffSeconds of at least backoffSeconds.",
    ),
    "no transition at all": ({**states({}), "maxTransitions": 0}, "should be greater than or equal to 1"),
    "too many transitions": ({**states({}), "maxTransitions": 1_000_001}, "should be less than or equal to 1000000"),
    "no time at all": (states({"timeoutSeconds": 0}), "should be greater than or equal to 1"),
    "no time between heartbeats": (states({"heartbeatSeconds": 0}), "should be greater than or equal to 1"),
    "heartbeats that come too late": (
        states({"name": "a", "heartbeatSeconds": 30, "timeoutSeconds": 30}),
        'state "a" would never be found silent. Write less for heartbeatSeconds than for timeoutSeconds.',
    ),
    "a negative limit": (states({"retry": {"limit": -1}}), "should be greater than or equal to 0"),
    "too many attempts": (states({"retry": {"limit": 101}}), "should be less than or equal to 100"),
    "a back-off that shrinks": (states({"retry": {"backoffRate": 0.5}}), "should be greater than or equal to 1"),
    "a back-off above its cap": (
        states({"name": "a", "retry": {"backoffSeconds": 60, "maxBackoffSeconds": 30}}),
        "Write a maxBackoffSeconds of at least backoffSeconds.",
    ),
    "a back-off above the cap's default": (
        states({"name": "a", "retry": {"backoffSeconds": 600}}),
        "(backoffSeconds, 1 unless written) is longer than maxBackoffSeconds (300 unless written) allows. Write a",
    ),
    "a jitter that is not there": (states({"retry": {"jitter": "some"}}), 'supported values: "full", "none"'),
    "a misspelt field": (states({"timeout": 5}), 'unknown field "spec.states[0].timeout"'),
    "a limit of nothing": ({**states({}), "concurrency": {"limit": 0}}, "should be greater than or equal to 1"),
    "a limit without a number": ({**states({}), "concurrency": {}}, "spec.concurrency.limit: Required value"),
    "a policy that is not there": (
        {**states({}), "concurrency": {"limit": 1, "policy": "Wait"}},
        'supported values: "Queue", "Reject", "Replace"',
    ),
    "a key that is the same for all": (
        {**states({}), "concurrency": {"limit": 1, "key": "customer"}},
        "key is the same for all Jobs. Write an expression, as in ${job.input.customer}, or leave key out.",
    ),
    "a limit with something else": (
        {**states({}), "concurrency": {"limit": 1, "keys": "x"}},
        'unknown field "spec.concurrency.keys"',
    ),
}

PACE = {"type": "Pods", "value": 1, "periodSeconds": 15}

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
    "a pace in cores": (pool(autoscaling={"scaleUp": {"policies": [PACE | {"type": "Cores"}]}}), '"Pods", "Percent"'),
    "a pace without a period": (
        pool(autoscaling={"scaleUp": {"policies": [{"type": "Pods", "value": 1}]}}),
        "spec.autoscaling.scaleUp.policies[0].periodSeconds: Required value",
    ),
    "a pace that is too long": (
        pool(autoscaling={"scaleUp": {"policies": [PACE | {"periodSeconds": 1801}]}}),
        "should be less than or equal to 1800",
    ),
    "a word for the pace that is none": (
        pool(autoscaling={"scaleUp": {"selectPolicy": "Most"}}),
        '"Max", "Min", "Disabled"',
    ),
    "no weight at all": (pool(autoscaling={"weight": 0}), "should be greater than or equal to 1"),
    "no delivery at all": (pool(deliveryLimit=0), "should be greater than or equal to 1"),
    "a budget of two bounds": (
        pool(disruptionBudget={"maxUnavailable": 1, "minAvailable": 1}),
        "a disruptionBudget has one bound. Write either maxUnavailable or minAvailable.",
    ),
    "a budget without a bound": (pool(disruptionBudget={}), "a disruptionBudget has one bound. Write either"),
    "a negative bound": (pool(disruptionBudget={"minAvailable": -1}), "write a whole number from 0 to 10000, or"),
    "a bound that is a text": (
        pool(disruptionBudget={"maxUnavailable": "1"}),
        "write a whole number from 0 to 10000, or a percentage from 0% to 100% as in 25%.",
    ),
    "more than all": (pool(disruptionBudget={"minAvailable": "101%"}), "or a percentage from 0% to 100% as in 25%."),
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


@pytest.mark.parametrize("kind", NEEDED)
def test_a_state_needs_no_more_than_these_tests_give_it(kind: str, create: Create) -> None:
    assert create("Workflow", only(**{"kind": kind, **{k: v for k, v in NEEDED[kind].items() if k != "type"}}))


@pytest.mark.parametrize(("kind", "field"), UNIONS)
def test_a_field_of_another_type_of_state_is_refused(kind: str, field: str, create: Create, refusal: Refusal) -> None:
    value, kinds = FIELDS[field]
    said = refusal(create, "Workflow", {"states": [{"name": "a", "type": kind, **NEEDED[kind], field: value}, *END]})
    assert f'state "a" is a {kind}, which has no {field}. Write it in a {kinds[0]}' in said
    assert f"spec.states[0].{field}" in said


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
