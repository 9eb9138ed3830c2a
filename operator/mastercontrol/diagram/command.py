"""`mastercontrol diagram`: find what the command line names, draw it, write it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

from mastercontrol.diagram import subject
from mastercontrol.diagram.graph import graph_of
from mastercontrol.diagram.mermaid import mermaid
from mastercontrol.diagram.path import marked
from mastercontrol.diagram.subject import CannotDraw, Subject
from mastercontrol.diagram.svg import svg
from mastercontrol.engine.ports import StoreError
from mastercontrol.kube.client import KubeClient
from mastercontrol.kube.jobs import KubeJobStore
from mastercontrol.kube.workflows import KubeWorkflows

__all__ = ["CannotDraw", "draw", "find", "write"]

_KINDS: Final = frozenset({"workflow", "job"})


def find(target: str, name: str | None, namespace: str) -> Subject:
    """What `target` names: a file, or `workflow/NAME` or `job/NAME` in the cluster. A file of that name comes first.

    :raises CannotDraw: there is no such thing.
    """
    kind, slash, of_cluster = target.partition("/")
    if not slash or kind not in _KINDS or not of_cluster or Path(target).exists():
        return subject.from_file(Path(target), name)
    try:
        return asyncio.run(_from_cluster(kind, namespace, of_cluster))
    except StoreError as error:
        raise CannotDraw(str(error)) from None


async def _from_cluster(kind: str, namespace: str, name: str) -> Subject:
    async with await KubeClient.connect() as client:
        workflows = KubeWorkflows(client)
        if kind == "workflow":
            return await subject.workflow(workflows, namespace, name)
        return await subject.job(KubeJobStore(client), workflows, namespace, name)


def draw(what: Subject, form: str | None, output: Path | None) -> str:
    """The picture as text: `mermaid` or `svg`; None: as the name of the output says, else Mermaid."""
    graph = graph_of(what.definition)
    if what.job is not None:
        graph = marked(graph, what.definition, what.job.status)
    if form is None:
        form = "svg" if output is not None and output.suffix == ".svg" else "mermaid"
    return svg(graph, what.title) if form == "svg" else mermaid(graph, what.title)


def write(picture: str, output: Path | None) -> None:
    """To a file, or to standard output.

    :raises CannotDraw: the file cannot be written.
    """
    if output is None:
        sys.stdout.write(picture)
        return
    try:
        output.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise CannotDraw(f"{output}: {error.strerror}", 2) from None
