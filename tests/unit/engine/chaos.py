"""One job on an unreliable cluster, without a clock or tasks: what is published may be lost, what is written may not be
told, whoever leads may die, the broker may lose its data. `play` takes the job to its end, whatever the dice say.

It keeps to the order of a turn (publish first, commit, publish, acknowledge) and nothing else of it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mastercontrol.api.job import Job, Signal
from mastercontrol.api.status import ActiveStep, Group, JobStatus
from mastercontrol.engine import facts
from mastercontrol.engine.decide import decide
from mastercontrol.engine.facts import (
    ChildState,
    Decision,
    Dispatch,
    Facts,
    Heard,
    Heartbeat,
    Kept,
    Limits,
    NewChild,
    Result,
    Running,
)
from mastercontrol.engine.places import Admitted, Held, Place
from mastercontrol.engine.silence import silent_at
from mastercontrol.workflow.definition import COMPENSATE, ON_EXIT, Definition, SignalState, SubJobState, TaskState
from mastercontrol_worker.contract import Failed, StepError, StepMessage, Succeeded
from unit.engine.builders import UID, Run, stored
from unit.engine.reference import Ended, Failure, Outcome, Script

Dice = Callable[[int], int]
"""A number from zero to below the given one. Zero is the uneventful choice."""


class _Accident(Exception):
    """The turn does not get through: nothing more of it is done."""


@dataclass(eq=False)
class Answer:
    """A result on its way, held by the broker until it is acknowledged."""

    result: Result
    deadline_passed: bool = False


class Chaos:
    """The world of one job."""

    def __init__(self, run: Run, definition: Definition, script: Script, signals: dict[str, Any], dice: Dice) -> None:
        self.run = run
        self.definition = definition
        self.script = script
        self.signals = signals
        self.dice = dice
        self.job: Job = run.job
        self.epochs = 1
        self.epoch = "e1"
        self.queue: list[StepMessage] = []  # with the broker
        self.answers: list[Answer] = []  # not yet acknowledged
        self.confirmed: set[str] = set()  # what this leader knows
        self.resend: set[str] = set()
        self.published: dict[str, tuple[str, str]] = {}  # dispatch id: path and message
        self.in_epoch: set[str] = set()
        self.silent: set[str] = set()  # dispatch ids whose worker never answers
        self.frozen: dict[str, StepMessage] = {}  # of these, those whose worker began and reports nothing more
        self.heard: dict[tuple[int, int], Heartbeat] = {}  # what this leader knows of those at work
        self.heard_since = run.now
        self.wake_at = run.now
        self.turns = 0
        self.is_calm = False  # no more accidents
        self.children: dict[str, ChildState] = {}  # by dispatch id: there once they are created, and for ever
        self.endless: set[str] = set()  # of them those that never end
        self.running: dict[str, tuple[str, NewChild]] = {}  # of them those that run, with their path

    # -- what may happen

    def play(self, events: int) -> JobStatus:
        """So many events by the dice, then whatever is needed to end, without accidents."""
        for _ in range(events):
            if self._ended:
                break
            self._something()
        self.is_calm = True
        if self.job.spec.suspend:
            self._user(suspend=False)
        while not self._ended:
            assert self.turns < 3000, "the job never ends"
            self._go_on()
        assert self.job.status is not None
        return self.job.status

    @property
    def _ended(self) -> bool:
        return self.job.status is not None and self.job.status.ended

    def _something(self) -> None:
        match self.dice(13):
            case 0 | 1 | 2:
                self._go_on(accidents=True)
            case 3 | 4:
                self._work(self.dice(max(1, len(self.queue))), keep=self.dice(4) == 1)
            case 5 | 6 | 7:
                chosen = [a for a in self.answers if self.dice(2) == 0]
                self._turn(chosen, accidents=True)
            case 8:
                self._pass_time()
            case 9:
                self._crash()
            case 10:
                self._lose_the_broker()
            case 11:
                self._end_child(self.dice(max(1, len(self.running))))
            case _:
                self._user(suspend=not self.job.spec.suspend)

    def _go_on(self, *, accidents: bool = False) -> None:
        """What comes next in a world where all is well."""
        if self.queue:
            self._work(0, keep=False)
        elif self.running:
            self._end_child(0)
        elif self.answers:
            self._turn(self.answers[:1], accidents=accidents)
        else:
            before = self.job
            self._turn([], accidents=accidents)
            self._send_signals()
            if self.job is before and not self.queue and not self.answers and not accidents:
                self._must_have_sent_all()
                moved = self._pass_time() or self._broker_finds_the_dead()
                assert moved, f"nothing moves the job any more: {self.job.status}"

    def _work(self, index: int, *, keep: bool) -> None:
        """A worker takes a step and answers it, or does not."""
        if not self.queue:
            return
        message = self.queue[index % len(self.queue)]
        if not keep:
            self.queue.remove(message)
        path = self.published[message.id][0]
        outcome = self.script(path, message.attempt, message.input)
        if message.heartbeat_seconds is not None:
            self._report(message)
        if outcome == Failure("States.HeartbeatTimeout") and self.dice(2) == 0:
            self.silent.add(message.id)
            self.frozen[message.id] = message
            return  # otherwise its own worker notices, and says so
        if outcome == Failure("Timeout"):
            self.silent.add(message.id)
            return
        _, seq, attempt = message.id.split(":")
        self.answers.append(
            Answer(Result(UID, int(seq), int(attempt), _contract(outcome), self.epoch, "w", step=message.step))
        )

    def _end_child(self, index: int) -> None:
        """A child Job ends, or never does."""
        if not self.running:
            return
        id_ = list(self.running)[index % len(self.running)]
        path, new = self.running.pop(id_)
        outcome = self.script(path, int(id_.rpartition(":")[2]), new.manifest["spec"].get("input"))
        if outcome == Failure("Timeout"):
            self.endless.add(id_)
        else:
            self.children[id_] = facts.Ended(_contract(outcome))

    def _create(self, decision: Decision, *, accidents: bool, status: JobStatus | None = None) -> None:
        """Create what is not there yet; an operator may die before, and in between.

        :param status: as the operator knows it, if that is not the newest one.
        """
        status = status or self.job.status
        assert status is not None or not decision.create
        for new in decision.create:
            entry = next((a for a in status.active if self._id(a) == new.id), None) if status else None
            assert entry is not None, "what is created is committed before"
            accident = self.dice(10) if accidents else 0
            if accident == 8:  # it is not created
                raise _Accident
            if new.id not in self.children:
                self.children[new.id] = Running()
                path = annotated(entry.path, status.groups if status else ())
                self.running[new.id] = (path, new)
            if accident == 9:  # it is, and nobody is told
                raise _Accident

    def _report(self, message: StepMessage) -> None:
        _, seq, attempt = message.id.split(":")
        self.heard[int(seq), int(attempt)] = Heartbeat(self.run.now, f"w{self.dice(3)}", {"page": self.dice(9)})

    def _pass_time(self) -> bool:
        """Until something is due, unless an answer that is still to come would be too late then."""
        if self.wake_at is None or self.wake_at < self.run.now:
            return False
        active = self.job.status.active if self.job.status else ()
        for entry in active:
            answers = entry.dispatched_at is not None and self._id(entry) not in self.silent | self.endless
            if answers and entry.deadline is not None and entry.deadline <= self.wake_at:
                return False
            if answers and self._silent_by(entry, self.wake_at):
                return False
            if self._awaits_a_signal(entry) and entry.deadline is not None and entry.deadline <= self.wake_at:
                return False
        self.run.now = self.wake_at
        return True

    def _silent_by(self, entry: ActiveStep, time: dt.datetime) -> bool:
        """Whether a step whose answer is under way would count as silent by then."""
        assert self.job.status is not None
        at = silent_at(entry, self.job.status, self._facts())
        return at is not None and at <= time

    def _send_signals(self) -> None:
        """For each Signal state that waits, one signal of its name, if anybody sends those."""
        status = self.job.status
        if status is None or status.ended:
            return
        waiting = [e for e in status.active if self._awaits_a_signal(e)]
        for name in self.signals:
            needed = sum(self._signal_of(e) == name for e in waiting)
            sent = self.job.spec.signals
            there = sum(s.name == name and i not in status.signals_taken for i, s in enumerate(sent))
            for _ in range(needed - there):
                self._user(signals=(*self.job.spec.signals, Signal(name, self.signals[name])))

    def _signal_of(self, entry: ActiveStep) -> str | None:
        state = self.definition.find(entry.path)
        return state.signal if isinstance(state, SignalState) else None

    def _awaits_a_signal(self, entry: ActiveStep) -> bool:
        return self._signal_of(entry) in self.signals

    def _user(self, **spec: Any) -> None:
        self.job = replace(self.job, spec=replace(self.job.spec, **spec), generation=self.job.generation + 1)

    def closing(self) -> tuple[tuple[str, Any], ...]:
        """The first steps of what undid states and of onExit, in the order in which they were first sent."""
        sent = [(path, *json.loads(said)) for path, said in self.published.values()]
        first = [(path, data) for path, _, attempt, data in sent if attempt == 1]
        return tuple((p, d) for p, d in first if p.startswith(("compensate[", "onExit.")))

    def _crash(self) -> None:
        """Another leader: it knows nothing but what is stored, and gets all that was not acknowledged."""
        self.confirmed.clear()
        self.resend.clear()
        self.answers = [replace_epoch(a, self.epoch) for a in self.answers]
        self._hear_anew()

    def _hear_anew(self) -> None:
        """Another connection: what was heard before is not known, or not known to be new."""
        self.heard.clear()
        self.heard_since = self.run.now

    def _broker_finds_the_dead(self) -> bool:
        """A worker that is frozen does not keep its connection: its step is handed out again."""
        found = [m for id_, m in self.frozen.items() if id_ in self.silent]
        self.queue += found
        self.silent -= self.frozen.keys()
        self.frozen.clear()
        return bool(found)

    def _lose_the_broker(self) -> None:
        """All messages are gone, but for answers that workers or the leader hold."""
        self.epochs += 1
        self.epoch = f"e{self.epochs}"
        self.queue.clear()
        self.in_epoch.clear()
        self.silent.clear()
        self.frozen.clear()
        self._hear_anew()
        kept = []
        for answer in self.answers:
            match self.dice(3):
                case 0:
                    kept.append(replace_epoch(answer, self.epoch))  # its worker sends it once more
                case 1:
                    kept.append(answer)  # it is in our hands
                case _:
                    pass
        self.answers = kept
        self.confirmed.clear()  # they are of the broker before

    # -- a turn

    def _turn(self, answers: list[Answer], *, accidents: bool) -> None:
        self.turns += 1
        seen = self._facts()
        results = [a.result for a in answers]
        decision = decide(self.job, results, seen)
        if decision.read_again:
            decision = decide(self.job, results, replace(seen, fresh=True))
        if decision.listen:
            seen = replace(seen, fresh=seen.fresh or decision.read_again, heard=replace(seen.heard, complete=True))
            decision = decide(self.job, results, seen)
        assert not decision.listen
        status = decision.status or self.job.status
        try:
            self._create(decision, accidents=accidents)
            self._publish(decision.publish_first, status, accidents=accidents)
            self._commit(decision, accidents=accidents)
            self.resend |= {d.message.id for d in decision.publish}
            self._publish(decision.publish, status, accidents=accidents)
        except _Accident:
            # What the leader held of the broker that is gone is lost with the leader only.
            if self.dice(2) == 1:
                self._crash()
            return
        for answer, verdict in zip(answers, decision.verdicts, strict=True):
            if not isinstance(verdict, Kept) and not (accidents and self.dice(8) == 1):
                self.answers.remove(answer)
        self.wake_at = decision.wake_at  # type: ignore[assignment]  # None: nothing wakes it

    def _facts(self) -> Facts:
        return Facts(
            now=self.run.now,
            jitter=0.5,
            epoch=self.epoch,
            definition=self.definition,
            pool_known=lambda _: True,
            confirmed=self._trusted(),
            resend=frozenset(self.resend),
            limits=Limits(history=100_000, status_bytes=10**9),
            place=self._place(),
            children=self.children,
            heard=Heard(dict(self.heard), self.heard_since),
        )

    def _place(self) -> Place | None:
        """What the gate says, where there is a limit: it is this job's turn, or not yet."""
        if self.definition.concurrency is None:
            return None
        return Held("waits for a place") if not self.is_calm and self.dice(3) == 2 else Admitted()

    def _trusted(self) -> frozenset[str]:
        begun = self.job.status is not None and self.job.status.sequence > 0
        is_task = isinstance(self.definition.states[self.definition.start], TaskState)
        return frozenset(self.confirmed) if begun or is_task else frozenset()

    def _publish(self, dispatches: tuple[Dispatch, ...], status: JobStatus | None, *, accidents: bool) -> None:
        assert status is not None or not dispatches
        for dispatch in dispatches:
            accident = self.dice(10) if accidents else 0
            if accident != 8:  # 8: it never reaches the broker
                self._arrives(dispatch.message, status)
            if accident in {8, 9}:  # 9: it does, and the confirm does not come back
                raise _Accident
            self.confirmed.add(dispatch.message.id)
            self.resend.discard(dispatch.message.id)

    def _arrives(self, message: StepMessage, status: JobStatus | None) -> None:
        assert status is not None
        entry = next((a for a in status.active if self._id(a) == message.id), None)
        assert entry is not None, "what is sent is active"
        path = annotated(entry.path, status.groups)
        said = json.dumps([message.step, message.attempt, message.input], sort_keys=True)
        known = self.published.setdefault(message.id, (path, said))
        assert known == (path, said), "a dispatch id is used for two different steps"
        self.in_epoch.add(message.id)
        self.queue.append(message)

    def _commit(self, decision: Decision, *, accidents: bool) -> None:
        if decision.status is None:
            return
        accident = self.dice(10) if accidents else 0
        if accident == 8:  # it is not written
            raise _Accident
        after = stored(decision.status)
        assert after == decision.status, "a status is stored without loss"
        _sound(self.job.status or JobStatus(), after, self.definition)
        self.job = replace(self.job, status=after)
        if accident == 9:  # it is, and nobody is told
            raise _Accident

    def _id(self, entry: ActiveStep) -> str:
        return f"{UID}:{entry.seq}:{entry.attempt}"

    def _must_have_sent_all(self) -> None:
        """Where nothing is under way, every step that is said to be sent was."""
        status = self.job.status
        for entry in status.active if status else ():
            if isinstance(self.definition.find(entry.path), SubJobState):
                assert self._id(entry) in self.children or entry.dispatched_at is None, f"{entry.path} has no child"
            elif entry.dispatched_at is not None:
                assert self._id(entry) in self.in_epoch, f"{entry.path} was never sent to this broker"


def replace_epoch(answer: Answer, epoch: str) -> Answer:
    return Answer(replace(answer.result, epoch=epoch))


def annotated(path: str, groups: tuple[Group, ...]) -> str:
    """A path with the attempt of each Parallel and Map on it, as the reference calls it."""
    attempts = {g.path: g.attempt for g in groups}
    parts, plain = [], ""
    for part in path.split("."):
        name, bracket, rest = part.partition("[")
        bracket = "" if name == COMPENSATE else bracket
        if not bracket:
            name = part
        plain = f"{plain}.{name}" if plain else name
        parts.append(f"{name}#{attempts[plain]}[{rest}" if bracket else name)
        plain += bracket + rest
    return ".".join(parts)


def _contract(outcome: Outcome) -> Succeeded | Failed:
    match outcome:
        case Ended(output):
            return Succeeded(output)
        case Failure(code, lasting):
            return Failed(StepError(code, "no", retryable=not lasting))


def _sound(before: JobStatus, after: JobStatus, definition: Definition) -> None:
    """What holds for every status that is written."""
    assert [line.seq for line in after.history] == list(range(1, after.sequence + 1)), "a transition has no line"
    assert after.history[: len(before.history)] == before.history
    kinds = TaskState | SubJobState
    ids = [(a.seq, a.attempt) for a in after.active if isinstance(definition.find(a.path), kinds)]
    assert len(ids) == len(set(ids)), "two steps have the same dispatch id"
    assert all(a.seq <= after.sequence for a in after.active)
    # Those that a job which closes had before are kept for a retry.
    alive = [g for g in after.groups if after.outcome is None or g.path.startswith((f"{COMPENSATE}[", f"{ON_EXIT}."))]
    groups = {g.path: g for g in alive}
    inside = [a.path for a in after.active] + [g.path for g in alive]
    inside += [f"{s.path}.x" for s in after.scopes if after.outcome is None]
    for path in inside:
        for holder, index in _holders(path):
            assert holder in groups, f"{path} is left of a block that is over"
            assert index < groups[holder].started
            assert index not in groups[holder].results, f"{path} is left of a block that is done"
    if after.sequence and not after.ended:
        for group in alive:
            at_work = {i for p in inside for h, i in _holders(p) if h == group.path}
            done = set(group.results)
            assert at_work.isdisjoint(done)
            assert len(done) < group.size, f"{group.path} was not joined"
            active = {i for a in after.active for h, i in _holders(a.path) if h == group.path}
            assert active == set(range(group.started)) - done, "a block that was begun is neither done nor at work"
        assert after.active, "a job that has not ended waits for something"


def _holders(path: str) -> list[tuple[str, int]]:
    """The Parallel and Map states that a path is inside of, each with the index of the block."""
    found, parts = [], path.split(".")
    for i, part in enumerate(parts):
        name, bracket, rest = part.partition("[")
        if bracket and name != COMPENSATE:
            found.append((".".join([*parts[:i], name]), int(rest.removesuffix("]"))))
    return found
