"""The controller of dead letters: it counts and shows those of each pool, and redrives or discards what users name.

`leader` calls it, on the event loop: `on_pool` from the watch, `on_connected` from the broker, `died` when the copy of
a dead letter comes to the operator, `run` as long as this process leads. The pools' reporter asks `known` for what to
show, and is called back through `on_change`.

It promises that a pool without dead letters costs one question a minute; that letters are read only when one
came, their number changed, or a user asked; and that a request may be begun anew at any moment: what was done is found
to be done. Redriving is an operation on the Job, see `redrive`.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from mastercontrol.api.names import Reason
from mastercontrol.engine.inbox import DEATH_QUEUE
from mastercontrol.engine.ports import BrokerError, BrokerUnavailable, RawObject, StoreError
from mastercontrol.pools import metrics
from mastercontrol.pools.deadletters.asking import Ask, asked
from mastercontrol.pools.deadletters.letters import Letter, read_letter
from mastercontrol.pools.deadletters.ports import (
    DeadLetterBroker,
    DeadLetterJobs,
    DeadLetterPools,
    DeadMessage,
    Records,
)
from mastercontrol.pools.deadletters.requests import Requests
from mastercontrol.pools.deadletters.state import Key, Known, LettersState
from mastercontrol.workqueue import WorkQueue
from mastercontrol_worker.contract import pool_queue

logger = logging.getLogger(__name__)

AT_ONCE: Final = 4
"""Pools that are worked on at the same time."""
SETTLE_SECONDS: Final = 0.5
"""From the copy of a dead letter, which the operator gets, to the letter in its queue."""
READ_SECONDS: Final = 5.0
"""Between two readings of the letters of one pool."""
READ_SHARE: Final = 20.0
"""Reading takes at most one of so many seconds: a thousand large letters are many bytes."""
LOOK_SECONDS: Final = 60.0
"""Between two looks at the count of a pool where nothing happens: somebody may have purged its letters."""
JOB_PAUSE_SECONDS: Final = 0.3
"""Between two looks at jobs that are being retried."""
RETRY_SECONDS: Final = 0.5
RETRY_CAP_SECONDS: Final = 30.0


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class _Unknown(BrokerUnavailable):
    """The number of letters is not known: the connection was just lost, or the queue is not declared yet."""


class DeadLetterController:
    """`clock` gives the times in answers, `monotonic` (seconds) all intervals; `on_change` must not block."""

    def __init__(
        self,
        broker: DeadLetterBroker,
        jobs: DeadLetterJobs,
        pools: DeadLetterPools,
        records: Records,
        clock: Callable[[], dt.datetime] = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        on_change: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self._broker = broker
        self._records = records
        self._requests = Requests(broker, jobs, pools, records, clock, monotonic)
        self._monotonic = monotonic
        self._on_change = on_change
        self._states: dict[Key, LettersState] = {}
        self._by_queue: dict[str, Key] = {}
        self._queue: WorkQueue[Key] = WorkQueue(self._turn, AT_ONCE)

    # What others tell and ask.

    def on_pool(self, raw: RawObject, *, deleted: bool = False) -> None:
        """A WorkerPool was added, changed or deleted."""
        meta = raw["metadata"]
        key: Key = (meta["namespace"], meta["name"])
        state = self._states.get(key)
        if deleted or meta.get("deletionTimestamp") is not None:
            if state is not None and state.uid == meta.get("uid"):
                self._forget(key)
            return
        if state is None or state.uid != meta.get("uid"):
            state = self._states[key] = LettersState(raw)
            self._by_queue[pool_queue(*key)] = key
            self._queue.add(key)
        elif _is_older(raw, state.raw):
            return
        state.raw = raw
        ask = asked(raw)
        if ask != state.ask:
            state.ask = ask
            self._queue.add(key)

    def on_connected(self, _epoch: str) -> None:
        """The broker is connected (again)."""
        for key, state in self._states.items():
            state.is_stale = True
            state.failures = 0
            self._queue.add(key)

    def died(self, headers: Mapping[str, Any]) -> None:
        """A message with these headers came to the operator: it may be the copy of a dead letter."""
        key = self._by_queue.get(str(headers.get(DEATH_QUEUE)))
        if key is not None:
            self._states[key].is_stale = True
            self._queue.add_after(key, SETTLE_SECONDS)

    def retain(self, stored: Iterable[Key], before: Mapping[Key, str]) -> None:
        """Of the pools that were known `before` a listing, these are stored: the others were deleted unseen."""
        for key in before.keys() - set(stored):
            state = self._states.get(key)
            if state is not None and state.uid == before[key]:
                self._forget(key)

    def known(self, namespace: str, pool: str) -> Known | None:
        """What there is; None when it is not known."""
        state = self._states.get((namespace, pool))
        return None if state is None else state.known

    async def run(self) -> None:
        """Work until cancelled. Only one process may do so at a time."""
        for key in self._states:
            self._queue.add(key)
        try:
            await self._queue.run()
        finally:
            for key in self._states:
                metrics.show(metrics.DEAD_LETTERS, *key, None)  # the next leader shows them

    # A turn.

    async def _turn(self, key: Key) -> float | None:
        state = self._states.get(key)
        if state is None:
            return None
        before = state.known
        try:
            due = await self._work(state)
            state.failures = 0
        except (BrokerError, StoreError) as error:
            due = self._failed(state, error)
        except Exception:  # one pool's surprise must not end the turns of all others
            logger.exception("pool %s/%s: the turn of its dead letters failed", *key)
            due = RETRY_CAP_SECONDS
        if self._states.get(key) is state and state.known != before:
            metrics.show(metrics.DEAD_LETTERS, *key, None if state.known is None else state.known.count)
            self._on_change(*key)
        return due

    async def _work(self, state: LettersState) -> float | None:
        if self._broker.epoch is None:
            state.known = None
            return None  # on_connected comes
        due = await self._look(state)
        if state.ask is None:
            state.request = None
            return due
        return min(due, await self._answer(state, state.ask))

    def _failed(self, state: LettersState, error: Exception) -> float:
        delay = min(RETRY_CAP_SECONDS, RETRY_SECONDS * 2.0 ** min(state.failures, 30))
        state.failures += 1
        level = logging.DEBUG if isinstance(error, _Unknown) else logging.WARNING
        logger.log(level, "pool %s/%s, dead letters: %r; again in %.1f s", *state.key, error, delay)
        return delay

    # What there is.

    async def _look(self, state: LettersState) -> float:
        """Count, and read if need be; seconds until that is to be done again.

        :raises BrokerUnavailable: the broker can't say.
        """
        count = await self._broker.count_dead(*state.key)
        if count is None:
            state.known = None
            raise _Unknown
        # A letter comes with its copy for the operator, or a little later.
        soon, state.is_stale = state.is_stale, state.is_stale and count > 0
        if count == 0:
            state.take_in([])
        elif soon or state.known is None or state.known.count != count:
            state.known = Known(count, None if state.known is None else state.known.newest)
            wait = self._reading_due(state)
            if wait > 0:
                return wait
            await self._read(state)
        return READ_SECONDS if soon else LOOK_SECONDS

    def _reading_due(self, state: LettersState) -> float:
        if state.read_at is None:
            return 0.0
        return state.read_at + max(READ_SECONDS, READ_SHARE * state.read_seconds) - self._monotonic()

    async def _read(self, state: LettersState) -> list[Letter]:
        """All letters, the oldest first. Those that are new are told of."""
        letters: list[Letter] = []

        def visit(message: DeadMessage) -> bool:
            letters.append(read_letter(message))
            return False

        state.is_stale = False
        begun = self._monotonic()
        try:
            await self._broker.visit_dead(*state.key, visit)
        except BrokerError:
            state.is_stale = True
            raise
        state.read_at = self._monotonic()
        state.read_seconds = state.read_at - begun
        new = state.take_in(letters)
        if new:
            more = f"; and {len(new) - 1} more" if len(new) > 1 else ""
            text = f"{new[0]}: {new[0].why}{more}"
            self._records.warn(state.reference(), Reason.DEAD_LETTER, text)
        return letters

    # What a user asks for.

    async def _answer(self, state: LettersState, ask: Ask) -> float:
        """Do what is asked for, as far as it can be done now; seconds until the next look at it.

        :raises BrokerError, StoreError: it can't go on now.
        """
        if state.request is None or state.request.ask != ask:
            state.request = self._requests.begin(ask, await self._read(state), state.key[0])
        request = state.request
        if not request.is_through:
            request.is_through = await self._requests.go_on(state, request)
        if not request.is_through:
            return JOB_PAUSE_SECONDS
        raw = await self._requests.answer(state, request)
        if raw is None:
            state.ask = state.request = None
            return LOOK_SECONDS
        if asked(raw) != ask:  # else the patch was refused for something else
            state.request = None
        self.on_pool(raw)
        return JOB_PAUSE_SECONDS

    def _forget(self, key: Key) -> None:
        self._states.pop(key, None)
        self._by_queue.pop(pool_queue(*key), None)
        self._queue.forget(key)
        metrics.show(metrics.DEAD_LETTERS, *key, None)


def _is_older(raw: RawObject, known: RawObject) -> bool:
    new, old = (str(item["metadata"].get("resourceVersion", "")) for item in (raw, known))
    return new.isdigit() and old.isdigit() and int(new) < int(old)
