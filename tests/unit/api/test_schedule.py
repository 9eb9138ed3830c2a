"""Reading a Schedule."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from mastercontrol.api.schedule import ConcurrencyPolicy, ScheduleStatus, parse_schedule, parse_schedule_status
from mastercontrol.api.values import InvalidObject

META = {"namespace": "shop", "name": "nightly", "uid": "u1", "creationTimestamp": "2030-05-06T12:00:00Z"}


def raw(template: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    template = {"spec": {"workflow": "w"}} if template is None else template
    return {"metadata": META, "spec": {"schedule": "@daily", "jobTemplate": template, **spec}}


def test_what_is_left_out_has_the_defaults_of_a_cron_job() -> None:
    found = parse_schedule(raw())
    assert (found.namespace, found.name, found.uid, found.generation) == ("shop", "nightly", "u1", 1)
    assert found.created == dt.datetime(2030, 5, 6, 12, tzinfo=dt.UTC)
    spec = found.spec
    assert (spec.time_zone, spec.starting_deadline_seconds, spec.suspend) == (None, None, False)
    assert spec.concurrency is ConcurrencyPolicy.ALLOW
    assert (spec.successful_jobs_history_limit, spec.failed_jobs_history_limit) == (3, 1)
    assert spec.template.spec == {"workflow": "w"}


def test_everything_that_a_schedule_can_say_is_read() -> None:
    template = {
        "metadata": {"labels": {"a": "b", "empty": ""}, "annotations": {"c": "d"}},
        "spec": {"workflow": "w", "input": [None], "activeDeadlineSeconds": 5, "suspend": True},
    }
    spec = parse_schedule(
        raw(
            template,
            timeZone="Europe/Berlin",
            startingDeadlineSeconds=60,
            concurrencyPolicy="Replace",
            suspend=True,
            successfulJobsHistoryLimit=0,
            failedJobsHistoryLimit=7,
        )
    ).spec
    assert (spec.time_zone, spec.starting_deadline_seconds, spec.suspend) == ("Europe/Berlin", 60, True)
    assert spec.concurrency is ConcurrencyPolicy.REPLACE
    assert (spec.successful_jobs_history_limit, spec.failed_jobs_history_limit) == (0, 7)
    assert (spec.template.labels, spec.template.annotations) == ({"a": "b", "empty": ""}, {"c": "d"})
    assert spec.template.spec == template["spec"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (raw(schedule=""), "spec.schedule: write a text"),
        (raw(timezone="UTC"), "spec.timezone: there is no such field; known are concurrencyPolicy"),
        (raw(startingDeadlineSeconds=0), "spec.startingDeadlineSeconds: write a whole number from 1"),
        (raw(failedJobsHistoryLimit=-1), "spec.failedJobsHistoryLimit: write a whole number from 0"),
        (raw(concurrencyPolicy="Queue"), "spec.concurrencyPolicy: write one of Allow, Forbid, Replace, not 'Queue'"),
        (raw({}), "spec.jobTemplate.spec.workflow: write a text, it is required"),
        (raw({"spec": {"workflow": "w", "inputs": 1}}), "spec.jobTemplate.spec.inputs: there is no such field"),
        (raw({"spec": {"workflow": "w", "cancel": True}}), "spec.jobTemplate.spec.cancel: leave it out"),
        (raw({"spec": {"workflow": "w"}, "metadata": {"name": "x"}}), "spec.jobTemplate.metadata.name: there is no"),
        (
            raw({"spec": {"workflow": "w"}, "metadata": {"labels": {"a": 1}}}),
            "spec.jobTemplate.metadata.labels.a: write a text",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_schedule_is_refused_with_what_to_write(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidObject) as caught:
        parse_schedule(wrong)
    assert str(caught.value).startswith(said)


def test_a_status_is_read_and_an_empty_one_knows_nothing() -> None:
    assert parse_schedule_status({}) == ScheduleStatus()
    moment = dt.datetime(2030, 5, 6, 12, tzinfo=dt.UTC)
    status = {
        "lastScheduleTime": "2030-05-06T12:00:00.000Z",
        "lastSuccessfulTime": "2030-05-06T12:00:00Z",
        "timetable": "0 0 * * * UTC",
        "timetableSince": "2030-05-06T12:00:00.000Z",
    }
    assert parse_schedule_status(status) == ScheduleStatus(moment, moment, "0 0 * * * UTC", moment)
