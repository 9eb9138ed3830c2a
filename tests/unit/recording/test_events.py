"""What the recorder makes of two versions of an object, of a copied message, and of a worker's log."""

from __future__ import annotations

import json
from typing import Any

from mastercontrol.api.names import Phase
from mastercontrol.api.status import ActiveStep, JobStatus
from mastercontrol.api.status_json import to_raw
from recording.events import of_deletion, of_job, of_workflow, unpacked
from recording.messages import of_message
from recording.recorder import executions

META = {"namespace": "shop", "name": "j", "uid": "u"}


def job(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {"metadata": META, "spec": {"workflow": "order", **spec}}
    return raw if status is None else {**raw, "status": status}


def status(seq: int, *, first: int = 1, **fields: Any) -> dict[str, Any]:
    lines = [{"seq": n, "state": f"InProgress.s{n}"} for n in range(first, seq + 1)]
    return {"state": f"InProgress.s{seq}", "phase": "Running", "sequence": seq, "history": lines, **fields}


def kinds(before: dict[str, Any] | None, after: dict[str, Any]) -> list[str]:
    return [event["kind"] for event in of_job(before, after)]


def test_a_job_that_is_new_was_created() -> None:
    meta = {**META, "annotations": {"mastercontrol.dev/dispatch": "p:1:1"}}
    (event,) = of_job(None, {**job(signals=[{"name": "go"}]), "metadata": meta})
    expected = {"namespace": "shop", "name": "j", "workflow": "order", "signals": ["go"], "parent": "p:1:1"}
    assert event == {"kind": "create", "job": "u", **expected}


def test_what_a_user_changes_is_told() -> None:
    after = job(suspend=True, cancel=True, signals=[{"name": "go"}], operations=[{"type": "Retry"}])
    assert kinds(job(), after) == ["signal", "operate", "suspend", "cancel"]
    assert kinds(after, {**after, "spec": {**after["spec"], "suspend": False}}) == ["resume"]
    assert kinds(after, after) == []


def test_a_write_has_the_transitions_that_are_new() -> None:
    active = [{"path": "s3", "seq": 3, "attempt": 1, "dispatchedAt": "2030-01-01T00:00:00Z"}]
    (event,) = of_job(job(status(1)), job(status(3, active=active, revision="order-1")))
    assert (event["kind"], event["before"], event["seq"], event["ended"]) == ("commit", 1, 3, False)
    assert event["history"] == [{"reason": "StepSucceeded", "seq": n, "state": f"InProgress.s{n}"} for n in (2, 3)]
    assert event["active"] == [{**active[0], "id": "u:3:1"}]
    assert event["bounded"] is False
    assert event["last"] == {"seq": 3, "state": "InProgress.s3"}


def test_a_write_whose_history_has_lost_lines_says_so() -> None:
    (event,) = of_job(job(status(1)), job(status(30, first=11)))
    assert event["bounded"] is True
    assert [line["seq"] for line in event["history"]] == list(range(11, 31))


def test_the_lists_of_a_large_status_are_read_from_their_texts() -> None:
    active = [
        {"dispatchedAt": "then", "attempt": 1},
        {"path": "a", "seq": 3},
        {"path": "b", "seq": 4, "dispatchedAt": None},
    ]
    groups = [{}, {"path": "each", "seq": 1, "size": 9, "started": 2, "results": {"0": "much"}}]
    lines = [{}, {"seq": 3, "state": "InProgress.each[1].a"}, {"seq": 4, "state": "InProgress.each[2].b"}]
    texts = {"active": json.dumps(active), "groups": json.dumps(groups), "history": json.dumps(lines)}
    (event,) = of_job(job(status(2)), job({"state": "InProgress.each", "sequence": 4, "packed": texts}))
    assert event["active"] == [
        {"path": "a", "seq": 3, "attempt": 1, "dispatchedAt": "then", "id": "u:3:1"},
        {"path": "b", "seq": 4, "attempt": 1, "id": "u:4:1"},
    ]
    assert event["groups"] == [{**groups[1], "results": {"0": True}}]
    assert [line["seq"] for line in event["history"]] == [3, 4]
    assert event["bounded"] is True


def test_what_the_recorder_reads_is_what_the_engine_reads() -> None:
    steps = tuple(ActiveStep(f"each[{n}].a", n + 2, attempt=1 + n % 2) for n in range(40))
    raw = to_raw(JobStatus("InProgress.each", Phase.RUNNING, sequence=41, active=steps))
    assert "packed" in raw
    read = [(entry["path"], entry["seq"], entry["attempt"]) for entry in unpacked(raw)["active"]]
    assert read == [(entry.path, entry.seq, entry.attempt) for entry in steps]


def test_a_write_says_what_the_job_waits_for() -> None:
    conditions = [{"type": "Waiting", "status": "True", "reason": "UnknownPool"}]
    (event,) = of_job(job(), job({"state": "Begin", "phase": "Pending", "conditions": conditions}))
    assert (event["seq"], event["waiting"], event["history"]) == (0, "UnknownPool", [])


def test_a_job_that_is_gone_was_deleted() -> None:
    assert of_deletion(job()) == {"kind": "delete", "job": "u"}


def test_a_workflow_has_its_revision_once_it_is_of_this_generation() -> None:
    raw = {"metadata": {**META, "generation": 2}, "spec": {"states": []}}
    assert "revision" not in of_workflow(raw)
    assert "revision" not in of_workflow({**raw, "status": {"revision": "order-1", "observedGeneration": 1}})
    assert of_workflow({**raw, "status": {"revision": "order-2", "observedGeneration": 2}})["revision"] == "order-2"


def message(exchange: str, *queues: str, key: str = "k", **body: Any) -> dict[str, Any] | None:
    properties = {"message_id": "u:1:1"}
    headers = {
        "exchange_name": exchange,
        "routing_keys": [key],
        "routed_queues": list(queues),
        "properties": properties,
    }
    return of_message(headers, json.dumps({"job": {"uid": "u", "namespace": "shop"}, "step": "one", **body}).encode())


def test_a_step_that_a_queue_took_is_a_dispatch() -> None:
    expected = {"kind": "dispatch", "job": "u", "id": "u:1:1", "step": "one", "namespace": "shop"}
    assert message("mcp.steps", "mcp.pool.shop.p") == expected


def test_a_step_that_no_queue_took_is_none() -> None:
    assert message("mcp.steps") is None


def test_an_answer_is_a_result() -> None:
    found = message("mcp.results", "mcp.results", outcome="Failed", error={"code": "Busy"})
    assert found is not None
    assert (found["kind"], found["outcome"], found["code"]) == ("result", "Failed", "Busy")


def test_a_heartbeat_is_no_result() -> None:
    assert message("mcp.results", "mcp.heartbeats.1", key="mcp.heartbeats") is None


def test_what_is_no_message_of_the_contract_is_passed_over() -> None:
    headers = {"exchange_name": "mcp.results", "routed_queues": ["q"], "properties": {"message_id": "x"}}
    assert of_message(headers, b"no JSON") is None
    assert of_message(headers, b"[1]") is None


def test_two_threads_may_print_into_one_line() -> None:
    log = "EXECUTED u:1:1 j oneEXECUTED u:2:1 j two\n\nwhatever EXECUTED nothing\n"
    assert [event["id"] for event in executions([log])] == ["u:1:1", "u:2:1"]
