"""What the workers of one pool last said of themselves, by the name of their pod. Pure.

The controller puts in what the broker's connection hears. Somebody who is not here is a stranger: a worker that says
nothing (the contract does not ask it to), or one that has not been heard of since this process began to listen.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from mastercontrol_worker.presence import PRESENCE_SECONDS, Doing, PresenceMessage

FRESH_SECONDS: Final = 3 * PRESENCE_SECONDS
"""After so long of silence nothing is known of a worker, and all that speak have been heard."""


@dataclass(frozen=True, slots=True)
class Member:
    """One worker. `address` is where it can be told something, None where it gave none; `at` in monotonic seconds.

    `obeys` is the last command that it carried out.
    """

    doing: Doing
    held: int
    address: str | None
    at: float
    obeys: str = ""

    def is_done(self, order: str | None) -> bool:
        """Whether it takes nothing and holds nothing because of this order to drain.

        What it said before it got the order tells nothing: it may have been asked to go on in between.
        """
        if self.held or self.doing is Doing.CONSUMING:
            return False
        return self.doing is Doing.ENDING or (order is not None and self.obeys == order)


class Crew:
    """`since` is when this process began to listen; None while it can't."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.spoken: set[str] = set()
        """All that were ever heard of, of the pods that there are."""
        self._members: dict[str, Member] = {}
        self._tidied = -FRESH_SECONDS

    def listen(self, now: float) -> None:
        """The connection on which workers are heard was made (again)."""
        self.since = now

    def miss(self) -> None:
        """The connection is lost: who speaks now is not heard."""
        self.since = None

    def hear(self, message: PresenceMessage, address: str | None, now: float) -> None:
        """Take in what a worker says."""
        self.spoken.add(message.worker)
        self._members[message.worker] = Member(message.doing, message.held, address, now, message.obeys)
        if now - self._tidied >= FRESH_SECONDS:
            self.fresh(now)

    def fresh(self, now: float) -> dict[str, Member]:
        """Those of whom something is known. Forgets the others."""
        self._tidied = now
        self._members = {name: one for name, one in self._members.items() if now - one.at < FRESH_SECONDS}
        return dict(self._members)

    def reachable(self, now: float) -> dict[str, Member]:
        """Those of whom something is known and who can be told something."""
        return {name: member for name, member in self.fresh(now).items() if member.address}

    def compare(self, names: Collection[str]) -> None:
        """These are the pods that there are."""
        self.spoken.intersection_update(names)

    def heard_all(self, now: float) -> bool:
        """Whether all that speak have had the time to."""
        return self.since is not None and now - self.since >= FRESH_SECONDS
