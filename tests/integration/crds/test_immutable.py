"""What a Job was started with can't be changed under it, and a cancel can't be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Refusal = Callable[..., str]
Create = Callable[..., dict[str, Any]]
Patch = Callable[..., dict[str, Any]]

ABSENT = object()
INPUT_MESSAGE = "input cannot be changed, as steps may have seen it. Create another Job with the new input."

# From, and a merge patch of `spec.input`.
CHANGED_INPUTS: dict[str, tuple[Any, Any]] = {
    "a value": ({"a": 1}, {"a": 2}),
    "a value deep inside": ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}),
    "a key that is renamed": ({"a": 1}, {"a": None, "b": 1}),
    "a key that is added": ({"a": 1}, {"b": 1}),
    "a key that is removed": ({"a": 1, "b": 1}, {"b": None}),
    "another type": ({"a": 1}, "text"),
    "the order of a list": ([1, 2], [2, 1]),
    "a text": ("a", "b"),
    "a number": (1, 2),
    "a flag": (True, False),
    "an input that is added": (ABSENT, {"a": 1}),
    "an empty input that is added": (ABSENT, {}),
    "an input that is removed": ({"a": 1}, None),
}


@pytest.mark.parametrize("case", CHANGED_INPUTS)
def test_the_input_of_a_job_cannot_be_changed(case: str, create: Create, patch: Patch, refusal: Refusal) -> None:
    before, after = CHANGED_INPUTS[case]
    job = create("Job", {"workflow": "w"} | ({} if before is ABSENT else {"input": before}), keep=True)
    assert INPUT_MESSAGE in refusal(patch, job, {"input": after})


@pytest.mark.parametrize("value", [{"a": {"b": [1, None, "x"]}}, [1, 2.5], "text", 7, False, ABSENT], ids=repr)
def test_the_rest_of_a_job_can_be_changed_beside_any_input(value: Any, create: Create, patch: Patch) -> None:
    job = create("Job", {"workflow": "w"} | ({} if value is ABSENT else {"input": value}), keep=True)
    changed = patch(job, {"suspend": True, "activeDeadlineSeconds": 5, "ttlSecondsAfterFinished": 0, "priority": 9})
    assert changed["spec"]["priority"] == 9
    assert changed["spec"]["suspend"] is True
    assert patch(changed, {"suspend": False})["spec"]["suspend"] is False


def test_a_null_input_stays_null(create: Create, patch: Patch, refusal: Refusal) -> None:
    job = create("Job", {"workflow": "w", "input": None}, keep=True)
    assert patch(job, {"suspend": True})["spec"]["suspend"] is True
    assert INPUT_MESSAGE in refusal(patch, job, {"input": {}})


def test_a_large_input_is_compared_too(create: Create, patch: Patch, refusal: Refusal) -> None:
    value = {f"key-{i}": {"text": "x" * 200, "list": [i, i + 1]} for i in range(3000)}
    job = create("Job", {"workflow": "w", "input": value}, keep=True)
    assert patch(job, {"suspend": True})["spec"]["suspend"] is True
    assert INPUT_MESSAGE in refusal(patch, job, {"input": {"key-2999": {"text": "y"}}})


def test_the_workflow_of_a_job_cannot_be_changed(create: Create, patch: Patch, refusal: Refusal) -> None:
    job = create("Job", {"workflow": "order"}, keep=True)
    message = 'workflow cannot be changed (it is "order"). Create another Job to run "refund".'
    assert message in refusal(patch, job, {"workflow": "refund"})


def test_a_cancel_cannot_be_taken_back(create: Create, patch: Patch, refusal: Refusal) -> None:
    job = patch(create("Job", {"workflow": "w"}, keep=True), {"cancel": True})
    message = "cancel cannot be taken back. Create another Job to run the workflow again."
    assert message in refusal(patch, job, {"cancel": False})
    assert message in refusal(patch, job, {"cancel": None})
    assert patch(job, {"suspend": True})["spec"]["cancel"] is True


SIGNALS: list[dict[str, Any]] = [{"name": "a"}, {"name": "a", "payload": {"x": [1, None]}}, {"name": "b", "payload": 0}]
SIGNALS_MESSAGE = "signals that were sent cannot be changed or removed, as states may have taken them. Write new ones"


@pytest.mark.parametrize(
    "after",
    [
        None,
        [],
        SIGNALS[:2],
        SIGNALS[::-1],
        [*SIGNALS[:2], {"name": "c", "payload": 0}],
        [*SIGNALS[:2], {"name": "b", "payload": 1}],
        [*SIGNALS[:2], {"name": "b"}],
        [SIGNALS[0], {"name": "a", "payload": {"x": [1, 2]}}, SIGNALS[2]],
        [{"name": "new"}, *SIGNALS],
    ],
    ids=str,
)
def test_a_signal_that_was_sent_stays(after: Any, create: Create, patch: Patch, refusal: Refusal) -> None:
    job = create("Job", {"workflow": "w", "signals": SIGNALS}, keep=True)
    assert SIGNALS_MESSAGE in refusal(patch, job, {"signals": after})


def test_signals_may_be_added_at_the_end(create: Create, patch: Patch) -> None:
    job = create("Job", {"workflow": "w", "input": {"x": 1}}, keep=True)
    job = patch(job, {"signals": SIGNALS})
    job = patch(job, {"signals": [*SIGNALS, {"name": "c"}, {"name": "c"}]})
    assert patch(job, {"suspend": True})["spec"]["signals"] == [*SIGNALS, {"name": "c"}, {"name": "c"}]


def test_the_largest_number_of_signals_is_checked_to_the_last(create: Create, patch: Patch, refusal: Refusal) -> None:
    signals = [{"name": f"s{i}", "payload": {"list": [i] * 50, "text": "x" * 1000}} for i in range(256)]
    job = create("Job", {"workflow": "w", "signals": signals}, keep=True)
    assert patch(job, {"suspend": True})["spec"]["suspend"] is True
    assert SIGNALS_MESSAGE in refusal(patch, job, {"signals": [*signals[:-1], {"name": "s255"}]})


OPERATIONS: list[dict[str, Any]] = [
    {"type": "Retry", "reason": "ann"},
    {"type": "Skip", "state": "a", "output": {"x": [1, None]}},
]
OPERATIONS_MESSAGE = (
    "operations that were asked for cannot be changed or removed, as they may have been done. Write new"
)


@pytest.mark.parametrize(
    "after",
    [
        None,
        [],
        OPERATIONS[:1],
        OPERATIONS[::-1],
        [{"type": "Retry", "reason": "bob"}, OPERATIONS[1]],
        [OPERATIONS[0], {**OPERATIONS[1], "output": {"x": [1, 2]}}],
        [OPERATIONS[0], {"type": "Skip", "state": "a"}],
        [{"type": "Restart"}, *OPERATIONS],
    ],
    ids=str,
)
def test_an_operation_that_was_asked_for_stays(after: Any, create: Create, patch: Patch, refusal: Refusal) -> None:
    job = create("Job", {"workflow": "w", "operations": OPERATIONS}, keep=True)
    assert OPERATIONS_MESSAGE in refusal(patch, job, {"operations": after})


def test_operations_may_be_added_at_the_end(create: Create, patch: Patch) -> None:
    job = create("Job", {"workflow": "w", "input": {"x": 1}}, keep=True)
    job = patch(job, {"operations": OPERATIONS})
    job = patch(job, {"operations": [*OPERATIONS, {"type": "Retry"}, {"type": "Retry"}]})
    assert patch(job, {"suspend": True})["spec"]["operations"] == [*OPERATIONS, {"type": "Retry"}, {"type": "Retry"}]


def test_the_largest_number_of_operations_is_checked_to_the_last(
    create: Create, patch: Patch, refusal: Refusal
) -> None:
    skips = [{"type": "Skip", "state": f"s{i}", "output": {"list": [i] * 50, "text": "x" * 1000}} for i in range(256)]
    job = create("Job", {"workflow": "w", "operations": skips}, keep=True)
    assert patch(job, {"suspend": True})["spec"]["suspend"] is True
    assert OPERATIONS_MESSAGE in refusal(patch, job, {"operations": [*skips[:-1], {"type": "Skip", "state": "s255"}]})


def test_a_workflow_can_be_changed(create: Create, patch: Patch) -> None:
    made = create("Workflow", {"states": [{"name": "a", "pool": "p"}]}, keep=True)
    assert patch(made, {"states": [{"name": "b", "pool": "q"}]})["spec"]["states"][0]["name"] == "b"
