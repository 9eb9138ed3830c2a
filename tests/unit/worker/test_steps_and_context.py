"""The decorator, and what a handler is told."""

from __future__ import annotations

import functools
import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import mastercontrol_worker as worker
from mastercontrol_worker.context import context_of
from mastercontrol_worker.contract import STEP_FAILED, StepMessage
from mastercontrol_worker.steps import DuplicateStep
from mastercontrol_worker.testing import step_message

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class AsyncObject:
    async def __call__(self, value: Any) -> Any:
        return value


async def async_two(value: Any, context: Any) -> Any:
    return value, context


def test_the_package_s_decorator_fills_the_registry_that_the_worker_serves() -> None:
    @worker.step("of-test-steps")
    def handler(value: Any) -> Any:
        return value

    entry = worker.registry.get("of-test-steps")
    assert entry is not None
    assert entry.function is handler


def test_a_decorated_function_stays_as_it_is() -> None:
    registry = worker.Registry()

    @registry.step("double")
    def double(value: int) -> int:
        return value * 2

    assert double(4) == 8
    assert registry.names == ("double",)


def test_a_second_handler_of_one_name_is_an_error_that_names_both() -> None:
    registry = worker.Registry()

    @registry.step("pay")
    def first(value: Any) -> Any:
        return value

    with pytest.raises(DuplicateStep, match=r"(?s)'pay'.*first.*second"):

        @registry.step("pay")
        def second(value: Any) -> Any:
            return value


@pytest.mark.parametrize(
    ("function", "takes_context", "is_async"),
    [
        (lambda value: value, False, False),
        (lambda value, context: (value, context), True, False),
        (lambda value, *, unit="s": (value, unit), False, False),
        (async_two, True, True),
        (functools.partial(async_two, context=None), False, True),
        (functools.partial(async_two, None), False, True),
        (AsyncObject(), False, True),
    ],
)
def test_how_a_handler_is_called_is_read_from_its_signature(
    function: Any,
    takes_context: Any,
    is_async: Any,
) -> None:
    registry = worker.Registry()
    registry.step("s")(function)
    entry = registry.get("s")
    assert entry is not None
    assert (entry.takes_context, entry.is_async) == (takes_context, is_async)


@pytest.mark.parametrize(
    "function",
    [lambda: None, lambda a, b, c: (a, b, c), lambda *values: values, lambda value, *, unit: (value, unit),
     lambda value, **options: (value, options)],
)  # fmt: skip
def test_a_function_that_cannot_be_called_so_is_refused_when_it_is_registered(function: Any) -> None:
    with pytest.raises(TypeError, match=r"\(input\) or \(input, context\)"):
        worker.Registry().step("s")(function)


@pytest.mark.parametrize("name", ["", None, lambda value: value])
def test_a_step_without_a_name_is_refused(name: Any) -> None:
    with pytest.raises(TypeError, match="needs its name"):
        worker.Registry().step(name)


def test_a_failure_has_a_code_and_is_retryable_unless_said_otherwise() -> None:
    plain, exact = worker.StepFailure("no"), worker.StepFailure("no", code="CardDeclined", retryable=False)
    assert (plain.code, plain.retryable) == (STEP_FAILED, True)
    assert (exact.code, exact.retryable, str(exact)) == ("CardDeclined", False, "no")


def context(message: StepMessage, deadline: datetime | None, drain: threading.Event | None = None) -> worker.Context:
    return context_of(message, deadline, drain or threading.Event(), lambda: NOON)


def test_the_context_tells_job_attempt_and_idempotency_key() -> None:
    told = context(step_message("charge", seq=4, attempt=3), None)
    assert (told.job.name, told.step, told.attempt, told.idempotency_key) == ("job-1", "charge", 3, "6f1c:4:3")


def test_without_a_deadline_the_remaining_time_is_unknown_not_zero() -> None:
    told = context(step_message("s"), None)
    assert told.remaining() is None
    assert not told.should_stop()


def test_the_remaining_time_ends_at_zero() -> None:
    assert context(step_message("s"), NOON + timedelta(seconds=2.5)).remaining() == 2.5
    late = context(step_message("s"), NOON - timedelta(seconds=1))
    assert late.remaining() == 0.0
    assert late.should_stop()


def test_a_draining_worker_tells_its_handlers() -> None:
    drain = threading.Event()
    told = context(step_message("s"), None, drain)
    before = (told.draining, told.should_stop())
    drain.set()
    assert (before, told.draining, told.should_stop()) == ((False, False), True, True)


def test_what_a_handler_logs_says_which_step_it_is_of(caplog: pytest.LogCaptureFixture) -> None:
    told = context(step_message("charge", attempt=2), None)
    with caplog.at_level(logging.INFO):
        told.logger.info("paid %s", 5, extra={"shop": "x"})
    record = caplog.records[0].__dict__
    assert (record["job"], record["step"], record["attempt"], record["shop"]) == ("default/job-1", "charge", 2, "x")
