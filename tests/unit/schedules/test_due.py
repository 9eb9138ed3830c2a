"""Which run is due, and what the concurrency policy makes of it; which finished Jobs are kept."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.api.names import Phase
from mastercontrol.api.schedule import ConcurrencyPolicy, JobTemplate, ScheduleSpec
from mastercontrol.schedules.due import Due, due, plan
from mastercontrol.schedules.runs import Run, job_name, surplus
from mastercontrol.schedules.timetable import timetable

SPEC = ScheduleSpec("0 * * * *", JobTemplate({}, {}, {}))
TABLE = timetable(SPEC)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"2030-05-{text}").replace(tzinfo=dt.UTC)


def run(time: str, phase: Phase = Phase.RUNNING, **more: Any) -> Run:
    return Run(f"r-{time}", "u", at(time), phase, **more)


@pytest.mark.parametrize(
    ("since", "now", "deadline", "expected"),
    [
        ("06 11:00", "06 11:59:59", None, Due(None, 0, None, at("06 12:00"))),
        ("06 11:00", "06 12:00:00", None, Due(at("06 12:00"), 0, None, at("06 13:00"))),
        ("06 11:00", "06 12:59:59", None, Due(at("06 12:00"), 0, None, at("06 13:00"))),
        ("06 12:00", "06 12:30", None, Due(None, 0, None, at("06 13:00"))),
        ("06 11:00", "06 15:30", None, Due(at("06 15:00"), 3, None, at("06 16:00"))),
        ("02 11:00", "06 15:30", None, Due(at("06 15:00"), 99, None, at("06 16:00"))),
        ("01 11:00", "06 15:30", None, Due(at("06 15:00"), 101, None, at("06 16:00"))),
        ("06 11:00", "06 12:01", 60, Due(at("06 12:00"), 0, None, at("06 13:00"))),
        ("06 11:00", "06 12:01:01", 60, Due(None, 0, at("06 12:00"), at("06 13:00"))),
        ("06 08:00", "06 12:30", 7200, Due(at("06 12:00"), 1, None, at("06 13:00"))),
        ("06 13:00", "06 11:30", None, Due(None, 0, None, at("06 12:00"))),
    ],
    ids=[
        "just before",
        "on time",
        "a little late",
        "done already",
        "three missed",
        "99 missed",
        "more than 100 missed",
        "within the deadline",
        "after the deadline",
        "missed ones count within the deadline only",
        "the clock was put back",
    ],
)
def test_only_the_latest_run_is_due(since: str, now: str, deadline: int | None, expected: Due) -> None:
    found = due(TABLE, at(since), at(now), deadline)
    assert found == expected
    assert found.too_many == (found.missed == 101)


ACTIVE = (run("06 10:00"), run("06 11:00", leaving=True), run("06 09:00", Phase.FAILED))


def test_allow_starts_a_run_beside_the_others() -> None:
    found = plan(SPEC, TABLE, ACTIVE, at("06 11:00"), at("06 12:00"))
    assert (found.start, found.cancel, found.held_by) == (at("06 12:00"), (), ())


def test_forbid_holds_a_run_back_while_another_has_not_ended() -> None:
    spec = replace(SPEC, concurrency=ConcurrencyPolicy.FORBID)
    held = plan(spec, TABLE, ACTIVE, at("06 11:00"), at("06 12:00"))
    assert (held.start, held.cancel, held.held_by) == (None, (), ACTIVE[:2])
    free = plan(spec, TABLE, ACTIVE[2:], at("06 11:00"), at("06 12:00"))
    assert (free.start, free.held_by) == (at("06 12:00"), ())


def test_replace_cancels_each_run_once_and_starts_the_new_one() -> None:
    spec = replace(SPEC, concurrency=ConcurrencyPolicy.REPLACE)
    found = plan(spec, TABLE, ACTIVE, at("06 11:00"), at("06 12:00"))
    assert (found.start, found.cancel) == (at("06 12:00"), ACTIVE[:1])


def test_replace_cancels_nothing_while_no_run_is_due() -> None:
    spec = replace(SPEC, concurrency=ConcurrencyPolicy.REPLACE)
    assert plan(spec, TABLE, ACTIVE, at("06 11:00"), at("06 11:59")).cancel == ()


def test_a_suspended_schedule_plans_nothing() -> None:
    found = plan(replace(SPEC, suspend=True), TABLE, ACTIVE, at("06 11:00"), at("06 12:00"))
    assert (found.due, found.start, found.cancel) == (None, None, ())


EASTER = dt.datetime(2030, 3, 30, tzinfo=dt.UTC)  # the clock changes in Berlin on the day after


@given(
    st.sampled_from(["* * * * *", "*/3 * * * *", "0 2 * * *", "30 2 * * SUN", "59 23 L * *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    st.sampled_from(list(ConcurrencyPolicy)),
    st.none() | st.integers(1, 10_000),
    st.integers(0, 3 * 86_400).map(lambda seconds: EASTER + dt.timedelta(seconds=seconds)),
    st.lists(st.tuples(st.integers(-4000, 90_000), st.booleans()), max_size=25),
)
def test_no_run_is_made_before_its_time_or_twice(
    cron: str,
    zone: str,
    policy: ConcurrencyPolicy,
    deadline: int | None,
    begin: dt.datetime,
    looks: list[tuple[int, bool]],
) -> None:
    """Looks at any times, some after a restart that knows of the Jobs only; the clock may go back."""
    spec = ScheduleSpec(cron, SPEC.template, zone, deadline, policy)
    table = timetable(spec)
    created = now = begin
    made: list[Run] = []
    for seconds, ends in looks:
        now += dt.timedelta(seconds=seconds)
        since = max([created, *(one.scheduled for one in made)])
        found = plan(spec, table, made, since, now)
        if found.start is not None:
            assert since < found.start <= now, "before its time, or made already"
            assert deadline is None or now - found.start <= dt.timedelta(seconds=deadline)
            assert found.start == table.latest(since, now), "not the latest one"
            if policy is ConcurrencyPolicy.FORBID:
                assert not any(one.active for one in made)
            gone = {one.name for one in found.cancel}
            made = [replace(one, leaving=True) if one.name in gone else one for one in made]
            made.append(Run(job_name("s", found.start), "u", found.start, Phase.RUNNING))
        if ends:
            made = [replace(one, phase=Phase.SUCCEEDED) for one in made]
    assert len({one.name for one in made}) == len(made)


def test_a_run_is_named_after_its_minute() -> None:
    first = dt.datetime(1970, 1, 1, 0, 1, tzinfo=dt.UTC)
    assert job_name("nightly", first) == "nightly-1"
    moments = [at("06 12:00") + dt.timedelta(minutes=i) for i in range(3)]
    assert len({job_name("nightly", moment) for moment in moments}) == 3
    assert len(job_name("n" * 52, at("06 12:00"))) <= 63


def kept(successful: int, failed: int) -> list[str]:
    phases = itertools.cycle([Phase.SUCCEEDED, Phase.FAILED, Phase.SUCCEEDED, Phase.CANCELLED, Phase.RUNNING])
    runs = [run(f"06 {hour:02}:00", phase) for hour, phase in zip(range(10), phases, strict=False)]
    gone = {one.name for one in surplus(reversed(runs), successful, failed)}
    return [one.name[-5:-3] for one in runs if one.name not in gone]


@pytest.mark.parametrize(
    ("successful", "failed", "expected"),
    [
        (3, 1, ["02", "04", "05", "07", "08", "09"]),
        (0, 0, ["04", "09"]),
        (0, 3, ["03", "04", "06", "08", "09"]),
        (100, 100, [f"{hour:02}" for hour in range(10)]),
    ],
)
def test_the_newest_of_each_outcome_are_kept_and_all_that_run(
    successful: int, failed: int, expected: list[str]
) -> None:
    assert kept(successful, failed) == expected
