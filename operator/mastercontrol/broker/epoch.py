"""Agrees on the epoch of the broker's data: is it still the data that the jobs were dispatched into?

A durable queue carries the epoch's id in its name; the id is also kept outside the broker (`EpochStore`). A broker
that lost its data lost the queue as well, so a new epoch begins and the engine sends everything again. A queue that
is missing for another reason has the same effect: too many dispatches, never too few.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from mastercontrol.broker.declaring import declare, delete_queue, inspect
from mastercontrol.broker.session import Session
from mastercontrol.broker.topology import epoch_declaration, epoch_queue
from mastercontrol.engine.ports import EpochStore

log = logging.getLogger(__name__)


class EpochMarks(Protocol):
    """The marks of epochs in the broker's data."""

    async def exists(self, epoch: str) -> bool:
        """Is it there?"""
        ...

    async def create(self, epoch: str) -> None:
        """Make it, durably."""
        ...

    async def delete(self, epoch: str) -> None:
        """Remove it. Absent is success."""
        ...


class EpochQueues:
    """The marks as queues of one connection. All raise ChannelClosed."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def exists(self, epoch: str) -> bool:
        """Is the queue there?"""
        queue = epoch_queue(epoch)
        return queue in await inspect(self._session, (queue,))

    async def create(self, epoch: str) -> None:
        """Make the queue."""
        await declare(self._session, (epoch_declaration(epoch),))

    async def delete(self, epoch: str) -> None:
        """Remove the queue."""
        await delete_queue(self._session, epoch_queue(epoch))


async def agree(store: EpochStore, marks: EpochMarks, new_id: Callable[[], str]) -> str:
    """The epoch of the broker's data; a new one when the broker does not have the stored one.

    The mark is made before the id is stored: a crash between the two leaves a queue that nobody asks for, the other
    order would begin yet another epoch. Errors of the store and of the marks pass through; then nothing is known.
    """
    while True:
        known = await store.load()
        if known is not None and await marks.exists(known):
            return known
        new = new_id()
        await marks.create(new)
        if await store.replace(known, new):
            log.warning("epoch %s begins (%s)", new, f"the broker has no data of {known}" if known else "the first")
            return new
        await marks.delete(new)  # somebody else was faster: theirs counts
