"""What `emit` promises without an API server: it never waits, never fails, and is bounded."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from mastercontrol.engine.ports import RawObject, StoreUnavailable
from mastercontrol.kube.client import KubeClient
from mastercontrol.kube.events import EventRecorder, EventType
from mastercontrol.kube.paths import Target


class Api:
    """Keeps what is created; waits while `open` is not set."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None
        self.created: list[RawObject] = []
        self.series: list[int] = []

    async def create(self, target: Target, body: RawObject) -> RawObject:
        assert target.namespace == body["metadata"]["namespace"]
        await self.open.wait()
        if self.error is not None:
            raise self.error
        self.created.append(body)
        return body

    async def patch(self, target: Target, body: Any, kind: str) -> RawObject:
        assert target.name is not None
        assert kind
        self.series.append(body["series"]["count"])
        return {}


def subject(name: str) -> RawObject:
    return {"apiVersion": "a/v1", "kind": "Job", "metadata": {"namespace": "ns", "name": name, "uid": f"u-{name}"}}


def emit(recorder: EventRecorder, name: str, reason: str = "StepFailed", note: str = "no") -> None:
    recorder.emit(subject(name), EventType.WARNING, reason, note, "Charge")


def count(outcome: str) -> float:
    return REGISTRY.get_sample_value("mcp_kube_events_total", {"outcome": outcome}) or 0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_what_does_not_fit_into_the_queue_is_dropped_and_counted() -> None:
    api, before = Api(), count("dropped")
    api.open.clear()
    recorder = EventRecorder(cast("KubeClient", api), "i", capacity=3)
    for number in range(10):
        emit(recorder, f"j{number}")
    api.open.set()
    await recorder.close()
    assert len(api.created) == 3
    assert count("dropped") - before == 7


async def test_a_repeat_with_another_text_is_another_event_but_not_before_its_time() -> None:
    api, clock = Api(), Clock()
    recorder = EventRecorder(cast("KubeClient", api), "i", interval_seconds=60, clock=clock)
    emit(recorder, "a", note="first")
    emit(recorder, "a", note="second")
    clock.now = 61
    emit(recorder, "a", note="third")
    await recorder.close()
    assert [body["note"] for body in api.created] == ["first", "third"]
    assert api.series == []


async def test_a_failing_object_in_a_loop_costs_one_write_a_minute() -> None:
    api, clock, before = Api(), Clock(), count("aggregated")
    recorder = EventRecorder(cast("KubeClient", api), "i", interval_seconds=60, clock=clock)
    for second in range(180):
        clock.now = float(second)
        emit(recorder, "a")
        await asyncio.sleep(0)
    await recorder.close()
    assert (len(api.created), api.series) == (1, [61, 121])
    assert count("aggregated") - before == 177


async def test_what_was_done_for_somebody_is_written_each_time_and_none_is_a_repeat() -> None:
    api, clock, before = Api(), Clock(), count("aggregated")
    recorder = EventRecorder(cast("KubeClient", api), "i", interval_seconds=60, clock=clock)
    for note in ("first", "second", "second"):
        recorder.record(subject("a"), "Redriven", note, "Answer")
    await recorder.close()
    recorder.record(subject("a"), "Redriven", "after the end", "Answer")
    assert [(body["note"], body["type"], body["reason"]) for body in api.created] == [
        ("first", "Normal", "Redriven"),
        ("second", "Normal", "Redriven"),
        ("second", "Normal", "Redriven"),
    ]
    assert (api.series, count("aggregated") - before) == ([], 0)


async def test_what_is_remembered_is_bounded() -> None:
    api = Api()
    recorder = EventRecorder(cast("KubeClient", api), "i", capacity=5)
    for number in range(100):
        emit(recorder, f"j{number}")
        await asyncio.sleep(0)
    await recorder.close()
    assert len(recorder._seen) == 5


@pytest.mark.parametrize("error", [StoreUnavailable("away"), KeyError("a fault of ours")])
async def test_an_event_that_fails_is_logged_and_counted_and_the_next_is_written(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    api, before = Api(), count("failed")
    api.error = error
    recorder = EventRecorder(cast("KubeClient", api), "i")
    emit(recorder, "a")
    async with asyncio.timeout(5):
        while count("failed") == before:  # noqa: ASYNC110  # a metric is no event
            await asyncio.sleep(0)
    api.error = None
    emit(recorder, "b")
    await recorder.close()
    assert [body["regarding"]["name"] for body in api.created] == ["b"]
    assert "StepFailed about a not written" in caplog.text


async def test_an_object_without_a_namespace_is_reported_in_default() -> None:
    api = Api()
    recorder = EventRecorder(cast("KubeClient", api), "i")
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    recorder.emit(node, EventType.NORMAL, "Seen", "x", "Look")
    await recorder.close()
    assert api.created[0]["metadata"]["namespace"] == "default"
