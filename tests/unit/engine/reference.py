"""What a Workflow means, said a second time: recursive, without persistence, messages or time.

Independent of the engine: it shares the parsed spec and the expressions with it, and nothing else. Where the order of
events decides (which of two failing branches is first), it gives every outcome that there may be.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mastercontrol.api.workflow import BlockSpec, StateSpec, WorkflowSpec
from mastercontrol.workflow.expressions import Expression, ExpressionError, compile_condition
from mastercontrol.workflow.findings import NAMES
from mastercontrol.workflow.templates import Template, compile_template

MOST = 64
"""Outcomes of one block beyond which it is too ambiguous to be worth following."""


class TooAmbiguous(Exception):
    """So much depends on the order of events that nothing would be tested."""


@dataclass(frozen=True)
class Undo:
    """A state that is done, by what undoes it and with which input. `number` counts these in the workflow."""

    number: int
    block: BlockSpec
    input: Any


@dataclass(frozen=True)
class Failure:
    """An error. `lasting`: the same state would only fail again. `of_task`: a step failed, not the state's own data."""

    code: str
    lasting: bool = False
    of_task: bool = True
    undo: tuple[Undo, ...] = ()
    closing: tuple[tuple[str, Any], ...] = ()


WRONG_DATA = Failure("States.QueryEvaluationError", lasting=True, of_task=False)


@dataclass(frozen=True)
class Ended:
    """A state or block is done, with this output. `closing`: the steps and inputs that a job began to close with."""

    output: Any
    undo: tuple[Undo, ...] = ()
    closing: tuple[tuple[str, Any], ...] = ()


Outcome = Ended | Failure

Script = Callable[[str, int, Any], Outcome]
"""What a step does: its path (`fan#2[0].charge`: in the second attempt at `fan`), its attempt, its input."""


@dataclass(frozen=True)
class Env:
    """All that a block knows. What a block changes is gone with it."""

    input: Any
    job_input: Any
    path: str = ""
    steps: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    error: Any = None
    item: Any = None
    index: int | None = None
    undo: tuple[Undo, ...] = ()

    def names(self) -> dict[str, Any]:
        steps = {name: {"output": output} for name, output in self.steps.items()}
        return {
            "input": self.input,
            "job": {"name": "order-1", "namespace": "shop", "uid": "0b5e", "input": self.job_input},
            "steps": steps,
            "vars": dict(self.variables),
            "item": self.item,
            "index": self.index,
            "error": self.error,
        }

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def outcomes(spec: WorkflowSpec, data: Any, script: Script, signals: Mapping[str, Any]) -> list[Outcome]:
    """Every outcome that a job with this input may have. `signals` are those that are sent; for others nobody comes."""
    reference = _Reference(script, signals)
    ends = reference.block(BlockSpec("spec", spec.states), Env(data, data))
    return _distinct(end for outcome in ends for end in reference.close(spec, outcome, data))


class _Reference:
    def __init__(self, script: Script, signals: Mapping[str, Any]) -> None:
        self.script = script
        self.signals = signals

    def close(self, spec: WorkflowSpec, outcome: Outcome, data: Any) -> list[Outcome]:
        """What undoes the states that are done, last first, if it failed; then onExit, which may spoil a good end.

        The states of these blocks are steps that read nothing but their input, so each has one outcome.
        """
        error, began = None, []
        if isinstance(outcome, Failure):
            error = {"code": outcome.code, "message": "*", "state": "*"}
            for undo in reversed(outcome.undo):
                path = f"compensate[{undo.number}]"
                began.append((f"{path}.{undo.block.states[0].name}", undo.input))
                self.block(undo.block, Env(undo.input, data, path))
        if spec.on_exit is not None:
            output = None if isinstance(outcome, Failure) else outcome.output
            phase = "Failed" if isinstance(outcome, Failure) else "Succeeded"
            told = {"phase": phase, "output": output, "error": error}
            began.append((f"onExit.{spec.on_exit.states[0].name}", told))
            (end,) = self.block(spec.on_exit, Env(told, data, "onExit"))
            if isinstance(end, Failure) and not isinstance(outcome, Failure):
                return [Failure(end.code, closing=tuple(began))]
        return [replace(outcome, undo=(), closing=tuple(began))]

    def block(self, block: BlockSpec, env: Env) -> list[Outcome]:
        return _distinct(self._from(block, 0, env))

    def _from(self, block: BlockSpec, at: int, env: Env) -> Iterator[Outcome]:
        """From one state of a block to its end."""
        state = block.states[at]
        where = {s.name: i for i, s in enumerate(block.states)}
        try:
            data = _fill(state.input, env) if state.has_input else env.input
        except ExpressionError:
            yield from self._fail(block, state, env, WRONG_DATA, where)
            return
        inside = replace(env, input=data)
        for outcome in self._attempts(state, inside):
            if isinstance(outcome, Failure):
                yield from self._fail(block, state, env, outcome, where)
                continue
            try:
                after = _leave(state, inside, outcome.output)
                following = _next(block, state, inside, where)
            except ExpressionError:
                yield from self._fail(block, state, env, WRONG_DATA, where)
                continue
            if following is None:
                yield Ended(after.input, after.undo)
            else:
                yield from self._from(block, following, after)

    def _fail(
        self, block: BlockSpec, state: StateSpec, env: Env, failure: Failure, where: Mapping[str, int]
    ) -> Iterator[Outcome]:
        rule = next((c for c in state.catch if _matches(c.errors, failure)), None)
        if rule is None:
            yield replace(failure, undo=env.undo)
            return
        error = {"code": failure.code, "message": "*", "state": state.name}
        after = replace(env, input=error, error=error, steps={**env.steps, state.name: error})
        yield from self._from(block, where[rule.next], after)

    # -- a state by itself, tried as often as its rules say

    def _attempts(self, state: StateSpec, env: Env) -> list[Outcome]:
        return _distinct(self._try(state, env, 1, (0,) * len(state.retry)))

    def _try(self, state: StateSpec, env: Env, attempt: int, used: tuple[int, ...]) -> Iterator[Outcome]:
        for outcome in self._once(state, env, attempt):
            rule = None
            if isinstance(outcome, Failure) and not outcome.lasting:
                rule = next((i for i, r in enumerate(state.retry) if _matches(r.errors, outcome)), None)
            if rule is None or used[rule] >= state.retry[rule].policy.limit:
                yield outcome
            else:
                counted = tuple(n + (i == rule) for i, n in enumerate(used))
                yield from self._try(state, env, attempt + 1, counted)

    def _once(self, state: StateSpec, env: Env, attempt: int) -> list[Outcome]:
        match state.type:
            case "Task" | "SubJob":
                return [self.script(env.at(state.name), attempt, env.input)]
            case "Signal":
                name = state.signal or state.name
                return [Ended(self.signals[name]) if name in self.signals else Failure("Timeout")]
            case "Parallel":
                return self._parallel(state, env, attempt)
            case "Map":
                return self._map(state, env, attempt)
            case _:
                return [_by_itself(state, env)]

    def _parallel(self, state: StateSpec, env: Env, attempt: int) -> list[Outcome]:
        path = env.at(state.name)
        each = [self.block(b, replace(env, path=f"{path}#{attempt}[{i}]", undo=())) for i, b in enumerate(state.blocks)]
        return _distinct(self._joined(each))

    def _joined(self, each: list[list[Outcome]]) -> Iterator[Outcome]:
        """The first failure counts, and any may be the first."""
        for found in _product(each):
            failed = [o for o in found if isinstance(o, Failure)]
            yield from map(_of_a_block, failed)
            if not failed:
                yield Ended([o.output for o in found if isinstance(o, Ended)])

    def _map(self, state: StateSpec, env: Env, attempt: int) -> list[Outcome]:
        try:
            items = _fill(state.items, env)
        except ExpressionError:
            return [WRONG_DATA]
        if not isinstance(items, list):
            return [WRONG_DATA]
        path = env.at(state.name)
        each = [
            self.block(
                state.blocks[0],
                replace(env, path=f"{path}#{attempt}[{i}]", input=item, item=item, index=i, undo=()),
            )
            for i, item in enumerate(items)
        ]
        if state.tolerated_count is None and state.tolerated_percentage is None:
            return _distinct(self._joined(each))
        return _distinct(self._tolerated(state, found) for found in _product(each))

    def _tolerated(self, state: StateSpec, found: tuple[Outcome, ...]) -> Outcome:
        failed = sum(isinstance(o, Failure) for o in found)
        too_many = state.tolerated_count is not None and failed > state.tolerated_count
        share = state.tolerated_percentage
        too_many = too_many or (share is not None and bool(found) and failed / len(found) > share / 100)
        if too_many:
            return Failure("States.ExceedToleratedFailureThreshold", of_task=False)
        return Ended([o.output if isinstance(o, Ended) else {"error": {"code": o.code, "message": "*"}} for o in found])


def _of_a_block(failure: Failure) -> Failure:
    """What a state's own data did wrong may go right when the whole is done again."""
    return failure if failure.of_task else replace(failure, lasting=False)


def _product(each: list[list[Outcome]]) -> Iterator[tuple[Outcome, ...]]:
    size = 1
    for found in each:
        size *= len(found)
    if size > MOST:
        raise TooAmbiguous
    return itertools.product(*each)


def _distinct(found: Iterator[Outcome]) -> list[Outcome]:
    kept: dict[str, Outcome] = {}
    for outcome in found:
        kept.setdefault(key_of(outcome), outcome)
        if len(kept) > MOST:
            raise TooAmbiguous
    return list(kept.values())


def key_of(outcome: Outcome) -> str:
    """A text that is the same for outcomes that are."""
    if isinstance(outcome, Failure):
        return repr(outcome)
    return f"{json.dumps(plain(outcome.output), sort_keys=True)} {outcome.undo} {outcome.closing}"


def plain(value: Any) -> Any:
    """A value without what no workflow should rely on: texts of messages, and where inside an item an error arose."""
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, dict) and set(value) == {"error"} and isinstance(value["error"], dict):
        return {"error": {"code": value["error"]["code"], "message": "*"}}
    if isinstance(value, dict):
        return {k: "*" if k == "message" else plain(v) for k, v in value.items()}
    return value


def _leave(state: StateSpec, env: Env, result: Any) -> Env:
    """The block after a state is done; `input` is then its output."""
    names = {**env.names(), "result": result}
    output = _evaluate(state.output, names) if state.has_output else result
    assigned = {name: _evaluate(value, names) for name, value in state.assign.items()}
    undo = env.undo
    if state.compensate is not None:
        told = _evaluate(state.compensate.input, names) if state.compensate.has_input else output
        number = int(state.compensate.block.states[0].name.removeprefix("undo"))
        undo = (*undo, Undo(number, state.compensate.block, told))
    return replace(
        env,
        undo=undo,
        input=output,
        steps={**env.steps, state.name: output},
        variables={**env.variables, **assigned},
    )


def _next(block: BlockSpec, state: StateSpec, env: Env, where: Mapping[str, int]) -> int | None:
    if state.type in {"Succeed", "Fail"} or state.end:
        return None
    if state.type == "Choice":
        for choice in state.choices:
            if _holds(choice.when, env):
                return where[choice.next]
        return where[state.default or ""]
    if state.next is not None:
        return where[state.next]
    following = where[state.name] + 1
    return following if following < len(block.states) else None


def _by_itself(state: StateSpec, env: Env) -> Outcome:
    """What a state comes to that nobody works on."""
    try:
        if state.type == "Fail":
            return Failure(str(_fill(state.code, env)), of_task=False)
        seconds = 0 if state.seconds is None else _fill(state.seconds, env)
    except ExpressionError:
        return WRONG_DATA
    fits = isinstance(seconds, int) and not isinstance(seconds, bool) and seconds >= 0
    return Ended(env.input) if fits else WRONG_DATA


def _matches(names: tuple[str, ...], failure: Failure) -> bool:
    if failure.code in {"States.Runtime", "MaxTransitionsExceeded"}:
        return False
    is_timeout = failure.code in {"Timeout", "States.Timeout", "States.HeartbeatTimeout"}
    return any(
        name in {"States.ALL", failure.code}
        or (name == "States.Timeout" and is_timeout)
        or (name == "States.TaskFailed" and failure.of_task and not is_timeout)
        for name in names
    )


def _fill(value: Any, env: Env) -> Any:
    return _evaluate(value, env.names())


def _evaluate(value: Any, names: Mapping[str, Any]) -> Any:
    template = compile_template(value, frozenset(NAMES | {"result"}))
    assert isinstance(template, Template), template
    return template.evaluate(names)


def _holds(when: str, env: Env) -> bool:
    condition = compile_condition(when, frozenset(NAMES))
    assert isinstance(condition, Expression), condition
    return bool(condition.evaluate(env.names()))
