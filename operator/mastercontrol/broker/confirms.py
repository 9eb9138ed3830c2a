"""Which publishes of one channel still wait for the broker's word, and what that word was.

Pure bookkeeping for `publisher`: the broker numbers the publishes of a channel in confirm mode from 1, answers with
one number or 'all up to this one', and sends a message that no queue took back before it confirms it.
Nothing stays here once its future is done, so a confirm that comes after its publish was given up is ignored.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, auto


class Outcome(Enum):
    """The broker's word on one publish."""

    CONFIRMED = auto()  # in its queue, on disk
    REFUSED = auto()  # nack: the queue is full, or the broker could not do it
    RETURNED = auto()  # mandatory, and no queue is bound


@dataclass(slots=True)
class _Waiting:
    message_id: str
    future: asyncio.Future[Outcome]
    returned: bool = False


class Confirms:
    """The outstanding publishes of one channel."""

    def __init__(self) -> None:
        self._next = 1
        self._waiting: dict[int, _Waiting] = {}  # in the order of their numbers
        self._by_id: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def outstanding(self) -> tuple[asyncio.Future[Outcome], ...]:
        """The futures of all that wait. To wait for them must not cancel them."""
        return tuple(waiting.future for waiting in self._waiting.values())

    def add(self, message_id: str) -> asyncio.Future[Outcome]:
        """Note one publish, in the order in which they are sent. Cancelling the future forgets it."""
        tag, self._next = self._next, self._next + 1
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[tag] = _Waiting(message_id, future)
        self._by_id.setdefault(message_id, []).append(tag)
        future.add_done_callback(lambda _: self._forget(tag))
        return future

    def returned(self, message_id: str) -> None:
        """The broker sent a message back. Of several with that id it is the oldest: both orders are the same."""
        for tag in self._by_id.get(message_id, ()):
            waiting = self._waiting[tag]
            if not waiting.returned:
                waiting.returned = True
                return

    def settled(self, tag: int, *, multiple: bool, confirmed: bool) -> None:
        """The broker acked or nacked one publish, or all up to it (tag 0: all)."""
        for waiting in self._take(tag, multiple=multiple):
            if not waiting.future.done():
                waiting.future.set_result(_outcome(waiting, confirmed=confirmed))

    def fail_all(self, error: Exception) -> None:
        """The channel is gone: nobody will ever know about these."""
        waiting = list(self._waiting.values())
        self._waiting.clear()
        self._by_id.clear()
        for one in waiting:
            if not one.future.done():
                one.future.set_exception(error)

    def _take(self, tag: int, *, multiple: bool) -> list[_Waiting]:
        if not multiple:
            tags = [tag] if tag in self._waiting else []
        elif tag == 0:
            tags = list(self._waiting)
        else:
            tags = []
            for known in self._waiting:
                if known > tag:
                    break
                tags.append(known)
        return [waiting for tag in tags if (waiting := self._forget(tag)) is not None]

    def _forget(self, tag: int) -> _Waiting | None:
        waiting = self._waiting.pop(tag, None)
        if waiting is not None:
            tags = self._by_id[waiting.message_id]
            tags.remove(tag)
            if not tags:
                del self._by_id[waiting.message_id]
        return waiting


def _outcome(waiting: _Waiting, *, confirmed: bool) -> Outcome:
    if not confirmed:
        return Outcome.REFUSED
    return Outcome.RETURNED if waiting.returned else Outcome.CONFIRMED
