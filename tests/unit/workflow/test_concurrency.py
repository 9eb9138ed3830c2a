"""What a Workflow may say of how many of its jobs run at once, and the key of a job."""

from __future__ import annotations

from typing import Any

import pytest

from mastercontrol.api.names import LimitPolicy
from mastercontrol.api.values import InvalidObject
from mastercontrol.api.workflow import ConcurrencySpec, parse_spec
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.concurrency import Concurrency
from mastercontrol.workflow.definition import Definition, Faults
from mastercontrol.workflow.expressions import ExpressionError

STATES = [{"name": "a", "pool": "p"}]


def compiled(concurrency: Any) -> Definition | Faults:
    return compile_workflow("order", parse_spec({"states": STATES, "concurrency": concurrency}))


def limit(key: str | None = None) -> Concurrency:
    more = {} if key is None else {"key": key}
    found = compiled({"limit": 1, **more})
    assert isinstance(found, Definition), found
    assert found.concurrency is not None
    return found.concurrency


def key_of(key: str, **data: Any) -> str | None:
    job = {"name": "order-1", "namespace": "shop", "uid": "u", "input": data}
    return limit(key).key_of({"input": data, "job": job})


def test_a_workflow_without_a_limit_has_none() -> None:
    found = compile_workflow("order", parse_spec({"states": STATES}))
    assert isinstance(found, Definition)
    assert found.concurrency is None


def test_jobs_wait_unless_another_policy_is_named() -> None:
    assert limit() == Concurrency(1, LimitPolicy.QUEUE, None)
    spec = parse_spec({"states": STATES, "concurrency": {"limit": 2, "policy": "Replace", "key": "${input}"}})
    assert spec.concurrency == ConcurrencySpec(2, LimitPolicy.REPLACE, "${input}")


@pytest.mark.parametrize(
    ("concurrency", "said"),
    [
        ({}, "spec.concurrency.limit: write a whole number from 1 to 100000, it is required"),
        ({"limit": 0}, "spec.concurrency.limit: write a whole number from 1 to 100000, not 0"),
        ({"limit": True}, "spec.concurrency.limit: write a whole number from 1 to 100000, not True"),
        ({"limit": 1, "policy": "Wait"}, "spec.concurrency.policy: write one of Queue, Reject, Replace, not 'Wait'"),
        ({"limit": 1, "keys": "x"}, "spec.concurrency.keys: there is no such field; known are key, limit, policy"),
        ({"limit": 1, "key": 3}, "spec.concurrency.key: write a text"),
        (1, "spec.concurrency: write a mapping, not a number"),
    ],
)
def test_what_can_be_no_limit_is_refused_with_what_to_write(concurrency: Any, said: str) -> None:
    with pytest.raises(InvalidObject) as refused:
        compiled(concurrency)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("${steps.a.output}", "spec.concurrency.key, column 3: there is no variable 'steps'"),
        ("${job.input.}", "spec.concurrency.key, column"),
        ("${job.input", "spec.concurrency.key, column 1: '${' is never closed"),
        ("customer", "spec.concurrency.key: write an expression over input or job in ${…}"),
        ('${"all"}', "spec.concurrency.key: write an expression over input or job in ${…}"),
    ],
)
def test_a_wrong_key_is_a_fault_of_the_workflow_with_its_place(key: str, said: str) -> None:
    found = compiled({"limit": 1, "key": key})
    assert isinstance(found, Faults)
    (message,) = found.messages
    assert message.startswith(said)


def test_the_faults_of_the_key_and_of_the_states_are_said_together() -> None:
    spec = {"states": [{"name": "a", "pool": "p", "next": "b"}], "concurrency": {"limit": 1, "key": "${x}"}}
    found = compile_workflow("order", parse_spec(spec))
    assert isinstance(found, Faults)
    assert len(found.messages) == 2


@pytest.mark.parametrize(
    ("value", "key"),
    [("acme", '"acme"'), (7, "7"), (7.0, "7"), (7.5, "7.5"), (True, "true"), ("7", '"7"'), ("", '""'), ("ä", '"ä"')],
)
def test_a_key_is_the_value_with_its_type(value: Any, key: str) -> None:
    assert key_of("${job.input.customer}", customer=value) == key
    assert key_of("${input.customer}", customer=value) == key


def test_a_key_may_be_made_of_several_parts() -> None:
    assert key_of("${input.customer}/${job.name}", customer=7) == '"7/order-1"'


def test_without_an_expression_there_is_one_key_for_all() -> None:
    assert limit().key_of({}) is None


@pytest.mark.parametrize(("value", "kind"), [(None, "null"), ([1], "a list"), ({"a": 1}, "an object")])
def test_a_key_that_is_no_scalar_is_an_error(value: Any, kind: str) -> None:
    with pytest.raises(ExpressionError, match=f"must be a text, a number or a bool, not {kind}"):
        key_of("${job.input.customer}", customer=value)


def test_a_key_that_is_not_in_the_input_is_an_error_that_names_the_field() -> None:
    with pytest.raises(ExpressionError, match=r"spec\.concurrency\.key: .*customer"):
        key_of("${job.input.customer}")


def test_a_limit_is_part_of_the_revision() -> None:
    one, two = (compiled({"limit": n}) for n in (1, 2))
    assert isinstance(one, Definition)
    assert isinstance(two, Definition)
    assert one.revision != two.revision
