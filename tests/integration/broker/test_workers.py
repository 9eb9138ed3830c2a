"""What workers may do at a real RabbitMQ, and that their users and policies are kept up to date."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote, urlsplit

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError

from contracts.broker import LIMIT, connected_again, eventually, step
from integration.broker.conftest import OpenStage
from integration.broker.proxy import Proxy
from integration.broker.stage import RealStage, open_blocking
from mastercontrol.broker.settings import BrokerSettings
from mastercontrol.engine.ports import BrokerUnavailable, DepthUnknown


@pytest.fixture
async def url(stage: RealStage) -> str:
    """The URL of the workers of team/payments. Pool team/other has a queue too."""
    await stage.broker.declare_pool("team", "payments", LIMIT)
    await stage.broker.declare_pool("team", "other", LIMIT)
    return await stage.broker.worker_url("team", "payments")


async def test_a_worker_consumes_its_steps_and_sends_confirmed_results(stage: RealStage, url: str) -> None:
    await stage.broker.publish("team", "payments", step())

    def work() -> None:
        with open_blocking(url) as connection, connection.channel() as channel:
            channel.confirm_delivery()
            method, properties, body = next(channel.consume("mcp.pool.team.payments", inactivity_timeout=10))
            assert method is not None
            assert properties is not None
            assert body is not None
            channel.basic_publish("mcp.results", "mcp.results", body, properties, mandatory=True)
            channel.basic_ack(method.delivery_tag)

    await asyncio.to_thread(work)
    await eventually(lambda: stage.seen.ids() == [step().id])


async def test_a_result_with_a_wrong_key_comes_back_to_its_worker(url: str) -> None:
    def work() -> None:
        with open_blocking(url) as connection, connection.channel() as channel:
            channel.confirm_delivery()
            with pytest.raises(pika.exceptions.UnroutableError):
                channel.basic_publish("mcp.results", "nowhere", b"{}", mandatory=True)

    await asyncio.to_thread(work)


def consume_other(channel: pika.adapters.blocking_connection.BlockingChannel) -> None:
    next(channel.consume("mcp.pool.team.other", inactivity_timeout=1))


def get_results(channel: pika.adapters.blocking_connection.BlockingChannel) -> None:
    channel.basic_get("mcp.results")


def publish_step(channel: pika.adapters.blocking_connection.BlockingChannel) -> None:
    channel.confirm_delivery()
    channel.basic_publish("mcp.steps", "team.payments", b"{}")


def publish_to_queue(channel: pika.adapters.blocking_connection.BlockingChannel) -> None:
    channel.confirm_delivery()
    channel.basic_publish("", "mcp.pool.team.payments", b"{}")


def declare(channel: pika.adapters.blocking_connection.BlockingChannel) -> None:
    channel.queue_declare("mine")


def delete(channel: pika.adapters.blocking_connection.BlockingChannel) -> None:
    channel.queue_delete("mcp.pool.team.payments")


def bind(channel: pika.adapters.blocking_connection.BlockingChannel) -> None:
    channel.queue_bind("mcp.pool.team.payments", "mcp.steps", "team.other")


@pytest.mark.parametrize("act", [consume_other, get_results, publish_step, publish_to_queue, declare, delete, bind])
async def test_a_worker_is_refused_everything_else(url: str, act: object) -> None:
    def attempt() -> None:
        assert callable(act)
        with open_blocking(url) as connection:
            with pytest.raises(ChannelClosedByBroker) as refusal:
                act(connection.channel())
            assert refusal.value.reply_code == 403

    await asyncio.to_thread(attempt)


async def test_a_workers_user_has_no_way_into_the_http_api(stage: RealStage, url: str) -> None:
    name = unquote(urlsplit(url).username or "")
    assert name == "mcp.team.payments"
    assert (await stage.admin.call("GET", f"/users/{name}"))["tags"] == []


async def test_a_user_that_was_deleted_is_there_again_after_the_next_connection(stage: RealStage, url: str) -> None:
    await stage.admin.call("DELETE", "/users/mcp.team.payments")
    with pytest.raises(ProbableAuthenticationError):
        await asyncio.to_thread(open_blocking, url)
    await stage.restart()

    async def works() -> bool:
        found = await stage.admin.call("GET", "/users/mcp.team.payments/permissions", ok=(200, 404))
        return isinstance(found, list) and bool(found)

    await eventually(works)
    await asyncio.to_thread(lambda: open_blocking(url).close())


async def test_users_and_policies_are_there_again_after_all_data_was_lost(stage: RealStage, url: str) -> None:
    del url
    await stage.wipe()

    async def written() -> bool:
        policies = await stage.admin.call("GET", f"/policies/{stage.vhost}")
        permissions = await stage.admin.call("GET", f"/permissions/{stage.vhost}/mcp.team.payments", ok=(200, 404))
        return len(policies) == 3 and "read" in permissions  # of two pools, and of all dead letters

    await eventually(written)


async def test_the_user_and_the_policy_of_a_forgotten_pool_are_deleted(stage: RealStage, url: str) -> None:
    del url
    await stage.broker.forget_pool("team", "payments")

    async def deleted() -> bool:
        policies = [policy["name"] for policy in await stage.admin.call("GET", f"/policies/{stage.vhost}")]
        user = await stage.admin.call("GET", "/users/mcp.team.payments", ok=(200, 404))
        return sorted(policies) == ["mcp.dead", "mcp.pool.team.other"] and "name" not in user

    await eventually(deleted)
    assert not await stage.queue_exists("team", "payments")
    names = [queue["name"] for queue in await stage.admin.call("GET", f"/queues/{stage.vhost}?columns=name")]
    assert "mcp.dead.team.payments" not in names


async def test_the_consumer_timeout_of_a_pool_may_change(stage: RealStage) -> None:
    for seconds, definition in (
        (60, {"delivery-limit": 2, "consumer-timeout": 60_000}),
        (7200, {"delivery-limit": 2, "consumer-timeout": 7_200_000}),
        (None, {"delivery-limit": 2}),
    ):
        await stage.broker.declare_pool("team", "slow", LIMIT, seconds)
        policy = await stage.admin.call("GET", f"/policies/{stage.vhost}/mcp.pool.team.slow")
        assert policy["definition"] == definition
    assert stage.broker.conflicts == {}
    assert stage.seen.lost == []


async def test_without_the_http_api_users_are_unavailable_and_steps_go_on(open_stage: OpenStage, api_url: str) -> None:
    parts = urlsplit(api_url)
    async with Proxy(parts.hostname or "", parts.port or 80) as api:
        settings = BrokerSettings(management_timeout_seconds=0.3)
        stage = await open_stage(settings, management_url=f"http://127.0.0.1:{api.port}")
        api.stall()
        with pytest.raises(BrokerUnavailable, match="policy"):
            await stage.broker.declare_pool("team", "payments", LIMIT)
        with pytest.raises(BrokerUnavailable, match="user"):
            await stage.broker.worker_url("team", "payments")
        with pytest.raises(DepthUnknown) as unknown:
            await stage.broker.depth("team", "payments")
        assert unknown.value.reason == "timeout"
        assert await stage.broker.depths() is None
        await stage.broker.publish("team", "payments", step())
        api.flow()
        await stage.proxy.cut()
        await connected_again(stage.seen, 2)

        async def written() -> bool:
            policies = await stage.admin.call("GET", f"/policies/{stage.vhost}")
            users = await stage.admin.call("GET", "/users/mcp.team.payments", ok=(200, 404))
            names = sorted(policy["name"] for policy in policies)
            return names == ["mcp.dead", "mcp.pool.team.payments"] and "name" in users

        await eventually(written)
        await stage.broker.close()
