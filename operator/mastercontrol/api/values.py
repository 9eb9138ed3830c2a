"""Reading values out of raw objects: what the API server has validated still gets its defaults and checks here.

The embedded mode and objects older than their CRD go through the same checks, so these are the ones that count.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import lru_cache
from typing import Any


class InvalidObject(ValueError):
    """An object that its schema would refuse. `str()` names the field and says what to write instead."""


def mapping(data: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    """A field that is an object; absent or null is empty."""
    value = data.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidObject(f"{path}.{name}: write a mapping, not {_kind(value)}")
    return value


def text(data: Mapping[str, Any], name: str, path: str, default: str | None = None) -> str:
    """A field that is a text and not empty; without a default it is required."""
    value = data.get(name, default)
    if not isinstance(value, str) or not value:
        raise InvalidObject(f"{path}.{name}: write a text" + (", it is required" if name not in data else ""))
    return value


def optional_text(data: Mapping[str, Any], name: str, path: str) -> str | None:
    """A field that is a text or absent."""
    return None if data.get(name) is None else text(data, name, path)


def flag(data: Mapping[str, Any], name: str, path: str, *, default: bool) -> bool:
    """A field that is true or false."""
    value = data.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidObject(f"{path}.{name}: write true or false, not {_kind(value)}")
    return value


def whole(data: Mapping[str, Any], name: str, path: str, low: int, high: int, default: int) -> int:
    """A field that is a whole number between two bounds."""
    value = data.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidObject(f"{path}.{name}: write a whole number from {low} to {high}, not {value!r}")
    return value


def optional_whole(data: Mapping[str, Any], name: str, path: str, low: int, high: int) -> int | None:
    """A field that is a whole number between two bounds, or absent."""
    return None if data.get(name) is None else whole(data, name, path, low, high, low)


def number(data: Mapping[str, Any], name: str, path: str, low: float, high: float, default: float) -> float:
    """A field that is a number between two bounds."""
    value = data.get(name)
    if value is None:
        return default
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidObject(f"{path}.{name}: write a number from {low:g} to {high:g}, not {value!r}")
    return float(value)


def optional_number(data: Mapping[str, Any], name: str, path: str, low: float, high: float) -> float | None:
    """A field that is a number between two bounds, or absent."""
    return None if data.get(name) is None else number(data, name, path, low, high, low)


def known(data: Mapping[str, Any], names: frozenset[str], path: str) -> None:
    """Refuse fields that nobody reads: a misspelt one would be ignored without a word."""
    unknown = sorted(str(name) for name in data if name not in names)
    if unknown:
        raise InvalidObject(f"{path}.{unknown[0]}: there is no such field; known are {', '.join(sorted(names))}")


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
