"""The heartbeats of one run: what its handler reports, how much of that is sent, and whether it fell silent.

An Executor makes one Pulse for each step that asks for heartbeats. `beat` may be called from any thread, as often as
it likes: it takes a lock for a moment, and at most one message goes out in a third of the step's heartbeatSeconds,
always the newest. All else belongs to the executor's event loop.

Promises: the handler never waits for the broker and never fails because of it; what could not be sent is tried again
with what is newest then; after `give_back` or `close` nothing more is sent.
"""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Protocol

from mastercontrol_worker.heartbeat import Beat, HeartbeatMessage, encode_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from mastercontrol_worker.contract import JSON, StepMessage

SENDS_PER_PERIOD = 3
"""Heartbeats in one heartbeatSeconds at most: two of them may be lost before the step is called silent."""

RETRY_SECONDS = 1.0
"""How soon one that could not be sent is tried again, at most."""


class Timers(Protocol):
    """What a Pulse needs of an event loop."""

    def time(self) -> float: ...  # noqa: D102  as in asyncio
    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer: ...  # noqa: D102  as in asyncio
    def call_soon_threadsafe(self, callback: Callable[[], None], /) -> object: ...  # noqa: D102  as in asyncio


class Timer(Protocol):
    """What `call_at` gives."""

    def cancel(self) -> None: ...  # noqa: D102  as in asyncio


class Pulse:
    """The heartbeats of one run.

    :param seconds: the step's heartbeatSeconds.
    :param send: sends one, on the event loop, without waiting; False: it could not be sent now.
    :param on_silence: called once, on the event loop, when the handler did not report for longer than `seconds`.
    """

    def __init__(
        self,
        message: StepMessage,
        worker: str,
        seconds: float,
        send: Callable[[HeartbeatMessage], bool],
        on_silence: Callable[[], None],
        timers: Timers,
    ) -> None:
        self._message, self._worker, self._seconds = message, worker, seconds
        self._send, self._on_silence, self._timers = send, on_silence, timers
        self._lock = threading.Lock()
        self._progress: bytes | None = None
        self._beat_at = timers.time()
        self._wanted = False  # a send is under way or waits for its time
        self._closed = False
        self._next_send = timers.time()
        self._begun = False
        self._sender: Timer | None = None
        self._watch: Timer | None = None

    # -- any thread

    def beat(self, progress: JSON = None) -> None:
        """The handler lives. `progress` None: what it reported last still holds.

        :raises ValueError: the progress is no JSON value, or larger than MAX_PROGRESS_BYTES.
        """
        encoded = None if progress is None else encode_progress(progress)
        with self._lock:
            if self._closed:
                return
            self._beat_at = self._timers.time()
            self._progress = self._progress if encoded is None else encoded
            wake, self._wanted = not self._wanted, True
        if wake:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left who could send it
                self._timers.call_soon_threadsafe(self._flush)

    # -- the event loop

    def begin(self) -> None:
        """The handler is about to start: say so, and listen to it from here."""
        with self._lock:
            self._beat_at = self._timers.time()
            self._wanted = True
        self._flush()
        self._watch = self._timers.call_at(self._beat_at + self._seconds, self._listen)

    def give_back(self) -> None:
        """The step goes back to its queue: nobody does it, so nobody need be waited for. Lost, if it can't be sent."""
        if self._close() and self._begun:
            self._send(HeartbeatMessage.of(self._message, Beat.GIVEN_BACK, self._worker))

    def close(self) -> None:
        """The step is answered."""
        self._close()

    def _close(self) -> bool:
        """Whether it was open."""
        with self._lock:
            was_open, self._closed = not self._closed, True
        for timer in (self._sender, self._watch):
            if timer is not None:
                timer.cancel()
        return was_open

    def _flush(self) -> None:
        """Send what is newest, now or when it may be."""
        now = self._timers.time()
        with self._lock:
            if self._closed:
                return
            early = now < self._next_send
            self._wanted = early
            progress = self._progress
        if early:
            self._sender = self._timers.call_at(self._next_send, self._flush)
            return
        said = None if progress is None else json.loads(progress)
        beat = Beat.ALIVE if self._begun else Beat.BEGUN
        pause = self._seconds / SENDS_PER_PERIOD
        if self._send(HeartbeatMessage.of(self._message, beat, self._worker, said)):
            self._begun = True
            self._next_send = now + pause
        else:
            self._next_send = now + min(pause, RETRY_SECONDS)
            self._try_again()

    def _try_again(self) -> None:
        with self._lock:
            waits, self._wanted = self._wanted, True
        if not waits:  # else a beat that came meanwhile has it done
            self._sender = self._timers.call_at(self._next_send, self._flush)

    def _listen(self) -> None:
        """Has it reported within its time? If so, listen until that is over."""
        with self._lock:
            silent_at = self._beat_at + self._seconds
        if silent_at <= self._timers.time():
            self._on_silence()
        else:
            self._watch = self._timers.call_at(silent_at, self._listen)
