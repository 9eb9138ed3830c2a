"""What the controller of Schedules may rely on, whatever the store is: a real API server or `memory`.

A test module subclasses this and provides the fixtures `schedules` and `where` (an empty namespace), and `create`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest

from mastercontrol.api.names import API_VERSION, LABEL_SCHEDULE
from mastercontrol.engine.ports import Gone, RawObject, Refused
from mastercontrol.schedules.ports import ScheduleCluster

Create = Callable[[RawObject], Awaitable[RawObject]]


class Schedules(ScheduleCluster, Protocol):
    """A ScheduleCluster with its list."""

    async def list_schedules(self, namespace: str | None) -> list[RawObject]: ...


def schedule(namespace: str, name: str = "report", **spec: Any) -> RawObject:
    whole = {"schedule": "* * * * *", "jobTemplate": {"spec": {"workflow": "w"}}, **spec}
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": API_VERSION, "kind": "Schedule", "metadata": metadata, "spec": whole}


def scheduled_job(namespace: str, name: str, of: str | None = "report") -> RawObject:
    labels = {} if of is None else {LABEL_SCHEDULE: of}
    metadata = {"namespace": namespace, "name": name, "labels": labels}
    return {"apiVersion": API_VERSION, "kind": "Job", "metadata": metadata, "spec": {"workflow": "w"}}


class ScheduleClusterContract:
    """Jobs by their Schedule, and the status of one."""

    async def test_the_schedules_of_a_namespace_are_listed(
        self, schedules: Schedules, where: str, create: Create
    ) -> None:
        await create(schedule(where))
        (found,) = await schedules.list_schedules(where)
        assert (found["kind"], found["metadata"]["name"]) == ("Schedule", "report")
        assert found["metadata"]["name"] in [raw["metadata"]["name"] for raw in await schedules.list_schedules(None)]

    async def test_a_second_job_of_one_name_is_refused(self, schedules: Schedules, where: str) -> None:
        made = await schedules.create_job(scheduled_job(where, "report-1"))
        with pytest.raises(Refused):
            await schedules.create_job(scheduled_job(where, "report-1", of=None))
        (found,) = await schedules.list_scheduled_jobs(where)
        assert found["metadata"]["uid"] == made["metadata"]["uid"]

    async def test_jobs_are_listed_by_their_schedule(self, schedules: Schedules, where: str) -> None:
        for name, of in (("a-1", "a"), ("b-1", "b"), ("mine", None)):
            await schedules.create_job(scheduled_job(where, name, of))

        async def names(of: str | None = None) -> list[str]:
            return [raw["metadata"]["name"] for raw in await schedules.list_scheduled_jobs(where, of)]

        assert await names("a") == ["a-1"]
        assert await names() == ["a-1", "b-1"]
        assert await names("c") == []

    async def test_a_job_is_cancelled_and_one_that_is_gone_is_no_failure(
        self, schedules: Schedules, where: str
    ) -> None:
        await schedules.create_job(scheduled_job(where, "report-1"))
        await schedules.cancel_job(where, "report-1")
        await schedules.cancel_job(where, "report-1")
        await schedules.cancel_job(where, "nobody")
        (found,) = await schedules.list_scheduled_jobs(where)
        assert found["spec"]["cancel"] is True

    async def test_only_the_job_of_that_uid_is_deleted(self, schedules: Schedules, where: str) -> None:
        made = await schedules.create_job(scheduled_job(where, "report-1"))
        await schedules.delete_job(where, "report-1", "another")
        assert len(await schedules.list_scheduled_jobs(where)) == 1
        await schedules.delete_job(where, "report-1", made["metadata"]["uid"])
        await schedules.delete_job(where, "report-1", made["metadata"]["uid"])
        assert await schedules.list_scheduled_jobs(where) == []

    async def test_a_status_is_merged_and_what_is_none_goes(
        self, schedules: Schedules, where: str, create: Create
    ) -> None:
        made = await create(schedule(where))
        first = {"lastScheduleTime": "2030-05-06T12:00:00.000Z", "active": ["report-1"]}
        await schedules.patch_schedule_status(where, "report", first)
        after = await schedules.patch_schedule_status(where, "report", {"active": None, "observedGeneration": 1})
        assert after["status"] == {"lastScheduleTime": "2030-05-06T12:00:00.000Z", "observedGeneration": 1}
        assert after["metadata"]["generation"] == made["metadata"]["generation"]
        assert int(after["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])

    async def test_a_schedule_that_is_not_there_is_gone(self, schedules: Schedules, where: str) -> None:
        with pytest.raises(Gone):
            await schedules.patch_schedule_status(where, "nobody", {"observedGeneration": 1})
