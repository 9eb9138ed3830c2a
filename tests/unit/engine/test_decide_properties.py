"""What holds for every job, whatever comes for it in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mastercontrol.api.names import Phase, Reason, ResultReason
from mastercontrol.api.operation import Operation, OperationType
from mastercontrol.api.status import JobStatus
from mastercontrol.api.workflow import RetrySpec
from mastercontrol.engine.facts import Decision, Kept, Limits, Missing, Result
from mastercontrol.workflow.definition import Definition
from unit.engine.builders import UID, Run, failure, ids, ok, stored, task

EPOCHS = [None, "e1", "e2"]
ENDS = {"Done", "Failed", "Cancelled"}
PHASES = {
    "Begin": {Phase.PENDING, Phase.SUSPENDED},
    "InProgress": {Phase.RUNNING, Phase.SUSPENDED},
    "Done": {Phase.SUCCEEDED},
    "Failed": {Phase.FAILED},
    "Cancelled": {Phase.CANCELLED},
}


@dataclass(frozen=True)
class Step:
    """One thing that happens before a turn, or with it."""

    what: str
    number: int = 0
    attempt: int = 1
    ok: bool = True

    def results(self, run: Run) -> list[Result]:
        status = run.job.status
        found = {"first answer": [ok(1, output="early")], "any answer": [self._result(self.number, self.attempt)]}
        found["foreign answer"] = [ok(1, uid="another")]
        if status and status.active:
            active = status.active[0]
            answer = self._result(active.seq, active.attempt)
            found |= {"answer": [answer], "answer twice": [answer, answer], "cause": [ok(active.seq - 1)]}
        return found.get(self.what, [])

    def _result(self, seq: int, attempt: int) -> Result:
        if self.ok:
            return ok(seq, attempt, output="x" * (self.number % 3) * 900)
        return failure(seq, attempt, retryable=self.number % 4 != 0)

    def _operation(self) -> Operation:
        kind = list(OperationType)[self.number % 3]
        output = "x" * (self.number % 2) * 900
        skip = kind is OperationType.SKIP
        return Operation(kind, f"s{self.attempt - 1}" if skip else None, skip and self.ok, output if skip else None)

    def apply(self, run: Run) -> None:
        effects: dict[str, Callable[[], object]] = {
            "time": lambda: run.later(self.number),
            "suspend": lambda: run.change(suspend=not run.job.spec.suspend),
            "cancel": lambda: run.change(cancel=True),
            "epoch": lambda: setattr(run, "epoch", EPOCHS[self.number % 3]),
            "pools": lambda: setattr(run, "missing_pools", {"s1-pool"} if self.number % 2 else set()),
            "no workflow": lambda: setattr(run, "definition", Missing(Reason.UNKNOWN_WORKFLOW, "there is none")),
            "delete": lambda: setattr(run, "job", replace(run.job, deleting=True)),
            "confirmed": lambda: setattr(run, "confirmed", frozenset({f"{UID}:{self.number}:{self.attempt}"})),
            "resend": lambda: setattr(run, "resend", frozenset({f"{UID}:{self.number}:{self.attempt}"})),
            "operation": lambda: run.change(operations=(*run.job.spec.operations, self._operation())),
        }
        effects.get(self.what, lambda: None)()


ANSWERS = ["answer"] * 6 + ["answer twice", "first answer", "cause", "any answer", "foreign answer"]
EVENTS = ["time"] * 3 + ["suspend", "cancel", "epoch", "pools", "no workflow", "workflow", "confirmed", "resend"]
EVENTS += ["operation"] * 3
steps = st.lists(
    st.builds(
        Step,
        what=st.sampled_from([*ANSWERS, *EVENTS]),
        number=st.integers(0, 7),
        attempt=st.integers(1, 3),
        ok=st.booleans(),
    ),
    max_size=25,
)
policies = st.builds(
    RetrySpec, limit=st.integers(0, 2), backoff_seconds=st.sampled_from([0.0, 1.0, 3.0]), jitter=st.booleans()
)


@given(
    plan=steps,
    length=st.integers(1, 3),
    policy=policies,
    timeout=st.sampled_from([None, 1, 5]),
    active=st.sampled_from([None, 10]),
    ttl=st.sampled_from([None, 0, 3]),
    limit=st.sampled_from([2_500, 256 * 1024]),
    fresh=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_event_in_any_order_breaks_what_always_holds(
    plan: list[Step],
    length: int,
    policy: RetrySpec,
    timeout: int | None,
    active: int | None,
    ttl: int | None,
    limit: int,
    *,
    fresh: bool,
) -> None:
    states = [task(f"s{i}", timeout=timeout, retry=policy) for i in range(length)]
    run = Run(*states, active_deadline_seconds=active, ttl_seconds_after_finished=ttl)
    run.limits, run.fresh = Limits(status_bytes=limit), fresh
    definition = run.definition
    assert isinstance(definition, Definition)
    for step in plan:
        step.apply(run)
        if step.what == "workflow":
            run.definition = definition
        results = step.results(run)
        is_over = takes_a_turn(run, results, definition)
        while not is_over:  # an operation has a turn of its own
            is_over = takes_a_turn(run, results, definition)
        comes_to_rest(run)


def takes_a_turn(run: Run, results: list[Result], definition: Definition) -> bool:
    """One turn, and all that is to hold of it; whether it dealt with what came."""
    before, asked = run.job.status or JobStatus(), bool(run.job.asked) and not run.job.deleting
    decision = run.turn(*results)
    after = run.job.status or JobStatus()
    holds_between(before, after, definition, asked=asked)
    holds_of(after, run, asked=asked)
    holds_of_publishing(before, decision, run)
    if asked and not decision.read_again:
        assert after.operations_taken > before.operations_taken
        assert decision.verdicts == (Kept(),) * len(results)
        assert decision.publish == decision.publish_first == ()
        assert decision.wake_at == run.now
        return False
    holds_of_verdicts(decision, results)
    return True


def holds_between(before: JobStatus, after: JobStatus, definition: Definition, *, asked: bool) -> None:
    """The state moves along the machine's edges, one line of history and one number of the sequence each."""
    grown = after.sequence - before.sequence
    assert grown >= 0
    lines = after.history[len(after.history) - grown :] if grown else ()
    assert after.history == (*before.history, *lines)[-20:]
    assert [line.seq for line in lines] == list(range(before.sequence + 1, after.sequence + 1))
    at = before.state
    for line in lines:
        assert line.state in edges(definition, at, asked=asked), f"{at} -> {line.state}"
        at = line.state
    assert at == after.state
    if before.ended and not asked:
        assert after == before
    if before.phase in {Phase.SUCCEEDED, Phase.CANCELLED}:
        assert after.sequence == before.sequence


def edges(definition: Definition, state: str, *, asked: bool) -> set[str]:
    """The legal moves, said once more and independently of the machine."""
    if state == "Begin":
        return {f"InProgress.{definition.start}", "Cancelled"}
    if state == "Failed" and asked:
        return {f"InProgress.{name}" for name in definition.states}
    if state in ENDS:
        return set()
    following = definition.states[state.removeprefix("InProgress.")].next
    return {"Failed", "Cancelled", state, f"InProgress.{following}" if following else "Done"}


def holds_of(status: JobStatus, run: Run, *, asked: bool) -> None:
    assert stored(status) == status, "it is stored without loss"
    assert status.phase in PHASES[status.state.partition(".")[0]]
    assert len({c.type for c in status.conditions}) == len(status.conditions)
    assert status.ended == (status.completion_time is not None)
    if status.state.startswith("InProgress"):
        (active,) = status.active
        assert f"InProgress.{active.path}" == status.state
        assert active.seq == status.sequence, "the dispatch bears the number of the transition that made it"
    else:
        assert status.active == ()
    assert bool(status.resumable) <= (status.phase is Phase.FAILED)
    if status.ended and run.last.wake_at is not None and not asked:
        assert run.job.spec.ttl_seconds_after_finished is not None


def holds_of_publishing(before: JobStatus, decision: Decision, run: Run) -> None:
    if run.epoch is None:
        assert decision.publish_first == ()
    known = {f"{a.seq}:{a.attempt}" for a in before.active}
    for id_ in ids(decision, first=True):
        assert id_ in known or (id_ == "1:1" and before.sequence == 0), "published first is only what was written"
    sent = [*ids(decision, first=True), *ids(decision, first=False)]
    assert len(sent) == len(set(sent)), "once a turn"
    after = decision.status or before
    active = {f"{a.seq}:{a.attempt}": a for a in after.active}
    for id_ in sent:
        assert active[id_].dispatched_at is not None, "what is sent is active, and marked as sent"
    if decision.delete:
        assert sent == []


def holds_of_verdicts(decision: Decision, results: list[Result]) -> None:
    if decision.read_again:
        return
    assert len(decision.verdicts) == len(results)
    for verdict, result in zip(decision.verdicts, results, strict=True):
        if isinstance(verdict, Kept):
            assert (result.seq, result.attempt) == (1, 1)
        elif verdict is ResultReason.REPUBLISHED:
            assert decision.publish or decision.publish_first or decision.status is not None


def comes_to_rest(run: Run) -> None:
    """The same once more, with nothing new: no transition, and after two turns (send again, mark) no write either.

    Only time moves a job that is at rest, so the next wake-up lies ahead.
    """
    still = Run("unused")
    still.__dict__.update(run.__dict__)
    still.resend = frozenset()
    for _ in range(2):
        decision = still.turn()
        if run.job.status is not None:
            assert still.status.sequence == run.status.sequence
        if decision.status is not None:
            still.confirmed |= frozenset(d.message.id for d in decision.publish_first)
    decision = still.turn()
    assert decision.status is None
    assert decision.publish == decision.publish_first == ()
    assert decision.notes == ()
    if decision.wake_at is not None and not decision.delete:
        assert decision.wake_at > still.now, "or it would be woken again and again"
