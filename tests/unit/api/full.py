"""A status in which everything is said, for tests that nothing of it is lost on its way."""

from __future__ import annotations

import datetime as dt

from mastercontrol.api.names import ConditionType, Phase
from mastercontrol.api.status import (
    ActiveStep,
    Condition,
    Group,
    HistoryEntry,
    JobError,
    JobStatus,
    Outcome,
    Scope,
    Undo,
)

NOW = dt.datetime(2030, 1, 1, 12, 0, 0, 250_000, tzinfo=dt.UTC)
ERROR = {"code": "Gone", "message": "it is gone", "state": "fetch"}

FULL = JobStatus(
    state="InProgress.each",
    phase=Phase.RUNNING,
    revision="order-6b9f2c41aa",
    sequence=7,
    broker_epoch="1f3a9c2e",
    active=(
        ActiveStep(
            "each[1].fetch",
            6,
            2,
            NOW,
            NOW,
            NOW,
            cause=3,
            tried=(1, 0),
            heartbeat_at=NOW,
            worker="w-1",
            progress={"page": 3},
        ),
    ),
    scope=Scope("", "reserve", {"reserve": [1, None, {"x": 2.5}], "none": None}, {"n": 1, "none": None}, ERROR),
    scopes=(Scope("each[1]", "fetch", {"fetch": None}, {"tries": [2]}, ERROR),),
    groups=(Group("each", 4, 3, 2, 1, 2, (1, 0), {0: None, 2: {"error": ERROR}}),),
    signals_taken=(0, 3),
    conditions=(Condition(ConditionType.WAITING, True, "Signal", "waits", NOW),),  # noqa: FBT003  # its status
    history=(HistoryEntry(7, NOW, "InProgress.each", "StepFailed", 2, "no answer", "worker-1"),),
    start_time=NOW,
    completion_time=NOW,
    observed_generation=2,
    output={"any": ["value", None]},
    error=JobError("Gone", "it is gone", "each[1].fetch"),
    message="each: 1 of 3 done",
    outcome=Outcome(Phase.FAILED, 6, {"any": None}, JobError("Gone", "it is gone", "each"), ("onExit: Stuck: no",)),
    compensations=(Undo("each[0].fetch", {"booking": 7}), Undo("reserve", [None])),
    operations_taken=2,
    resumable=("each[1].fetch", "each[2].fetch"),
    counted_from=3,
)
