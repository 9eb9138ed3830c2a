"""What is to be drawn, read from a file or from a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mastercontrol.api.job import Job, parse_job
from mastercontrol.api.names import API_VERSION, KIND_JOB, KIND_WORKFLOW
from mastercontrol.api.status import JobStatus
from mastercontrol.api.values import InvalidObject
from mastercontrol.diagram.path import history_is_cut
from mastercontrol.engine.definitions import Definitions, Found, compile_raw
from mastercontrol.engine.facts import Missing
from mastercontrol.engine.ports import JobStore, RawObject, WorkflowStore
from mastercontrol.manifests import InvalidFile, documents
from mastercontrol.workflow.definition import Definition


class CannotDraw(Exception):
    """There is nothing to draw. `status` is the exit status: 1, or 2 where the command was called wrongly."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Subject:
    """A Workflow, or a Job of it. `notes` is what a person should know of the picture."""

    title: str
    definition: Definition
    job: Job | None = None
    notes: tuple[str, ...] = ()


# -- from a file


def from_file(path: Path, name: str | None) -> Subject:
    """The Workflow in a file, or the Job that has run, as `kubectl get -o yaml` writes it, beside its Workflow.

    :param name: which, where there are several.
    :raises CannotDraw: there is no such thing, or it is wrong.
    """
    try:
        found = [raw for _, one in documents(path) for raw in _listed(one) if raw.get("apiVersion") == API_VERSION]
    except InvalidFile as error:
        raise CannotDraw(str(error), 2) from None
    workflows = {_name(raw): raw for raw in found if raw.get("kind") == KIND_WORKFLOW}
    jobs = {_name(raw): raw for raw in found if raw.get("kind") == KIND_JOB and raw.get("status")}
    raw = _one(path, jobs or workflows, {**workflows, **jobs}, name)
    if raw["kind"] == KIND_WORKFLOW:
        return _workflow(_name(raw), compile_raw(raw))
    job = _job(raw)
    if job.spec.workflow not in workflows:
        raise CannotDraw(f"{path}: the Workflow {job.spec.workflow!r} of the Job {job.name!r} is not in this file")
    return _of_job(job, compile_raw(workflows[job.spec.workflow]), ())


def _listed(raw: RawObject) -> list[RawObject]:
    """The objects in a List, which is what `kubectl get` gives for more than one; anything else is itself."""
    items = raw.get("items")
    return items if raw.get("kind") == "List" and isinstance(items, list) else [raw]


def _one(path: Path, first: dict[str, RawObject], every: dict[str, RawObject], name: str | None) -> RawObject:
    if name is not None:
        if name not in every:
            raise CannotDraw(f"{path}: there is no {name!r}; there are {', '.join(sorted(every)) or 'none'}", 2)
        return every[name]
    if not first:
        raise CannotDraw(f"{path}: there is no Workflow in this file", 2)
    if len(first) > 1:
        raise CannotDraw(f"{path}: say which with --name: {', '.join(sorted(first))}", 2)
    return next(iter(first.values()))


def _name(raw: RawObject) -> str:
    meta = raw.get("metadata")
    return str(meta.get("name", "")) if isinstance(meta, dict) else ""


# -- from a cluster


async def workflow(store: WorkflowStore, namespace: str, name: str) -> Subject:
    """A Workflow as it is now.

    :raises CannotDraw: there is none, or it cannot run.
    :raises StoreUnavailable: no answer.
    """
    return _workflow(name, await _current(store, namespace, name))


async def job(jobs: JobStore, store: WorkflowStore, namespace: str, name: str) -> Subject:
    """A Job, with the revision of its Workflow that it runs.

    :raises CannotDraw: there is none, or none of its Workflow.
    :raises StoreUnavailable: no answer.
    """
    raw = await jobs.read(namespace, name)
    if raw is None:
        raise CannotDraw(f"there is no Job {name!r} in the namespace {namespace!r}")
    found = _job(raw)
    revision = found.status.revision if found.status is not None else None
    if revision is None:
        return _of_job(found, await _current(store, namespace, found.spec.workflow), ())
    pinned = await Definitions(store).pinned(namespace, revision)
    if isinstance(pinned, Definition):
        return _of_job(found, pinned, ())
    note = f"{pinned.message}; the picture shows the Workflow as it is now"
    return _of_job(found, await _current(store, namespace, found.spec.workflow), (note,))


async def _current(store: WorkflowStore, namespace: str, name: str) -> Found:
    raw = await store.read_workflow(namespace, name)
    if raw is None:
        raise CannotDraw(f"there is no Workflow {name!r} in the namespace {namespace!r}")
    return compile_raw(raw)


# -- both


def _workflow(name: str, found: Found) -> Subject:
    return Subject(f"Workflow {name}", _definition(found))


def _of_job(job: Job, found: Found, notes: tuple[str, ...]) -> Subject:
    status = job.status or JobStatus()
    title = f"Job {job.name} of Workflow {job.spec.workflow}: {status.phase.value}"
    if history_is_cut(job.status):
        first = status.history[0].seq
        notes = (*notes, f"the history begins at transition {first}: what was before it is not marked")
    return Subject(title, _definition(found), job, notes)


def _definition(found: Found) -> Definition:
    if isinstance(found, Missing):
        raise CannotDraw(found.message)
    return found


def _job(raw: RawObject) -> Job:
    try:
        return parse_job(raw)
    except InvalidObject as error:
        raise CannotDraw(f"Job {_name(raw)!r}: {error}") from None
