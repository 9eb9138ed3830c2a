"""What `mastercontrol dlq` prints: the dead letters of pools as a table, and what became of a request. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mastercontrol.engine.ports import RawObject

HEAD: Final = ("POOL", "ID", "JOB", "STEP", "ATTEMPT", "TIME", "WHY")
GAP: Final = "   "


@dataclass(frozen=True, slots=True)
class Listing:
    """`table` is for standard output, `notes` are for standard error."""

    table: str
    notes: tuple[str, ...]


def listing(pools: Sequence[RawObject]) -> Listing:
    """The dead letters that the status of each pool shows."""
    rows: list[Sequence[str]] = [HEAD]
    notes: list[str] = []
    for pool in pools:
        name, status = str(pool["metadata"]["name"]), pool.get("status") or {}
        count, shown = status.get("deadLetters"), status.get("newestDeadLetters") or ()
        rows += [_row(name, entry) for entry in shown]
        if count is None:
            notes.append(f"{name}: not known how many there are")
        elif count > len(shown):
            notes.append(f"{name}: {count - len(shown)} more, not shown")
    return Listing(_table(rows) if len(rows) > 1 else "", tuple(notes))


def outcome(answer: Mapping[str, Any]) -> Listing:
    """What the operator says that it did."""
    verb = "redriven" if answer.get("asked") == "redrive" else "discarded"
    done, ids = int(answer.get("done", 0)), answer.get("ids") or ()
    lines = [f"{verb}: {one}" for one in ids]
    if done > len(ids):
        lines.append(f"{verb}: {done - len(ids)} more")
    if not lines and not answer.get("notDone"):
        lines.append(f"{verb}: none, as there are no dead letters")
    refused = answer.get("refused") or ()
    notes = [f"not {verb}: {entry.get('id')}: {entry.get('why')}" for entry in refused]
    if int(answer.get("notDone", 0)) > len(refused):
        notes.append(f"not {verb}: {int(answer['notDone']) - len(refused)} more")
    return Listing("\n".join(lines), tuple(notes))


def _row(pool: str, entry: Mapping[str, Any]) -> Sequence[str]:
    fields = ("id", "job", "step", "attempt", "time")
    why = f"{entry.get('reason', '')}: {entry.get('message', '')}"
    return (pool, *(str(entry.get(field, "-")) for field in fields), why)


def _table(rows: Iterable[Sequence[str]]) -> str:
    cells = list(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(GAP.join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)
