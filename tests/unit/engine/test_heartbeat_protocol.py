"""Steps that report survive each of the stories, and engines that are broken on purpose do not.

As in `test_protocol.py` and `test_mutants.py`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from mastercontrol.api.status import ActiveStep, JobStatus
from mastercontrol.engine import heartbeats, silence, turn
from mastercontrol.engine.facts import Facts, Heard, Heartbeat
from unit.engine import heartbeat_scenarios as stories
from unit.engine.heartbeat_scenarios import HEARTBEAT_SCENARIOS
from unit.engine.mutants import IMPATIENCE, Catch, Mutation
from unit.engine.scenarios import Scenario
from unit.engine.world import World


@pytest.mark.parametrize("story", HEARTBEAT_SCENARIOS, ids=lambda story: story.__name__)
async def test_a_job_ends_well_though(story: Scenario, world: World) -> None:
    await story(world)


def silence_counts_from_before_the_connection(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(heartbeats.Attention, "begin", lambda *_: None)


def a_step_is_called_silent_without_listening(patch: pytest.MonkeyPatch) -> None:
    real = heartbeats.Heartbeats.heard

    def heard(self: heartbeats.Heartbeats, since: object, seconds: float, *, complete: bool) -> Heard:
        del complete
        return real(self, since, seconds, complete=True)  # type: ignore[arg-type]

    patch.setattr(heartbeats.Heartbeats, "heard", heard)


def no_echo_is_as_good_as_one(patch: pytest.MonkeyPatch) -> None:
    real = turn._Turn._learn_more

    async def learn_more(self: turn._Turn, job: object, decision: object) -> object:
        found = await real(self, job, decision)  # type: ignore[arg-type]
        self.listened = True
        self.attention.since = None
        return found

    patch.setattr(turn._Turn, "_learn_more", learn_more)


def a_give_back_is_a_heartbeat_like_any_other(patch: pytest.MonkeyPatch) -> None:
    real = heartbeats.Heartbeats.take

    def take(self: heartbeats.Heartbeats, key: heartbeats.Key, beat: Heartbeat) -> bool:
        return real(self, key, replace(beat, waiting=False))

    patch.setattr(heartbeats.Heartbeats, "take", take)


def a_give_back_is_not_written(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(silence, "_silenced", lambda entry: entry)


def what_was_heard_outlives_the_broker_s_data(patch: pytest.MonkeyPatch) -> None:
    real = silence._heard

    def heard(entry: ActiveStep, facts: Facts, *, lost: bool) -> ActiveStep:
        del lost
        return real(entry, facts, lost=False)

    patch.setattr(silence, "_heard", heard)


def every_heartbeat_is_written(patch: pytest.MonkeyPatch) -> None:
    real = silence.shown

    def shown(was: JobStatus, status: JobStatus, facts: Facts) -> silence.Shown:
        return real(was, status, replace(facts, heard=replace(facts.heard, show_from=None)))

    patch.setattr(silence, "shown", shown)


CAUGHT: tuple[tuple[Mutation, Scenario], ...] = (
    (
        silence_counts_from_before_the_connection,
        stories.the_operator_is_away_for_longer_than_a_step_may_be_silent,
    ),
    (silence_counts_from_before_the_connection, stories.the_broker_is_away_for_longer_than_a_step_may_be_silent),
    (a_step_is_called_silent_without_listening, stories.the_operator_is_held_up_while_steps_report),
    (no_echo_is_as_good_as_one, stories.the_broker_takes_nothing_for_a_while),
    (a_give_back_is_a_heartbeat_like_any_other, stories.a_step_waits_for_another_worker_after_its_own_gave_it_back),
    (a_give_back_is_not_written, stories.a_step_waits_for_another_worker_after_its_own_gave_it_back),
    (
        what_was_heard_outlives_the_broker_s_data,
        stories.the_broker_loses_its_data_and_a_step_that_was_begun_waits_again,
    ),
    (every_heartbeat_is_written, stories.a_hundred_heartbeats_come_within_one_interval),
)


@pytest.mark.parametrize(("mutation", "story"), CAUGHT, ids=lambda part: part.__name__)
async def test_a_broken_engine_is_caught(mutation: Mutation, story: Scenario, world: World, catch: Catch) -> None:
    world.patience = IMPATIENCE
    await catch(mutation, story(world))
