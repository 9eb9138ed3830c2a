"""Workflow: the definition that its author writes, as frozen values. `workflow/compile.py` gives them meaning.

Every state keeps its path in the object (`spec.states[3].branches[0].states[1]`), so that a fault can say where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mastercontrol.api import values
from mastercontrol.api.names import LimitPolicy

MAX_STATES = 200
SECONDS_MAX = 10 * 365 * 86400
WAIT_SECONDS_MAX = 3660 * 86400
MAX_NESTING = 5
MAX_RULES = 50
MAX_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class RetrySpec:
    """How often and when a failed attempt is followed by another. `limit` counts the attempts after the first."""

    limit: int = 3
    backoff_seconds: float = 1
    backoff_rate: float = 2
    max_backoff_seconds: float = 300
    jitter: bool = True


@dataclass(frozen=True, slots=True)
class RetryRuleSpec:
    """A retry policy for some errors."""

    errors: tuple[str, ...]
    policy: RetrySpec


@dataclass(frozen=True, slots=True)
class CatchSpec:
    """Where to go on after some errors."""

    errors: tuple[str, ...]
    next: str


@dataclass(frozen=True, slots=True)
class ChoiceSpec:
    """A condition, and where it leads."""

    when: str
    next: str


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """The states of a branch or of a Map's items."""

    path: str
    states: tuple[StateSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpec:
    """A state as written; what its type does not have is at its default. `next` None: the following state."""

    path: str
    name: str
    type: str = "Task"
    next: str | None = None
    end: bool = False
    # data
    has_input: bool = False
    input: Any = None
    has_output: bool = False
    output: Any = None
    assign: Mapping[str, Any] = field(default_factory=dict)
    # Task, and what it shares with Parallel, Map and Signal
    pool: str | None = None
    timeout_seconds: int | None = None
    retry: tuple[RetryRuleSpec, ...] = ()
    catch: tuple[CatchSpec, ...] = ()
    # Choice
    choices: tuple[ChoiceSpec, ...] = ()
    default: str | None = None
    # Wait
    seconds: Any = None
    until: str | None = None
    # Signal
    signal: str | None = None
    # Fail
    code: str = "Failed"
    message: str = ""
    # Parallel and Map
    blocks: tuple[BlockSpec, ...] = ()
    items: Any = None
    max_concurrency: int = 0
    tolerated_count: int | None = None
    tolerated_percentage: float | None = None
    # what undoes it
    compensate: CompensateSpec | None = None
    # SubJob
    workflow: str | None = None
    # Task
    heartbeat_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class CompensateSpec:
    """What undoes a state that is done. Without an input its states get the output of the state."""

    block: BlockSpec
    has_input: bool = False
    input: Any = None


@dataclass(frozen=True, slots=True)
class Workflow:
    """A Workflow object."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: WorkflowSpec


@dataclass(frozen=True, slots=True)
class WorkflowSpec:
    """Its spec."""

    states: tuple[StateSpec, ...]
    max_transitions: int = 10_000
    on_exit: BlockSpec | None = None
    concurrency: ConcurrencySpec | None = None


@dataclass(frozen=True, slots=True)
class ConcurrencySpec:
    """How many Jobs of it may run at once; with `key`, how many that have the same value of this template."""

    limit: int
    policy: LimitPolicy = LimitPolicy.QUEUE
    key: str | None = None


def parse_workflow(raw: Mapping[str, Any]) -> Workflow:
    """Read a Workflow.

    :raises InvalidObject: with every fault in the shape of its spec.
    """
    meta = values.mapping(raw, "metadata", "")
    return Workflow(
        namespace=str(meta.get("namespace", "default")),
        name=values.text(meta, "name", "metadata"),
        uid=str(meta.get("uid", "")),
        generation=int(meta.get("generation", 1)),
        spec=parse_spec(values.mapping(raw, "spec", "")),
    )


def parse_spec(spec: Mapping[str, Any]) -> WorkflowSpec:
    """Read a Workflow's spec.

    :raises InvalidObject: with every fault in its shape.
    """
    read, faults = read_spec(spec)
    if faults:
        raise values.InvalidObject("; ".join(map(str, faults)))
    return read


def read_spec(spec: Mapping[str, Any]) -> tuple[WorkflowSpec, tuple[values.Fault, ...]]:
    """Read a Workflow's spec with all faults in its shape; what is wrong has a stand-in in what is read."""
    with values.collecting() as found:
        read = WorkflowSpec(())
        try:
            read = _spec(spec)
        except values.InvalidObject as error:
            found.add(_fault_of(error, "spec"))
    return read, tuple(found.faults)


def _fault_of(error: values.InvalidObject, path: str) -> values.Fault:
    """What stopped the reading of what is at `path`."""
    at, colon, text = str(error).partition(": ")
    return values.Fault(at, text) if colon and at.startswith(path) else values.Fault(path, str(error))


def _spec(spec: Mapping[str, Any]) -> WorkflowSpec:
    values.known(spec, frozenset({"states", "maxTransitions", "onExit", "concurrency"}), "spec")
    return WorkflowSpec(
        states=_states(spec, "spec", 1),
        max_transitions=values.whole(spec, "maxTransitions", "spec", 1, 1_000_000, 10_000),
        on_exit=_on_exit(spec),
        concurrency=_concurrency(spec),
    )


def _on_exit(spec: Mapping[str, Any]) -> BlockSpec | None:
    if spec.get("onExit") is None:
        return None
    block = values.mapping(spec, "onExit", "spec")
    values.known(block, frozenset({"states"}), "spec.onExit")
    return BlockSpec("spec.onExit", _states(block, "spec.onExit", 2))


def _compensate(state: Mapping[str, Any], path: str, depth: int) -> CompensateSpec | None:
    if state.get("compensate") is None:
        return None
    block, at = values.mapping(state, "compensate", path), f"{path}.compensate"
    values.known(block, frozenset({"states", "input"}), at)
    return CompensateSpec(BlockSpec(at, _states(block, at, depth + 1)), "input" in block, block.get("input"))


def _concurrency(spec: Mapping[str, Any]) -> ConcurrencySpec | None:
    path = "spec.concurrency"
    if spec.get("concurrency") is None:
        return None
    found = values.mapping(spec, "concurrency", "spec")
    values.known(found, frozenset({"limit", "policy", "key"}), path)
    limit = values.optional_whole(found, "limit", path, 1, MAX_LIMIT)
    if limit is None:
        values.refuse(f"{path}.limit", f"write a whole number from 1 to {MAX_LIMIT}, it is required")
    policy = values.text(found, "policy", path, LimitPolicy.QUEUE)
    if policy not in set(LimitPolicy):
        values.refuse(f"{path}.policy", f"write one of {', '.join(LimitPolicy)}, not {policy!r}")
        policy = LimitPolicy.QUEUE
    return ConcurrencySpec(limit or 1, LimitPolicy(policy), values.optional_text(found, "key", path))


def _states(holder: Mapping[str, Any], path: str, depth: int) -> tuple[StateSpec, ...]:
    if depth > MAX_NESTING:
        values.refuse(f"{path}.states", f"states may be nested {MAX_NESTING} deep; write a Workflow of its own")
        return ()
    states = holder.get("states")
    if not isinstance(states, list) or not 1 <= len(states) <= MAX_STATES:
        values.refuse(f"{path}.states", f"write a list of 1 to {MAX_STATES} states")
        return ()
    return tuple(_state(state, f"{path}.states[{i}]", depth) for i, state in enumerate(states))


Fields = dict[str, Any]
_COMMON = frozenset({"name", "type", "next", "end", "input", "output", "assign"})


def _state(state: object, path: str, depth: int) -> StateSpec:
    if not isinstance(state, Mapping):
        values.refuse(path, "write a mapping with a name")
        state = {}
    kind = values.text(state, "type", path, "Task")
    if kind not in _TYPES:
        values.refuse(f"{path}.type", f"write one of {', '.join(_TYPES)}, not {kind!r}")
        # Nobody knows which other fields it is to have.
        kind, state = "Pass", {name: value for name, value in state.items() if name in _COMMON}
    own, read = _TYPES[kind]
    values.known(state, _COMMON | own, path)
    try:
        fields = read(state, path, depth)
    except values.InvalidObject as error:
        fault = _fault_of(error, path)
        values.refuse(fault.path, fault.text)
        fields = {}
    return StateSpec(
        path=path,
        name=values.text(state, "name", path),
        type=kind,
        next=values.optional_text(state, "next", path),
        end=values.flag(state, "end", path, default=False),
        has_input="input" in state,
        input=state.get("input"),
        has_output="output" in state,
        output=state.get("output"),
        assign=_assign(state, path),
        compensate=_compensate(state, path, depth),
        **fields,
    )


def _assign(state: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    found: Mapping[Any, Any] = values.mapping(state, "assign", path)
    for name in found:
        if not isinstance(name, str):
            values.refuse(f"{path}.assign.{name}", "write a text for the name of a variable")
    return {name: value for name, value in found.items() if isinstance(name, str)}


def _task(state: Mapping[str, Any], path: str, _: int) -> Fields:
    return {
        "pool": values.text(state, "pool", path),
        "timeout_seconds": values.optional_whole(state, "timeoutSeconds", path, 1, SECONDS_MAX),
        "retry": _retry(values.mapping(state, "retry", path), f"{path}.retry", default=True),
        "catch": _catch(state, path),
        "heartbeat_seconds": values.optional_whole(state, "heartbeatSeconds", path, 1, SECONDS_MAX),
    }


def _choice(state: Mapping[str, Any], path: str, _: int) -> Fields:
    found = []
    for i, rule in enumerate(_list(state, "choices", path)):
        at = f"{path}.choices[{i}]"
        values.known(rule, frozenset({"when", "next"}), at)
        found.append(ChoiceSpec(values.text(rule, "when", at), values.text(rule, "next", at)))
    return {"choices": tuple(found), "default": values.optional_text(state, "default", path)}


def _wait(state: Mapping[str, Any], path: str, _: int) -> Fields:
    seconds, until = state.get("seconds"), values.optional_text(state, "until", path)
    if (seconds is None) == (until is None):
        values.refuse(f"{path}.seconds", "write seconds or until, one of them")
    if isinstance(seconds, bool) or not isinstance(seconds, int | str | None):
        values.refuse(f"{path}.seconds", "write a whole number or an expression in ${…}")
        seconds = 0
    if isinstance(seconds, int):
        values.whole(state, "seconds", path, 0, WAIT_SECONDS_MAX, 0)
    return {"seconds": seconds, "until": until}


def _signal(state: Mapping[str, Any], path: str, _: int) -> Fields:
    return {
        "signal": values.optional_text(state, "signal", path),
        "timeout_seconds": values.optional_whole(state, "timeoutSeconds", path, 1, SECONDS_MAX),
        "catch": _catch(state, path),
    }


def _fail(state: Mapping[str, Any], path: str, _: int) -> Fields:
    return {
        "code": values.text(state, "code", path, "Failed"),
        "message": values.optional_text(state, "message", path) or "",
    }


def _nothing(_: Mapping[str, Any], __: str, ___: int) -> Fields:
    return {}


def _parallel(state: Mapping[str, Any], path: str, depth: int) -> Fields:
    branches = _list(state, "branches", path, MAX_STATES)
    blocks = []
    for i, branch in enumerate(branches):
        at = f"{path}.branches[{i}]"
        values.known(branch, frozenset({"states"}), at)
        blocks.append(BlockSpec(at, _states(branch, at, depth + 1)))
    return {"blocks": tuple(blocks), **_group(state, path)}


def _map(state: Mapping[str, Any], path: str, depth: int) -> Fields:
    if state.get("items") is None:
        values.refuse(f"{path}.items", "write an expression in ${…} that gives a list, or a list")
    return {
        "blocks": (BlockSpec(path, _states(state, path, depth + 1)),),
        "items": state.get("items"),
        "max_concurrency": values.whole(state, "maxConcurrency", path, 0, 10_000, 0),
        "tolerated_count": values.optional_whole(state, "toleratedFailureCount", path, 0, 10_000),
        "tolerated_percentage": values.optional_number(state, "toleratedFailurePercentage", path, 0, 100),
        **_group(state, path),
    }


def _sub_job(state: Mapping[str, Any], path: str, _: int) -> Fields:
    return {
        "workflow": values.text(state, "workflow", path),
        "timeout_seconds": values.optional_whole(state, "timeoutSeconds", path, 1, SECONDS_MAX),
        **_group(state, path),
    }


def _group(state: Mapping[str, Any], path: str) -> Fields:
    retry = _retry(values.mapping(state, "retry", path), f"{path}.retry", default=False)
    return {"retry": retry, "catch": _catch(state, path)}


_RETRY = frozenset({"limit", "backoffSeconds", "backoffRate", "maxBackoffSeconds", "jitter"})


def _retry(data: Mapping[str, Any], path: str, *, default: bool) -> tuple[RetryRuleSpec, ...]:
    """The rules in their order, and last the policy for all other errors, if there is one."""
    values.known(data, _RETRY | {"rules"}, path)
    rules = []
    for i, rule in enumerate(_list(data, "rules", path)):
        at = f"{path}.rules[{i}]"
        values.known(rule, _RETRY | {"errors"}, at)
        rules.append(RetryRuleSpec(_errors(rule, at), _policy(rule, at)))
    if default or set(data) - {"rules"}:
        rules.append(RetryRuleSpec(("States.ALL",), _policy(data, path)))
    return tuple(rules)


def _policy(data: Mapping[str, Any], path: str) -> RetrySpec:
    jitter = values.text(data, "jitter", path, "full")
    if jitter not in {"full", "none"}:
        values.refuse(f"{path}.jitter", f"write full or none, not {jitter!r}")
    default = RetrySpec()
    policy = RetrySpec(
        limit=values.whole(data, "limit", path, 0, 100, default.limit),
        backoff_seconds=values.number(data, "backoffSeconds", path, 0, 86400, default.backoff_seconds),
        backoff_rate=values.number(data, "backoffRate", path, 1, 10, default.backoff_rate),
        max_backoff_seconds=values.number(data, "maxBackoffSeconds", path, 1, 86400, default.max_backoff_seconds),
        jitter=jitter == "full",
    )
    if policy.backoff_seconds > policy.max_backoff_seconds:
        text = f"write at least backoffSeconds, which is {policy.backoff_seconds:g}, not {policy.max_backoff_seconds:g}"
        values.refuse(f"{path}.maxBackoffSeconds", text)
    return policy


def _catch(state: Mapping[str, Any], path: str) -> tuple[CatchSpec, ...]:
    found = []
    for i, rule in enumerate(_list(state, "catch", path)):
        at = f"{path}.catch[{i}]"
        values.known(rule, frozenset({"errors", "next"}), at)
        found.append(CatchSpec(_errors(rule, at), values.text(rule, "next", at)))
    return tuple(found)


def _errors(rule: Mapping[str, Any], path: str) -> tuple[str, ...]:
    errors = rule.get("errors")
    if not isinstance(errors, list) or not errors or not all(isinstance(e, str) and e for e in errors):
        values.refuse(f"{path}.errors", "write a list of error names, or [States.ALL]")
        return ("States.ALL",)
    return tuple(errors)


def _list(data: Mapping[str, Any], name: str, path: str, most: int = MAX_RULES) -> list[Mapping[str, Any]]:
    found = data.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        values.refuse(f"{path}.{name}", "write a list of mappings")
        return []
    if len(found) > most:
        values.refuse(f"{path}.{name}", f"write at most {most}, not {len(found)}")
        return []
    for i, each in enumerate(found):
        if not isinstance(each, Mapping):
            values.refuse(f"{path}.{name}[{i}]", "write a mapping")
    return [each if isinstance(each, Mapping) else {} for each in found]


Reader = Callable[[Mapping[str, Any], str, int], Fields]

_RETRYING = frozenset({"retry", "catch"})
_TYPES: Mapping[str, tuple[frozenset[str], Reader]] = {
    "Task": (_RETRYING | {"pool", "timeoutSeconds", "heartbeatSeconds", "compensate"}, _task),
    "Pass": (frozenset({"compensate"}), _nothing),
    "Choice": (frozenset({"choices", "default"}), _choice),
    "Wait": (frozenset({"seconds", "until"}), _wait),
    "Signal": (frozenset({"signal", "timeoutSeconds", "catch", "compensate"}), _signal),
    "Parallel": (_RETRYING | {"branches", "compensate"}, _parallel),
    "Map": (
        _RETRYING
        | {"items", "states", "maxConcurrency", "toleratedFailureCount", "toleratedFailurePercentage", "compensate"},
        _map,
    ),
    "Succeed": (frozenset(), _nothing),
    "Fail": (frozenset({"code", "message"}), _fail),
    "SubJob": (_RETRYING | {"workflow", "timeoutSeconds", "compensate"}, _sub_job),
}
