"""Stories of a limit that an engine with the right order survives; `test_limits_mutants` breaks the engine for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from mastercontrol.engine.ports import StoreUnavailable
from unit.engine.fakes import Fault
from unit.engine.limited import CUSTOMER, Shop
from unit.engine.world import until

LimitStory = Callable[[], Awaitable[Shop]]


async def jobs_come_at_once() -> Shop:
    shop = Shop(limit=2)
    for _ in range(12):
        shop.order()
    await until(lambda: len(shop.jobs.all_running()) >= 2 and shop.quiet())
    shop.check()
    await all_end(shop)
    return shop


async def the_operator_dies_with_a_job_at_work() -> Shop:
    """Only the Jobs say who holds the place, and the watch shows the one that waits before the one that runs."""
    shop = Shop(limit=1)
    first = shop.order()
    await shop.runs(first)
    second = shop.order()
    await shop.rest()
    await shop.engine.close(0)
    shop.engine = shop.new_engine()
    shop.engine.observe(shop.jobs.objects["shop", second])
    await shop.rest()
    await shop.runs(first)
    for raw in await shop.jobs.list_jobs():
        shop.engine.observe(raw)
    await all_end(shop)
    return shop


async def the_operator_dies_before_the_write_that_begins_a_job() -> Shop:
    """What was not written is as if it had never been: the other one may begin, and nothing of the first is out."""
    shop = Shop(limit=1)
    shop.jobs.gate.clear()
    first = shop.order(priority=0)
    await until(lambda: shop.jobs.writing)
    await shop.engine.close(0)
    shop.jobs.gate.set()
    second = shop.order(priority=9, seen=False)
    await shop.crash()
    await shop.runs(second)
    await until(lambda: shop.broker.sent)
    assert [m.job.name for _, m in shop.broker.sent] == [second], "no step of the other is out"
    await shop.ends(second)
    await shop.runs(first)
    await all_end(shop)
    return shop


async def the_operator_dies_after_the_write_that_begins_a_job() -> Shop:
    shop = Shop(limit=1)
    shop.broker.gate.clear()
    first = shop.order()
    await until(lambda: first in shop.jobs.all_running())
    await shop.engine.close(0)
    shop.broker.gate.set()
    second = shop.order(priority=9, seen=False)
    await shop.crash()
    await shop.runs(first)
    await until(lambda: [m.job.name for _, m in shop.broker.sent] == [first])
    await shop.ends(first)
    await shop.runs(second)
    await all_end(shop)
    return shop


async def the_write_that_begins_a_job_is_answered_by_a_time_out_and_lands_much_later() -> Shop:
    """Meanwhile the user suspends it, so another one begins; then the late write arrives."""
    shop = Shop(limit=1)
    shop.jobs.delays = 1
    first, second = shop.order(), shop.order()
    await until(lambda: shop.jobs.late)
    shop.edit(first, suspend=True)
    await shop.runs(second)
    shop.jobs.land()
    shop.check()
    await all_end(shop, resumed=first)
    return shop


async def the_write_that_begins_a_job_gets_no_answer() -> Shop:
    """Nobody else may begin until it is known what became of it."""
    shop = Shop(limit=1)
    shop.jobs.faults.append(Fault(StoreUnavailable("503"), written=True))
    shop.jobs.read_faults.extend([StoreUnavailable("503")] * 5)
    first = shop.order()
    shop.order()
    await until(lambda: not shop.jobs.read_faults)
    await shop.runs(first)
    await all_end(shop)
    return shop


async def a_holder_ends_and_an_old_event_of_it_comes_late() -> Shop:
    shop = Shop(limit=1, key=CUSTOMER)
    first = shop.order()
    await shop.runs(first)
    old = dict(shop.jobs.objects["shop", first])
    second = shop.order()
    await shop.ends(first)
    shop.engine.observe(old)
    await shop.runs(second)
    await all_end(shop)
    return shop


async def all_end(shop: Shop, resumed: str | None = None) -> None:
    """Workers work until every job has ended."""
    if resumed is not None:
        shop.edit(resumed, suspend=False)

    def ended() -> bool:
        shop.work()
        return all("completionTime" in shop.jobs.status(name) for _, name in shop.jobs.objects) and shop.quiet()

    await until(ended, f"some never end: {shop.seen()}")
    await asyncio.sleep(0)
    shop.check()


STORIES: tuple[LimitStory, ...] = (
    jobs_come_at_once,
    the_operator_dies_with_a_job_at_work,
    the_operator_dies_before_the_write_that_begins_a_job,
    the_operator_dies_after_the_write_that_begins_a_job,
    the_write_that_begins_a_job_is_answered_by_a_time_out_and_lands_much_later,
    the_write_that_begins_a_job_gets_no_answer,
    a_holder_ends_and_an_old_event_of_it_comes_late,
)
