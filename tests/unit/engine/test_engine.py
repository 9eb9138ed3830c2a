"""The engine among its Jobs: one turn at a time each, many at once, and nothing that comes in disturbs the others."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from mastercontrol.engine import engine
from mastercontrol.engine.ports import Forbidden, Rejected, StoreUnavailable
from mastercontrol_worker.contract import Failed, JobRef, ResultMessage, StepError, StepMessage
from unit.engine.fakes import FakeDelivery, Fault
from unit.engine.world import World, until


async def settled(delivery: FakeDelivery) -> str | None:
    await until(lambda: delivery.settled)
    return delivery.settled


# -- one Job


async def test_a_job_runs_to_its_end(world: World) -> None:
    world.submit()
    await world.finish()
    assert world.jobs.state() == "Done"
    assert world.jobs.status()["output"] == "output of b"
    assert [pool for pool, _ in world.broker.sent] == ["a-pool", "b-pool"]


async def test_a_job_that_ended_takes_no_place_in_memory(world: World) -> None:
    world.submit()
    await world.finish()
    assert list(world.engine.mailboxes) == []
    assert world.engine.mailboxes.key_of("u1") is None


async def test_several_results_for_one_job_cost_one_write(world: World) -> None:
    step = await world.begun()
    first, *others = [world.answer(step) for _ in range(3)]
    await until(lambda: first.settled and all(d.settled for d in others))
    assert [e for e in world.journal if e.startswith("write")] == ["write 1", "write 2"]
    assert [e for e in world.journal if e.startswith("publish")] == ["publish 1:1", "publish 2:1"]


async def test_results_that_come_during_a_turn_are_taken_together_in_the_next(world: World) -> None:
    step = await world.begun()
    world.broker.gate.clear()
    world.answer(step)
    await until(lambda: world.jobs.status()["sequence"] == 2)
    later = [world.answer(step) for _ in range(5)]
    await asyncio.sleep(0.01)
    assert [d.settled for d in later] == [None] * 5
    world.broker.gate.set()
    await until(lambda: all(d.settled for d in later))
    assert world.journal == ["publish 1:1", "write 1", "write 2", "publish 2:1", *["ack 1:1"] * 6]


async def test_a_worker_that_answers_before_the_first_write_is_heard(world: World) -> None:
    world.jobs.gate.clear()
    world.submit()
    await until(lambda: world.broker.queue)
    delivery = world.answer(world.broker.queue.pop())
    await asyncio.sleep(0.01)
    assert delivery.settled is None
    world.jobs.gate.set()
    assert await settled(delivery) == "ack"
    assert world.journal == ["publish 1:1", "write 1", "write 2", "publish 2:1", "ack 1:1"]


async def test_an_answer_to_a_job_that_the_watch_has_not_shown_yet_starts_it(world: World) -> None:
    """Another operator published its first step and died; its answer is here before the listing."""
    world.jobs.put("j", "u1")
    ref = JobRef("shop", "j", "u1")
    delivery = world.answer(StepMessage("u1:1:1", ref, "a", 1, None))
    assert await settled(delivery) == "ack"
    assert world.journal == ["read", "write 1", "write 2", "publish 2:1", "ack 1:1"]


async def test_an_answer_ahead_of_what_is_known_is_applied_after_a_read(world: World) -> None:
    step = await world.begun()
    other = world.new_engine()
    for raw in await world.jobs.list_jobs():
        other.observe(raw)
    await world.rest()
    world.answer(step)
    await world.rest()
    second = world.broker.queue[-1]
    world.engine = other  # its watch is behind: it knows of the first step only
    delivery = world.answer(second)
    assert await settled(delivery) == "ack"
    assert world.jobs.state() == "Done"


async def test_a_watch_event_older_than_our_own_write_is_ignored(world: World) -> None:
    old = world.submit()
    await until(lambda: world.jobs.state() == "InProgress.a" and world.quiet())
    world.journal.clear()
    world.engine.observe(old)
    await world.rest()
    assert world.journal == []
    cell = world.engine.mailboxes.find(("shop", "j"))
    assert cell is not None
    assert cell.job is not None
    assert cell.job.status is not None


async def test_a_step_without_an_answer_is_timed_out_by_the_clock_alone(world: World) -> None:
    world.workflows.put({"name": "a", "pool": "a-pool", "timeoutSeconds": 1, "retry": {"limit": 0}})
    await world.begun()
    cell = world.engine.mailboxes.find(("shop", "j"))
    assert cell is not None
    assert cell.timer is not None
    assert cell.timer.when() - asyncio.get_running_loop().time() <= 1
    world.clock.time = world.clock.time.replace(second=1)
    world.engine.look_at_namespace("shop")  # any turn will do
    await until(lambda: world.jobs.state() == "Failed")
    assert world.jobs.status()["error"]["code"] == "Timeout"


async def test_a_long_wait_is_taken_in_parts_of_an_hour_as_the_clock_may_be_put_right(world: World) -> None:
    world.workflows.put({"name": "w", "type": "Wait", "seconds": 24 * 3600}, "b")
    world.submit()
    await until(lambda: world.jobs.state() == "InProgress.w" and world.quiet())
    cell = world.engine.mailboxes.find(("shop", "j"))
    assert cell is not None
    assert cell.timer is not None
    assert 3590 < cell.timer.when() - asyncio.get_running_loop().time() <= 3600


async def test_a_job_is_suspended_and_resumed_by_its_watch(world: World) -> None:
    step = await world.begun()
    world.edit(suspend=True)
    await until(lambda: world.jobs.status()["phase"] == "Suspended")
    world.answer(step)
    await until(lambda: world.jobs.state() == "InProgress.b")
    assert len(world.broker.sent) == 1
    world.edit(suspend=False)
    await world.finish()
    assert world.jobs.state() == "Done"


async def test_a_job_waits_for_its_workflow_and_begins_when_it_comes(world: World) -> None:
    raw = world.workflows.workflows.pop(("shop", "order"))
    world.submit()
    await until(lambda: world.jobs.status().get("message"))
    world.workflows.workflows["shop", "order"] = raw
    world.engine.look_at_namespace("another")
    await world.rest()
    assert world.jobs.state() == "Begin"
    world.engine.look_at_namespace("shop")
    await world.finish()
    assert len(world.reporter.events) == 1


async def test_a_job_waits_for_its_pool_without_asking_again_and_again(world: World) -> None:
    world.pools.missing = {"b-pool"}
    step = await world.begun()
    world.answer(step)
    await until(lambda: world.jobs.state() == "InProgress.b" and world.quiet())
    asked = len(world.pools.asked)
    await asyncio.sleep(0.05)
    assert len(world.pools.asked) == asked
    world.pools.missing = set()
    world.engine.look_at_namespace("shop")
    await world.finish()


async def test_a_failed_attempt_without_a_connection_waits_for_it_quietly(world: World) -> None:
    step = await world.begun()
    world.jitter = 0.0
    world.broker.epoch, epoch = None, world.broker.epoch
    body = ResultMessage.of(step, Failed(StepError("Broken", "no"))).encode()
    delivery = FakeDelivery([], world.journal, step.id, body, "e1")
    world.engine.deliver(delivery)
    await until(lambda: world.jobs.status()["sequence"] == 2)
    await asyncio.sleep(0.03)
    turns = _turns()
    await asyncio.sleep(0.05)
    assert _turns() == turns, "nothing can be done, so nothing is tried"
    world.broker.epoch = epoch
    world.engine.connected("e1")
    await until(lambda: "publish 2:2" in world.journal)


def _turns() -> float:
    return REGISTRY.get_sample_value("mcp_turn_seconds_count") or 0.0


# -- many Jobs


async def test_turns_of_one_job_never_overlap_while_other_jobs_go_on(world: World) -> None:
    names = [f"j{i}" for i in range(20)]
    for i, name in enumerate(names):
        world.submit(name, f"u{i}")
    for _ in range(30):
        world.engine.connected("e1")
        world.work()
        await asyncio.sleep(0)
    for name in names:
        await world.finish(name)
    assert {world.jobs.state(name) for name in names} == {"Done"}
    assert world.jobs.overlaps == 0
    transitions = [(name, status["sequence"]) for name, status in world.jobs.written]
    assert len(transitions) == len(set(transitions)) == 60, "three writes each, none twice"


async def test_a_job_whose_store_is_slow_does_not_hold_up_the_others(world: World) -> None:
    slow = await world.begun("slow", "u1")
    fast = await world.begun("fast", "u2")
    world.jobs.faults.append(Fault(StoreUnavailable("503")))
    world.broker.gate.clear()
    world.answer(slow)
    await until(lambda: not world.jobs.faults)
    world.broker.gate.set()
    world.answer(fast)
    await until(lambda: world.jobs.state("fast") == "InProgress.b")
    await world.finish("slow")
    await world.finish("fast")


async def test_an_exception_in_one_jobs_turn_does_not_disturb_the_others_and_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    step = await world.begun("bad", "u1")
    good = await world.begun("good", "u2")
    world.jobs.faults.append(Fault(ZeroDivisionError("a fault of ours")))
    bad_delivery = world.answer(step)
    await until(lambda: not world.jobs.faults)
    good_delivery = world.answer(good)
    assert await settled(good_delivery) == "ack"
    assert await settled(bad_delivery) == "ack", "and its own is tried again"
    assert "a turn of job shop/bad failed" in caplog.text
    assert world.jobs.state("bad") == "InProgress.b"


async def test_no_more_turns_are_in_flight_than_allowed() -> None:
    world = World(concurrent_turns=3)
    world.jobs.gate.clear()
    for i in range(10):
        world.submit(f"j{i}", f"u{i}")
    await until(lambda: len(world.jobs.writing) == 3)
    await asyncio.sleep(0.01)
    assert len(world.jobs.writing) == 3
    world.jobs.gate.set()
    await until(lambda: all(world.jobs.state(f"j{i}") for i in range(10)))
    await world.close()


async def test_the_back_off_of_a_failing_turn_holds_no_slot() -> None:
    world = World(concurrent_turns=1)
    world.jobs.faults.append(Fault(StoreUnavailable("503")))
    world.submit("j1", "u1")
    await until(lambda: not world.jobs.faults)
    world.submit("j2", "u2")
    await until(lambda: world.jobs.state("j2") == "InProgress.a")
    await world.close()


# -- results that no turn gets through with


@pytest.fixture
def five_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MOST_TRIES", 5)


@pytest.mark.usefixtures("five_tries")
@pytest.mark.parametrize("error", [Rejected("no"), ZeroDivisionError("no")], ids=["refused", "fault"])
async def test_results_that_no_turn_gets_through_with_are_set_aside_so_that_others_may_come(
    world: World, error: Exception
) -> None:
    step = await world.begun("bad", "u1")
    before = _counted("set_aside")
    world.jobs.faults.extend(Fault(error) for _ in range(5))
    assert await settled(world.answer(step)) == "reject"
    assert not world.jobs.faults, "not before the last try"
    text = "after 5 tries 1 results lie in mcp.dead.results: no"
    assert ("bad", "ResultsSetAside", text) in world.reporter.events
    assert _counted("set_aside") == before + 1


@pytest.mark.usefixtures("five_tries")
@pytest.mark.parametrize("error", [Forbidden("no"), StoreUnavailable("no")], ids=["forbidden", "unavailable"])
async def test_results_are_kept_through_an_outage_and_while_we_may_not_write(world: World, error: Exception) -> None:
    step = await world.begun("held", "u1")
    world.jobs.faults.extend(Fault(error) for _ in range(10))
    assert await settled(world.answer(step)) == "ack"
    assert world.jobs.state("held") == "InProgress.b"


async def test_a_write_that_is_refused_for_good_is_told_of_once(world: World) -> None:
    step = await world.begun()
    world.jobs.faults.append(Fault(Rejected("422: no")))
    assert await settled(world.answer(step)) == "ack"
    assert world.reporter.events == [("j", "WriteRejected", "422: no")]
    world.jobs.faults.extend(Fault(Rejected("422: no")) for _ in range(3))
    assert await settled(world.answer(world.sent("b"))) == "ack"
    assert len(world.reporter.events) == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [(StoreUnavailable("503"), "StoreUnavailable"), (ZeroDivisionError("a fault of ours"), "fault")],
    ids=["outage", "fault"],
)
async def test_turns_that_fail_are_counted_by_what_stood_in_their_way(
    world: World, error: Exception, reason: str
) -> None:
    step = await world.begun()
    before = _failures(reason)
    world.jobs.faults.append(Fault(error))
    assert await settled(world.answer(step)) == "ack"
    assert _failures(reason) == before + 1


def test_a_turn_that_fails_is_tried_again_ever_more_rarely_and_not_in_step_with_others() -> None:
    waits = [engine._retry_seconds(failures, 1.0) for failures in (1, 2, 3, 7, 8, 5000)]
    assert waits == [0.1, 0.2, 0.4, 6.4, 10.0, 10.0]
    assert [engine._retry_seconds(3, jitter) for jitter in (0.0, 0.5)] == pytest.approx([0.2, 0.3])


def _failures(reason: str) -> float:
    return REGISTRY.get_sample_value("mcp_turn_failures_total", {"reason": reason}) or 0.0


def _counted(reason: str) -> float:
    return REGISTRY.get_sample_value("mcp_results_total", {"reason": reason}) or 0.0
