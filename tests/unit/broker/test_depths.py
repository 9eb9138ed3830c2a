"""Readings of depth from an HTTP API that is down, slow or talks nonsense: unknown, counted, never zero."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from aiohttp import web

from mastercontrol.broker.declaring import QueueState
from mastercontrol.broker.depths import Depths
from mastercontrol.broker.management import Management, ManagementError
from mastercontrol.broker.metrics import DEPTH_FAILURES
from mastercontrol.broker.session import ChannelClosed, Session
from mastercontrol.broker.settings import BrokerSettings
from mastercontrol.broker.workers import worker_user
from mastercontrol.engine.ports import Depth, DepthUnknown
from unit.broker.api import Api, serving

SETTINGS = BrokerSettings(management_timeout_seconds=0.2, management_page_size=2)
CONNECTED = cast("Session", object())
QUEUE = "mcp.pool.team.payments"
POOL = ("team", "payments")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving() as api:
        yield api


@pytest.fixture
async def management(api: Api) -> AsyncIterator[Management]:
    client = Management(str(api.server.make_url("")), "op", "secret", "a/b", SETTINGS.management_timeout_seconds)
    client.open()
    yield client
    await client.close()


@pytest.fixture
def depths(management: Management) -> Depths:
    return Depths(management, SETTINGS, lambda: CONNECTED)


def amqp_says(monkeypatch: pytest.MonkeyPatch, states: dict[str, QueueState] | Exception) -> None:
    async def inspect(_session: Session, _queues: tuple[str, ...]) -> dict[str, QueueState]:
        if isinstance(states, Exception):
            raise states
        return states

    monkeypatch.setattr("mastercontrol.broker.depths.inspect", inspect)


def failures(reason: str) -> float:
    return float(DEPTH_FAILURES.labels(reason)._value.get())


async def why_unknown(depths: Depths) -> str:
    with pytest.raises(DepthUnknown) as unknown:
        await depths.one(POOL)
    return unknown.value.reason


GOOD = '{"messages_ready": 2, "messages_unacknowledged": 1}'


async def test_what_workers_hold_comes_from_the_api_and_consumers_from_amqp(
    api: Api, depths: Depths, monkeypatch: pytest.MonkeyPatch
) -> None:
    amqp_says(monkeypatch, {QUEUE: QueueState(ready=2, consumers=3)})
    api.answers(GOOD)
    assert await depths.one(POOL) == Depth(2, 1, 3)


@pytest.mark.parametrize(("amqp", "ready"), [(0, 2), (9, 9)])
async def test_of_two_numbers_of_ready_messages_the_larger_counts(
    api: Api, depths: Depths, monkeypatch: pytest.MonkeyPatch, amqp: int, ready: int
) -> None:
    amqp_says(monkeypatch, {QUEUE: QueueState(ready=amqp, consumers=0)})
    api.answers(GOOD)
    assert await depths.one(POOL) == Depth(ready, 1, 0)


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("Not Found", 404, "missing"),
        ("oops", 500, "status"),
        ("", 401, "status"),
        ("", 204, "status"),
        ("<html>", 200, "malformed"),
        ("", 200, "malformed"),
        ("[]", 200, "malformed"),
        ("[" * 100_000, 200, "malformed"),
        ("null", 200, "malformed"),
        ("{}", 200, "malformed"),
        ('{"messages_ready": 2}', 200, "malformed"),
        ('{"messages_ready": "2", "messages_unacknowledged": 1}', 200, "malformed"),
        ('{"messages_ready": null, "messages_unacknowledged": 1}', 200, "malformed"),
        ('{"messages_ready": 2.5, "messages_unacknowledged": 1}', 200, "malformed"),
        ('{"messages_ready": true, "messages_unacknowledged": 1}', 200, "malformed"),
        ('{"messages_ready": -1, "messages_unacknowledged": 1}', 200, "malformed"),
    ],
)
async def test_an_answer_that_is_no_depth_is_unknown(
    api: Api, depths: Depths, monkeypatch: pytest.MonkeyPatch, text: str, status: int, reason: str
) -> None:
    amqp_says(monkeypatch, {QUEUE: QueueState(0, 0)})
    api.answers(text, status)
    before = failures(reason)
    assert await why_unknown(depths) == reason
    assert failures(reason) == before + 1


async def test_an_api_that_is_slow_is_unknown_after_the_time_out(api: Api, depths: Depths) -> None:
    released = asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        await released.wait()
        return web.Response(text=GOOD)

    api.handler = slow
    before = failures("timeout")
    assert await why_unknown(depths) == "timeout"
    assert await depths.all((POOL,)) is None
    assert failures("timeout") == before + 2
    released.set()


async def test_an_api_that_is_down_is_unknown(api: Api, depths: Depths) -> None:
    await api.server.close()
    before = failures("unreachable")
    assert await why_unknown(depths) == "unreachable"
    assert failures("unreachable") == before + 1


async def test_a_lost_connection_is_unknown(
    api: Api, management: Management, depths: Depths, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers(GOOD)
    before = failures("disconnected")
    assert await why_unknown(Depths(management, SETTINGS, lambda: None)) == "disconnected"
    amqp_says(monkeypatch, ChannelClosed("gone"))
    assert await why_unknown(depths) == "disconnected"
    assert failures("disconnected") == before + 2


async def test_a_queue_that_only_the_api_knows_is_unknown(
    api: Api, depths: Depths, monkeypatch: pytest.MonkeyPatch
) -> None:
    amqp_says(monkeypatch, {})
    api.answers(GOOD)
    assert await why_unknown(depths) == "partial"


async def test_a_queue_that_only_amqp_knows_is_unknown(
    api: Api, depths: Depths, monkeypatch: pytest.MonkeyPatch
) -> None:
    amqp_says(monkeypatch, {QUEUE: QueueState(0, 0)})
    api.answers('{"page_count": 1, "items": []}')
    before = failures("partial"), failures("missing")
    assert await depths.all((POOL, ("team", "nobody"))) == {}
    assert (failures("partial"), failures("missing")) == (before[0] + 1, before[1] + 1)


async def test_the_same_trouble_is_logged_once_a_minute(
    api: Api, depths: Depths, caplog: pytest.LogCaptureFixture
) -> None:
    api.answers("oops", 500)
    for _ in range(5):
        assert await why_unknown(depths) == "status"
    assert len(caplog.records) == 1
    assert "status" in caplog.text


async def test_all_depths_come_page_by_page_and_the_unknown_are_left_out(
    api: Api, depths: Depths, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = tuple(("team", name) for name in ("a", "b", "c", "starting", "gone"))
    amqp_says(monkeypatch, {f"mcp.pool.team.{name}": QueueState(0, 1) for name in ("a", "b", "c", "starting")})
    rows = {
        "1": [row("a", 1, 0), row("b", 0, 2)],
        "2": [row("c", 3, 3), {"name": "mcp.pool.team.starting"}, row("not-declared", 1, 1), {"name": 7}, 8],
    }

    async def page(request: web.Request) -> web.Response:
        return web.json_response({"page_count": 2, "items": rows[request.query["page"]]})

    api.handler = page
    assert await depths.all(pools) == {
        ("team", "a"): Depth(1, 0, 1),
        ("team", "b"): Depth(0, 2, 1),
        ("team", "c"): Depth(3, 3, 1),
    }
    assert {query["page_size"] for _, _, query, _ in api.asked} == {"2"}


@pytest.mark.parametrize("text", ["[]", "{}", '{"page_count": "2", "items": []}', '{"page_count": 1, "items": {}}'])
async def test_a_page_that_is_no_page_makes_all_depths_unknown(api: Api, depths: Depths, text: str) -> None:
    api.answers(text)
    assert await depths.all((POOL,)) is None


async def test_the_vhost_is_quoted_in_every_path(api: Api, management: Management) -> None:
    api.answers(GOOD)
    await management.totals(QUEUE)
    await management.ensure_policy("p", {"pattern": "x"})
    await management.ensure_user(worker_user("team", "payments", "s"))
    paths = [path for _, path, _, _ in api.asked]
    assert paths == [
        f"/api/queues/a%2Fb/{QUEUE}",
        "/api/policies/a%2Fb/p",
        "/api/users/mcp.team.payments",
        "/api/permissions/a%2Fb/mcp.team.payments",
    ]
    assert api.asked[2][3]["tags"] == ""


async def test_what_is_absent_counts_as_deleted_and_a_refusal_does_not(api: Api, management: Management) -> None:
    api.answers("", 404)
    await management.delete_user("x")
    api.answers("no", 403)
    with pytest.raises(ManagementError, match="403 no"):
        await management.delete_policy("x")
    with pytest.raises(ManagementError, match="403 no"):
        await management.ensure_policy("x", {})


def row(name: str, ready: int, held: int) -> dict[str, object]:
    return {"name": f"mcp.pool.team.{name}", "messages_ready": ready, "messages_unacknowledged": held}


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ('{"delivery_limit": 20}', 20),
        ('{"delivery_limit": "unlimited"}', float("inf")),
        ("{}", None),
        ("[]", None),
        ('{"delivery_limit": true}', None),
        ('{"delivery_limit": "20"}', None),
    ],
)
async def test_a_delivery_limit_that_is_not_told_is_unknown(
    api: Api, management: Management, text: str, limit: float | None
) -> None:
    api.answers(text)
    assert await management.delivery_limit("mcp.dead.team.payments") == limit
    assert api.asked[-1][1:3] == ("/api/queues/a%2Fb/mcp.dead.team.payments", {"columns": "delivery_limit"})
    api.answers("no", 500)
    with pytest.raises(ManagementError):
        await management.delivery_limit("mcp.dead.team.payments")
