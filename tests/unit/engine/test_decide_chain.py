"""A chain of steps, all going well: what is written, what is sent, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mastercontrol.api.names import ConditionType, Phase, Reason, ResultReason
from mastercontrol.engine.facts import Kept
from unit.engine.builders import EPOCH, NOW, UID, Run, failure, ids, ok, seconds, task


@pytest.mark.parametrize("length", [1, 2, 3, 10])
def test_a_chain_of_k_steps_costs_k_plus_1_writes(length: int) -> None:
    run = Run(*[f"s{i}" for i in range(length)]).begun()
    for seq in range(1, length + 1):
        assert run.turn(ok(seq)).verdicts == (ResultReason.APPLIED,)
    assert run.writes == length + 1
    assert run.status.state == "Done"
    assert run.ids == [f"{seq}:1" for seq in range(1, length + 1)]


def test_the_sequence_has_no_gap_and_the_history_names_each_transition() -> None:
    run = Run("a", "b", "c").begun()
    for seq in (1, 2, 3):
        run.later(1).turn(ok(seq))
    assert [(h.seq, h.state, h.reason) for h in run.status.history] == [
        (1, "InProgress.a", "Started"),
        (2, "InProgress.b", "StepSucceeded"),
        (3, "InProgress.c", "StepSucceeded"),
        (4, "Done", "StepSucceeded"),
    ]
    assert run.status.history[1].worker == "worker-1"
    assert [h.time for h in run.status.history] == [NOW + seconds(i) for i in range(4)]


def test_a_job_that_is_done_says_so_as_a_batch_job_does() -> None:
    run = Run("a").begun()
    run.later(5).turn(ok(1, output={"total": 3}))
    assert run.status.phase is Phase.SUCCEEDED
    assert run.status.output == {"total": 3}
    assert run.condition(ConditionType.COMPLETE) == (True, "Completed")
    assert run.status.start_time == NOW
    assert run.status.completion_time == NOW + seconds(5)
    assert run.status.active == ()
    assert run.status.scope.outputs == {}
    assert run.status.message is None, "not what it waited for last"
    assert run.last.wake_at is None


def test_a_states_input_is_the_output_of_the_state_before_it_and_the_jobs_input_for_the_first() -> None:
    run = Run("a", "b", "c").begun()
    run.turn(ok(1, output=[1]))
    run.turn(ok(2, output="two"))
    assert [m.input for m in run.sent] == [{"sku": "A1"}, [1], "two"]


@pytest.mark.parametrize("output", [None, False, 0, "", [], {}])
def test_an_empty_output_is_handed_on_as_it_is(output: object) -> None:
    run = Run("a", "b").begun()
    run.turn(ok(1, output=output))
    assert run.sent[-1].input == output
    run.turn(ok(2, output=output))
    assert run.status.state == "Done"
    assert run.status.output == output


def test_only_the_output_that_a_later_state_reads_is_kept() -> None:
    run = Run("a", "b", "c").begun()
    run.turn(ok(1, output="first"))
    run.turn(ok(2, output="second"))
    assert run.status.scope.outputs == {"b": "second"}


def test_a_step_message_says_which_dispatch_it_is() -> None:
    run = Run(task("a", timeout=30)).begun()
    message = run.sent[0]
    assert message.id == f"{UID}:1:1"
    assert (message.job.namespace, message.job.name, message.job.uid) == ("shop", "order-1", UID)
    assert (message.step, message.attempt, message.deadline) == ("a", 1, "2030-01-01T12:00:30.000Z")
    assert run.last.publish_first[0].pool == "a-pool"


def test_the_first_step_is_published_before_the_status_that_names_it() -> None:
    decision = Run("a", "b").turn()
    assert ids(decision, first=True) == ["1:1"]
    assert ids(decision, first=False) == []
    assert decision.status is not None
    assert decision.status.active[0].dispatched_at == NOW


def test_later_steps_are_published_after_the_write_that_makes_them_due() -> None:
    decision = Run("a", "b").begun().turn(ok(1))
    assert ids(decision, first=True) == []
    assert ids(decision, first=False) == ["2:1"]


def test_the_status_says_what_the_job_waits_for() -> None:
    run = Run("a", "b").begun()
    assert run.status.message == "a is with pool a-pool"
    assert run.status.phase is Phase.RUNNING
    run.turn(ok(1))
    assert run.status.message == "b is with pool b-pool"


def test_each_write_stamps_the_generation_and_the_broker_epoch() -> None:
    run = Run("a", "b").begun()
    assert (run.status.observed_generation, run.status.broker_epoch) == (1, EPOCH)
    run.epoch = "e2"
    run.change().turn(ok(1, epoch="e2"))
    assert (run.status.observed_generation, run.status.broker_epoch) == (2, "e2")


def test_the_job_is_pinned_to_the_revision_that_it_began_with() -> None:
    run = Run("a", "b").begun()
    assert run.status.revision == run.facts().definition.revision  # type: ignore[union-attr]


def test_a_turn_in_which_nothing_happened_writes_and_sends_nothing() -> None:
    run = Run("a", "b").begun()
    decision = run.later(3600).turn()
    assert decision.status is None
    assert decision.publish_first == decision.publish == ()
    assert decision.notes == ()


def test_two_results_in_one_turn_cost_one_write() -> None:
    run = Run("a", "b").begun()
    decision = run.turn(ok(1), failure(1, 7))
    assert decision.verdicts == (ResultReason.APPLIED, ResultReason.STALE)
    assert run.writes == 2


def test_the_same_result_twice_in_one_turn_is_applied_once_and_sends_the_next_step_once() -> None:
    run = Run("a", "b").begun()
    decision = run.turn(ok(1), ok(1))
    assert decision.verdicts == (ResultReason.APPLIED, ResultReason.STALE)
    assert run.ids == ["1:1", "2:1"]
    assert run.status.sequence == 2


def test_a_step_that_was_answered_within_the_turn_is_not_sent_any_more() -> None:
    """The status in memory was one behind: both results are taken in one go, and the fence decides."""
    run = Run("a", "b", "c").begun()
    decision = run.turn(ok(1), ok(2))
    assert run.status.state == "InProgress.c"
    assert ids(decision, first=False) == ["3:1"]


def test_a_result_that_overtakes_the_first_write_is_kept_until_that_write_names_its_dispatch() -> None:
    run = Run("a", "b")
    decision = run.turn(ok(1, output="early"))
    assert decision.verdicts == (Kept(),)
    assert run.status.state == "InProgress.a"
    assert run.turn(ok(1, output="early")).verdicts == (ResultReason.APPLIED,)
    assert run.sent[-1].input == "early"


def test_an_early_result_is_proof_that_the_first_step_was_sent_so_it_is_not_sent_twice() -> None:
    run = Run("a", "b")
    decision = run.turn(ok(1, epoch="e0"))
    assert decision.publish_first == ()
    assert run.status.active[0].dispatched_at == NOW
    assert run.status.broker_epoch == "e0", "the epoch of the connection that has seen it"


def test_a_first_step_that_this_process_has_the_confirm_for_is_not_sent_again_when_only_its_write_failed() -> None:
    run = Run("a", "b")
    run.confirmed = frozenset({f"{UID}:1:1"})
    assert run.turn().publish_first == ()
    assert run.status.active[0].dispatched_at == NOW


def test_the_history_is_bounded_and_keeps_the_newest() -> None:
    run = Run(*[f"s{i}" for i in range(30)]).begun()
    for seq in range(1, 31):
        run.turn(ok(seq))
    assert [h.seq for h in run.status.history] == list(range(12, 32))
    assert run.status.state == "Done"


def test_an_overlong_worker_identity_is_cut() -> None:
    run = Run("a", "b").begun()
    run.turn(replace(ok(1), worker="w" * 10_000))
    assert run.status.history[-1].worker == "w" * 253


def test_no_event_is_made_for_a_transition_that_went_well() -> None:
    run = Run("a", "b").begun()
    run.turn(ok(1))
    run.turn(ok(2))
    assert run.notes == []


def test_a_trigger_that_the_machine_refuses_is_a_refused_result_and_no_crash() -> None:
    run = Run("a", "b").begun()
    run.job = replace(run.job, status=replace(run.status, state="Done"))
    decision = run.turn(ok(1))
    assert decision.verdicts == (ResultReason.STALE,)
    assert decision.status is None
    assert [n.reason for n in decision.notes] == [Reason.MACHINE_REFUSED]
    assert "Done" in decision.notes[0].message


def test_a_result_of_a_state_that_the_job_is_not_in_is_refused() -> None:
    run = Run("a", "b").begun()
    run.job = replace(run.job, status=replace(run.status, state="InProgress.b"))
    assert run.turn(ok(1)).verdicts == (ResultReason.STALE,)
    assert [n.reason for n in run.notes] == [Reason.MACHINE_REFUSED]
    assert "a is active while the job is in InProgress.b" in run.notes[0].message
