"""What the CEL library says of a wrong expression, in the words of this project and with a position."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with an expression or template, and where.

    `position` counts characters from 1 in the text that the author wrote. In a template `path` is where in its value
    the text stands (`.a[2].b`); empty for the value itself.
    """

    position: int
    message: str
    path: str = ""


_PLACE: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?=\n \| |\nERROR: |\Z)", re.DOTALL)
_STATUS: Final = re.compile(r"\A[A-Z_]+: | ?\[[A-Z_]+\]\Z")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD: Final = re.compile(r"found no matching overload for '([^']*)' applied to '(.*)'\Z", re.DOTALL)
_RUNTIME_OVERLOAD: Final = re.compile(r"No matching overloads found : ([^(]+)\((.*)\)\Z", re.DOTALL)
_ODD_INPUT: Final = re.compile(
    r"Syntax error: (?:mismatched|extraneous|no viable alternative at) input '(.*?)'", re.DOTALL
)
_UNREAD: Final = re.compile(r"Syntax error: token recognition error at: '(.*)'\Z", re.DOTALL)
_KEY: Final = re.compile(r'Key not found in map : "?(.*?)"?\Z', re.DOTALL)
_VARIABLE: Final = re.compile(r'No value with name "(.*)" found')
_OUT_OF_RANGE: Final = re.compile(r"Integer value .* out of range")
_TOO_DEEP: Final = re.compile(r"recursion (limit|depth)", re.IGNORECASE)

_KNOWN: Final = {
    "Applying SELECT to non-message type": "a field is read of something that has none",
    "No matching overloads found : <jump_condition>": "the condition before ? is neither true nor false",
    "No matching overloads found : _&&_": "one side of && is neither true nor false",
    "No matching overloads found : _||_": "one side of || is neither true nor false",
    "Iteration budget exceeded": "its loops take more than 10,000 turns",
    "basic_string: construction from null is not valid": "the data holds a text that is no valid Unicode",
}


def describe_fault(error: str, text: str, names: frozenset[str]) -> Fault:
    """The first fault in an error of the compiler about `text`, in which `names` may be read."""
    if _TOO_DEEP.search(error):
        return Fault(1, "it is nested too deep; 32 levels, or operators in a row, are allowed")
    place = _PLACE.search(error)
    if place is None:
        return Fault(1, _without_status(error))
    at = _offset(text, int(place[1]), int(place[2]))
    message = _without_status(place[3])
    if undeclared := _UNDECLARED.search(message):
        return _undeclared(undeclared[1], text, at, names)
    return Fault(at + 1, _clean(message))


def describe_error(error: str) -> str:
    """An error of an evaluation as one short sentence."""
    message = _without_status(error)
    if key := _KEY.match(message):
        return f"there is no key {key[1]!r}"
    if variable := _VARIABLE.match(message):
        return f"{variable[1]!r} has no value here"
    for theirs, ours in _KNOWN.items():
        if theirs in message:
            return ours
    if overload := _RUNTIME_OVERLOAD.match(message):
        return f"{_operator(overload[1])!r} can't be applied to ({overload[2].replace('int64', 'int')})"
    return "a whole number is beyond 64 bits" if _OUT_OF_RANGE.match(message) else message


def _undeclared(name: str, text: str, at: int, names: frozenset[str]) -> Fault:
    root = name.removeprefix(".").partition(".")[0]
    start = text[: at + len(root)].rfind(root)
    position = (start if start >= 0 else at) + 1
    if text[at : at + 1] == "(":
        return Fault(position, f"there is no function {name!r}")
    if root in names:
        return Fault(position, f"{name!r} is no function")
    return Fault(position, f"there is no variable {root!r}; write one of {', '.join(sorted(names))}")


def _clean(message: str) -> str:
    if overload := _OVERLOAD.match(message):
        return f"{_operator(overload[1])!r} can't be applied to {overload[2]}"
    if "'<EOF>'" in message:
        return "the expression ends too early"
    if odd := _ODD_INPUT.match(message):
        return f"{odd[1]!r} can't stand here"
    if unread := _UNREAD.match(message):
        return f"{unread[1]!r} can't be read"
    return message


def _operator(name: str) -> str:
    """`+` of `_+_`, `?:` of `_?_:_`, `in` of `@in`; a function's name, which has no such signs, as it is."""
    return name.replace("_", "").removeprefix("@")


def _without_status(error: str) -> str:
    return _STATUS.sub("", error).strip()


def _offset(text: str, line: int, column: int) -> int:
    """Where in the text a line and column (both from 1) are, from 0; the beginning for a place that isn't known."""
    if line < 1 or column < 1:
        return 0
    return sum(len(each) for each in text.splitlines(keepends=True)[: line - 1]) + column - 1
