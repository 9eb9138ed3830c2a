"""The protocol broken on purpose, in as many ways as we could think of. The simulation must find each, or a gate fails.

Those of `unit.engine.test_mutants` are caught by a story made for each of them there; here they are searched for by
dice. What is added here breaks the worker, the memory of the engine and the sweep. Nothing but tests can apply them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from mastercontrol.api.job import Job
from mastercontrol.api.names import ResultReason
from mastercontrol.api.status import ActiveStep
from mastercontrol.engine import commit, decide, mailbox, sending, turn
from mastercontrol.engine.engine import Engine
from mastercontrol.engine.facts import Decision, Result, Verdict
from mastercontrol.engine.inbox import Addressed, read_delivery
from mastercontrol.engine.operated import OperatedFlow
from mastercontrol.engine.ports import Delivery
from mastercontrol.memory import queues
from mastercontrol.workflow.definition import TaskState
from mastercontrol.workflow.machine import in_progress
from mastercontrol_worker.contract import ResultMessage, dispatch_id
from mastercontrol_worker.worker import Worker, _Work
from simulation.faults import Emphasis, Fault
from unit.engine import test_mutants as known

Mutation = Callable[[pytest.MonkeyPatch], None]


def the_worker_acknowledges_before_its_result(patch: pytest.MonkeyPatch) -> None:
    real = Worker._answer

    async def answer(self: Worker, result: ResultMessage, work: _Work, *more: Any) -> None:
        for delivery in work.deliveries:
            delivery.ack()
        await real(self, result, work, *more)

    patch.setattr(Worker, "_answer", answer)


def the_worker_ignores_its_slots(patch: pytest.MonkeyPatch) -> None:
    real = Worker._fill

    def fill(self: Worker) -> None:
        slots, self._concurrency = self._concurrency, 1000
        real(self)
        self._concurrency = slots

    patch.setattr(Worker, "_fill", fill)


def the_prefetch_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(queues.Consumer, "has_room", property(lambda self: self.active))


def no_mailbox(patch: pytest.MonkeyPatch) -> None:
    """A result that comes while a turn of its job is under way is thought to be dealt with by that turn."""
    real = Engine.deliver

    def deliver(self: Engine, delivery: Delivery) -> None:
        found = read_delivery(delivery, self.mailboxes.key_of)
        cell = self.mailboxes.find(found.key) if isinstance(found, Addressed) else None
        if cell is not None and cell.running:
            delivery.ack()
            self._want(cell)
        else:
            real(self, delivery)

    patch.setattr(Engine, "deliver", deliver)


def _sent_after_the_write(patch: pytest.MonkeyPatch, applies: Callable[[decide._Turn], bool]) -> None:
    real = decide._Turn.decision

    def decision(self: decide._Turn) -> Decision:
        made = real(self)
        if not applies(self):
            return made
        return replace(made, publish_first=(), publish=(*made.publish_first, *made.publish))

    patch.setattr(decide._Turn, "decision", decision)


def what_time_made_due_is_marked_before_it_is_sent(patch: pytest.MonkeyPatch) -> None:
    _sent_after_the_write(patch, lambda turn: turn.was.sequence > 0 and turn.was.broker_epoch == turn.facts.epoch)


def the_epoch_is_renewed_before_republishing(patch: pytest.MonkeyPatch) -> None:
    _sent_after_the_write(patch, lambda turn: turn.was.sequence > 0 and turn.was.broker_epoch != turn.facts.epoch)


def what_is_confirmed_is_so_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Also by a broker that has lost its data since."""
    patch.setattr(turn._Turn, "_confirmed", lambda self, *_: frozenset(self.cell.confirmed))


def the_watch_is_trusted_more_than_the_answer_to_a_write(patch: pytest.MonkeyPatch) -> None:
    def learn(self: mailbox.Cell, job: Job) -> bool:
        self.job = job
        return True

    patch.setattr(mailbox.Cell, "knows", lambda *_: False)
    patch.setattr(mailbox.Cell, "learn", learn)


def the_sweep_sends_under_a_new_id(patch: pytest.MonkeyPatch) -> None:
    real = sending.Sender._again

    def again(self: sending.Sender, entry: ActiveStep, task: TaskState) -> bool:
        if self.id(entry) in self.facts.resend:
            entry = replace(entry, attempt=entry.attempt + 100)
        return real(self, entry, task)

    patch.setattr(sending.Sender, "_again", again)


def no_sweep(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Engine, "resend", lambda *_: None)


def a_result_ahead_of_the_job_is_dropped_without_a_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide._Turn, "_ahead", lambda _: ResultReason.FOREIGN)


def no_uid_in_the_fence(patch: pytest.MonkeyPatch) -> None:
    def unfenced(job: Job, status: Any) -> list[dict[str, Any]]:
        return [op for op in commit.status_patch(job, status) if not op["path"].startswith("/metadata")]

    patch.setattr(turn, "status_patch", unfenced)


def a_retry_keeps_its_dispatch_id(patch: pytest.MonkeyPatch) -> None:
    def id_(self: sending.Sender, entry: ActiveStep) -> str:
        return dispatch_id(self.job.uid, entry.seq, 1)

    patch.setattr(sending.Sender, "id", id_)


def a_child_is_marked_before_it_is_created(patch: pytest.MonkeyPatch) -> None:
    create, act = turn._Turn._create, turn._Turn._act

    async def later(self: turn._Turn, decision: Decision) -> bool:
        del self, decision
        return False

    async def acts(self: turn._Turn, decision: Decision) -> None:
        await act(self, decision)
        await create(self, decision)

    patch.setattr(turn._Turn, "_create", later)
    patch.setattr(turn._Turn, "_act", acts)


def a_stale_result_is_applied_again(patch: pytest.MonkeyPatch) -> None:
    """To whatever the job waits for now."""

    def stale(self: decide._Turn, result: Result) -> Verdict:
        entries = [] if self.flow is None else list(self.flow.active.values())
        return self._apply(entries[0], result) if entries and self._is_task(entries[0]) else real(self, result)

    real = decide._Turn._stale
    patch.setattr(decide._Turn, "_stale", stale)


def a_retried_state_keeps_its_number(patch: pytest.MonkeyPatch) -> None:
    """That under which it was entered first, so its dispatch id is that of the time before the failure."""
    real = OperatedFlow._enter

    def enter(self: OperatedFlow, scope: str, name: str, seq: int, before: ActiveStep | None = None) -> None:
        path = f"{scope}.{name}" if scope else name
        lines = [line.seq for line in self.history if line.state == in_progress(path)]
        real(self, scope, name, lines[0] if lines else seq, before)

    patch.setattr(OperatedFlow, "_enter", enter)


OWN: Final[tuple[Mutation, ...]] = (
    the_worker_acknowledges_before_its_result,
    the_worker_ignores_its_slots,
    the_prefetch_is_ignored,
    no_mailbox,
    what_time_made_due_is_marked_before_it_is_sent,
    the_epoch_is_renewed_before_republishing,
    what_is_confirmed_is_so_for_ever,
    the_watch_is_trusted_more_than_the_answer_to_a_write,
    the_sweep_sends_under_a_new_id,
    no_sweep,
    a_result_ahead_of_the_job_is_dropped_without_a_read,
    no_uid_in_the_fence,
    a_retry_keeps_its_dispatch_id,
    a_child_is_marked_before_it_is_created,
    a_stale_result_is_applied_again,
    a_retried_state_keeps_its_number,
)

MUTANTS: Final[dict[str, Mutation]] = {
    mutation.__name__: mutation for mutation in (*(mutation for mutation, _ in known.CAUGHT), *OWN)
}


def _with(*faults: Fault, workflows: tuple[str, ...] = (), bad: int | None = None) -> Emphasis:
    return Emphasis(frozenset(faults), workflows, bad)


_AT_ONCE: Final = ("fan", "each")
_RETRY: Final = _with(Fault.RETRY, Fault.OPERATOR_CRASH, workflows=("chain", "caught", "late"), bad=5)

EMPHASIS: Final[dict[str, Emphasis]] = {
    "no_epoch": _with(Fault.BROKER_WIPE),
    "the_epoch_of_now_stamped_in_the_commit": _with(
        Fault.BROKER_WIPE, Fault.OPERATOR_CRASH, Fault.API_TIMEOUT, workflows=("chain",), bad=0
    ),
    "the_epoch_of_one_result_is_taken_for_all_that_is_out": _with(
        Fault.BROKER_WIPE, Fault.API_TIMEOUT, workflows=_AT_ONCE, bad=0
    ),
    "the_epoch_is_renewed_before_republishing": _with(Fault.BROKER_WIPE, Fault.OPERATOR_CRASH),
    "what_is_confirmed_is_so_for_ever": _with(Fault.BROKER_WIPE),
    "fence_by_step_name": _with(Fault.ZOMBIE, Fault.API_LATE),
    "the_cause_of_an_entry_is_ignored": _with(Fault.OPERATOR_CRASH, workflows=_AT_ONCE),
    "a_state_has_the_number_of_the_latest_transition": _with(Fault.OPERATOR_CRASH, workflows=("beside",), bad=0),
    "the_siblings_of_a_failed_branch_are_not_dropped": _with(workflows=("raced",), bad=5),
    "what_waits_in_a_dropped_branch_is_not_dropped": _with(workflows=("raced",), bad=1),
    "no_republish_on_a_failed_cause": _with(Fault.OPERATOR_CRASH, workflows=("caught",), bad=5),
    "what_an_operation_made_due_is_sent_in_the_same_turn": _RETRY,
    "an_operation_is_not_counted_by_the_write_that_does_it": _RETRY,
    "an_ended_job_is_never_looked_at_again": _RETRY,
    "a_retried_state_keeps_its_number": _RETRY,
    "results_are_dropped_in_the_turn_of_an_operation": _with(Fault.RETRY, workflows=_AT_ONCE, bad=0),
    "the_worker_acknowledges_before_its_result": _with(Fault.WORKER_CRASH),
    "the_watch_is_trusted_more_than_the_answer_to_a_write": _with(Fault.WATCH_STALE),
    "the_sweep_sends_under_a_new_id": _with(Fault.QUEUE_LOSS),
    "no_sweep": _with(Fault.QUEUE_LOSS),
    "no_uid_in_the_fence": _with(Fault.DELETE),
    "a_result_ahead_of_the_job_is_dropped_without_a_read": _with(Fault.ZOMBIE, Fault.WATCH_STALE, Fault.API_LATE),
    "a_child_is_marked_before_it_is_created": _with(Fault.OPERATOR_CRASH, workflows=("parent",)),
}
"""What a variant breaks under, where that is known: each of its runs has it."""
