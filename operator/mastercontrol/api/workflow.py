"""Workflow: the definition that its author writes, as frozen values. Meaning is given to it in `workflow/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mastercontrol.api import values

MAX_STATES = 200
SECONDS_MAX = 10 * 365 * 86400


@dataclass(frozen=True, slots=True)
class RetrySpec:
    """How often and when a failed step is tried again. `limit` counts the attempts after the first."""

    limit: int = 3
    backoff_seconds: float = 1
    backoff_rate: float = 2
    max_backoff_seconds: float = 300
    jitter: bool = True


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A state as written: `next` None means the one that follows in the list."""

    name: str
    pool: str
    next: str | None = None
    timeout_seconds: int | None = None
    retry: RetrySpec = RetrySpec()


@dataclass(frozen=True, slots=True)
class Workflow:
    """A Workflow object."""

    namespace: str
    name: str
    uid: str
    generation: int
    states: tuple[TaskSpec, ...]


def parse_workflow(raw: Mapping[str, Any]) -> Workflow:
    """Read a Workflow.

    :raises InvalidObject: with the first fault in the shape of its spec.
    """
    meta = values.mapping(raw, "metadata", "")
    return Workflow(
        namespace=str(meta.get("namespace", "default")),
        name=values.text(meta, "name", "metadata"),
        uid=str(meta.get("uid", "")),
        generation=int(meta.get("generation", 1)),
        states=parse_states(values.mapping(raw, "spec", "")),
    )


def parse_states(spec: Mapping[str, Any]) -> tuple[TaskSpec, ...]:
    """Read `spec.states`.

    :raises InvalidObject: with the first fault.
    """
    values.known(spec, frozenset({"states"}), "spec")
    states = spec.get("states")
    if not isinstance(states, list) or not 1 <= len(states) <= MAX_STATES:
        raise values.InvalidObject(f"spec.states: write a list of 1 to {MAX_STATES} states")
    return tuple(_task(state, f"spec.states[{i}]") for i, state in enumerate(states))


_TASK_FIELDS = frozenset({"name", "type", "pool", "next", "timeoutSeconds", "retry"})
_RETRY_FIELDS = frozenset({"limit", "backoffSeconds", "backoffRate", "maxBackoffSeconds", "jitter"})


def _task(state: object, path: str) -> TaskSpec:
    if not isinstance(state, Mapping):
        raise values.InvalidObject(f"{path}: write a mapping with a name and a pool")
    values.known(state, _TASK_FIELDS, path)
    kind = values.text(state, "type", path, "Task")
    if kind != "Task":
        raise values.InvalidObject(f"{path}.type: write Task, not {kind!r}")
    return TaskSpec(
        name=values.text(state, "name", path),
        pool=values.text(state, "pool", path),
        next=values.optional_text(state, "next", path),
        timeout_seconds=values.optional_whole(state, "timeoutSeconds", path, 1, SECONDS_MAX),
        retry=_retry(values.mapping(state, "retry", path), f"{path}.retry"),
    )


def _retry(data: Mapping[str, Any], path: str) -> RetrySpec:
    values.known(data, _RETRY_FIELDS, path)
    jitter = values.text(data, "jitter", path, "full")
    if jitter not in {"full", "none"}:
        raise values.InvalidObject(f"{path}.jitter: write full or none, not {jitter!r}")
    default = RetrySpec()
    return RetrySpec(
        limit=values.whole(data, "limit", path, 0, 100, default.limit),
        backoff_seconds=values.number(data, "backoffSeconds", path, 0, 86400, default.backoff_seconds),
        backoff_rate=values.number(data, "backoffRate", path, 1, 10, default.backoff_rate),
        max_backoff_seconds=values.number(data, "maxBackoffSeconds", path, 1, 86400, default.max_backoff_seconds),
        jitter=jitter == "full",
    )
