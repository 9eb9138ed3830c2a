"""Events as `kubectl describe` would find them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts.store import Cluster
from integration.kube.loopback import Mode, Proxy
from mastercontrol.engine.ports import RawObject
from mastercontrol.kube.client import KubeClient
from mastercontrol.kube.events import EventRecorder, EventType
from mastercontrol.kube.paths import EVENTS, Target

Read = Callable[[], Awaitable[list[RawObject]]]


@pytest.fixture
def read(client: KubeClient, cluster: Cluster) -> Read:
    async def read() -> list[RawObject]:
        items: list[RawObject] = (await client.get(Target(EVENTS, cluster.namespace)))["items"]
        return items

    return read


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def fail(recorder: EventRecorder, subject: RawObject, note: str = "card refused", **more: Any) -> None:
    fields = {"type": EventType.WARNING, "reason": "StepFailed", "action": "Charge"} | more
    recorder.emit(subject, note=note, **fields)


async def test_an_event_names_its_object_and_says_why(client: KubeClient, cluster: Cluster, read: Read) -> None:
    made = await cluster.job()
    recorder = EventRecorder(client, "operator-0")
    fail(recorder, made)
    await recorder.close()
    (event,) = await read()
    assert event["regarding"]["uid"] == made["metadata"]["uid"]
    assert (event["regarding"]["kind"], event["regarding"]["name"]) == ("Job", "order-1")
    assert (event["type"], event["reason"], event["action"]) == ("Warning", "StepFailed", "Charge")
    assert event["note"] == "card refused"
    assert event["reportingInstance"] == "operator-0"


async def test_long_texts_are_cut_to_what_the_api_server_takes(
    client: KubeClient, cluster: Cluster, read: Read
) -> None:
    made = await cluster.job("a" * 63)
    recorder = EventRecorder(client, "i" * 300)
    fail(recorder, made, note="é" * 2000, reason="R" * 300, action="A" * 300)
    await recorder.close()
    (event,) = await read()
    assert event["note"] == "é" * 512
    assert len(event["reason"]) == 128


async def test_repeats_become_a_series_of_one_event(client: KubeClient, cluster: Cluster, read: Read) -> None:
    made, clock = await cluster.job(), Clock()
    recorder = EventRecorder(client, "operator-0", interval_seconds=60, clock=clock)
    for _ in range(5):
        fail(recorder, made)
    clock.now += 61
    fail(recorder, made)
    await recorder.close()
    (event,) = await read()
    assert event["series"]["count"] == 6


async def test_another_object_or_reason_is_another_event(client: KubeClient, cluster: Cluster, read: Read) -> None:
    one, two = await cluster.job("one"), await cluster.job("two")
    recorder = EventRecorder(client, "operator-0")
    fail(recorder, one)
    fail(recorder, two)
    fail(recorder, one, reason="Timeout")
    await recorder.close()
    assert len(await read()) == 3


async def test_a_series_whose_event_has_expired_begins_another(
    client: KubeClient, cluster: Cluster, read: Read
) -> None:
    made, clock = await cluster.job(), Clock()
    recorder = EventRecorder(client, "operator-0", interval_seconds=60, clock=clock)
    fail(recorder, made)
    async with asyncio.timeout(5):
        while not (found := await read()):  # noqa: ASYNC110  # no event to wait for
            await asyncio.sleep(0.02)
    await client.delete(Target(EVENTS, cluster.namespace, found[0]["metadata"]["name"]), {})
    clock.now += 61
    fail(recorder, made)
    await recorder.close()
    (event,) = await read()
    assert event["metadata"]["name"] != found[0]["metadata"]["name"]


async def test_an_api_server_that_is_away_costs_the_events_and_nothing_else(
    proxied: KubeClient, proxy: Proxy, cluster: Cluster, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    made = await cluster.job()
    recorder = EventRecorder(proxied, "operator-0")
    proxy.mode = Mode.CLOSED
    fail(recorder, made, reason="Lost")
    async with asyncio.timeout(5):
        while "Lost" not in caplog.text:  # noqa: ASYNC110  # the log is what is told
            await asyncio.sleep(0.02)
    proxy.mode = Mode.PASS
    fail(recorder, made, reason="Found")
    await recorder.close()
    assert [event["reason"] for event in await read()] == ["Found"]


async def test_closing_waits_no_longer_than_it_may(
    proxied: KubeClient, proxy: Proxy, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    made = await cluster.job()
    recorder = EventRecorder(proxied, "operator-0")
    proxy.mode = Mode.HANG_REQUEST
    fail(recorder, made)
    fail(recorder, made, reason="Second")
    async with asyncio.timeout(1):
        await recorder.close(seconds=0.2)
    assert "2 Events were not written" in caplog.text
    fail(recorder, made, reason="Late")
    assert "Late" in caplog.text
