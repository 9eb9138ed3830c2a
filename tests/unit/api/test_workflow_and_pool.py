"""Workflow and WorkerPool: defaults, and faults by the name of their field."""

from __future__ import annotations

from typing import Any

import pytest

from mastercontrol.api.pool import DisruptionBudget, parse_pool
from mastercontrol.api.values import InvalidObject
from mastercontrol.api.workflow import RetryRuleSpec, RetrySpec, parse_spec, parse_workflow


def test_a_short_state_gets_its_defaults() -> None:
    (state,) = parse_spec({"states": [{"name": "a", "pool": "p"}]}).states
    assert (state.name, state.pool, state.next, state.timeout_seconds) == ("a", "p", None, None)
    policy = RetrySpec(limit=3, backoff_seconds=1, backoff_rate=2, max_backoff_seconds=300, jitter=True)
    assert state.retry == (RetryRuleSpec(("States.ALL",), policy),)


def test_every_field_of_a_state_is_read() -> None:
    retry = {"limit": 5, "backoffSeconds": 0.5, "backoffRate": 3, "maxBackoffSeconds": 60, "jitter": "none"}
    state = {"name": "a", "type": "Task", "pool": "p", "next": "b", "timeoutSeconds": 30, "retry": retry}
    (read,) = parse_spec({"states": [state]}).states
    assert (read.next, read.timeout_seconds) == ("b", 30)
    assert read.retry == (RetryRuleSpec(("States.ALL",), RetrySpec(5, 0.5, 3, 60, jitter=False)),)


STATE = {"name": "a", "pool": "p"}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, r"spec\.states"),
        ({"states": []}, r"spec\.states"),
        ({"states": [STATE] * 201}, r"spec\.states"),
        ({"states": {"a": STATE}}, r"spec\.states"),
        ({"states": [STATE], "start": "a"}, r"spec\.start"),
        ({"states": ["a"]}, r"spec\.states\[0\]"),
        ({"states": [STATE, {"name": "b"}]}, r"spec\.states\[1\]\.pool"),
        ({"states": [{**STATE, "type": "Choose"}]}, r"spec\.states\[0\]\.type"),
        ({"states": [{**STATE, "timeout": 3}]}, r"spec\.states\[0\]\.timeout"),
        ({"states": [{**STATE, "timeoutSeconds": 0}]}, r"spec\.states\[0\]\.timeoutSeconds"),
        ({"states": [{**STATE, "retry": {"limit": -1}}]}, r"spec\.states\[0\]\.retry\.limit"),
        ({"states": [{**STATE, "retry": {"backoffRate": 0.5}}]}, r"spec\.states\[0\]\.retry\.backoffRate"),
        ({"states": [{**STATE, "retry": {"backoffSeconds": 301}}]}, r"spec\.states\[0\]\.retry\.maxBackoffSeconds"),
        ({"states": [{**STATE, "catch": [{"errors": ["X"], "next": "a"}] * 51}]}, r"spec\.states\[0\]\.catch: .* 50"),
        ({"states": [{**STATE, "retry": {"jitter": "some"}}]}, r"spec\.states\[0\]\.retry\.jitter"),
        ({"states": [{**STATE, "retry": {"times": 3}}]}, r"spec\.states\[0\]\.retry\.times"),
    ],
)
def test_a_wrong_workflow_is_refused_by_the_name_of_its_field(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidObject, match=field):
        parse_spec(spec)


def test_a_workflow_object_is_read() -> None:
    meta = {"namespace": "shop", "name": "order", "uid": "w", "generation": 4}
    workflow = parse_workflow({"metadata": meta, "spec": {"states": [STATE]}})
    assert (workflow.namespace, workflow.name, workflow.uid, workflow.generation) == ("shop", "order", "w", 4)
    assert [s.name for s in workflow.spec.states] == ["a"]


# -- pools


def pool(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": "p", "uid": "u"}, "spec": {"template": {"image": "x"}, **spec}}


def test_a_short_pool_gets_its_defaults() -> None:
    read = parse_pool(pool())
    assert (read.min_replicas, read.max_replicas, read.replicas, read.delivery_limit) == (0, 10, None, 20)
    assert (read.concurrency, read.grace_period_seconds) == (1, 30)
    assert read.autoscaling.enabled
    assert (read.autoscaling.target_backlog, read.autoscaling.scale_down_stabilization_seconds) == (1, None)
    assert not read.deleting
    assert read.disruption_budget is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"maxUnavailable": 1}, DisruptionBudget(max_unavailable=1)),
        ({"maxUnavailable": 0}, DisruptionBudget(max_unavailable=0)),
        ({"maxUnavailable": "0%", "minAvailable": None}, DisruptionBudget(max_unavailable="0%")),
        ({"minAvailable": "100%"}, DisruptionBudget(min_available="100%")),
        ({"minAvailable": 10_000}, DisruptionBudget(min_available=10_000)),
    ],
)
def test_a_disruption_budget_has_one_bound(written: dict[str, Any], read: DisruptionBudget) -> None:
    assert parse_pool(pool(disruptionBudget=written)).disruption_budget == read


def test_what_is_null_in_a_template_has_its_default() -> None:
    read = parse_pool(pool(template={"concurrency": None, "gracePeriodSeconds": None}))
    assert (read.concurrency, read.grace_period_seconds) == (1, 30)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"minReplicas": 3, "maxReplicas": 2}, r"spec\.minReplicas"),
        ({"maxReplicas": -1}, r"spec\.maxReplicas"),
        ({"replicas": 1.5}, r"spec\.replicas"),
        ({"deliveryLimit": 0}, r"spec\.deliveryLimit"),
        ({"autoscaling": {"targetBacklog": 0}}, r"spec\.autoscaling\.targetBacklog"),
        ({"autoscaling": {"on": True}}, r"spec\.autoscaling\.on"),
        ({"template": {"concurrency": 0}}, r"spec\.template\.concurrency"),
        ({"template": {"handlers": "m", "command": ["x"]}}, r"spec\.template"),
        ({"size": 3}, r"spec\.size"),
        ({"disruptionBudget": {}}, r"spec\.disruptionBudget: write either"),
        ({"disruptionBudget": {"maxUnavailable": 1, "minAvailable": 1}}, r"spec\.disruptionBudget: write either"),
        ({"disruptionBudget": {"maxUnavailable": "1"}}, r"spec\.disruptionBudget\.maxUnavailable: .* as in 25%"),
        ({"disruptionBudget": {"minAvailable": "101%"}}, r"spec\.disruptionBudget\.minAvailable"),
        ({"disruptionBudget": {"minAvailable": -1}}, r"spec\.disruptionBudget\.minAvailable"),
        ({"disruptionBudget": {"maxUnavailable": 1.5}}, r"spec\.disruptionBudget\.maxUnavailable"),
        ({"disruptionBudget": {"minReady": 1}}, r"spec\.disruptionBudget\.minReady"),
        ({"disruptionBudget": "25%"}, r"spec\.disruptionBudget"),
    ],
)
def test_a_wrong_pool_is_refused_by_the_name_of_its_field(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidObject, match=field):
        parse_pool(pool(**spec))
