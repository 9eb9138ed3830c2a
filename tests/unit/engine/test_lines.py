"""A line by itself: where a Job stands, and who is to end for whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mastercontrol.api.job import Job, JobSpec
from mastercontrol.api.names import LimitPolicy, Phase
from mastercontrol.api.status import JobStatus
from mastercontrol.engine.lines import Line, Member, member_of
from mastercontrol.workflow.concurrency import Concurrency
from unit.engine.builders import NOW, seconds

RUNNING = JobStatus("InProgress.a", Phase.RUNNING, "r", 1)


def line_of(limit: int, policy: LimitPolicy = LimitPolicy.QUEUE) -> Line:
    return Line(Concurrency(limit=limit, policy=policy), None)


def member(name: str, *, age: float = 0, seen: int = 1, status: JobStatus | None = None) -> Member:
    """A Job that came so many seconds before now, and asks for a place unless it runs."""
    job = Job("shop", name, f"uid-{name}", str(seen), 1, JobSpec("order"), status, created=NOW - seconds(age))
    found = member_of(job, None, None)
    found.asked = status is None
    return found


def test_a_job_that_waits_stands_where_its_priority_puts_it() -> None:
    line, waiting = line_of(1), member("j")
    assert not line.is_in_place(waiting)
    line.put(waiting)
    assert line.is_in_place(waiting)
    waiting.job = replace(waiting.job, spec=replace(waiting.job.spec, priority=5))
    assert not line.is_in_place(waiting)


def test_an_admitted_job_does_not_stand_among_those_that_wait() -> None:
    line, admitted = line_of(1), member("j")
    line.put(admitted)
    admitted.admitted = 1
    assert not line.is_in_place(admitted)
    line.put(admitted)
    assert line.is_in_place(admitted)
    line.take(admitted)
    assert not line.is_in_place(admitted)


def test_nobody_comes_before_a_job_that_does_not_wait() -> None:
    line = line_of(1)
    line.put(member("other"))
    assert line.before(member("j")) == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [(member("old", age=9), member("new")), (member("seen-first", seen=1), member("seen-later", seen=2))],
    ids=["another second", "the same second"],
)
def test_of_those_that_may_replace_others_the_newest_comes_first(first: Member, second: Member) -> None:
    line = line_of(1, LimitPolicy.REPLACE)
    line.put(first)
    line.put(second)
    assert [m.name for m in line.front(2)] == [second.name, first.name]


def test_nobody_is_replaced_while_there_is_a_place() -> None:
    line = line_of(2, LimitPolicy.REPLACE)
    line.put(member("runs", age=9, status=RUNNING))
    line.put(member("new"))
    assert line.replaced() == {}


def test_of_several_that_are_replaced_each_makes_room_for_another() -> None:
    line = line_of(2, LimitPolicy.REPLACE)
    for name, age in (("runs-1", 9), ("runs-2", 8)):
        line.put(member(name, age=age, status=RUNNING))
    for name, age in (("new-1", 2), ("new-2", 1)):
        line.put(member(name, age=age))
    assert line.replaced() == {"runs-1": "new-1", "runs-2": "new-2"}
