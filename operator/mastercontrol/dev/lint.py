"""`mastercontrol lint`: what a cluster would say of files, said without one.

A Workflow is read and compiled as the operator does it, so a file without faults is one that gets `Ready`. What an
object refers to and the files do not hold is a warning only: it may be in the cluster already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from mastercontrol.api.job import parse_job
from mastercontrol.api.names import API_VERSION, GROUP, KIND_JOB, KIND_POOL, KIND_SCHEDULE, KIND_WORKFLOW
from mastercontrol.api.pool import parse_pool
from mastercontrol.api.schedule import parse_schedule
from mastercontrol.api.values import InvalidObject, mapping, text
from mastercontrol.dev.places import line_of
from mastercontrol.engine.ports import RawObject
from mastercontrol.manifests import InvalidFile, composed
from mastercontrol.schedules.timetable import timetable
from mastercontrol.workflow.checked import check
from mastercontrol.workflow.definition import Faults


@dataclass(frozen=True, slots=True)
class Found:
    """A fault, or a warning, in a line of a file. `text` begins with the path of the field where there is one."""

    file: Path
    line: int
    text: str
    is_fault: bool = True

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {'' if self.is_fault else 'warning: '}{self.text}"


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be said of files: in their order, and which of them could not be read."""

    found: tuple[Found, ...]
    unreadable: tuple[str, ...]

    @property
    def status(self) -> int:
        """The exit status: 2 a file could not be read, 1 there are faults, 0 there are none."""
        if self.unreadable:
            return 2
        return int(any(each.is_fault for each in self.found))


@dataclass(frozen=True, slots=True)
class _Object:
    file: Path
    node: yaml.Node
    raw: RawObject

    def at(self, text: str, *, is_fault: bool = True) -> Found:
        return Found(self.file, line_of(self.node, text), text, is_fault)


@dataclass(frozen=True, slots=True)
class _Reference:
    """That an object needs another one. `path` is the field that names it."""

    by: _Object
    path: str
    kind: str
    name: str


def lint(paths: Sequence[Path]) -> Report:
    """Check files together: what one refers to may be in another."""
    objects: list[_Object] = []
    found: list[Found] = []
    unreadable: list[str] = []
    for path in paths:
        try:
            mine = [_Object(path, node, _named(raw)) for node, raw in composed(path) if _is_ours(raw)]
        except InvalidFile as error:
            unreadable.append(str(error))
            continue
        objects += mine
        if not mine:
            found.append(Found(path, 1, f"there is no object of {GROUP} in this file", is_fault=False))
    found += _twice(objects)
    references: list[_Reference] = []
    for each in objects:
        faults, needed = _check(each)
        found += [each.at(fault) for fault in faults]
        references += needed
    if not unreadable:  # otherwise it may be in there
        found += _missing(references, objects)
    order = {path: i for i, path in enumerate(paths)}
    return Report(tuple(sorted(found, key=lambda f: (order[f.file], f.line))), tuple(unreadable))


def _is_ours(raw: Mapping[str, Any]) -> bool:
    return str(raw.get("apiVersion", "")).partition("/")[0] == GROUP


def _named(raw: dict[str, Any]) -> RawObject:
    """The object with a name, if it only asks for a generated one."""
    meta = raw.get("metadata")
    if not isinstance(meta, dict) or "name" in meta or not isinstance(meta.get("generateName"), str):
        return raw
    return {**raw, "metadata": {**meta, "name": f"{meta['generateName']}generated"}}


def _twice(objects: Sequence[_Object]) -> Iterator[Found]:
    seen: dict[tuple[Any, ...], _Object] = {}
    for each in objects:
        meta = each.raw.get("metadata")
        if not isinstance(meta, dict) or "generateName" in meta:
            continue
        kind, name = each.raw.get("kind"), meta.get("name")
        first = seen.setdefault((str(kind), str(meta.get("namespace")), str(name)), each)
        if first is not each:
            where = f"{first.file}:{line_of(first.node, 'metadata.name')}"
            yield each.at(f"metadata.name: the {kind} {name!r} is at {where} already; write another name")


# -- one object: its faults, and what it needs

Checked = tuple[Sequence[str], Sequence[_Reference]]


def _check(each: _Object) -> Checked:
    kind = str(each.raw.get("kind"))
    if each.raw.get("apiVersion") != API_VERSION or kind not in _CHECKS:
        text = f"kind: there is no {kind!r} in {each.raw.get('apiVersion')}; write one of {', '.join(_CHECKS)}"
        return [f"{text}, with apiVersion {API_VERSION}"], ()
    try:
        return _CHECKS[kind](each)
    except InvalidObject as error:
        return [str(error)], ()


def _check_workflow(each: _Object) -> Checked:
    name = text(mapping(each.raw, "metadata", ""), "name", "metadata")
    checked = check(name, mapping(each.raw, "spec", ""))
    needed = [_Reference(each, use.path, KIND_POOL, use.pool) for use in checked.pools]
    needed += [_Reference(each, use.path, KIND_WORKFLOW, use.workflow) for use in checked.workflows]
    return checked.found.messages if isinstance(checked.found, Faults) else (), needed


def _check_job(each: _Object) -> Checked:
    job = parse_job(each.raw)
    return (), [_Reference(each, "spec.workflow", KIND_WORKFLOW, job.spec.workflow)]


def _check_schedule(each: _Object) -> Checked:
    # The cluster adds the time of its creation.
    meta = {"creationTimestamp": "2000-01-01T00:00:00Z", **mapping(each.raw, "metadata", "")}
    spec = parse_schedule({**each.raw, "metadata": meta}).spec
    timetable(spec)
    workflow = spec.template.spec["workflow"]
    return (), [_Reference(each, "spec.jobTemplate.spec.workflow", KIND_WORKFLOW, workflow)]


def _check_pool(each: _Object) -> Checked:
    parse_pool(each.raw)
    return (), ()


_CHECKS: Final[Mapping[str, Callable[[_Object], Checked]]] = {
    KIND_WORKFLOW: _check_workflow,
    KIND_JOB: _check_job,
    KIND_POOL: _check_pool,
    KIND_SCHEDULE: _check_schedule,
}


# -- what they need of each other


def _missing(references: Sequence[_Reference], objects: Sequence[_Object]) -> Iterator[Found]:
    """What is needed and not in the files. Namespaces are left out: they are often given to kubectl only."""
    there = {(o.raw.get("kind"), o.raw["metadata"].get("name")) for o in objects if _has_metadata(o)}
    for each in references:
        if (each.kind, each.name) not in there:
            text = f"{each.path}: there is no {each.kind} {each.name!r} in these files"
            yield each.by.at(text, is_fault=False)


def _has_metadata(each: _Object) -> bool:
    return isinstance(each.raw.get("metadata"), dict)
