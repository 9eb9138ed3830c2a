"""When runs are: the cron language, time zones, and what changes of the clock do."""

from __future__ import annotations

import datetime as dt
import itertools
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.api.schedule import JobTemplate, ScheduleSpec
from mastercontrol.api.values import InvalidObject
from mastercontrol.schedules.timetable import Timetable, timetable

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"]


def table(cron: str, zone: str | None = None) -> Timetable:
    return timetable(ScheduleSpec(cron, JobTemplate({}, {}, {}), zone))


def at(text: str) -> dt.datetime:
    """`2030-05-06 12:00+02:00`, without an offset in UTC."""
    moment = dt.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def runs(found: Timetable, since: str, count: int) -> list[str]:
    shown = itertools.islice(found.after(at(since)), count)
    return [run.astimezone(found.zone).strftime("%m-%d %H:%M%z")[:-2] for run in shown]


@pytest.mark.parametrize(
    ("cron", "first", "second"),
    [
        ("* * * * *", "05-06 12:01+00", "05-06 12:02+00"),
        ("*/15 * * * *", "05-06 12:15+00", "05-06 12:30+00"),
        ("7/20 * * * *", "05-06 12:07+00", "05-06 12:27+00"),
        ("0 6 * * *", "05-07 06:00+00", "05-08 06:00+00"),
        ("30 6 * * MON-FRI", "05-07 06:30+00", "05-08 06:30+00"),
        ("0 0 * * sun", "05-12 00:00+00", "05-19 00:00+00"),
        ("0 0 * * 7", "05-12 00:00+00", "05-19 00:00+00"),
        ("0 0 L * *", "05-31 00:00+00", "06-30 00:00+00"),
        ("0 0 LW * *", "05-31 00:00+00", "06-28 00:00+00"),
        ("0 0 * * MON#1", "06-03 00:00+00", "07-01 00:00+00"),
        ("0 0 13 * FRI", "05-10 00:00+00", "05-13 00:00+00"),
        ("5,10-12 8 1 jan,Mar *", "01-01 08:05+00", "01-01 08:10+00"),
        ("@hourly", "05-06 13:00+00", "05-06 14:00+00"),
        ("@daily", "05-07 00:00+00", "05-08 00:00+00"),
        ("@midnight", "05-07 00:00+00", "05-08 00:00+00"),
        ("@weekly", "05-12 00:00+00", "05-19 00:00+00"),
        ("@monthly", "06-01 00:00+00", "07-01 00:00+00"),
        ("@yearly", "01-01 00:00+00", "01-01 00:00+00"),
        (" @annually ", "01-01 00:00+00", "01-01 00:00+00"),
    ],
)
def test_the_cron_language_means_what_people_know(cron: str, first: str, second: str) -> None:
    assert runs(table(cron), "2030-05-06 12:00", 2) == [first, second]


def test_a_leap_day_comes_when_it_comes() -> None:
    found = table("0 12 29 2 *")
    assert next(found.after(at("2030-05-06 12:00"))) == at("2032-02-29 12:00")
    assert found.latest(at("2000-01-01 00:00"), at("2030-05-06 12:00")) == at("2028-02-29 12:00")


SPRING, AUTUMN = "2030-03-31", "2030-10-27"  # in Berlin: 02:00 becomes 03:00, 03:00 becomes 02:00


@pytest.mark.parametrize(
    ("cron", "since", "expected"),
    [
        # A fixed time that the clock jumps over: right after the jump, and as usual the day after.
        ("30 2 * * *", f"{SPRING} 00:00+01:00", ["03-31 03:00+02", "04-01 02:30+02"]),
        ("0,30 2,3 * * *", f"{SPRING} 00:00+01:00", ["03-31 03:00+02", "03-31 03:30+02", "04-01 02:00+02"]),
        # A fixed time that comes twice: at the first.
        ("30 2 * * *", f"{AUTUMN} 00:00+02:00", ["10-27 02:30+02", "10-28 02:30+01"]),
        ("30 2 * * *", f"{AUTUMN} 02:10+01:00", ["10-28 02:30+01"]),
        # Others go by the time that passes.
        ("0 * * * *", f"{SPRING} 00:30+01:00", ["03-31 01:00+01", "03-31 03:00+02", "03-31 04:00+02"]),
        ("0 * * * *", f"{AUTUMN} 01:30+02:00", ["10-27 02:00+02", "10-27 02:00+01", "10-27 03:00+01"]),
        ("*/30 2 * * *", f"{SPRING} 00:00+01:00", ["04-01 02:00+02"]),
        (
            "*/30 2 * * *",
            f"{AUTUMN} 00:00+02:00",
            ["10-27 02:00+02", "10-27 02:30+02", "10-27 02:00+01", "10-27 02:30+01", "10-28 02:00+01"],
        ),
    ],
)
def test_a_change_of_the_clock_loses_and_doubles_no_run(cron: str, since: str, expected: list[str]) -> None:
    assert runs(table(cron, "Europe/Berlin"), since, len(expected)) == expected


def test_a_half_hour_that_comes_twice_is_gone_through_twice() -> None:
    found = table("*/10 1,2 * * *", "Australia/Lord_Howe")  # on 2030-04-07 at 02:00 the clock goes back to 01:30
    shown = runs(found, "2030-04-06T14:30", 8)
    assert shown[:7] == [f"04-07 01:{m}+11" for m in (40, 50)] + [f"04-07 01:{m}+10" for m in (30, 40, 50)] + [
        f"04-07 02:{m}+10" for m in ("00", "10")
    ]


def test_a_day_that_the_clock_jumps_over_is_made_up_for_at_its_end() -> None:
    found = table("0 12 30 12 *", "Pacific/Apia")  # there was no 2011-12-30
    assert runs(found, "2011-12-29 00:00-10:00", 2) == ["12-31 00:00+14", "12-30 12:00+14"]


CRONS = ["* * * * *", "*/7 * * * *", "15 */2 * * *", "30 2 * * *", "0,59 1,2,3 * * *", "0 0 1 * *", "5 4 * * SUN"]
MINUTE = dt.timedelta(minutes=1)


def between(first: str, last: str) -> st.SearchStrategy[dt.datetime]:
    return st.datetimes(dt.datetime.fromisoformat(first), dt.datetime.fromisoformat(last), timezones=st.just(dt.UTC))


# Around the changes of 2030 in these zones, and anywhere else.
MOMENTS = st.one_of(
    between("2030-03-30", "2030-04-08"), between("2030-10-05", "2030-11-04"), between("2030-01-01", "2031-01-01")
)


@given(st.sampled_from(CRONS), st.sampled_from(ZONES), MOMENTS, st.integers(1, 3000))
def test_looking_forward_and_looking_back_see_the_same_runs(
    cron: str, zone: str, since: dt.datetime, minutes: int
) -> None:
    found, until = table(cron, zone), since + minutes * MINUTE
    forward = list(itertools.takewhile(lambda run: run <= until, found.after(since)))
    assert forward == sorted(set(forward))
    assert all(since < run and run.second == run.microsecond == 0 for run in forward)
    assert found.latest(since, until) == (forward[-1] if forward else None)
    middle = since + minutes // 2 * MINUTE
    later = list(itertools.takewhile(lambda run: run <= until, found.after(middle)))
    assert later == [run for run in forward if run > middle], "where one begins to look changes nothing"


@given(MOMENTS, st.sampled_from(ZONES))
def test_a_run_shows_its_time_on_the_wall(moment: dt.datetime, zone: str) -> None:
    for run in itertools.islice(table("*/5 2 * * *", zone).after(moment), 3):
        wall = run.astimezone(ZoneInfo(zone))
        assert (wall.hour, wall.minute % 5) == (2, 0)


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("61 * * * *", "'61 * * * *' has a bad minute; write five fields (minute, hour, day of the month"),
        ("* 24 * * *", "has a bad hour"),
        ("* * 32 * *", "has a bad day of the month"),
        ("* * * 13 *", "has a bad month"),
        ("* * * * 8", "has a bad day of the week"),
        ("* * * * MON#6", "has a bad day of the week"),
        ("5-1 * * * *", "has a bad minute"),
        ("*/0 * * * *", "has a bad minute"),
        ("0 0 30 2 *", "has a bad day of the month"),
        ("* * * *", "'* * * *' is not understood; write five fields"),
        ("0 * * * * *", "is not understood; write five fields"),
        ("@reboot", "is not understood; write five fields"),
        ("@every 5m", "is not understood; write five fields"),
        ("TZ=Europe/Berlin 0 6 * * *", "write the time zone in spec.timeZone"),
        ("", "is not understood"),
    ],
)
def test_a_wrong_schedule_is_refused_with_what_to_write(cron: str, said: str) -> None:
    with pytest.raises(InvalidObject) as caught:
        table(cron)
    assert said in str(caught.value)
    assert str(caught.value).startswith("spec.schedule: ")


@pytest.mark.parametrize("zone", ["Mars/Base", "Europe", "../etc/passwd", "/etc/localtime", "Local", "a\0b"])
def test_a_wrong_time_zone_is_refused_with_what_to_write(zone: str) -> None:
    with pytest.raises(InvalidObject, match=r"there is no time zone .*; write its IANA name, as in Europe/Berlin"):
        table("0 6 * * *", zone)


def test_without_a_time_zone_the_times_are_utc() -> None:
    assert table("0 6 * * *").shown(at("2030-05-06 08:00+02:00")) == "2030-05-06 06:00 UTC"
    assert table("0 6 * * *", "Europe/Berlin").shown(at("2030-05-06 06:00")) == "2030-05-06 08:00 CEST"
