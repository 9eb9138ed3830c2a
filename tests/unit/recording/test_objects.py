"""Following objects through watches that break, gaps and deletions: each version is told once, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp
import pytest

from recording import objects
from recording.objects import Follower
from recording.server import Client, Expired

Raw = dict[str, Any]


def raw(name: str, version: int) -> Raw:
    return {"metadata": {"uid": name, "name": name, "resourceVersion": str(version)}}


class Script:
    """A server whose answers are known before: lists, and for each watch its events and how it ends."""

    def __init__(self, lists: list[list[Raw]], watches: list[tuple[list[tuple[str, Raw]], Exception | None]]) -> None:
        self.lists, self.watches = lists, watches
        self.asked: list[str] = []

    async def list(self, plural: str, namespace: str) -> tuple[list[Raw], str]:
        self.asked.append(f"list {plural} {namespace}")
        if not self.lists:
            raise asyncio.CancelledError
        return self.lists.pop(0), "100"

    async def watch(self, _plural: str, _namespace: str, version: str) -> AsyncIterator[tuple[str, Raw]]:
        self.asked.append(f"watch {version}")
        if not self.watches:
            raise asyncio.CancelledError
        events, end = self.watches.pop(0)
        for event in events:
            yield event
        if end is not None:
            raise end


async def told(script: Script) -> list[str]:
    found: list[str] = []

    def changed(before: Raw | None, after: Raw | None) -> None:
        found.append(" -> ".join("-" if o is None else o["metadata"]["resourceVersion"] for o in (before, after)))

    follower = Follower(cast("Client", script), "mcpjobs", "shop", changed)
    with pytest.raises(asyncio.CancelledError):
        await follower.follow()
    return found


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PAUSE", 0)


async def test_each_version_is_told_with_the_one_before() -> None:
    events = [("MODIFIED", raw("a", 101)), ("BOOKMARK", raw("", 105)), ("DELETED", raw("a", 106))]
    script = Script([[raw("a", 90)]], [(events, None)])
    assert await told(script) == ["- -> 90", "90 -> 101", "101 -> -"]
    assert script.asked == ["list mcpjobs shop", "watch 100", "watch 106"]


async def test_a_watch_that_breaks_goes_on_where_it_was() -> None:
    broken = ([("ADDED", raw("a", 101))], aiohttp.ClientError())
    script = Script([[]], [broken, ([("MODIFIED", raw("a", 102))], None)])
    assert await told(script) == ["- -> 101", "101 -> 102"]
    assert script.asked[1:] == ["watch 100", "watch 101", "watch 102"]


async def test_a_gap_is_closed_by_a_list() -> None:
    script = Script([[raw("a", 90), raw("b", 91)], [raw("a", 95)]], [([], Expired())])
    assert await told(script) == ["- -> 90", "- -> 91", "91 -> -", "90 -> 95"]
