"""What the dead letters' controller holds of one pool between its turns. All of it can be seen again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mastercontrol.api.names import API_VERSION, KIND_POOL
from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.deadletters.asking import Answer, Ask
from mastercontrol.pools.deadletters.letters import Letter, as_status, newest
from mastercontrol_worker.contract import JobRef

Key = tuple[str, str]
"""Namespace and name of a pool."""


@dataclass(frozen=True, slots=True)
class Known:
    """How many dead letters a pool has, and the newest as its status shows them (None: not looked at yet)."""

    count: int
    newest: tuple[dict[str, Any], ...] | None = None


@dataclass(slots=True)
class Request:
    """One request of a user, and how far it is. It is about the letters that were there when it was seen first.

    `jobs` are the letters to be redriven, by job; `sent` which operations of a job were waited for.
    """

    ask: Ask
    since: float
    answer: Answer
    jobs: dict[JobRef, list[Letter]] = field(default_factory=dict)
    sent: defaultdict[JobRef, set[int]] = field(default_factory=lambda: defaultdict(set))
    going: list[Letter] = field(default_factory=list)
    """To be removed: redriven, or to be discarded."""
    is_through: bool = False
    """All is done but that the annotation is still there."""


class LettersState:
    """Of one pool. Times are seconds of a monotonic clock."""

    def __init__(self, raw: RawObject) -> None:
        self.raw = raw
        self.ask: Ask | None = None
        self.request: Request | None = None
        self.known: Known | None = None
        self.ids: frozenset[str] | None = None  # those that were reported; None: only those of the status are known
        self.is_stale = True  # a letter came since they were looked at
        self.read_at: float | None = None
        self.read_seconds = 0.0
        self.failures = 0

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.raw["metadata"]["namespace"], self.raw["metadata"]["name"]

    @property
    def uid(self) -> str:
        """Which object it is."""
        return str(self.raw["metadata"].get("uid", ""))

    def take_in(self, letters: list[Letter]) -> tuple[Letter, ...]:
        """Take in all letters that there are; those of the newest that were never seen before."""
        shown = newest(letters)
        seen = self._ids_of_status() if self.ids is None else self.ids
        self.ids = frozenset(letter.id for letter in letters)
        self.known = Known(len(letters), tuple(map(as_status, shown)))
        return tuple(letter for letter in shown if letter.id not in seen)

    def reference(self) -> RawObject:
        """As much of the pool as an Event needs."""
        return {"apiVersion": API_VERSION, "kind": KIND_POOL, "metadata": self.raw["metadata"]}

    def _ids_of_status(self) -> frozenset[str]:
        entries: Iterable[Any] = (self.raw.get("status") or {}).get("newestDeadLetters") or ()
        return frozenset(str(entry.get("id", "")) for entry in entries)
