"""What is in a picture of a Workflow."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.api.workflow import parse_spec
from mastercontrol.diagram.graph import Kind, Move, graph_of
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import Definition
from mastercontrol.workflow.machine import JobMachine
from unit.diagram.drawing import EVERY_TYPE, all_edges, all_nodes, define, graph, said


def test_every_state_is_a_node_with_its_type_and_what_it_does() -> None:
    nodes = all_nodes(graph(EVERY_TYPE))
    assert {name: (node.kind, *node.details) for name, node in nodes.items() if "(" not in name} == {
        "reserve": (Kind.TASK, "pool inventory"),
        "size": (Kind.CHOICE, "Choice"),
        "approve": (Kind.SIGNAL, "signal approved, 2 h at most"),
        "note": (Kind.PASS, "Pass"),
        "fan": (Kind.PARALLEL, "Parallel: all of these"),
        "fan[0].print": (Kind.TASK, "pool printers"),
        "fan[1].each": (Kind.MAP, "Map, 5 at once: ${input.items}"),
        "fan[1].each[*].wrap": (Kind.TASK, "pool packers"),
        "good": (Kind.SUCCEED, "Succeed"),
        "pause": (Kind.WAIT, "Wait 90 s"),
        "lost": (Kind.FAIL, "Fail OrderLost"),
    }


def test_every_way_from_state_to_state_is_an_edge_that_says_when() -> None:
    assert said(all_edges(graph(EVERY_TYPE))) == {
        "(Begin) -next-> reserve",
        "reserve -next-> size",
        "reserve -catch-> lost: catch OutOfStock, Broken",
        "reserve -catch-> pause: catch any error",
        "reserve -retry-> reserve: retry 9 times: Busy or retry 5 times: any error",
        "size -next-> approve: input.amount > 1000",
        "size -next-> note: input.amount == 0",
        "size -next-> fan: default",
        "approve -next-> note",
        "approve -catch-> lost: catch States.Timeout",
        "note -next-> fan",
        "fan -next-> good",
        "fan -retry-> fan: retry 1 times",
        "fan[0].(Begin) -next-> fan[0].print",
        "fan[0].print -next-> fan[0].(Done)",
        "fan[1].(Begin) -next-> fan[1].each",
        "fan[1].each -next-> fan[1].(Done)",
        "fan[1].each[*].(Begin) -next-> fan[1].each[*].wrap",
        "fan[1].each[*].wrap -retry-> fan[1].each[*].wrap: retry 3 times",
        "fan[1].each[*].wrap -next-> fan[1].each[*].(Done)",
        "good -next-> (Done)",
        "pause -next-> reserve",
        "lost -fail-> (Failed)",
    }


CLOSING = """
states:
- {name: flight, pool: p, compensate: {states: [{name: cancel, pool: p, retry: {limit: 0}}]}, retry: {limit: 0}}
- {name: pay, pool: p, retry: {limit: 0}, catch: [{errors: [Declined], next: sorry}], end: true}
- {name: sorry, type: Fail}
onExit: {states: [{name: tell, pool: p, retry: {limit: 0}}]}
"""


def test_what_a_job_closes_with_stands_before_its_ends() -> None:
    definition = compile_workflow("trip", parse_spec(yaml.safe_load(CLOSING)))
    assert isinstance(definition, Definition)
    found = graph_of(definition)
    assert said(all_edges(found)) == {
        "(Begin) -next-> flight",
        "flight -next-> pay",
        "pay -next-> onExit",
        "pay -catch-> sorry: catch Declined",
        "sorry -fail-> compensate",
        "compensate -next-> onExit",
        "compensate[0].(Begin) -next-> compensate[0].cancel",
        "compensate[0].cancel -next-> compensate[0].(Done)",
        "onExit -next-> (Done)",
        "onExit -fail-> (Failed)",
        "onExit.(Begin) -next-> onExit.tell",
        "onExit.tell -next-> onExit.(Done)",
    }
    assert all_nodes(found)["flight"].details == ("pool p", "undone by compensate[0]")


def test_the_picture_shows_the_moves_of_the_machine_that_the_engine_uses() -> None:
    definition = define(EVERY_TYPE)
    machine = JobMachine(definition).machine
    moves = {
        (str(t.source).rpartition(".")[2], str(t.dest).rpartition(".")[2])
        for name, event in machine.events.items()
        if name.partition(" ")[0] in {"start", "succeed", "catch"}
        for transitions in event.transitions.values()
        for t in transitions
    }
    edges = [e for e in graph(EVERY_TYPE).edges if e.move in {Move.NEXT, Move.CATCH}]
    assert {(e.source.strip("()"), e.target.strip("()")) for e in edges} == moves


def test_conditions_that_lead_to_the_same_state_share_an_edge() -> None:
    text = """
    - name: size
      type: Choice
      choices: [{when: input.a, next: b}, {when: input.b, next: b}]
      default: b
    - {name: b, type: Pass}
    """
    assert "size -next-> b: input.a or input.b or default" in said(all_edges(graph(text)))


def test_a_long_condition_is_cut() -> None:
    text = """
    - {name: size, type: Choice, choices: [{when: "input.amount > 1000 && input.country == 'de'", next: b}], default: b}
    - {name: b, type: Pass}
    """
    (labels,) = [e.labels for e in all_edges(graph(text)) if e.labels]
    assert labels == ("input.amount > 1000 && input.countr…", "default")


def test_states_named_as_those_of_the_machine_stay_apart_from_them() -> None:
    found = graph("- {name: Done, pool: p, next: Begin, retry: {limit: 0}}\n- {name: Begin, type: Pass}")
    assert said(list(found.edges)) == {"(Begin) -next-> Done", "Done -next-> Begin", "Begin -next-> (Done)"}


@given(st.permutations(["b", "c", "d", "e"]))
def test_edges_stand_in_the_order_of_the_rules(order: list[str]) -> None:
    choices = ", ".join(f"{{when: input.{name}, next: {name}}}" for name in order)
    rest = "\n".join(f"- {{name: {name}, type: Pass}}" for name in "bcde")
    found = graph(f"- {{name: a, type: Choice, choices: [{choices}], default: b}}\n{rest}")
    assert [e.target for e in found.edges if e.source == "a"] == order


def test_the_end_of_a_branch_that_fails_is_drawn_in_the_branch() -> None:
    text = """
    - name: fan
      type: Parallel
      branches:
      - states: [{name: refuse, type: Fail}]
    """
    assert "fan[0].refuse -fail-> fan[0].(Failed)" in said(all_edges(graph(text)))


def test_what_depends_on_the_job_is_shown_as_it_was_written() -> None:
    text = """\
        - {name: a, type: Wait, seconds: "${input.pause}"}
        - {name: b, type: Wait, until: "${input.day}T12:00:00Z"}
        - name: c
          type: Map
          items: "${input.list}"
          states: [{name: x, type: Pass}]
        - {name: d, type: Map, items: [1, 2], states: [{name: x, type: Pass}]}
        - {name: e, type: Fail, code: "${error.code}"}
        """
    nodes = all_nodes(graph(text))
    assert [nodes[name].details[0] for name in "abcde"] == [
        "Wait ${input.pause} s",
        "Wait until ${input.day}T12:00:00Z",
        "Map: ${input.list}",
        "Map: for each item",
        "Fail ${error.code}",
    ]
