"""The path of a job in its picture: jobs are run by the engine's own decisions, and then drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mastercontrol.api.job import Signal
from mastercontrol.api.operation import Operation, OperationType
from mastercontrol.diagram.graph import Graph, Mark, graph_of
from mastercontrol.diagram.path import history_is_cut, marked
from mastercontrol.workflow.definition import Definition
from unit.diagram.drawing import EVERY_TYPE, all_edges, all_nodes, marks, said, states, taken
from unit.engine.builders import Run, failure, ok

CHAIN = """
- {name: reserve, pool: inventory, catch: [{errors: [OutOfStock], next: lost}]}
- {name: charge, pool: payments, end: true}
- {name: lost, pool: letters, end: true}
"""
ITEMS = """
- name: each
  type: Map
  items: ${input.items}
  states: [{name: wrap, pool: p, retry: {limit: 2}}, {name: tie, pool: p}]
- {name: ship, pool: p}
"""


def drawn(run: Run) -> Graph:
    assert isinstance(run.definition, Definition)
    return marked(graph_of(run.definition), run.definition, run.job.status)


def done(run: Run, path: str, output: Any = None) -> None:
    entry = next(a for a in run.status.active if a.path == path)
    run.turn(ok(entry.seq, entry.attempt, output))


def fails(run: Run, path: str, **error: Any) -> None:
    entry = next(a for a in run.status.active if a.path == path)
    run.turn(failure(entry.seq, entry.attempt, **error))


def begun(text: str, **data: Any) -> Run:
    run = Run(*states(text), input=data)
    run.turn()
    return run


def test_a_job_that_has_not_begun_is_at_the_beginning() -> None:
    run = Run(*states(CHAIN))
    assert marks(drawn(run), Mark.CURRENT) == {"(Begin)"}
    assert taken(drawn(run)) == set()


def test_a_running_job_is_marked_where_it_was_and_where_it_is() -> None:
    run = begun(CHAIN)
    done(run, "reserve")
    found = drawn(run)
    assert taken(found) == {"(Begin) -next-> reserve", "reserve -next-> charge"}
    assert marks(found, Mark.PASSED) == {"(Begin)", "reserve"}
    assert marks(found, Mark.CURRENT) == {"charge"}


def test_a_job_that_is_done_is_marked_to_its_end() -> None:
    run = begun(CHAIN)
    done(run, "reserve")
    done(run, "charge")
    found = drawn(run)
    assert "charge -next-> (Done)" in taken(found)
    assert marks(found, Mark.CURRENT) == {"(Done)"}
    assert marks(found, Mark.NONE) == {"lost"}


def test_a_caught_error_is_another_way_than_success() -> None:
    run = begun(CHAIN)
    fails(run, "reserve", code="OutOfStock", retryable=False)
    assert taken(drawn(run)) == {"(Begin) -next-> reserve", "reserve -catch-> lost"}


def test_a_retry_is_marked_while_it_waits_and_when_it_is_over() -> None:
    run = begun(CHAIN)
    assert "reserve -retry-> reserve" not in taken(drawn(run))
    fails(run, "reserve")
    assert "reserve -retry-> reserve" in taken(drawn(run))
    run.wake()
    done(run, "reserve")
    assert taken(drawn(run)) == {"(Begin) -next-> reserve", "reserve -retry-> reserve", "reserve -next-> charge"}


def test_a_failed_job_shows_the_state_that_failed_and_a_way_to_failed() -> None:
    run = begun(CHAIN)
    fails(run, "reserve", code="Lost", retryable=False)
    found = drawn(run)
    assert marks(found, Mark.FAILED) == {"reserve", "(Failed)"}
    assert "reserve -fail-> (Failed): Lost" in said(all_edges(found))


def test_a_cancelled_job_shows_where_it_was_cancelled() -> None:
    run = begun(CHAIN)
    run.change(cancel=True).turn()
    found = drawn(run)
    assert "reserve -cancel-> (Cancelled)" in taken(found)
    assert marks(found, Mark.CURRENT) == {"(Cancelled)"}


def test_the_rule_of_a_choice_that_held_is_marked() -> None:
    run = begun(EVERY_TYPE, amount=2000, items=[])
    done(run, "reserve", {"amount": 2000, "items": []})
    assert taken(drawn(run)) >= {"reserve -next-> size", "size -next-> approve"}
    assert "size -next-> fan" not in taken(drawn(run))
    run.change(signals=(Signal("approved", {"items": [1]}),)).turn()
    assert marks(drawn(run), Mark.CURRENT) == {"fan", "fan[0].print", "fan[1].each", "fan[1].each[*].wrap"}


def test_a_loop_marks_both_ways() -> None:
    text = "- {name: a, pool: p, next: b}\n- {name: b, type: Wait, seconds: 5, next: c}\n"
    text += "- {name: c, type: Choice, choices: [{when: input.again, next: a}], default: d}\n- {name: d, type: Pass}"
    run = begun(text)
    done(run, "a", {"again": True})
    run.wake()
    assert taken(drawn(run)) == {"(Begin) -next-> a", "a -next-> b", "b -next-> c", "c -next-> a"}


def test_the_items_of_a_map_share_their_nodes_and_are_counted() -> None:
    run = begun(ITEMS, items=["a", "b", "c"])
    done(run, "each[1].wrap")
    done(run, "each[1].tie")
    done(run, "each[2].wrap")
    found = drawn(run)
    assert all_nodes(found)["each"].details[-1] == "1 of 3 done"
    assert marks(found, Mark.CURRENT) == {"each", "each[*].wrap", "each[*].tie"}
    assert "each[*].tie -next-> each[*].(Done)" in taken(found)


def test_an_item_that_fails_for_good_is_no_retry() -> None:
    run = begun(ITEMS, items=["a", "b"])
    fails(run, "each[0].wrap", code="Lost", retryable=False)
    found = drawn(run)
    assert "each[*].wrap -retry-> each[*].wrap" not in taken(found)
    assert marks(found, Mark.FAILED) >= {"each", "(Failed)"}


def test_an_item_that_is_tried_again_is_a_retry() -> None:
    run = begun(ITEMS, items=["a", "b"])
    fails(run, "each[0].wrap")
    assert "each[*].wrap -retry-> each[*].wrap" in taken(drawn(run))


def test_what_a_bounded_history_lost_is_not_marked() -> None:
    run = begun(CHAIN)
    done(run, "reserve")
    assert not history_is_cut(run.status)
    run.job = replace(run.job, status=replace(run.status, history=run.status.history[1:]))
    assert history_is_cut(run.status)
    assert taken(drawn(run)) == set()
    assert marks(drawn(run), Mark.CURRENT) == {"charge"}


def asked(run: Run, operation: Operation) -> None:
    run.change(operations=(*run.job.spec.operations, operation)).turn()
    run.turn()


def test_a_job_that_was_retried_is_drawn_with_its_way_back() -> None:
    run = begun(CHAIN)
    done(run, "reserve")
    fails(run, "charge", retryable=False)
    asked(run, Operation(OperationType.RETRY))
    found = drawn(run)
    assert "charge -fail-> (Failed): Broken" in said(all_edges(found))
    assert "(Failed) -manual-> charge: Retried" in said(all_edges(found))
    assert marks(found, Mark.CURRENT) == {"charge"}
    done(run, "charge")
    assert "charge -next-> (Done)" in taken(drawn(run))


def test_a_job_that_was_restarted_is_drawn_from_its_failure_to_its_beginning() -> None:
    run = begun(CHAIN)
    done(run, "reserve")
    fails(run, "charge", retryable=False)
    asked(run, Operation(OperationType.RESTART))
    assert "(Failed) -manual-> reserve: Restarted" in said(all_edges(drawn(run)))


def test_items_that_are_entered_again_are_drawn_as_tried_again() -> None:
    run = begun(ITEMS, items=[1, 2])
    done(run, "each[0].wrap")
    fails(run, "each[1].wrap", retryable=False)
    assert all_nodes(drawn(run))["each"].mark is Mark.FAILED
    asked(run, Operation(OperationType.RETRY))
    found = drawn(run)
    assert "(Failed) -manual-> each: Retried" in said(all_edges(found))
    assert {"each", "each[*].wrap", "each[*].tie"} <= marks(found, Mark.CURRENT)
    done(run, "each[1].wrap")
    assert "each[*].wrap -next-> each[*].tie" in taken(drawn(run))


def test_a_skip_is_drawn_as_made_by_hand() -> None:
    run = begun(CHAIN)
    asked(run, Operation(OperationType.SKIP, "reserve"))
    assert "reserve -manual-> charge: Skipped" in said(all_edges(drawn(run)))


def test_a_move_that_the_workflow_has_not_is_drawn_as_made_by_hand() -> None:
    run = begun(CHAIN)
    done(run, "reserve")
    last = run.status.history[-1]
    moved = replace(last, seq=3, state="InProgress.lost", reason="Skipped")
    run.job = replace(run.job, status=replace(run.status, history=(*run.status.history, moved)))
    assert "charge -manual-> lost: Skipped" in said(all_edges(drawn(run)))
