"""What a decision does where the Workflow limits how many of its jobs run at once: it follows what the gate says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mastercontrol.api.names import ConditionType, Phase, Reason, ResultReason
from mastercontrol.api.status import JobError
from mastercontrol.engine.beginning import would_begin
from mastercontrol.engine.facts import Facts, Kept, Missing, Note
from mastercontrol.engine.places import Admitted, Held, NoKey, Place, RejectedBy, Replaced
from unit.engine.builders import EPOCH, UID, Run, each, ids, ok, state, step, written
from unit.engine.operating import RETRY, ask, refused

HELD = Held('waits for a place: key "acme" is held by order-0 (limit 1)')


class Limited(Run):
    """A job of a limited Workflow; `place` is what the gate says."""

    def __init__(self, place: Place | None, *states: dict[str, Any], **spec: Any) -> None:
        super().__init__("unused", **spec)
        self.definition = written(*(states or (step("a"), step("b"))), concurrency={"limit": 1})
        self.place = place

    def facts(self) -> Facts:
        return replace(super().facts(), place=self.place)


def test_a_job_that_has_a_place_is_written_before_its_first_step_is_sent() -> None:
    run = Limited(Admitted())
    decision = run.turn()
    assert run.sent == []
    assert (run.status.state, run.status.sequence, run.status.phase) == ("InProgress.a", 1, Phase.RUNNING)
    assert run.at("a").dispatched_at is None
    assert decision.wake_at == run.now
    decision = run.wake()
    assert ids(decision, first=True) == ["1:1"]
    assert run.at("a").dispatched_at == run.now
    assert run.status.broker_epoch == EPOCH
    assert run.done("a").verdicts == (ResultReason.APPLIED,)


def test_a_crash_between_the_place_and_the_first_step_is_mended_by_the_next_turn() -> None:
    run = Limited(Admitted())
    run.turn()
    run.place = None
    assert ids(run.turn(), first=True) == ["1:1"]


def test_all_first_steps_of_a_map_wait_for_the_write() -> None:
    run = Limited(Admitted(), each("all", [1, 2], step("x")))
    run.turn()
    assert run.sent == []
    run.wake()
    assert run.steps == ["x", "x"]


def test_a_job_without_steps_ends_in_one_write_all_the_same() -> None:
    run = Limited(Admitted(), state("Pass", "p"))
    run.turn()
    assert (run.status.state, run.writes) == ("Done", 1)


def test_a_held_job_says_who_holds_the_place_and_sends_nothing() -> None:
    run = Limited(HELD)
    run.turn()
    assert run.sent == []
    assert (run.status.state, run.status.phase, run.status.message) == ("Begin", Phase.PENDING, HELD.text)
    assert run.condition(ConditionType.WAITING) == (True, "ConcurrencyLimit")
    assert run.notes == [], "to wait is no warning"
    assert run.turn().status is None


def test_a_held_job_far_back_is_not_told_anew_for_each_change_ahead_of_it() -> None:
    run = Limited(replace(HELD, is_near=False))
    run.turn()
    run.place = Held("waits for a place: held by order-7 (limit 1)", is_near=False)
    assert run.turn().status is None
    run.place = replace(run.place, is_near=True)
    run.turn()
    assert run.status.message == run.place.text


def test_a_job_that_waited_for_its_pool_is_told_what_it_waits_for_now() -> None:
    run = Limited(None)
    run.missing_pools = {"p"}
    run.turn()
    assert run.condition(ConditionType.WAITING) == (True, "UnknownPool")
    run.missing_pools, run.place = set(), replace(HELD, is_near=False)
    run.turn()
    assert run.condition(ConditionType.WAITING) == (True, "ConcurrencyLimit")


def test_a_job_that_waits_for_a_moment_only_costs_no_write() -> None:
    assert Limited(Held(None)).turn().status is None


def test_a_job_that_nobody_asked_a_place_for_does_not_begin() -> None:
    run = Limited(None)
    assert (run.turn().status, run.sent) == (None, [])


def test_a_job_that_was_held_begins_and_no_longer_says_that_it_waits() -> None:
    run = Limited(HELD)
    run.turn()
    run.place = Admitted()
    run.turn()
    assert run.condition(ConditionType.WAITING) is None
    assert run.status.message == "a is next"


def test_a_rejected_job_fails_and_names_who_runs() -> None:
    run = Limited(RejectedBy("there is no place: held by order-0 (limit 1)"))
    run.turn()
    assert run.ending == ("Failed", "ConcurrencyLimit")
    assert (run.sent, run.status.start_time) == ([], None)
    assert run.status.message == "ConcurrencyLimit: there is no place: held by order-0 (limit 1)"
    assert [(h.seq, h.state, h.reason) for h in run.status.history] == [(1, "Failed", "ConcurrencyLimit")]
    assert run.condition(ConditionType.FAILED) == (True, "ConcurrencyLimit")


def test_a_rejected_job_is_not_retried_while_its_workflow_is_gone_but_created_again() -> None:
    run = Limited(RejectedBy("no place"))
    run.turn()
    assert run.status.history[-1].worker is None, "nobody had anything of it"
    run.definition = Missing(Reason.UNKNOWN_WORKFLOW, "gone")
    ask(run, RETRY)
    assert refused(run).endswith("the job never began; create another Job")


def test_a_job_whose_key_cannot_be_told_fails_and_says_why() -> None:
    run = Limited(NoKey("spec.concurrency.key: no such key: customer"))
    run.turn()
    assert run.ending == ("Failed", "States.QueryEvaluationError")
    assert run.status.message == "States.QueryEvaluationError: spec.concurrency.key: no such key: customer"


def test_a_replaced_job_is_cancelled_and_says_by_whom() -> None:
    run = Limited(Admitted())
    run.turn()
    run.wake()
    run.place = Replaced("order-2 takes its place (limit 1)")
    decision = run.turn(ok(1))
    assert run.ending == ("Cancelled", "Replaced")
    assert run.status.phase is Phase.CANCELLED
    assert run.status.message == "order-2 takes its place (limit 1)"
    assert run.status.error == JobError("Replaced", "order-2 takes its place (limit 1)", "a")
    assert decision.verdicts == (ResultReason.STALE,)
    assert decision.notes == (Note(Reason.REPLACED, "order-2 takes its place (limit 1)"),)


def test_a_waiting_job_is_replaced_before_it_has_begun() -> None:
    run = Limited(HELD)
    run.turn()
    run.place = Replaced("order-2 takes its place (limit 1)")
    run.turn()
    assert run.ending == ("Cancelled", "Replaced")
    assert run.sent == []


def test_a_user_s_cancel_counts_before_a_replacement() -> None:
    run = Limited(Replaced("order-2 takes its place (limit 1)"), cancel=True)
    run.turn()
    assert run.ending == ("Cancelled", "Cancelled")


def test_the_answer_to_a_first_step_of_before_the_limit_is_kept_until_there_is_a_place() -> None:
    run = Limited(HELD)
    assert run.turn(ok(1)).verdicts == (Kept(),)
    assert run.status.sequence == 0
    run.place = Admitted()
    assert run.turn(ok(1)).verdicts == (Kept(),)
    assert run.at("a").dispatched_at is not None, "somebody sent it before"
    assert run.turn(ok(1)).verdicts == (ResultReason.APPLIED,)


@pytest.mark.parametrize(
    "change",
    [
        {"suspend": True},
        {"cancel": True},
        {"pool": "p"},
        {"epoch": None},
        {"definition": Missing(Reason.UNKNOWN_WORKFLOW, "gone")},
        {"begun": True},
        {"deleting": True},
        {"answered": True},
        {"answered": True, "suspend": True},
        {"answered": True, "cancel": True},
        {},
    ],
    ids=str,
)
def test_a_place_is_asked_for_exactly_when_the_job_would_begin(change: dict[str, Any]) -> None:
    run = Run("a", **{k: v for k, v in change.items() if k in {"suspend", "cancel"}})
    run.definition = change.get("definition", written(step("a")))
    if "pool" in change:
        run.missing_pools = {change["pool"]}
    run.epoch = change.get("epoch", EPOCH)
    if "begun" in change:
        run.turn()
    run.job = replace(run.job, deleting="deleting" in change)
    results = [ok(1, uid=UID)] if "answered" in change else []
    status = run.decide(*results).status
    was = run.job.status.sequence if run.job.status else 0
    begins = status is not None and was == 0 and status.start_time is not None
    assert would_begin(run.job, results, run.facts()) is begins
