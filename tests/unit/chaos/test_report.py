"""The figures of a run say what was hit, how long it was away, and never less than is known."""

from __future__ import annotations

import pytest

from chaos.plan import Kind
from chaos.report import Blow, Figures, Transition, growth, new_leader, percentile, recovery, steps, table, transitions

POD = "mcp-worker-relay-first-5d8f-abcde"


def test_transitions_are_read_from_all_writes_in_order() -> None:
    history = [
        {"kind": "run", "t": 0},
        {"kind": "commit", "t": 2.5, "history": [{"seq": 1}, {"seq": 2, "worker": POD}]},
        {"kind": "commit", "t": 1, "history": [{"seq": 1}]},
        {"kind": "commit", "t": 3, "history": []},
    ]
    made = transitions(history, 100)
    assert made == [Transition(101), Transition(102.5), Transition(102.5, POD)]
    assert steps(made) == 1


@pytest.mark.parametrize(
    ("samples", "grown"),
    [([], 0), ([3], 0), ([3, 5, 5], 2), ([3, 5, 1, 4], 6), ([5, 0, 0], 0)],
)
def test_a_counter_that_begins_anew_loses_nothing_that_was_seen(samples: list[float], grown: float) -> None:
    assert growth(samples) == grown


MADE = [
    Transition(1),
    Transition(10.5, POD),
    Transition(12, "mcp-worker-other-1-2"),
    Transition(15, POD),
    Transition(17),
]


@pytest.mark.parametrize(
    ("blow", "seconds"),
    [
        (Blow(10, Kind.OPERATOR_KILL, "mcp-operator-1-2", led=True), 2),
        (Blow(10, Kind.OPERATOR_KILL, "mcp-operator-1-2", led=False), None),
        (Blow(11, Kind.WORKER_KILL, POD), 4),
        (Blow(16, Kind.WORKER_KILL, POD), None),
        (Blow(10, Kind.BROKER_KILL, "mcp-rabbitmq-0"), 2),
        (Blow(14.5, Kind.BROKER_KILL, "mcp-rabbitmq-0"), None),
        (Blow(14.5, Kind.API_KILL), 2.5),
        (Blow(10, Kind.API_KILL, missed="none is there"), None),
    ],
)
def test_recovery_is_the_time_until_work_went_on_where_it_was_hit(blow: Blow, seconds: float | None) -> None:
    assert recovery(blow, MADE) == seconds


def test_a_new_leader_is_counted_for_a_blow_to_the_old_one() -> None:
    blow = Blow(10, Kind.OPERATOR_KILL, led=True)
    assert new_leader(blow, [blow], [25, 5, 21]) == 11
    assert new_leader(Blow(10, Kind.OPERATOR_KILL, led=False), [blow], [21]) is None
    assert new_leader(Blow(30, Kind.OPERATOR_KILL, led=True), [blow], [21]) is None
    assert new_leader(blow, [blow, Blow(20, Kind.OPERATOR_DELETE, led=True)], [21]) is None, "it led again itself"


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1)) == (50, 99, 100)
    assert percentile([3], 0.99) == 3
    assert percentile([], 0.5) is None


def test_the_table_says_all_of_it() -> None:
    blows = [
        Blow(10, Kind.OPERATOR_KILL, "mcp-operator-1-2", led=True),
        Blow(11, Kind.WORKER_KILL, POD),
        Blow(12, Kind.WORKER_KILL, missed="none is there"),
    ]
    phases = {"Succeeded": 9, "Failed": 1}
    figures = Figures(7, 60, 12, phases, 1, MADE, [12], 4, {"a": 1, "b": 3}, 2, blows)
    lines = table([figures])
    text = "\n".join(lines)
    assert "seed 7, 60 s of chaos, at rest 12 s after its end" in text
    assert "jobs             10 (1 Failed, 9 Succeeded; 1 with an attempt out of time)" in text
    assert "steps done       3" in text
    assert "redeliveries     4" in text
    assert "executed twice   2 of 2 dispatches" in text
    rows = {line.split()[0]: line.split()[1:] for line in lines[lines.index("") + 2 :]}
    assert rows["operator-kill"] == ["1", "0", "1", "2.0", "2.0", "1", "2.0", "2.0"]
    assert rows["worker-kill"] == ["1", "1", "1", "4.0", "4.0", "-", "-", "-"]
    assert rows["all"] == ["2", "1", "2", "2.0", "4.0", "1", "2.0", "2.0"]


def test_runs_are_added_up_and_what_was_hit_at_the_end_of_one_does_not_go_on_in_the_next() -> None:
    last = Blow(17, Kind.OPERATOR_KILL, "mcp-operator-1-2", led=True)
    first = Figures(7, 60, 12, {"Succeeded": 2}, 0, MADE, [], 4, {"a": 1}, 1, [Blow(10, Kind.API_KILL), last])
    later = Figures(8, 60, 3, {"Succeeded": 1, "Failed": 1}, 1, [Transition(90)], [90], 1, {"b": 2}, 2)
    lines = table([first, later])
    text = "\n".join(lines)
    assert "seed 7, 60 s of chaos, at rest 12 s after its end" in text
    assert "seed 8, 60 s of chaos, at rest 3 s after its end" in text
    assert "jobs             4 (1 Failed, 3 Succeeded; 1 with an attempt out of time)" in text
    assert "transitions      6" in text
    assert "executed twice   1 of 2 dispatches" in text
    assert "broker's epochs  3" in text
    rows = {line.split()[0]: line.split()[1:] for line in lines[lines.index("") + 2 :]}
    assert rows["operator-kill"] == ["1", "0", "-", "-", "-", "-", "-", "-"]
