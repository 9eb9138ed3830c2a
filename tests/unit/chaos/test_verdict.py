"""The short verdict finds each thing that may be wrong with a job, and nothing with a sound one."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from chaos.load import CHAIN, STEPS, Wanted
from chaos.verdict import executions, faults, of_jobs

UID = "0b1f4a3e-0000-4000-8000-000000000001"
OUTPUT = {"path": list(STEPS)}
WANTED = Wanted("c-0", CHAIN, {"workflow": CHAIN}, OUTPUT)
EXECUTED = {f"{UID}:{n}:1": 1 for n in range(1, 6)}


def sound() -> dict[str, Any]:
    lines: list[dict[str, Any]] = [{"seq": n, "state": f"InProgress.{step}"} for n, step in enumerate(STEPS, 1)]
    lines[0]["reason"] = "Started"
    history = [*lines, {"seq": 6, "state": "Done"}]
    status = {"phase": "Succeeded", "state": "Done", "sequence": 6, "history": history, "output": dict(OUTPUT)}
    return {"metadata": {"name": "c-0", "uid": UID}, "status": status}


def found(job: dict[str, Any], executed: dict[str, int] | None = None, wanted: Wanted = WANTED) -> str:
    others = {"c-0": job}
    return "\n".join(faults([wanted], others, EXECUTED if executed is None else executed))


def test_a_sound_job_has_no_fault() -> None:
    assert found(sound()) == ""


def test_a_job_that_is_gone_is_a_fault() -> None:
    assert faults([WANTED], {}, {}) == ["c-0: it was created, and is not there"]


def test_a_job_that_never_began_is_a_fault() -> None:
    assert "it has not ended" in found({"metadata": {"name": "c-0", "uid": UID}})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"phase": "Running", "state": "InProgress.two", "message": "two is with pool p"}, "has not ended: Running"),
        ({"active": [{"path": "two"}]}, "something is active"),
        ({"sequence": 7}, "its sequence is 7"),
        ({"phase": "Failed", "error": {"code": "X"}}, "it is Failed with {'code': 'X'}"),
        ({"output": {"path": ["one"]}}, "and not Succeeded with"),
        ({"output": None}, "and not Succeeded with"),
    ],
)
def test_each_fault_of_an_end_is_found(change: dict[str, Any], said: str) -> None:
    job = sound()
    job["status"] |= change
    assert said in found(job)


@pytest.mark.parametrize("twist", [lambda h: h.pop(2), lambda h: h.insert(2, copy.copy(h[1]))])
def test_a_gap_or_a_repetition_in_the_history_is_found(twist: Any) -> None:
    job = sound()
    twist(job["status"]["history"])
    assert "its history has" in found(job)


def test_a_history_that_was_cut_at_its_limit_is_no_fault() -> None:
    job = sound()
    history = [{"seq": n, "state": "InProgress.one", "reason": "StepFailed"} for n in range(11, 61)]
    job["status"] |= {"sequence": 60, "history": history}
    assert found(job) == ""


def test_a_step_that_counts_as_done_and_was_not_executed_is_found() -> None:
    executed = EXECUTED | {f"{UID}:3:1": 0}
    assert found(sound(), executed) == f"c-0: {UID}:3:1 counts as done, and no worker executed it"


def test_an_attempt_that_failed_need_not_have_been_executed() -> None:
    job = sound()
    history = job["status"]["history"]
    for line in history[1:]:
        line["seq"] += 1
    history.insert(1, {"seq": 2, "state": "InProgress.one", "reason": "Busy", "attempt": 1})
    history[2]["attempt"] = 2
    job["status"]["sequence"] = 7
    executed = {f"{UID}:2:2": 1} | {f"{UID}:{n}:1": 1 for n in range(3, 7)}
    assert found(job, executed) == ""


def test_a_job_may_end_otherwise_after_an_attempt_ran_out_of_time_but_has_to_end() -> None:
    job = sound()
    job["status"]["history"][-1] = {"seq": 6, "state": "Failed", "reason": "Timeout"}
    job["status"] |= {"phase": "Failed", "state": "Failed", "error": {"code": "Timeout"}}
    assert found(job) == ""
    job["status"]["phase"] = "Running"
    assert "has not ended" in found(job)


def test_a_job_made_by_a_job_must_be_sound_too_and_excuses_its_parent() -> None:
    parent, child = sound(), sound()
    child["metadata"] = {"name": "c-0-x", "uid": UID, "labels": {"mastercontrol.dev/parent": "c-0"}}
    parent["status"]["output"] = {"failed": ["Timeout"]}
    jobs = {"c-0": parent, "c-0-x": child}
    assert any("and not Succeeded" in fault for fault in faults([WANTED], jobs, EXECUTED))
    child["status"]["history"][-1]["reason"] = "Timeout"
    assert faults([WANTED], jobs, EXECUTED) == []
    child["status"]["phase"] = "Running"
    assert any(fault.startswith("c-0-x: it has not ended") for fault in faults([WANTED], jobs, EXECUTED))


def test_executions_are_read_from_logs_even_where_two_stand_in_one_line() -> None:
    line = f"2026-05-04T10:00:00.1Z stdout F EXECUTED {UID}:1:1 c-0 one"
    assert executions(f"{line}\n{line}EXECUTED {UID}:2:1 c-0 two\nEXECUTED x c-0 one\n") == {
        f"{UID}:1:1": 2,
        f"{UID}:2:1": 1,
    }


def test_the_history_of_a_run_leaves_out_the_jobs_of_others() -> None:
    history = [{"kind": "run"}, {"kind": "commit", "job": "a"}, {"kind": "commit", "job": "b"}, {"kind": "rest"}]
    assert [event.get("job") for event in of_jobs(history, {"b"})] == [None, "b", None]
