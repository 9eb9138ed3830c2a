"""Shows each job's state as it moves: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mastercontrol.api.job import Job
from mastercontrol.api.names import Phase
from mastercontrol.api.status import JobStatus

_COLOURS = {
    Phase.PENDING: "yellow",
    Phase.RUNNING: "cyan",
    Phase.SUSPENDED: "magenta",
    Phase.SUCCEEDED: "green",
    Phase.FAILED: "red",
    Phase.CANCELLED: "red",
}


class View(Protocol):
    """Where jobs are shown."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def show(self, job: Job) -> None:
        """A job is now like this."""
        ...


class Lines:
    """One line for each change of a state or of what a job waits for."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._began = clock()
        self._last: dict[str, tuple[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, job: Job) -> None:
        """Print a line if the job changed for a reader."""
        status = job.status or JobStatus()
        now = (status.state, status.message or "")
        if self._last.get(job.name) == now:
            return
        self._last[job.name] = now
        seconds = self._clock() - self._began
        line = f"{seconds:7.2f}s  {job.name:24}  {status.state:28}  {status.phase:10}  {status.message or ''}"
        self._console.print(Text(line.rstrip()), soft_wrap=True)


class LiveTable:
    """A table that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._jobs: dict[str, JobStatus] = {}
        self._live = Live(console=console, refresh_per_second=10, get_renderable=self._table)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, job: Job) -> None:
        """Take note; the next refresh shows it."""
        self._jobs[job.name] = job.status or JobStatus()

    def _table(self) -> Table:
        table = Table("JOB", "STATE", "PHASE", "ATTEMPT", "WHY", box=None, pad_edge=False)
        for name, status in self._jobs.items():
            attempt = str(status.active[0].attempt) if status.active else ""
            phase = Text(status.phase, style=_COLOURS[status.phase])
            table.add_row(name, status.state, phase, attempt, status.message or "")
        return table


def view_for(console: Console) -> View:
    """What suits where the output goes."""
    return LiveTable(console) if console.is_terminal else Lines(console)
