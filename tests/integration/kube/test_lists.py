"""Pages, and what happens when the version that a list or a watch goes on from is no longer kept."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from contracts.store import Cluster
from mastercontrol.engine.ports import Expired, RawObject
from mastercontrol.kube.client import KubeClient
from mastercontrol.kube.errors import error_of
from mastercontrol.kube.lists import list_all
from mastercontrol.kube.paths import JOBS, Target


class Recording(KubeClient):
    """Counts pages; `expire` makes the token of so many second pages one that etcd has forgotten."""

    pages = 0
    expire = 0
    expired = 0

    async def get(self, target: Target, params: Mapping[str, str] | None = None) -> RawObject:
        self.pages += 1
        params = dict(params or {})
        if self.expire and "continue" in params:
            self.expire -= 1
            token = {"v": "meta.k8s.io/v1", "rv": 1, "start": "/a\0"}
            params["continue"] = base64.urlsafe_b64encode(json.dumps(token).encode()).decode().rstrip("=")
        try:
            return await super().get(target, params)
        except Expired:
            self.expired += 1
            raise


@pytest.fixture
async def three(cluster: Cluster) -> list[str]:
    for name in "abc":
        await cluster.job(name)
    return ["a", "b", "c"]


@pytest.fixture
async def compacted(api_server: str, client: KubeClient, three: list[str]) -> None:  # noqa: ARG001  # they come first
    """Make etcd forget all versions but the last, as it does every five minutes."""
    sockets = (Path(api_server).parent / "sockets").read_text().strip()
    version = (await client.get(Target(JOBS, None), {"limit": "1"}))["metadata"]["resourceVersion"]
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(f"{sockets}/client")) as etcd,
        etcd.post("http://localhost/v3/kv/compaction", json={"revision": version, "physical": True}) as answer,
    ):
        # Another test may have made it forget more than that already.
        assert answer.status == 200 or "compacted" in await answer.text()


@pytest.fixture
async def recording(api_server: str) -> AsyncIterator[Recording]:
    async with await Recording.connect(api_server) as client:
        yield client


def names_of(items: list[RawObject]) -> list[str]:
    return [item["metadata"]["name"] for item in items]


async def test_a_list_is_read_in_pages(recording: Recording, cluster: Cluster, three: list[str]) -> None:
    assert names_of(await list_all(recording, JOBS, cluster.namespace, page=2)) == three
    assert recording.pages == 2


@pytest.mark.usefixtures("compacted")
async def test_a_list_whose_token_expired_starts_again_and_is_whole(
    recording: Recording, cluster: Cluster, three: list[str]
) -> None:
    recording.expire = 1
    assert names_of(await list_all(recording, JOBS, cluster.namespace, page=1)) == three
    assert (recording.expired, recording.pages) == (1, 2 + 3)


@pytest.mark.usefixtures("compacted")
async def test_a_list_whose_tokens_always_expire_is_read_in_one_piece(
    recording: Recording, cluster: Cluster, three: list[str]
) -> None:
    recording.expire = 1000
    assert names_of(await list_all(recording, JOBS, cluster.namespace, page=1)) == three
    assert (recording.expired, recording.pages) == (3, 3 * 2 + 1)


async def test_a_watch_from_a_version_that_is_too_old_says_expired(client: KubeClient, cluster: Cluster) -> None:
    """What the memory store raises is what a real watch says."""
    await cluster.job()
    params = {"watch": "1", "resourceVersion": "1", "timeoutSeconds": "2"}
    event = await client.get(Target(JOBS, cluster.namespace), params)
    assert event["type"] == "ERROR"
    assert isinstance(error_of(event["object"]["code"], json.dumps(event["object"]).encode()), Expired)
