"""One job of a run: its commits are replayed as they come, and all else that was seen of it is kept for the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from checker.events import Event
from checker.faults import Fault, Rule
from checker.language import NOWHERE, Workflow
from checker.replay import FINAL, AfterEnd, Illegal, Left, Line, Replay


@dataclass
class Job:
    """A job, and what was found wrong with it. `name` is for people, `uid` stands in its events."""

    uid: str
    name: str
    workflow: str = ""
    parent: str | None = None
    replay: Replay = field(default_factory=lambda: Replay(NOWHERE))
    last: Event | None = None  # its newest commit
    faults: list[Fault] = field(default_factory=list)
    deleted: bool = False
    suspended: bool = False
    signals: Counter[str] = field(default_factory=Counter)
    knows_signals: bool = True  # whether it is known which it was created with
    operations: int = 0
    dispatched: Counter[str] = field(default_factory=Counter)
    executed: Counter[str] = field(default_factory=Counter)
    succeeded: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    first_sequence: int | None = None  # that of the commit with which it began
    early: list[tuple[float, str]] = field(default_factory=list)  # dispatches that no commit had asked for yet
    commits: int = 0
    unseen: int = 0  # transitions that are in no history
    _judged: int = 0  # how many of the states that were left have been looked at
    _signalled: Counter[str] = field(default_factory=Counter)

    @property
    def sequence(self) -> int:
        return 0 if self.last is None else int(self.last["seq"])

    @property
    def ended(self) -> bool:
        return self.last is not None and bool(self.last["ended"])

    def fault(self, t: float, rule: Rule, text: str) -> None:
        self.faults.append(Fault(t, self.name, rule, text))

    def id(self, seq: int, attempt: int) -> str:
        """The dispatch id."""
        return f"{self.uid}:{seq}:{attempt}"

    # -- commits

    def commit(self, event: Event, workflow: Workflow | None) -> None:
        """A status was written. `workflow` is that of its revision, once it has one."""
        t, before, seq = float(event.get("t", 0)), int(event["before"]), int(event["seq"])
        was = self.sequence
        self.commits += 1
        if self.deleted:
            self.fault(t, Rule.END, f"transition {seq} was written after it was deleted")
        if before != was:
            self.fault(t, Rule.SEQUENCE, f"a write found sequence {before} where {was} was written last")
        if seq < was:
            self.fault(t, Rule.SEQUENCE, f"the sequence went back from {was} to {seq}")
        if seq == was and self.last is not None and self.last.get("last") != event.get("last"):
            self.fault(t, Rule.ONCE, f"transition {seq} was written a second time: {event.get('last')}")
        self._count_operations(t, event)
        if self.replay.workflow is NOWHERE and workflow is not None:
            self.replay.workflow = workflow  # it begins: from here on it keeps to this revision
        self._lines(t, event, self.replay, was, seq)
        self._stands_as_written(t, event, self.replay)
        if self.first_sequence is None and seq > 0:
            self.first_sequence = seq
        self.last = event

    def _count_operations(self, t: float, event: Event) -> None:
        taken = int(event.get("operation") or 0)
        before = 0 if self.last is None else int(self.last.get("operation") or 0)
        if taken < before:
            self.fault(t, Rule.ONCE, f"an operation that was taken is due again: {taken} instead of {before}")
        if taken > self.operations:
            self.fault(t, Rule.ONCE, f"{taken} operations were taken, of {self.operations} that were asked for")

    def _lines(self, t: float, event: Event, replay: Replay, was: int, seq: int) -> None:
        """Follow the transitions of a write, which are numbered without a gap."""
        lines = [line for line in map(Line.of, event["history"]) if line.seq > min(was, int(event["before"]))]
        numbers = [line.seq for line in lines]
        new = list(range(was + 1, seq + 1))
        if event.get("bounded") and numbers == new[len(new) - len(numbers) :] and len(numbers) < len(new):
            self.unseen += len(new) - len(numbers)
            replay.stand(event)
            return
        if numbers != new:
            rule = Rule.ONCE if len(set(numbers)) < len(numbers) or any(n <= was for n in numbers) else Rule.SEQUENCE
            self.fault(t, rule, f"from {was} to {seq} its history has the transitions {numbers}")
        for line in lines:
            try:
                replay.move(line)
            except AfterEnd as illegal:
                self.fault(t, Rule.END, f"transition {line}: {illegal}")
            except Illegal as illegal:
                self.fault(t, Rule.EDGE, f"transition {line}: {illegal}")
        if lines and numbers != sorted(numbers):
            replay.stand(event)

    def _stands_as_written(self, t: float, event: Event, replay: Replay) -> None:
        """A status says where the job is, in agreement with the transitions that led there."""
        if event["state"] != replay.state:
            self.fault(t, Rule.ONCE, f"its state is {event['state']} where its transitions lead to {replay.state}")
            replay.stand(event)
        at_work = {path: place for path, place, _ in replay.standing()} if replay.state not in FINAL else {}
        for entry in event["active"]:
            path, seq, attempt = str(entry["path"]), int(entry["seq"]), int(entry.get("attempt", 1))
            place = at_work.get(path)
            if place is None or (place.seq != seq and place.seq) or attempt not in place.attempts:
                left = (path, seq, attempt) in replay.due
                text = "which it had left" if left else "which no transition led to"
                self.fault(t, Rule.ONCE, f"it is in {path} as of {seq}, attempt {attempt}, {text}")

    # -- what the outside did and saw

    def take(self, kind: str, t: float, event: Event) -> None:
        """Any other event of it; of kinds that say nothing about the promises nothing is kept."""
        match kind:
            case "dispatch":
                self._send(t, str(event["id"]))
            case "execute":
                self.executed[str(event["id"])] += 1
            case "result":
                self.answered[str(event["id"])] += 1
                self.succeeded[str(event["id"])] += event["outcome"] == "Succeeded"
            case "signal":
                self.signals[str(event["name"])] += 1
            case "operate":
                self.operations += 1
            case "suspend" | "resume":
                self.suspended = kind == "suspend"
            case "delete":
                self.deleted = True

    def _send(self, t: float, dispatch: str) -> None:
        self.dispatched[dispatch] += 1
        if self.dispatched[dispatch] == 1 and not self._is_asked(dispatch):
            self.early.append((t, dispatch))

    def _is_asked(self, dispatch: str) -> bool:
        return any(self.id(seq, attempt) == dispatch for _, seq, attempt in self.replay.due)

    def judge_dispatches(self, *, ordered: bool) -> None:
        """Nothing but its first steps is sent before the write that makes it due.

        What a job that never began was sent, or one that began otherwise, was its first step at the time. One that
        begins with branches has several first steps.
        """
        if self.sequence == 1 and self.ended:
            return  # its end is all that it ever came to
        for t, dispatch in self.early:
            first = self.first_sequence
            seq = _sequence(dispatch)
            if first is None or (seq is not None and 0 < seq <= first):
                continue
            if ordered or not self._is_asked(dispatch):
                self.fault(t, Rule.ASKED, f"{dispatch} was sent, and no transition had made it due")

    def newly_left(self) -> Iterator[Left]:
        """The states that were left as done since this was asked last."""
        left = self.replay.left
        while self._judged < len(left):
            self._judged += 1
            yield left[self._judged - 1]

    def judge_left(self, t: float, left: Left, sees: frozenset[str], children: Mapping[str, Job]) -> None:
        """A step that counts as done was executed, and answered. A child Job has ended well."""
        ids = [self.id(left.seq, attempt) for attempt in sorted(left.attempts)]
        what = f"{left.path} ({', '.join(ids)}) was left by transition {left.line}"
        if left.seq == 0:
            return  # its beginning is not in any history
        if left.type == "Signal":
            self._signalled[left.signal] += 1
            if self.knows_signals and self._signalled[left.signal] > self.signals[left.signal]:
                self.fault(t, Rule.ONCE, f"{what}, and no signal {left.signal!r} was left for it")
            return
        if left.type == "SubJob":
            child = next((children[i] for i in ids if i in children), None)
            if child is None or child.last is None or child.last["phase"] != "Succeeded":
                self.fault(t, Rule.EXECUTED, f"{what}, and no child Job of it has succeeded")
            return
        if "execute" in sees and not any(self.executed[i] for i in ids):
            self.fault(t, Rule.EXECUTED, f"{what}, and was never executed")
        elif "result" in sees and not any(self.succeeded[i] for i in ids):
            self.fault(t, Rule.EXECUTED, f"{what}, and no worker had answered that it succeeded")

    def untaken(self, signal: str) -> int:
        """How many signals of a name wait to be taken."""
        return self.signals[signal] - self._signalled[signal]


def _sequence(dispatch: str) -> int | None:
    parts = dispatch.split(":")
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else None


def entries(event: Event | None) -> Mapping[str, Mapping[str, Any]]:
    """The entries of `status.active` by their path."""
    return {} if event is None else {str(entry["path"]): entry for entry in event["active"]}
