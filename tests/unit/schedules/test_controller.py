"""What a person sees of a Schedule: Jobs, status and Events; and what a dying operator leaves behind."""

from __future__ import annotations

import datetime as dt

import pytest

from mastercontrol.api.names import ANNOTATION_SCHEDULED, LABEL_SCHEDULE
from mastercontrol.engine.ports import Gone, RawObject, Refused, Rejected, StoreUnavailable
from mastercontrol.memory.faults import WriteFault
from mastercontrol.memory.schedules import SCHEDULE
from mastercontrol.memory.store import JOB
from unit.schedules.world import NAMESPACE, World, named


async def test_a_job_is_made_at_each_time_and_not_before(world: World) -> None:
    await world.create(schedule="*/2 * * * *")
    await world.at("11:59:59")
    assert await world.names() == []
    await world.at("12:05")
    assert await world.names() == [named(time) for time in ("12:00", "12:02", "12:04")]


async def test_a_job_says_which_schedule_and_which_time_it_is_of(world: World) -> None:
    meta = {"labels": {"team": "shop"}, "annotations": {"note": "nightly"}}
    spec = {"workflow": "report", "input": {"a": [1, None]}, "ttlSecondsAfterFinished": 60}
    made = await world.create(template={"metadata": meta, "spec": spec})
    await world.at("12:00:05")
    (job,) = await world.jobs()
    assert job["spec"] == spec
    assert job["metadata"]["labels"] == {"team": "shop", LABEL_SCHEDULE: "report"}
    assert job["metadata"]["annotations"] == {"note": "nightly", ANNOTATION_SCHEDULED: "2030-05-06T12:00:00.000Z"}
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Schedule", "report", True)
    assert owner["uid"] == made["metadata"]["uid"]


async def test_the_status_says_what_runs_and_what_ran(world: World) -> None:
    await world.create(schedule="0 * * * *", timeZone="Europe/Berlin")
    assert (await world.ready())["message"] == "the next run is at 2030-05-06 14:00 CEST"
    await world.at("12:01")
    status = await world.status()
    assert status["active"] == [named("12:00")]
    assert status["lastScheduleTime"] == "2030-05-06T12:00:00.000Z"
    assert "lastSuccessfulTime" not in status
    assert status["observedGeneration"] == 1
    await world.at("12:03")
    await world.end(named("12:00"))
    status = await world.status()
    assert "active" not in status
    assert status["lastSuccessfulTime"] == "2030-05-06T12:03:00.000Z"
    ready = await world.ready()
    assert (ready["status"], ready["reason"]) == ("True", "Ready")
    assert ready["message"] == "the next run is at 2030-05-06 15:00 CEST"
    assert ready["lastTransitionTime"] == "2030-05-06T11:59:30.000Z"


async def test_an_idle_schedule_writes_nothing(world: World) -> None:
    await world.create(schedule="0 0 * * *")
    before = (await world.store.listing(SCHEDULE)).resource_version
    await world.at("13:00")
    assert (await world.store.listing(SCHEDULE)).resource_version == before


async def test_a_run_costs_its_job_and_two_writes_of_the_status(world: World) -> None:
    await world.create(schedule="0 12 * * *")
    before = int((await world.store.listing(SCHEDULE)).resource_version)
    await world.at("12:01")
    await world.end(named("12:00"))
    assert int((await world.store.listing(SCHEDULE)).resource_version) - before == 1 + 2 + 1


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"schedule": "61 * * * *"}, "spec.schedule: '61 * * * *' has a bad minute; write five fields"),
        ({"timeZone": "Mars/Base"}, "spec.timeZone: there is no time zone 'Mars/Base'; write its IANA name"),
        ({"concurrencyPolicy": "Never"}, "spec.concurrencyPolicy: write one of Allow, Forbid, Replace"),
        ({"jobTemplate": {"spec": {}}}, "spec.jobTemplate.spec.workflow: write a text"),
        ({"jobTemplate": {"spec": {"workflow": "w", "cancel": True}}}, "spec.jobTemplate.spec.cancel: leave it out"),
    ],
)
async def test_a_wrong_schedule_says_what_to_write_and_goes_on_when_it_is_put_right(
    spec: RawObject, said: str, world: World
) -> None:
    await world.create(**spec)
    ready = await world.ready()
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert said in ready["message"]
    await world.at("12:02:30")
    assert await world.names() == []
    template = {"spec": {"workflow": "w", "cancel": None}}
    await world.edit(schedule="* * * * *", timeZone=None, concurrencyPolicy="Allow", jobTemplate=template)
    assert (await world.ready())["status"] == "True"
    await world.at("12:03")
    assert named("12:03") in await world.names()


async def test_suspend_holds_all_runs_and_the_latest_is_made_up_for(world: World) -> None:
    await world.create(suspend=True)
    assert (await world.ready())["reason"] == "Suspended"
    await world.at("12:10:20")
    assert await world.names() == []
    await world.edit(suspend=False)
    assert await world.names() == [named("12:10")]


async def test_with_a_starting_deadline_a_run_that_was_missed_for_longer_is_left_out(world: World) -> None:
    await world.create(suspend=True, schedule="0 * * * *", startingDeadlineSeconds=60)
    await world.at("12:10")
    await world.edit(suspend=False)
    assert await world.names() == []
    ready = await world.ready()
    assert (ready["status"], ready["reason"]) == ("True", "MissSchedule")
    assert ready["message"] == (
        "the run of 2030-05-06 12:00 UTC missed its startingDeadlineSeconds; the next run is at 2030-05-06 13:00 UTC"
    )
    assert world.warnings.told == [("MissSchedule", ready["message"])]
    await world.at("13:00")
    assert await world.names() == [named("13:00")]
    assert (await world.ready())["reason"] == "Ready"


async def test_an_edit_of_the_times_makes_up_for_no_time_before_it(world: World) -> None:
    await world.create(schedule="0 12 * * *")
    await world.at("14:00")
    await world.edit(schedule="0 13 * * *")
    await world.stop()
    world.sleep_until("2030-05-06 15:00")
    await world.start()
    assert await world.names() == [named("12:00")]
    await world.at("2030-05-07 13:00")
    assert await world.names() == [named("12:00"), named("13:00", day="2030-05-07")]


async def test_an_edit_of_the_template_holds_for_the_next_run(world: World) -> None:
    await world.create()
    await world.at("12:00")
    await world.edit(jobTemplate={"spec": {"workflow": "other"}})
    await world.at("12:01")
    assert [job["spec"]["workflow"] for job in await world.jobs()] == ["w", "other"]


async def test_forbid_waits_for_the_end_of_the_run_before(world: World) -> None:
    await world.create(concurrencyPolicy="Forbid")
    await world.at("12:02:30")
    assert await world.names() == [named("12:00")]
    ready = await world.ready()
    assert (ready["status"], ready["reason"]) == ("True", "JobAlreadyActive")
    assert ready["message"].startswith(f"the run of 2030-05-06 12:02 UTC waits until {named('12:00')} has ended")
    assert world.warnings.reasons == ["JobAlreadyActive"] * 2, "once for each run that is held"
    await world.end(named("12:00"))
    assert await world.names() == [named("12:00"), named("12:02")]
    assert (await world.ready())["reason"] == "Ready"


async def test_a_run_that_is_held_for_too_long_is_left_out(world: World) -> None:
    await world.create(schedule="0 * * * *", concurrencyPolicy="Forbid", startingDeadlineSeconds=90)
    await world.at("13:01")
    assert (await world.ready())["reason"] == "JobAlreadyActive"
    await world.at("13:03")
    assert (await world.ready())["reason"] == "MissSchedule"
    await world.end(named("12:00"))
    assert await world.names() == [named("12:00")]


async def test_a_job_that_somebody_deletes_no_longer_holds_the_next_run(world: World) -> None:
    await world.create(concurrencyPolicy="Forbid")
    await world.at("12:01:30")
    await world.store.remove(JOB, NAMESPACE, named("12:00"))
    await world.settle()
    assert await world.names() == [named("12:01")]


async def test_replace_cancels_the_run_before(world: World) -> None:
    await world.create(concurrencyPolicy="Replace")
    await world.at("12:01:30")
    first, second = await world.jobs()
    assert first["spec"]["cancel"] is True
    assert "cancel" not in second["spec"]
    assert (await world.status())["active"] == [named("12:00"), named("12:01")]
    await world.end(named("12:00"), "Cancelled")
    assert (await world.status())["active"] == [named("12:01")]


async def test_finished_jobs_go_when_there_are_more_than_are_kept(world: World) -> None:
    await world.create(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1)
    for minute, phase in enumerate(["Succeeded", "Failed", "Succeeded", "Cancelled", "Succeeded"]):
        await world.at(f"12:0{minute}:30")
        await world.end(named(f"12:0{minute}"), phase)
    assert await world.names() == [named(time) for time in ("12:02", "12:03", "12:04")]


async def test_more_than_a_hundred_missed_runs_are_told_and_the_latest_is_made(world: World) -> None:
    await world.create()
    await world.at("12:00")
    await world.stop()
    world.sleep_until("2030-05-06 20:00:10")
    await world.start()
    assert await world.names() == [named("12:00"), named("20:00")]
    assert world.warnings.told == [
        (
            "TooManyMissedTimes",
            "more than 100 runs were missed; only that of 2030-05-06 20:00 UTC is made up for",
        )
    ]


# What may go wrong.


async def test_an_operator_that_dies_between_the_job_and_the_status_makes_no_second_job(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.create(schedule="0 12 * * *")
    wrote: list[RawObject] = []

    async def dies(*_: object) -> RawObject:
        wrote.append(await world.store.get(SCHEDULE, NAMESPACE, "report") or {})
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(world.cluster, "patch_schedule_status", dies)
    await world.at("12:00:10")
    assert wrote
    assert "lastScheduleTime" not in wrote[-1]["status"]
    await world.stop()
    monkeypatch.undo()
    await world.end(named("12:00"))
    await world.start()
    await world.at("12:30")
    assert await world.names() == [named("12:00")]
    assert (await world.status())["lastScheduleTime"] == "2030-05-06T12:00:00.000Z"
    assert (await world.status())["lastSuccessfulTime"] == "2030-05-06T12:00:10.000Z"


async def test_a_job_that_a_new_leader_has_seen_is_not_made_again_after_it_was_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ttlSecondsAfterFinished does it, when the status was never written."""
    await world.create(schedule="0 12 * * *")

    async def dies(*_: object) -> RawObject:
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(world.cluster, "patch_schedule_status", dies)
    await world.at("12:00:10")
    await world.stop()
    monkeypatch.undo()
    await world.start(meanwhile=lambda: world.store.remove(JOB, NAMESPACE, named("12:00")))
    await world.at("12:30")
    assert await world.names() == []
    assert (await world.status())["lastScheduleTime"] == "2030-05-06T12:00:00.000Z"


async def test_a_job_whose_creation_was_not_answered_is_not_made_again(world: World) -> None:
    await world.create(schedule="0 12 * * *")
    world.store.faults.next_write(WriteFault.REPLY_LOST)
    await world.at("12:05")
    assert await world.names() == [named("12:00")]
    assert (await world.status())["active"] == [named("12:00")]
    assert world.warnings.told == []


async def test_two_operators_at_once_make_one_job(world: World) -> None:
    """One of them is a zombie that has lost its Lease and does not know it yet."""
    await world.create()
    zombie = world.tasks
    await world.start()
    await world.at("12:02:30")
    assert await world.names() == [named(time) for time in ("12:00", "12:01", "12:02")]
    world.tasks += zombie


async def test_a_run_whose_name_another_job_has_is_left_out_with_a_warning(world: World) -> None:
    await world.create()
    other = {"metadata": {"namespace": NAMESPACE, "name": named("12:00")}, "spec": {"workflow": "mine"}}
    await world.store.create({"apiVersion": JOB[0], "kind": JOB[1], **other})
    await world.at("12:01")
    assert [job["spec"]["workflow"] for job in await world.jobs()] == ["mine", "w"]
    ((reason, note),) = world.warnings.told
    assert reason == "FailedCreate"
    assert f"there is another Job {named('12:00')}" in note


async def test_a_job_that_is_refused_is_told_and_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.create(schedule="0 12 * * *")
    create = world.cluster.create_job

    async def refuse(_: RawObject) -> RawObject:
        raise Rejected("403: exceeded quota: jobs")

    monkeypatch.setattr(world.cluster, "create_job", refuse)
    await world.at("12:00:30")
    ready = await world.ready()
    assert (ready["status"], ready["reason"]) == ("False", "FailedCreate")
    assert "exceeded quota" in ready["message"]
    assert set(world.warnings.reasons) == {"FailedCreate"}
    monkeypatch.setattr(world.cluster, "create_job", create)
    await world.at("12:02")
    assert await world.names() == [named("12:00")]
    assert (await world.ready())["status"] == "True"


@pytest.mark.parametrize("error", [StoreUnavailable("no answer"), Refused("conflict"), RuntimeError("a fault of ours")])
async def test_one_schedule_that_fails_holds_up_no_other(
    error: Exception, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.create("bad")
    await world.create("good")
    patch = world.cluster.patch_schedule_status

    async def fail(namespace: str, name: str, status: dict[str, object]) -> RawObject:
        if name == "bad":
            raise error
        return await patch(namespace, name, status)

    monkeypatch.setattr(world.cluster, "patch_schedule_status", fail)
    await world.at("12:01:30")
    assert (await world.status("good"))["active"] == [named(time, "good") for time in ("12:00", "12:01")]
    assert named("12:01", "bad") in await world.names(), "the status is behind, the runs are not"


async def test_a_deleted_schedule_makes_no_more_jobs(world: World) -> None:
    await world.create()
    await world.at("12:00")
    await world.store.remove(SCHEDULE, NAMESPACE, "report")
    await world.at("12:03")
    assert await world.names() == [named("12:00")]


async def test_a_schedule_that_was_deleted_unseen_is_forgotten_by_the_sweep(world: World) -> None:
    await world.create()
    await world.create("young")
    before = world.controller.known()
    world.controller.retain(before - {(NAMESPACE, "young")}, [])
    await world.at("12:00")
    assert await world.names() == [named("12:00", "young")], "one made during the sweep is kept"


async def test_a_job_that_vanished_unseen_is_found_by_the_sweep(world: World) -> None:
    await world.create(schedule="0 12 * * *")
    await world.at("12:01")
    world.tasks.pop().cancel()  # the watch of Jobs
    await world.store.remove(JOB, NAMESPACE, named("12:00"))
    await world.settle()
    assert (await world.status())["active"] == [named("12:00")]
    world.controller.compare(await world.jobs())
    await world.settle()
    assert "active" not in await world.status()


async def test_a_schedule_of_the_same_name_is_another_one(world: World) -> None:
    await world.create(concurrencyPolicy="Forbid")
    await world.at("12:00")
    await world.store.remove(SCHEDULE, NAMESPACE, "report")
    await world.create(concurrencyPolicy="Forbid")
    await world.at("12:01")
    assert await world.names() == [named("12:00"), named("12:01")], "the old one's Job does not hold the new one's"
    assert (await world.status())["active"] == [named("12:01")]


async def test_jobs_that_no_schedule_made_are_none_of_its_business(world: World) -> None:
    await world.create(concurrencyPolicy="Forbid")
    meta = {"namespace": NAMESPACE, "name": "mine", "labels": {LABEL_SCHEDULE: "report"}}
    await world.store.create({"apiVersion": JOB[0], "kind": JOB[1], "metadata": meta, "spec": {"workflow": "w"}})
    await world.at("12:00")
    assert await world.names() == ["mine", named("12:00")]


async def test_a_clock_that_is_put_back_makes_no_run_again(world: World) -> None:
    await world.create()
    await world.at("12:05")
    count = len(await world.names())
    await world.stop()
    world.now -= dt.timedelta(minutes=4)
    await world.start()
    await world.at("12:05:30")
    assert len(await world.names()) == count


async def test_a_schedule_that_is_gone_by_the_time_of_its_report_is_no_failure(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone(*_: object) -> RawObject:
        raise Gone("404")

    monkeypatch.setattr(world.cluster, "patch_schedule_status", gone)
    await world.create()
    assert not caplog.records
