"""The controller of Schedules on a real API server, which checks what it writes."""

from __future__ import annotations

import datetime as dt
from typing import Any

from contracts.schedules import Create, schedule
from integration.schedules.conftest import Operator
from mastercontrol.api.names import ANNOTATION_SCHEDULED, LABEL_SCHEDULE
from mastercontrol.api.values import format_time
from mastercontrol.engine.ports import RawObject, StoreUnavailable
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.paths import JOBS, Target
from mastercontrol.kube.schedules import KubeSchedules
from mastercontrol.schedules.runs import job_name


async def end(client: KubeClient, job: RawObject, phase: str = "Succeeded") -> None:
    """The engine ends a Job."""
    target = Target(JOBS, job["metadata"]["namespace"], job["metadata"]["name"], "status")
    status = {"phase": phase, "completionTime": format_time(dt.datetime.now(dt.UTC))}
    await client.patch(target, {"status": status}, PatchType.MERGE)


async def test_a_job_is_made_when_the_minute_is_up(operator: Operator, create: Create, client: KubeClient) -> None:
    made = await create(schedule(operator.where, timeZone="Europe/Berlin"))
    # The object was made before its first minute, by the clock of the API server as by ours.
    async with operator.leads():
        ready = await operator.wait("status", operator.status)
        assert ready["conditions"][0]["message"].startswith("the next run is at ")
        jobs = await operator.wait("job", operator.jobs)
        assert operator.clock() >= operator.full, "before its time"
        first = next(job for job in jobs if job["metadata"]["name"] == job_name("report", operator.full))
        assert first["metadata"]["labels"][LABEL_SCHEDULE] == "report"
        assert first["metadata"]["annotations"][ANNOTATION_SCHEDULED] == format_time(operator.full)
        (owner,) = first["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (made["metadata"]["uid"], True)

        async def shown() -> bool:
            return (await operator.status()).get("lastScheduleTime") == format_time(operator.full)

        await operator.wait("status of the run", shown)
        assert (await operator.status())["active"] == [first["metadata"]["name"]]
        await end(client, first)

        async def ended() -> Any:
            return (await operator.status()).get("lastSuccessfulTime")

        await operator.wait("end of the run", ended)
        assert "active" not in await operator.status()


class DiesAfterTheJob(KubeSchedules):
    """An API server that is away as soon as it has made a Job, as it is for an operator that died."""

    def __init__(self, client: KubeClient) -> None:
        super().__init__(client)
        self.made = 0

    async def create_job(self, manifest: RawObject) -> RawObject:
        await super().create_job(manifest)
        self.made += 1
        raise StoreUnavailable("the operator is dead")

    async def patch_schedule_status(self, namespace: str, name: str, status: dict[str, Any]) -> RawObject:
        if self.made:
            raise StoreUnavailable("the operator is dead")
        return await super().patch_schedule_status(namespace, name, status)


async def test_a_restart_between_the_job_and_the_status_makes_no_second_job(
    operator: Operator, create: Create, client: KubeClient
) -> None:
    await create(schedule(operator.where))
    dying = DiesAfterTheJob(client)

    async def made() -> bool:
        return dying.made > 0

    async with operator.leads(dying):
        await operator.wait("job", made)
    (job,) = await operator.jobs()
    assert "lastScheduleTime" not in await operator.status()
    await end(client, job)  # with an end, nothing but its name and its annotation tells of it
    async with operator.leads():

        async def reported() -> Any:
            return (await operator.status()).get("lastScheduleTime")

        assert await operator.wait("status", reported) == format_time(operator.full)
        assert [raw["metadata"]["uid"] for raw in await operator.jobs()] == [job["metadata"]["uid"]]


async def test_replace_cancels_and_forbid_holds(operator: Operator, create: Create) -> None:
    """With a run of a minute ago that has not ended."""
    before = operator.full - dt.timedelta(minutes=1)
    for name, policy in (("replaced", "Replace"), ("held", "Forbid")):
        made = await create(schedule(operator.where, name, concurrencyPolicy=policy))
        owner = {"apiVersion": made["apiVersion"], "kind": "Schedule", "controller": True} | {
            field: made["metadata"][field] for field in ("name", "uid")
        }
        metadata = {
            "namespace": operator.where,
            "name": job_name(name, before),
            "labels": {LABEL_SCHEDULE: name},
            "annotations": {ANNOTATION_SCHEDULED: format_time(before)},
            "ownerReferences": [owner],
        }
        await create({"apiVersion": made["apiVersion"], "kind": "Job", "metadata": metadata, "spec": {"workflow": "w"}})
    events = ScheduleEvents()
    async with operator.leads(reporter=events):

        async def replaced() -> bool:
            return any(job["metadata"]["name"] == job_name("replaced", operator.full) for job in await operator.jobs())

        await operator.wait("job in the place of another", replaced)

        async def told() -> bool:
            return "JobAlreadyActive" in events.reasons

        await operator.wait("warning", told)
    by_name = {job["metadata"]["name"]: job for job in await operator.jobs()}
    assert by_name[job_name("replaced", before)]["spec"]["cancel"] is True
    assert job_name("held", operator.full) not in by_name


class ScheduleEvents:
    """The Events of schedules."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def warn(self, regarding: RawObject, reason: str, note: str) -> None:
        assert note
        assert regarding["metadata"]["uid"]
        self.reasons.append(str(reason))
