"""Where the states of a block lead, also where it has faults."""

from __future__ import annotations

from mastercontrol.workflow.reach import Node, never_ending, never_reached


def node(name: str, *leads_to: str, follows: bool = False, loose: bool = False) -> Node:
    return Node(name, frozenset(leads_to), follows, loose)


def test_nothing_follows_the_last_state_of_the_list() -> None:
    nodes = [node("a", follows=True), node("b", follows=True)]
    assert never_reached(nodes) == []
    assert never_ending(nodes, frozenset({1})) == []


def test_a_state_that_may_lead_anywhere_hides_no_other_fault_and_makes_none() -> None:
    nodes = [node("a", loose=True), node("b", "b"), node("c")]
    assert never_reached(nodes) == []
    assert never_ending(nodes, frozenset({2})) == [[1]]


def test_a_name_that_stands_twice_leads_to_both() -> None:
    nodes = [node("a", "b"), node("b"), node("b")]
    assert never_reached(nodes) == []


def test_of_two_loops_only_the_one_that_is_never_left_is_told() -> None:
    nodes = [node("a", "b"), node("b", "a", "c"), node("c", "d"), node("d", "c")]
    assert never_ending(nodes, frozenset()) == [[2, 3]]
