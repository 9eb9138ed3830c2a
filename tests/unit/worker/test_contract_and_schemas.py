"""The encoders, the decoders and the JSON Schemas say the same."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mastercontrol_worker.config import VARIABLES
from mastercontrol_worker.contract import (
    DELIVERY_LIMIT,
    EXIT_CODE,
    HEARTBEAT_TIMEOUT,
    MAX_CODE_CHARS,
    MAX_DEPTH,
    MAX_MESSAGE_CHARS,
    MAX_RESULT_BYTES,
    RESULT_NOT_JSON,
    RESULT_TOO_LARGE,
    STEP_FAILED,
    STEP_TIMEOUT,
    STEP_UNKNOWN,
    Failed,
    JobRef,
    MalformedMessage,
    ResultMessage,
    StepError,
    StepMessage,
    Succeeded,
    UnfitOutput,
    parse_dispatch_id,
    parse_json,
    parse_time,
)

ID = "u-1:3:2"
JOB = {"namespace": "shop", "name": "order-1", "uid": "u-1"}
STEP: dict[str, Any] = {"version": 1, "job": JOB, "step": "charge", "attempt": 2, "input": {"n": 1}}
RESULT: dict[str, Any] = {"version": 1, "job": JOB, "step": "charge", "attempt": 2, "worker": "w-1"}
SUCCEEDED = RESULT | {"outcome": "Succeeded", "output": [1, "é", None]}
FAILED = RESULT | {"outcome": "Failed", "error": {"code": "Broke", "message": "it broke", "retryable": False}}

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
TEXTS = st.text(min_size=1, max_size=60)
JOBS = st.builds(JobRef, TEXTS, TEXTS, st.just("u-1"))


def _schema(name: str) -> Any:
    return json.loads(files("mastercontrol_worker").joinpath("schemas", name).read_text())


def schema(name: str) -> Draft202012Validator:
    Draft202012Validator.check_schema(_schema(name))
    return Draft202012Validator(_schema(name))


STEP_SCHEMA, RESULT_SCHEMA = schema("step.json"), schema("result.json")


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


GOOD_STEPS = {
    "full": STEP | {"deadline": "2026-01-01T00:00:00Z"},
    "no input": without(STEP, "input"),
    "no deadline": STEP,
    "null deadline": STEP | {"deadline": None},
    "deadline with offset and fraction": STEP | {"deadline": "2026-01-01T00:00:00.123456+02:00"},
    "attempt written as a float": STEP | {"attempt": 2.0},
    "heartbeats": STEP | {"heartbeatSeconds": 30},
    "null for heartbeats": STEP | {"heartbeatSeconds": None},
    "a field of the future": STEP | {"colour": "red"},
}
BAD_STEPS = {
    "not an object": [STEP],
    "no version": without(STEP, "version"),
    "version of the future": STEP | {"version": 2},
    "version true": STEP | {"version": True},
    "no job": without(STEP, "job"),
    "job a string": STEP | {"job": "order-1"},
    "job without uid": STEP | {"job": without(JOB, "uid")},
    "empty namespace": STEP | {"job": JOB | {"namespace": ""}},
    "no step": without(STEP, "step"),
    "empty step": STEP | {"step": ""},
    "step a number": STEP | {"step": 7},
    "no attempt": without(STEP, "attempt"),
    "attempt zero": STEP | {"attempt": 0},
    "attempt true": STEP | {"attempt": True},
    "attempt a half": STEP | {"attempt": 1.5},
    "attempt a string": STEP | {"attempt": "2"},
    "deadline a number": STEP | {"deadline": 1767225600},
    "deadline without zone": STEP | {"deadline": "2026-01-01T00:00:00"},
    "deadline a date": STEP | {"deadline": "2026-01-01"},
    "heartbeats without end": STEP | {"heartbeatSeconds": 0},
    "heartbeats true": STEP | {"heartbeatSeconds": True},
    "heartbeats a text": STEP | {"heartbeatSeconds": "30"},
}
GOOD_RESULTS = {
    "succeeded": SUCCEEDED,
    "failed": FAILED,
    "no worker": without(SUCCEEDED, "worker"),
    "no output": without(SUCCEEDED, "output"),
    "error with a code alone": FAILED | {"error": {"code": "Broke"}},
    "succeeded beside an ignored error": SUCCEEDED | {"error": 5},
    "a field of the future": FAILED | {"colour": "red"},
}
BAD_RESULTS = {
    "not an object": "done",
    "no outcome": RESULT,
    "outcome in lower case": SUCCEEDED | {"outcome": "succeeded"},
    "outcome true": SUCCEEDED | {"outcome": True},
    "failed without error": without(FAILED, "error"),
    "error a string": FAILED | {"error": "it broke"},
    "error without code": FAILED | {"error": {"message": "it broke"}},
    "empty code": FAILED | {"error": {"code": ""}},
    "message a number": FAILED | {"error": {"code": "Broke", "message": 5}},
    "retryable a string": FAILED | {"error": {"code": "Broke", "retryable": "no"}},
    "worker null": SUCCEEDED | {"worker": None},
    "version a string": SUCCEEDED | {"version": "1"},
    "job without name": SUCCEEDED | {"job": without(JOB, "name")},
    "attempt zero": SUCCEEDED | {"attempt": 0},
}


@pytest.mark.parametrize("body", GOOD_STEPS.values(), ids=GOOD_STEPS)
def test_a_good_step_is_taken_by_schema_and_decoder(body: Any) -> None:
    STEP_SCHEMA.validate(body)
    assert StepMessage.decode(ID, json.dumps(body).encode()).attempt == 2


@pytest.mark.parametrize("body", BAD_STEPS.values(), ids=BAD_STEPS)
def test_a_bad_step_is_refused_by_schema_and_decoder(body: Any) -> None:
    assert not STEP_SCHEMA.is_valid(body)
    with pytest.raises(MalformedMessage):
        StepMessage.decode(ID, json.dumps(body).encode())


@pytest.mark.parametrize("body", GOOD_RESULTS.values(), ids=GOOD_RESULTS)
def test_a_good_result_is_taken_by_schema_and_decoder(body: Any) -> None:
    RESULT_SCHEMA.validate(body)
    assert ResultMessage.decode(ID, json.dumps(body).encode()).job == JobRef("shop", "order-1", "u-1")


@pytest.mark.parametrize("body", BAD_RESULTS.values(), ids=BAD_RESULTS)
def test_a_bad_result_is_refused_by_schema_and_decoder(body: Any) -> None:
    assert not RESULT_SCHEMA.is_valid(body)
    with pytest.raises(MalformedMessage):
        ResultMessage.decode(ID, json.dumps(body).encode())


@given(JOBS, TEXTS, JSON_VALUES, st.sampled_from([None, "2026-01-01T00:00:00Z"]))
def test_an_encoded_step_fits_the_schema_and_comes_back_equal(
    job: JobRef, step: str, value: Any, deadline: str | None
) -> None:
    message = StepMessage(ID, job, step, 2, value, deadline)
    STEP_SCHEMA.validate(json.loads(message.encode()))
    assert StepMessage.decode(ID, message.encode()) == message


@given(JOBS, TEXTS, JSON_VALUES)
def test_an_encoded_success_fits_the_schema_and_comes_back_equal(job: JobRef, step: str, value: Any) -> None:
    message = ResultMessage(ID, job, step, 2, Succeeded(value), "w-1")
    RESULT_SCHEMA.validate(json.loads(message.encode()))
    assert ResultMessage.decode(ID, message.encode()) == message


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=MAX_MESSAGE_CHARS + 10)


@given(ANY_TEXT, ANY_TEXT, st.booleans())
def test_a_failure_can_always_be_encoded(code: str, text: str, retryable: bool) -> None:  # noqa: FBT001  hypothesis fills it
    job = JobRef("shop", "order-1", "u-1")
    body = ResultMessage(ID, job, "charge", 2, Failed(StepError(code, text, retryable))).encode()
    RESULT_SCHEMA.validate(json.loads(body))
    outcome = ResultMessage.decode(ID, body).outcome
    assert isinstance(outcome, Failed)
    assert outcome.error.retryable is retryable
    assert len(outcome.error.code) <= MAX_CODE_CHARS
    assert len(outcome.error.message) <= MAX_MESSAGE_CHARS


def test_a_failure_without_a_code_says_that_the_step_failed() -> None:
    body = ResultMessage(ID, JobRef("a", "b", "u-1"), "s", 2, Failed(StepError("", "x"))).encode()
    assert json.loads(body)["error"]["code"] == STEP_FAILED


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"x", "\ud800", {("a", "b"): 1}])
def test_an_output_that_is_no_json_is_named_so(value: Any) -> None:
    with pytest.raises(UnfitOutput) as raised:
        ResultMessage(ID, JobRef("a", "b", "u-1"), "s", 2, Succeeded(value)).encode()
    assert raised.value.code == RESULT_NOT_JSON


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"x": value}
    return value


def test_the_depth_of_an_output_is_bounded_for_writers_and_readers_alike() -> None:
    job = JobRef("a", "b", "u-1")
    fits = ResultMessage(ID, job, "s", 2, Succeeded(nested(MAX_DEPTH)))
    assert ResultMessage.decode(ID, fits.encode()) == fits
    with pytest.raises(UnfitOutput, match="deeper than 100"):
        ResultMessage(ID, job, "s", 2, Succeeded(nested(MAX_DEPTH + 1))).encode()
    body = json.dumps(SUCCEEDED | {"output": nested(MAX_DEPTH + 1)}).encode()
    with pytest.raises(MalformedMessage, match="deeper than 100"):
        ResultMessage.decode(ID, body)


def test_a_circular_or_too_deep_output_is_no_json() -> None:
    circle: list[Any] = []
    circle.extend([circle, circle])
    for value in (circle, nested(100_000)):
        with pytest.raises(UnfitOutput) as raised:
            ResultMessage(ID, JobRef("a", "b", "u-1"), "s", 2, Succeeded(value)).encode()
        assert raised.value.code == RESULT_NOT_JSON


def test_the_largest_result_is_exactly_the_limit() -> None:
    def result(size: int) -> ResultMessage:
        return ResultMessage(ID, JobRef("a", "b", "u-1"), "s", 2, Succeeded("x" * size))

    room = MAX_RESULT_BYTES - len(result(0).encode())
    assert len(result(room).encode()) == MAX_RESULT_BYTES
    with pytest.raises(UnfitOutput) as raised:
        result(room + 1).encode()
    assert raised.value.code == RESULT_TOO_LARGE


@pytest.mark.parametrize(
    "text",
    [b"NaN", b"[Infinity]", b"1e999", b'"\\ud800"', b'{"\\uDfff": 1}', b'"\xff"', b"\xef\xbb\xbf1", b"", b"1 2",
     b"[" * 100_000, '"x"'.encode("utf-16"), b"1" + b"0" * 309, b"[-" + b"9" * 310 + b"]", b"1" * 5000],
)  # fmt: skip
def test_what_other_readers_refuse_is_not_read_as_json(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_json(text)


def test_a_long_number_that_a_float_can_hold_is_read() -> None:
    assert parse_json(b"1" + b"0" * 308) == 10**308
    assert parse_json(b'"' + b"7" * 400 + b'"') == "7" * 400, "digits of a text are no number"


@pytest.mark.parametrize("output", [10**309, {"n": [-(2**2000)]}])
def test_an_output_with_a_number_that_no_float_can_hold_fails_its_step(output: object) -> None:
    with pytest.raises(UnfitOutput) as raised:
        ResultMessage(ID, JobRef("a", "b", "u-1"), "s", 2, Succeeded(output)).encode()
    assert raised.value.code == RESULT_NOT_JSON


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize("text", ["", ":1:1", "u:1", "u:-1:1", "u:1:0", "u:01:1", "u:1:1 ", "u:1:²", f"u:{'9' * 19}:1"])
def test_what_is_no_dispatch_id_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_dispatch_id(text)


@pytest.mark.parametrize("message_id", [None, "other:3:2", "u-1:3:1"])
def test_a_message_whose_id_is_of_another_job_or_attempt_is_refused(message_id: str | None) -> None:
    with pytest.raises(MalformedMessage):
        StepMessage.decode(message_id, json.dumps(STEP).encode())
    with pytest.raises(MalformedMessage):
        ResultMessage.decode(message_id, json.dumps(SUCCEEDED).encode())


def test_a_time_that_no_calendar_has_is_refused() -> None:
    assert parse_time("2026-01-01T01:00:00+01:00") == parse_time("2026-01-01T00:00:00z")
    for text in ("2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z", "0001-01-01T00:00:00+23:59"):
        with pytest.raises(MalformedMessage):
            parse_time(text)


def test_only_headers_that_are_texts_are_kept() -> None:
    headers = {"traceparent": "00-aa-bb-01", "x-delivery-count": 3}
    message = StepMessage.decode(ID, json.dumps(STEP).encode(), headers)
    assert message.headers == {"traceparent": "00-aa-bb-01"}


REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "worker-contract.md"
HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "write-a-worker.md"


FILES = ("step", "result", "heartbeat", "presence", "command")


def test_the_examples_of_the_reference_page_fit_the_schemas() -> None:
    shown = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", REFERENCE.read_text(), re.DOTALL)]
    for body, file in zip(shown, FILES, strict=True):
        schema(f"{file}.json").validate(body)


def test_the_reference_page_tells_every_code_and_every_field() -> None:
    text = REFERENCE.read_text()
    codes = [STEP_FAILED, STEP_UNKNOWN, STEP_TIMEOUT, RESULT_TOO_LARGE, RESULT_NOT_JSON, EXIT_CODE, DELIVERY_LIMIT]
    codes.append(HEARTBEAT_TIMEOUT)
    fields = {name for file in FILES for name in _schema(f"{file}.json")["properties"]}
    assert [word for word in (*codes, *fields) if f"`{word}`" not in text] == []


def test_the_how_to_names_every_setting() -> None:
    assert [variable.name for variable in VARIABLES if variable.name not in HOW_TO.read_text()] == ["MCP_HANDLERS"]
