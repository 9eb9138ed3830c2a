"""From the states as their author wrote them to a Definition, or to every fault at once.

This is the Kubernetes-style front-end. What it promises of a Definition: every `next` exists, every state is reached,
from every state there is a way to the end, every expression compiles and reads only variables that there are.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from mastercontrol.api.values import Fault as ShapeFault
from mastercontrol.api.workflow import BlockSpec, CatchSpec, RetryRuleSpec, StateSpec, WorkflowSpec
from mastercontrol.workflow.concurrency import compile_concurrency
from mastercontrol.workflow.definition import (
    COMPENSATE,
    ON_EXIT,
    Block,
    CatchRule,
    ChoiceState,
    ClosingState,
    Compensation,
    Data,
    Definition,
    FailState,
    Faults,
    MapState,
    ParallelState,
    PassState,
    RetryRule,
    SignalState,
    State,
    SubJobState,
    SucceedState,
    TaskState,
    WaitState,
)
from mastercontrol.workflow.findings import NAMES, Findings, place
from mastercontrol.workflow.needed import keeping, needed_outputs
from mastercontrol.workflow.reach import Node, never_ending, never_reached

STATE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}\Z")
POOL_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?\Z")
WORKFLOW_NAME: Final = re.compile(r"(?=.{1,63}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")

TERMINAL: Final = frozenset({"Succeed", "Fail"})


def compile_workflow(name: str, spec: WorkflowSpec, shape: Sequence[ShapeFault] = ()) -> Definition | Faults:
    """Give meaning to the Workflow called `name`, or say all that is wrong with it.

    :param shape: what was found wrong while the spec was read, where it has stand-ins.
    """
    compiler = _Compiler(shape)
    block = compiler.block(spec.states, "spec")
    closing = compiler.closing(spec)
    concurrency = compile_concurrency(spec.concurrency)
    if isinstance(concurrency, tuple):
        compiler.faults += concurrency
        concurrency = None
    if compiler.faults:
        return Faults(tuple(sorted(compiler.faults, key=place)))
    return Definition(_revision(name, spec), keeping(block, closing), spec.max_transitions, closing, concurrency)


def _revision(name: str, spec: WorkflowSpec) -> str:
    text = json.dumps(asdict(spec), sort_keys=True, separators=(",", ":"))
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


class _Compiler(Findings):
    """One compilation. What it makes is used only if there are no faults."""

    def __init__(self, shape: Sequence[ShapeFault] = ()) -> None:
        super().__init__(shape)
        self._compensations: list[BlockSpec] = []
        self._is_closing = False

    # -- blocks

    def block(self, specs: Sequence[StateSpec], path: str) -> Block:
        if not specs:
            self.fault(f"{path}.states", "write a list of states")
            return Block("", {})
        self._names(specs)
        states = {
            s.name: self._state(s, specs[i + 1].name if i + 1 < len(specs) else None) for i, s in enumerate(specs)
        }
        edges = {s.name: self._edges(s, states[s.name], states) for s in specs}
        self._reach(specs)
        return Block(specs[0].name, states, {} if self.faults else needed_outputs(states, edges))

    def _names(self, specs: Sequence[StateSpec]) -> None:
        seen = set[str]()
        for spec in specs:
            if self._told.holds(f"{spec.path}.name"):
                continue  # it has none that could be told
            if not STATE_NAME.match(spec.name):
                text = f"{spec.name!r} is no state name; write letters, digits, '_' and '-', at most 63, a letter first"
                self.fault(f"{spec.path}.name", text)
            if spec.name in seen:
                self.fault(f"{spec.path}.name", f"{spec.name!r} stands twice; give each state its own name")
            seen.add(spec.name)

    def _edges(self, spec: StateSpec, state: State, states: Mapping[str, State]) -> list[str]:
        """Where a state may lead to; a name that there is not is a fault."""
        named = [(f"{spec.path}.next", spec.next), (f"{spec.path}.default", spec.default)]
        named += [(f"{spec.path}.choices[{i}].next", c.next) for i, c in enumerate(spec.choices)]
        named += [(f"{spec.path}.catch[{i}].next", c.next) for i, c in enumerate(spec.catch)]
        for at, name in named:
            if name is not None and name not in states:
                self.fault(at, f"there is no state {name!r}; write one of {', '.join(sorted(filter(None, states)))}")
        return [*([state.next] if state.next else []), *(n for _, n in named[2:] if n)]

    def _reach(self, specs: Sequence[StateSpec]) -> None:
        """Whether every state is reached and leads to an end, as far as that can be told."""
        nodes = [self._node(spec, specs) for spec in specs]
        for i in never_reached(nodes):
            self.fault(specs[i].path, f"{specs[i].name!r} is never reached from {specs[0].name!r}")
        ends = frozenset(i for i, spec in enumerate(specs) if _may_end(spec, specs))
        for loop in never_ending(nodes, ends):
            names = " and ".join(repr(specs[i].name) for i in loop)
            self.fault(specs[loop[0]].path, f"from {names} there is no way to an end, so a job would never end")

    def _node(self, spec: StateSpec, specs: Sequence[StateSpec]) -> Node:
        names = [spec.next, spec.default, *(c.next for c in spec.choices), *(c.next for c in spec.catch)]
        follows = spec.type not in TERMINAL and spec.type != "Choice" and spec.next is None and _leads_on(spec, specs)
        return Node(spec.name, frozenset(n for n in names if n), follows, self._is_loose(spec))

    def _is_loose(self, spec: StateSpec) -> bool:
        """Whether something is wrong with where a state leads to."""
        rules = [f"{spec.path}.choices[{i}]" for i in range(len(spec.choices))]
        rules += [f"{spec.path}.catch[{i}]" for i in range(len(spec.catch))]
        own = [f"{spec.path}.{field}" for field in ("type", "next", "end", "default", "choices", "catch")]
        wrong = any(self._told.holds(path) for path in [*own, *(f"{rule}.next" for rule in rules)])
        return wrong or not self._misnamed.isdisjoint([spec.path, *rules])

    # -- what runs at the end

    def closing(self, spec: WorkflowSpec) -> dict[str, ClosingState]:
        """The closing states. Call it last: the states say what undoes them while they are compiled."""
        self._is_closing = True
        blocks = tuple(self.block(b.states, b.path) for b in self._compensations)
        found = {}
        if blocks:
            found[COMPENSATE] = ClosingState(name=COMPENSATE, blocks=blocks)
        if spec.on_exit is not None:
            block = self.block(spec.on_exit.states, spec.on_exit.path)
            found[ON_EXIT] = ClosingState(name=ON_EXIT, blocks=(block,))
        for state in spec.states:
            if state.name in found:
                self.fault(f"{state.path}.name", f"{state.name!r} is what the job is in while it closes; write another")
        return found

    def _compensation(self, spec: StateSpec) -> Compensation | None:
        if spec.compensate is None:
            return None
        at = f"{spec.path}.compensate"
        if self._is_closing:
            self.fault(at, "what runs at the end is not undone itself; leave compensate out")
            return None
        self._compensations.append(spec.compensate.block)
        template = None
        if spec.compensate.has_input:
            template = self.template(f"{at}.input", spec.compensate.input, NAMES | {"result"})
        return Compensation(len(self._compensations) - 1, template)

    # -- states

    def _state(self, spec: StateSpec, following: str | None) -> State:  # noqa: PLR0911  # one for each type
        common: dict[str, Any] = {"name": spec.name, "data": self._data(spec)}
        common["next"] = _next(spec, following)
        common["compensation"] = self._compensation(spec)
        self._fits_its_type(spec)
        match spec.type:
            case "Task":
                return self._task(spec, common)
            case "Pass":
                return PassState(**common)
            case "Choice":
                return self._choice(spec, common)
            case "Wait":
                seconds = None if spec.seconds is None else self.template(f"{spec.path}.seconds", spec.seconds)
                until = None if spec.until is None else self.template(f"{spec.path}.until", spec.until)
                return WaitState(**common, seconds=seconds, until=until)
            case "Signal":
                catch = self._catch(spec.catch)
                return SignalState(
                    **common, signal=spec.signal or spec.name, timeout_seconds=spec.timeout_seconds, catch=catch
                )
            case "Succeed":
                return SucceedState(**common)
            case "Fail":
                code = self.template(f"{spec.path}.code", spec.code)
                return FailState(**common, code=code, message=self.template(f"{spec.path}.message", spec.message))
            case "Parallel":
                return self._parallel(spec, common)
            case "SubJob":
                return self._sub_job(spec, common)
            case _:
                return self._map(spec, common)

    def _fits_its_type(self, spec: StateSpec) -> None:
        """What the parser lets through and the type has no use for: it would be ignored without a word."""
        if spec.end and spec.next is not None:
            self.fault(f"{spec.path}.next", "write next or end: true, not both")
        if spec.type in TERMINAL and (spec.end or spec.next is not None):
            self.fault(f"{spec.path}.next", f"nothing comes after a {spec.type}; leave next and end out")
        if spec.type == "Fail" and (spec.has_output or spec.assign):
            self.fault(f"{spec.path}.output", "a Fail has no output and sets no variables; leave output and assign out")
        if isinstance(spec.seconds, str) and "${" not in spec.seconds:
            self.fault(f"{spec.path}.seconds", "write a whole number, or an expression in ${…}")
        if spec.until is not None and "${" not in spec.until and not _is_timestamp(spec.until):
            self.fault(f"{spec.path}.until", "write a timestamp with a time zone, as in 2030-01-31T12:00:00Z")

    def _task(self, spec: StateSpec, common: dict[str, Any]) -> TaskState:
        pool = spec.pool or ""
        if not is_pool_name(pool):
            self.fault(f"{spec.path}.pool", f"{pool!r} is no name of a WorkerPool")
        retry, catch = self._retry(spec.retry), self._catch(spec.catch)
        limit, heartbeat = spec.timeout_seconds, spec.heartbeat_seconds
        if limit is not None and heartbeat is not None and heartbeat >= limit:
            text = f"write less than timeoutSeconds, which is {limit}, not {heartbeat}: it would never be noticed"
            self.fault(f"{spec.path}.heartbeatSeconds", text)
        return TaskState(
            **common, pool=pool, timeout_seconds=limit, retry=retry, catch=catch, heartbeat_seconds=heartbeat
        )

    def _sub_job(self, spec: StateSpec, common: dict[str, Any]) -> SubJobState:
        workflow = spec.workflow or ""
        if not WORKFLOW_NAME.match(workflow):
            self.fault(f"{spec.path}.workflow", f"{workflow!r} is no name of a Workflow")
        retry, catch = self._retry(spec.retry), self._catch(spec.catch)
        return SubJobState(**common, workflow=workflow, timeout_seconds=spec.timeout_seconds, retry=retry, catch=catch)

    def _choice(self, spec: StateSpec, common: dict[str, Any]) -> ChoiceState:
        if not spec.choices:
            self.fault(f"{spec.path}.choices", "write at least one rule with when and next")
        if spec.default is None:
            self.fault(f"{spec.path}.default", "write the state to go to when no rule holds")
        if spec.next is not None or spec.end:
            self.fault(f"{spec.path}.next", "a Choice leads where its rules say; write default")
        rules = []
        for i, choice in enumerate(spec.choices):
            when = self.condition(f"{spec.path}.choices[{i}].when", choice.when)
            if when is not None:
                rules.append((when, choice.next))
        return ChoiceState(**common, rules=tuple(rules))

    def _parallel(self, spec: StateSpec, common: dict[str, Any]) -> ParallelState:
        if not spec.blocks:
            self.fault(f"{spec.path}.branches", "write at least one branch with states")
        branches = tuple(self.block(b.states, b.path) for b in spec.blocks)
        retry, catch = self._retry(spec.retry), self._catch(spec.catch)
        return ParallelState(**common, branches=branches, retry=retry, catch=catch)

    def _map(self, spec: StateSpec, common: dict[str, Any]) -> MapState:
        (inner,) = spec.blocks or (BlockSpec(spec.path, ()),)
        return MapState(
            **common,
            items=self.template(f"{spec.path}.items", spec.items),
            block=self.block(inner.states, inner.path),
            max_concurrency=spec.max_concurrency,
            tolerated_count=spec.tolerated_count,
            tolerated_percentage=spec.tolerated_percentage,
            retry=self._retry(spec.retry),
            catch=self._catch(spec.catch),
        )

    # -- data and rules

    def _data(self, spec: StateSpec) -> Data:
        result = NAMES | {"result"}
        for name in spec.assign:
            if not VARIABLE_NAME.match(name):
                self.fault(f"{spec.path}.assign.{name}", "write letters, digits and '_' for the name of a variable")
        return Data(
            input=self.template(f"{spec.path}.input", spec.input) if spec.has_input else None,
            output=self.template(f"{spec.path}.output", spec.output, result) if spec.has_output else None,
            assign={n: self.template(f"{spec.path}.assign.{n}", v, result) for n, v in spec.assign.items()},
        )

    def _retry(self, rules: Iterable[RetryRuleSpec]) -> tuple[RetryRule, ...]:
        return tuple(RetryRule(r.errors, r.policy) for r in rules)

    def _catch(self, rules: Iterable[CatchSpec]) -> tuple[CatchRule, ...]:
        return tuple(CatchRule(r.errors, r.next) for r in rules)


def is_pool_name(text: str) -> bool:
    """Whether a WorkerPool can have this name."""
    return POOL_NAME.match(text) is not None


def _is_timestamp(text: str) -> bool:
    try:
        return dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _next(spec: StateSpec, following: str | None) -> str | None:
    if spec.type in TERMINAL or spec.end:
        return None
    if spec.type == "Choice":
        return spec.default
    return spec.next if spec.next is not None else following


def _may_end(spec: StateSpec, specs: Sequence[StateSpec]) -> bool:
    return spec.type in TERMINAL or (spec.type != "Choice" and not _leads_on(spec, specs))


def _leads_on(spec: StateSpec, specs: Sequence[StateSpec]) -> bool:
    return not spec.end and (spec.next is not None or spec is not specs[-1])
