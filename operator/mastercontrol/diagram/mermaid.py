"""A graph as a Mermaid flowchart, for places that draw Mermaid themselves.

Ids are numbers, because Mermaid has words of its own (`end`), and every text is quoted and escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mastercontrol.diagram.graph import Edge, Graph, Kind, Mark, Move, Node

_SHAPES: Final = {
    Kind.BEGIN: ("([", "])"),
    Kind.DONE: ("([", "])"),
    Kind.FAILED: ("([", "])"),
    Kind.CANCELLED: ("([", "])"),
    Kind.CHOICE: ("{{", "}}"),
    Kind.WAIT: ("([", "])"),
    Kind.SIGNAL: (">", "]"),
}

_STYLES: Final = (
    "classDef passed stroke:#0969da,stroke-width:3px",
    "classDef current stroke:#9a6700,stroke-width:4px,fill:#fff8c5,color:#1f2328",
    "classDef failed stroke:#cf222e,stroke-width:4px,fill:#ffebe9,color:#1f2328",
)
_TAKEN: Final = "stroke:#0969da,stroke-width:3px"


def mermaid(graph: Graph, title: str) -> str:
    """The text of the picture. The title stands in a comment: not everything that draws Mermaid shows one."""
    return "\n".join(_Writer().lines(graph, title)) + "\n"


class _Writer:
    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        self.edges: list[Edge] = []
        self.marks: dict[Mark, list[str]] = {}

    def lines(self, graph: Graph, title: str) -> Iterator[str]:
        # A comment ends with its line, and `%%{` begins a directive.
        yield "%% " + "".join(c for c in title if c.isprintable() and c not in "%{}")
        yield "flowchart TD"
        yield from (f"  {line}" for line in self._block(graph))
        if self.marks:
            yield from (f"  {style}" for style in _STYLES)
        for mark, ids in self.marks.items():
            yield f"  class {','.join(ids)} {mark.value}"
        taken = [str(i) for i, edge in enumerate(self.edges) if edge.taken]
        if taken:
            yield f"  linkStyle {','.join(taken)} {_TAKEN}"

    def _block(self, graph: Graph) -> Iterator[str]:
        for node in graph.nodes:
            yield from self._node(node)
        for edge in graph.edges:
            self.edges.append(edge)
            yield self._edge(edge)

    def _node(self, node: Node) -> Iterator[str]:
        here = self.ids[node.id] = f"n{len(self.ids)}"
        if node.mark is not Mark.NONE:
            self.marks.setdefault(node.mark, []).append(here)
        # Not everything that draws Mermaid has room for a second line in the title of a subgraph.
        text = (", " if node.blocks else "<br/>").join(_escaped(line) for line in (node.name, *node.details))
        if not node.blocks:
            before, after = _SHAPES.get(node.kind, ("[", "]"))
            yield f'{here}{before}"{text}"{after}'
            return
        yield f'subgraph {here}["{text}"]'
        for i, block in enumerate(node.blocks):
            inner = f"{here}b{i}"
            yield f'  subgraph {inner}["{_escaped(_block_name(node, i))}"]'
            yield from (f"    {line}" for line in self._block(block))
            yield "  end"
        yield "end"

    def _edge(self, edge: Edge) -> str:
        arrow = "-->" if edge.move is Move.NEXT else "-.->"
        text = "<br/>".join(_escaped(label) for label in edge.labels)
        label = f'|"{text}"|' if text else ""
        return f"{self.ids[edge.source]} {arrow}{label} {self.ids[edge.target]}"


def _block_name(node: Node, index: int) -> str:
    return "each item" if node.kind is Kind.MAP else f"branch {index}"


_ESCAPES: Final = str.maketrans({c: f"#{ord(c)};" for c in "\"#&<>`\\'"})


def _escaped(text: str) -> str:
    """As Mermaid writes characters: `#34;` by their number. Control characters are left away."""
    return "".join(c for c in text if c.isprintable()).translate(_ESCAPES)
