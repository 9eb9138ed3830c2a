"""What the gate says to a Job that would begin, or that runs, where its Workflow limits the Jobs that run at once.

`gate` makes these values, `decide` follows them. Pure: the words are made here, so that they are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NAMED: Final = 3
"""Holders that a message names."""
KEY_CHARS: Final = 80
"""The most of a key that a message shows."""

UNLISTED: Final = "waits for a place: the operator could not list the jobs that may hold one"


@dataclass(frozen=True, slots=True)
class Admitted:
    """It may begin: a place is reserved for it."""


@dataclass(frozen=True, slots=True)
class Held:
    """It waits. `text` says for what; None: for a moment only, so nothing is said.

    `is_near`: it is among the first of those that wait, so that its message is worth a write where it has changed.
    """

    text: str | None
    is_near: bool = True


@dataclass(frozen=True, slots=True)
class RejectedBy:
    """It may not begin and does not wait, as others run."""

    text: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """It is to end, as a newer Job takes its place."""

    text: str


@dataclass(frozen=True, slots=True)
class NoKey:
    """Its key can't be told, so it cannot run."""

    text: str


Place = Admitted | Held | RejectedBy | Replaced | NoKey
"""The closed sum of answers."""


def held_by(key: str | None, names: Sequence[str], count: int, limit: int, *, replaces: bool, is_near: bool) -> Held:
    """It waits for one of `count` Jobs to end, some of which are named."""
    which = ", which it replaces" if replaces else ""
    return Held(f"waits for a place: {_of(key)}held by {_names(names, count)}{which} (limit {limit})", is_near)


def after(key: str | None, names: Sequence[str], count: int, limit: int, *, is_near: bool) -> Held:
    """A place is free, but `count` Jobs come first."""
    return Held(f"waits for a place: {_of(key)}for {_names(names, count)} first (limit {limit})", is_near)


def rejected_by(key: str | None, names: Sequence[str], count: int, limit: int) -> RejectedBy:
    """It is one too many, as `count` Jobs run."""
    return RejectedBy(f"there is no place: {_of(key)}held by {_names(names, count)} (limit {limit})")


def replaced_by(key: str | None, newer: str, limit: int) -> Replaced:
    """A newer Job takes its place."""
    of = "" if key is None else f" for key {_short(key)}"
    return Replaced(f"{newer} takes its place{of} (limit {limit})")


def unlisted(why: str | None) -> Held:
    """Nobody knows yet which Jobs hold a place; `why`: as they could not be listed."""
    return Held(None if why is None else f"{UNLISTED}: {why}")


def _of(key: str | None) -> str:
    return "" if key is None else f"key {_short(key)} is "


def _short(key: str) -> str:
    return key if len(key) <= KEY_CHARS else f"{key[:KEY_CHARS]}…"


def _names(names: Sequence[str], count: int) -> str:
    shown = ", ".join(names)
    return shown if count <= len(names) else f"{shown} and {count - len(names)} more"
