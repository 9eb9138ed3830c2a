"""Does what a user asked of a pool's dead letters, in as many rounds as its jobs take. `controller` calls it.

Nothing is kept that a process which dies in the middle would have to hand on. Each step may be done again: a Retry that
is there is not added twice, a letter that is gone is as good as removed, and the annotation goes last.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from mastercontrol.api.names import API_VERSION, KIND_JOB, Reason
from mastercontrol.api.values import format_time
from mastercontrol.engine.ports import Gone, RawObject, Refused, Rejected
from mastercontrol.pools.deadletters.asking import Answer, Ask, Verb, answer_patch, missing
from mastercontrol.pools.deadletters.letters import Letter, read_letter
from mastercontrol.pools.deadletters.ports import (
    DeadLetterBroker,
    DeadLetterJobs,
    DeadLetterPools,
    DeadMessage,
    Records,
)
from mastercontrol.pools.deadletters.redrive import judge
from mastercontrol.pools.deadletters.state import LettersState, Request
from mastercontrol_worker.contract import JobRef

logger = logging.getLogger(__name__)

JOBS_AT_ONCE: Final = 8
"""Jobs that are asked about or retried at the same time, for one pool."""
JOB_SECONDS: Final = 60.0
"""How long a job may take to deal with a Retry before the user is told that it has not."""
NAMED: Final = 10
"""Letters that one Event names: its note has 1024 bytes."""


class Requests:
    """One for all pools; how far a request is stands in its `Request`. All methods raise BrokerError and StoreError."""

    def __init__(
        self,
        broker: DeadLetterBroker,
        jobs: DeadLetterJobs,
        pools: DeadLetterPools,
        records: Records,
        clock: Callable[[], dt.datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._broker = broker
        self._jobs = jobs
        self._pools = pools
        self._records = records
        self._clock = clock
        self._monotonic = monotonic

    def begin(self, ask: Ask, letters: Sequence[Letter], namespace: str) -> Request:
        """A request about the letters that there are."""
        request = Request(ask, self._monotonic(), Answer(refused=missing(ask, letters)))
        for letter in filter(ask.means, letters):
            if ask.verb is Verb.DISCARD:
                request.going.append(letter)
            elif letter.job is None or letter.job.namespace != namespace:
                request.answer.refused[letter.id] = "it is no step of a job of this namespace; discard it"
            else:
                request.jobs.setdefault(letter.job, []).append(letter)
        return request

    async def go_on(self, state: LettersState, request: Request) -> bool:
        """One round; whether the request is through. If not, jobs are waited for."""
        await self._redrive(request)
        if request.jobs and self._monotonic() - request.since <= JOB_SECONDS:
            return False
        for letters in request.jobs.values():
            why = f"its job has not dealt with the Retry in {JOB_SECONDS:g} s; ask again later"
            request.answer.refused |= {letter.id: why for letter in letters}
        request.jobs.clear()
        await self._remove(state, request)
        request.answer.done = request.going
        self._record(state, request.ask, request.answer)
        return True

    async def answer(self, state: LettersState, request: Request) -> RawObject | None:
        """Take the annotation away if it still asks for that; the WorkerPool as it is then, None: it is gone."""
        patch = answer_patch(request.ask, request.answer, state.uid, format_time(self._clock()))
        try:
            return await self._pools.patch_pool(*state.key, patch)
        except (Refused, Gone):
            logger.info("pool %s/%s: it was changed while %s was done", *state.key, request.ask.verb.value)
            return await self._pools.read_pool(*state.key)

    async def _redrive(self, request: Request) -> None:
        """One look at each job that is to be retried. Those that are through leave `request.jobs`."""
        places = asyncio.Semaphore(JOBS_AT_ONCE)

        async def one(job: JobRef) -> None:
            async with places:
                await self._redrive_job(request, job)

        outcomes = await asyncio.gather(*map(one, tuple(request.jobs)), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _redrive_job(self, request: Request, job: JobRef) -> None:
        sent = request.sent[job]
        raw = await self._jobs.read(job.namespace, job.name)
        verdict = judge(request.jobs[job], raw, frozenset(sent))
        if verdict.patch is not None:
            try:
                await self._jobs.patch(job.namespace, job.name, verdict.patch)
            except (Refused, Gone):
                return  # it changed in this moment: the next round judges it anew
            except Rejected as error:
                verdict.refused |= {letter.id: f"the API server refused the Retry: {error}" for letter in verdict.waits}
                verdict.waits.clear()
        sent |= verdict.indexes
        request.going += verdict.done
        request.answer.refused |= verdict.refused
        request.jobs[job] = verdict.waits
        if not verdict.waits:
            del request.jobs[job]

    async def _remove(self, state: LettersState, request: Request) -> None:
        """Take out of the queue what is redriven or to be discarded. What is gone already is as good."""
        if not request.going:
            return
        going = {(letter.id, letter.died) for letter in request.going}
        left: list[Letter] = []

        def visit(message: DeadMessage) -> bool:
            letter = read_letter(message)
            goes = (letter.id, letter.died) in going
            if not goes:
                left.append(letter)
            return goes

        await self._broker.visit_dead(*state.key, visit)
        state.take_in(left)

    def _record(self, state: LettersState, ask: Ask, answer: Answer) -> None:
        pool, redriven = state.key[1], ask.verb is Verb.REDRIVE
        reason, done = (Reason.REDRIVEN, "redriven") if redriven else (Reason.DISCARDED, "discarded")
        for letters in _in_tens(answer.done):
            self._records.note(state.reference(), reason, f"{done}: {'; '.join(map(str, letters))}")
        for letter in answer.done:
            logger.info("pool %s/%s: %s: %s", *state.key, done, letter)
            if letter.job is not None:
                text = f"the dead letter {letter.id} of pool {pool}, step {letter.step}, was {done}"
                self._records.note(_reference(letter.job), reason, text)
        refused = Reason.REDRIVE_REFUSED if redriven else Reason.DISCARD_REFUSED
        for ids in _in_tens(tuple(answer.refused)):
            for one in ids:
                logger.warning("pool %s/%s: not %s: %s: %s", *state.key, done, one, answer.refused[one])
            text = "; ".join(f"{one[:100]}: {answer.refused[one]}" for one in ids)
            self._records.note(state.reference(), refused, f"not {done}: {text}")


def _in_tens(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[start : start + NAMED] for start in range(0, len(items), NAMED))


def _reference(job: JobRef) -> RawObject:
    meta = {"namespace": job.namespace, "name": job.name, "uid": job.uid}
    return {"apiVersion": API_VERSION, "kind": KIND_JOB, "metadata": meta}
