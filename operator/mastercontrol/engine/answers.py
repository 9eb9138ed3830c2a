"""What becomes of the results that came for a job: which entry each one moves, and a verdict on it.

A part of `decide`, pure as that is.
"""

from __future__ import annotations

from dataclasses import replace

from mastercontrol.api.names import Reason, ResultReason
from mastercontrol.api.status import ActiveStep
from mastercontrol.engine.beginning import answers_first
from mastercontrol.engine.draft import Draft
from mastercontrol.engine.facts import Kept, Missing, Note, Result, Verdict
from mastercontrol.engine.scopes import name_of
from mastercontrol.workflow.machine import TriggerRefused
from mastercontrol_worker.contract import Failed, StepError, Succeeded


class Answers(Draft):
    """A decision that takes results."""

    def _take(self, result: Result) -> Verdict:
        if result.uid != self.job.uid:
            return ResultReason.JOB_GONE
        if self._has_ended:
            return ResultReason.STALE
        if self.was.sequence == 0:
            # The first dispatches are published before the status that knows of them.
            return Kept() if self._may_be_first(result) else self._ahead()
        entry = self._entry(result)
        if entry is not None:
            fits = result.step in {None, name_of(entry.path)}
            return self._apply(entry, result) if fits else ResultReason.FOREIGN
        return self._ahead() if result.seq > self.was.sequence else self._stale(result)

    def _may_be_first(self, result: Result) -> bool:
        """Whether a result may be of what the beginning sends: known for sure after the first write."""
        begun = self.flow is not None and any(
            (a.seq, a.attempt) == (result.seq, result.attempt) for a in self.flow.active.values()
        )
        return begun or answers_first(self.job, result)

    def _ahead(self) -> Verdict:
        """A result that is ahead of the job may only mean that we are behind."""
        self.read_again = self.read_again or not self.facts.fresh
        return ResultReason.FOREIGN

    def _entry(self, result: Result) -> ActiveStep | None:
        active = self.status.active if self.flow is None else self.flow.active.values()
        return next(
            (a for a in active if (a.seq, a.attempt) == (result.seq, result.attempt) and self._is_task(a)), None
        )

    def _stale(self, result: Result) -> Verdict:
        """A result that was applied before. If what it caused may not have been sent, send it again."""
        if result.seq == 0:
            return ResultReason.FOREIGN  # no dispatch has it: the first transition makes the first step due
        if self.flow is None or self.sender is None:
            return ResultReason.STALE
        caused = [a for a in self.flow.active.values() if a.attempt == 1 and _cause(a) == result.seq]
        sent = [self.sender.republish(a) for a in caused if a == self.was_active.get(a.path)]
        return ResultReason.REPUBLISHED if any(sent) else ResultReason.STALE

    def _apply(self, entry: ActiveStep, result: Result) -> Verdict:
        if self.flow is None or self.sender is None:
            missing = self.facts.definition
            assert isinstance(missing, Missing)  # noqa: S101  # otherwise there is a flow
            self._give_up(StepError(missing.reason, missing.message), entry, result.worker)
            return result.origin
        try:
            self.flow.require_state(entry.path)
            match result.outcome:
                case Succeeded(output):
                    self.flow.succeed(entry, output, result.worker)
                case Failed(error):
                    self.flow.fail(entry, error, result.worker)
        except TriggerRefused as refused:
            self.notes.append(Note(Reason.MACHINE_REFUSED, str(refused)))
            return ResultReason.STALE
        self.sender.drop_answered()
        others = any(a.dispatched_at is not None and self._is_task(a) for a in self.flow.active.values())
        if self.sender.hand_over():
            self.status = replace(self.status, broker_epoch=self._stamp(result.epoch, others=others))
        return result.origin

    def _stamp(self, epoch: str, *, others: bool) -> str | None:
        """The epoch of all that is out now that a result of `epoch` made more due.

        Where what was out before is of another broker, the stamp must not say that the broker of now has it all.
        """
        return self.status.broker_epoch if others and epoch == self.facts.epoch else epoch


def _cause(entry: ActiveStep) -> int:
    """The sequence of the dispatch whose result made an entry due."""
    return entry.seq - 1 if entry.cause is None else entry.cause
