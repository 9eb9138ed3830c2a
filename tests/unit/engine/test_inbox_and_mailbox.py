"""What a delivery means, and what a Job's cell remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mastercontrol.api.names import ResultReason
from mastercontrol.engine import mailbox
from mastercontrol.engine.inbox import Addressed, JobKey, Malformed, read_delivery
from mastercontrol.engine.mailbox import Cell, Letter, Mailboxes
from mastercontrol_worker.contract import Failed, JobRef, ResultMessage, StepError, StepMessage, Succeeded
from unit.engine.builders import Run, each, ok, step, written
from unit.engine.fakes import FakeBroker

STEP = StepMessage("u1:4:2", JobRef("shop", "j", "u1"), "charge", 2, {"n": 1})
NOBODY: Callable[[str], JobKey | None] = lambda _: None  # noqa: E731  # a constant of the tests


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker([])


def read(broker: FakeBroker, body: bytes, id_: str | None = STEP.id, **headers: str) -> Addressed | Malformed:
    return read_delivery(broker.deliver(id_, body, **headers), NOBODY)


@pytest.mark.parametrize("outcome", [Succeeded({"paid": True}), Failed(StepError("NoMoney", "none", retryable=False))])
def test_an_answer_is_addressed_to_its_job(broker: FakeBroker, outcome: Succeeded | Failed) -> None:
    found = read(broker, ResultMessage.of(STEP, outcome, "worker-7").encode())
    assert isinstance(found, Addressed)
    assert found.key == ("shop", "j")
    result = found.result
    assert (result.uid, result.seq, result.attempt, result.outcome) == ("u1", 4, 2, outcome)
    assert (result.epoch, result.worker, result.origin) == ("e1", "worker-7", ResultReason.APPLIED)
    assert result.step == "charge"


def test_a_body_that_is_too_large_is_addressed_by_the_uid_of_its_id_without_being_read(broker: FakeBroker) -> None:
    found = read_delivery(broker.deliver(STEP.id, b"x" * 65_537), lambda uid: ("shop", "j") if uid == "u1" else None)
    assert isinstance(found, Addressed)
    assert found.key == ("shop", "j")
    result = found.result
    assert (result.uid, result.seq, result.attempt, result.step) == ("u1", 4, 2, None)
    assert (result.epoch, result.worker, result.origin) == ("e1", "", ResultReason.OVERSIZED)
    message = "the result has 65537 bytes, the limit is 65536"
    assert result.outcome == Failed(StepError("ResultTooLarge", message, retryable=False))


def test_a_body_that_is_too_large_for_a_job_not_known_here_is_addressed_by_what_it_says(broker: FakeBroker) -> None:
    body = ResultMessage.of(STEP, Succeeded(1)).encode() + b" " * 70_000
    found = read(broker, body)
    assert isinstance(found, Addressed)
    assert found.key == ("shop", "j")
    assert found.result.origin is ResultReason.OVERSIZED


def test_a_body_of_exactly_the_limit_is_taken(broker: FakeBroker) -> None:
    body = ResultMessage.of(STEP, Succeeded(1)).encode()
    found = read(broker, body + b" " * (65_536 - len(body)))
    assert isinstance(found, Addressed)
    assert found.result.origin is ResultReason.APPLIED


@pytest.mark.parametrize(
    ("reason", "code"),
    [("delivery_limit", "DeliveryLimitExceeded"), ("rejected", "DeadLettered"), ("", "DeadLettered")],
)
def test_a_dead_letter_is_a_failure_of_its_step_that_is_not_tried_again(
    broker: FakeBroker, reason: str, code: str
) -> None:
    headers = {"x-first-death-queue": "mcp.pool.shop.payments", "x-first-death-reason": reason}
    found = read(broker, STEP.encode(), **headers)
    assert isinstance(found, Addressed)
    assert (found.key, found.result.seq, found.result.attempt) == (("shop", "j"), 4, 2)
    assert found.result.origin is ResultReason.DEAD_LETTERED
    assert isinstance(found.result.outcome, Failed)
    assert found.result.outcome.error.code == code
    assert not found.result.outcome.error.retryable


def dead(broker: FakeBroker, **headers: str) -> str:
    """What is said of a dead letter with these headers, if it is said as a whole."""
    found = read(broker, STEP.encode(), **{"x-first-death-queue": "q"}, **headers)
    assert isinstance(found, Addressed)
    assert (found.result.uid, found.result.epoch, found.result.worker, found.result.step) == ("u1", "e1", "", "charge")
    assert isinstance(found.result.outcome, Failed)
    return found.result.outcome.error.message


def test_a_dead_letter_says_why_it_is_one(broker: FakeBroker) -> None:
    lies = "it lies in the pool's dead letters"
    assert dead(broker) == f"the step's message was dead-lettered (rejected); {lies}"
    assert (
        dead(broker, **{"x-first-death-reason": "expired"}) == f"the step's message was dead-lettered (expired); {lies}"
    )
    long = {"x-first-death-reason": "x" * 41}
    assert dead(broker, **long) == f"the step's message was dead-lettered ({'x' * 40}); {lies}"


@pytest.mark.parametrize(
    ("id_", "body"),
    [
        (None, ResultMessage.of(STEP, Succeeded(1)).encode()),
        ("u1:4", ResultMessage.of(STEP, Succeeded(1)).encode()),
        ("u1:4:3", ResultMessage.of(STEP, Succeeded(1)).encode()),
        ("u2:4:2", ResultMessage.of(STEP, Succeeded(1)).encode()),
        (STEP.id, STEP.encode()),
        (STEP.id, b""),
        (STEP.id, b"\xff"),
        (STEP.id, b"x" * 70_000),
    ],
    ids=["no id", "short id", "other attempt", "other job", "a step", "empty", "no text", "large and no json"],
)
def test_what_is_no_message_of_the_contract_is_malformed_and_says_why(
    broker: FakeBroker, id_: str | None, body: bytes
) -> None:
    found = read(broker, body, id_)
    assert isinstance(found, Malformed)
    assert found.why


def test_a_message_without_an_id_is_said_to_have_none(broker: FakeBroker) -> None:
    assert read(broker, b"{}", None) == Malformed("not a dispatch id: ''")


def test_a_dead_letter_that_is_no_step_is_malformed(broker: FakeBroker) -> None:
    assert isinstance(read(broker, b"garbage", **{"x-first-death-queue": "q"}), Malformed)


@pytest.mark.parametrize(
    ("namespace", "name"),
    [("shop", ".."), ("shop", "a/b"), ("shop", "a b"), ("shop", "A"), ("shop", "a..b"), ("shop", "a\n"),
     ("shop", "x" * 254), ("../kube-system", "j"), ("a.b", "j"), ("x" * 64, "j")],
)  # fmt: skip
@pytest.mark.parametrize("padding", [0, 70_000], ids=["small", "large"])
def test_a_result_for_what_can_be_no_job_is_malformed(
    broker: FakeBroker, namespace: str, name: str, padding: int
) -> None:
    """Such a read would be refused each time, and the result kept for ever."""
    body = ResultMessage(STEP.id, JobRef(namespace, name, "u1"), STEP.step, 2, Succeeded(1)).encode()
    assert isinstance(read(broker, body + b" " * padding), Malformed)


@pytest.mark.parametrize(
    ("namespace", "name", "why"),
    [
        ("shop", "A" * 90, f"'{'A' * 80}' can be no name of a job"),
        ("A" * 90, "j", f"'{'A' * 80}' can be no namespace"),
    ],
)
def test_what_can_be_no_job_is_told_in_few_words(broker: FakeBroker, namespace: str, name: str, why: str) -> None:
    found = read(broker, ResultMessage(STEP.id, JobRef(namespace, name, "u1"), STEP.step, 2, Succeeded(1)).encode())
    assert found == Malformed(why)


def test_the_longest_names_are_taken(broker: FakeBroker) -> None:
    ref = JobRef("n" * 63, "j" * 253, "u1")
    found = read(broker, ResultMessage(STEP.id, ref, STEP.step, 2, Succeeded(1)).encode())
    assert isinstance(found, Addressed)
    assert found.key == ("n" * 63, "j" * 253)


def test_a_job_may_have_dots_in_its_name(broker: FakeBroker) -> None:
    body = ResultMessage(STEP.id, JobRef("shop", "order-1.v2", "u1"), STEP.step, 2, Succeeded(1)).encode()
    found = read(broker, body)
    assert isinstance(found, Addressed)
    assert found.key == ("shop", "order-1.v2")


# -- the cell


def cell_and_job() -> tuple[Cell, Run]:
    run = Run("a")
    run.job = replace(run.job, resource_version="9")
    return Cell(("shop", "order-1")), run


def test_a_cell_takes_what_is_newer_as_a_number() -> None:
    cell, run = cell_and_job()
    assert cell.learn(run.job)
    assert not cell.learn(run.job)
    assert not cell.learn(replace(run.job, resource_version="8"))
    assert cell.learn(replace(run.job, resource_version="10"))


def test_another_job_of_the_name_is_taken_only_when_it_is_newer_and_clears_what_was_known_of_dispatches() -> None:
    cell, run = cell_and_job()
    cell.learn(run.job)
    cell.confirm("0b5e:1:1", "e1")
    cell.resend.add("0b5e:2:1")
    assert not cell.learn(replace(run.job, uid="older", resource_version="8"))
    assert cell.confirmed
    assert cell.learn(replace(run.job, uid="newer", resource_version="10"))
    assert (cell.confirmed, cell.resend) == ({}, set())


def test_a_confirm_settles_what_was_owed() -> None:
    cell, _ = cell_and_job()
    cell.resend.add("u:1:1")
    cell.confirm("u:1:1", "e1")
    assert (cell.resend, cell.confirmed) == (set(), {"u:1:1": "e1"})


def test_only_the_last_confirms_are_remembered() -> None:
    cell, _ = cell_and_job()
    for seq in range(100):
        cell.confirm(f"u:{seq}:1", "e1")
    assert list(cell.confirmed) == [f"u:{seq}:1" for seq in range(96, 100)]


def test_as_many_confirms_are_remembered_as_a_job_of_many_steps_needs() -> None:
    cell, run = cell_and_job()
    run.definition = written(each("m", list(range(10)), step("a")))
    run.turn()
    cell.learn(run.job)
    for seq in range(100):
        cell.confirm(f"u:{seq}:1", "e1")
    assert list(cell.confirmed) == [f"u:{seq}:1" for seq in range(80, 100)], "twice as many as it has steps"


def test_as_many_confirms_are_remembered_as_steps_are_out() -> None:
    cell, _ = cell_and_job()
    Mailboxes().set_outstanding(cell, ("pool",) * 10)
    for seq in range(100):
        cell.confirm(f"u:{seq}:1", "e1")
    assert list(cell.confirmed) == [f"u:{seq}:1" for seq in range(80, 100)]


def test_letters_that_were_put_back_come_before_what_came_meanwhile(broker: FakeBroker) -> None:
    cell, _ = cell_and_job()
    first, second = (Letter(ok(n), broker.deliver(f"u:{n}:1", b"")) for n in (1, 2))
    cell.letters = [first]
    drained = cell.drain()
    cell.letters.append(second)
    cell.put_back(drained)
    assert cell.letters == [first, second]


def test_the_steps_that_are_out_are_counted_for_each_pool() -> None:
    boxes = Mailboxes()
    one, two = boxes.cell(("shop", "1")), boxes.cell(("shop", "2"))
    assert boxes.set_outstanding(one, ("a",)) == {"a"}
    assert boxes.set_outstanding(two, ("a",)) == {"a"}
    assert boxes.set_outstanding(two, ("a",)) == set(), "nothing new"
    assert boxes.outstanding("shop", "a") == 2
    assert boxes.set_outstanding(one, ("b",)) == {"b"}
    boxes.drop(two)
    assert (boxes.outstanding("shop", "a"), boxes.outstanding("shop", "b")) == (0, 1)
    assert boxes.outstanding("other", "b") == 0


def test_of_two_jobs_that_had_a_name_one_after_the_other_only_the_last_is_found_by_its_uid() -> None:
    boxes = Mailboxes()
    run = Run("a")
    cell = boxes.cell(("shop", "order-1"))
    for uid in ("u1", "u2"):
        cell.learn(replace(run.job, uid=uid, resource_version=uid[1]))
        boxes.index(replace(run.job, uid=uid))
    assert (boxes.key_of("u1"), boxes.key_of("u2")) == (None, ("shop", "order-1"))
    boxes.drop(cell)
    assert boxes.key_of("u2") is None


def test_a_dropped_job_is_found_neither_by_key_nor_by_uid() -> None:
    boxes = Mailboxes()
    run = Run("a")
    cell = boxes.cell(("shop", "order-1"))
    cell.learn(run.job)
    boxes.index(run.job)
    assert boxes.key_of(run.job.uid) == ("shop", "order-1")
    boxes.drop(cell)
    assert boxes.find(("shop", "order-1")) is None
    assert boxes.key_of(run.job.uid) is None


def test_of_the_jobs_that_were_dropped_the_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "DROPPED_KEPT", 2)
    boxes, job = Mailboxes(), Run("a").job
    jobs = [replace(job, name=f"j{n}", uid=f"u{n}", resource_version="5") for n in range(3)]
    for each_job in jobs:
        cell = boxes.cell((each_job.namespace, each_job.name))
        cell.learn(each_job)
        boxes.drop(cell)
    assert [boxes.is_old(each_job) for each_job in jobs] == [False, True, True]
    assert not boxes.is_old(replace(jobs[2], resource_version="6"))
    assert not boxes.is_old(replace(jobs[0], resource_version="1"))
