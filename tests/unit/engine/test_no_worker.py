"""A step that waits because no worker of its pool is ready: said after a while, taken back, no write too many."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from mastercontrol.api.names import ConditionType, Reason
from mastercontrol.engine.ports import Readiness
from unit.engine.builders import NOW, Run, each, parallel, seconds, state, step
from unit.engine.world import World, until

WAITING = ConditionType.WAITING
TEXT = "reserve waits for a worker of pool reserve-pool (none is ready)"


def nobody(run: Run, pool: str = "reserve-pool", since: dt.datetime = NOW) -> Run:
    run.workers[pool] = Readiness(0, since)
    return run


def says(run: Run) -> str | None:
    found = run.condition(WAITING)
    return found[1] if found and found[0] else None


def test_a_job_says_it_once_thirty_seconds_are_over() -> None:
    run = nobody(Run()).begun()
    assert run.status.message == "reserve is with pool reserve-pool"
    assert run.last.wake_at == NOW + seconds(30)
    run.wake()
    assert (says(run), run.status.message) == (Reason.NO_WORKER, TEXT)
    assert [note.reason for note in run.notes] == [], "it is no warning: the pool says what is wrong with it"


def test_what_is_said_is_not_written_again() -> None:
    run = nobody(Run()).begun()
    run.wake()
    writes = run.writes
    run.later(1000).turn()
    assert run.writes == writes
    assert run.last.wake_at is None


def test_how_long_is_a_setting() -> None:
    run = nobody(Run())
    run.limits = type(run.limits)(no_worker_seconds=5)
    run.begun().later(5).turn()
    assert says(run) == Reason.NO_WORKER


def test_the_first_ready_worker_takes_it_back() -> None:
    run = nobody(Run()).begun()
    run.wake()
    run.workers["reserve-pool"] = Readiness(1)
    run.turn()
    assert says(run) is None
    assert run.status.message == "reserve is with pool reserve-pool"


def test_the_next_transition_takes_it_back() -> None:
    run = nobody(Run()).begun()
    run.wake()
    run.done("reserve")
    assert says(run) is None
    assert run.status.message == "charge is with pool charge-pool"


def test_the_end_takes_it_back() -> None:
    run = nobody(Run("reserve")).begun()
    run.wake()
    run.done("reserve")
    assert run.status.state == "Done"
    assert run.condition(WAITING) is None


def test_what_is_unknown_is_not_none() -> None:
    run = Run().begun()
    run.later(1000).turn()
    assert says(run) is None
    assert run.last.wake_at is None
    assert run.writes == 1


def test_what_is_unknown_for_now_does_not_take_it_back() -> None:
    """As when another operator takes over and has not looked at the pools yet."""
    run = nobody(Run()).begun()
    run.wake()
    del run.workers["reserve-pool"]
    writes = run.writes
    run.turn()
    nobody(run, since=run.now)
    run.turn()
    assert says(run) == Reason.NO_WORKER
    assert run.writes == writes


def test_a_pool_that_lost_its_last_worker_a_moment_ago_is_given_time() -> None:
    run = Run().begun().later(600)
    nobody(run, since=run.now)
    run.turn()
    assert says(run) is None
    assert run.last.wake_at == run.now + seconds(30)
    run.wake()
    assert says(run) == Reason.NO_WORKER


def test_a_pool_that_was_empty_for_long_is_given_time_for_a_new_step() -> None:
    run = nobody(Run(), since=NOW - seconds(3600)).begun()
    assert run.last.wake_at == NOW + seconds(30)


def test_a_job_that_is_suspended_says_that() -> None:
    run = nobody(Run()).begun().change(suspend=True)
    run.later(60).turn()
    assert says(run) is None
    assert run.last.wake_at is None


def test_the_deadline_of_a_step_still_wakes_the_job_first() -> None:
    run = Run.of(step("a", timeoutSeconds=10), state("Pass", "b"))
    nobody(run, "p").turn()
    assert run.last.wake_at == NOW + seconds(10)


def test_a_pool_that_is_gone_is_said_instead() -> None:
    run = nobody(Run()).begun()
    run.missing_pools = {"reserve-pool"}
    run.later(30).turn()
    assert says(run) == Reason.UNKNOWN_POOL
    assert run.last.wake_at is None


def test_in_a_branch_it_is_said_though_another_one_waits_for_something_else() -> None:
    run = Run.of(parallel("both", [state("Signal", "go")], [step("x")]))
    nobody(run, "p").turn()
    run.wake()
    assert run.status.message == "both[1].x waits for a worker of pool p (none is ready)"


def test_a_job_that_says_it_is_not_woken_for_another_step_that_will_lack_a_worker() -> None:
    run = nobody(Run.of(parallel("both", [step("x")], [step("w", pool="q"), step("y")])), "p")
    run.turn()
    run.wake()
    run.done("both[1].w")
    assert run.status.message == "both[0].x waits for a worker of pool p (none is ready)"
    assert run.last.wake_at is None


def test_of_a_map_one_item_says_it_for_all() -> None:
    run = Run.of(each("fan", [1, 2, 3], step("x")))
    nobody(run, "p").turn()
    run.wake()
    assert run.status.message == "fan[0].x waits for a worker of pool p (none is ready)"
    run.workers["p"] = Readiness(2)
    run.turn()
    assert run.status.message == "fan: 0 of 3 done, 3 at work"


# -- with the engine around it


async def test_a_pool_that_starts_from_zero_costs_no_write(world: World) -> None:
    for pool in ("a-pool", "b-pool"):
        world.pools.ready[pool] = Readiness(0, world.clock())
    await world.begun()
    world.clock.time += dt.timedelta(seconds=29)
    world.pools.ready["a-pool"] = Readiness(1)
    world.engine.look_at_pool("shop", "a-pool", ready=True)
    await world.finish()
    assert [text for text in world.journal if text.startswith("write")] == ["write 1", "write 2", "write 3"]


async def test_the_jobs_of_a_pool_say_it_and_take_it_back(world: World) -> None:
    world.pools.ready["a-pool"] = Readiness(0, world.clock())
    await world.begun()
    world.clock.time += dt.timedelta(seconds=30)
    world.engine.look_at_pool("shop", "a-pool", ready=False)
    await until(lambda: "waits for a worker" in world.jobs.status()["message"])
    world.pools.ready["a-pool"] = Readiness(1)
    world.engine.look_at_pool("shop", "other", ready=True)
    await world.rest()
    assert "waits for a worker" in world.jobs.status()["message"]
    world.engine.look_at_pool("shop", "a-pool", ready=True)
    await until(lambda: world.jobs.status()["message"] == "a is with pool a-pool")
    assert not any(c["type"] == "Waiting" for c in world.jobs.status().get("conditions", []))


async def test_a_ready_worker_wakes_only_the_jobs_that_said_there_was_none(world: World) -> None:
    await world.begun()
    world.pools.ready["a-pool"] = Readiness(1)
    world.engine.look_at_pool("shop", "a-pool", ready=True)
    assert world.quiet()
    await asyncio.sleep(0)


async def test_the_job_wakes_itself_when_it_is_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.limits = type(world.limits)(no_worker_seconds=0.05)
    world.engine = world.new_engine()
    world.pools.ready["a-pool"] = Readiness(0, world.clock())
    start = asyncio.get_running_loop().time()
    begin = world.clock.time
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(type(world.clock), "__call__", lambda _: begin + dt.timedelta(seconds=loop.time() - start))
    await world.begun()
    await until(lambda: "waits for a worker" in (world.jobs.status().get("message") or ""))
