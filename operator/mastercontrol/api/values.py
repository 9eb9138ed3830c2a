"""Reading values out of raw objects: what the API server has validated still gets its defaults and checks here.

The embedded mode and objects older than their CRD go through the same checks, so these are the ones that count.
A reader stops at the first fault, unless it is called within `collecting`: then it goes on with a stand-in.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeVar

Word = TypeVar("Word", bound=StrEnum)


class InvalidObject(ValueError):
    """An object that its schema would refuse. `str()` names the field and says what to write instead."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a field. `misnamed`: there is no such field, so what it was meant for is missing."""

    path: str
    text: str
    misnamed: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


class Collection:
    """The faults of one object. Of what lies inside a field that is wrong itself nothing is said: it is a stand-in."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self.faults: list[Fault] = []
        self._paths: set[str] = set()
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Take note of a fault."""
        if not self.holds(fault.path):
            self.faults.append(fault)
            self._paths.add(fault.path)

    def holds(self, path: str) -> bool:
        """Whether something is known to be wrong with a field, or with one that it is in."""
        return path in self._paths or any(path[: step.start()] in self._paths for step in _STEPS.finditer(path))


SHOWN_CHARS: Final = 80
"""Of a wrong value so much is repeated."""

_STEPS: Final = re.compile(r"[.\[]")
_collection: ContextVar[Collection | None] = ContextVar("collection", default=None)


@contextmanager
def collecting() -> Iterator[Collection]:
    """Within it every fault is noted, and reading goes on with what the field has by default, or with nothing."""
    found = Collection()
    token = _collection.set(found)
    try:
        yield found
    finally:
        _collection.reset(token)


def refuse(path: str, text: str, *, misnamed: bool = False) -> None:
    """Say what is wrong with a field. Who calls goes on with a stand-in where this returns.

    :raises InvalidObject: not within `collecting`.
    """
    found = _collection.get()
    if found is None:
        raise InvalidObject(f"{path}: {text}")
    found.add(Fault(path, text, misnamed))


def mapping(data: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    """A field that is an object; absent or null is empty."""
    value = data.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        refuse(f"{path}.{name}", f"write a mapping, not {_kind(value)}")
        return {}
    return value


def text(data: Mapping[str, Any], name: str, path: str, default: str | None = None) -> str:
    """A field that is a text and not empty; without a default it is required."""
    value = data.get(name, default)
    if not isinstance(value, str) or not value:
        refuse(f"{path}.{name}", "write a text" + (", it is required" if name not in data else ""))
        return default or ""
    return value


def optional_text(data: Mapping[str, Any], name: str, path: str) -> str | None:
    """A field that is a text or absent."""
    return None if data.get(name) is None else text(data, name, path)


def choice(data: Mapping[str, Any], name: str, path: str, words: type[Word], default: Word | None = None) -> Word:
    """A field that is one of the words of an enumeration; without a default it is required."""
    value = text(data, name, path, default)
    if value in list(words):
        return words(value)
    if value:  # else it was refused already
        refuse(f"{path}.{name}", f"write one of {', '.join(words)}, not {_shown(value)}")
    return default or next(iter(words))


def flag(data: Mapping[str, Any], name: str, path: str, *, default: bool) -> bool:
    """A field that is true or false."""
    value = data.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        refuse(f"{path}.{name}", f"write true or false, not {_kind(value)}")
        return default
    return value


def whole(data: Mapping[str, Any], name: str, path: str, low: int, high: int, default: int) -> int:
    """A field that is a whole number between two bounds."""
    value = data.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        refuse(f"{path}.{name}", f"write a whole number from {low} to {high}, not {_shown(value)}")
        return default
    return value


def required_whole(data: Mapping[str, Any], name: str, path: str, low: int, high: int) -> int:
    """A field that is a whole number between two bounds, and may not be left out."""
    if data.get(name) is None:
        refuse(f"{path}.{name}", f"write a whole number from {low} to {high}, it is required")
    return whole(data, name, path, low, high, low)


def optional_whole(data: Mapping[str, Any], name: str, path: str, low: int, high: int) -> int | None:
    """A field that is a whole number between two bounds, or absent."""
    return None if data.get(name) is None else whole(data, name, path, low, high, low)


def number(data: Mapping[str, Any], name: str, path: str, low: float, high: float, default: float) -> float:
    """A field that is a number between two bounds."""
    value = data.get(name)
    if value is None:
        return default
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        refuse(f"{path}.{name}", f"write a number from {low:g} to {high:g}, not {_shown(value)}")
        return default
    return float(value)


def optional_number(data: Mapping[str, Any], name: str, path: str, low: float, high: float) -> float | None:
    """A field that is a number between two bounds, or absent."""
    return None if data.get(name) is None else number(data, name, path, low, high, low)


def known(data: Mapping[str, Any], names: frozenset[str], path: str) -> None:
    """Refuse fields that nobody reads: a misspelt one would be ignored without a word."""
    for name in sorted(str(name) for name in data if name not in names):
        refuse(f"{path}.{name}", f"there is no such field; known are {', '.join(sorted(names))}", misnamed=True)


def _shown(value: object) -> str:
    """A value as far as it is short."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"


def _kind(value: object) -> str:
    return {"str": "a text", "int": "a number", "float": "a number", "bool": "a flag", "list": "a list"}.get(
        type(value).__name__, type(value).__name__
    )


@lru_cache(maxsize=4096)  # all steps of a Map that began together have the same times, in each of its statuses
def format_time(moment: dt.datetime) -> str:
    """An aware time as RFC 3339 in UTC with milliseconds, as all times in a status are written."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(value: str | None) -> dt.datetime | None:
    """An RFC 3339 time as an aware one; None stays None."""
    return None if value is None else dt.datetime.fromisoformat(value)
