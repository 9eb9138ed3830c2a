"""The soak of autoscaling (bench/autoscaling): its promises in a short run, and that it can find something."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoscaling import __main__ as commands
from autoscaling.controllers import Why
from autoscaling.soak import Found, Played, play, soak
from autoscaling.tally import Step, Tally
from autoscaling.world import World, draw
from mastercontrol.pools import fairness, pace
from mastercontrol.pools.live import LiveDeployment
from mastercontrol.pools.settings import PoolSettings

SEED = 25
DECISIONS = 25_000


def wrongs(played: Played) -> tuple[int, ...]:
    tally = played.tally
    return tally.chosen, tally.killed, tally.again, played.over, played.hasty, tally.unfinished, played.left


NONE = (0, 0, 0, 0, 0, 0, False)


def test_no_busy_worker_is_ended_whatever_comes_and_all_work_is_done_once() -> None:
    found = soak(SEED, DECISIONS)
    assert found.decisions >= DECISIONS
    assert min(found.ended[why] for why in Why) > 50, "too little happens to show anything"
    assert found.ended[Why.SCALE_DOWN] > 300
    assert min(found.rolls, found.drained, found.failed, found.shared, found.paced, found.lost_steps) > 0
    assert found.busy[Why.ROLL_OUT] > 0
    assert (found.chosen, found.killed, found.again, found.over, found.hasty) == (0, 0, 0, 0, 0)
    assert found.is_right


def test_it_finds_a_policy_that_does_not_wait_for_its_marks_to_be_seen() -> None:
    found = soak(SEED, DECISIONS, PoolSettings(mark_settle_seconds=0.0))
    assert found.chosen > 0
    assert not found.is_right


def test_it_finds_a_scale_down_in_the_middle_of_a_roll_out(monkeypatch: pytest.MonkeyPatch) -> None:
    world = draw("11/9")
    assert wrongs(play(world)) == NONE
    monkeypatch.setattr(LiveDeployment, "is_rolling", False)
    assert play(world).tally.chosen > 0


def test_it_finds_pools_that_have_more_than_the_quota_of_their_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    world = draw("11/24")
    assert wrongs(play(world)) == NONE
    monkeypatch.setattr(fairness, "room", lambda quota, *_: quota)
    assert play(world).over > 0


def test_it_finds_a_pool_that_grows_faster_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    world = draw("11/16")
    assert wrongs(play(world)) == NONE
    monkeypatch.setattr(pace, "most", lambda *_: None)
    assert play(world).hasty > 0


def with_grace(world: World, seconds: float) -> World:
    pools = (replace(pool, pods=replace(pool.pods, grace_seconds=seconds)) for pool in world.pools)
    return replace(world, pools=tuple(pools))


def test_it_finds_a_grace_period_that_is_shorter_than_the_steps() -> None:
    world = draw("11/9")
    found = play(with_grace(world, 3.0)).tally
    assert found.chosen == 0
    assert found.killed > 0
    assert found.again > 0


@pytest.mark.parametrize("found", [Found(wronged=["1/1"]), Found(stuck=["1/1"])])
def test_the_exit_status_says_whether_something_was_wrong(monkeypatch: pytest.MonkeyPatch, found: Found) -> None:
    monkeypatch.setattr("sys.argv", ["autoscaling", "soak"])
    monkeypatch.setattr(commands, "soak", lambda *_: Found())
    assert commands.main() == 0
    monkeypatch.setattr(commands, "soak", lambda *_: found)
    assert commands.main() == 1


@pytest.mark.parametrize(
    "wrong", [{"chosen": 1}, {"killed": 1}, {"again": 1}, {"over": 1}, {"hasty": 1}, {"left": True}]
)
def test_each_wrong_is_one(wrong: dict[str, int]) -> None:
    tally = Tally(killed=wrong.get("killed", 0), steps=[Step(0.0, 1.0, ended=2.0, times=1 + wrong.get("again", 0))])
    tally.busy[Why.SCALE_DOWN] = wrong.get("chosen", 0)
    tally.busy[Why.ROLL_OUT] = 7
    found = Found()
    found.add(
        draw("11/3"),
        Played(tally, bool(wrong.get("left")), 1, 1, wrong.get("over", 0), wrong.get("hasty", 0)),
    )
    assert not found.is_right
    assert "11/3" in str(found)


def test_the_same_seed_is_the_same_run() -> None:
    world = draw("11/3")
    assert world == draw("11/3")
    first, second = (play(world).tally for _ in range(2))
    assert first.waits == second.waits
    assert (first.decisions, first.pod_seconds) == (second.decisions, second.pod_seconds)
