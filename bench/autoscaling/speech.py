"""What the workers of a site say of themselves, and what they are told: the model of the worker's `attendance.py`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mastercontrol_worker.presence import PRESENCE_SECONDS, Command, CommandMessage, Doing, PresenceMessage

if TYPE_CHECKING:
    from autoscaling.site import Site, Worker

QUEUE = "mcp.pool.bench.work"


class Speech:
    """Each message takes its time, and those of one worker arrive in order."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def tell(self, worker: Worker, command: CommandMessage) -> None:
        """Send something to a worker."""
        site = self._site
        worker.told_until = max(worker.told_until, site.timeline.now + site.random.uniform(*site.ways.message))
        site.timeline.at(worker.told_until, lambda: self._obey(worker, command))

    def begin(self, worker: Worker) -> None:
        """It consumes now, and says what it does from here on."""
        self.speak(worker)
        self._speak_again(worker)

    def end(self, worker: Worker) -> None:
        """It was told to end, and says so until it has."""
        if not worker.gone:
            self.speak(worker)
            self._site.aside((0.75 * PRESENCE_SECONDS, PRESENCE_SECONDS), lambda: self.end(worker))

    def speak(self, worker: Worker) -> None:
        """It says what it does."""
        site, listener = self._site, self._site.listener
        if listener is None:
            return
        doing, dice = Doing.DRAINING if worker.draining else Doing.CONSUMING, site.random
        if worker.ending is not None:
            doing, dice = Doing.ENDING, site.other
        said = PresenceMessage(QUEUE, worker.name, doing, len(worker.held), site.kind.concurrency, worker.order)
        worker.said_until = max(worker.said_until, site.timeline.now + dice.uniform(*site.ways.message))
        site.timeline.at(worker.said_until, lambda: listener.heard(said))

    def _speak_again(self, worker: Worker) -> None:
        def speak() -> None:
            if worker.runs:
                self.speak(worker)
                self._speak_again(worker)

        site = self._site
        site.timeline.after(PRESENCE_SECONDS * site.random.uniform(0.75, 1.0), speak)

    def _obey(self, worker: Worker, command: CommandMessage) -> None:
        """As the worker does it: it stops to consume, and then says so; what comes until then it takes."""
        site = self._site
        if not worker.runs or worker.ready_at is None:
            return
        worker.order = command.order
        drains = command.command is Command.DRAIN
        worker.drained_until = site.timeline.now + command.seconds if drains else -math.inf
        site.later(site.ways.message, lambda: self._carry_out(worker, command.order))
        if drains:
            site.timeline.at(worker.drained_until, lambda: self._carry_out(worker, command.order))

    def _carry_out(self, worker: Worker, order: str) -> None:
        if not worker.runs or order != worker.order:
            return
        worker.draining = worker.drained_until > self._site.timeline.now
        worker.consuming = not worker.draining
        self.speak(worker)
        self._site.queue.hand_out()
