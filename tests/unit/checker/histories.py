"""Histories written by hand, in few words: `commit("2 two", active=["two 2 1"])`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from checker.check import Verdict, check

FINAL = {"Done": "Succeeded", "Failed": "Failed", "Cancelled": "Cancelled"}
LATER = "2040-01-01T00:00:00Z"

CHAIN = [{"name": "one", "pool": "p"}, {"name": "two", "pool": "p"}]


class History:
    """The events of a run with one Workflow. Time goes on by a second with each event."""

    def __init__(self, states: Sequence[dict[str, Any]] = CHAIN, **spec: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.sequences: dict[str, int] = {}
        self.add("workflow", namespace="shop", name="order", spec={"states": list(states), **spec}, revision="order-1")

    def add(self, kind: str, **fields: Any) -> None:
        self.events.append({"t": float(len(self.events)), "kind": kind, **fields})

    def create(self, job: str = "u", **fields: Any) -> None:
        self.add("create", job=job, namespace="shop", name=f"job-{job}", workflow="order", **{"signals": [], **fields})

    def commit(
        self, *lines: str, active: Sequence[str] = (), job: str = "u", before: int | None = None, **fields: Any
    ) -> None:
        """Write a status. A line is `SEQ PATH-OR-END [REASON]`, an entry `PATH SEQ ATTEMPT [FIELD=TIME]`."""
        history = [_line(line) for line in lines]
        was = self.sequences.get(job, 0) if before is None else before
        seq = int(fields.pop("seq", history[-1]["seq"] if history else was))
        state = fields.pop("state", _top(history[-1]["state"]) if history else "Begin")
        self.add(
            "commit",
            job=job,
            before=was,
            seq=seq,
            state=state,
            phase=fields.pop("phase", FINAL.get(state, "Running")),
            ended=state in FINAL,
            revision="order-1",
            active=[_entry(entry) for entry in active],
            history=history,
            **fields,
        )
        self.sequences[job] = seq

    def send(self, *ids: str) -> None:
        for id_ in ids:
            self.add("dispatch", job=id_.partition(":")[0], id=id_)

    def execute(self, id_: str) -> None:
        self.add("execute", job=id_.partition(":")[0], id=id_)

    def answer(self, id_: str, outcome: str = "Succeeded") -> None:
        self.add("result", job=id_.partition(":")[0], id=id_, outcome=outcome)

    def work(self, *ids: str, outcome: str = "Succeeded") -> None:
        """Steps are sent, executed and answered."""
        for id_ in ids:
            self.send(id_)
            self.execute(id_)
            self.answer(id_, outcome)

    def rest(self, *steps: str, now: str | None = None) -> None:
        self.add("rest", steps=list(steps), results=[], **({"now": now} if now else {}))

    def verdict(self) -> Verdict:
        """That of the run, after the way through JSON."""
        return check(json.loads(json.dumps(self.events)))

    def rules(self) -> set[str]:
        """The rules that are broken."""
        return {fault.rule.value for fault in self.verdict().faults}

    def write(self, path: Path) -> Path:
        path.write_text("".join(json.dumps(event) + "\n" for event in self.events))
        return path


def _line(text: str) -> dict[str, Any]:
    seq, where, *reason = text.split()
    state = where if where in FINAL else f"InProgress.{where}"
    return {"seq": int(seq), "state": state, "reason": reason[0] if reason else "StepSucceeded"}


def _entry(text: str) -> dict[str, Any]:
    path, seq, attempt, *times = text.split()
    found = {"path": path, "seq": int(seq), "attempt": int(attempt), "id": f"u:{seq}:{attempt}"}
    return {**found, **dict(part.split("=", 1) for part in times or ["dispatchedAt=2030-01-01T00:00:00Z"])}


def _top(state: str) -> str:
    """The machine's state of a line: that of the job, not of what is inside."""
    return state if state in FINAL else "InProgress." + state.split(".")[1].partition("[")[0]


def chain(*, rest: bool = True) -> History:
    """A job of two steps that ends well."""
    found = History()
    found.create()
    found.work("u:1:1")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 two", active=["two 2 1"])
    found.work("u:2:1")
    found.commit("3 Done")
    if rest:
        found.rest()
    return found
