"""What a state's expressions see: inputs, outputs, variables, items, along the blocks that it is nested in.

Nothing is stored twice: the input of a branch or an item is worked out again from the state that holds it, whose own
block stands still for as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mastercontrol.api.job import Job
from mastercontrol.api.status import Scope
from mastercontrol.engine.closing import Closing
from mastercontrol.workflow.definition import Definition, MapState, State, split_index
from mastercontrol.workflow.expressions import ExpressionError
from mastercontrol.workflow.templates import Template


def parent(path: str) -> str:
    """The path of the block that a state is in: `each[12].resize` -> `each[12]`, `charge` -> ``."""
    return path.rpartition(".")[0]


def name_of(path: str) -> str:
    """The name of the state at a path, without index: `each[12].resize` -> `resize`, `each[12]` -> `each`."""
    return split_index(path.rpartition(".")[2])[0]


def index_of(path: str) -> int | None:
    """The index of a block's path: `each[12]` -> 12."""
    return split_index(path.rpartition(".")[2])[1]


def group_of(path: str) -> str:
    """The path of the state that a block belongs to: `fan[0].each[12]` -> `fan[0].each`."""
    head, _, last = path.rpartition(".")
    name = split_index(last)[0]
    return f"{head}.{name}" if head else name


def join(scope: str, name: str) -> str:
    """The path of a state in a block."""
    return f"{scope}.{name}" if scope else name


class Scopes:
    """The scopes of one job, during one decision."""

    def __init__(
        self, job: Job, definition: Definition, root: Scope, inner: Mapping[str, Scope], closing: Closing
    ) -> None:
        self.job = job
        self.closing = closing
        self.definition = definition
        self.found: dict[str, Scope] = {"": root, **inner}
        self._inputs: dict[str, Any] = {}
        self._items: dict[str, list[Any]] = {}

    def get(self, path: str) -> Scope:
        """The scope of a block; one that says nothing is not stored."""
        return self.found.get(path) or Scope(path)

    def put(self, scope: Scope) -> None:
        """Store a scope."""
        self.found[scope.path] = scope

    def forget(self, path: str) -> None:
        """Forget the scope of a block that is over."""
        self.found.pop(path, None)

    def forget_blocks(self) -> None:
        """Forget all blocks but the one at the top."""
        self.found = {"": self.get("")}

    def drop(self, prefix: str) -> None:
        """Forget the scopes of a state's blocks, and what was worked out for them."""
        for path in [p for p in self.found if is_inside(p, prefix)]:
            del self.found[path]
        for known in (self._inputs, self._items):
            for path in [p for p in known if p == prefix or is_inside(p, prefix)]:
                del known[path]

    # -- what a state sees

    def input(self, path: str) -> Any:
        """The input of the state at a path, its own template applied.

        :raises ExpressionError: a template could not be evaluated.
        """
        state = self.definition.find(path)
        raw = self.raw_input(parent(path))
        if state is None or state.data.input is None:
            return raw
        return state.data.input.evaluate(self.names(path, raw))

    def raw_input(self, scope_path: str) -> Any:
        """What the state that a block is in now gets, before its own template."""
        scope = self.get(scope_path)
        return self._block_input(scope_path) if scope.after is None else scope.outputs[scope.after]

    def _block_input(self, path: str) -> Any:
        if not path:
            return self.job.spec.input
        group, index = group_of(path), index_of(path)
        if self.closing.is_closing(group):
            return self.closing.input(group)
        if isinstance(self.definition.find(group), MapState):
            return self.items(group)[index or 0]
        if group not in self._inputs:
            self._inputs[group] = self.input(group)
        return self._inputs[group]

    def items(self, path: str) -> list[Any]:
        """The items of a Map state.

        :raises ExpressionError: they could not be evaluated, or are no list.
        """
        if path not in self._items:
            state = self.definition.find(path)
            assert isinstance(state, MapState)  # noqa: S101  # callers ask for Maps only
            found = state.items.evaluate(self.names(path, self.input(path)))
            if not isinstance(found, list):
                raise ExpressionError("the items of a Map must be a list")
            self._items[path] = found
        return self._items[path]

    def names(self, path: str, data: Any) -> dict[str, Any]:
        """The variables that the expressions of the state at a path may read; `data` is its input."""
        steps: dict[str, Any] = {}
        variables: dict[str, Any] = {}
        names: dict[str, Any] = {"input": data, "item": None, "index": None, "error": None}
        for block in _blocks(parent(path)):
            scope = self.get(block)
            steps |= {name: {"output": output} for name, output in scope.outputs.items()}
            variables |= scope.variables
            if scope.error is not None:
                names["error"] = scope.error
            if not block and self.closing.error is not None:
                names["error"] = self.closing.error
            group = group_of(block) if block else ""
            if block and isinstance(self.definition.find(group), MapState):
                names["index"] = index_of(block)
                names["item"] = self.items(group)[index_of(block) or 0]
        return {**names, "job": job_variable(self.job), "steps": steps, "vars": variables}

    # -- what a finished state leaves

    def leave(self, path: str, state: State, result: Any, *, passes: bool, following: str | None) -> Any:
        """Take the result of a state into its block; its output.

        :param passes: the state hands its input on (Pass, Choice, Wait), so `after` stays as it is.
        :raises ExpressionError: a template could not be evaluated; nothing is changed then.
        """
        scope = self.get(parent(path))
        output, variables = self._output(path, state, result)
        same = passes and state.data.output is None and state.data.input is None
        after = scope.after if same else state.name
        outputs = {**scope.outputs, state.name: output}
        needed = self._needed(path, following)
        kept = {n: o for n, o in outputs.items() if n in needed or n == after}
        undo = self._undo(path, state, result, output)
        self.put(replace(scope, after=after, outputs=kept, variables={**scope.variables, **variables}))
        if undo is not None:
            self.closing.remember(path, undo[0])
        return output

    def check(self, path: str, state: State, result: Any) -> None:
        """Make sure that a state could be left with this result.

        :raises ExpressionError: a template could not be evaluated.
        """
        self._output(path, state, result)

    def catch(self, path: str, error: Mapping[str, Any], following: str) -> None:
        """A state failed and another one goes on: the error is its output, and in scope."""
        scope = self.get(parent(path))
        name = name_of(path)
        needed = self._needed(path, following)
        outputs = {n: o for n, o in scope.outputs.items() if n in needed}
        self.put(replace(scope, after=name, outputs={**outputs, name: dict(error)}, error=dict(error)))

    def _needed(self, path: str, following: str | None) -> frozenset[str]:
        """The outputs of a state's block that are still read once it goes on to `following`, None at its end."""
        block = self.definition.block_of(path)
        if block is None:
            return frozenset()
        return block.at_end if following is None else block.needed.get(following, frozenset())

    def _undo(self, path: str, state: State, result: Any, output: Any) -> tuple[Any] | None:
        """What undoes the state would get as its input, in a tuple; None where nothing does."""
        if state.compensation is None:
            return None
        if state.compensation.input is None:
            return (output,)
        return (state.compensation.input.evaluate({**self.names(path, self.input(path)), "result": result}),)

    def _output(self, path: str, state: State, result: Any) -> tuple[Any, dict[str, Any]]:
        if state.data.output is None and not state.data.assign:
            return result, {}
        names = {**self.names(path, self.input(path)), "result": result}
        output = result if state.data.output is None else state.data.output.evaluate(names)
        assigned: dict[str, Template] = dict(state.data.assign)
        return output, {name: template.evaluate(names) for name, template in assigned.items()}


def job_variable(job: Job) -> dict[str, Any]:
    """The variable `job` of expressions."""
    return {"name": job.name, "namespace": job.namespace, "uid": job.uid, "input": job.spec.input}


def is_inside(path: str, prefix: str) -> bool:
    """Whether a path is below a state: `each[3].resize` and `each[3]` are inside `each`."""
    return path.startswith((f"{prefix}[", f"{prefix}."))


def _blocks(path: str) -> list[str]:
    """The blocks that a block is in, outermost first, itself last: `` , `fan[0]`, `fan[0].each[12]`."""
    parts = path.split(".") if path else []
    return ["", *(".".join(parts[: i + 1]) for i in range(len(parts)))]
