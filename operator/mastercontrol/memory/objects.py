"""Kubernetes objects with the semantics of an API server, without one. Synchronous: the truth behind `MemoryStore`.

Objects are held as JSON text, so nothing is ever shared with a caller, and what is no JSON is refused as it would be
on the wire. It promises what tests/contracts/store.py asks of it and of a real API server alike:

- `resourceVersion` grows over all kinds; `generation` counts changes outside of metadata and status;
- `status` changes through the status subresource only, and nothing else does; a change that changes nothing writes
  nothing;
- a resourceVersion that is given must be the current one.

Not kept: managed fields, finalizers, owner references, and schemas, for which `admit` stands in.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mastercontrol.engine.ports import Gone, RawObject, Refused, Rejected
from mastercontrol.memory.journal import Entry, EventType, Journal, Key
from mastercontrol.memory.patches import apply_json_patch, apply_merge_patch

Kind = tuple[str, str]
"""apiVersion and kind."""

Admit = Callable[[RawObject], Sequence[str]]
"""What is wrong with an object that is about to be written; nothing: it is good."""

MAX_BYTES: Final = 1_500_000
"""The largest object, in bytes; etcd's limit of a request."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A collection as of `resource_version`, from which a watch goes on without a gap."""

    items: list[RawObject]
    resource_version: str


class ObjectStore:
    """All objects of one pretended cluster."""

    def __init__(self, clock: Callable[[], datetime], admit: Admit | None = None, history: int = 10_000) -> None:
        self.journal = Journal(history)
        self._clock = clock
        self._admit = admit
        self._objects: dict[Key, bytes] = {}
        self._version = 0
        self._created = 0

    @property
    def resource_version(self) -> str:
        """The version of the last change."""
        return str(self._version)

    def create(self, manifest: RawObject) -> RawObject:
        """Add an object. Its status is dropped, as everywhere where status is a subresource.

        :raises StoreError: Refused (there is one) or Rejected.
        """
        new = decode(encode(manifest))
        key = key_of(new)
        if key in self._objects:
            raise Refused(f"409: {key[1]} {key[3]!r} already exists")
        new.pop("status", None)
        self._created += 1
        new["metadata"] |= {
            "uid": str(uuid.UUID(int=self._created)),
            "creationTimestamp": self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "generation": 1,
        }
        return self._write(EventType.ADDED, key, new)

    def get(self, kind: Kind, namespace: str, name: str) -> RawObject:
        """:raises Gone: there is none."""
        return decode(self._find((*kind, namespace, name)))

    def listing(self, kind: Kind, namespace: str | None = None, selector: str | None = None) -> Listing:
        """By namespace and name. A selector is `key=value` or `key`, or several of them with commas between."""
        keys = sorted(key for key in self._objects if key[:2] == kind and namespace in {None, key[2]})
        items = [decode(self._objects[key]) for key in keys]
        return Listing([item for item in items if matches(item, selector)], self.resource_version)

    def update(self, manifest: RawObject, *, status: bool = False) -> RawObject:
        """Replace an object, or its status.

        :raises StoreError: Gone, Refused (the resourceVersion is not the current one) or Rejected (it has none).
        """
        new = decode(encode(manifest))
        if not new["metadata"].get("resourceVersion"):
            raise Rejected("422: metadata.resourceVersion: Invalid value: 0: must be specified for an update")
        return self._change(key_of(new), lambda _: new, status=status)

    def json_patch(self, kind: Kind, namespace: str, name: str, patch: Any, *, status: bool = False) -> RawObject:
        """:raises StoreError: Gone, Refused or Rejected."""
        operations = decode_any(encode(patch))
        return self._change((*kind, namespace, name), lambda old: apply_json_patch(old, operations), status=status)

    def merge_patch(self, kind: Kind, namespace: str, name: str, patch: Any, *, status: bool = False) -> RawObject:
        """:raises StoreError: Gone, Refused or Rejected."""
        change = decode_any(encode(patch))
        return self._change((*kind, namespace, name), lambda old: apply_merge_patch(old, change), status=status)

    def delete(self, kind: Kind, namespace: str, name: str, uid: str | None = None) -> None:
        """:raises StoreError: Gone or Refused (another uid)."""
        key = (*kind, namespace, name)
        old = decode(self._find(key))
        if uid is not None and old["metadata"]["uid"] != uid:
            raise Refused(f"409: the UID in the precondition ({uid}) does not match")
        del self._objects[key]
        self._record(EventType.DELETED, key, old)

    def _find(self, key: Key) -> bytes:
        try:
            return self._objects[key]
        except KeyError:
            raise Gone(f"404: {key[1]} {key[3]!r} not found") from None

    def _change(self, key: Key, change: Callable[[RawObject], RawObject], *, status: bool) -> RawObject:
        stored = self._find(key)
        old = decode(stored)
        new = change(decode(stored))
        _check_precondition(old, new)
        new = _with_status_of(old, new) if status else _with_spec_of(old, new, key)
        if new == old:
            return old
        return self._write(EventType.MODIFIED, key, new)

    def _write(self, event: EventType, key: Key, new: RawObject) -> RawObject:
        if self._admit is not None and (faults := self._admit(decode(encode(new)))):
            raise Rejected(f"422: {key[1]} {key[3]!r} is invalid: {'; '.join(faults)}")
        if len(encode(new)) > MAX_BYTES:
            raise Rejected("413: the object is too large")
        self._objects[key] = self._record(event, key, new)
        return new

    def _record(self, event: EventType, key: Key, subject: RawObject) -> bytes:
        self._version += 1
        subject["metadata"]["resourceVersion"] = str(self._version)
        data = encode(subject)
        self.journal.append(Entry(self._version, event, key, data))
        return data


def _check_precondition(old: RawObject, new: RawObject) -> None:
    metadata = new.get("metadata")
    if not isinstance(metadata, dict):
        raise Rejected("400: metadata is no object")
    if metadata.get("resourceVersion") not in {None, "", old["metadata"]["resourceVersion"]}:
        raise Refused("409: the object has been modified; apply your changes to the latest version")


def _with_status_of(old: RawObject, new: RawObject) -> RawObject:
    """The old object with nothing but the new one's status."""
    changed = {name: value for name, value in old.items() if name != "status"}
    return changed | ({"status": new["status"]} if "status" in new else {})


def _with_spec_of(old: RawObject, new: RawObject, key: Key) -> RawObject:
    """The new object with the old one's status, and with what the API server alone may set."""
    before: dict[str, Any] = old["metadata"]
    if new["metadata"].get("uid") not in {None, before["uid"]}:
        raise Rejected("422: metadata.uid: Invalid value: field is immutable")
    new["metadata"] |= {f: before[f] for f in ("uid", "creationTimestamp", "generation", "resourceVersion")}
    if key_of(new) != key:
        raise Rejected("400: the name of the object does not match the name on the URL")
    changed = {name: value for name, value in new.items() if name != "status"}
    changed |= {"status": old["status"]} if "status" in old else {}
    if any(changed.get(name) != old.get(name) for name in changed.keys() | old.keys() if name != "metadata"):
        changed["metadata"]["generation"] = before["generation"] + 1
    return changed


def key_of(manifest: RawObject) -> Key:
    """:raises Rejected: the object does not say what it is and how it is called."""
    metadata = manifest.get("metadata") or {}
    parts = (manifest.get("apiVersion"), manifest.get("kind"), metadata.get("namespace"), metadata.get("name"))
    if not all(isinstance(part, str) and part for part in parts):
        raise Rejected(f"400: apiVersion, kind, metadata.namespace and metadata.name are needed: {parts}")
    api_version, kind, namespace, name = (str(part) for part in parts)
    return api_version, kind, namespace, name


def matches(subject: RawObject, selector: str | None) -> bool:
    """Whether a label selector of equalities (`key=value`) and existence (`key`) matches; None does always."""
    labels = subject["metadata"].get("labels") or {}
    for requirement in filter(None, (selector or "").split(",")):
        name, equals, value = requirement.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    return True


def encode(value: Any) -> bytes:
    """:raises Rejected: it is nothing that JSON can say."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Rejected(f"not JSON: {error}") from error


def decode(data: bytes) -> RawObject:
    """An object of the caller's own."""
    decoded: RawObject = json.loads(data)
    return decoded


def decode_any(data: bytes) -> Any:
    """A JSON value of the caller's own."""
    return json.loads(data)
