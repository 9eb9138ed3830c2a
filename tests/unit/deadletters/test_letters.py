"""What is shown of a dead letter."""

from __future__ import annotations

import datetime as dt

from mastercontrol.pools.deadletters.letters import SHOWN, as_status, newest, read_letter
from mastercontrol.pools.deadletters.ports import DeadMessage
from unit.deadletters.builders import NOON, letter, message, step


def test_a_step_that_was_handed_out_too_often_names_its_job_step_attempt_and_why() -> None:
    found = read_letter(message(step(3, attempt=2)))
    assert as_status(found) == {
        "id": "u-order-1:3:2",
        "job": "order-1",
        "step": "charge",
        "attempt": 2,
        "reason": "DeliveryLimitExceeded",
        "message": "handed out as often as the pool's deliveryLimit allows, and never answered",
        "time": "2030-01-01T12:00:00.000Z",
    }
    assert str(found) == "u-order-1:3:2 (step charge of job order-1, attempt 2)"


def test_a_step_that_was_refused_has_the_code_of_its_jobs_error() -> None:
    found = as_status(read_letter(message(step(), "rejected")))
    assert (found["reason"], found["message"]) == (
        "DeadLettered",
        "a worker refused the message as no step that it can read",
    )
    assert as_status(read_letter(message(step(), "expired")))["message"] == "RabbitMQ dropped it: expired"


def test_when_it_died_is_left_out_where_the_broker_does_not_say() -> None:
    assert "time" not in as_status(read_letter(message(step(), died=None)))
    for deaths in ([], "noon", ["noon"], [{"time": "noon"}]):
        found = read_letter(DeadMessage(step().id, step().encode(), {"x-death": deaths}))
        assert found.died is None


def test_a_time_without_a_zone_is_one_in_utc() -> None:
    assert read_letter(message(step(), died=NOON.replace(tzinfo=None))).died == NOON


def test_what_is_no_step_is_shown_as_what_it_is() -> None:
    found = read_letter(DeadMessage(None, b"garbage", {}))
    entry = as_status(found)
    assert set(entry) == {"reason", "message"}
    assert entry["message"].startswith("it is no message of a step: ")
    assert str(found) == "a message without an id (no step)"
    long = as_status(read_letter(DeadMessage("x" * 5000, b"garbage", {})))
    assert len(long["id"]) == 100


def test_names_that_no_object_has_do_not_make_the_status_too_long() -> None:
    entry = as_status(read_letter(message(step(job="j" * 999, name="s" * 999))))
    assert (len(entry["job"]), len(entry["step"])) == (253, 253)


def test_the_newest_come_first_and_those_of_one_second_in_the_order_of_their_queue() -> None:
    times = [NOON + dt.timedelta(seconds=n // 2) for n in range(30)]
    letters = [read_letter(message(step(n + 1), died=time)) for n, time in enumerate(times)]
    assert [found.seq for found in newest(letters)] == list(range(30, 30 - SHOWN, -1))
    late = read_letter(message(step(99), died=NOON + dt.timedelta(hours=1)))
    assert newest([late, *letters])[0] is late, "one that was put back to the front"
    assert newest([]) == ()


def test_letters_without_a_time_count_as_old() -> None:
    unknown = read_letter(message(step(5), died=None))
    assert newest([letter(1), unknown]) == (letter(1), unknown)
