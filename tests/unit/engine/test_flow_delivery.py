"""What is sent when several steps are due, and what suspend, cancel and deadlines do in the middle of a block."""

from __future__ import annotations

import pytest

from mastercontrol.api.names import ResultReason
from unit.engine.builders import EPOCH, UID, Run, catching, each, failure, ids, ok, parallel, retrying, state, step


def fan_of(size: int) -> Run:
    """A step, then so many branches, the step still at its worker."""
    return Run.of(step("a"), parallel("fan", *([step(f"b{i}")] for i in range(size))))


def test_a_result_that_makes_several_steps_due_sends_all_of_them_after_its_commit() -> None:
    run = fan_of(5)
    decision = run.done("a")
    assert decision.publish_first == ()
    assert [d.message.step for d in decision.publish] == ["b0", "b1", "b2", "b3", "b4"]
    assert all(entry.dispatched_at is not None for entry in run.status.active)
    assert run.writes == 2


def test_a_cause_that_comes_again_sends_exactly_what_is_not_confirmed() -> None:
    run = fan_of(5)
    cause = run.result("a")
    sent = ids(run.turn(cause), first=False)
    run.confirmed = frozenset(f"{UID}:{sent[i]}" for i in (0, 2))  # the crash came before the others
    decision = run.turn(cause)
    assert decision.verdicts == (ResultReason.REPUBLISHED,)
    assert ids(decision, first=False) == [sent[1], sent[3], sent[4]]
    assert decision.status is None


def test_a_cause_that_comes_again_sends_nothing_of_what_is_answered() -> None:
    run = fan_of(3)
    cause = run.result("a")
    sent = ids(run.turn(cause), first=False)
    run.done("fan[1].b1")
    assert ids(run.turn(cause), first=False) == [sent[0], sent[2]]


def test_a_cause_that_comes_twice_in_one_turn_sends_once() -> None:
    run = fan_of(3)
    cause = run.result("a")
    run.turn(cause)
    assert len(run.turn(cause, cause).publish) == 3


def test_the_cause_is_told_from_other_results() -> None:
    run = Run.of(parallel("fan", [step("a"), step("c")], [step("b"), step("d")]))
    first, second = run.result("fan[0].a"), run.result("fan[1].b")
    run.turn(first, second)
    assert [d.message.step for d in run.turn(first).publish] == ["c"]
    assert [d.message.step for d in run.turn(second).publish] == ["d"]


def test_the_cause_is_not_stored_where_it_is_the_transition_before() -> None:
    run = Run.of(step("a"), parallel("fan", [step("b")], [step("c")]))
    run.done("a")
    assert [(entry.path, entry.seq, entry.cause) for entry in run.status.active] == [
        ("fan[0].b", 3, 1),
        ("fan[1].c", 4, 1),
    ]
    run = Run.of(step("a"), step("b"))
    run.done("a")
    assert run.at("b").cause is None


def test_steps_of_the_beginning_have_no_cause() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")], [step("c")]))
    cause = run.result("fan[0].a")
    run.turn(cause)
    assert run.turn(cause).verdicts == (ResultReason.STALE,), "the next number is not what it caused"


def test_a_failed_result_that_comes_again_sends_the_handler_that_it_caused() -> None:
    run = Run.of(step("a", catch=catching("h"), end=True), step("h"))
    cause = run.error("a")
    run.turn(cause)
    decision = run.turn(cause)
    assert decision.verdicts == (ResultReason.REPUBLISHED,)
    assert [d.message.step for d in decision.publish] == ["h"]


def test_a_failed_result_that_comes_again_does_not_send_the_next_attempt() -> None:
    run = Run.of(step("a") | {"retry": {"limit": 1, "backoffSeconds": 0, "jitter": "none"}})
    cause = run.error("a")
    run.turn(cause)
    run.wake()
    assert run.message("a").attempt == 2
    assert run.turn(cause).verdicts == (ResultReason.STALE,)


def test_what_a_back_off_made_due_has_no_result_as_its_cause() -> None:
    run = Run.of(step("a"), parallel("fan", [step("x")], [step("y")], retry=retrying(1, 5)))
    first = run.result("a")
    run.turn(first)
    run.broken("fan[0].x")
    run.wake()
    run.wake()
    assert run.steps == ["a", "x", "y", "x", "y"]
    assert run.turn(first).verdicts == (ResultReason.STALE,)


def test_the_beginning_sends_all_first_steps_before_its_write() -> None:
    run = Run.of(state("Pass", "p"), parallel("fan", [step("a")], [state("Pass", "q"), step("b")]))
    assert sorted(d.message.step for d in run.last.publish_first) == ["a", "b"]
    assert run.last.publish == ()
    assert run.writes == 1


def test_an_answer_to_a_first_step_of_a_branch_is_kept_until_the_write() -> None:
    run = Run("unused")
    run.definition = Run.of(parallel("fan", [step("a")], [step("b")])).definition
    decision = run.decide(ok(3))
    assert len(decision.publish_first) == 2
    assert not isinstance(decision.verdicts[0], ResultReason), "it is of a step that this turn begins with"


def test_a_chain_of_steps_costs_one_write_more_than_it_has_steps() -> None:
    run = Run.of(*(step(f"s{i}") for i in range(6)))
    for i in range(6):
        run.done(f"s{i}")
    assert run.ending == ("Done", None)
    assert run.writes == 7


def test_what_a_tolerated_failure_made_due_is_sent_again_with_it() -> None:
    run = Run.of(each("m", [1, 2], step("a"), maxConcurrency=1, toleratedFailureCount=1))
    cause = run.error("m[0].a")
    run.turn(cause)
    assert [d.message.input for d in run.turn(cause).publish] == [2]


# -- a pool that is not there, a broker that lost its data


def test_a_branch_whose_pool_is_missing_waits_and_the_others_go_on() -> None:
    run = Run("unused")
    run.definition = Run.of(parallel("fan", [step("a")], [step("b") | {"pool": "gone"}])).definition
    run.missing_pools = {"gone"}
    run.turn()
    assert run.steps == ["a"]
    assert run.status.message is not None
    assert "gone" in run.status.message
    run.done("fan[0].a", "a")
    run.missing_pools = set()
    run.turn()
    run.done("fan[1].b", "b")
    assert run.ending == ("Done", ["a", "b"])


def test_a_branch_whose_pool_is_missing_does_not_keep_those_after_it_from_being_sent() -> None:
    run = Run("unused")
    run.definition = Run.of(parallel("fan", [step("a") | {"pool": "gone"}], [step("b")])).definition
    run.missing_pools = {"gone"}
    run.turn()
    assert run.steps == ["b"]


def test_a_branch_whose_pool_is_missing_does_not_keep_those_after_it_waiting_for_a_result() -> None:
    run = Run.of(step("a"), parallel("fan", [step("b") | {"pool": "gone"}], [step("c")]))
    run.missing_pools = {"gone"}
    run.done("a")
    assert run.steps == ["a", "c"]


def test_a_broker_that_lost_its_data_gets_all_steps_again() -> None:
    run = fan_of(3)
    run.done("a")
    run.epoch = "e2"
    decision = run.turn()
    assert len(decision.publish_first) == 3
    assert run.status.broker_epoch == "e2"
    assert run.turn().publish_first == ()


def test_a_broker_that_lost_its_data_gets_the_steps_beside_a_wait_again() -> None:
    run = Run.of(parallel("fan", [state("Wait", "w", seconds=60)], [step("a")]))
    run.epoch = "e2"
    assert [d.message.step for d in run.turn().publish_first] == ["a"]
    assert run.status.broker_epoch == "e2"


def test_an_answer_by_the_new_broker_that_makes_nothing_due_says_nothing_of_what_it_has() -> None:
    run = Run.of(step("a"), state("Wait", "w", seconds=60))
    run.epoch = "e2"
    run.turn(ok(1, epoch="e2"))
    assert run.paths == ["w"]
    assert run.status.broker_epoch == EPOCH


def test_an_answer_by_the_new_broker_does_not_hide_that_others_were_lost() -> None:
    run = Run.of(parallel("fan", [step("a"), step("c")], [step("b")]))
    run.epoch = "e2"
    run.turn(ok(run.at("fan[0].a").seq, epoch="e2"))
    again = {d.message.step for d in run.last.publish_first}
    run.wake()
    again |= {d.message.step for d in run.last.publish_first}
    assert "b" in again
    assert run.status.broker_epoch == "e2"


def test_an_answer_by_the_old_broker_leaves_all_to_be_sent_again() -> None:
    run = Run.of(parallel("fan", [step("a"), step("c")], [step("b")]))
    run.epoch = "e2"
    run.turn(ok(run.at("fan[0].a").seq, epoch=EPOCH))
    run.wake()
    assert {d.message.step for d in run.last.publish_first} == {"b", "c"}
    assert run.status.broker_epoch == "e2"


def test_what_is_confirmed_by_the_new_broker_is_not_sent_to_it_again() -> None:
    run = Run.of(parallel("fan", [step("a"), step("c")], [step("b")]))
    run.epoch = "e2"
    run.turn(ok(run.at("fan[0].a").seq, epoch="e2"))
    run.confirmed = frozenset(m.id for m in run.sent[2:])
    run.wake()
    assert run.last.publish_first == ()
    assert run.status.broker_epoch == "e2"


# -- suspend, cancel and the deadline of the job


def test_a_suspended_job_takes_results_of_branches_and_sends_nothing_new() -> None:
    run = Run.of(parallel("fan", [step("a"), step("c")], [step("b")])).change(suspend=True)
    run.turn()
    run.done("fan[0].a")
    assert run.steps == ["a", "b"]
    assert run.at("fan[0].c").dispatched_at is None
    run.done("fan[1].b")
    run.change(suspend=False).turn()
    assert run.steps == ["a", "b", "c"]
    run.done("fan[0].c", "c")
    assert run.ending == ("Done", ["c", None])


def test_a_suspended_map_does_not_send_its_next_item() -> None:
    run = Run.of(each("m", [1, 2], step("a"), maxConcurrency=1)).change(suspend=True)
    run.turn()
    run.done("m[0].a")
    assert len(run.sent) == 1
    run.change(suspend=False).turn()
    assert [m.input for m in run.sent] == [1, 2]


def test_a_suspended_parallel_is_not_begun_again_by_time() -> None:
    retry = {"limit": 1, "backoffSeconds": 5, "jitter": "none"}
    run = Run.of(parallel("fan", [step("a")], retry=retry))
    run.broken("fan[0].a")
    run.change(suspend=True).later(10).turn()
    assert run.paths == ["fan"]
    assert run.last.wake_at is None
    run.change(suspend=False).turn()
    assert run.paths == ["fan[0].a"]


@pytest.mark.parametrize("block", [parallel("x", [step("a")], [step("b")]), each("x", [1, 2, 3], step("a"))])
def test_a_cancelled_job_forgets_its_blocks_and_takes_no_more_results(block: dict[str, object]) -> None:
    run = Run.of(block)
    late = run.result(run.paths[0])
    run.change(cancel=True).turn()
    assert run.status.state == "Cancelled"
    assert (run.status.active, run.status.groups, run.status.scopes) == ((), (), ())
    assert run.turn(late).verdicts == (ResultReason.STALE,)


def test_the_deadline_of_the_job_ends_it_in_the_middle_of_a_map() -> None:
    run = Run.of(each("m", [1, 2], step("a"), step("b"), maxConcurrency=1), active_deadline_seconds=60)
    run.done("m[0].a")
    run.wake()
    assert run.ending == ("Failed", "DeadlineExceeded")
    assert run.status.active == ()


def test_steps_of_branches_time_out_by_themselves() -> None:
    a = step("a", timeoutSeconds=5, catch=catching("h"), end=True)
    run = Run.of(parallel("fan", [a, step("h")], [step("b", timeoutSeconds=60)]))
    run.wake()
    assert sorted(run.paths) == ["fan[0].h", "fan[1].b"]
    run.wake()
    assert run.steps == ["a", "b", "h"]


def test_a_result_and_a_time_out_in_one_turn_are_both_taken() -> None:
    run = Run.of(
        parallel("fan", [step("a"), step("c")], [step("b", timeoutSeconds=5, catch=catching("h"), end=True), step("h")])
    )
    run.later(5)
    decision = run.done("fan[0].a")
    assert [d.message.step for d in decision.publish] == ["c"]
    assert sorted(run.paths) == ["fan[0].c", "fan[1].h"]
    assert run.at("fan[1].h").dispatched_at is None
    run.wake()
    assert run.steps == ["a", "b", "c", "h"]


def test_a_foreign_failure_moves_nothing() -> None:
    run = Run.of(each("m", [1, 2], step("a")))
    run.fresh = True
    before = run.status
    assert run.turn(failure(77)).verdicts == (ResultReason.FOREIGN,)
    assert run.status == before
