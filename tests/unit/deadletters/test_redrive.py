"""Whether a letter's job is retried, and how it is known that this was done."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest

from mastercontrol.api.job import parse_job
from mastercontrol.api.names import API_VERSION
from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.deadletters.letters import Letter
from mastercontrol.pools.deadletters.redrive import OPERATIONS_MAX, REASON_CHARS, Verdict, judge
from unit.deadletters.builders import failed_job, letter, retry

NOT_SENT: frozenset[int] = frozenset()


def judged(raw: RawObject | None, *letters: Letter, sent: frozenset[int] = NOT_SENT) -> Verdict:
    return judge(letters or (letter(),), raw, sent)


def why(raw: RawObject | None, *, of: Letter | None = None, sent: frozenset[int] = NOT_SENT) -> str:
    verdict = judged(raw, of or letter(), sent=sent)
    assert (verdict.done, verdict.waits, verdict.patch) == ([], [], None)
    (text,) = verdict.refused.values()
    return text


def with_operations(raw: RawObject, *operations: dict[str, Any]) -> RawObject:
    raw["spec"]["operations"] = list(operations)
    return raw


def test_a_job_that_failed_in_the_step_is_retried() -> None:
    raw = failed_job()
    verdict = judged(raw)
    assert (verdict.done, verdict.refused) == ([], {})
    assert verdict.waits == [letter()]
    assert verdict.indexes == {0}
    assert verdict.patch is not None
    after = jsonpatch.apply_patch(raw, verdict.patch)
    assert after["spec"]["operations"] == [retry("redrive of dead letter 1:1")]
    assert len(parse_job(after).asked) == 1


def test_a_retry_is_added_after_those_that_are_there_and_where_there_is_no_list() -> None:
    raw = with_operations(failed_job(operationsTaken=1), retry("ann"))
    verdict = judged(raw)
    assert verdict.patch is not None
    assert verdict.indexes == {1}
    assert jsonpatch.apply_patch(raw, verdict.patch)["spec"]["operations"][1] == retry("redrive of dead letter 1:1")
    bare = failed_job()
    del bare["spec"]["operations"]
    patch = judged(bare).patch
    assert patch is not None
    assert len(jsonpatch.apply_patch(bare, patch)["spec"]["operations"]) == 1


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
def test_a_job_that_changed_meanwhile_is_not_patched(field: str) -> None:
    raw = failed_job()
    patch = judged(raw).patch
    assert patch is not None
    raw["metadata"][field] = "other"
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(raw, patch)


def test_letters_of_one_job_share_one_retry() -> None:
    verdict = judged(failed_job(resumable=["fan[0].charge", "fan[1].ship"]), letter(2), letter(3, name="ship"))
    assert verdict.patch is not None
    assert verdict.patch[-1]["value"] == [retry("redrive of dead letter 2:1 3:1")]
    assert len(verdict.waits) == 2


def test_a_retry_names_no_more_letters_than_fit_and_the_others_are_told() -> None:
    letters = [letter(n) for n in range(1, 201)]
    verdict = judged(failed_job(sequence=300), *letters)
    assert verdict.patch is not None
    assert len(verdict.patch[-1]["value"][0]["reason"]) <= REASON_CHARS
    assert len(verdict.waits) > 60
    assert len(verdict.waits) + len(verdict.refused) == 200


def test_a_retry_that_is_not_taken_yet_is_waited_for_and_not_added_again() -> None:
    verdict = judged(with_operations(failed_job(), retry("redrive of dead letter 1:1")))
    assert (verdict.waits, verdict.indexes, verdict.patch) == ([letter()], {0}, None)


@pytest.mark.parametrize("phase", ["Running", "Succeeded", "Failed", "Cancelled", "Suspended"])
def test_a_retry_that_was_done_is_seen_as_done_whatever_came_after(phase: str) -> None:
    raw = failed_job(phase=phase, operationsTaken=1, sequence=9, countedFrom=2)
    verdict = judged(with_operations(raw, retry("redrive of dead letter 5:1 1:1")))
    assert (verdict.done, verdict.waits, verdict.refused, verdict.patch) == ([letter()], [], {}, None)


def test_the_retry_of_another_letter_or_of_a_person_is_not_taken_for_that() -> None:
    for reason in ("redrive of dead letter 1:2", "redrive of dead letter 11:1", "ann: see 1:1"):
        raw = failed_job(phase="Running", state="InProgress.charge", operationsTaken=1, countedFrom=2, sequence=3)
        assert "its job has not failed, it is in InProgress.charge" in why(with_operations(raw, retry(reason)))


def test_a_retry_that_the_job_refused_is_told_in_its_words() -> None:
    text = "spec.operations[0], Retry: it waits for a place"
    condition = {
        "type": "Operated",
        "status": "False",
        "reason": "OperationRefused",
        "message": text,
        "lastTransitionTime": "2030-01-01T12:00:00.000Z",
    }
    raw = failed_job(operationsTaken=1, conditions=[condition])
    raw = with_operations(raw, retry("redrive of dead letter 1:1"))
    assert why(raw, sent=frozenset({0})) == text
    condition["message"] = "spec.operations[1], Retry: of another one"
    assert why(raw, sent=frozenset({0})) == "spec.operations[0] of its job was refused"


def test_a_retry_that_was_refused_for_an_earlier_request_is_tried_again() -> None:
    verdict = judged(with_operations(failed_job(operationsTaken=1), retry("redrive of dead letter 1:1")))
    assert verdict.patch is not None
    assert verdict.indexes == {1}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (None, "its job is gone; discard the letter"),
        (failed_job(phase="Succeeded", state="Done"), "its job went on and has succeeded"),
        (failed_job(phase="Cancelled", state="Cancelled"), "its job was cancelled"),
        (failed_job(phase="Running", state="InProgress.ship"), "has not failed, it is in InProgress.ship"),
        (failed_job(countedFrom=2, sequence=4), "its job went on since, and failed again later"),
        (failed_job(resumable=[]), "can't go on from where it failed; add the operation Restart"),
        (failed_job(resumable=["each[3].ship"]), "its job went on, and failed in each[3].ship"),
    ],
)
def test_a_job_that_has_gone_on_is_not_retried(raw: RawObject | None, text: str) -> None:
    assert text in why(raw)


def test_a_job_that_has_no_status_is_not_retried() -> None:
    raw = failed_job()
    del raw["status"]
    assert "has not failed" in why(raw)


def test_another_job_of_the_name_is_not_retried() -> None:
    raw = failed_job()
    raw["metadata"]["uid"] = "u-other"
    assert "another one has its name now" in why(raw)


def test_a_job_that_is_being_deleted_or_cancelled_is_not_retried() -> None:
    deleted, cancelled = failed_job(), failed_job()
    deleted["metadata"]["deletionTimestamp"] = "2030-01-01T12:00:00Z"
    cancelled["spec"]["cancel"] = True
    assert "is being deleted" in why(deleted)
    assert "spec.cancel of its job is set" in why(cancelled)


def test_a_child_is_not_retried_as_its_parent_has_gone_on() -> None:
    raw = failed_job()
    owner = {
        "apiVersion": API_VERSION,
        "kind": "Job",
        "name": "trip",
        "uid": "u-p",
        "controller": True,
    }
    raw["metadata"] |= {"ownerReferences": [owner], "annotations": {"mastercontrol.dev/dispatch": "u-p:1:1"}}
    assert why(raw) == "its job is a child of job trip, which went on; retry that one"


def test_a_job_that_has_all_its_operations_is_not_retried() -> None:
    raw = with_operations(failed_job(operationsTaken=OPERATIONS_MAX), *[retry("ann")] * OPERATIONS_MAX)
    assert "256 operations, which is the most" in why(raw)


def test_a_job_that_cannot_be_read_is_not_retried() -> None:
    raw = failed_job()
    raw["spec"]["suspend"] = "maybe"
    assert "its job can't be read: spec.suspend" in why(raw)
