"""JSON Patch (RFC 6902) and merge patch (RFC 7386) as a Kubernetes API server applies them. Pure.

Used by the object store. The API server is laxer than the RFC in two points, and so is this: `replace` of a member
that is not there adds it, and `test` for null of a member that is not there holds.
"""

from __future__ import annotations

from typing import Any

from jsonpatch import JsonPatch, JsonPatchException
from jsonpointer import JsonPointer, JsonPointerException

from mastercontrol.engine.ports import RawObject, Refused, Rejected


def apply_json_patch(document: RawObject, patch: Any) -> RawObject:
    """The document after all operations; `document` itself may be changed.

    :raises Refused: an operation does not apply: a failed `test`, a missing path, an unknown operation.
    :raises Rejected: it is no list of operations at all.
    """
    if not isinstance(patch, list) or not all(isinstance(operation, dict) for operation in patch):
        raise Rejected("400: error decoding patch: not a list of operations")
    try:
        for operation in patch:
            document = _step(document, operation)
    except (JsonPatchException, JsonPointerException) as error:
        raise Refused(f"422: the JSON Patch does not apply: {error}") from error
    if not isinstance(document, dict):
        raise Rejected("400: the patched document is not an object")
    return document


def _step(document: RawObject, operation: dict[str, Any]) -> RawObject:
    absent = _is_absent_member(document, operation.get("path"))
    match operation.get("op"):
        case "test" if absent and "value" in operation and operation["value"] is None:
            return document
        case "replace" if absent:
            operation = {**operation, "op": "add"}
        case _:
            pass
    patched: RawObject = JsonPatch([operation]).apply(document, in_place=True)
    return patched


def _is_absent_member(document: RawObject, path: Any) -> bool:
    """Whether the path leads to an object that is there, but has no such member."""
    if not isinstance(path, str):
        return False
    try:
        parent, member = JsonPointer(path).to_last(document)
    except JsonPointerException:
        return False
    return isinstance(parent, dict) and member is not None and member not in parent


def apply_merge_patch(document: Any, patch: Any) -> Any:
    """The document with the patch's members merged in; None removes a member. Shares values with both."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = apply_merge_patch(merged.get(name), value)
    return merged


def as_merge_patch(before: Any, after: Any) -> Any:
    """The merge patch that sets all of `after`, and removes what was in `before` and is no longer in `after`."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    gone = {name: None for name in before if name not in after}
    return gone | {name: as_merge_patch(before.get(name), value) for name, value in after.items()}
