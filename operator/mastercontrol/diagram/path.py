"""The path of a job through a graph: where it was, how it went from state to state, where it is.

Read from `status.history` (bounded: what it has lost is not marked) and, for where the job is now, from
`status.active`. The items of a Map share their nodes, so what one of them did is marked for all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mastercontrol.api.names import Phase, Reason
from mastercontrol.api.status import ActiveStep, HistoryEntry, JobStatus
from mastercontrol.diagram.graph import Edge, Graph, Kind, Mark, Move, Node, node_id, own
from mastercontrol.workflow.definition import Definition, MapState
from mastercontrol.workflow.machine import BEGIN, CANCELLED, DONE, FAILED, IN_PROGRESS, step_of


def marked(graph: Graph, definition: Definition, status: JobStatus | None) -> Graph:
    """The graph with the path of a job. A job without status has not begun."""
    path = _Path(definition)
    status = status or JobStatus()
    path.follow(status.history, status.active)
    path.arrive(status)
    return path.onto(graph)


def history_is_cut(status: JobStatus | None) -> bool:
    """Whether the beginning of the path is not known any more."""
    return status is not None and bool(status.history) and status.history[0].seq > 1


@dataclass
class _Path:
    definition: Definition
    last: dict[str, str] = field(default_factory=dict)  # by block, with real indexes: the state that it was in last
    steps: dict[tuple[str, str, Move], str] = field(default_factory=dict)  # source, target, move: the reason
    marks: dict[str, Mark] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    # -- what happened

    def follow(self, history: tuple[HistoryEntry, ...], active: tuple[ActiveStep, ...]) -> None:
        """Go along the history."""
        if not history or history[0].seq <= 1:
            self.last[""] = own(BEGIN)
            self.mark(own(BEGIN))
        for i, line in enumerate(history):
            at = step_of(line.state)
            if at is None:
                self._ends(line)
            elif at.endswith("]"):
                self._goes(at, own(DONE), Move.NEXT, line.reason)
            else:
                later = {step_of(h.state) or "" for h in history[i + 1 :]} | {a.path for a in active}
                self._enters(at, line, lives_on=any(_is_at(p, at) for p in later))
        for entry in active:
            if entry.attempt > 1:
                self._step(entry.path, entry.path, Move.RETRY, "")

    def _ends(self, line: HistoryEntry) -> None:
        move = {FAILED: Move.FAIL, CANCELLED: Move.CANCEL}.get(line.state, Move.NEXT)
        self._goes("", own(line.state), move, line.reason)

    def _enters(self, at: str, line: HistoryEntry, *, lives_on: bool) -> None:
        block, _, name = at.rpartition(".")
        if line.reason == Reason.STARTED:
            self.last[block] = own(BEGIN)
            self.mark(node_id(block, own(BEGIN)))
        if self.last.get(block) == name and at in self.definition.closing:
            self._goes(at, own(DONE), Move.NEXT, line.reason)  # its block is done
            return
        if self.last.get(block) == name and line.reason != Reason.STEP_SUCCEEDED:
            # The same line says that an attempt failed and, in a block, that there is no other.
            if lives_on or not block:
                self._step(at, at, Move.RETRY, "")
            return
        done = line.reason in {Reason.STARTED, Reason.STEP_SUCCEEDED}
        self._goes(block, name, Move.NEXT if done else Move.CATCH, line.reason)

    def _goes(self, block: str, name: str, move: Move, reason: str) -> None:
        before = self.last.get(block)
        if before is not None:
            self._step(node_id(block, before), node_id(block, name), move, reason)
        self.mark(node_id(block, name))
        self.last[block] = name

    def _step(self, source: str, target: str, move: Move, reason: str) -> None:
        self.steps[(_shared(source, self.definition), _shared(target, self.definition), move)] = reason

    # -- where it is

    def arrive(self, status: JobStatus) -> None:
        """Mark where the job is, or where it ended."""
        if step_of(status.state) is None and status.state != IN_PROGRESS:
            self.mark(own(status.state), Mark.FAILED if status.phase is Phase.FAILED else Mark.CURRENT)
        if status.error is not None and status.error.state:
            self._mark_all(status.error.state, Mark.FAILED)
        for at in [a.path for a in status.active] or filter(None, [step_of(status.state)]):
            self._mark_all(at, Mark.CURRENT)
        self._count(status)

    def _mark_all(self, path: str, mark: Mark) -> None:
        """A state, and those that it is in."""
        parts = path.split(".")
        for i in range(len(parts)):
            self.mark(re.sub(r"\[\d+\]\Z", "", ".".join(parts[: i + 1])), mark)

    def mark(self, path: str, mark: Mark = Mark.PASSED) -> None:
        """The strongest mark stays."""
        here, order = _shared(path, self.definition), list(Mark)
        self.marks[here] = max(mark, self.marks.get(here, Mark.NONE), key=order.index)

    def _count(self, status: JobStatus) -> None:
        """How far the groups are that are at work."""
        done, size = Counter[str](), Counter[str]()
        for group in status.groups:
            here = _shared(group.path, self.definition)
            done[here] += len(group.results)
            size[here] += group.size
        self.notes |= {here: f"{done[here]} of {size[here]} done" for here in size}

    # -- onto the graph

    def onto(self, graph: Graph) -> Graph:
        """The graph of a block with what is known of it; a move that it has not is added."""
        known = {node.id for node in graph.nodes}
        edges = [replace(edge, taken=self._is_taken(edge)) for edge in graph.edges]
        for (source, target, move), reason in self.steps.items():
            # From Failed a user may have the job go on; it need not be a node yet.
            inside = (source in known or source == own(FAILED)) and _block_of(target) == graph.path
            if inside and not any(e.taken and (e.source, e.target) == (source, target) for e in edges):
                edges.append(_unforeseen(source, target, move, reason))
        nodes = [*graph.nodes, *_missing(known, edges)]
        return Graph(graph.path, tuple(self._onto_node(node) for node in nodes), tuple(edges))

    def _is_taken(self, edge: Edge) -> bool:
        moves = {edge.move}
        if edge.source == edge.target and edge.move is Move.CATCH:
            moves.add(Move.RETRY)  # the history tells the two apart by where they lead only
        return any((edge.source, edge.target, move) in self.steps for move in moves)

    def _onto_node(self, node: Node) -> Node:
        details = (*node.details, self.notes[node.id]) if node.id in self.notes else node.details
        blocks = tuple(self.onto(block) for block in node.blocks)
        return replace(node, details=details, blocks=blocks, mark=self.marks.get(node.id, Mark.NONE))


def _unforeseen(source: str, target: str, move: Move, reason: str) -> Edge:
    """A move that every state allows and that is drawn only where it was made, or one that was made by hand."""
    by_hand = move not in {Move.FAIL, Move.CANCEL}
    label = reason or move.value
    return Edge(source, target, Move.MANUAL if by_hand else move, (label,), taken=True)


def _missing(known: set[str], edges: Iterable[Edge]) -> list[Node]:
    """The ends of the machine that an added edge leads to."""
    kinds = {own(kind): kind for kind in (Kind.DONE, Kind.FAILED, Kind.CANCELLED)}
    ends = sorted({end for edge in edges for end in (edge.source, edge.target) if _name(end) in kinds} - known)
    return [Node(end, kinds[_name(end)].value, kinds[_name(end)]) for end in ends]


def _is_at(path: str, state: str) -> bool:
    return path == state or path.startswith(f"{state}[")


def _block_of(node: str) -> str:
    return node.rpartition(".")[0]


def _name(node: str) -> str:
    return node.rpartition(".")[2]


def _shared(path: str, definition: Definition) -> str:
    """A job's path as an id of the graph: the items of a Map share their nodes."""
    shared: list[str] = []
    real: list[str] = []
    for part in path.split("."):
        name, _, index = part.partition("[")
        is_item = bool(index) and isinstance(definition.find(".".join([*real, name])), MapState)
        shared.append(f"{name}[*]" if is_item else part)
        real.append(part)
    return ".".join(shared)
