"""What is remembered of heartbeats: of which dispatches, for how long, and when a turn is to look at it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mastercontrol import metrics
from mastercontrol.api.names import HeartbeatReason
from mastercontrol.engine import heartbeats
from mastercontrol.engine.facts import Heartbeat
from mastercontrol.engine.heartbeats import Attention, Hearing, Heartbeats
from mastercontrol.engine.mailbox import Cell, Mailboxes
from mastercontrol_worker.contract import StepMessage
from mastercontrol_worker.heartbeat import Beat, HeartbeatMessage
from unit.engine.builders import NOW, Run, seconds, step

BEAT = Heartbeat(NOW, "worker-1")
BACK = Heartbeat(NOW, "worker-1", waiting=True)


class Ear:
    """A job whose first step is sent, and who hears of it. `known`: the job is known here."""

    def __init__(self, *, watched: frozenset[str] | None = None, known: bool = True) -> None:
        self.run = Run.of(step("load", heartbeatSeconds=30))
        self.hearing = Hearing(watched)
        self.boxes = Mailboxes()
        self.sent = self.run.sent[0]
        if known:
            self.learn()

    def learn(self) -> Cell:
        cell = self.boxes.cell((self.run.job.namespace, self.run.job.name))
        cell.learn(self.run.job)
        return cell

    def hear(self, sent: StepMessage | None = None, beat: Beat = Beat.ALIVE) -> bool | None:
        """Whether a heartbeat of a step is to be looked at now; None where it is of no job known here."""
        message = HeartbeatMessage.of(sent or self.sent, beat, "worker-1", {"page": 1})
        found = self.hearing.take(message.id, message.encode(), self.boxes, NOW)
        return None if found is None else found[1]


def counted(reason: HeartbeatReason) -> float:
    return float(metrics.HEARTBEATS.labels(reason.value)._value.get())


# -- of one job


def test_the_first_of_a_dispatch_is_looked_at_and_so_is_that_it_went_back() -> None:
    beats = Heartbeats()
    assert beats.take((1, 1), BEAT)
    assert not beats.take((1, 1), BEAT)
    assert beats.take((1, 1), BACK)
    assert beats.take((1, 1), BEAT)


def test_a_worker_gives_back_only_what_no_other_has_begun_since() -> None:
    beats = Heartbeats()
    beats.take((1, 1), replace(BEAT, worker="worker-2"))
    assert not beats.take((1, 1), BACK)
    assert not beats.known[1, 1].waiting


def test_what_goes_back_without_having_been_heard_of_is_looked_at() -> None:
    assert Heartbeats().take((1, 1), BACK)


def test_of_too_many_dispatches_the_first_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "MOST_KNOWN", 2)
    beats = Heartbeats()
    for seq in (1, 2, 3):
        beats.take((seq, 1), BEAT)
    assert list(beats.known) == [(2, 1), (3, 1)]


def test_what_is_over_is_forgotten_and_what_is_ahead_of_the_status_is_kept() -> None:
    run = Run.of(step("load"), step("next"))
    run.done("load")
    beats = Heartbeats()
    beats.take_all({(1, 1): BEAT, (2, 1): BEAT, (2, 2): BEAT, (3, 1): BEAT})
    beats.keep(None)
    assert len(beats.known) == 4
    beats.keep(run.status)
    assert list(beats.known) == [(2, 1), (3, 1)]


def test_nothing_is_left_after_a_reset() -> None:
    beats = Heartbeats(shown_at=NOW)
    beats.take((1, 1), BEAT)
    beats.reset()
    assert beats == Heartbeats()
    assert beats.look_at(NOW, 30) is None


def test_what_no_turn_has_seen_is_looked_at_when_it_may_be_written_again() -> None:
    beats = Heartbeats()
    assert beats.look_at(NOW, 30) is None
    beats.take((1, 1), BEAT)
    assert beats.look_at(NOW, 30) == NOW
    beats.shown_at = NOW - seconds(10)
    assert beats.look_at(NOW, 30) == NOW + seconds(20)
    assert beats.look_at(NOW + seconds(40), 30) == NOW + seconds(40)
    heard = beats.heard(NOW - seconds(5), 30, complete=True)
    assert (heard.known, heard.since, heard.complete) == ({(1, 1): BEAT}, NOW - seconds(5), True)
    assert heard.show_from == NOW + seconds(20)
    assert beats.look_at(NOW, 30) is None, "a turn has seen it"


def test_attention_counts_from_the_last_time_that_something_may_have_been_missed() -> None:
    attention = Attention()
    attention.begin(NOW)
    attention.begin(NOW - seconds(5))
    assert attention.since == NOW
    attention.begin(NOW + seconds(5))
    assert attention.since == NOW + seconds(5)


# -- of all jobs


def test_a_heartbeat_is_taken_with_what_its_worker_said() -> None:
    ear = Ear()
    before = counted(HeartbeatReason.TAKEN)
    assert ear.hear() is True
    assert ear.learn().heartbeats.known == {(1, 1): Heartbeat(NOW, "worker-1", {"page": 1})}
    assert ear.hear() is False
    assert counted(HeartbeatReason.TAKEN) == before + 2
    assert ear.hear(beat=Beat.GIVEN_BACK) is True
    assert ear.learn().heartbeats.known[1, 1].waiting


def test_what_is_no_heartbeat_is_counted_and_left() -> None:
    ear = Ear()
    before = counted(HeartbeatReason.MALFORMED)
    assert ear.hearing.take(ear.sent.id, b"garbage", ear.boxes, NOW) is None
    assert counted(HeartbeatReason.MALFORMED) == before + 1


def test_a_heartbeat_of_a_namespace_that_is_not_watched_is_foreign() -> None:
    before = counted(HeartbeatReason.FOREIGN)
    ear = Ear(watched=frozenset({"elsewhere"}))
    assert ear.hear() is None
    assert ear.learn().heartbeats.known == {}
    assert counted(HeartbeatReason.FOREIGN) == before + 1
    assert Ear(watched=frozenset({"shop"})).hear() is True


def test_a_heartbeat_of_a_dispatch_that_is_over_is_stale() -> None:
    ear = Ear()
    before = counted(HeartbeatReason.STALE)
    assert ear.hear(replace(ear.sent, id=ear.sent.id.replace(":1:1", ":1:2"), attempt=2)) is None
    assert ear.learn().heartbeats.known == {}
    assert counted(HeartbeatReason.STALE) == before + 1


def test_a_heartbeat_of_a_dispatch_that_is_ahead_of_the_job_is_taken() -> None:
    ear = Ear()
    assert ear.hear(replace(ear.sent, id=ear.sent.id.replace(":1:1", ":2:1"))) is True


def test_heartbeats_of_a_job_that_is_not_known_yet_are_given_to_it_once() -> None:
    ear = Ear(known=False)
    before = counted(HeartbeatReason.UNKNOWN_JOB)
    assert ear.hear() is None
    assert counted(HeartbeatReason.UNKNOWN_JOB) == before + 1
    cell = ear.learn()
    ear.hearing.found(cell)
    assert list(cell.heartbeats.known) == [(1, 1)]
    cell.heartbeats.reset()
    ear.hearing.found(cell)
    assert cell.heartbeats.known == {}


def test_heartbeats_of_another_job_that_had_the_name_are_not_taken_for_this_one_s() -> None:
    ear = Ear(known=False)
    cell = ear.boxes.cell(("shop", "order-1"))
    assert ear.hear() is None, "the cell knows no job yet"
    cell.learn(replace(ear.run.job, uid="another"))
    assert ear.hear() is None
    ear.hearing.found(cell)
    assert cell.heartbeats.known == {}


def test_of_jobs_that_are_not_known_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "MOST_STRAYS", 2)
    monkeypatch.setattr(heartbeats, "MOST_KNOWN", 2)
    ear = Ear(known=False)

    def heard_of(uid: str, seq: int = 1) -> None:
        ref = replace(ear.sent.job, uid=uid)
        ear.hear(replace(ear.sent, id=f"{uid}:{seq}:1", job=ref))

    def given(uid: str) -> list[tuple[int, int]]:
        cell = Cell(("shop", "order-1"))
        cell.learn(replace(ear.run.job, uid=uid))
        ear.hearing.found(cell)
        return list(cell.heartbeats.known)

    for uid in ("u1", "u2"):
        heard_of(uid)
    for seq in (2, 3):
        heard_of("u1", seq)
    heard_of("u3")
    assert (given("u1"), given("u2"), given("u3")) == ([(2, 1), (3, 1)], [], [(1, 1)])


def test_a_connection_to_a_broker_that_lost_its_data_forgets_all_and_another_one_does_not() -> None:
    ear = Ear()
    ear.hearing.connected("e1", NOW, ear.boxes)
    ear.hear()
    ear.hear(replace(ear.sent, id="u2:1:1", job=replace(ear.sent.job, uid="u2")))
    ear.hearing.connected("e1", NOW + seconds(9), ear.boxes)
    assert ear.hearing.attention.since == NOW + seconds(9)
    assert ear.learn().heartbeats.known
    ear.hearing.connected("e2", NOW + seconds(20), ear.boxes)
    assert ear.learn().heartbeats.known == {}
    stray = Cell(("shop", "order-1"))
    stray.learn(replace(ear.run.job, uid="u2"))
    ear.hearing.found(stray)
    assert stray.heartbeats.known == {}
