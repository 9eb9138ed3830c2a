"""The figures of a run, and the table of them. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Final

from chaos.plan import Kind, Target
from checker.report import aligned

Object = Mapping[str, Any]

IN_HAND: Final = 1.0
"""Seconds after a blow in which a transition may still be seen of what was in the operator's hands before it."""

_WORKER: Final = "mcp-worker-"


@dataclass(frozen=True)
class Blow:
    """What was done: when (seconds since 1970), to which pod, whether it led. `missed`: why nothing was done."""

    at: float
    kind: Kind
    pod: str = ""
    led: bool = False
    seconds: float = 0
    missed: str = ""


@dataclass(frozen=True, order=True)
class Transition:
    """A transition of a job: when its write was seen, and the pod whose result caused it, where one did."""

    at: float
    pod: str = ""


@dataclass(frozen=True)
class Figures:
    """What became of one run: its blows, and what else the table says. What is hit in one goes on in the same."""

    seed: int
    seconds: float
    rest_seconds: float  # from the end of the blows until the last job had ended
    phases: Mapping[str, int]
    out_of_time: int
    transitions: Sequence[Transition]
    leaders: Sequence[float]  # when somebody took the Lease
    redelivered: int
    executed: Mapping[str, int]
    epochs: int
    blows: Sequence[Blow] = ()


def transitions(history: Iterable[Object], began: float) -> list[Transition]:
    """The transitions of a recorded history, each when its write was seen; `began` is when the history begins."""
    return sorted(
        Transition(began + event["t"], line.get("worker", ""))
        for event in history
        if event["kind"] == "commit"
        for line in event["history"]
    )


def steps(made: Iterable[Transition]) -> int:
    """How many of these a worker's result caused."""
    return sum(each.pod.startswith(_WORKER) for each in made)


def growth(samples: Sequence[float]) -> float:
    """How much a counter grew since its first sample. It begins at 0 again with its process.

    What it counted between its last sample and the end of its process is not seen.
    """
    return sum(after - before if after >= before else after for before, after in pairwise(samples))


def recovery(blow: Blow, made: Sequence[Transition]) -> float | None:
    """Seconds from a blow until work went on where it hit; None: it did not, or nothing was to recover.

    :param made: all transitions, in order of time.

    - An operator that led, and the API server: the next transition of any job.
    - A worker: the next result of its pool. The broker: the next result of any.

    Each after what was in hand.
    """
    if blow.missed or (blow.kind.target is Target.OPERATOR and not blow.led):
        return None
    match blow.kind.target:
        case Target.OPERATOR | Target.API:
            whose = ""
        case Target.WORKER:
            whose = blow.pod.rsplit("-", 2)[0] + "-"
        case Target.BROKER:
            whose = _WORKER
    later = bisect_right(made, blow.at + IN_HAND, key=lambda each: each.at)
    first = next((t.at for t in islice(made, later, None) if t.pod.startswith(whose)), None)
    return None if first is None else first - blow.at


def new_leader(blow: Blow, blows: Sequence[Blow], leaders: Sequence[float]) -> float | None:
    """Seconds from a blow to an operator that led until another took the Lease.

    None where none did before the next such blow: a process that starts again in its pod has the Lease still.
    """
    if blow.missed or not blow.led:
        return None
    until = min((b.at for b in blows if b.led and b.at > blow.at), default=math.inf)
    return next((at - blow.at for at in sorted(leaders) if blow.at < at < until), None)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The least of the values that `share` of them do not exceed; None where there are none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None


def table(runs: Sequence[Figures]) -> list[str]:
    """What one or more runs were, together, in lines of text."""
    executed = sum(sum(run.executed.values()) for run in runs)
    distinct = sum(len(run.executed) for run in runs)
    ended = sum((Counter(run.phases) for run in runs), Counter[str]())
    phases = ", ".join(f"{count} {phase}" for phase, count in sorted(ended.items()))
    late = f"{sum(run.out_of_time for run in runs)} with an attempt out of time"
    head = [
        *(
            f"seed {run.seed}, {run.seconds:.0f} s of chaos, at rest {run.rest_seconds:.0f} s after its end"
            for run in runs
        ),
        f"jobs             {ended.total()} ({phases}; {late})",
        f"transitions      {sum(len(run.transitions) for run in runs)}",
        f"steps done       {sum(steps(run.transitions) for run in runs)}",
        f"redeliveries     {sum(run.redelivered for run in runs)} seen at the broker",
        f"executed twice   {executed - distinct} of {distinct} dispatches of the chain",
        f"broker's epochs  {sum(run.epochs for run in runs)}",
        "",
    ]
    return head + aligned([_HEAD, *_rows(runs)])


_HEAD: Final = ("kind", "blows", "missed", "recovered", "p50 s", "p99 s", "new leader", "p50 s", "p99 s")


def _rows(runs: Sequence[Figures]) -> Iterator[tuple[str, ...]]:
    struck = {blow.kind for run in runs for blow in run.blows}
    for name, kinds in [*((kind.value, {kind}) for kind in Kind if kind in struck), ("all", struck)]:
        of = [(blow, run) for run in runs for blow in run.blows if blow.kind in kinds]
        went_on = [r for blow, run in of if (r := recovery(blow, run.transitions)) is not None]
        led = [r for blow, run in of if (r := new_leader(blow, run.blows, run.leaders)) is not None]
        missed = sum(bool(blow.missed) for blow, _ in of)
        yield (name, str(len(of) - missed), str(missed), *_spread(went_on), *_spread(led))


def _spread(values: Sequence[float]) -> tuple[str, str, str]:
    if not values:
        return "-", "-", "-"
    return str(len(values)), f"{percentile(values, 0.5):.1f}", f"{percentile(values, 0.99):.1f}"
