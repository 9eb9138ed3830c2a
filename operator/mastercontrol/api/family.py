"""What makes a Job the child of another one: an owner, and which dispatch of it the child answers.

Read from the metadata of a Job by `api.job`, written there by `engine.subjobs`. A Job that has only one of the two is
nobody's child: it runs by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mastercontrol.api.names import ANNOTATION_DEPTH, ANNOTATION_DISPATCH, GROUP, KIND_JOB
from mastercontrol_worker.contract import MalformedMessage, parse_dispatch_id


@dataclass(frozen=True, slots=True)
class Parent:
    """The Job that waits for a child, in its own namespace, and the attempt at a state that the child is."""

    name: str
    uid: str
    seq: int
    attempt: int


def parent_of(meta: Mapping[str, Any]) -> Parent | None:
    """The parent that a Job's metadata names; None where it has none, or names it in a way that is not ours."""
    owner = next((o for o in meta.get("ownerReferences") or () if _is_job(o)), None)
    dispatch = (meta.get("annotations") or {}).get(ANNOTATION_DISPATCH)
    if owner is None or dispatch is None:
        return None
    try:
        uid, seq, attempt = parse_dispatch_id(dispatch)
    except MalformedMessage:
        return None
    return Parent(str(owner.get("name")), uid, seq, attempt) if owner.get("uid") == uid else None


def depth_of(meta: Mapping[str, Any]) -> int:
    """How many Jobs are above a Job: 0 for one that a person made."""
    text = str((meta.get("annotations") or {}).get(ANNOTATION_DEPTH, ""))
    return int(text) if text.isdecimal() else 0


def _is_job(owner: Mapping[str, Any]) -> bool:
    ours = str(owner.get("apiVersion", "")).startswith(f"{GROUP}/")
    return ours and bool(owner.get("controller")) and owner.get("kind") == KIND_JOB
