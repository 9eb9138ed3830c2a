"""What was heard of steps that are being done: the newest heartbeat of each, in memory only.

The engine owns one `Hearing`, each Job's cell its `Heartbeats`. Heartbeats come often and are worth something only
while they are new, so most are neither a write nor a turn: the first of a dispatch asks for a turn, and later ones do
at most every so many seconds.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mastercontrol import metrics
from mastercontrol.api.job import Job
from mastercontrol.api.names import HeartbeatReason
from mastercontrol.api.status import JobStatus
from mastercontrol.engine.facts import Heard, Heartbeat
from mastercontrol_worker.contract import MalformedMessage, parse_dispatch_id
from mastercontrol_worker.heartbeat import Beat, HeartbeatMessage

if TYPE_CHECKING:
    from mastercontrol.engine.mailbox import Cell, Mailboxes

log = logging.getLogger(__name__)

Key = tuple[int, int]
"""Sequence and attempt of a dispatch of one Job."""

MOST_KNOWN: Final = 4096
"""Dispatches of one Job that heartbeats are remembered of between two turns: workers may say what they like."""

MOST_STRAYS: Final = 1000
"""Jobs that heartbeats are remembered of though they are not known here, or not yet."""


@dataclass(slots=True)
class Heartbeats:
    """What was heard of one Job's steps. `shown_at` is when its status was last written with some of it."""

    known: dict[Key, Heartbeat] = field(default_factory=dict)
    shown_at: dt.datetime | None = None
    unseen: bool = False

    def take(self, key: Key, beat: Heartbeat) -> bool:
        """Remember one; whether it is to be looked at now."""
        before = self.known.get(key)
        if beat.waiting and before is not None and before.worker != beat.worker:
            return False  # another worker has begun it since
        self.known[key] = beat
        while len(self.known) > MOST_KNOWN:
            del self.known[next(iter(self.known))]
        self.unseen = True
        return before is None or before.waiting != beat.waiting

    def take_all(self, beats: Mapping[Key, Heartbeat]) -> None:
        """Remember those that came before the Job was known."""
        for key, beat in beats.items():
            self.take(key, beat)

    def keep(self, status: JobStatus | None) -> None:
        """Forget those of dispatches that are over. What is ahead of the status may be of a write under way."""
        if not self.known or status is None:
            return
        active = {(a.seq, a.attempt) for a in status.active}
        self.known = {k: b for k, b in self.known.items() if k in active or k[0] > status.sequence}

    def reset(self) -> None:
        """Forget all: they are of another Job, or of a broker that lost its data."""
        self.known.clear()
        self.shown_at = None
        self.unseen = False

    def heard(self, since: dt.datetime | None, seconds: float, *, complete: bool) -> Heard:
        """What a decision may know of it. `seconds` is the time between two writes."""
        self.unseen = False
        return Heard(dict(self.known), since, complete, self._show_from(seconds))

    def look_at(self, now: dt.datetime, seconds: float) -> dt.datetime | None:
        """When what no turn has seen yet is to be looked at."""
        if not self.unseen:
            return None
        return max(now, self._show_from(seconds) or now)

    def _show_from(self, seconds: float) -> dt.datetime | None:
        return None if self.shown_at is None else self.shown_at + dt.timedelta(seconds=seconds)


@dataclass(slots=True)
class Attention:
    """Since when this process hears every heartbeat that is sent. Before it, silence says nothing."""

    since: dt.datetime | None = None

    def begin(self, since: dt.datetime) -> None:
        """Heartbeats may have been missed before this."""
        self.since = since if self.since is None else max(since, self.since)


class Hearing:
    """Takes heartbeats in and finds whose they are."""

    def __init__(self, watched: frozenset[str] | None) -> None:
        self.attention = Attention()
        self._watched = watched
        self._epoch: str | None = None
        self._strays: OrderedDict[str, dict[Key, Heartbeat]] = OrderedDict()

    def connected(self, epoch: str, since: dt.datetime, mailboxes: Mailboxes) -> None:
        """There is a connection (again). What was sent to a broker that lost its data waits in a queue once more."""
        self.attention.begin(since)
        if epoch != self._epoch:
            self._epoch = epoch
            self._strays.clear()
            for cell in mailboxes:
                cell.heartbeats.reset()

    def take(
        self, message_id: str | None, body: bytes, mailboxes: Mailboxes, now: dt.datetime
    ) -> tuple[Cell, bool] | None:
        """Take one in: the cell whose it is, and whether to look at it now. None: it is of no Job known here."""
        try:
            message = HeartbeatMessage.decode(message_id, body)
            uid, *numbers = parse_dispatch_id(message.id)
        except MalformedMessage as why:
            log.warning("no heartbeat: %s", why, extra={"message_id": message_id})
            _count(HeartbeatReason.MALFORMED)
            return None
        if self._watched is not None and message.job.namespace not in self._watched:
            _count(HeartbeatReason.FOREIGN)
            return None
        key: Key = (numbers[0], numbers[1])
        beat = Heartbeat(now, message.worker, message.progress, waiting=message.beat is Beat.GIVEN_BACK)
        cell = mailboxes.find((message.job.namespace, message.job.name))
        if cell is None or cell.job is None or cell.job.uid != uid:
            self._stray(uid, key, beat)
            return None
        if key not in cell.heartbeats.known and not _may_be_of(cell.job, key):
            _count(HeartbeatReason.STALE)
            return None
        _count(HeartbeatReason.TAKEN)
        return cell, cell.heartbeats.take(key, beat)

    def found(self, cell: Cell) -> None:
        """A Job is known: give it what came before it was."""
        if self._strays and cell.job is not None:
            cell.heartbeats.take_all(self._strays.pop(cell.job.uid, {}))

    def _stray(self, uid: str, key: Key, beat: Heartbeat) -> None:
        _count(HeartbeatReason.UNKNOWN_JOB)
        beats = self._strays.setdefault(uid, {})
        self._strays.move_to_end(uid)
        beats[key] = beat
        while len(beats) > MOST_KNOWN:
            del beats[next(iter(beats))]
        while len(self._strays) > MOST_STRAYS:
            self._strays.popitem(last=False)


def _may_be_of(job: Job, key: Key) -> bool:
    """Whether a dispatch is one that a Job waits for, or that a write under way makes so."""
    status = job.status
    if status is None or key[0] > status.sequence:
        return True
    return any((a.seq, a.attempt) == key for a in status.active)


def _count(reason: HeartbeatReason) -> None:
    metrics.HEARTBEATS.labels(reason.value).inc()
