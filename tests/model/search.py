"""Every state that the model can be in, breadth first, so that the first fault found has a shortest way to it.

Two things are looked for: a write that breaks a promise, and a state from which the job cannot come to its end without
the help of an accident or of a zombie. For the second all states are visited first, then the way back from the ends is
followed.

A state that was visited is known by its hash of 64 bits, as in every large model checker. That two of n states share
one, and the second is passed over, has a probability of n * n / 2**65: for a million states, less than one in ten
millions.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from model.protocol import Protocol, Wrong
from model.state import State


@dataclass(frozen=True)
class Fault:
    """What is wrong, and the actions that lead there."""

    what: str
    trace: tuple[str, ...]


@dataclass
class Found:
    """What a search came to. `fault` None: nothing is wrong within the bounds. `complete`: all states were visited."""

    states: int = 0
    edges: int = 0
    ends: int = 0
    depth: int = 0
    fault: Fault | None = None
    complete: bool = True
    actions: set[str] = field(default_factory=set)


def search(protocol: Protocol, begin: State, most: int = 50_000_000) -> Found:
    """Visit all states from `begin` on, at most so many."""
    return _Search(protocol, begin, most).run()


class _Search:
    def __init__(self, protocol: Protocol, begin: State, most: int) -> None:
        self.protocol = protocol
        self.most = most
        self.begin = begin
        self.numbers: dict[int, int] = {hash(begin): 0}
        self.before = array("l", [-1])  # the state that each was first reached from
        self.by = array("H", [0])  # and the action, by its place in `names`
        self.names: list[str] = [""]
        self.places: dict[str, int] = {"": 0}
        self.sources = array("L")  # edges that help a job on
        self.targets = array("L")
        self.ends = array("L")
        self.found = Found()

    def run(self) -> Found:
        level = [self.begin]
        while level and self.found.fault is None:
            if len(self.numbers) > self.most:
                self.found.complete = False
                break
            self.found.depth += 1
            level = self._visit(level)
        self.found.states = len(self.numbers)
        self.found.ends = len(self.ends)
        self.found.actions = set(self.names[1:])
        if self.found.fault is None and self.found.complete:
            self._look_for_stuck()
        return self.found

    def _visit(self, level: list[State]) -> list[State]:
        numbers, fresh = self.numbers, list[State]()
        for state in level:
            here = numbers[hash(state)]
            if self.protocol.is_over(state):
                if state.executed != (1 << self.protocol.steps) - 1:
                    return self._wrong(here, "the job is Done, and a step was never executed")
                self.ends.append(here)  # and on: a late write must not land on it
            try:
                for action, after, helps in self.protocol.next(state):
                    key = hash(after)
                    there = numbers.get(key)
                    if there is None:
                        there = numbers[key] = len(numbers)
                        self.before.append(here)
                        self.by.append(self._place(action))
                        fresh.append(after)
                    self.found.edges += 1
                    if helps:
                        self.sources.append(here)
                        self.targets.append(there)
            except Wrong as wrong:
                return self._wrong(here, str(wrong))
        return fresh

    def _place(self, action: str) -> int:
        place = self.places.get(action)
        if place is None:
            place = self.places[action] = len(self.names)
            self.names.append(action)
        return place

    def _wrong(self, at: int, what: str) -> list[State]:
        self.found.fault = Fault(what, self._trace(at))
        return []

    def _trace(self, at: int) -> tuple[str, ...]:
        actions = []
        while at > 0:
            actions.append(self.names[self.by[at]])
            at = self.before[at]
        return tuple(reversed(actions))

    def _look_for_stuck(self) -> None:
        """Follow the helping edges back from the ends. What is not reached is stuck."""
        count = len(self.numbers)
        begins = array("L", bytes(array("L").itemsize * (count + 1)))
        for target in self.targets:
            begins[target + 1] += 1
        for i in range(count):
            begins[i + 1] += begins[i]
        at, into = array("L", begins), array("L", bytes(array("L").itemsize * len(self.targets)))
        for source, target in zip(self.sources, self.targets, strict=True):
            into[at[target]] = source
            at[target] += 1
        reached = bytearray(count)
        for end in self.ends:
            reached[end] = 1
        waiting = list(self.ends)
        while waiting:
            here = waiting.pop()
            for source in into[begins[here] : begins[here + 1]]:
                if not reached[source]:
                    reached[source] = 1
                    waiting.append(source)
        stuck = reached.find(0)
        if stuck >= 0:
            self.found.fault = Fault("from here the job cannot come to its end", self._trace(stuck))
