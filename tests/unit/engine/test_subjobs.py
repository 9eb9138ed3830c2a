"""A child Job as its parent sees it, and a parent as its child sees it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mastercontrol.api.family import Parent, depth_of, parent_of
from mastercontrol.api.job import Job, JobSpec
from mastercontrol.api.names import ConditionType, Phase
from mastercontrol.api.status import ActiveStep, JobError, JobStatus
from mastercontrol.engine.facts import Absent, Ended, NoParent, Running
from mastercontrol.engine.subjobs import child_state, is_child
from mastercontrol_worker.contract import MAX_RESULT_BYTES, Failed, StepError, Succeeded
from unit.engine.builders import NOW, UID, Run, state

ENTRY = ActiveStep("bill", 3, 2, dispatched_at=NOW)


def child(**status: Any) -> Job:
    return Job("shop", "order-1-bill-x", "c1", "9", 1, JobSpec("billing"), JobStatus(**status))


def failed(code: str, message: str = "no") -> Job:
    return child(phase=Phase.FAILED, error=JobError(code, message))


# -- what has become of a child


def test_a_child_without_status_runs() -> None:
    assert child_state(replace(child(), status=None)) == Running(None)


def test_a_child_that_runs_says_what_it_waits_for() -> None:
    assert child_state(child(phase=Phase.RUNNING, message="charge is next")) == Running("charge is next")


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.RUNNING, Phase.SUSPENDED])
def test_a_child_that_is_being_deleted_will_never_end(phase: Phase) -> None:
    assert child_state(replace(child(phase=phase), deleting=True)) == Absent()


def test_a_child_that_ended_before_it_was_deleted_has_ended() -> None:
    found = child_state(replace(child(phase=Phase.SUCCEEDED, output=1), deleting=True))
    assert found == Ended(Succeeded(1))


def test_a_failed_child_fails_with_its_own_code_and_is_named() -> None:
    text = "Job order-1-bill-x failed: card 1 was declined"
    assert child_state(failed("CardDeclined", "card 1 was declined")) == Ended(Failed(StepError("CardDeclined", text)))


def test_a_failed_child_that_does_not_say_why_has_a_code_all_the_same() -> None:
    found = child_state(child(phase=Phase.FAILED))
    assert found == Ended(Failed(StepError("SubJobFailed", "Job order-1-bill-x failed: ")))


def test_a_cancelled_child_fails_as_cancelled() -> None:
    found = child_state(child(phase=Phase.CANCELLED, message="spec.cancel was set"))
    text = "Job order-1-bill-x was cancelled: spec.cancel was set"
    assert found == Ended(Failed(StepError("Cancelled", text)))


@pytest.mark.parametrize("code", ["States.Runtime", "MaxTransitionsExceeded"])
def test_what_nothing_catches_in_a_child_can_be_caught_in_its_parent(code: str) -> None:
    found = child_state(failed(code))
    assert found == Ended(Failed(StepError("SubJobFailed", f"Job order-1-bill-x failed: {code}: no")))


def test_an_output_of_the_largest_size_is_taken() -> None:
    output = "x" * (MAX_RESULT_BYTES - 2)
    assert child_state(child(phase=Phase.SUCCEEDED, output=output)) == Ended(Succeeded(output))


def test_an_output_that_is_too_large_is_an_error_that_no_attempt_follows() -> None:
    found = child_state(child(phase=Phase.SUCCEEDED, output="ä" * (MAX_RESULT_BYTES // 2)))
    assert isinstance(found, Ended)
    assert isinstance(found.outcome, Failed)
    error = found.outcome.error
    assert (error.code, error.retryable) == ("ResultTooLarge", False)
    assert "order-1-bill-x has 65538 bytes" in error.message


# -- who is a child


def named(**more: Any) -> dict[str, Any]:
    owner = {
        "apiVersion": "mastercontrol.dev/v1alpha1",
        "kind": "Job",
        "name": "order-1",
        "uid": UID,
        "controller": True,
    }
    annotations = {"mastercontrol.dev/dispatch": f"{UID}:3:2", "mastercontrol.dev/depth": "4"}
    return {"ownerReferences": [owner | more.pop("owner", {})], "annotations": annotations | more}


def test_a_child_names_its_parent_and_what_it_answers() -> None:
    assert parent_of(named()) == Parent("order-1", UID, 3, 2)
    assert depth_of(named()) == 4


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"ownerReferences": None, "annotations": None},
        named(owner={"kind": "Schedule"}),
        named(owner={"apiVersion": "batch/v1"}),
        named(owner={"controller": False}),
        named(owner={"uid": "another"}),
        {**named(), "annotations": {}},
        {**named(), "annotations": {"mastercontrol.dev/dispatch": "nonsense"}},
    ],
)
def test_who_names_no_parent_in_our_way_is_nobody_s_child(meta: dict[str, Any]) -> None:
    assert parent_of(meta) is None


@pytest.mark.parametrize(
    ("uid", "seq", "attempt", "is_it"),
    [(UID, 3, 2, True), ("another", 3, 2, False), (UID, 4, 2, False), (UID, 3, 1, False)],
)
def test_a_child_answers_one_attempt_at_one_state(uid: str, seq: int, attempt: int, *, is_it: bool) -> None:
    job = replace(child(), uid=UID)
    assert is_child(job, ENTRY, Parent("order-1", uid, seq, attempt)) is is_it
    assert not is_child(job, ENTRY, None)


@pytest.mark.parametrize("text", ["", "deep", "-1"])
def test_a_depth_that_is_none_is_that_of_a_job_that_a_person_made(text: str) -> None:
    assert depth_of({"annotations": {"mastercontrol.dev/depth": text}}) == 0


# -- a child looks at its parent


def parent(*active: ActiveStep, **status: Any) -> Job:
    known = JobStatus(**{"sequence": 3, "phase": Phase.RUNNING, **status}, active=active)
    return Job("shop", "order-1", "p1", "9", 1, JobSpec("order"), known)


def of_parent(found: Job | NoParent | None, *, begun: bool = True) -> Run:
    """A child that has begun and then looks at its parent."""
    run = Run.of(state("Wait", "w", seconds=60)) if begun else Run("a")
    run.job = replace(run.job, parent=Parent("order-1", "p1", 3, 2))
    run.parent = found
    run.turn()
    return run


def test_a_child_that_is_waited_for_goes_on() -> None:
    assert of_parent(parent(ENTRY)).status.phase is Phase.RUNNING


def test_a_child_is_waited_for_before_its_parent_has_marked_it() -> None:
    assert of_parent(parent(replace(ENTRY, dispatched_at=None))).status.phase is Phase.RUNNING


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (NoParent(), "the Job order-1 that it belongs to is gone"),
        (parent(phase=Phase.CANCELLED), "the Job order-1 that it belongs to has ended: Cancelled"),
        (parent(phase=Phase.SUCCEEDED, sequence=1), "the Job order-1 that it belongs to has ended: Succeeded"),
        (parent(), "the Job order-1 that it belongs to no longer waits for it"),
        (parent(replace(ENTRY, attempt=3)), "the Job order-1 that it belongs to no longer waits for it"),
        (parent(replace(ENTRY, seq=5), sequence=5), "the Job order-1 that it belongs to no longer waits for it"),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_a_child_that_nobody_waits_for_cancels_itself_and_says_why(
    found: Job | NoParent, why: str, *, begun: bool
) -> None:
    run = of_parent(found, begun=begun)
    assert run.status.state == "Cancelled"
    assert run.status.message == why
    assert run.status.error == JobError("Cancelled", why, "w" if begun else None)
    assert run.condition(ConditionType.FAILED) == (True, "Cancelled")
    assert run.sent == []


def test_a_child_whose_parent_is_known_at_an_earlier_time_only_goes_on() -> None:
    assert of_parent(parent(sequence=2)).status.phase is Phase.RUNNING


def test_a_child_whose_parent_is_not_known_goes_on() -> None:
    assert of_parent(None).status.phase is Phase.RUNNING


def test_a_child_whose_parent_is_being_deleted_waits_for_what_becomes_of_it() -> None:
    assert of_parent(replace(parent(), deleting=True)).status.phase is Phase.RUNNING


def test_a_suspended_child_that_nobody_waits_for_ends_as_well() -> None:
    run = of_parent(parent(ENTRY)).change(suspend=True)
    run.turn()
    run.parent = NoParent()
    run.turn()
    assert run.status.phase is Phase.CANCELLED


def test_a_job_that_is_nobody_s_child_has_no_parent_to_lose() -> None:
    run = Run.of(state("Wait", "w", seconds=60))
    run.parent = NoParent()
    run.turn()
    assert run.status.phase is Phase.RUNNING


def test_a_child_that_ended_stays_as_it_ended() -> None:
    run = of_parent(parent(ENTRY))
    run.wake()
    assert run.status.phase is Phase.SUCCEEDED
    run.parent = NoParent()
    run.turn()
    assert run.status.phase is Phase.SUCCEEDED
