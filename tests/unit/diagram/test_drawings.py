"""Mermaid and SVG: complete, escaped, and laid out so that nothing lies on anything else."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastercontrol.diagram.cells import Size
from mastercontrol.diagram.graph import Edge, Graph, Kind, Mark, Move, Node
from mastercontrol.diagram.layout import Placed, place
from mastercontrol.diagram.mermaid import mermaid
from mastercontrol.diagram.svg import svg
from unit.diagram.drawing import EVERY_TYPE, all_edges, all_nodes, graph

NASTY = '"</text><script>alert(1)</script>& `x` # %% \x07'
SVG = "{http://www.w3.org/2000/svg}"
SMALL = "- {name: reserve, pool: inventory, retry: {limit: 1}}\n- {name: end, type: Pass}"

GOLDEN = """%% Workflow small
flowchart TD
  n0(["Begin"])
  n1["reserve<br/>pool inventory"]
  n2["end<br/>Pass"]
  n3(["Done"])
  n0 --> n1
  n1 --> n2
  n1 -.->|"retry 1 times"| n1
  n2 --> n3
"""


def test_the_mermaid_of_a_small_workflow() -> None:
    assert mermaid(graph(SMALL), "Workflow small") == GOLDEN


def test_mermaid_has_every_node_and_edge_and_closes_what_it_opens() -> None:
    whole = graph(EVERY_TYPE)
    lines = [line.strip() for line in mermaid(whole, "x").splitlines()]
    assert sum("-->" in line or "-.->" in line for line in lines) == len(all_edges(whole))
    assert lines.count("end") == sum(line.startswith("subgraph") for line in lines) == 5
    assert all(
        any(f"{node.name}<br/>" in t or f'"{node.name}' in t for t in lines) for node in all_nodes(whole).values()
    )


def marked_graph(text: str = "b") -> Graph:
    nodes = (
        Node("(Begin)", "Begin", Kind.BEGIN, mark=Mark.PASSED),
        Node("a", text, Kind.TASK, (text,), mark=Mark.CURRENT),
    )
    edges = (
        Edge("(Begin)", "a", Move.NEXT, (text,), taken=True),
        Edge("a", "a", Move.RETRY, (text,)),
    )
    return Graph("", nodes, edges)


def test_mermaid_marks_the_path() -> None:
    lines = [line.strip() for line in mermaid(marked_graph(), "x").splitlines()]
    assert "class n1 current" in lines
    assert "class n0 passed" in lines
    assert any(line.startswith("linkStyle 0 ") for line in lines)


def test_mermaid_escapes_what_would_end_a_text() -> None:
    title, text = mermaid(marked_graph(NASTY), f"%%{{x}}\n{NASTY}").split("\n", 1)
    assert title == '%% x"</text><script>alert(1)</script>& `x` #  '
    assert "<script>" not in text
    assert text.count('"') == 2 * 4  # two nodes, two labels
    assert "#34;#60;/text#62;" in text
    assert "\x07" not in text


def test_svg_escapes_every_text() -> None:
    root = ET.fromstring(svg(marked_graph(NASTY), NASTY))
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert texts.count(NASTY.replace("\x07", "")) == 5  # title, name, detail, two labels
    assert not list(root.iter(f"{SVG}script"))


def test_svg_has_every_node_and_edge() -> None:
    whole = graph(EVERY_TYPE)
    root = ET.fromstring(svg(whole, "Workflow order"))
    hints = [t.text or "" for t in root.iter(f"{SVG}title")]
    assert sorted(h.partition(":")[0] for h in hints) == sorted(all_nodes(whole))
    groups = [g.get("class", "") for g in root.iter(f"{SVG}g")]
    assert sum(c.startswith("edge ") for c in groups) == len(all_edges(whole))
    shown = {t.text for t in root.iter(f"{SVG}text")}
    assert {label for edge in all_edges(whole) for label in edge.labels} <= shown


def test_svg_marks_the_path_with_classes_and_words() -> None:
    text = svg(marked_graph(), "x")
    assert 'class="edge next taken"' in text
    assert 'class="node task is-current"' in text
    assert "<title>a: Task, current</title>" in text


def test_svg_says_its_title_to_those_who_do_not_see_it() -> None:
    root = ET.fromstring(svg(graph(SMALL), "Workflow small"))
    assert (root.get("role"), root.get("aria-label")) == ("img", "Workflow small")


def test_the_same_graph_gives_the_same_picture() -> None:
    assert svg(graph(EVERY_TYPE), "x") == svg(graph(EVERY_TYPE), "x")


# -- layout

WIDE = Size(80, 40)
TALL = Size(120, 300)
Box = tuple[float, float, float, float]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any graph whose nodes are all reached from the first."""
    count = draw(st.integers(2, 9))
    names = [f"n{i}" for i in range(count)]
    pairs = [(names[draw(st.integers(0, i - 1))], names[i]) for i in range(1, count)]
    more = st.tuples(st.sampled_from(names), st.sampled_from(names[1:]))
    pairs += draw(st.lists(more, max_size=10))
    labels = st.sampled_from([(), ("short",), ("a rather long label", "two")])
    edges = tuple(Edge(a, b, Move.NEXT, draw(labels)) for a, b in pairs)
    return Graph("", tuple(Node(name, name, Kind.TASK) for name in names), edges)


def node_size(name: str) -> Size:
    return TALL if name in {"n2", "n5"} else Size(90, 40, 60) if name == "n3" else WIDE


def label_size(edge: Edge) -> Size:
    return Size(max(len(t) for t in edge.labels) * 7.0, 14.0 * len(edge.labels)) if edge.labels else Size(0, 0)


def box(middle: tuple[float, float], size: Size) -> Box:
    (x, y), half, tall = middle, size.width / 2, size.height / 2
    return x - half, y - tall, x + half + size.right, y + tall


def boxes(whole: Graph, placed: Placed) -> list[Box]:
    found = [box(at, node_size(name)) for name, at in placed.nodes.items()]
    return found + [box(at, label_size(whole.edges[i])) for i, at in placed.labels.items()]


@settings(deadline=None)
@given(graphs())
def test_nodes_and_labels_do_not_overlap_and_are_inside(whole: Graph) -> None:
    placed = place(whole, node_size, label_size)
    found = boxes(whole, placed)
    for a, b in itertools.combinations(found, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)
    for left, top, right, bottom in found:
        assert left >= -0.01
        assert top >= -0.01
        assert right <= placed.width + 0.01
        assert bottom <= placed.height + 0.01


@settings(deadline=None)
@given(graphs())
def test_lines_begin_and_end_at_their_nodes_and_pass_beside_the_others(whole: Graph) -> None:
    placed = place(whole, node_size, label_size)
    for index, points in placed.lines.items():
        edge = whole.edges[index]
        for name, (x, y) in ((edge.source, points[0]), (edge.target, points[-1])):
            left, top, right, bottom = box(placed.nodes[name], node_size(name))
            assert left <= x <= right
            assert min(abs(y - top), abs(y - bottom)) < 0.01
        for name, middle in placed.nodes.items():
            left, top, right, bottom = box(middle, node_size(name))
            inside = [(x, y) for x, y in points if left < x < right and top < y < bottom]
            assert not inside, f"{edge} goes through {name}"


@settings(deadline=None)
@given(graphs())
def test_lines_turn_between_layers_only(whole: Graph) -> None:
    """A turn beside a node would cut its corner: at each y of a node's box a line is upright."""
    placed = place(whole, node_size, label_size)
    for points in placed.lines.values():
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            if abs(x0 - x1) < 0.01:
                continue
            top, bottom = min(y0, y1), max(y0, y1)
            for name, middle in placed.nodes.items():
                _, above, _, below = box(middle, node_size(name))
                assert below <= top + 0.01 or above >= bottom - 0.01, name


@pytest.mark.parametrize("count", [60, 200])
def test_a_long_workflow_is_drawn_soon(count: int) -> None:
    text = "\n".join(f"- {{name: s{i}, pool: p, catch: [{{errors: [E], next: s0}}]}}" for i in range(count))
    root = ET.fromstring(svg(graph(text), "long"))
    assert sum(1 for _ in root.iter(f"{SVG}title")) == count + 2
