"""Events as JSON lines, and what each kind must have for the rules to be judged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

Event = Mapping[str, Any]

NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "workflow": ("namespace", "name", "spec"),
    "create": ("job", "namespace", "name", "workflow"),
    "commit": ("job", "before", "seq", "state", "phase", "ended", "active", "history"),
    "dispatch": ("job", "id"),
    "execute": ("job", "id"),
    "result": ("job", "id", "outcome"),
    "signal": ("job", "name"),
    "operate": ("job",),
    "suspend": ("job",),
    "resume": ("job",),
    "delete": ("job",),
    "gap": ("what",),
}
"""The kinds that are looked at. Others are counted and passed over."""


class Unreadable(Exception):
    """No line of a history, and why."""


def read(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a file.

    :raises Unreadable: with the number of the line.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except json.JSONDecodeError as error:
            raise Unreadable(f"line {number} is no JSON: {error}") from None
        if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
            raise Unreadable(f"line {number} has no kind")
        missing = [name for name in NEEDED.get(event["kind"], ()) if name not in event]
        if missing:
            raise Unreadable(f"line {number}: a {event['kind']} without {', '.join(missing)}")
        yield event
