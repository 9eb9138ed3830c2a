"""What is known of the dead letters of a pool, how soon, and how often that is asked for."""

from __future__ import annotations

from prometheus_client import REGISTRY

from mastercontrol.engine.ports import BrokerUnavailable
from mastercontrol.memory.store import POOL
from mastercontrol.pools.deadletters.ports import VisitDead
from unit.deadletters.builders import pool
from unit.deadletters.world import World


def sample() -> float | None:
    return REGISTRY.get_sample_value("mcp_pool_dead_letters", {"namespace": "shop", "pool": "payments"})


async def test_a_pool_without_dead_letters_is_not_read(world: World) -> None:
    await world.after(1000)
    assert world.known() == (0, [])
    assert sample() == 0
    assert world.outside.visits == 0
    assert world.changes == [("shop", "payments")]


async def test_a_dead_letter_is_shown_within_a_second_of_its_copy_and_told_once(world: World) -> None:
    (one,) = await world.dies("a")
    await world.after(1)
    assert world.known() == (1, ["a"])
    assert sample() == 1
    await world.after(1000)
    why = "a worker refused the message as no step that it can read"
    assert world.records.warnings == [
        ("WorkerPool/payments", "DeadLetter", f"{one} (step charge of job a, attempt 1): {why}")
    ]
    assert world.outside.visits <= 2, "nothing has changed since"


async def test_a_letter_that_comes_seconds_after_its_copy_is_shown_all_the_same(world: World) -> None:
    await world.after(10)
    world.controller.died({"x-first-death-queue": "mcp.pool.shop.payments"})
    await world.after(3)
    assert world.known() == (0, [])
    world.broker._on_delivery = lambda delivery: delivery.ack()  # no copy comes with it
    await world.dies("a")
    await world.after(4)
    assert world.known() == (1, ["a"])


async def test_letters_that_come_one_after_the_other_are_read_every_few_seconds_only(world: World) -> None:
    for number in range(40):
        await world.dies(f"j{number}")
        await world.after(0.5)
    assert world.outside.visits <= 6  # in 20 seconds
    await world.after(6)
    assert world.known() == (40, [f"j{n}" for n in range(39, 19, -1)])


async def test_a_letter_in_a_full_queue_is_seen_though_the_count_stays(world: World) -> None:
    for number in range(1000):
        await world.dies(f"old-{number}", exists=False)
    await world.after(6)
    assert world.known() is not None
    await world.after(10)
    await world.dies("new")
    await world.after(6)
    known = world.known()
    assert known is not None
    assert (known[0], known[1][0]) == (1000, "new")


async def test_letters_that_somebody_purged_are_seen_to_be_gone(world: World) -> None:
    await world.dies("a", "b")
    await world.after(10)
    await world.broker.visit_dead("shop", "payments", lambda _: True)
    await world.after(61)
    assert world.known() == (0, [])


async def test_what_the_status_shows_already_is_not_told_again_by_the_next_leader(world: World) -> None:
    await world.dies("a")
    await world.after(10)
    known = world.controller.known("shop", "payments")
    assert known is not None
    status = {"deadLetters": known.count, "newestDeadLetters": list(known.newest or ())}
    await world.store.merge_status(POOL, "shop", "payments", status)
    await world.stop()
    assert sample() is None, "the next leader shows it"
    await world.dies("b")
    await world.leads()
    await world.after(10)
    assert [text.split()[5] for _, _, text in world.records.warnings] == ["a,", "b,"]
    assert "more" not in world.records.warnings[1][2]
    assert sample() == 2


async def test_without_a_connection_nothing_is_known(world: World) -> None:
    await world.dies("a")
    await world.after(10)
    world.broker.stop()
    await world.after(61)
    assert world.known() is None
    assert sample() is None
    world.broker.resume()
    await world.after(1)
    assert world.known() == (1, ["a"])


async def test_letters_that_cannot_be_read_are_counted_all_the_same(world: World) -> None:
    visit = world.outside.visit_dead

    async def fail(_namespace: str, _pool: str, _visit: VisitDead) -> None:
        world.outside.visits += 1
        raise BrokerUnavailable("its policy is not in force yet")

    world.outside.visit_dead = fail  # type: ignore[method-assign,assignment]
    await world.dies("a")
    await world.after(60)
    found = world.controller.known("shop", "payments")
    assert found is not None
    assert (found.count, found.newest) == (1, ())
    assert 3 <= world.outside.visits <= 10, "it backs off"
    world.outside.visit_dead = visit  # type: ignore[method-assign]
    await world.after(31)
    assert world.known() == (1, ["a"])


async def test_a_pool_that_is_deleted_is_forgotten(world: World) -> None:
    raw = await world.pool()
    world.controller.on_pool(raw, deleted=True)
    await world.settle()
    assert world.known() is None
    assert sample() is None
    await world.dies("a")
    await world.after(10)
    assert world.outside.visits == 0


async def test_a_pool_whose_end_no_watch_showed_is_forgotten_and_one_that_is_newer_stays(world: World) -> None:
    uid = (await world.pool())["metadata"]["uid"]
    world.controller.retain([], {("shop", "payments"): "another"})
    assert world.known() == (0, [])
    world.controller.retain([("shop", "payments")], {("shop", "payments"): uid})
    assert world.known() == (0, [])
    world.controller.retain([], {("shop", "payments"): uid})
    assert world.known() is None


async def test_a_pool_without_its_queue_is_unknown_until_it_is_there(world: World) -> None:
    new = pool("later")
    new["metadata"]["uid"] = "u-later"
    world.controller.on_pool(new)
    await world.after(20)
    assert world.controller.known("shop", "later") is None
    await world.broker.declare_pool("shop", "later", 1)
    await world.after(31)
    found = world.controller.known("shop", "later")
    assert found is not None
    assert found.count == 0
