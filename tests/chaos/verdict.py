"""What became of the jobs of a run, from their last status and the workers' logs alone. Pure.

It is the short verdict: whether each job ended as it must, made each transition once and had its steps executed.
Whether each transition was a legal one is for the history checker, which sees every write.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from chaos.load import CHAIN, STEPS, Wanted

Object = Mapping[str, Any]

ENDED: Final = frozenset({"Succeeded", "Failed", "Cancelled"})
PARENT: Final = "mastercontrol.dev/parent"
OUT_OF_TIME: Final = frozenset({"Timeout", "States.HeartbeatTimeout", "DeliveryLimitExceeded"})
"""Reasons of a failed attempt that chaos brings about: after one of these a job may end in another way than planned."""

KEPT: Final = 50
"""A status keeps as many transitions at most (`historyLimit`)."""

_EXECUTED = re.compile(rf"EXECUTED ([0-9a-f-]{{36}}:\d+:\d+) \S+ (?:{'|'.join(STEPS)})")


def executions(logs: str) -> Counter[str]:
    """How often each dispatch was executed, from the logs of workers of `tests/e2e/image`."""
    return Counter(_EXECUTED.findall(logs))


def faults(wanted: Sequence[Wanted], jobs: Mapping[str, Object], executed: Mapping[str, int]) -> list[str]:
    """All that is wrong, each with its job; nothing: the promises were kept.

    :param jobs: all Jobs of the namespace, by name, when the run has come to rest.
    :param executed: how often workers of the chain say they executed a dispatch, by its id.
    """
    found = [f"{w.name}: it was created, and is not there" for w in wanted if w.name not in jobs]
    present = [w for w in wanted if w.name in jobs]
    children = by_parent(jobs)
    for name in family((w.name for w in present), children):
        found += [f"{name}: {what}" for what in _of_any(status(jobs[name]))]
    for w in present:
        excused = is_out_of_time(w.name, jobs, children)
        found += [f"{w.name}: {what}" for what in _of_end(w, status(jobs[w.name]), excused=excused)]
        if w.workflow == CHAIN:
            done = steps_done(jobs[w.name])
            found += [f"{w.name}: {i} counts as done, and no worker executed it" for i in done if not executed.get(i)]
    return found


def of_jobs(history: Iterable[Object], uids: Collection[str]) -> list[dict[str, Any]]:
    """The events of a history that are about these jobs, or about none."""
    wanted = {"", *uids}
    return [dict(event) for event in history if event.get("job", "") in wanted]


def status(job: Object) -> Object:
    """A Job's status, empty where there is none yet."""
    return dict(job.get("status") or {})


def by_parent(jobs: Mapping[str, Object]) -> dict[str, list[str]]:
    """The names of the Jobs that a Job has made, by its name."""
    found: dict[str, list[str]] = {}
    for name, job in jobs.items():
        parent = job["metadata"].get("labels", {}).get(PARENT)
        if parent is not None:
            found.setdefault(parent, []).append(name)
    return found


def family(names: Iterable[str], children: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """These and all that they have made."""
    for name in names:
        yield name
        yield from family(children.get(name, ()), children)


def is_out_of_time(name: str, jobs: Mapping[str, Object], children: Mapping[str, Sequence[str]]) -> bool:
    """Whether an attempt of a job, or of a job that it made, ran out of its time or was handed out too often."""
    lines = (line for each in family([name], children) for line in status(jobs[each]).get("history", ()))
    return any(line.get("reason") in OUT_OF_TIME for line in lines)


def steps_done(job: Object) -> list[str]:
    """The dispatches of a job whose success its history shows; of jobs without branches."""
    uid, history = job["metadata"]["uid"], status(job).get("history", ())
    return [
        f"{uid}:{line['seq']}:{after.get('attempt', 1)}"  # a line has the attempt that led to it
        for line, after in pairwise(history)
        if "reason" not in after  # what is absent is StepSucceeded
    ]


def _of_any(found: Object) -> Iterator[str]:
    """What must hold of every job at rest."""
    if found.get("phase") not in ENDED:
        yield f"it has not ended: {found.get('phase')} in {found.get('state')}, {found.get('message')}"
    elif found.get("active"):
        yield f"it has ended, and something is active: {found['active']}"
    sequence = [line["seq"] for line in found.get("history", ())]
    first = max(1, found.get("sequence", 0) - KEPT + 1)
    if sequence != list(range(first, found.get("sequence", 0) + 1)):
        yield f"its sequence is {found.get('sequence')}, and its history has {sequence}"


def _of_end(wanted: Wanted, found: Object, *, excused: bool) -> Iterator[str]:
    """Whether a job has ended in the way that is planned."""
    if excused or found.get("phase") not in ENDED:
        return
    output = found.get("output")
    output = output if isinstance(output, Mapping) else {}
    if found["phase"] != "Succeeded" or any(output.get(k) != v for k, v in wanted.output.items()):
        ended = found.get("error") or found.get("output")
        yield f"it is {found['phase']} with {ended}, and not Succeeded with {wanted.output}"
