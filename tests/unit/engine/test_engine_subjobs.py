"""Parents and children on one engine, on two, and across the deaths of both."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable

import pytest

from mastercontrol.api.job import parse_job
from mastercontrol.engine.engine import Engine
from mastercontrol.engine.ports import Forbidden, JsonPatch, RawObject, Refused, Rejected, StoreUnavailable
from mastercontrol_worker.contract import ResultMessage, StepError, StepMessage, Succeeded
from unit.engine.builders import catching, each, parallel, seconds, state, step
from unit.engine.fakes import Fault, Journal
from unit.engine.world import World, until

BILL = state("SubJob", "bill", workflow="billing")


@pytest.fixture
def shop(world: World) -> World:
    """`order` is a job of `billing`, which is the step `charge`."""
    world.workflows.put(BILL)
    world.workflows.put("charge", name="billing")
    return world


def children(world: World) -> list[RawObject]:
    return [raw for raw in world.jobs.objects.values() if raw["metadata"].get("ownerReferences")]


def name_of(world: World) -> str:
    """The name of the only child."""
    (child,) = children(world)
    return str(child["metadata"]["name"])


def created(world: World) -> list[str]:
    return [line for line in world.journal if line.startswith("create ")]


async def waiting(world: World) -> str:
    """A job whose child is at its step; the name of the child."""
    world.submit()
    await until(lambda: world.broker.queue and world.quiet(), "the child never began")
    return name_of(world)


# -- in the usual course


async def test_a_child_runs_and_its_output_is_that_of_its_state(shop: World) -> None:
    shop.submit()
    await shop.finish()
    assert shop.jobs.status()["output"] == "output of charge"
    assert shop.jobs.state(name_of(shop)) == "Done"
    assert created(shop) == ["create 1:1"]


async def test_as_long_as_nothing_happens_nothing_is_read(shop: World) -> None:
    shop.submit()
    await shop.finish()
    assert "read" not in shop.journal


async def test_a_parent_costs_three_writes_and_a_creation(shop: World) -> None:
    shop.submit()
    await shop.finish()
    assert [status["sequence"] for name, status in shop.jobs.written if name == "j"] == [1, 1, 2]


async def test_a_parent_says_which_child_it_waits_for(shop: World) -> None:
    name = await waiting(shop)
    assert shop.jobs.status()["message"].startswith(f"bill waits for Job {name}")


async def test_the_failure_of_a_child_comes_up(shop: World) -> None:
    name = await waiting(shop)
    shop.answer(shop.sent("charge"), error=StepError("CardDeclined", "no money", retryable=False))
    await until(lambda: shop.jobs.state() == "Failed")
    error = {"code": "CardDeclined", "message": f"Job {name} failed: no money", "state": "bill"}
    assert shop.jobs.status()["error"] == error


async def test_a_child_that_is_cancelled_by_hand_fails_its_state(shop: World) -> None:
    name = await waiting(shop)
    shop.edit(name, cancel=True)
    await until(lambda: shop.jobs.state() == "Failed")
    assert shop.jobs.status()["error"]["code"] == "Cancelled"


async def test_each_item_of_a_map_has_a_child(shop: World) -> None:
    shop.workflows.put(each("m", list(range(40)), BILL, maxConcurrency=25))
    shop.submit()
    await shop.finish()
    assert shop.jobs.status()["output"] == ["output of charge"] * 40
    assert len(created(shop)) == 40


async def test_children_have_children_of_their_own(shop: World) -> None:
    shop.workflows.put(state("SubJob", "book", workflow="booking"))
    shop.workflows.put(state("SubJob", "bill", workflow="billing"), name="booking")
    shop.submit()
    await shop.finish()
    assert shop.jobs.status()["output"] == "output of charge"
    assert sorted(c["metadata"]["annotations"]["mastercontrol.dev/depth"] for c in children(shop)) == ["1", "2"]


async def test_a_workflow_that_starts_itself_comes_to_an_end(shop: World) -> None:
    shop.workflows.put(state("SubJob", "again", workflow="order"))
    shop.submit()
    await until(lambda: shop.jobs.state() == "Failed" and shop.quiet())
    assert shop.jobs.status()["error"]["code"] == "SubJobTooDeep"
    assert len(shop.jobs.objects) == 11


async def test_a_child_of_a_workflow_that_is_not_there_waits_for_it(shop: World) -> None:
    workflow = shop.workflows.workflows.pop(("shop", "billing"))
    shop.submit()
    await until(lambda: children(shop) and shop.jobs.status(name_of(shop)).get("message") and shop.quiet())
    assert "there is no Workflow 'billing'" in shop.jobs.status(name_of(shop))["message"]
    shop.workflows.workflows["shop", "billing"] = workflow
    shop.engine.look_at_namespace("shop")
    await shop.finish()
    assert shop.jobs.state() == "Done"


# -- cancel goes down


async def test_a_cancelled_job_takes_its_child_with_it(shop: World) -> None:
    name = await waiting(shop)
    shop.edit(cancel=True)
    await until(lambda: shop.jobs.state(name) == "Cancelled")
    assert shop.jobs.state() == "Cancelled"
    assert shop.jobs.status(name)["message"] == "the Job j that it belongs to has ended: Cancelled"


async def test_cancel_goes_down_all_the_way(shop: World) -> None:
    shop.workflows.put(state("SubJob", "book", workflow="booking"))
    shop.workflows.put(state("SubJob", "bill", workflow="billing"), name="booking")
    shop.submit()
    await until(lambda: shop.broker.queue and shop.quiet())
    shop.edit(cancel=True)
    await until(lambda: all(raw["status"]["state"] == "Cancelled" for raw in shop.jobs.objects.values()))
    assert len(shop.jobs.objects) == 3


async def test_a_child_that_takes_too_long_is_cancelled(shop: World) -> None:
    shop.workflows.put({**BILL, "timeoutSeconds": 60, "catch": catching("late"), "end": True}, state("Pass", "late"))
    name = await waiting(shop)
    shop.clock.time += seconds(61)
    shop.engine.look_at_namespace("shop")
    await until(lambda: shop.jobs.state(name) == "Cancelled")
    assert shop.jobs.state() == "Done"
    assert shop.jobs.status()["output"]["code"] == "Timeout"


async def test_a_branch_that_fails_cancels_the_child_of_the_one_beside_it(shop: World) -> None:
    shop.workflows.put("refuse", name="checking")
    check = state("SubJob", "check", workflow="checking")
    shop.workflows.put(parallel("fan", [BILL], [check], catch=catching("other"), end=True), step("other"))
    shop.submit()
    await until(lambda: {"charge", "refuse"} <= shop.steps_sent and shop.quiet())
    shop.answer(shop.sent("refuse"), error=StepError("Refused", "no", retryable=False))
    await shop.rest()
    phases = {c["spec"]["workflow"]: c["status"]["phase"] for c in children(shop)}
    assert phases == {"billing": "Cancelled", "checking": "Failed"}
    billing = next(c for c in children(shop) if c["spec"]["workflow"] == "billing")
    assert billing["status"]["message"] == "the Job j that it belongs to no longer waits for it"
    await shop.finish()
    assert shop.jobs.state() == "Done"


async def test_a_job_whose_parent_was_deleted_cancels_itself(shop: World) -> None:
    name = await waiting(shop)
    shop.remove()
    await until(lambda: shop.jobs.state(name) == "Cancelled")
    assert shop.jobs.status(name)["message"] == "the Job j that it belongs to is gone"


async def test_a_job_that_was_made_nobody_s_before_its_parent_was_deleted_goes_on(shop: World) -> None:
    """As `kubectl delete --cascade=orphan` does it; the watch has shown us the end of it only."""
    name = await waiting(shop)
    del shop.jobs.objects["shop", name]["metadata"]["ownerReferences"]
    shop.jobs.edit(name)
    shop.remove()
    await shop.rest()
    await shop.finish(name)
    assert shop.jobs.state(name) == "Done"


async def test_another_job_of_the_parent_s_name_is_not_the_parent(shop: World) -> None:
    name = await waiting(shop)
    shop.remove()
    shop.submit(uid="u2")
    await until(lambda: shop.jobs.state(name) == "Cancelled")
    await shop.finish()
    assert shop.jobs.state() == "Done"
    assert len(created(shop)) == 2


# -- a child that is not there


async def test_a_child_that_is_deleted_fails_its_state(shop: World) -> None:
    name = await waiting(shop)
    shop.remove(name)
    await until(lambda: shop.jobs.state() == "Failed")
    assert shop.jobs.status()["error"]["code"] == "SubJobDeleted"
    assert created(shop) == ["create 1:1"]


async def test_a_child_that_was_deleted_while_nobody_looked_fails_its_state(shop: World) -> None:
    name = await waiting(shop)
    del shop.jobs.objects["shop", name]
    await shop.crash()
    await until(lambda: shop.jobs.state() == "Failed")
    assert shop.jobs.status()["error"]["code"] == "SubJobDeleted"


async def test_a_child_that_the_sweep_finds_missing_fails_its_state(shop: World) -> None:
    name = await waiting(shop)
    uid = shop.jobs.objects.pop(("shop", name))["metadata"]["uid"]
    shop.engine.gone({"metadata": {"namespace": "shop", "name": name, "uid": uid}})
    await until(lambda: shop.jobs.state() == "Failed")
    assert shop.jobs.status()["error"]["code"] == "SubJobDeleted"


async def test_a_name_that_is_somebody_else_s_is_an_error_and_that_job_is_left_alone(shop: World) -> None:
    first = await waiting(shop)
    await shop.engine.close(0)
    shop.jobs.objects.clear()
    foreign = shop.jobs.put(first, "u9", workflow="billing")
    shop.jobs.put("j", "u1")
    shop.broker.queue.clear()
    await shop.crash()
    await until(lambda: shop.jobs.state() == "Failed" and shop.quiet())
    assert shop.jobs.status()["error"]["code"] == "SubJobConflict"
    assert shop.jobs.objects["shop", first]["spec"] == foreign["spec"]
    await shop.finish(first)
    assert shop.jobs.state(first) == "Done"


async def test_a_child_that_the_store_never_takes_fails_its_state(shop: World) -> None:
    shop.jobs.create_faults.append(Fault(Rejected("422: a policy says no")))
    shop.submit()
    await until(lambda: shop.jobs.state() == "Failed")
    error = shop.jobs.status()["error"]
    assert error["code"] == "SubJobRejected"
    assert "a policy says no" in error["message"]


async def test_a_child_that_we_may_not_create_is_created_when_we_may(shop: World) -> None:
    shop.jobs.create_faults.extend([Fault(Forbidden("403: the quota is used up"))] * 3)
    shop.submit()
    await shop.finish()
    assert shop.jobs.state() == "Done"
    assert ("j", "WriteRejected", "403: the quota is used up") in shop.reporter.events


async def test_one_child_that_cannot_be_does_not_hold_up_the_others(shop: World) -> None:
    shop.jobs.create_faults.extend([None, Fault(Rejected("no"))])
    shop.workflows.put(each("m", [1, 2, 3], BILL, toleratedFailureCount=1))
    shop.submit()
    await shop.finish()
    output = shop.jobs.status()["output"]
    assert [o if isinstance(o, str) else o["error"]["code"] for o in output].count("output of charge") == 2
    assert len(created(shop)) == 2
    assert "exists" not in shop.journal, "those that are there are not created again"


async def test_what_was_created_is_known_when_the_write_behind_it_is_refused(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_status, refused = shop.jobs.patch_status, list[JsonPatch]()

    async def once_refused(namespace: str, name: str, patch: JsonPatch) -> RawObject:
        if name == "j" and created(shop) and not refused:
            refused.append(patch)
            raise Refused("409")
        return await patch_status(namespace, name, patch)

    monkeypatch.setattr(shop.jobs, "patch_status", once_refused)
    shop.jobs.create_faults.extend([None, Fault(Rejected("no"))])
    shop.workflows.put(each("m", [1, 2, 3], BILL, toleratedFailureCount=1))
    shop.submit()
    await shop.finish()
    assert refused
    assert len(created(shop)) == 2, "the one that was rejected is not tried again"
    assert "exists" not in shop.journal


# -- what goes wrong on the way


@pytest.mark.parametrize("written", [True, False])
async def test_a_creation_without_an_answer_is_one_child(shop: World, *, written: bool) -> None:
    shop.jobs.create_faults.append(Fault(StoreUnavailable("no answer"), written=written))
    shop.submit()
    await shop.finish()
    assert shop.jobs.state() == "Done"
    assert created(shop) == ["create 1:1"]


@pytest.mark.parametrize("written", [True, False])
async def test_a_mark_without_an_answer_makes_no_other_child(
    shop: World, monkeypatch: pytest.MonkeyPatch, *, written: bool
) -> None:
    patch_status, lost = shop.jobs.patch_status, list[JsonPatch]()

    async def lossy(namespace: str, name: str, patch: JsonPatch) -> RawObject:
        if name == "j" and created(shop) and not lost:
            lost.append(patch)
            if written:
                await patch_status(namespace, name, patch)
            raise StoreUnavailable("no answer")
        return await patch_status(namespace, name, patch)

    monkeypatch.setattr(shop.jobs, "patch_status", lossy)
    shop.submit()
    await shop.finish()
    assert lost
    assert shop.jobs.state() == "Done"
    assert created(shop) == ["create 1:1"]


class Bomb(Journal):
    """A journal that kills the operator at its n-th line: nothing more is done than what has been."""

    def __init__(self, at: int, kill: Callable[[], None]) -> None:
        super().__init__()
        self.at = at
        self.kill = kill
        self.exploded = False

    def append(self, line: str) -> None:
        super().append(line)
        if len(self) == self.at:
            self.exploded = True
            self.kill()


def mined(world: World, at: int) -> Bomb:
    """The world, whose operator dies after the n-th thing that it did outside."""

    def kill() -> None:
        world.engine._closed = True
        for task in world.engine._tasks:
            task.cancel()

    bomb = Bomb(at, kill)
    world.journal = world.jobs.journal = world.broker.journal = bomb
    return bomb


# begin; create; mark; the child: publish, begin, end, acknowledge; end
LIFE = 8


@pytest.mark.parametrize("at", range(1, LIFE + 1))
async def test_an_operator_may_die_at_any_point_of_a_child_s_life(shop: World, at: int) -> None:
    bomb = mined(shop, at)
    shop.submit()
    await _until_it_dies(shop, bomb)
    await shop.crash()
    await shop.finish()
    assert shop.jobs.status()["output"] == "output of charge"
    assert created(shop) == ["create 1:1"]
    assert shop.jobs.status()["sequence"] == 2
    assert shop.jobs.status(name_of(shop))["sequence"] == 2


async def test_there_are_no_more_points_than_those(shop: World) -> None:
    shop.submit()
    await shop.finish()
    assert len(shop.journal) == LIFE, shop.journal


@pytest.mark.parametrize("at", range(1, 5))
async def test_an_operator_may_die_at_any_point_of_a_cancellation(shop: World, at: int) -> None:
    name = await waiting(shop)
    bomb = mined(shop, at)
    shop.edit(cancel=True)
    await until(lambda: bomb.exploded or shop.jobs.state(name) == "Cancelled")
    await shop.crash()
    await until(lambda: shop.jobs.state(name) == "Cancelled")
    assert shop.jobs.state() == "Cancelled"


@pytest.mark.parametrize("at", range(1, 16))
async def test_an_operator_may_die_while_it_creates_many(shop: World, at: int) -> None:
    shop.workflows.put(each("m", list(range(10)), BILL))
    bomb = mined(shop, at)
    shop.submit()
    await _until_it_dies(shop, bomb)
    await shop.crash()
    await shop.finish()
    assert shop.jobs.status()["output"] == ["output of charge"] * 10
    assert len(created(shop)) == len(set(created(shop))) == 10


async def _until_it_dies(world: World, bomb: Bomb) -> None:
    def dead() -> bool:
        world.work()
        return bomb.exploded

    await until(dead, f"it lives: {bomb}")


@pytest.mark.parametrize("order", [1, -1])
async def test_an_operator_that_starts_may_see_either_first(shop: World, order: int) -> None:
    name = await waiting(shop)
    await shop.engine.close(0)
    shop.engine = shop.new_engine()
    for raw in (await shop.jobs.list_jobs())[::order]:
        shop.engine.observe(raw)
        await shop.rest()
    assert shop.jobs.state(name) == "InProgress.charge"
    await shop.finish()
    assert shop.jobs.state() == "Done"


async def test_a_child_that_ended_while_nobody_looked_is_taken_at_the_start(shop: World) -> None:
    name = await waiting(shop)
    child = shop.jobs.objects["shop", name]
    await shop.engine.close(0)
    shop.engine = shop.new_engine()
    shop.engine.observe(copy.deepcopy(child))
    shop.work()
    await until(lambda: shop.jobs.state(name) == "Done" and shop.quiet())
    assert shop.jobs.state() == "InProgress.bill"
    shop.engine.observe(copy.deepcopy(shop.jobs.objects["shop", "j"]))
    await until(lambda: shop.jobs.state() == "Done")


async def test_an_operator_that_starts_with_the_parent_takes_on_its_child(shop: World) -> None:
    name = await waiting(shop)
    await shop.engine.close(0)
    shop.engine = shop.new_engine()
    await seen_by(shop.engine, shop, "j")
    cell = shop.engine.mailboxes.find(("shop", name))
    assert cell is not None
    assert cell.job is not None
    await shop.finish()
    assert shop.jobs.state() == "Done"


async def test_a_child_does_not_trust_what_is_known_of_its_parent_from_before_its_time(shop: World) -> None:
    shop.workflows.put("first", BILL)
    shop.submit()
    await until(lambda: shop.broker.queue and shop.quiet())
    stale = parse_job(copy.deepcopy(shop.jobs.objects["shop", "j"]))
    shop.work()
    await until(lambda: shop.broker.queue and shop.quiet())
    name = name_of(shop)
    await shop.engine.close(0)
    shop.jobs.objects["shop", "j"]["status"]["active"] = []
    shop.engine = shop.new_engine()
    shop.engine.mailboxes.cell(("shop", "j")).learn(stale)
    await seen_by(shop.engine, shop, name)
    assert shop.jobs.status(name)["message"] == "the Job j that it belongs to no longer waits for it"


# -- two operators


async def seen_by(engine: Engine, world: World, *names: str) -> None:
    """The watch shows an operator Jobs as they are."""
    for name in names:
        engine.observe(copy.deepcopy(world.jobs.objects["shop", name]))
    await until(lambda: not any(cell.running for cell in engine.mailboxes))


async def test_the_end_of_a_child_that_another_operator_saw_moves_its_parent(shop: World) -> None:
    name = await waiting(shop)
    other = shop.new_engine()
    await seen_by(other, shop, "j")
    shop.work()
    await until(lambda: shop.jobs.state(name) == "Done" and shop.quiet())
    await until(lambda: shop.jobs.state() == "Done")
    await seen_by(other, shop, name, "j")
    assert shop.jobs.status()["sequence"] == 2


async def test_an_operator_that_sees_only_the_end_of_a_child_moves_its_parent(shop: World) -> None:
    name = await waiting(shop)
    await shop.engine.close(0)
    shop.engine = shop.new_engine()
    other = shop.new_engine()
    await seen_by(other, shop, name)
    await seen_by(shop.engine, shop, "j")
    for cell in list(shop.engine.mailboxes):
        if cell.key[1] == name:
            shop.engine.mailboxes.drop(cell)
    message = shop.broker.queue.pop()
    other.deliver(shop.broker.deliver(message.id, _answer(message)))
    await until(lambda: shop.jobs.state(name) == "Done")
    assert shop.jobs.state() == "InProgress.bill"
    shop.engine.observe(copy.deepcopy(shop.jobs.objects["shop", name]))
    await until(lambda: shop.jobs.state() == "Done")
    assert shop.jobs.status()["output"] == "done"


def _answer(message: StepMessage) -> bytes:
    return ResultMessage.of(message, Succeeded("done"), "w").encode()


async def test_two_operators_that_both_begin_a_child_have_one(shop: World) -> None:
    raw = shop.jobs.put("j", "u1")
    other = shop.new_engine()
    other.observe(copy.deepcopy(raw))
    shop.engine.observe(raw)
    await until(lambda: len(shop.jobs.objects) == 2 and all(r.get("status") for r in shop.jobs.objects.values()))
    await until(lambda: shop.quiet() and not any(cell.running for cell in other.mailboxes))
    await shop.finish()
    assert shop.jobs.status()["output"] == "output of charge"
    assert created(shop) == ["create 1:1"]
    assert shop.jobs.status()["sequence"] == 2


async def test_a_child_that_an_operator_creates_after_it_was_replaced_is_cancelled(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, gate, asleep = shop.jobs.create, asyncio.Event(), asyncio.Event()

    async def late(manifest: RawObject) -> RawObject:
        asleep.set()
        await gate.wait()
        return await create(manifest)

    monkeypatch.setattr(shop.jobs, "create", late)
    shop.submit()
    await asyncio.wait_for(asleep.wait(), 10)
    leader = shop.new_engine()
    leader.observe(shop.jobs.edit("j", cancel=True))
    await until(lambda: shop.jobs.state() == "Cancelled")
    gate.set()
    await until(lambda: children(shop) and shop.quiet())
    await seen_by(leader, shop, name_of(shop))
    assert shop.jobs.state(name_of(shop)) == "Cancelled"
    assert shop.jobs.state() == "Cancelled"
    assert created(shop) == ["create 1:1"]
