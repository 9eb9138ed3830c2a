"""One job's way through its Workflow, told again line by line: where it stands, and whether each move is legal.

A line is a transition: it names where it leads (`InProgress.each[1].resize`) and why. A move that the Workflow does not
have raises `Illegal`; what it says is the fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from checker.language import CLOSING, COMPENSATE, ON_EXIT, Block, State, Workflow, at, holder, split

STARTED: Final = "Started"
SUCCEEDED: Final = "StepSucceeded"
SKIPPED: Final = "Skipped"
RETRIED: Final = "Retried"
RESTARTED: Final = "Restarted"

BEGIN: Final = "Begin"
DONE: Final = "Done"
FAILED: Final = "Failed"
CANCELLED: Final = "Cancelled"
FINAL: Final = frozenset({DONE, FAILED, CANCELLED})
PREFIX: Final = "InProgress."


class Illegal(Exception):
    """A move that the Workflow does not have."""


class AfterEnd(Illegal):
    """A move of a job that has ended."""


@dataclass(frozen=True)
class Line:
    """One transition, as a status keeps it in its history."""

    seq: int
    state: str
    reason: str

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Line:
        """An entry of `status.history`: a reason that is absent is that a step succeeded."""
        return cls(int(raw["seq"]), str(raw["state"]), str(raw.get("reason", SUCCEEDED)))

    @property
    def good(self) -> bool:
        """Whether the state before was done, by its work or because a user said so."""
        return self.reason in {SUCCEEDED, SKIPPED}

    def __str__(self) -> str:
        return f"{self.seq} ({self.state}, {self.reason})"


@dataclass(frozen=True)
class Place:
    """The state that a block is in. `attempts`: which attempt of it may be at work; a failed one may be its last."""

    name: str
    seq: int
    attempts: frozenset[int] = frozenset({1})
    failed: bool = False
    over: bool = False  # and with it its block


@dataclass(frozen=True)
class Left:
    """A state was left because what it waits for came: of a Task, one of these dispatches must have been executed."""

    path: str
    line: Line
    seq: int
    attempts: frozenset[int]
    type: str
    signal: str


@dataclass
class Replay:
    """Where a job stands. `state` is the machine's; `places` has the block of each scope that is open, "" the top."""

    workflow: Workflow
    state: str = BEGIN
    places: dict[str, Place] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)
    due: set[tuple[str, int, int]] = field(default_factory=set)  # path, seq and attempt of all that ever was at work
    resumed: bool = False

    def move(self, line: Line) -> None:
        """Take one line.

        :raises Illegal: the Workflow has no such move. The job then stands where the line says, as far as it can.
        """
        try:
            self._move(line)
        except Illegal:
            self.jump(line)
            raise

    def jump(self, line: Line) -> None:
        """Stand where a line says, whatever was before."""
        if line.state in FINAL or not line.state.startswith(PREFIX):
            self.state = line.state
            return
        path = line.state.removeprefix(PREFIX)
        top = split(path.partition(".")[0])[0]
        self.state = PREFIX + top
        scope, name = at(path)
        if "" not in self.places or self.places[""].name != top:
            self.places[""] = Place(top, line.seq)
        if not name.endswith("]") and self.workflow.state(path) is not None:
            self._enter(scope, name, line)

    def stand(self, status: Mapping[str, Any]) -> None:
        """Stand where a status says, after lines that nobody saw."""
        self.state = str(status.get("state", BEGIN))
        self.places.clear()
        self.resumed = True  # which blocks were begun and are done is not known any more
        if self.state.startswith(PREFIX):
            self.places[""] = Place(self.state.removeprefix(PREFIX), 0)
        for group in status.get("groups") or ():
            self._stand(str(group["path"]), int(group["seq"]), int(group.get("attempt", 1)))
            for index in range(int(group.get("started", 0))):
                done = str(index) in (group.get("results") or {})
                self.places[f"{group['path']}[{index}]"] = Place("", 0, over=done)
        for entry in status.get("active") or ():
            self._stand(str(entry["path"]), int(entry["seq"]), int(entry.get("attempt", 1)))

    def _stand(self, path: str, seq: int, attempt: int) -> None:
        scope, name = at(path)
        self.places[scope] = Place(name, seq, frozenset({attempt}))
        self.due.add((path, seq, attempt))
        parent = holder(scope)
        if scope and parent not in CLOSING:
            outer, top = at(parent)
            self.places.setdefault(outer, Place(top, 0))

    # -- lines

    def _move(self, line: Line) -> None:
        if line.state in FINAL:
            self._end(line)
            return
        if not line.state.startswith(PREFIX):
            raise Illegal(f"{line.state!r} is no state of a job")
        if self.state in {DONE, CANCELLED}:
            raise AfterEnd(f"after its end as {self.state}")
        path = line.state.removeprefix(PREFIX)
        scope, name = at(path)
        if line.reason in {RETRIED, RESTARTED}:
            self._operated(line, scope, name)
        elif self.state == FAILED:
            raise AfterEnd("after its end as Failed, and nobody asked for it")
        elif name.endswith("]") or (path == ON_EXIT and self._name("") == ON_EXIT):
            self._block_over(line, path)
        elif scope:
            self._inside(line, scope, name)
        else:
            self._top(line, name)

    def _end(self, line: Line) -> None:
        if self.state in FINAL:
            raise AfterEnd(f"after its end as {self.state}")
        if line.state == DONE:
            if self.state == BEGIN:
                raise Illegal("it never began")
            state = self._present("")
            if not state.ends or (ON_EXIT in self.workflow.closing and state.name != ON_EXIT):
                raise Illegal(f"{state.name} is not the last state")
            if state.name == ON_EXIT:
                self._require_quiet(ON_EXIT)
            else:
                self._leave(line, "")
        self.state = line.state

    def _operated(self, line: Line, scope: str, name: str) -> None:
        """A user had a failed job go on where it stood, or begin anew."""
        if line.reason == RESTARTED:
            if self.state != FAILED or scope or name != self.workflow.top.first:
                raise Illegal("Restarted leads from Failed to the first state")
            self.places.clear()
        else:
            if self.state != FAILED and not self.resumed:
                raise Illegal("Retried leads from Failed")
            self.resumed = True
        if not scope:
            self.state = PREFIX + name
        state = self.workflow.state(f"{scope}.{name}" if scope else name)
        if state is not None and state.blocks:
            self.places[scope] = Place(name, line.seq)  # what is in it stands as it stood
        else:
            self._enter(scope, name, line)

    def _top(self, line: Line, name: str) -> None:
        if self.state == BEGIN:
            if name != self.workflow.top.first:
                raise Illegal(f"Begin leads to {self.workflow.top.first}")
        elif name in self.workflow.closing:
            before = self._name("")
            if before in {ON_EXIT, name}:
                raise Illegal(f"{before} does not lead to it")
            if before in CLOSING:
                self._require_quiet(before)
            elif line.reason == SUCCEEDED:
                self._leave(line, "", closing=True)
        elif self._again(line, "", name):
            return
        else:
            self._follow(line, "", name)
        self.state = PREFIX + name
        self._enter("", name, line)

    def _inside(self, line: Line, scope: str, name: str) -> None:
        block = self._open(scope)
        place = self.places.get(scope)
        if line.reason == STARTED:
            self._begin_block(line, scope, name, block)
        elif place is None or place.over:
            raise Illegal(f"{scope} is not at work")
        elif place.name and not self._again(line, scope, name):
            self._follow(line, scope, name)
            self._enter(scope, name, line)

    def _begin_block(self, line: Line, scope: str, name: str, block: Block) -> None:
        if name != block.first:
            raise Illegal(f"{scope} begins with {block.first}")
        path = holder(scope)
        if path in CLOSING:
            self._require_quiet(path)
        elif scope in self.places and not (self.resumed and not self.places[scope].over):
            raise Illegal(f"{scope} was begun already")
        self._enter(scope, name, line)

    def _block_over(self, line: Line, scope: str) -> None:
        self._open(scope)
        place = self.places.get(scope)
        if place is None or place.over:
            raise Illegal(f"{scope} is not at work")
        if place.name:
            if not self._present(scope).ends:
                raise Illegal(f"{place.name} is not the last state of {scope}")
            self._leave(line, scope)
        self.places[scope] = replace(place, over=True)

    # -- single moves

    def _open(self, scope: str) -> Block:
        """The block of a scope whose holder is where the job is."""
        block = self.workflow.scope(scope)
        if block is None:
            raise Illegal(f"there is no block {scope}")
        path = holder(scope)
        outer, name = at(path)
        if self._name(outer) != name:
            raise Illegal(f"the job is not in {path}, but in {self._name(outer)}")
        return block

    def _again(self, line: Line, scope: str, name: str) -> bool:
        """Whether a state stays where it is as an attempt of it failed. Whether there is another one is seen later."""
        place, state = self.places.get(scope), self._present(scope)
        if line.good or line.reason == STARTED or place is None or place.name != name:
            return False
        if not scope and not state.may_be_retried and name not in state.catches:
            return False
        path = f"{scope}.{name}" if scope else name
        again = frozenset(n + 1 for n in place.attempts)
        attempts = again | {1} if name in state.catches else again
        self._drop_inside(path)
        self.places[scope] = Place(name, line.seq, attempts, failed=True)
        self._note(path, self.places[scope])
        return True

    def _follow(self, line: Line, scope: str, name: str) -> None:
        state = self._present(scope)
        if line.good:
            if name not in state.following:
                raise Illegal(f"{state.name} does not lead to {name}")
            self._leave(line, scope)
        elif name not in state.catches:
            raise Illegal(f"{state.name} does not lead to {name} after {line.reason}")

    def _leave(self, line: Line, scope: str, *, closing: bool = False) -> None:
        """A state is done: note what must have been executed for that, and that its blocks are over."""
        place, state = self.places[scope], self._present(scope)
        path = f"{scope}.{place.name}" if scope else place.name
        if closing and not state.ends:
            raise Illegal(f"{state.name} is not the last state")
        if line.reason == SKIPPED:
            return
        if state.type == "Fail":
            raise Illegal(f"{path} is a Fail state, which is never done")
        if state.type in {"Task", "Signal", "SubJob"}:
            self.left.append(Left(path, line, place.seq, place.attempts, state.type, state.signal))
        begun = [s for s in self.places if s and holder(s) == path]
        if state.count is not None and len(begun) < state.count and not self.resumed:
            raise Illegal(f"{state.count - len(begun)} branches of {path} were never begun")
        for inner in begun:
            if not self.is_over(inner):
                raise Illegal(f"{inner} is not over")

    def is_over(self, scope: str) -> bool:
        """Whether a block may be over: it is, or it has failed, of which a Fail state leaves no line."""
        place = self.places[scope]
        state = self.workflow.state(f"{scope}.{place.name}")
        return place.over or place.failed or (state is not None and state.type == "Fail") or self._broken(scope)

    def _broken(self, scope: str) -> bool:
        """Whether a block inside has failed and took this one with it."""
        path = f"{scope}.{self.places[scope].name}"
        return any(self.is_over(s) and not self.places[s].over for s in self.places if s and holder(s) == path)

    def _require_quiet(self, closing: str) -> None:
        """What is undone and what runs at the end is over."""
        for scope in [s for s in self.places if s and holder(s) == closing]:
            if not self.is_over(scope):
                raise Illegal(f"{scope} is not over")

    # -- places

    def _enter(self, scope: str, name: str, line: Line) -> None:
        path = f"{scope}.{name}" if scope else name
        if path not in CLOSING or path == COMPENSATE:
            self._drop_inside(path)
        self.places[scope] = Place(name, line.seq)
        self._note(path, self.places[scope])

    def _note(self, path: str, place: Place) -> None:
        self.due |= {(path, place.seq, attempt) for attempt in place.attempts}

    def _drop_inside(self, path: str) -> None:
        for scope in [s for s in self.places if s.startswith((f"{path}[", f"{path}."))]:
            del self.places[scope]

    def _name(self, scope: str) -> str | None:
        place = self.places.get(scope)
        return None if place is None else place.name

    def _present(self, scope: str) -> State:
        """The state that a scope is in."""
        name = self._name(scope)
        path = f"{scope}.{name}" if scope else name
        state = None if path is None else self.workflow.state(path)
        if state is None:
            raise Illegal(f"the job stands in {path}, which the Workflow does not have")
        return state

    def may_be_over(self, path: str) -> bool:
        """Whether a state may stand where it is for good, as its block has failed."""
        scope, _ = at(path)
        return bool(scope) and self.is_over(scope)

    def standing(self) -> Iterator[tuple[str, Place, State]]:
        """Every state at work that must come on by itself: path, place, state."""
        for scope, place in self.places.items():
            path = f"{scope}.{place.name}" if scope else place.name
            state = self.workflow.state(path) if place.name else None
            if state is not None and not place.over:
                yield path, place, state
