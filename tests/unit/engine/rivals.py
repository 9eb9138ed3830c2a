"""The unreliable cluster of `chaos` with people and rivals in it: a job may be cancelled or run out of time, its pool
may go and come back, and a second leader may be at work that does not know that it is none any more.

The first leader has always seen the newest object; the second sees what it saw when it last looked. As both do the
same, nothing is lost by that: whoever is behind is called the second. It has its own results, confirms and debts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from mastercontrol.api.job import Job
from mastercontrol.api.names import Phase, Reason
from mastercontrol.api.status import JobStatus
from mastercontrol.engine.decide import decide
from mastercontrol.engine.facts import Decision, Facts, Kept
from unit.engine.builders import seconds, stored
from unit.engine.chaos import Answer, Chaos, _Accident, _sound, replace_epoch

MOST_ROUNDS = 5


@dataclass
class Zombie:
    """The second leader: the job as it knows it, and what it has in hand."""

    job: Job
    answers: list[Answer] = field(default_factory=list)
    confirmed: set[str] = field(default_factory=set)
    resend: set[str] = field(default_factory=set)
    connected: bool = True


class Refused(Exception):
    """The fence did not hold."""


class Rivals(Chaos):
    """`play` as in Chaos. `fenced` False: the store takes every write, to show that this would be found."""

    fenced = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pool_is_there = True
        self.zombie: Zombie | None = None
        self.rival_writes = 0
        self.refusals = 0

    def play(self, events: int) -> JobStatus:
        """So many events by the dice, then whatever is needed to end, by one leader and without accidents."""
        if self.dice(3) == 1:
            self._user(active_deadline_seconds=(2, 6, 20)[self.dice(3)])
        for _ in range(events):
            if self._ended:
                break
            self._something()
        self.pool_is_there = True
        self._end_zombie()
        return super().play(0)

    def may_end(self, status: JobStatus) -> bool:
        """Whether a job may have ended so for a reason that lies outside of its states."""
        if status.phase is Phase.CANCELLED:
            return self.job.spec.cancel
        if status.error is None or status.error.code != Reason.DEADLINE_EXCEEDED:
            return False
        limit = self.job.spec.active_deadline_seconds
        assert limit is not None, "there was no deadline"
        assert status.start_time is not None
        assert status.completion_time is not None
        # The clean-up comes after the deadline, and a job that was suspended meanwhile counts its time from its end.
        return bool(self.definition.closing) or status.completion_time >= status.start_time + seconds(limit)

    def _something(self) -> None:
        match self.dice(24):
            case 23:
                self.pool_is_there = not self.pool_is_there
            case 22 if self.dice(6) == 1:
                self._user(cancel=True)
            case 21 | 20:
                self._change_zombie()
            case 19 | 18 | 17 | 16:
                self._zombie_acts()
            case 15 if self.zombie is not None:
                self._share()
            case _:
                super()._something()

    def _facts(self) -> Facts:
        there = self.pool_is_there
        return replace(super()._facts(), pool_known=lambda _: there)

    # -- the second leader

    def _change_zombie(self) -> None:
        """One comes, looks again, or is gone."""
        if self.zombie is None:
            self.zombie = Zombie(self.job)
        elif self.dice(3) == 1:
            self._end_zombie()
        else:
            self.zombie.job = self.job

    def _end_zombie(self) -> None:
        """Its connection is closed: what it had in hand is handed out again, as far as the broker still has it."""
        if self.zombie is not None:
            self.answers += [replace_epoch(a, self.epoch) for a in self.zombie.answers if self._is_there(a)]
            self.zombie = None

    def _is_there(self, answer: Answer) -> bool:
        return answer.result.epoch == self.epoch

    def _share(self) -> None:
        """The broker hands some results to the second leader instead of the first."""
        assert self.zombie is not None
        mine = [a for a in self.answers if self._is_there(a) and self.dice(2) == 1]
        self.answers = [a for a in self.answers if a not in mine]
        self.zombie.answers += mine

    def _lose_the_broker(self) -> None:
        super()._lose_the_broker()
        if self.zombie is not None:
            self.zombie.confirmed.clear()
            self.zombie.connected = self.dice(2) == 0
            self.zombie.answers = [a for a in self.zombie.answers if self.dice(2) == 0]

    def _zombie_acts(self) -> None:
        zombie = self.zombie
        if zombie is None:
            return
        self.turns += 1
        chosen = [a for a in zombie.answers if self.dice(2) == 0]
        fresh = False
        for _ in range(MOST_ROUNDS):
            try:
                with self._as(zombie):
                    decision = self._turn_of(zombie, chosen, fresh=fresh)
            except Refused:
                self.refusals += 1
                if self.dice(3) == 1:
                    return  # it is slow
                zombie.job, fresh = self.job, True
                continue
            except _Accident:
                return
            for answer, verdict in zip(chosen, decision.verdicts, strict=True):
                if not isinstance(verdict, Kept):
                    zombie.answers.remove(answer)  # acknowledged
            return

    @contextmanager
    def _as(self, zombie: Zombie) -> Iterator[None]:
        """With its confirms and debts in the place of the first leader's."""
        mine = self.confirmed, self.resend
        self.confirmed, self.resend = zombie.confirmed, zombie.resend
        try:
            yield
        finally:
            self.confirmed, self.resend = mine

    def _turn_of(self, zombie: Zombie, chosen: list[Answer], *, fresh: bool) -> Decision:
        facts = replace(self._facts(), confirmed=self._trusted_by(zombie), fresh=fresh)
        decision = decide(zombie.job, [a.result for a in chosen], facts)
        if decision.read_again:
            raise Refused  # which has the same effect: it looks again
        if decision.listen:
            facts = replace(facts, heard=replace(facts.heard, complete=True))
            decision = decide(zombie.job, [a.result for a in chosen], facts)
        status = decision.status or zombie.job.status
        self._create(decision, accidents=True, status=zombie.job.status)
        if not zombie.connected and decision.publish_first:
            raise _Accident
        self._publish(decision.publish_first, status, accidents=True)
        self._commit_of(zombie, decision)
        self.resend |= {d.message.id for d in decision.publish}
        if not zombie.connected and decision.publish:
            raise _Accident
        self._publish(decision.publish, status, accidents=True)
        return decision

    def _trusted_by(self, zombie: Zombie) -> frozenset[str]:
        begun = zombie.job.status is not None and zombie.job.status.sequence > 0
        return frozenset(zombie.confirmed) if begun else frozenset()

    def _commit_of(self, zombie: Zombie, decision: Decision) -> None:
        if decision.status is None:
            return
        if self.fenced and not self._fence_holds(zombie.job):
            raise Refused
        before = self.job.status or JobStatus()
        after = stored(decision.status)
        assert not before.ended, "an end is the end"
        _sound(before, after, self.definition)
        self.rival_writes += 1
        self.job = zombie.job = replace(self.job, status=after)

    def _fence_holds(self, seen: Job) -> bool:
        """As `engine.commit.status_patch` has it: the sequence, or the resourceVersion where there is no status."""
        if seen.status is None:
            return self.job.status is None and self.job.generation == seen.generation
        return self.job.status is not None and self.job.status.sequence == seen.status.sequence
