"""Two operators that find the broker empty in the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from mastercontrol.engine.ports import Gone, RawObject
from mastercontrol.kube.client import KubeClient
from mastercontrol.kube.epoch import ConfigMapEpochStore
from mastercontrol.kube.paths import CONFIG_MAPS, Target


class InStep(KubeClient):
    """Goes on after a read only when the other one has read too."""

    others: list[asyncio.Event]
    own: asyncio.Event

    async def get(self, target: Target, params: Mapping[str, str] | None = None) -> RawObject:
        try:
            return await super().get(target, params)
        finally:
            self.own.set()
            for other in self.others:
                await other.wait()


@pytest.fixture
async def racers(api_server: str, namespace: str) -> AsyncIterator[list[ConfigMapEpochStore]]:
    async with await InStep.connect(api_server) as one, await InStep.connect(api_server) as two:
        one.own, two.own = asyncio.Event(), asyncio.Event()
        one.others, two.others = [two.own], [one.own]
        yield [ConfigMapEpochStore(each, namespace, "broker-epoch") for each in (one, two)]


@pytest.mark.parametrize("old", [None, "1f3a"])
async def test_of_two_that_read_the_same_epoch_only_one_replaces_it(
    client: KubeClient, namespace: str, racers: list[ConfigMapEpochStore], old: str | None
) -> None:
    plain = ConfigMapEpochStore(client, namespace, "broker-epoch")
    if old is not None:
        assert await plain.replace(None, old)
    won = await asyncio.gather(*(racer.replace(old, f"new{n}") for n, racer in enumerate(racers)))
    assert sorted(won) == [False, True]
    assert await plain.load() == f"new{won.index(True)}"


async def test_an_epoch_whose_config_map_was_deleted_meanwhile_is_not_replaced(
    client: KubeClient, namespace: str, racers: list[ConfigMapEpochStore]
) -> None:
    one, _ = racers
    plain = ConfigMapEpochStore(client, namespace, "broker-epoch")
    await plain.replace(None, "1f3a")
    inner = one._client
    assert isinstance(inner, InStep)
    replacing = asyncio.create_task(one.replace("1f3a", "2222"))
    await inner.own.wait()
    await client.delete(Target(CONFIG_MAPS, namespace, "broker-epoch"), {})
    inner.others[0].set()
    assert not await replacing
    with pytest.raises(Gone):
        await client.get(Target(CONFIG_MAPS, namespace, "broker-epoch"))
    assert await plain.load() is None
