"""Gates that are broken on purpose: each exceeds a limit, or leaves a job waiting, in a story that shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mastercontrol.api.job import Job
from mastercontrol.api.status import JobStatus
from mastercontrol.engine import commit, decide, turn
from mastercontrol.engine import engine as engine_module
from mastercontrol.engine.facts import Decision
from mastercontrol.engine.gate import Gate
from mastercontrol.engine.inbox import JobKey
from mastercontrol.engine.lines import Line
from mastercontrol.workflow.definition import Definition
from unit.engine import limit_scenarios as stories
from unit.engine.limit_scenarios import STORIES, LimitStory
from unit.engine.limited import Shop
from unit.engine.mutants import IMPATIENCE, Catch, Mutation


def who_is_admitted_is_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Line, "free", property(lambda self: self.concurrency.limit - len(self.holders)))


def the_jobs_are_not_listed_first(patch: pytest.MonkeyPatch) -> None:
    real = Gate.place

    def place(self: Gate, job: Job, *args: Any, **kwargs: Any) -> Any:
        self._listed.add(job.namespace)
        return real(self, job, *args, **kwargs)

    patch.setattr(Gate, "place", place)


def the_first_step_is_sent_before_the_place_is_written(patch: pytest.MonkeyPatch) -> None:
    real = decide._Turn._start

    def start(self: decide._Turn, definition: Definition, epoch: str, *, sent_before: bool) -> None:
        if self._has_place():
            open_to_all = Definition(definition.revision, definition.block)
            real(self, open_to_all, epoch, sent_before=sent_before)

    patch.setattr(decide._Turn, "_start", start)


def a_beginning_is_fenced_by_the_sequence_alone(patch: pytest.MonkeyPatch) -> None:
    def unfenced(job: Job, status: JobStatus) -> list[dict[str, Any]]:
        version = "/metadata/resourceVersion"
        return [op for op in commit.status_patch(job, status) if op["path"] != version]

    patch.setattr(turn, "status_patch", unfenced)


def a_failed_turn_gives_its_place_away(patch: pytest.MonkeyPatch) -> None:
    real = Gate.failed

    def failed(self: Gate, key: JobKey, *, unwritten: bool) -> None:
        del unwritten
        real(self, key, unwritten=True)

    patch.setattr(Gate, "failed", failed)


def nobody_is_woken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gate, "_call", lambda *_: None)


def a_write_is_not_shown_to_the_gate(patch: pytest.MonkeyPatch) -> None:
    real = turn._Turn._commit

    async def commit_(self: turn._Turn, job: Job, decision: Decision) -> Job:
        observe, self.gate.observe = self.gate.observe, _ignored  # type: ignore[method-assign]
        try:
            return await real(self, job, decision)
        finally:
            self.gate.observe = observe  # type: ignore[method-assign]

    patch.setattr(turn._Turn, "_commit", commit_)


def _ignored(job: Job) -> None:
    del job


def what_is_over_counts_as_running(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("mastercontrol.engine.gate._is_over", lambda _: False)


CAUGHT: tuple[tuple[Mutation, LimitStory], ...] = (
    (who_is_admitted_is_not_counted, stories.jobs_come_at_once),
    (the_jobs_are_not_listed_first, stories.the_operator_dies_with_a_job_at_work),
    (
        the_first_step_is_sent_before_the_place_is_written,
        stories.the_operator_dies_before_the_write_that_begins_a_job,
    ),
    (
        a_beginning_is_fenced_by_the_sequence_alone,
        stories.the_write_that_begins_a_job_is_answered_by_a_time_out_and_lands_much_later,
    ),
    (a_failed_turn_gives_its_place_away, stories.the_write_that_begins_a_job_gets_no_answer),
    (nobody_is_woken, stories.a_holder_ends_and_an_old_event_of_it_comes_late),
    (a_write_is_not_shown_to_the_gate, stories.jobs_come_at_once),
    (what_is_over_counts_as_running, stories.a_holder_ends_and_an_old_event_of_it_comes_late),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "FIRST_RETRY_SECONDS", 0.002)
    monkeypatch.setattr(engine_module, "LAST_RETRY_SECONDS", 0.02)


@pytest.fixture
async def impatient(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The shops that a story opens are impatient, and closed after it."""
    opened: list[Shop] = []
    real = Shop.__init__

    def init(self: Shop, **concurrency: Any) -> None:
        real(self, **concurrency)
        opened.append(self)

    monkeypatch.setattr(Shop, "__init__", init)
    monkeypatch.setattr("unit.engine.world.PATIENCE", IMPATIENCE)
    yield
    for shop in opened:
        await shop.close()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_the_engine_survives(story: LimitStory) -> None:
    shop = await story()
    await shop.close()


@pytest.mark.parametrize(("mutation", "story"), CAUGHT, ids=lambda part: part.__name__)
@pytest.mark.usefixtures("impatient")
async def test_a_broken_gate_is_caught(mutation: Mutation, story: LimitStory, catch: Catch) -> None:
    await catch(mutation, story())
