"""`mastercontrol dlq`: lists the dead letters of pools, and asks the operator to redrive or discard some.

It only reads and annotates WorkerPools, with the rights of whoever calls it. The operator does what is asked; this
waits until it has, and says what that was.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from mastercontrol.api.names import ANNOTATION_HANDLED
from mastercontrol.dlq.text import Listing, listing, outcome
from mastercontrol.engine.ports import RawObject, Refused, StoreError
from mastercontrol.kube.client import KubeClient
from mastercontrol.kube.pools import KubePools
from mastercontrol.pools.deadletters.asking import ALL, Verb

T = TypeVar("T")

POLL_SECONDS: Final = 0.3

__all__ = ["CannotAnswer", "Verb", "ask", "show"]


class CannotAnswer(Exception):
    """What was asked for can't be said or done. `status` is the exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def show(pool: str | None, namespace: str) -> Listing:
    """The dead letters of a pool, or of all pools of a namespace.

    :raises CannotAnswer: there is no such pool, or no way to the API server.
    """

    async def look() -> Listing:
        async with await KubeClient.connect() as client:
            pools = KubePools(client)
            found = await pools.list_pools(namespace) if pool is None else [await _read(pools, namespace, pool)]
            return listing(sorted(found, key=lambda raw: str(raw["metadata"]["name"])))

    return _run(look())


def ask(verb: Verb, pool: str, namespace: str, ids: Sequence[str], seconds: float) -> tuple[Listing, bool]:
    """Ask for letters to be redriven or discarded (no ids: all), and wait; whether all was done.

    :raises CannotAnswer: there is no such pool, or no answer within that time.
    """

    async def go() -> tuple[Listing, bool]:
        async with await KubeClient.connect() as client:
            answer = await _Request(KubePools(client), namespace, pool, seconds).send(verb, ",".join(ids) or ALL)
            return outcome(answer), not answer.get("notDone")

    return _run(go())


def _run(call: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(call)
    except StoreError as error:
        raise CannotAnswer(str(error)) from None


class _Request:
    """One request about one pool."""

    def __init__(self, pools: KubePools, namespace: str, pool: str, seconds: float) -> None:
        self._pools = pools
        self._where = (namespace, pool)
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    async def send(self, verb: Verb, text: str) -> dict[str, Any]:
        """Write the annotation, and wait for the answer."""
        while True:
            # Somebody else's is not overwritten.
            before = await self._without(verb)
            try:
                await self._pools.patch_pool(*self._where, _patch(before, verb, text))
                break
            except Refused:
                await self._pause("the WorkerPool changes all the time")
        after = await self._without(verb)
        said = _annotations(after).get(ANNOTATION_HANDLED)
        if said is None or said == _annotations(before).get(ANNOTATION_HANDLED):
            raise CannotAnswer(f"somebody took the annotation {verb.value} away before it was answered")
        try:
            answer = json.loads(said)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise CannotAnswer(f"the annotation {ANNOTATION_HANDLED} is none of the operator's: {said[:80]}")
        if answer.get("asked") != verb.name.lower():
            raise CannotAnswer("another request came right after it; the Events of the WorkerPool say what was done")
        return answer

    async def _without(self, verb: Verb) -> RawObject:
        """The pool once it has no annotation of that kind."""
        while verb.value in _annotations(raw := await _read(self._pools, *self._where)):
            await self._pause("does an operator lead? What was asked for stands, and is done when one does")
        return raw

    async def _pause(self, why: str) -> None:
        if time.monotonic() > self._until:
            raise CannotAnswer(f"no answer in {self._seconds:g} s: {why}")
        await asyncio.sleep(POLL_SECONDS)


async def _read(pools: KubePools, namespace: str, pool: str) -> RawObject:
    raw = await pools.read_pool(namespace, pool)
    if raw is None:
        raise CannotAnswer(f"there is no WorkerPool {pool!r} in namespace {namespace!r}")
    return raw


def _patch(raw: RawObject, verb: Verb, text: str) -> list[dict[str, Any]]:
    path = "/metadata/annotations"
    value: Any = text
    if raw["metadata"].get("annotations"):
        path += "/" + verb.value.replace("/", "~1")
    else:
        value = {verb.value: text}
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": raw["metadata"]["resourceVersion"]},
        {"op": "add", "path": path, "value": value},
    ]


def _annotations(raw: RawObject) -> dict[str, str]:
    found: dict[str, str] = raw["metadata"].get("annotations") or {}
    return found
