"""The model decides as the engine does: every decision that a search comes to is made again by `engine.decide`.

So what is proved of the model's `decide` is proved of the code's, for a chain of steps. `wake_at`, the words for people
and the content of messages are not in the model.
"""

from __future__ import annotations

import datetime as dt
import functools
from typing import NamedTuple

import pytest

from mastercontrol.api.job import Job, JobSpec
from mastercontrol.api.names import Phase, ResultReason
from mastercontrol.api.status import ActiveStep, JobStatus
from mastercontrol.engine import decide as engine_decide
from mastercontrol.engine import facts
from mastercontrol.engine.decide import decide
from mastercontrol.engine.facts import Decision, Facts, Kept
from mastercontrol.workflow.machine import DONE, in_progress, step_of
from mastercontrol_worker.contract import Failed, StepError, Succeeded, parse_dispatch_id
from model.bounds import NONE, Bound
from model.protocol import READ_AGAIN, Protocol
from model.search import search
from model.state import NO_CONNECTION, Id, Operator, Result, Turn
from model.state import Job as ModelJob
from unit.engine.builders import NOW, written

STEPS = 2
HOUR = dt.timedelta(hours=1)
RETRY = {"limit": 9, "backoffSeconds": 1, "jitter": "none"}
CHAIN = written(*({"name": f"s{n}", "pool": "p", "timeoutSeconds": 60, "retry": RETRY} for n in range(STEPS)))

BOUNDS = (
    Bound("deaths and a failure", NONE._replace(operator_crashes=1, losses=1, failures=1)),
    Bound("a deadline and a zombie", NONE._replace(deadlines=1, take_overs=1)),
    Bound("a zombie that goes on", NONE._replace(failures=1, take_overs=1, zombie_turns=1)),
    Bound("connections", NONE._replace(operator_crashes=1, losses=1, lost_replies=1, reconnects=1)),
)


class Asked(NamedTuple):
    """What a decision of the model was made of."""

    job: ModelJob
    letters: frozenset[Result]
    epoch: int
    confirmed: tuple[Id, int] | None
    resend: Id | None
    fresh: bool
    late: bool


class Listening(Protocol):
    """A protocol that keeps the decisions that were asked of it."""

    def __init__(self) -> None:
        super().__init__(STEPS)
        self.decisions: dict[Asked, Turn | str | None] = {}

    def _decide(self, operator: Operator, job: ModelJob, *, fresh: bool, late: bool) -> Turn | str | None:
        turn = super()._decide(operator, job, fresh=fresh, late=late)
        known = operator.confirmed, operator.resend
        self.decisions[Asked(job, operator.letters, operator.epoch, *known, fresh, late)] = turn
        return turn


Decided = str | tuple[ModelJob, Id | None, Id | None, frozenset[Result]]
"""The job after the write, what is published before and after it, and the results that are acknowledged."""


@functools.cache
def _decisions(bound: Bound) -> dict[Asked, Decided]:
    """Every decision that a search comes to."""
    model = Listening()
    assert search(model, model.begin(bound.budget)).fault is None
    # Where nothing is active nothing can be late.
    return {
        asked: _of_model(asked, turn) for asked, turn in model.decisions.items() if turn is not None or not asked.late
    }


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.name)
def test_the_engine_decides_as_the_model_does(bound: Bound) -> None:
    decisions = _decisions(bound)
    for asked, decided in decisions.items():
        assert _of_engine(asked) == decided, asked
    assert len(set(decisions.values())) > 30


def test_an_engine_that_decides_otherwise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_decide._Turn, "_stale", lambda *_: ResultReason.STALE)
    different = [asked for asked, decided in _decisions(BOUNDS[0]).items() if _of_engine(asked) != decided]
    assert different
    assert all(asked.letters for asked in different)


def _of_model(asked: Asked, turn: Turn | str | None) -> Decided:
    if turn is None:
        return _plain(asked.job), None, None, frozenset()
    if isinstance(turn, str):
        return turn
    return _plain(turn.status or asked.job), turn.first, turn.publish, turn.settled


def _of_engine(asked: Asked) -> Decided:
    letters = sorted(asked.letters)
    known = Facts(
        now=NOW,
        jitter=0.5,
        epoch=None if asked.epoch == NO_CONNECTION else str(asked.epoch),
        definition=CHAIN,
        pool_known=lambda _: True,
        fresh=asked.fresh,
        confirmed=frozenset(_id(i) for i, epoch in [asked.confirmed or ((0, 0), -1)] if epoch == asked.epoch),
        resend=frozenset([] if asked.resend is None else [_id(asked.resend)]),
    )
    decision = decide(_job(asked), [_result(letter) for letter in letters], known)
    if decision.read_again:
        return READ_AGAIN
    verdicts = zip(letters, decision.verdicts, strict=True)
    settled = frozenset(letter for letter, verdict in verdicts if not isinstance(verdict, Kept))
    return _plain(_status(decision, asked.job)), *_published(decision), settled


def _published(decision: Decision) -> tuple[Id | None, Id | None]:
    first, after = (
        [parse_dispatch_id(d.message.id)[1:] for d in sent] for sent in (decision.publish_first, decision.publish)
    )
    assert len(first) <= 1
    assert len(after) <= 1
    return (first[0] if first else None), (after[0] if after else None)


def _status(decision: Decision, before: ModelJob) -> ModelJob:
    status = decision.status
    if status is None:
        return before
    if status.state == DONE:
        return ModelJob(status.sequence, STEPS)
    (entry,) = status.active
    step = int((step_of(status.state) or "").removeprefix("s"))
    sent, stamp = entry.dispatched_at is not None, int(status.broker_epoch or 0)
    assert entry.seq == status.sequence
    return ModelJob(status.sequence, step, entry.attempt, sent=sent, stamp=stamp)


def _plain(job: ModelJob) -> ModelJob:
    """Of a job that is Done the stamp says nothing."""
    return ModelJob(job.seq, STEPS) if job.step == STEPS else job


def _job(asked: Asked) -> Job:
    return Job("shop", "j", "u", "1", 1, JobSpec("order"), None if asked.job.seq == 0 else _stored(asked))


def _stored(asked: Asked) -> JobStatus:
    job = asked.job
    stamp = str(job.stamp) if job.stamp else None
    if job.step == STEPS:
        return JobStatus(DONE, Phase.SUCCEEDED, CHAIN.revision, job.seq, stamp, completion_time=NOW)
    name = f"s{job.step}"
    entry = ActiveStep(
        name,
        job.seq,
        job.attempt,
        not_before=NOW - HOUR if job.attempt > 1 else None,
        dispatched_at=NOW - HOUR if job.sent else None,
        deadline=(NOW - dt.timedelta(seconds=1) if asked.late else NOW + HOUR) if job.sent else None,
    )
    return JobStatus(in_progress(name), Phase.RUNNING, CHAIN.revision, job.seq, stamp, (entry,), start_time=NOW - HOUR)


def _result(letter: Result) -> facts.Result:
    outcome = Succeeded({}) if letter.ok else Failed(StepError("Busy", "told to"))
    return facts.Result("u", letter.seq, letter.attempt, outcome, str(letter.epoch), "w", step=f"s{letter.step}")


def _id(dispatch: Id) -> str:
    return f"u:{dispatch[0]}:{dispatch[1]}"
