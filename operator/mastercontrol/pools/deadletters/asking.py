"""What a user asks of a pool's dead letters, by annotations on the WorkerPool, and how the answer is written. Pure.

An annotation is taken away by the same patch that leaves the answer, and only if it still says what was done: a newer
one is not lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from mastercontrol.api.names import ANNOTATION_DISCARD, ANNOTATION_HANDLED, ANNOTATION_REDRIVE
from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.deadletters.letters import Letter

ALL: Final = "all"
SAID: Final = 100
"""Letters of each kind that an answer names: what it leaves out is in the Events."""


class Verb(Enum):
    """What is to be done. The value is the annotation that asks for it."""

    REDRIVE = ANNOTATION_REDRIVE  # the job of the letter is retried, then the letter is removed
    DISCARD = ANNOTATION_DISCARD  # the letter is removed


@dataclass(frozen=True, slots=True)
class Ask:
    """One annotation. `ids` is None for all."""

    verb: Verb
    text: str
    ids: frozenset[str] | None

    def means(self, letter: Letter) -> bool:
        """Whether it is about this letter."""
        return self.ids is None or letter.id in self.ids


@dataclass(slots=True)
class Answer:
    """What was done. `refused` has why by id, ids that are not there among them."""

    done: list[Letter] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def asked(raw: RawObject) -> Ask | None:
    """The first thing that a WorkerPool's annotations ask for; redrive comes before discard."""
    annotations: Mapping[str, Any] = raw["metadata"].get("annotations") or {}
    for verb in Verb:
        text = annotations.get(verb.value)
        if text is not None:
            ids = frozenset(part for part in (part.strip() for part in str(text).split(",")) if part)
            return Ask(verb, str(text), None if ids == {ALL} else ids)
    return None


def missing(ask: Ask, letters: Iterable[Letter]) -> dict[str, str]:
    """Why nothing is done for ids that are asked for and not there."""
    if ask.ids is None:
        return {}
    if not ask.ids:
        return {"": f"write dispatch ids with commas between them, or {ALL}"}
    there = {letter.id for letter in letters}
    return dict.fromkeys(sorted(ask.ids - there), "there is no such dead letter")


def answer_patch(ask: Ask, answer: Answer, uid: str, now: str) -> list[dict[str, Any]]:
    """The JSON Patch that takes the annotation away and says what was done. `now` is an RFC 3339 time."""
    path = _path(ask.verb.value)
    return [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": path, "value": ask.text},
        {"op": "remove", "path": path},
        {"op": "add", "path": _path(ANNOTATION_HANDLED), "value": json.dumps(_said(ask, answer, now))},
    ]


def _said(ask: Ask, answer: Answer, now: str) -> dict[str, Any]:
    refused = [{"id": one, "why": why} for one, why in answer.refused.items()]
    said: dict[str, Any] = {"time": now, "asked": ask.verb.name.lower(), "done": len(answer.done)}
    said |= {"ids": [letter.id for letter in answer.done[:SAID]], "notDone": len(refused), "refused": refused[:SAID]}
    return said


def _path(annotation: str) -> str:
    return "/metadata/annotations/" + annotation.replace("~", "~0").replace("/", "~1")
