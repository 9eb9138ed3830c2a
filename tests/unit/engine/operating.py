"""A user who asks for operations, and what they are told."""

from __future__ import annotations

from typing import Any

from mastercontrol.api.names import ConditionType, Reason
from mastercontrol.api.operation import Operation, OperationType
from unit.engine.builders import Run, step

RETRY = Operation(OperationType.RETRY, reason="ann: mended")
RESTART = Operation(OperationType.RESTART, reason="ann: from the start")


def ask(run: Run, *operations: Operation) -> Run:
    """The user adds operations, and the turns are taken that these ask for."""
    run.change(operations=(*run.job.spec.operations, *operations)).turn()
    while run.job.asked:
        run.turn()
    return run


def chained(*more: Any) -> Run:
    """A chain whose second step has failed for good."""
    run = Run.of(step("reserve"), step("charge"), *(more or (step("ship"),)))
    run.done("reserve", {"stock": 1})
    run.broken("charge")
    assert failed(run) == "Broken"
    return run


def failed(run: Run) -> str:
    """The code of the error that the job failed with."""
    how, code = run.ending
    assert how == "Failed"
    return str(code)


def sent_now(run: Run) -> list[str]:
    """What the turn sends that a user's operation asked to be woken for."""
    before = len(run.sent)
    assert run.last.wake_at == run.now
    run.turn()
    return [f"{m.step} {m.id.partition(':')[2]}" for m in run.sent[before:]]


def refused(run: Run) -> str:
    """What the user is told, where they look: in an Event and in a condition."""
    assert run.condition(ConditionType.OPERATED) == (False, "OperationRefused")
    assert run.notes[-1].reason is Reason.OPERATION_REFUSED
    condition = next(c for c in run.status.conditions if c.type is ConditionType.OPERATED)
    assert condition.message == run.notes[-1].message
    assert run.status.operations_taken == len(run.job.spec.operations)
    return condition.message
