"""CEL expressions over a job's data: compiled once, bounded in cost, JSON in and JSON out.

The workflow's compiler calls `compile_expression` and `compile_condition` and gets an Expression or the Fault in it;
the engine calls `Expression.evaluate` with the job's scope. Nothing here does I/O or keeps state between evaluations;
the same expression may be evaluated from several threads. This is the only module that knows the CEL library.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings

from mastercontrol.workflow.cost import TooCostly, check_cost, needs_bound
from mastercontrol.workflow.expression_faults import Fault, describe_error, describe_fault
from mastercontrol.workflow.json_values import NotJson, check_input, to_json
from mastercontrol.workflow.reads import Path, paths, plain_path, project
from mastercontrol.workflow.syntax_tree import Node, read_tree

__all__ = ["MAX_LENGTH", "Expression", "ExpressionError", "Fault", "compile_condition", "compile_expression"]

MAX_LENGTH: Final = 4096
"""Characters that an expression may have. Its nesting is bounded by the library, at 32."""

_CACHED: Final = 4096
_STEPS: Final = "steps"
_MISSING: Final = object()

_EXTENSIONS: Final = (
    ext_bindings.ExtBindings(),
    ext_encoders.ExtEncoders(),
    ext_math.ExtMath(),
    ext_optional.ExtOptional(),
    ext_strings.ExtStrings(),
)

_NOT_JSON: Final = {
    "BYTES": "bytes, which JSON has not; write base64.encode(…) or string(…) around it",
    "DURATION": "a duration, which JSON has not; write string(…) around it",
}
"""Types that are known at compile time to have no form in JSON."""


class ExpressionError(Exception):
    """An evaluation gave no value. The text says why, in a way that the author of a workflow understands."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. Two are equal if their text and their variables are.

    `variables` are those that it reads. `steps` are the names X that it reads as `steps.X` or `steps["X"]`; with
    `reads_all_steps` that can't be told, so any may be read. With `condition` its value is true or false.

    The rest is how it is evaluated: the `paths` to hand to the library's `program`, the one `plain` path that it is
    if it computes nothing (it is then looked up without the library), the tree to be `bounded` before it is run.
    """

    text: str
    names: frozenset[str]
    variables: frozenset[str]
    steps: frozenset[str]
    reads_all_steps: bool
    paths: frozenset[Path] = field(repr=False, compare=False)
    plain: Path | None = field(repr=False, compare=False)
    bounded: Node | None = field(repr=False, compare=False)
    program: cel.Expression = field(repr=False, compare=False)
    condition: bool = False

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The value of the expression over `scope`: variable to JSON value (dict, list, str, int, float, bool, None).

        The value is JSON too and may share objects with the scope: change neither.

        :raises ExpressionError: a missing key or variable, a wrong type, an overflow, a value that JSON has not, a
            cost above the bound, or (a condition) a value other than true and false.
        """
        value = _MISSING if self.plain is None else _look_up(scope, self.plain)
        if value is _MISSING:
            value = self._run(project(scope, self.paths))
        if self.condition and not isinstance(value, bool):
            raise ExpressionError(f"a condition must be true or false, this is {_kind(value)}")
        return value

    def _run(self, data: dict[str, Any]) -> Any:
        try:
            check_input(data)
            if self.bounded is not None:
                check_cost(self.bounded, data)
            return to_json(_evaluate(self.program, data))
        except TooCostly:
            raise ExpressionError("it may cost too much over data of this size") from None
        except NotJson as error:
            raise ExpressionError(str(error)) from None
        except RecursionError:
            raise ExpressionError("the value is nested too deep") from None


def compile_expression(text: str, names: frozenset[str]) -> Expression | Fault:
    """Compile CEL in which the variables `names` may be read, or say what is wrong with it and where."""
    return _compile(text, names)


def compile_condition(text: str, names: frozenset[str]) -> Expression | Fault:
    """Compile CEL whose value is true or false. What is known to give something else is a fault."""
    compiled = _compile(text, names)
    if isinstance(compiled, Fault):
        return compiled
    kind = compiled.program.return_type()
    if kind not in (cel.Type.BOOL, cel.Type.DYN):
        return Fault(1, f"a condition must be true or false, this is {kind.name().lower()}")
    return replace(compiled, condition=True)


@lru_cache(_CACHED)
def _compile(text: str, names: frozenset[str]) -> Expression | Fault:
    if len(text) > MAX_LENGTH:
        return Fault(MAX_LENGTH + 1, f"it has {len(text)} characters; {MAX_LENGTH} are allowed")
    if not text.isprintable() and (odd := _unreadable(text)) is not None:
        return Fault(odd + 1, "this character can't stand here")
    try:
        program = _environment(names).compile(text)
    except RuntimeError as error:
        return describe_fault(str(error), text, names)
    unusable = _NOT_JSON.get(program.return_type().name())
    if unusable is not None:
        return Fault(1, f"the value is {unusable}")
    return _analyse(text, names, program)


def _analyse(text: str, names: frozenset[str], program: cel.Expression) -> Expression:
    tree = read_tree(program.serialize())
    read = paths(tree)
    of_steps = [path for path in read if path[0] == _STEPS]
    return Expression(
        text,
        names,
        variables=frozenset(path[0] for path in read),
        steps=frozenset(path[1] for path in of_steps if len(path) > 1),
        reads_all_steps=(_STEPS,) in of_steps,
        paths=read,
        plain=plain_path(tree),
        bounded=tree if needs_bound(tree) else None,
        program=program,
    )


@lru_cache
def _environment(names: frozenset[str]) -> cel.Env:
    return cel.NewEnv(variables=dict.fromkeys(sorted(names), cel.Type.DYN), extensions=_EXTENSIONS)


def _evaluate(program: cel.Expression, data: dict[str, Any]) -> Any:
    """What the program gives, in the library's own Python values."""
    try:
        result = program.eval(data=data)
        value = result.plain_value()
    except TypeError:
        raise ExpressionError("the value is an optional one; end it with .orValue(…)") from None
    except RuntimeError as error:
        raise ExpressionError(describe_error(str(error))) from None
    if result.type() == cel.Type.ERROR:
        raise ExpressionError(describe_error(str(value)))
    return value


def _look_up(scope: Mapping[str, Any], path: Path) -> Any:
    value: Any = scope
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _unreadable(text: str) -> int | None:
    """Where the first character is that the library can't take: a control character or half of a surrogate pair."""
    return next(
        (at for at, c in enumerate(text) if unicodedata.category(c) in {"Cc", "Cs"} and c not in "\t\n\r"), None
    )


def _kind(value: Any) -> str:
    """What a value is that is neither true nor false."""
    match value:
        case None:
            return "null"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"
