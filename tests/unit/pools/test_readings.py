"""A pool whose queue can't be read: RabbitMQ's HTTP API is down, slow, or answers nonsense.

The pool has four workers and nothing to do, so a reading that were taken for zero would end them at once.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from mastercontrol.broker.declaring import QueueState
from mastercontrol.broker.depths import Depths
from mastercontrol.broker.management import Management
from mastercontrol.broker.session import ChannelClosed, Session
from mastercontrol.broker.settings import BrokerSettings
from mastercontrol.engine.ports import Depth
from mastercontrol.pools.controller import PoolController
from mastercontrol.pools.settings import PoolSettings
from unit.broker.api import Api, serving
from unit.pools.fakes import Broker, Cluster
from unit.pools.world import World, pool

SETTINGS = BrokerSettings(management_timeout_seconds=0.1)
QUICK = PoolSettings(scale_interval_seconds=0.02, status_interval_seconds=0.02)
AT_ONCE = {"scaleDownStabilizationSeconds": 0}
BUSY = '{"messages_ready": 0, "messages_unacknowledged": 4}'
EMPTY = '{"messages_ready": 0, "messages_unacknowledged": 0}'
WORKERS = 4


class HalfReal(Broker):
    """A broker whose depths are read as the adapter reads them, from an HTTP API and from what `amqp` says."""

    def __init__(self, depths: Depths) -> None:
        super().__init__([])
        self.epoch = "e1"
        self._depths = depths

    async def depth(self, namespace: str, pool: str) -> Depth:
        return await self._depths.one((namespace, pool))


class Stage:
    """A controller in real time, but quick."""

    def __init__(self, api: Api, management: Management) -> None:
        self.api = api
        self.cluster = Cluster([])
        broker = HalfReal(Depths(management, SETTINGS, lambda: cast("Session", object())))
        self.controller = PoolController(self.cluster, broker, broker, lambda *_: 0, QUICK)
        self.cluster.deployment_events = self.controller.on_deployment
        self.controller.on_connected("e1")

    def failed(self, reason: str) -> float:
        return sample(reason) or 0.0

    def active(self) -> dict[str, Any]:
        conditions = self.cluster.statuses.get(("shop", "resize"), {}).get("conditions", [])
        return next((item for item in conditions if item["type"] == "ScalingActive"), {})


def sample(reason: str) -> float | None:
    labels = {"namespace": "shop", "pool": "resize", "reason": reason}
    return REGISTRY.get_sample_value("mcp_pool_readings_failed_total", labels)


async def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, f"not within 10 s: {what}"
        await asyncio.sleep(0.005)


@pytest.fixture
def amqp(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What AMQP says of the queue; an error is raised."""
    says: dict[str, Any] = {"state": QueueState(0, WORKERS)}

    async def inspect(_session: Session, queues: tuple[str, ...]) -> dict[str, QueueState]:
        if isinstance(says["state"], Exception):
            raise says["state"]
        return {} if says["state"] is None else {queues[0]: says["state"]}

    monkeypatch.setattr("mastercontrol.broker.depths.inspect", inspect)
    return says


@pytest.fixture
async def stage(amqp: dict[str, Any]) -> AsyncIterator[Stage]:
    """Four workers that are busy, and the last reading said so."""
    del amqp
    async with serving() as api:
        management = Management(str(api.server.make_url("")), "op", "secret", "/", SETTINGS.management_timeout_seconds)
        management.open()
        made = Stage(api, management)
        api.answers(BUSY)
        running = asyncio.create_task(made.controller.run())
        made.controller.on_pool(copy.deepcopy(pool(autoscaling=AT_ONCE)))
        await until(lambda: made.active().get("status") == "True", "the pool follows its queue")
        await until(lambda: made.cluster.replicas() == WORKERS, "its workers")
        yield made
        running.cancel()
        await asyncio.wait([running])
        await management.close()


async def stays_as_it_is(stage: Stage, reason: str, says: str) -> None:
    """Many readings fail: no worker ends, and the pool says why."""
    before = stage.failed(reason)
    await until(lambda: stage.failed(reason) >= before + 5, f"five readings that failed: {reason}")
    await until(lambda: stage.active().get("status") == "False", "the condition says so")
    assert stage.active()["reason"] == "DepthUnknown"
    assert stage.active()["message"].startswith(f"the queue can't be read, so no worker is stopped ({reason}: ")
    assert says in stage.active()["message"]
    assert "secret" not in stage.active()["message"]
    assert stage.cluster.replicas() == WORKERS
    assert [text for text in stage.cluster.journal if text.startswith("scale")] == ["scale 4"]


async def goes_on(stage: Stage) -> None:
    """Readings come again: the workers that have nothing to do end."""
    stage.api.answers(EMPTY)
    await until(lambda: stage.cluster.replicas() == 0, "the pool shrinks")
    await until(lambda: stage.active().get("status") == "True", "the condition is taken back")


def no_surprise(caplog: pytest.LogCaptureFixture) -> None:
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    ("text", "status", "reason", "says"),
    [
        ("oops", 500, "status", "500 oops"),
        ("", 503, "status", "503"),
        ('{"error": "not_authorised"}', 401, "status", "401"),
        ("Not Found", 404, "missing", "404"),
        ("<html><body>a proxy's page</body></html>", 200, "malformed", "<html><body>"),
        ("", 200, "malformed", "no JSON"),
        ("[" * 100_000, 200, "malformed", "no JSON"),
        ("[]", 200, "malformed", "not an object"),
        ("{}", 200, "malformed", "messages_ready"),
        ('{"messages_ready": "many", "messages_unacknowledged": 0}', 200, "malformed", "'many'"),
        ('{"messages_ready": -1, "messages_unacknowledged": 0}', 200, "malformed", "'-1'"),
        ('{"messages_ready": 0, "messages_unacknowledged": -4}', 200, "malformed", "messages_unacknowledged"),
    ],
    ids=str,
)
async def test_an_api_that_answers_nonsense_ends_no_worker(
    stage: Stage, caplog: pytest.LogCaptureFixture, text: str, status: int, reason: str, says: str
) -> None:
    stage.api.answers(text, status)
    await stays_as_it_is(stage, reason, says)
    await goes_on(stage)
    no_surprise(caplog)


async def test_an_api_that_is_slow_ends_no_worker(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    released = asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        await released.wait()
        return web.Response(text=EMPTY)

    stage.api.handler = slow
    await stays_as_it_is(stage, "timeout", "no answer in time")
    released.set()
    await goes_on(stage)
    no_surprise(caplog)


async def test_an_answer_that_does_not_end_ends_no_worker(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    released = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(EMPTY[:20].encode())
        await released.wait()
        return answer

    stage.api.handler = endless
    await stays_as_it_is(stage, "timeout", "no answer in time")
    released.set()
    await goes_on(stage)
    no_surprise(caplog)


async def test_an_api_that_is_down_ends_no_worker(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    await stage.api.server.close()
    await stays_as_it_is(stage, "unreachable", "Cannot connect")
    no_surprise(caplog)


@pytest.mark.parametrize(
    ("state", "reason", "says"),
    [
        (ChannelClosed("the connection was reset"), "disconnected", "the connection was reset"),
        (None, "partial", "AMQP knows no numbers of queue mcp.pool.shop.resize"),
    ],
    ids=["lost", "partial"],
)
async def test_half_a_reading_ends_no_worker(
    stage: Stage, amqp: dict[str, Any], caplog: pytest.LogCaptureFixture, state: Any, reason: str, says: str
) -> None:
    amqp["state"] = state
    stage.api.answers(EMPTY)
    await stays_as_it_is(stage, reason, says)
    amqp["state"] = QueueState(0, WORKERS)
    await goes_on(stage)
    no_surprise(caplog)


async def test_the_reason_follows_what_is_wrong_now(stage: Stage) -> None:
    stage.api.answers("oops", 500)
    await stays_as_it_is(stage, "status", "500 oops")
    stage.api.answers("<html>")
    await until(lambda: "(malformed: " in stage.active()["message"], "the other reason")
    assert stage.cluster.replicas() == WORKERS


async def test_texts_that_differ_each_time_are_not_written_each_time(stage: Stage) -> None:
    numbers = iter(range(1_000_000))

    async def numbered(_request: web.Request) -> web.Response:
        return web.Response(text=f"request {next(numbers)}", status=500)

    stage.api.handler = numbered
    await stays_as_it_is(stage, "status", "500 request ")
    writes = stage.cluster.calls["status"]
    failed = stage.failed("status")
    await until(lambda: stage.failed("status") >= failed + 10, "ten readings that failed")
    assert stage.cluster.calls["status"] == writes


async def test_without_a_connection_the_condition_says_that(world: World) -> None:
    await world.add(pool())
    world.publish(3)
    await world.after(2)
    world.broker.epoch = None
    await world.after(5)
    assert "(disconnected: there is no connection to the broker)" in world.condition("ScalingActive")["message"]
    assert world.cluster.replicas() == 3


async def test_the_count_of_failed_readings_goes_with_its_pool(world: World) -> None:
    await world.add(pool())
    world.publish()
    world.broker.depths["resize"] = None
    await world.after(3)
    assert sample("timeout")
    world.controller.on_pool(pool(), deleted=True)
    await world.settle()
    assert sample("timeout") is None
