"""Schedules as people write them: what is kept, and what is refused with a message that says what to write instead."""

from __future__ import annotations

import re
from typing import Any

import pytest

from contracts.schedules import Create, schedule
from mastercontrol.engine.ports import Rejected, StoreError
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.paths import SCHEDULES, Target
from mastercontrol.schedules.timetable import MACROS


def template(metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"jobTemplate": {"metadata": metadata or {}, "spec": {"workflow": "w", **spec}}}


async def test_a_schedule_needs_no_more_than_a_time_and_a_workflow(where: str, create: Create) -> None:
    made = await create(schedule(where))
    assert made["spec"] == {
        "schedule": "* * * * *",
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"spec": {"workflow": "w", "suspend": False, "priority": 0}},
    }


RIGHT = ["0 0 1 1 *", "*/15 8-18/2 1,15,L jan-MAR MON-FRI", "5 4 LW * 5L", "  0\t0 * * sun#2 ", *MACROS]


@pytest.mark.parametrize("cron", RIGHT)
async def test_all_of_the_cron_language_is_taken(cron: str, where: str, create: Create) -> None:
    assert (await create(schedule(where, schedule=cron)))["spec"]["schedule"] == cron


@pytest.mark.parametrize("value", [{"deep": [1, None, {"x": 2.5}]}, [], "text", 0, False])
async def test_the_input_of_its_jobs_is_any_json_value(value: Any, where: str, create: Create) -> None:
    made = await create(schedule(where, **template(input=value)))
    assert made["spec"]["jobTemplate"]["spec"]["input"] == value


async def test_its_times_and_its_template_can_be_changed(where: str, create: Create, client: KubeClient) -> None:
    await create(schedule(where))
    change = {"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"workflow": "other", "input": 7}}}}
    changed = await client.patch(Target(SCHEDULES, where, "report"), change, PatchType.MERGE)
    assert changed["spec"]["jobTemplate"]["spec"]["workflow"] == "other"
    assert changed["metadata"]["generation"] == 2


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "four fields": ({"schedule": "* * * *"}, '"* * * *" is no cron expression. Write five fields (minute, hour,'),
    "six fields": ({"schedule": "0 * * * * *"}, '"0 * * * * *" is no cron expression. Write five fields'),
    "a word that is none": ({"schedule": "@reboot"}, '"@reboot" is no cron expression. Write five fields'),
    "a time zone among the fields": ({"schedule": "TZ=UTC * * * *"}, "The time zone is written in timeZone."),
    "a word for a minute": (
        {"schedule": "noon * * * *"},
        '"noon * * * *" has a wrong minute, its first field. Write 0',
    ),
    "a word for an hour": ({"schedule": "0 noon * * *"}, '"0 noon * * *" has a wrong hour, its second field. Write 0'),
    "a name for a day of the month": ({"schedule": "0 0 MON * *"}, "has a wrong day of the month, its third field."),
    "no schedule": ({"schedule": None}, "spec.schedule: Required value"),
    "an empty schedule": ({"schedule": ""}, "spec.schedule in body should be at least 1 chars long"),
    "a time zone with a space": ({"timeZone": "Europe /Berlin"}, '"Europe /Berlin" is no time zone. Write its IANA'),
    "the local time zone": ({"timeZone": "Local"}, '"Local" is no time zone. Write its IANA name, as in Europe/Berlin'),
    "a deadline of nothing": ({"startingDeadlineSeconds": 0}, "should be greater than or equal to 1"),
    "a policy that is none": ({"concurrencyPolicy": "Queue"}, 'supported values: "Allow", "Forbid", "Replace"'),
    "a negative history": ({"failedJobsHistoryLimit": -1}, "should be greater than or equal to 0"),
    "no template": ({"jobTemplate": None}, "spec.jobTemplate: Required value"),
    "a template without a workflow": ({"jobTemplate": {"spec": {}}}, "spec.jobTemplate.spec.workflow: Required value"),
    "a workflow in capitals": (template(workflow="W"), '"W" cannot be the name of a Workflow. Write lower case'),
    "a label of the operator's": (
        template({"labels": {"mastercontrol.dev/schedule": "x"}}),
        "labels that begin with mastercontrol.dev/ are set by the operator. Write another prefix.",
    ),
    "a misspelt field": ({"timezone": "UTC"}, ".spec.timezone: field not declared in schema"),
    "a job that is cancelled": (template(cancel=True), ".spec.jobTemplate.spec.cancel: field not declared"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_wrong_schedule_is_refused(case: str, where: str, client: KubeClient) -> None:
    spec, said = WRONG[case]
    body = schedule(where, **spec)
    body["spec"] = {name: value for name, value in body["spec"].items() if value is not None}
    with pytest.raises(StoreError, match=re.escape(said)):
        # A server-side apply refuses fields that there are not.
        await client.patch(Target(SCHEDULES, where, "report"), body, PatchType.APPLY, {"fieldManager": "tests"})


async def test_a_name_that_jobs_could_not_be_named_after_is_refused(where: str, create: Create) -> None:
    with pytest.raises(Rejected, match="a Schedule has up to 52 characters"):
        await create(schedule(where, "n" * 53))
    assert await create(schedule(where, "n" * 52))
