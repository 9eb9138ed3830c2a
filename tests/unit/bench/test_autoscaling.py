"""The simulator of autoscaling (bench/autoscaling): its site, its model of KEDA, and what the comparison says."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest

from autoscaling import keda
from autoscaling.compare import KEDA_AMQP, KEDA_HTTP, OURS, pool_policy, run
from autoscaling.keda import KedaSettings
from autoscaling.loads import Arrival, Load, all_loads, from_history, recorded
from autoscaling.pictures import of_windows, over_time
from autoscaling.site import Pods, Site, Ways
from autoscaling.timeline import Timeline
from mastercontrol.pools.starts import start_seconds

SEED = 11


def load(times: Sequence[tuple[float, float]]) -> Load:
    return Load("test", "", tuple(Arrival(at, seconds) for at, seconds in times))


@pytest.mark.parametrize("name", ["burst", "slow-start", "pulses", "long", "trickle"])
def test_steps_wait_less_and_pods_cost_less_than_with_keda(name: str) -> None:
    given = next(each for each in all_loads(SEED) if each.name == name)
    ours, theirs = run(given, OURS, SEED), run(given, KEDA_HTTP, SEED)
    assert ours.mean_wait() <= theirs.mean_wait()
    assert ours.replica_hours <= theirs.replica_hours
    assert (ours.unfinished, ours.chosen, ours.again) == (0, 0, 0)


def test_no_one_window_for_all_workers_is_better_than_keda_where_bursts_meet_pods_that_start_slowly() -> None:
    """Why half of them stay where no window is written, as docs/explanation/autoscaling.md says it."""
    given = next(each for each in all_loads(SEED) if each.name == "pulses")
    short, longer, theirs = (
        *(run(given, pool_policy("", scaleDownStabilizationSeconds=seconds), SEED) for seconds in (60, 300)),
        run(given, KEDA_HTTP, SEED),
    )
    assert short.replica_hours < theirs.replica_hours < longer.replica_hours
    assert longer.mean_wait() < theirs.mean_wait() < short.mean_wait()


def test_pods_show_in_whole_seconds_how_long_they_took_to_start() -> None:
    timeline = Timeline()
    site = Site(timeline, "seed", Ways(watch=(0.5, 0.5), start=(42.0, 42.0)))
    site.scale(1)
    timeline.run(10.0)
    (worker,) = site.workers.values()
    assert start_seconds([worker.as_pod()]) is None
    timeline.run(50.0)
    assert start_seconds([worker.as_pod()]) == 42


def test_a_thousand_steps_at_once_bring_all_workers_at_once() -> None:
    tally = run(load([(10.0, 5.0)] * 1000), OURS, SEED)
    before, after = (next(one for one in tally.samples if one.at > at) for at in (5.0, 11.0))
    assert (before.pods, after.pods) == (0, 50)


def test_keda_begins_at_a_poll_grows_by_its_limits_and_keeps_pods_for_five_minutes() -> None:
    tally = run(load([(10.0, 4.0)] * 1000), KEDA_HTTP, SEED)
    numbers = [one.pods for one in tally.samples]
    rising = numbers[: numbers.index(max(numbers)) + 1]
    assert sorted(set(rising)) == [0, 1, 5, 10, 20, 40, 50]
    assert 10 < next(one.at for one in tally.samples if one.pods) < 10 + 30 + 5
    last_work = max(step.ended or 0.0 for step in tally.steps)
    assert last_work + 300 <= max(one.at for one in tally.samples if one.pods) < last_work + 300 + 60


def test_keda_that_does_not_count_what_is_at_work_ends_it() -> None:
    times = [(10.0, 700.0)] * 5
    assert run(load(times), KEDA_HTTP, SEED).killed == 0
    tally = run(load(times), KEDA_AMQP, SEED)
    assert tally.killed >= 4
    assert tally.again == tally.killed
    assert tally.lost_seconds > 0


@pytest.mark.parametrize(("value", "pods", "wanted"), [(0, 4, 0), (43, 40, 40), (45, 40, 45), (35, 40, 35), (7, 0, 7)])
def test_the_hpa_changes_nothing_within_its_tolerance(value: int, pods: int, wanted: int) -> None:
    assert keda.wanted(KedaSettings(), value, pods) == wanted


@pytest.mark.parametrize(
    ("proposed", "replicas", "window", "set_to"),
    [(100, 1, 100, 5), (100, 10, 100, 20), (100, 60, 100, 100), (3, 10, 10, 10), (3, 10, 8, 8), (0, 3, 0, 1)],
)
def test_the_hpa_goes_up_by_its_limits_and_down_to_the_most_of_its_window(
    proposed: int, replicas: int, window: int, set_to: int
) -> None:
    assert keda.bounded(KedaSettings(), proposed, replicas, window) == set_to


def test_a_replicaset_takes_unready_pods_then_marked_ones_then_the_younger() -> None:
    timeline = Timeline()
    site = Site(timeline, "seed", Ways(start=(1.0, 1.0)), Pods(nodes=1))
    site.scale(2)
    timeline.run(100.0)
    old = set(site.workers)
    site.scale(4)
    timeline.run(103.0)
    (marked,) = sorted(old)[:1]
    site.annotate(marked, "-1000")
    timeline.run(104.0)
    site.scale(5)
    timeline.run(104.5)
    (unready,) = (name for name, worker in site.workers.items() if worker.ready_at is None)
    for number, gone in ((4, {unready}), (3, {marked})):
        before = set(site.workers)
        site.scale(number)
        timeline.run(timeline.now + 0.4)
        assert before - set(site.workers) == gone
    site.scale(1)
    timeline.run(110.0)
    assert set(site.workers) == old - {marked}


def test_what_a_pod_holds_at_the_end_of_its_grace_period_is_done_again() -> None:
    timeline = Timeline()
    site = Site(timeline, "seed")
    site.scale(2)
    timeline.run(10.0)
    site.publish(20.0)
    site.publish(100.0)
    site.scale(0)
    timeline.run(50.0)
    assert (site.tally.chosen, site.tally.killed, site.existing) == (2, 1, 0)
    assert [len(site.queue.waiting), site.tally.unfinished] == [1, 1]
    site.scale(1)
    timeline.run(200.0)
    assert (site.tally.unfinished, site.tally.again) == (0, 1)
    assert site.tally.steps[1].times == 2


def test_a_recorded_load_is_read_and_a_line_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"at": 5, "seconds": 2}\n\n{"at": 1.5, "seconds": 3}\n')
    assert recorded(path).arrivals == (Arrival(1.5, 3.0), Arrival(5.0, 2.0))
    for bad in ('{"at": 1}', '{"at": -1, "seconds": 1}', "[]", '{"at": 1, "seconds": Infinity}'):
        path.write_text(bad)
        with pytest.raises(ValueError, match=r"no (line|times) of a recorded load"):
            recorded(path)
    path.write_text("")
    with pytest.raises(ValueError, match="has no line"):
        recorded(path)


def test_a_load_is_made_of_a_history(tmp_path: Path) -> None:
    commits = [(1.0, "j", ["j:1"]), (2.5, "k", ["k:1"]), (4.0, "j", ["j:2"]), (6.0, "k", []), (7.0, "j", [])]
    events = [
        {"kind": "commit", "t": t, "job": job, "active": [{"id": each} for each in active]}
        for t, job, active in commits
    ]
    path = tmp_path / "history.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in ({"kind": "run", "t": 0}, *events)))
    assert from_history(path) == [Arrival(0.0, 3.0), Arrival(1.5, 3.5), Arrival(3.0, 3.0)]


def test_pictures_are_svg_with_a_curve_for_each_policy() -> None:
    given = load([(10.0, 5.0)] * 10)
    drawn = ET.fromstring(over_time(given, {"a": run(given, OURS, SEED), "b": run(given, KEDA_HTTP, SEED)}))
    assert [
        path.get("class") for path in drawn.iter("{http://www.w3.org/2000/svg}path") if path.get("class") == "line c1"
    ]
    ET.fromstring(of_windows({"x": [(0.5, 0.5), (0.6, 0.4)], "y": [(1.0, 2.0), (1.2, 0.2)]}, 1))
