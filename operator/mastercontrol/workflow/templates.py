"""JSON values whose texts hold `${ expression }`: compiled once, then filled in from a job's data.

A text that is one `${…}` and nothing else becomes the expression's value with its type. In any other text each `${…}`
becomes text: a text stands as it is, all else as JSON. `$${` stands for `${`. The keys of objects are never filled in.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from mastercontrol.workflow.expressions import Expression, ExpressionError, Fault, compile_expression
from mastercontrol.workflow.template_text import Hole, scan

MAX_DEPTH: Final = 100
"""How deep the value of a template may be nested."""

_PLAIN_KEY: Final = re.compile(r"[\w-]+\Z")


@dataclass(frozen=True, slots=True)
class Literal:
    """A part without expressions: any JSON value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Mixed:
    """A text made of pieces: text as it is, and expressions that become text."""

    pieces: tuple[str | Expression, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list in which some item holds an expression."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """An object in which some value holds an expression."""

    parts: tuple[tuple[str, Part], ...]


Part = Literal | Expression | Mixed | Items | Fields


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template. `variables`, `steps` and `reads_all_steps` are those of all its expressions together."""

    part: Part
    variables: frozenset[str]
    steps: frozenset[str]
    reads_all_steps: bool

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The JSON value with every expression replaced by its value over `scope`.

        It may share objects with the template and the scope: change none of them.

        :raises ExpressionError: the first expression that has no value; its message says where in the value it is.
        """
        return _fill(self.part, scope, "")

    @property
    def text(self) -> str:
        """The template as its author wrote it: a text as it stands, all else as JSON. For people."""
        written = _written(self.part)
        return written if isinstance(written, str) else json.dumps(written, ensure_ascii=False)


def compile_template(value: Any, names: frozenset[str]) -> Template | tuple[Fault, ...]:
    """Compile a JSON value whose expressions may read `names`, or name every fault in it.

    A fault's `path` says where in the value the text stands (`.a[2].b`), its position where in that text.
    """
    compiler = _Compiler(names)
    part = compiler.part(value, "", 0)
    if compiler.faults:
        return tuple(compiler.faults)
    found = compiler.expressions
    return Template(
        part,
        frozenset().union(*(e.variables for e in found)),
        frozenset().union(*(e.steps for e in found)),
        any(e.reads_all_steps for e in found),
    )


class _Compiler:
    """One compilation: collects the expressions and the faults."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self.expressions: list[Expression] = []
        self.faults: list[Fault] = []

    def part(self, value: Any, path: str, depth: int) -> Part:
        if depth > MAX_DEPTH:
            self.faults.append(Fault(1, f"it is nested too deep; {MAX_DEPTH} levels are allowed", path))
            return Literal(None)
        match value:
            case str():
                return self._text(value, path)
            case list():
                items = [self.part(each, f"{path}[{at}]", depth + 1) for at, each in enumerate(value)]
                return _whole(Items(tuple(items)))
            case dict():
                fields = [(k, self.part(v, path + _field(k), depth + 1)) for k, v in self._named(value, path)]
                return _whole(Fields(tuple(fields)))
            case _:
                return self._plain(value, path)

    def _plain(self, value: Any, path: str) -> Literal:
        """A number, a flag or null; YAML has more than JSON."""
        if not isinstance(value, int | None) and not (isinstance(value, float) and math.isfinite(value)):
            self.faults.append(Fault(1, f"{str(value)[:40]!r} is nothing that JSON has; write it as a text", path))
        return Literal(value)

    def _named(self, value: dict[Any, Any], path: str) -> Iterator[tuple[str, Any]]:
        """The fields of an object, with what YAML takes for their names and JSON does not."""
        for key, each in value.items():
            if not isinstance(key, str):
                self.faults.append(Fault(1, f"the key {key!r} is no text; write it in quotes", path))
            yield str(key), each

    def _text(self, text: str, path: str) -> Part:
        scanned = scan(text)
        if isinstance(scanned, Fault):
            self.faults.append(replace(scanned, path=path))
            return Literal(text)
        first, *more = [self._piece(piece, path) for piece in scanned]
        if more:
            return Mixed((first, *more))
        return first if isinstance(first, Expression) else Literal(first)

    def _piece(self, piece: str | Hole, path: str) -> str | Expression:
        if isinstance(piece, str):
            return piece
        compiled = compile_expression(piece.expression, self._names)
        if isinstance(compiled, Fault):
            self.faults.append(Fault(compiled.position + piece.at, compiled.message, path))
            return ""
        self.expressions.append(compiled)
        return compiled


def _written(part: Part) -> Any:
    match part:
        case Literal(value=value):
            return _escaped(value)
        case Expression(text=text):
            return f"${{{text}}}"
        case Mixed(pieces=pieces):
            return "".join(f"${{{p.text}}}" if isinstance(p, Expression) else _escaped(p) for p in pieces)
        case Items(parts=parts):
            return [_written(each) for each in parts]
        case Fields(parts=fields):
            return {key: _written(each) for key, each in fields}


def _escaped(value: Any) -> Any:
    """What a literal of this value is written as."""
    match value:
        case str():
            return value.replace("${", "$${")
        case list():
            return [_escaped(each) for each in value]
        case dict():
            return {key: _escaped(each) for key, each in value.items()}
        case _:
            return value


def _fill(part: Part, scope: Mapping[str, Any], path: str) -> Any:
    match part:
        case Literal(value=value):
            return value
        case Expression():
            return _evaluate(part, scope, path)
        case Mixed(pieces=pieces):
            return "".join(p if isinstance(p, str) else _as_text(_evaluate(p, scope, path)) for p in pieces)
        case Items(parts=parts):
            return [_fill(each, scope, f"{path}[{at}]") for at, each in enumerate(parts)]
        case Fields(parts=fields):
            return {key: _fill(each, scope, path + _field(key)) for key, each in fields}


def _evaluate(expression: Expression, scope: Mapping[str, Any], path: str) -> Any:
    try:
        return expression.evaluate(scope)
    except ExpressionError as error:
        raise ExpressionError(f"{path}: {error}" if path else str(error)) from None


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _whole(part: Items | Fields) -> Part:
    """One literal for a list or object of literals, so that it is not put together at each evaluation."""
    parts = part.parts if isinstance(part, Items) else [each for _, each in part.parts]
    return Literal(_fill(part, {}, "")) if all(isinstance(each, Literal) for each in parts) else part


def _field(key: str) -> str:
    return f".{key}" if _PLAIN_KEY.match(key) else f"[{json.dumps(key)}]"
