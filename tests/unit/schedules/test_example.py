"""The Schedule among the examples."""

from __future__ import annotations

import datetime as dt
import itertools
from pathlib import Path

import yaml

from mastercontrol.api.schedule import parse_schedule
from mastercontrol.schedules.timetable import timetable

RELAY = Path(__file__).parents[3] / "examples" / "relay"


def test_the_relay_runs_each_working_day_at_half_past_six_in_berlin() -> None:
    raw = yaml.safe_load((RELAY / "schedule.yaml").read_text())
    raw["metadata"]["creationTimestamp"] = "2030-03-28T00:00:00Z"
    schedule = parse_schedule(raw)
    runs = itertools.islice(timetable(schedule.spec).after(schedule.created), 3)
    # A Thursday and a Friday in winter time, a Monday in summer time.
    assert [run.astimezone(dt.UTC).strftime("%m-%d %H:%M") for run in runs] == [
        "03-28 05:30",
        "03-29 05:30",
        "04-01 04:30",
    ]
    workflow = yaml.safe_load((RELAY / "workflow.yaml").read_text())
    assert schedule.spec.template.spec["workflow"] == workflow["metadata"]["name"]
