"""Engines that are broken on purpose: each is caught by a story that the real one survives (`test_protocol.py`).

These are the broken variants that the protocol's model finds a fault in, and a few of our own. A mutation that no
story notices would mean that the stories guard less than they say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mastercontrol.api.job import Job
from mastercontrol.api.names import ResultReason
from mastercontrol.api.operation import Operation
from mastercontrol.api.status import ActiveStep, JobStatus
from mastercontrol.engine import answers, commit, decide, engine, operations, sending, turn
from mastercontrol.engine.facts import Decision, Facts, Kept, Result, Verdict
from mastercontrol.engine.flow import Flow
from mastercontrol.engine.operated import OperatedFlow
from mastercontrol.engine.scopes import Scopes
from mastercontrol.workflow.definition import State
from mastercontrol.workflow.machine import in_progress
from mastercontrol_worker.contract import Failed
from unit.engine import block_scenarios as blocks
from unit.engine import operation_scenarios as asked
from unit.engine import scenarios
from unit.engine.mutants import IMPATIENCE, Catch, Mutation
from unit.engine.scenarios import Scenario
from unit.engine.world import World

Patch = list[dict[str, Any]]


def acknowledge_before_commit(patch: pytest.MonkeyPatch) -> None:
    real = turn._Turn._commit

    async def commit_(self: turn._Turn, job: Job, decision: Decision) -> Job:
        _acknowledge(self, decision)
        return await real(self, job, decision)

    patch.setattr(turn._Turn, "_commit", commit_)


def acknowledge_before_publish(patch: pytest.MonkeyPatch) -> None:
    real = turn._Turn._act

    async def act(self: turn._Turn, decision: Decision) -> None:
        _acknowledge(self, decision)
        await real(self, decision)

    patch.setattr(turn._Turn, "_act", act)


def _acknowledge(self: turn._Turn, decision: Decision) -> None:
    for letter, verdict in zip(self.letters, decision.verdicts, strict=True):
        if not isinstance(verdict, Kept):
            letter.delivery.ack()
    self.letters = []
    object.__setattr__(decision, "verdicts", ())


def no_republish_on_a_stale_cause(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide._Turn, "_stale", lambda *_: ResultReason.STALE)


def no_epoch(patch: pytest.MonkeyPatch) -> None:
    real = sending.Sender.send_due

    def same(self: sending.Sender, stamp: str | None) -> str | None:
        return real(self, self.facts.epoch or stamp)

    patch.setattr(sending.Sender, "send_due", same)


def the_epoch_of_now_stamped_in_the_commit(patch: pytest.MonkeyPatch) -> None:
    real = decide._Turn._apply

    def apply(self: decide._Turn, entry: ActiveStep, result: Result) -> Verdict:
        return real(self, entry, replace(result, epoch=self.facts.epoch or result.epoch))

    patch.setattr(decide._Turn, "_apply", apply)


def no_sequence_fence(patch: pytest.MonkeyPatch) -> None:
    def unfenced(job: Job, status: JobStatus) -> Patch:
        return [op for op in commit.status_patch(job, status) if op["path"] != "/status/sequence"]

    patch.setattr(turn, "status_patch", unfenced)


def fence_by_step_name(patch: pytest.MonkeyPatch) -> None:
    def by_name(job: Job, status: JobStatus) -> Patch:
        state = job.status.state if job.status else None
        fence = {"op": "test", "path": "/status/state", "value": state}
        operations = commit.status_patch(job, status)
        return [fence if op["path"] == "/status/sequence" else op for op in operations]

    patch.setattr(turn, "status_patch", by_name)


def results_matched_by_step_and_not_by_dispatch(patch: pytest.MonkeyPatch) -> None:
    def any_entry(self: decide._Turn, result: Result) -> ActiveStep | None:
        del result
        active = [] if self.flow is None else list(self.flow.active.values())
        return active[0] if self.was.sequence and active else None

    patch.setattr(decide._Turn, "_entry", any_entry)


def an_early_result_is_dropped(patch: pytest.MonkeyPatch) -> None:
    real = decide._Turn._take

    def take(self: decide._Turn, result: Result) -> Verdict:
        verdict = real(self, result)
        return ResultReason.STALE if isinstance(verdict, Kept) else verdict

    patch.setattr(decide._Turn, "_take", take)


def the_first_step_is_not_published_before_its_write(patch: pytest.MonkeyPatch) -> None:
    """As if it were marked as sent, and sent only after the write: a crash in between loses it."""
    real = decide._Turn.decision

    def decision(self: decide._Turn) -> Decision:
        made = real(self)
        return replace(made, publish_first=(), publish=(*made.publish_first, *made.publish))

    patch.setattr(decide._Turn, "decision", decision)


def an_unknown_outcome_taken_for_a_success(patch: pytest.MonkeyPatch) -> None:
    """What was committed and not confirmed is thought to be sent."""
    real = turn._Turn._gather

    async def gather(self: turn._Turn, job: Job) -> Facts:
        facts = await real(self, job)
        active = job.status.active if job.status else ()
        thought = {f"{job.uid}:{a.seq}:{a.attempt}" for a in active}
        return replace(facts, confirmed=facts.confirmed | thought, resend=frozenset())

    patch.setattr(turn._Turn, "_gather", gather)


def the_cause_of_an_entry_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(answers, "_cause", lambda entry: entry.seq - 1)


def no_republish_on_a_failed_cause(patch: pytest.MonkeyPatch) -> None:
    real = decide._Turn._stale

    def stale(self: decide._Turn, result: Result) -> Verdict:
        return ResultReason.STALE if isinstance(result.outcome, Failed) else real(self, result)

    patch.setattr(decide._Turn, "_stale", stale)


def what_a_result_made_due_is_sent_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    real = decide._Turn.decision

    def decision(self: decide._Turn) -> Decision:
        made = real(self)
        return replace(made, publish_first=(*made.publish_first, *made.publish), publish=())

    patch.setattr(decide._Turn, "decision", decision)


def what_time_made_due_is_sent_in_the_same_turn(patch: pytest.MonkeyPatch) -> None:
    real = decide._Turn._move_by_time

    def move(self: decide._Turn, flow: Flow) -> None:
        real(self, flow)
        assert self.sender is not None
        flow.due = [p for p, a in flow.active.items() if a != self.sender.was.get(p) and a.not_before is None]
        self.sender.hand_over()

    patch.setattr(decide._Turn, "_move_by_time", move)


def the_siblings_of_a_failed_branch_are_not_dropped(patch: pytest.MonkeyPatch) -> None:
    real = Flow._drop

    def drop(self: Flow, path: str) -> None:
        siblings = {p: a for p, a in self.active.items() if p.startswith(f"{path}[")}
        group = self.groups.get(path)
        real(self, path)
        if siblings and group is not None:
            self.active |= siblings
            self.groups[path] = group

    patch.setattr(Flow, "_drop", drop)


def what_waits_in_a_dropped_branch_is_not_dropped(patch: pytest.MonkeyPatch) -> None:
    real = Flow._drop

    def drop(self: Flow, path: str) -> None:
        waiting, self._waiting = self._waiting, type(self._waiting)()
        real(self, path)
        self._waiting = waiting

    patch.setattr(Flow, "_drop", drop)


def outputs_are_forgotten_once_the_next_state_is_entered(patch: pytest.MonkeyPatch) -> None:
    real = Scopes.leave

    def leave(self: Scopes, path: str, state: State, result: Any, *, passes: bool, following: str | None) -> Any:
        output = real(self, path, state, result, passes=passes, following=following)
        scope = self.get(path.rpartition(".")[0])
        self.put(replace(scope, outputs={n: o for n, o in scope.outputs.items() if n == scope.after}))
        return output

    patch.setattr(Scopes, "leave", leave)


def a_state_has_the_number_of_the_latest_transition(patch: pytest.MonkeyPatch) -> None:
    """Not that of the one that led to it, which is another one where a block beside it moves as well."""
    real = Flow._enter

    def enter(self: Flow, scope: str, name: str, _: int, before: ActiveStep | None = None) -> None:
        real(self, scope, name, self.sequence, before)

    patch.setattr(Flow, "_enter", enter)


def the_epoch_of_one_result_is_taken_for_all_that_is_out(patch: pytest.MonkeyPatch) -> None:
    def stamp(self: decide._Turn, epoch: str, *, others: bool) -> str:
        del self, others
        return epoch

    patch.setattr(decide._Turn, "_stamp", stamp)


def what_an_operation_made_due_is_sent_in_the_same_turn(patch: pytest.MonkeyPatch) -> None:
    """As if a result stood behind it: marked as sent by the write, and sent after it."""
    real = decide._Turn._try

    def try_(self: decide._Turn, operation: Operation) -> str | None:
        refused = real(self, operation)
        if refused is None and self.flow is not None and self.sender is not None:
            self.flow.due = list(self.flow.active)
            self.sender.hand_over()
        return refused

    patch.setattr(decide._Turn, "_try", try_)


def an_operation_is_not_counted_by_the_write_that_does_it(patch: pytest.MonkeyPatch) -> None:
    real = operations.noted

    def noted(status: JobStatus, *others: Any) -> JobStatus:
        return replace(real(status, *others), operations_taken=status.operations_taken)

    patch.setattr(operations, "noted", noted)


def an_ended_job_is_never_looked_at_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "_at_rest", lambda job: job.status is not None and job.status.ended)


def a_retried_state_keeps_its_number(patch: pytest.MonkeyPatch) -> None:
    """That under which it was entered first, so its dispatch id is that of the time before the failure."""
    real = OperatedFlow._enter

    def enter(self: OperatedFlow, scope: str, name: str, _: int, before: ActiveStep | None = None) -> None:
        lines = [line.seq for line in self.history if line.state == in_progress(f"{scope}.{name}")]
        real(self, scope, name, lines[0], before)

    patch.setattr(OperatedFlow, "_enter", enter)


def results_are_dropped_in_the_turn_of_an_operation(patch: pytest.MonkeyPatch) -> None:
    real = decide._Turn._operate

    def operate(self: decide._Turn, results: int) -> None:
        real(self, results)
        self.verdicts = [ResultReason.STALE] * results

    patch.setattr(decide._Turn, "_operate", operate)


def what_the_answer_to_a_write_tells_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    real = turn._Turn._commit

    async def commit_(self: turn._Turn, job: Job, decision: Decision) -> Job:
        wanted = self.cell.wanted
        after = await real(self, job, decision)
        self.cell.wanted = wanted
        return after

    patch.setattr(turn._Turn, "_commit", commit_)


CAUGHT: tuple[tuple[Mutation, Scenario], ...] = (
    (acknowledge_before_commit, scenarios.the_operator_dies_between_taking_a_result_and_writing_it),
    (acknowledge_before_publish, scenarios.the_operator_dies_between_writing_and_publishing),
    (no_republish_on_a_stale_cause, scenarios.the_operator_dies_between_writing_and_publishing),
    (no_epoch, scenarios.the_broker_loses_its_data_while_a_step_waits),
    (no_epoch, scenarios.the_broker_loses_its_data_while_the_operator_is_away),
    (
        the_epoch_of_now_stamped_in_the_commit,
        scenarios.a_result_of_the_broker_that_lost_its_data_is_applied_and_the_operator_dies,
    ),
    (no_sequence_fence, scenarios.an_operator_that_lost_the_lease_applies_a_result_again),
    (no_sequence_fence, scenarios.an_operator_that_lost_the_lease_fails_an_attempt_again),
    (fence_by_step_name, scenarios.an_operator_that_lost_the_lease_fails_an_attempt_again),
    (results_matched_by_step_and_not_by_dispatch, scenarios.a_late_answer_of_an_older_attempt_comes),
    (an_early_result_is_dropped, scenarios.a_worker_answers_while_the_first_write_is_tried_again),
    (the_first_step_is_not_published_before_its_write, scenarios.the_operator_dies_between_the_first_write_and_more),
    (an_unknown_outcome_taken_for_a_success, scenarios.the_operator_dies_between_writing_and_publishing),
    (the_cause_of_an_entry_is_ignored, blocks.the_operator_dies_when_two_of_five_branches_are_sent),
    (no_republish_on_a_stale_cause, blocks.the_operator_dies_when_two_of_five_branches_are_sent),
    (no_republish_on_a_failed_cause, blocks.the_operator_dies_before_the_handler_of_an_error_is_sent),
    (
        what_a_result_made_due_is_sent_before_the_commit,
        blocks.the_operator_dies_before_a_write_and_another_result_is_taken_first,
    ),
    (what_time_made_due_is_sent_in_the_same_turn, blocks.the_operator_dies_before_the_step_after_a_wait_is_sent),
    (the_siblings_of_a_failed_branch_are_not_dropped, blocks.a_branch_answers_after_another_one_failed),
    (what_waits_in_a_dropped_branch_is_not_dropped, blocks.a_branch_fails_while_another_one_is_on_its_way),
    (outputs_are_forgotten_once_the_next_state_is_entered, blocks.a_later_state_reads_an_early_output),
    (a_state_has_the_number_of_the_latest_transition, blocks.two_branches_move_in_one_turn),
    (
        the_epoch_of_one_result_is_taken_for_all_that_is_out,
        blocks.the_broker_loses_its_data_and_one_of_two_branches_answers_the_new_one,
    ),
    (
        what_an_operation_made_due_is_sent_in_the_same_turn,
        asked.the_operator_dies_between_writing_a_retry_and_sending_its_step,
    ),
    (
        what_an_operation_made_due_is_sent_in_the_same_turn,
        asked.a_skip_is_written_and_the_operator_dies_before_the_next_step_is_sent,
    ),
    (an_operation_is_not_counted_by_the_write_that_does_it, asked.a_retry_is_written_and_nobody_is_told),
    (an_ended_job_is_never_looked_at_again, asked.a_retry_is_asked_for_while_no_operator_is_there),
    (a_retried_state_keeps_its_number, asked.a_result_of_before_the_failure_comes_after_the_retry),
    (results_are_dropped_in_the_turn_of_an_operation, asked.a_result_comes_with_an_operation_that_is_refused),
    (
        what_the_answer_to_a_write_tells_is_not_looked_at,
        asked.a_change_of_the_spec_is_seen_in_the_answer_to_a_write_only,
    ),
)


@pytest.mark.parametrize(("mutation", "story"), CAUGHT, ids=lambda part: part.__name__)
async def test_a_broken_engine_is_caught(mutation: Mutation, story: Scenario, world: World, catch: Catch) -> None:
    world.patience = IMPATIENCE
    await catch(mutation, story(world))
