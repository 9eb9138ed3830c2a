"""The message of a heartbeat: what it may hold, and that its encoder, its decoder and its JSON Schema say the same."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mastercontrol_worker.contract import JobRef, MalformedMessage, ResultMessage, StepMessage
from mastercontrol_worker.heartbeat import MAX_PROGRESS_BYTES, Beat, HeartbeatMessage, encode_progress
from mastercontrol_worker.testing import step_message

ID = "u-1:3:2"
JOB = {"namespace": "shop", "name": "order-1", "uid": "u-1"}
ALIVE: dict[str, Any] = {"version": 1, "job": JOB, "step": "charge", "attempt": 2, "worker": "w", "heartbeat": "Alive"}
SCHEMA = Draft202012Validator(
    json.loads(files("mastercontrol_worker").joinpath("schemas", "heartbeat.json").read_text())
)

GOOD = {
    "alive": ALIVE,
    "begun": ALIVE | {"heartbeat": "Begun"},
    "given back": ALIVE | {"heartbeat": "GivenBack"},
    "with progress": ALIVE | {"progress": {"page": 3}},
    "null progress": ALIVE | {"progress": None},
    "no worker": {k: v for k, v in ALIVE.items() if k != "worker"},
    "a field of the future": ALIVE | {"mood": "fine"},
}
BAD = {
    "not an object": [ALIVE],
    "no heartbeat": {k: v for k, v in ALIVE.items() if k != "heartbeat"},
    "another word": ALIVE | {"heartbeat": "Asleep"},
    "heartbeat a number": ALIVE | {"heartbeat": 1},
    "worker a number": ALIVE | {"worker": 1},
    "version of the future": ALIVE | {"version": 2},
    "no job": {k: v for k, v in ALIVE.items() if k != "job"},
    "attempt zero": ALIVE | {"attempt": 0},
}


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD)
def test_what_the_schema_takes_is_read(body: Any) -> None:
    SCHEMA.validate(body)
    read = HeartbeatMessage.decode(ID, json.dumps(body).encode())
    assert (read.id, read.job, read.step, read.attempt) == (ID, JobRef("shop", "order-1", "u-1"), "charge", 2)
    assert (read.beat, read.progress) == (body["heartbeat"], body.get("progress"))


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_what_the_schema_refuses_is_malformed(body: Any) -> None:
    assert not SCHEMA.is_valid(body)
    with pytest.raises(MalformedMessage):
        HeartbeatMessage.decode(ID, json.dumps(body).encode())


def test_a_heartbeat_of_another_job_than_its_id_says_is_malformed() -> None:
    with pytest.raises(MalformedMessage, match="another job"):
        HeartbeatMessage.decode("u-2:3:2", json.dumps(ALIVE).encode())


def test_a_heartbeat_is_no_result_and_a_result_no_heartbeat() -> None:
    with pytest.raises(MalformedMessage, match="outcome"):
        ResultMessage.decode(ID, json.dumps(ALIVE).encode())
    result = {**ALIVE, "outcome": "Succeeded"}
    del result["heartbeat"]
    with pytest.raises(MalformedMessage, match="heartbeat"):
        HeartbeatMessage.decode(ID, json.dumps(result).encode())


def test_a_worker_lives_whatever_is_wrong_with_its_progress() -> None:
    too_large: list[Any] = ["x" * MAX_PROGRESS_BYTES, [[]] * 400]
    for progress in too_large:
        body = json.dumps(ALIVE | {"progress": progress}).encode()
        assert HeartbeatMessage.decode(ID, body).progress is None
    deep = json.dumps(ALIVE).encode()[:-1] + b',"progress":' + b"[" * 200 + b"]" * 200 + b"}"
    assert HeartbeatMessage.decode(ID, deep).progress is None


def test_a_heartbeat_larger_than_any_message_is_not_looked_into() -> None:
    with pytest.raises(MalformedMessage, match="65536"):
        HeartbeatMessage.decode(ID, json.dumps(ALIVE | {"progress": "x" * 70_000}).encode())


@given(progress=st.none() | st.integers() | st.text(max_size=50) | st.lists(st.text(max_size=5), max_size=9))
def test_what_is_written_is_read_again_and_fits_the_schema(progress: Any) -> None:
    said = HeartbeatMessage.of(step_message("charge"), Beat.ALIVE, "w-1", progress)
    body = said.encode()
    SCHEMA.validate(json.loads(body))
    assert HeartbeatMessage.decode(said.id, body) == said


@pytest.mark.parametrize(
    ("progress", "why"),
    [
        ({"left": {1, 2}}, "no JSON value"),
        (float("nan"), "no JSON value"),
        ("é" * 600, "has 1202 bytes of JSON, the limit is 1024"),
        ("\ud800", "no JSON value"),
        (10**400, "."),
    ],
)
def test_a_progress_that_no_message_can_carry_says_why(progress: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        encode_progress(progress)


def test_a_progress_of_exactly_a_kibibyte_is_taken() -> None:
    assert len(encode_progress("x" * (MAX_PROGRESS_BYTES - 2))) == MAX_PROGRESS_BYTES


def test_a_progress_that_is_nested_too_deeply_says_so() -> None:
    deep: Any = 0
    for _ in range(101):
        deep = [deep]
    with pytest.raises(ValueError, match="nested deeper than 100"):
        encode_progress(deep)


def test_a_step_says_how_often_it_wants_to_hear_and_older_workers_need_not_know() -> None:
    asking = step_message("charge", heartbeat_seconds=30)
    assert json.loads(asking.encode())["heartbeatSeconds"] == 30
    assert StepMessage.decode(asking.id, asking.encode()).heartbeat_seconds == 30
    assert "heartbeatSeconds" not in json.loads(step_message("charge").encode())
