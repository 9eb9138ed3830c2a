"""Workflows written as YAML, and what is drawn of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from mastercontrol.api.workflow import StateSpec, parse_spec
from mastercontrol.diagram.graph import Edge, Graph, Node, graph_of
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import Definition

EVERY_TYPE = """
- {name: reserve, pool: inventory, retry: {limit: 5, rules: [{errors: [Busy], limit: 9}]},
   catch: [{errors: [OutOfStock, Broken], next: lost}, {errors: [States.ALL], next: pause}]}
- name: size
  type: Choice
  choices: [{when: input.amount > 1000, next: approve}, {when: input.amount == 0, next: note}]
  default: fan
- {name: approve, type: Signal, signal: approved, timeoutSeconds: 7200, catch: [{errors: [States.Timeout], next: lost}]}
- {name: note, type: Pass}
- name: fan
  type: Parallel
  retry: {limit: 1}
  branches:
  - states: [{name: print, pool: printers, retry: {limit: 0}}]
  - states:
    - {name: each, type: Map, items: "${input.items}", maxConcurrency: 5, states: [{name: wrap, pool: packers}]}
- {name: good, type: Succeed}
- {name: pause, type: Wait, seconds: 90, next: reserve}
- {name: lost, type: Fail, code: OrderLost}
"""


def states(text: str) -> tuple[StateSpec, ...]:
    return parse_spec({"states": yaml.safe_load(text)}).states


def define(text: str, name: str = "order") -> Definition:
    compiled = compile_workflow(name, parse_spec({"states": yaml.safe_load(text)}))
    assert isinstance(compiled, Definition), compiled
    return compiled


def graph(text: str) -> Graph:
    return graph_of(define(text))


def blocks(whole: Graph) -> Iterator[Graph]:
    """A graph and all inside it."""
    yield whole
    for node in whole.nodes:
        for block in node.blocks:
            yield from blocks(block)


def all_nodes(whole: Graph) -> dict[str, Node]:
    return {node.id: node for block in blocks(whole) for node in block.nodes}


def all_edges(whole: Graph) -> list[Edge]:
    return [edge for block in blocks(whole) for edge in block.edges]


def said(edges: list[Edge]) -> set[str]:
    """Edges as a person would say them: `reserve -catch-> lost: catch OutOfStock`."""
    return {
        f"{e.source} -{e.move.value}-> {e.target}" + (f": {' or '.join(e.labels)}" if e.labels else "") for e in edges
    }


def taken(whole: Graph) -> set[str]:
    return {f"{e.source} -{e.move.value}-> {e.target}" for e in all_edges(whole) if e.taken}


def marks(whole: Graph, mark: Any) -> set[str]:
    return {name for name, node in all_nodes(whole).items() if node.mark is mark}
