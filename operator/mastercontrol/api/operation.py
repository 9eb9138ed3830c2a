"""What a user may ask of a Job that is there: `spec.operations`, a list that only grows, as `spec.signals` does.

`job` reads it with the rest of a spec. Each entry is dealt with once, in order; `status.operationsTaken` counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mastercontrol.api import values

_FIELD: Final = "spec.operations"


class OperationType(StrEnum):
    """What is to be done."""

    RETRY = "Retry"  # a failed job goes on where it failed; what was done stays done
    RESTART = "Restart"  # a failed job begins anew, with the revision that it is pinned to
    SKIP = "Skip"  # a state counts as done; of a failed job, which then goes on


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry. `state` is the path of the state to skip, `output` what it then counts as having given.

    Without `has_output` a skipped state hands its input on. `reason` is for people, and stands in the history.
    """

    type: OperationType
    state: str | None = None
    has_output: bool = False
    output: Any = None
    reason: str | None = None

    def __str__(self) -> str:
        return self.type.value if self.state is None else f"{self.type.value} {self.state}"


def parse_operations(spec: Mapping[str, Any]) -> tuple[Operation, ...]:
    """Read the operations of a Job's spec.

    :raises InvalidObject: with the first fault.
    """
    found = spec.get("operations")
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
        raise values.InvalidObject(f"{_FIELD}: write a list of mappings with type")
    return tuple(_operation(entry, f"{_FIELD}[{i}]") for i, entry in enumerate(found))


def _operation(entry: Mapping[str, Any], path: str) -> Operation:
    values.known(entry, frozenset({"type", "state", "output", "reason"}), path)
    word = values.text(entry, "type", path)
    if word not in set(OperationType):
        raise values.InvalidObject(f"{path}.type: write one of {', '.join(OperationType)}, not {word!r}")
    kind = OperationType(word)
    state = values.optional_text(entry, "state", path)
    if kind is OperationType.SKIP and state is None:
        raise values.InvalidObject(f"{path}.state: write the state to skip")
    for name in ("state", "output"):
        if kind is not OperationType.SKIP and name in entry:
            raise values.InvalidObject(f"{path}.{name}: leave it out, it is for Skip only")
    reason = values.optional_text(entry, "reason", path)
    return Operation(kind, state, "output" in entry, entry.get("output"), reason)
