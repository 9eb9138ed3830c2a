"""The controller of Schedules: makes the Job of each run, in one turn at a time per Schedule.

`leader.py` calls it, on the event loop: `on_schedule` and `on_job` from the watches and the first lists, `retain` and
`compare` from the sweep, `run` as long as this process leads. A turn plans (due.py), acts, and reports (report.py).

It promises one Job for each run that is due: its name is made of the minute, so that a second one is refused whoever
asks for it, and a process that died between the Job and the status finds the Job. An idle Schedule costs nothing.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterable

from mastercontrol.api.names import API_VERSION, KIND_SCHEDULE, Reason
from mastercontrol.api.schedule import Schedule
from mastercontrol.engine.ports import Gone, RawObject, Refused, Rejected, Reporter, StoreError
from mastercontrol.schedules import metrics, report
from mastercontrol.schedules.due import MANY_MISSED, Plan, plan
from mastercontrol.schedules.ports import ScheduleCluster
from mastercontrol.schedules.report import Verdict
from mastercontrol.schedules.runs import job_manifest, job_name, schedule_of, surplus
from mastercontrol.schedules.settings import ScheduleSettings
from mastercontrol.schedules.state import Key, ScheduleState
from mastercontrol.schedules.timetable import Timetable
from mastercontrol.workqueue import WorkQueue

log = logging.getLogger(__name__)


class ScheduleController:
    """`clock` is the wall clock that runs go by."""

    def __init__(
        self,
        cluster: ScheduleCluster,
        reporter: Reporter,
        clock: Callable[[], dt.datetime],
        settings: ScheduleSettings | None = None,
    ) -> None:
        self._cluster = cluster
        self._reporter = reporter
        self._clock = clock
        self._settings = settings or ScheduleSettings()
        self._states: dict[Key, ScheduleState] = {}
        self._queue: WorkQueue[Key] = WorkQueue(self._turn, self._settings.concurrent_schedules)

    # What others tell.

    def on_schedule(self, raw: RawObject, *, deleted: bool = False) -> None:
        """A Schedule was added, changed or deleted."""
        meta = raw["metadata"]
        key: Key = (meta["namespace"], meta["name"])
        uid, state = str(meta.get("uid", "")), self._states.get(key)
        if deleted:
            if state is not None and state.uid == uid:
                self._forget(key)
            return
        if state is None or state.uid != uid:
            state = self._states[key] = ScheduleState(raw)
        before = (state.generation, state.deleting) if state.raw is not raw else None
        if state.learn(raw) and before != (state.generation, state.deleting):
            self._hurry(key, state)

    def on_job(self, raw: RawObject, *, deleted: bool = False) -> None:
        """A Job was added, changed or deleted; those that no Schedule made are ignored."""
        owner = schedule_of(raw)
        if owner is None:
            return
        key: Key = (raw["metadata"]["namespace"], owner[0])
        state = self._states.get(key)
        if state is None or state.uid != owner[1]:
            return
        try:
            changed = state.lose_job(raw) if deleted else state.learn_job(raw)
        except ValueError as error:
            log.warning("job %s/%s can't be read as a run of its schedule: %s", key[0], raw["metadata"]["name"], error)
            return
        if changed:
            self._hurry(key, state)

    def listed(self, jobs: Iterable[RawObject]) -> None:
        """These are all Jobs of all Schedules that were told so far: nothing is to be listed for them."""
        for raw in jobs:
            self.on_job(raw)
        for state in self._states.values():
            state.listed = True

    def known(self) -> set[Key]:
        """The Schedules that this process works for."""
        return set(self._states)

    def retain(self, before: Iterable[Key], there: Iterable[Key]) -> None:
        """Of those `known` before a list was asked for, forget what is not in it: it went in a gap of the watch."""
        for key in set(before) - set(there):
            if key in self._states:
                self._forget(key)

    def compare(self, jobs: Iterable[RawObject]) -> None:
        """These are all the Jobs that there were a moment ago: look again where a run is not among them."""
        there = {(raw["metadata"]["namespace"], raw["metadata"]["name"]) for raw in jobs}
        for key, state in self._states.items():
            if any((key[0], name) not in there for name in state.runs):
                state.listed = False
                self._hurry(key, state)

    async def run(self) -> None:
        """Work until cancelled. Only one process may do so at a time."""
        for key, state in self._states.items():
            self._hurry(key, state)
        await self._queue.run()

    # A turn.

    async def _turn(self, key: Key) -> float | None:
        state = self._states.get(key)
        if state is None or state.deleting:
            return None
        now = self._clock()
        if not state.news and state.idle_until is not None and now < state.idle_until:
            return self._sleep(state.idle_until - now)
        state.news = False
        try:
            delay = await self._work(key, state)
        except Gone:
            return None  # it is deleted, or its namespace is: the watch tells
        except StoreError as error:
            return self._failed(key, state, type(error).__name__, str(error))
        except Exception as error:  # one schedule's surprise must not end the turns of all others
            log.exception("schedule %s/%s: its turn failed", *key)
            return self._failed(key, state, Reason.INTERNAL_ERROR, str(error))
        state.failures = 0
        return delay

    async def _work(self, key: Key, state: ScheduleState) -> float | None:
        if not state.listed:
            await self._list(key, state)
        if state.schedule is None or state.timetable is None:
            message = state.invalid or "it can't be read"
            await self._report(key, state, Verdict(ready=False, reason=Reason.INVALID_SPEC, message=message))
            return None
        schedule, timetable = state.schedule, state.timetable
        state.hold_to(timetable.text, self._clock())
        planned = self._plan(state, schedule, timetable)
        self._warn(state, timetable, planned)
        said = await self._act(key, state, schedule, planned)
        await self._clean_up(key, state, schedule)
        planned = self._plan(state, schedule, timetable)
        await self._report(key, state, said or report.verdict(timetable, planned))
        if said is not None:
            return self._failed(key, state, said.reason, said.message)
        return self._rest(state, planned)

    def _plan(self, state: ScheduleState, schedule: Schedule, timetable: Timetable) -> Plan:
        return plan(schedule.spec, timetable, state.all_runs(), state.since(schedule.created), self._clock())

    async def _act(self, key: Key, state: ScheduleState, schedule: Schedule, planned: Plan) -> Verdict | None:
        """Do what is planned; what stands in the way of it, or None.

        :raises StoreError: it is to be tried again.
        """
        for run in planned.cancel:
            log.info("schedule %s/%s: cancelling %s for the next run", *key, run.name)
            await self._cluster.cancel_job(key[0], run.name)
        if planned.start is None:
            return None
        name = job_name(schedule.name, planned.start)
        try:
            state.learn_job(await self._cluster.create_job(job_manifest(schedule, planned.start)))
            metrics.RUNS.labels("started").inc()
            log.info("schedule %s/%s: made %s", *key, name)
        except Refused:
            await self._made_before(key, state, name)
        except Rejected as error:
            message = f"{name} could not be created: {error}"
            self._reporter.warn(_reference(state), Reason.FAILED_CREATE, message)
            return Verdict(ready=False, reason=Reason.FAILED_CREATE, message=message)
        state.started(planned.start)
        return None

    async def _made_before(self, key: Key, state: ScheduleState, name: str) -> None:
        """The run has its Job already: this process, or the one before it, did not see the answer."""
        await self._list(key, state)
        if name in state.runs:
            metrics.RUNS.labels("found").inc()
            return
        metrics.RUNS.labels("name_taken").inc()
        message = f"there is another Job {name}, so this run is left out; delete it, or give the Schedule another name"
        self._reporter.warn(_reference(state), Reason.FAILED_CREATE, message)

    async def _list(self, key: Key, state: ScheduleState) -> None:
        before = set(state.runs)
        for raw in await self._cluster.list_scheduled_jobs(*key):
            before.discard(raw["metadata"]["name"])
            self.on_job(raw)
        for name in before:
            state.forget(name)
        state.listed = True

    async def _clean_up(self, key: Key, state: ScheduleState, schedule: Schedule) -> None:
        limits = schedule.spec.successful_jobs_history_limit, schedule.spec.failed_jobs_history_limit
        for run in surplus(state.all_runs(), *limits):
            await self._cluster.delete_job(key[0], run.name, run.uid)
            state.forget(run.name)

    async def _report(self, key: Key, state: ScheduleState, said: Verdict) -> None:
        old = state.raw.get("status") or {}
        status = report.build(state.generation, state.kept, state.all_runs(), said, old, self._clock())
        if report.differs(status, old):
            self.on_schedule(await self._cluster.patch_schedule_status(*key, status))

    # Small things.

    def _warn(self, state: ScheduleState, timetable: Timetable, planned: Plan) -> None:
        """Tell once of each run that was missed or is held back."""
        found = planned.due
        if found is None or (run := found.run or found.late) is None or run == state.told:
            return
        said = report.verdict(timetable, planned)
        if found.too_many:
            message = f"more than {MANY_MISSED} runs were missed; only that of {timetable.shown(run)} is made up for"
            self._reporter.warn(_reference(state), Reason.TOO_MANY_MISSED_TIMES, message)
        elif said.reason in {Reason.MISS_SCHEDULE, Reason.JOB_ALREADY_ACTIVE}:
            self._reporter.warn(_reference(state), said.reason, said.message)
        if said.reason is Reason.MISS_SCHEDULE:
            metrics.RUNS.labels("missed").inc()
        elif said.reason is Reason.JOB_ALREADY_ACTIVE:
            metrics.RUNS.labels("held").inc()
        state.told = run

    def _rest(self, state: ScheduleState, planned: Plan) -> float | None:
        if planned.start is not None:  # it became due while this turn was at work
            return 0.0
        if planned.due is None or planned.due.next is None:
            return None
        now = self._clock()
        state.idle_until = None if planned.held_by else planned.due.next  # what is held may become too late meanwhile
        return self._sleep(planned.due.next - now)

    def _sleep(self, time: dt.timedelta) -> float:
        return min(max(time.total_seconds(), 0.0), self._settings.longest_sleep_seconds)

    def _failed(self, key: Key, state: ScheduleState, reason: str, message: str) -> float:
        # The exponent is bounded too: a float has an end, a broken cluster may not.
        base, cap = self._settings.retry_base_seconds, self._settings.retry_cap_seconds
        delay = min(cap, base * 2.0 ** min(state.failures, 30))
        state.failures += 1
        state.news = True
        metrics.FAILURES.labels(reason).inc()
        log.warning("schedule %s/%s: %s: %s; again in %.1f s", *key, reason, message, delay)
        return delay

    def _hurry(self, key: Key, state: ScheduleState) -> None:
        state.news = True
        self._queue.add(key)

    def _forget(self, key: Key) -> None:
        # Its Jobs have it as their owner: the cluster removes them.
        del self._states[key]
        self._queue.forget(key)


def _reference(state: ScheduleState) -> RawObject:
    return {"apiVersion": API_VERSION, "kind": KIND_SCHEDULE, "metadata": state.raw["metadata"]}
