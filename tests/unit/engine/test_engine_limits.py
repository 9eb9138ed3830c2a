"""A Workflow's limit on jobs at once, seen as a user sees it: who runs, who waits and for whom, who is ended."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mastercontrol import metrics
from mastercontrol.engine import engine as engine_module
from mastercontrol.engine.engine import Engine
from mastercontrol.engine.ports import RawObject, Rejected, StoreUnavailable
from mastercontrol_worker.contract import StepError
from unit.engine.fakes import Fault
from unit.engine.limited import CUSTOMER, Shop
from unit.engine.world import until


@pytest.fixture
async def shops(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Shop]]:
    monkeypatch.setattr(engine_module, "FIRST_RETRY_SECONDS", 0.002)
    monkeypatch.setattr(engine_module, "LAST_RETRY_SECONDS", 0.02)
    opened: list[Shop] = []
    yield opened
    for shop in opened:
        await shop.close()
        shop.check()


def opened(shops: list[Shop], **concurrency: Any) -> Shop:
    shops.append(Shop(**concurrency))
    return shops[-1]


# -- Queue


async def test_one_job_of_a_customer_runs_at_a_time_and_the_others_name_it(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1, key=CUSTOMER)
    first = shop.order()
    await shop.runs(first)
    second, other = shop.order(), shop.order(customer="blue")
    await shop.runs(first, other)
    assert shop.message(second) == f'waits for a place: key "acme" is held by {first} (limit 1)'
    assert shop.waits_for(second) == "ConcurrencyLimit"
    assert shop.jobs.status(second)["phase"] == "Pending"
    await shop.ends(first)
    await shop.runs(second, other)
    assert shop.waits_for(second) is None


async def test_a_job_under_a_limit_costs_one_write_more(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    name = shop.order()
    await shop.ends(name)
    assert [n for n, _ in shop.jobs.written] == [name] * (2 + 1 + 1), "a chain of two: its place, sent, and each result"


async def test_a_job_that_waits_is_written_once_however_many_come_and_go(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    names = [shop.order() for _ in range(20)]
    for name in names[:-1]:
        await shop.ends(name)
    await shop.runs(names[-1])
    written = [n for n, status in shop.jobs.written if n == names[-1] and status["sequence"] == 0]
    assert len(written) == 1


@pytest.mark.parametrize("how", ["cancelled", "deleted", "deleting", "failed"])
async def test_whatever_ends_the_holder_the_next_begins(shops: list[Shop], how: str) -> None:
    shop = opened(shops, limit=1)
    first = shop.order()
    await shop.runs(first)
    second = shop.order()
    await shop.rest()
    match how:
        case "cancelled":
            shop.edit(first, cancel=True)
        case "deleted":
            shop.remove(first)
        case "deleting":
            raw = shop.jobs.objects["shop", first]
            raw["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
            shop.engine.observe(shop.jobs._store(raw))
        case _:
            shop.edit(first, activeDeadlineSeconds=1)
            shop.clock.time += dt.timedelta(seconds=60)
            shop.engine.look_at_namespace("shop")
    await shop.runs(second)


async def test_a_late_answer_to_a_job_that_ended_takes_no_place(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    first = shop.order()
    await until(lambda: shop.broker.queue)
    step = shop.sent("a")
    await shop.ends(first)
    late = shop.answer(step)
    await until(lambda: late.settled)
    second = shop.order()
    await shop.runs(second)


async def test_a_failed_job_is_not_retried_while_another_one_has_its_place(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    first = shop.order()
    await until(lambda: shop.broker.queue)
    shop.answer(shop.sent("a"), error=StepError("Broken", "no", retryable=False))
    await until(lambda: shop.jobs.state(first) == "Failed")
    second = shop.order()
    await shop.runs(second)
    shop.edit(first, operations=[{"type": "Retry", "reason": "ann"}])
    await until(lambda: shop.jobs.status(first).get("operationsTaken") == 1 and shop.quiet())
    assert shop.jobs.all_running() == [second]
    _, reason, text = shop.reporter.events[-1]
    assert reason == "OperationRefused"
    assert text.endswith("ask again when one has ended")


async def test_a_waiting_job_that_is_deleted_or_cancelled_or_suspended_is_passed_over(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    running, deleted, cancelled, suspended, last = (shop.order() for _ in range(5))
    await shop.runs(running)
    await shop.rest()
    shop.remove(deleted)
    shop.edit(cancelled, cancel=True)
    shop.edit(suspended, suspend=True)
    await shop.ends(running)
    await shop.runs(last)
    shop.edit(suspended, suspend=False)
    await shop.ends(last)
    await shop.runs(suspended)


async def test_the_higher_priority_begins_first_also_where_it_was_raised_while_waiting(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    running = shop.order()
    await shop.runs(running)
    low, high, raised = shop.order(), shop.order(priority=5), shop.order()
    await shop.rest()
    shop.edit(raised, priority=9)
    order = [running]
    for _ in range(3):
        await shop.ends(order[-1])
        await until(lambda: len(shop.jobs.all_running()) == 1 and shop.quiet())
        order += shop.jobs.all_running()
    assert order == [running, raised, high, low]


async def test_after_a_restart_the_highest_priority_begins_first_whatever_the_order_of_the_list(
    shops: list[Shop],
) -> None:
    shop = opened(shops, limit=1)
    running = shop.order()
    await shop.runs(running)
    low, high = shop.order(), shop.order(priority=9)
    await shop.rest()
    await shop.engine.close(0)
    shop.remove(running)
    await shop.crash()
    await shop.runs(high)
    assert low not in shop.jobs.begun


async def test_a_waiting_job_whose_pool_is_missing_does_not_stand_in_the_way(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    shop.pools.missing.add("a-pool")
    first = shop.order(priority=9)
    await until(lambda: shop.waits_for(first) == "UnknownPool")
    second = shop.order()
    await shop.rest()
    shop.pools.missing.clear()
    shop.engine.look_at_namespace("shop")
    await until(lambda: shop.jobs.all_running() == [first] and shop.waits_for(second) == "ConcurrencyLimit")


async def test_a_write_that_the_store_will_never_take_does_not_keep_the_others_waiting(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    shop.jobs.gate.clear()
    first = shop.order(priority=9)
    await until(lambda: shop.jobs.writing)
    second = shop.order()
    shop.jobs.faults.append(Fault(Rejected("422: it is invalid"), meanwhile=lambda: shop.edit(first, suspend=True)))
    shop.jobs.gate.set()
    await shop.runs(second)


async def test_a_write_that_landed_before_a_fault_of_ours_keeps_its_place(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    shop.jobs.gate.clear()
    first = shop.order()
    await until(lambda: shop.jobs.writing)
    shop.order()
    await until(lambda: len(shop.jobs.writing) == 2)  # it is about to be said that the second waits
    shop.jobs.faults.append(Fault(ZeroDivisionError("a fault of ours"), written=True))
    shop.jobs.gate.set()
    await shop.runs(first)


async def test_a_job_that_vanished_unseen_holds_its_place_until_the_sweep(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    first = shop.order()
    await shop.runs(first)
    second = shop.order()
    await shop.rest()
    del shop.jobs.objects["shop", first]
    await shop.sweep()
    await shop.runs(second)


async def test_a_job_that_goes_while_the_list_is_under_way_holds_no_place(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    first = shop.order()
    await shop.runs(first)
    await until(lambda: "dispatchedAt" in shop.jobs.status(first)["active"][0])  # else its next turn would find out
    await shop.rest()
    second = shop.order(seen=False)
    await shop.engine.close(0)
    shop.engine = shop.new_engine()
    real = shop.jobs.list_jobs

    async def list_jobs(namespace: str | None = None) -> Any:
        found = await real(namespace)
        shop.remove(first)  # the watch is faster than the list
        return found

    shop.jobs.list_jobs = list_jobs  # type: ignore[method-assign]
    shop.engine.observe(shop.jobs.objects["shop", second])
    await shop.runs(second)


async def test_a_list_that_fails_is_said_and_tried_again(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    shop.jobs.list_faults.extend([StoreUnavailable("503"), StoreUnavailable("503")])
    name = shop.order()
    await until(lambda: (shop.message(name) or "").endswith("could not list the jobs that may hold one: 503"))
    await shop.runs(name)
    assert shop.jobs.listings == 1, "the one that succeeded"


async def test_a_list_that_fails_is_tried_again_ever_more_rarely(
    shops: list[Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "FIRST_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(engine_module, "LAST_RETRY_SECONDS", 0.5)
    slept, sleep = [], asyncio.sleep

    async def recorded(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", recorded)
    shop = opened(shops, limit=1)
    shop.jobs.list_faults.extend([StoreUnavailable("503")] * 5)
    await shop.runs(shop.order())
    assert [seconds for seconds in slept if seconds >= 0.1] == [0.1, 0.2, 0.4, 0.5, 0.5]


async def test_the_engine_ends_while_its_list_is_tried_again(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    shop.jobs.list_faults.extend([StoreUnavailable("503")] * 10_000)
    shop.order()
    await until(lambda: len(shop.jobs.list_faults) < 10_000)
    await asyncio.wait_for(shop.engine.close(), 3)


async def test_the_engine_does_not_end_before_its_list_has(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    asked: list[str | None] = []
    listing, ended = asyncio.Event(), asyncio.Event()

    async def list_jobs(namespace: str | None = None) -> list[RawObject]:
        asked.append(namespace)
        listing.set()
        try:
            return await asyncio.Future()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)  # it hangs up, as a client does
            ended.set()

    shop.jobs.list_jobs = list_jobs  # type: ignore[method-assign]
    shop.order()
    await listing.wait()
    await shop.rest()
    await shop.engine.close()
    assert ended.is_set()
    assert asked == ["shop"]


async def test_an_engine_that_may_not_lead_begins_no_job_under_a_limit(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    shop.engine = Engine(shop.engine.outside, concurrent_turns=8, leads=lambda: False)
    shop.engines.append(shop.engine)
    shop.order()
    await until(lambda: shop.jobs.listings == 1)
    await shop.rest()
    assert shop.jobs.begun == []


async def test_a_workflow_without_a_limit_lists_nothing(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    shop.limit()
    name = shop.order()
    await shop.ends(name)
    assert shop.jobs.listings == 0
    assert len(shop.jobs.written) == 3, "and costs what it did"


async def test_a_job_whose_key_cannot_be_told_fails_and_others_run(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1, key=CUSTOMER)
    bad = shop.order(customer=["a", "list"])
    await until(lambda: shop.jobs.status(bad).get("phase") == "Failed")
    error = shop.jobs.status(bad)["error"]
    assert error["code"] == "States.QueryEvaluationError"
    assert error["message"] == "spec.concurrency.key: the key must be a text, a number or a bool, not a list"
    good = shop.order()
    await shop.runs(good)


# -- a Workflow that is edited


async def test_a_raised_limit_lets_more_begin_and_a_lowered_one_ends_nobody(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    names = [shop.order() for _ in range(5)]
    await shop.runs(names[0])
    shop.limit(limit=3)
    await shop.runs(*names[:3])
    shop.limit(limit=1)
    await shop.rest()
    await shop.ends(names[0])
    await shop.runs(*names[1:3])
    await shop.ends(names[1])
    await shop.runs(names[2])
    await shop.ends(names[2])
    await shop.runs(names[3])


async def test_a_limit_that_is_taken_away_lets_all_begin(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    names = [shop.order() for _ in range(5)]
    await shop.runs(names[0])
    shop.limit()
    await shop.runs(*names)


async def test_a_limit_that_is_added_counts_those_that_run_already(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    shop.limit()
    first, second = shop.order(), shop.order()
    await shop.runs(first, second)
    shop.limit(limit=2)
    third = shop.order()
    await until(lambda: shop.message(third) == f"waits for a place: held by {first}, {second} (limit 2)")
    await shop.runs(first, second)


# -- Reject


async def test_one_too_many_fails_at_once_and_never_begins(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1, policy="Reject", key=CUSTOMER)
    first = shop.order()
    await shop.runs(first)
    second = shop.order()
    await until(lambda: shop.jobs.status(second).get("phase") == "Failed")
    status = shop.jobs.status(second)
    assert status["error"] == {
        "code": "ConcurrencyLimit",
        "message": f'there is no place: key "acme" is held by {first} (limit 1)',
    }
    assert "startTime" not in status
    assert [n for n, _ in shop.jobs.written].count(second) == 1


async def test_of_many_that_come_at_once_as_many_run_as_there_are_places(shops: list[Shop]) -> None:
    shop = opened(shops, limit=3, policy="Reject")
    names = [shop.order() for _ in range(30)]
    await until(lambda: shop.quiet() and sum("completionTime" in shop.jobs.status(n) for n in names) == 27)
    assert len(shop.jobs.all_running()) == 3
    rejected = [n for n, status in shop.jobs.written if status["state"] == "Failed"]
    assert all([n for n, _ in shop.jobs.written].count(name) == 1 for name in rejected), "one write each"


# -- Replace


async def test_a_new_job_takes_the_place_of_the_old_one(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1, policy="Replace", key=CUSTOMER)
    old = shop.order()
    await shop.runs(old)
    other, new = shop.order(customer="blue"), shop.order()
    await shop.runs(other, new)
    status = shop.jobs.status(old)
    assert (status["phase"], status["error"]["code"]) == ("Cancelled", "Replaced")
    assert status["message"] == f'{new} takes its place for key "acme" (limit 1)'
    assert ("Replaced", status["message"]) in [(reason, text) for _, reason, text in shop.reporter.events]


async def test_of_many_that_come_at_once_the_newest_runs_in_the_end(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1, policy="Replace")
    names = [shop.order() for _ in range(20)]
    await shop.runs(names[-1])
    assert {shop.jobs.status(n)["phase"] for n in names[:-1]} == {"Cancelled"}
    await shop.ends(names[-1])
    assert shop.jobs.status(names[-1])["phase"] == "Succeeded"


@pytest.mark.parametrize("written", [True, False])
async def test_the_operator_dies_while_the_old_job_is_being_replaced(shops: list[Shop], written: bool) -> None:  # noqa: FBT001  # a parameter of the test
    shop = opened(shops, limit=1, policy="Replace")
    old = shop.order()
    await shop.runs(old)
    original, dead = shop.jobs._patch, asyncio.Event()

    def patch(namespace: str, name: str, patch: Any) -> Any:
        if name == old and not dead.is_set():
            dead.set()
            if written:
                original(namespace, name, patch)
            raise StoreUnavailable("the operator dies here")
        return original(namespace, name, patch)

    shop.jobs._patch = patch  # type: ignore[method-assign]
    mid, new = shop.order(), shop.order()
    await dead.wait()
    await shop.crash()
    await shop.runs(new)
    assert {n: shop.jobs.status(n)["phase"] for n in (old, mid)} == {old: "Cancelled", mid: "Cancelled"}


async def test_an_old_job_ends_well_if_it_is_done_before_it_is_replaced(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1, policy="Replace")
    old = shop.order()
    await shop.runs(old)
    await shop.ends(old)
    new = shop.order()
    await shop.runs(new)
    assert shop.jobs.status(old)["phase"] == "Succeeded"


# -- many


async def test_two_thousand_waiting_jobs_have_their_turn_one_after_the_other(shops: list[Shop]) -> None:
    shop = opened(shops, limit=20)
    names = [shop.order() for _ in range(2000)]
    await until(lambda: shop.quiet() and len(shop.jobs.written) >= 2000, seconds=60)
    held = metrics.JOBS_HELD.labels("shop", "order")._value.get()
    assert held == 1980
    before = len(shop.jobs.written)
    for name in names[:20]:
        shop.edit(name, cancel=True)
    await until(lambda: shop.quiet() and len(shop.jobs.all_running()) == 20 and len(shop.jobs.begun) == 40)
    await until(lambda: len(shop.jobs.written) == before + 20 + 2 * 20, f"{len(shop.jobs.written) - before} writes")
    await shop.rest()
    assert sorted(shop.jobs.begun[20:]) == names[20:40], "in their order, and nobody else was touched"
    assert len(shop.jobs.written) == before + 20 + 2 * 20


async def test_a_restart_with_two_thousand_waiting_jobs_writes_few_of_them(shops: list[Shop]) -> None:
    shop = opened(shops, limit=1)
    running = shop.order()
    await shop.runs(running)
    for _ in range(2000):
        shop.order()
    await until(lambda: shop.quiet() and len(shop.jobs.written) >= 2002, seconds=60)
    await shop.ends(running)
    await until(lambda: len(shop.jobs.begun) == 2 and shop.quiet())
    before = len(shop.jobs.written)
    await shop.crash()
    await until(lambda: shop.quiet() and shop.jobs.listings >= 2, seconds=60)
    await shop.rest()
    assert len(shop.jobs.written) - before <= 110, "only the first hundred are told anew whom they wait for"
    shop.check()
