"""What is declared, and what workers may do, as data."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.broker import topology
from mastercontrol.broker.topology import (
    Binding,
    Exchange,
    PoolLimits,
    Queue,
    base,
    for_pool,
    parse_version,
    pool_policy,
)
from mastercontrol.broker.workers import BrokerAddress, worker_user
from mastercontrol_worker.contract import RESULTS_QUEUE, pool_queue

RABBITMQ_4 = (4, 0)
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


def test_the_results_queue_never_gives_a_message_up() -> None:
    (results,) = [item for item in base(RABBITMQ_4) if isinstance(item, Queue) and item.name == "mcp.results"]
    assert results.arguments["x-delivery-limit"] == -1


def test_a_broker_without_a_default_delivery_limit_is_not_asked_for_none() -> None:
    (results,) = [item for item in base((3, 10)) if isinstance(item, Queue) and item.name == "mcp.results"]
    assert "x-delivery-limit" not in results.arguments


@pytest.mark.parametrize("items", [base(RABBITMQ_4), (*base(RABBITMQ_4), *for_pool("team", "payments"))])
def test_everything_that_is_bound_was_declared_before(items: tuple[object, ...]) -> None:
    declared: set[str] = set()
    for item in items:
        match item:
            case Exchange(name):
                declared.add(f"exchange {name}")
            case Queue(name):
                declared.add(f"queue {name}")
            case Binding(exchange, queue, _):
                assert {f"exchange {exchange}", f"queue {queue}"} <= declared


def test_a_dead_step_has_both_its_places_to_go_to_before_the_first_step_can_come() -> None:
    items = for_pool("team", "payments")
    routed = items.index(Binding("mcp.steps", "mcp.pool.team.payments", "team.payments"))
    for queue in ("mcp.dead.team.payments", "mcp.results"):
        assert items.index(Binding("mcp.dead", queue, "team.payments")) < routed


def test_what_may_change_about_a_pool_is_no_argument_of_its_queue() -> None:
    (queue,) = [item for item in for_pool("a", "b") if isinstance(item, Queue) and item.name == "mcp.pool.a.b"]
    assert queue.arguments.keys() == {
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-dead-letter-strategy",
        "x-overflow",
    }


def test_a_policy_carries_the_limits_of_a_pool() -> None:
    assert pool_policy("a", "b", PoolLimits(3, 90), RABBITMQ_4) == {
        "pattern": r"^mcp\.pool\.a\.b$",
        "definition": {"delivery-limit": 3, "consumer-timeout": 90_000},
        "priority": 1,
        "apply-to": "queues",
    }
    assert pool_policy("a", "b", PoolLimits(3), RABBITMQ_4)["definition"] == {"delivery-limit": 3}
    assert pool_policy("a", "b", PoolLimits(3, 90), (3, 10))["definition"] == {"delivery-limit": 3}


@given(one=st.tuples(LABEL, LABEL), other=st.tuples(LABEL, LABEL))
def test_no_pool_reads_or_is_ruled_by_what_is_anothers(one: tuple[str, str], other: tuple[str, str]) -> None:
    user = worker_user(*one, secret="s")
    policy = pool_policy(*one, PoolLimits(1), RABBITMQ_4)
    queue = f"mcp.pool.{other[0]}.{other[1]}"
    same = one == other
    assert bool(re.search(user.read, queue)) is same
    assert bool(re.search(policy["pattern"], queue)) is same
    assert (user.name == worker_user(*other, secret="s").name) is same
    assert (user.password == worker_user(*other, secret="s").password) is same


def test_a_dot_in_a_permission_stands_for_nothing_but_a_dot() -> None:
    user = worker_user("a", "b", "s")
    assert not re.search(user.read, "mcpxpool.a.b")
    assert not re.search(user.write, "mcpxresults")
    assert not re.search(user.configure, "anything")


def test_the_password_of_a_pool_follows_from_the_operators() -> None:
    # printf a/b | openssl dgst -sha256 -hmac s
    known = "4be622607f53d36ac2994bcb034efe8c2e048f616bfa9ff596830758f5a82754"
    assert worker_user("a", "b", "s").password == known
    assert worker_user("a", "b", "t").password != known


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://op:p%40ss@mq:5673/%2F", "amqp://u:p@mq:5673/%2F"),
        ("amqp://op:x@mq", "amqp://u:p@mq/%2F"),
        ("amqps://op:x@mq.example/team%2Fa?heartbeat=5", "amqps://u:p@mq.example/team%2Fa"),
        ("amqp://op:x@[::1]:5672/v", "amqp://u:p@[::1]:5672/v"),
    ],
)
def test_workers_get_the_operators_broker_and_vhost(url: str, expected: str) -> None:
    assert BrokerAddress.parse(url).url("u", "p") == expected


def test_the_operators_password_is_taken_as_it_is_meant() -> None:
    assert BrokerAddress.parse("amqp://op:p%40s%2Fs@mq").password == "p@s/s"


@pytest.mark.parametrize("url", ["http://mq", "amqp://", "mq:5672"])
def test_what_is_no_amqp_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not an AMQP URL"):
        BrokerAddress.parse(url)


@pytest.mark.parametrize(("text", "version"), [("4.0.5", (4, 0)), ("3.13.7-rc.1", (3, 13)), ("", (0, 0))])
def test_a_version_is_read_or_the_oldest(text: str, version: tuple[int, int]) -> None:
    assert parse_version(text) == version


def test_the_policy_of_dead_letters_is_for_them_and_for_nothing_else() -> None:
    policy = topology.dead_policy()
    assert policy["definition"] == {"delivery-limit": 1_000_000_000}
    assert re.match(policy["pattern"], topology.dead_pool_queue("team", "payments"))
    assert re.match(policy["pattern"], topology.DEAD_RESULTS_QUEUE)
    for other in (pool_queue("mcp.dead", "x"), RESULTS_QUEUE, topology.epoch_queue("e"), "mcp.deadly", "x.mcp.dead.y"):
        assert not re.match(policy["pattern"], other)
