"""Reads the YAML files of the embedded mode, and says what is wrong in them with file and line."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mastercontrol.api.job import parse_job
from mastercontrol.api.names import API_VERSION, KIND_JOB, KIND_POOL, KIND_WORKFLOW
from mastercontrol.api.pool import parse_pool
from mastercontrol.api.values import InvalidObject, mapping, text
from mastercontrol.engine.ports import RawObject
from mastercontrol.manifests import InvalidFile, documents
from mastercontrol.workflow.checked import check
from mastercontrol.workflow.definition import Faults

__all__ = ["InvalidFile", "Loaded", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the files hold. `folders` says where each pool was declared, for its handlers and programs."""

    workflows: tuple[RawObject, ...]
    pools: tuple[RawObject, ...]
    jobs: tuple[RawObject, ...]
    folders: dict[str, Path]
    ignored: tuple[str, ...]


def load(paths: Sequence[Path]) -> Loaded:
    """Read files.

    :raises InvalidFile: one cannot be read or holds an object that a cluster would refuse.
    """
    found: dict[str, list[RawObject]] = {KIND_WORKFLOW: [], KIND_POOL: [], KIND_JOB: []}
    folders: dict[str, Path] = {}
    ignored: list[str] = []
    names: dict[tuple[str, str], str] = {}
    for path in paths:
        for line, raw in documents(path):
            where = f"{path}:{line}"
            if raw.get("apiVersion") != API_VERSION or raw.get("kind") not in found:
                ignored.append(f"{where}: {raw.get('kind')} is not needed here")
                continue
            named = _named(raw)
            _check(named, where)
            key = (named["kind"], named["metadata"]["name"])
            if key in names:
                raise InvalidFile(f"{where}: {key[0]} {key[1]!r} is at {names[key]} already")
            names[key] = where
            found[named["kind"]].append(named)
            if named["kind"] == KIND_POOL:
                folders[key[1]] = path.resolve().parent
    if not found[KIND_JOB]:
        raise InvalidFile("there is no Job in these files, so there is nothing to run")
    return Loaded(tuple(found[KIND_WORKFLOW]), tuple(found[KIND_POOL]), tuple(found[KIND_JOB]), folders, tuple(ignored))


def _named(raw: dict[str, Any]) -> RawObject:
    """The object in the one namespace that there is here, with a name if it only asks for a generated one."""
    meta = dict(raw.get("metadata") or {})
    meta["namespace"] = "default"
    if "name" not in meta and "generateName" in meta:
        meta["name"] = f"{meta.pop('generateName')}{secrets.token_hex(3)[:5]}"
    return {**raw, "metadata": meta}


def _check(raw: RawObject, where: str) -> None:
    parse: dict[str, Any] = {KIND_WORKFLOW: _check_workflow, KIND_POOL: parse_pool, KIND_JOB: parse_job}
    try:
        parse[raw["kind"]](raw)
    except InvalidObject as error:
        raise InvalidFile(f"{where}: {error}") from None


def _check_workflow(raw: RawObject) -> None:
    """In a cluster its jobs would wait until it is put right.

    :raises InvalidObject: with all of its faults.
    """
    name = text(mapping(raw, "metadata", ""), "name", "metadata")
    found = check(name, mapping(raw, "spec", "")).found
    if isinstance(found, Faults):
        raise InvalidObject(str(found))
