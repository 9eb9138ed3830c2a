"""The actions: what can happen next in a state. Each is named after the function that it stands for.

One job of a chain of steps. A turn is not one action but several, so that anything may happen between them: another
operator's write, a crash, the loss of the broker. An operator's decision is one action, as is the read before it: a
decision on a job that has changed since is what a late write comes from.

Every operator acts as if it led. The leader may be replaced at any time; who led before goes on as a zombie, with what
it knew, for as long as it likes, and then ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from model.broken import Broken
from model.state import (
    LEADER,
    NO_CONNECTION,
    NOBODY,
    ZOMBIE,
    Budget,
    Id,
    Job,
    Operator,
    Pc,
    Result,
    State,
    Step,
    Turn,
    Worker,
)

READ_AGAIN: Final = "read again"

ENGINE: Final = {
    "deliver": "mastercontrol.engine.engine.Engine.deliver",
    "observe": "mastercontrol.engine.engine.Engine.observe",
    "connected": "mastercontrol.engine.engine.Engine.connected",
    "decide": "mastercontrol.engine.decide.decide",
    "_publish": "mastercontrol.engine.turn._Turn._publish",
    "_commit": "mastercontrol.engine.turn._Turn._commit",
    "_act": "mastercontrol.engine.turn._Turn._act",
    "_settle": "mastercontrol.engine.turn._Turn._settle",
    "_on_delivery": "mastercontrol_worker.worker.Worker._on_delivery",
    "_send": "mastercontrol_worker.worker.Worker._send",
    "_answer": "mastercontrol_worker.worker.Worker._answer",
}
"""The actions of the protocol, and the functions that they stand for."""

END: Final = "a zombie ends"
ACCIDENTS: Final = (
    "the operator crashes",
    "a worker crashes",
    "another operator takes over",
    "the broker loses its data",
    "a step fails",
    "a deadline passes",
    "the answer to a write is lost",
    "the leader loses its connection",
)
"""What happens to the protocol. It is not needed for a job to go on, and it has a bound."""


class Wrong(Exception):
    """What a write did that no write may do."""


class Next(NamedTuple):
    """An action and the state after it. `helps`: a job may count on it to come about, so that it is not stuck."""

    action: str
    state: State
    helps: bool


class Protocol:
    """The actions of one job with so many steps, as they are or with one thing broken."""

    def __init__(self, steps: int, broken: Broken | None = None) -> None:
        self.steps = steps
        self.broken = broken

    def begin(self, budget: Budget, workers: int = 1) -> State:
        """A job was created, and an operator is connected."""
        return State(Job(), frozenset(), frozenset(), 1, (None,) * workers, Operator(1), None, budget)

    def is_over(self, state: State) -> bool:
        """Whether the job is Done."""
        return state.job.step == self.steps

    def next(self, state: State) -> Iterator[Next]:
        """Every state that may be the next one.

        :raises Wrong: a write breaks a promise.
        """
        yield from self._operator(state, LEADER)
        if state.zombie is not None:
            yield from self._operator(state, ZOMBIE)
            yield Next(END, _zombie_ended(state), helps=True)
        for index in range(len(state.workers)):
            yield from self._worker(state, index)
        yield from self._accidents(state)

    # -- an operator

    def _operator(self, state: State, who: int) -> Iterator[Next]:
        operator = state.leader if who == LEADER else state.zombie
        assert operator is not None
        helps = who == LEADER
        if operator.epoch == NO_CONNECTION:
            back = operator._replace(epoch=state.epoch)
            yield Next("connected", _with(state, who, back), helps)
        else:
            yield from self._deliveries(state, who, operator)
        turn = operator.turn
        if turn is None:
            yield from self._idle(state, who, operator)
        elif turn.pc is Pc.PUBLISH:
            yield Next("_publish", self._publish(state, who, operator, turn), helps)
        elif turn.pc is Pc.COMMIT:
            yield from self._commits(state, who, operator, turn)
        elif turn.pc is Pc.ACT:
            yield Next("_act", self._act(state, who, operator, turn), helps)
        else:
            yield Next("_settle", self._settle(state, who, operator, turn), helps)

    def _deliveries(self, state: State, who: int, operator: Operator) -> Iterator[Next]:
        if who == ZOMBIE and not state.budget.zombie_turns:
            return  # there is no turn that could take it, so it would only be given back
        for result, holder in state.results:
            if holder != NOBODY:
                continue
            letter = result._replace(epoch=operator.epoch)
            if letter in operator.letters:
                continue  # it has one just like it in hand
            results = state.results - {(result, NOBODY)} | {(result, who)}
            has_it = operator._replace(letters=operator.letters | {letter})
            yield Next("deliver", _with(state, who, has_it)._replace(results=results), who == LEADER)

    def _idle(self, state: State, who: int, operator: Operator) -> Iterator[Next]:
        if who == ZOMBIE:
            state = state._replace(budget=state.budget._replace(zombie_turns=state.budget.zombie_turns - 1))
        yield from self._decisions(state, who, operator, "decide")
        if operator.view is not None and operator.view != state.job:
            # What it sees makes no difference before it decides, so both are one action.
            yield from self._decisions(state, who, operator._replace(view=state.job), "observe")

    def _decisions(self, state: State, who: int, operator: Operator, action: str) -> Iterator[Next]:
        for late in (False, True) if state.budget.deadlines else (False,):
            turn = self._decided(state, operator, late=late)
            if turn is None:
                continue
            begun = _with(state, who, _without_old(operator._replace(view=turn.base, turn=self._first(turn))))
            if late:
                begun = begun._replace(budget=state.budget._replace(deadlines=state.budget.deadlines - 1))
            yield Next("a deadline passes" if late else action, begun, who == LEADER and not late)

    def _decided(self, state: State, operator: Operator, *, late: bool) -> Turn | None:
        """The decision, on the job as it is known, or read where that is not enough. None: nothing is to be done."""
        job, fresh = (operator.view, False) if operator.view is not None else (state.job, True)
        turn = self._decide(operator, job, fresh=fresh, late=late)
        if turn == READ_AGAIN:
            turn = self._decide(operator, state.job, fresh=True, late=late)
        assert not isinstance(turn, str)
        if turn is not None and turn.status is None and turn.first is None and turn.publish is None:
            return turn if turn.settled else None
        return turn

    def _decide(self, operator: Operator, job: Job, *, fresh: bool, late: bool) -> Turn | str | None:
        if job.seq == 0:
            return None if late else self._begin(operator, job, fresh=fresh)
        if job.step == self.steps:
            return None if late else Turn(Pc.PUBLISH, job, None, None, None, operator.letters)
        taken = self._take(operator, job, fresh=fresh)
        if taken is None:
            return READ_AGAIN
        now, publish = taken
        if late:
            if now != job or not job.sent or operator.epoch == NO_CONNECTION:
                return None
            now, publish = self._attempt(job, operator), None
        first = None
        if now == job and operator.epoch != NO_CONNECTION:
            now, first, publish = self._send_due(now, publish, operator)
        return Turn(Pc.PUBLISH, job, None if now == job else now, first, publish, operator.letters)

    def _take(self, operator: Operator, job: Job, *, fresh: bool) -> tuple[Job, Id | None] | None:
        """Take the results that came: the job then, and what to publish. None: one is ahead of what is known."""
        now, publish = job, None
        for letter in sorted(operator.letters):
            if now.step == self.steps:
                break
            if letter.id == now.id or (self.broken is Broken.MATCHED_BY_STEP and letter.step == now.step):
                now = self._move(now, letter, operator)
                publish = now.id if now.sent and now.step < self.steps else None
            elif letter.seq > job.seq:
                if not fresh:
                    return None
            elif now == job and self._is_cause(letter, job, operator):
                publish = job.id
        return now, publish

    def _begin(self, operator: Operator, job: Job, *, fresh: bool) -> Turn | str | None:
        """Nothing was written yet: the first step is published, then the first status is written."""
        answers = [letter for letter in sorted(operator.letters) if letter.id == (1, 1)]
        if len(answers) < len(operator.letters) and not fresh:
            return READ_AGAIN
        if not answers and operator.epoch == NO_CONNECTION:
            return None
        stamp = answers[0].epoch if answers else operator.epoch
        status = Job(1, 0, 1, sent=True, stamp=stamp)
        known = bool(answers) or operator.confirmed == ((1, 1), operator.epoch)
        first = None if known else (1, 1)
        kept = set() if self.broken is Broken.EARLY_RESULT_DROPPED else set(answers)
        settled = operator.letters - kept
        if self.broken is Broken.FIRST_STEP_AFTER_WRITE:
            return Turn(Pc.PUBLISH, job, status, None, first, settled)
        return Turn(Pc.PUBLISH, job, status, first, None, settled)

    def _move(self, job: Job, letter: Result, operator: Operator) -> Job:
        """A result moves the job: to the next step, or to another attempt at this one."""
        if not letter.ok:
            return self._attempt(job, operator)
        stamp = operator.epoch or letter.epoch if self.broken is Broken.EPOCH_OF_NOW else letter.epoch
        if job.step + 1 == self.steps:
            return Job(job.seq + 1, self.steps, 0, sent=False, stamp=job.stamp)
        return Job(job.seq + 1, job.step + 1, 1, sent=True, stamp=stamp)

    def _attempt(self, job: Job, operator: Operator) -> Job:
        """Another attempt. No result stands behind it, so it is sent by the turn after the write."""
        marked = self.broken is Broken.MARKED_BEFORE_SENT and operator.epoch != NO_CONNECTION
        return Job(job.seq + 1, job.step, job.attempt + 1, sent=marked, stamp=job.stamp)

    def _is_cause(self, letter: Result, job: Job, operator: Operator) -> bool:
        """Whether a stale result is what made the entry due, which may not have been sent."""
        if self.broken is Broken.NO_REPUBLISH:
            return False
        known = operator.confirmed == (job.id, operator.epoch)
        return job.attempt == 1 and letter.seq == job.seq - 1 and job.sent and not known

    def _send_due(self, job: Job, publish: Id | None, operator: Operator) -> tuple[Job, Id | None, Id | None]:
        """What is committed and not known to be sent: the status that says so, and what to publish before and after."""
        another = job.stamp != operator.epoch and self.broken is not Broken.NO_EPOCH
        known = operator.confirmed == (job.id, operator.epoch)
        stamped = job._replace(stamp=operator.epoch) if another else job
        if not job.sent:
            return stamped._replace(sent=True), None if known else job.id, publish
        if operator.resend == job.id or (another and not known):
            if self.broken is Broken.EPOCH_BEFORE_RESEND:
                return stamped, None, job.id
            return stamped, job.id, None
        return stamped, None, publish

    # -- a turn

    def _first(self, turn: Turn) -> Turn:
        return self._skip(turn._replace(pc=self._order()[0]))

    def _order(self) -> tuple[Pc, ...]:
        if self.broken is Broken.ACK_BEFORE_COMMIT:
            return Pc.PUBLISH, Pc.SETTLE, Pc.COMMIT, Pc.ACT
        if self.broken is Broken.ACK_BEFORE_PUBLISH:
            return Pc.PUBLISH, Pc.COMMIT, Pc.SETTLE, Pc.ACT
        return Pc.PUBLISH, Pc.COMMIT, Pc.ACT, Pc.SETTLE

    def _skip(self, turn: Turn) -> Turn:
        """Past what there is nothing to do for. A turn has something to do, or it would not have begun."""
        has = {Pc.PUBLISH: turn.first, Pc.COMMIT: turn.status, Pc.ACT: turn.publish, Pc.SETTLE: turn.settled or None}
        order = self._order()
        for pc in order[order.index(turn.pc) :]:
            if has[pc] is not None:
                return turn._replace(pc=pc)
        return turn._replace(pc=order[-1])

    def _after(self, state: State, who: int, operator: Operator, turn: Turn) -> State:
        """On to the next thing of a turn, or its end."""
        order = self._order()
        left = order[order.index(turn.pc) + 1 :]
        has = {Pc.PUBLISH: turn.first, Pc.COMMIT: turn.status, Pc.ACT: turn.publish, Pc.SETTLE: turn.settled or None}
        following = next((pc for pc in left if has[pc] is not None), None)
        ahead = None if following is None else turn._replace(pc=following)
        return _with(state, who, _without_old(operator._replace(turn=ahead)))

    def _publish(self, state: State, who: int, operator: Operator, turn: Turn) -> State:
        assert turn.first is not None
        step = turn.base.step if turn.base.seq else 0
        sent = self._send(state, operator, turn.first, step)
        if sent is None:
            return _with(state, who, operator._replace(turn=None))
        return self._after(sent, who, _knows(operator, turn.first), turn)

    def _act(self, state: State, who: int, operator: Operator, turn: Turn) -> State:
        assert turn.publish is not None
        now = turn.status or turn.base
        sent = self._send(state, operator, turn.publish, now.step)
        if sent is None:
            return _with(state, who, operator._replace(turn=None, resend=turn.publish))
        return self._after(sent, who, _knows(operator, turn.publish), turn)

    def _send(self, state: State, operator: Operator, id_: Id, step: int) -> State | None:
        """Publish a step and get the confirm; None: there is no connection."""
        if operator.epoch == NO_CONNECTION:
            return None
        return state._replace(steps=state.steps | {Step(*id_, step, NOBODY)})

    def _commits(self, state: State, who: int, operator: Operator, turn: Turn) -> Iterator[Next]:
        status, helps = turn.status, who == LEADER
        assert status is not None
        if not self._fits(state.job, turn.base):
            # It is read, and decided again.
            yield Next("_commit", _with(state, who, operator._replace(view=state.job, turn=None)), helps)
            return
        if turn.base.seq != state.job.seq and status != state.job:
            raise Wrong(f"a decision on transition {turn.base.seq} is written over transition {state.job.seq}")
        written = state._replace(job=status)
        if status.step == self.steps:
            written = written._replace(budget=_after_the_end(state.budget))
        yield Next("_commit", self._after(written, who, operator._replace(view=status), turn), helps)
        if state.budget.lost_replies:
            budget = state.budget._replace(lost_replies=state.budget.lost_replies - 1)
            unsure = _with(written, who, operator._replace(view=None, turn=None))
            yield Next("the answer to a write is lost", unsure._replace(budget=budget), helps=False)

    def _fits(self, job: Job, base: Job) -> bool:
        """The fence. The first write tests the version of the object, all others the sequence."""
        if base.seq == 0:
            return job == base
        if self.broken is Broken.NO_FENCE:
            return True
        return job.step == base.step if self.broken is Broken.FENCE_BY_STEP else job.seq == base.seq

    def _settle(self, state: State, who: int, operator: Operator, turn: Turn) -> State:
        """Acknowledge. What the broker does not have from this connection any more, it hands out again or has lost."""
        gone = {(*letter.id, letter.ok) for letter in turn.settled if letter.epoch == operator.epoch}
        results = frozenset(
            (result, holder) for result, holder in state.results if holder != who or (*result.id, result.ok) not in gone
        )
        settled = operator._replace(letters=operator.letters - turn.settled)
        return self._after(state._replace(results=results), who, settled, turn)

    # -- a worker

    def _worker(self, state: State, index: int) -> Iterator[Next]:
        at, me = state.workers[index], index + 1
        if at is None:
            for step in state.steps:
                if step.holder == NOBODY:
                    taken = state.steps - {step} | {step._replace(holder=me)}
                    begun = Worker(step.seq, step.attempt, step.step)
                    yield Next("_on_delivery", _at(state, index, begun)._replace(steps=taken), helps=True)
            return
        mine = Step(at.seq, at.attempt, at.step, me)
        if self.broken is Broken.WORKER_ACKS_FIRST and not at.acknowledged:
            acknowledged = _at(state, index, at._replace(acknowledged=True))
            yield Next("_answer", acknowledged._replace(steps=state.steps - {mine}), helps=True)
        elif not at.answered:
            yield from self._answers(state, index, at)
        else:
            yield Next("_answer", _at(state, index, None)._replace(steps=state.steps - {mine}), helps=True)

    def _answers(self, state: State, index: int, at: Worker) -> Iterator[Next]:
        """The step is executed and its result sent. A worker that lost its connection sends it once it has another."""
        after = None if self.broken is Broken.WORKER_ACKS_FIRST else at._replace(answered=True)
        result = Result(at.seq, at.attempt, at.step, ok=True, epoch=0)
        done = _at(state, index, after)._replace(executed=state.executed | 1 << at.step)
        yield Next("_send", done._replace(results=state.results | {(result, NOBODY)}), helps=True)
        if state.budget.failures:
            budget = state.budget._replace(failures=state.budget.failures - 1)
            failed = _at(state, index, after)._replace(budget=budget)
            results = state.results | {(result._replace(ok=False), NOBODY)}
            yield Next("a step fails", failed._replace(results=results), helps=False)

    # -- accidents

    def _accidents(self, state: State) -> Iterator[Next]:
        budget = state.budget
        if budget.operator_crashes:
            left = budget._replace(operator_crashes=budget.operator_crashes - 1)
            fresh = _given_back(state, LEADER)._replace(leader=Operator(state.epoch), budget=left)
            yield Next("the operator crashes", fresh, helps=False)
        if budget.worker_crashes:
            for index, at in enumerate(state.workers):
                if at is not None:
                    yield Next("a worker crashes", _worker_crashed(state, index, at), helps=False)
        if budget.take_overs and state.zombie is None:
            yield Next("another operator takes over", _taken_over(state), helps=False)
        if budget.losses:
            yield Next("the broker loses its data", _lost(state), helps=False)
        if budget.reconnects and state.leader.epoch != NO_CONNECTION:
            left = budget._replace(reconnects=budget.reconnects - 1)
            alone = _given_back(state, LEADER)._replace(leader=state.leader._replace(epoch=NO_CONNECTION), budget=left)
            yield Next("the leader loses its connection", alone, helps=False)


def _with(state: State, who: int, operator: Operator) -> State:
    """The state with an operator as it is now. Of a zombie in its last turn only that turn can still do anything."""
    if who == LEADER:
        return state._replace(leader=operator)
    if state.budget.zombie_turns:
        return state._replace(zombie=operator)
    if operator.turn is None:
        return _zombie_ended(state)
    return state._replace(zombie=Operator(operator.epoch, letters=operator.turn.settled, turn=operator.turn))


def _at(state: State, index: int, worker: Worker | None) -> State:
    return state._replace(workers=(*state.workers[:index], worker, *state.workers[index + 1 :]))


def _knows(operator: Operator, id_: Id) -> Operator:
    """The broker has confirmed a dispatch."""
    return operator._replace(confirmed=(id_, operator.epoch), resend=None)


def _without_old(operator: Operator) -> Operator:
    """Without what it knows of dispatches that the job has left: it is never asked for again."""
    seq = 0 if operator.view is None else operator.view.seq
    if operator.confirmed is not None and operator.confirmed[0][0] < seq:
        operator = operator._replace(confirmed=None)
    if operator.resend is not None and operator.resend[0] < seq:
        operator = operator._replace(resend=None)
    return operator


def _after_the_end(budget: Budget) -> Budget:
    """Accidents are bounded to the time before a job is Done; what was decided before may still come late."""
    return Budget(0, 0, budget.take_overs, 0, 0, budget.deadlines, 0, 0, budget.zombie_turns)


def _given_back(state: State, who: int) -> State:
    """What an operator had in hand is handed out again."""
    return state._replace(results=frozenset((r, NOBODY if holder == who else holder) for r, holder in state.results))


def _zombie_ended(state: State) -> State:
    return _given_back(state, ZOMBIE)._replace(zombie=None)


def _taken_over(state: State) -> State:
    held = frozenset((r, ZOMBIE if holder == LEADER else holder) for r, holder in state.results)
    budget = state.budget._replace(take_overs=state.budget.take_overs - 1)
    taken = state._replace(results=held, zombie=state.leader, leader=Operator(state.epoch), budget=budget)
    return _with(taken, ZOMBIE, state.leader)


def _worker_crashed(state: State, index: int, at: Worker) -> State:
    mine = Step(at.seq, at.attempt, at.step, index + 1)
    steps = state.steps - {mine} | {mine._replace(holder=NOBODY)} if mine in state.steps else state.steps
    budget = state.budget._replace(worker_crashes=state.budget.worker_crashes - 1)
    return _at(state, index, None)._replace(steps=steps, budget=budget)


def _lost(state: State) -> State:
    """All messages are gone, and with them the connections. Who is at work goes on."""
    zombie = None if state.zombie is None else state.zombie._replace(epoch=NO_CONNECTION, confirmed=None)
    return state._replace(
        steps=frozenset(),
        results=frozenset(),
        epoch=state.epoch + 1,
        leader=state.leader._replace(epoch=NO_CONNECTION, confirmed=None),
        zombie=zombie,
        budget=state.budget._replace(losses=state.budget.losses - 1),
    )
