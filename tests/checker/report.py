"""What the checker prints of runs: a row for each of them, or for each of their jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from checker.check import ALL, Verdict
from checker.faults import Rule


def table(verdicts: Mapping[str, Verdict]) -> list[str]:
    """A row for each run: how much happened in it, and how many faults of each rule."""
    head = ["run", "jobs", "ended", "open", "deleted", "commits", "transitions", "dispatches", "executed", "results"]
    rows = [[*head, *(rule.value for rule in Rule), "not seen"]]
    for name, verdict in verdicts.items():
        jobs, ended = verdict.jobs.values(), verdict.ended
        still, gone = ended.pop("open", 0), ended.pop("deleted", 0)
        numbers = [len(jobs), ended.total(), still, gone, sum(job.commits for job in jobs)]
        numbers += [sum(job.sequence for job in jobs)]
        twice = [sum(c.total() - len(c) for c in seen) for seen in _seen(verdict)]
        told = [f"{sum(c.total() for c in seen)}" for seen in _seen(verdict)]
        told = [f"{total} ({n} twice)" if n else total for total, n in zip(told, twice, strict=True)]
        found = [sum(f.rule is rule for f in verdict.faults) for rule in Rule]
        rows.append([name, *map(str, numbers), *told, *map(str, found), _blind(verdict)])
    return aligned(rows)


def jobs_table(verdicts: Mapping[str, Verdict]) -> list[str]:
    """A row for each job."""
    rows = [["run", "job", "phase", "state", "sequence", "commits", "dispatches", "executed", "results", "faults"]]
    for name, verdict in verdicts.items():
        for job in verdict.jobs.values():
            last = job.last or {}
            phase = "deleted" if job.deleted else str(last.get("phase", "-"))
            counts = [job.sequence, job.commits, job.dispatched.total(), job.executed.total(), job.answered.total()]
            told = ", ".join(sorted({fault.rule.value for fault in job.faults})) or "none"
            rows.append([name, job.name, phase, str(last.get("state", "-")), *map(str, counts), told])
    return aligned(rows)


def _seen(verdict: Verdict) -> list[list[Counter[str]]]:
    """Of dispatches, executions and results: how often each of a job was seen, by dispatch id."""
    jobs = verdict.jobs.values()
    return [[j.dispatched for j in jobs], [j.executed for j in jobs], [j.answered for j in jobs]]


def _blind(verdict: Verdict) -> str:
    """What the run did not see, so that the rules about it were not judged."""
    missing = sorted(ALL - verdict.sees)
    unseen = sum(job.unseen for job in verdict.jobs.values())
    missing += [f"{unseen} transitions"] if unseen else []
    missing += [f"{verdict.unknown} events of unknown jobs"] if verdict.unknown else []
    return ", ".join(missing) or "-"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of text, with every column as wide as its widest cell. `rows`: all of the same length."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
