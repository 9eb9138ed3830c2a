"""The operator's process: from apply to Done, handing over, and what goes away under it."""

from __future__ import annotations

import time

from integration.conftest import Service
from integration.network import proxied
from integration.operator.conftest import World

SHORT_LEASE = {"MCP_LEASE_SECONDS": "3", "MCP_RENEW_DEADLINE_SECONDS": "2", "MCP_RETRY_SECONDS": "0.5"}


def _workers(world: World) -> None:
    for pool in ("one", "two", "three"):
        world.worker(pool)


def test_jobs_go_from_apply_to_done(world: World) -> None:
    operator = world.operator()
    _workers(world)
    names = world.jobs(20)
    world.wait_done(names, 60)
    assert operator.metric('mcp_results_total{reason="applied"}') == 60
    assert operator.metric('mcp_jobs_ended_total{phase="Succeeded"}') == 20
    assert operator.http("/healthz") == (200, "ok\n")


def test_a_job_of_k_steps_costs_k_plus_one_writes(world: World) -> None:
    operator = world.operator()
    _workers(world)
    world.wait_done(world.jobs(1), 60)
    world.wait("a settled operator", 30, operator.ready)
    before = world.writes()
    world.wait_done(world.jobs(25), 60)
    made = world.writes() - before
    assert (made["mcpjobs", ""], made["mcpjobs", "status"]) == (25, 25 * (3 + 1))


def test_an_idle_operator_writes_nothing_but_its_lease(world: World) -> None:
    operator = world.operator()
    _workers(world)
    world.wait_done(world.jobs(3), 60)
    world.wait("a settled operator", 30, operator.ready)
    time.sleep(8)
    before = world.writes()
    time.sleep(20)
    assert set(world.writes() - before) == {("leases", "")}


def test_the_operator_killed_in_the_middle_leaves_no_job_behind(world: World) -> None:
    _workers(world)
    first = world.operator()
    names = world.jobs(30, {"sleepSeconds": 0.3})
    world.wait("some results", 60, lambda: first.metric('mcp_results_total{reason="applied"}') > 10)
    first.kill()
    world.operator()
    world.wait_done(names, 90)


def test_a_standby_takes_over_within_fifteen_seconds_of_a_kill(world: World) -> None:
    _workers(world)
    pair = [world.operator(), world.operator()]
    holder = world.wait("a leader", 20, world.holder)
    leader = next(o for o in pair if o.identity == holder)
    other = next(o for o in pair if o is not leader)
    world.wait("a standby that is ready", 20, other.ready)
    names = world.jobs(10, {"sleepSeconds": 0.5})
    world.wait("some results", 30, lambda: leader.metric('mcp_results_total{reason="applied"}') > 0)
    leader.kill()
    began = time.monotonic()
    world.wait("the other as leader", 15, lambda: world.holder() == other.identity)
    print(f"taken over {time.monotonic() - began:.1f} s after the kill")
    world.wait_done(names, 60)


def test_a_leader_that_alone_cannot_reach_the_broker_lets_the_other_one_try(world: World) -> None:
    world.environ |= {"MCP_REPLICAS": "2", "MCP_BROKER_PATIENCE_SECONDS": "2", **SHORT_LEASE}
    _workers(world)
    direct = world.environ["MCP_AMQP_URL"]
    with proxied(direct) as (url, network):
        cut_off = world.operator(MCP_AMQP_URL=url)
        world.wait("a leader that is ready", 20, lambda: world.holder() == cut_off.identity and cut_off.ready())
        other = world.operator()
        names = world.jobs(10, {"sleepSeconds": 0.5})
        world.wait("some results", 30, lambda: cut_off.metric('mcp_results_total{reason="applied"}') > 0)
        network.part()
        world.wait("the other as leader", 60, lambda: world.holder() == other.identity)
        world.wait_done(names, 60)
        network.flow()
    world.wait("the first one standing by again", 30, cut_off.ready)
    assert cut_off.process.poll() is None, "it began anew in its place"
    other.kill()
    world.wait("the first one as leader again", 30, lambda: world.holder() == cut_off.identity)


def test_a_leader_without_a_broker_stays_where_there_is_no_other(world: World) -> None:
    world.environ |= {"MCP_BROKER_PATIENCE_SECONDS": "1", **SHORT_LEASE}
    with proxied(world.environ["MCP_AMQP_URL"]) as (url, network):
        network.stall()
        operator = world.operator(MCP_AMQP_URL=url)
        world.wait("a leader", 20, lambda: world.holder() == operator.identity)
        assert not operator.ready()
        time.sleep(4)
        assert world.holder() == operator.identity
        assert "another replica" not in world.logs()


def test_a_leader_that_is_told_to_end_hands_over_at_once(world: World) -> None:
    pair = [world.operator(), world.operator()]
    holder = world.wait("a leader", 20, world.holder)
    leader = next(o for o in pair if o.identity == holder)
    world.wait("a leader that is ready", 20, leader.ready)
    leader.process.terminate()
    began = time.monotonic()
    world.wait("another holder", 8, lambda: world.holder() not in {"", holder})
    assert leader.process.wait(15) == 0, world.logs()
    print(f"handed over in {time.monotonic() - began:.1f} s")


def test_jobs_go_on_after_the_api_server_was_away(world: World, control_plane: Service) -> None:
    operator = world.operator()
    _workers(world)
    names = world.jobs(20, {"sleepSeconds": 0.3})
    world.wait("a job that moves", 30, lambda: any(s.get("sequence", 0) > 1 for s in world.statuses().values()))
    control_plane.run("restart")
    # A leader that could not renew its Lease in time ends: another process may lead by now.
    began = time.monotonic()
    while time.monotonic() - began < 12:
        operator = world.keep_running(operator)
        time.sleep(0.5)
    world.wait_done(names, 120)


def test_jobs_go_on_after_the_broker_was_away(world: World, rabbitmq: Service) -> None:
    operator = world.operator()
    _workers(world)
    names = world.jobs(20, {"sleepSeconds": 0.3})
    world.wait("a job that moves", 30, lambda: any(s.get("sequence", 0) > 1 for s in world.statuses().values()))
    rabbitmq.run("restart")
    world.wait_done(names, 120)
    assert operator.ready()


def test_jobs_go_on_after_the_broker_lost_all_its_data(world: World, rabbitmq: Service) -> None:
    world.operator()
    _workers(world)
    names = world.jobs(20, {"sleepSeconds": 0.3})
    world.wait("a job that moves", 30, lambda: any(s.get("sequence", 0) > 1 for s in world.statuses().values()))
    epoch = world.statuses()[names[0]]["brokerEpoch"]
    rabbitmq.run("wipe")
    world.wait_done(names, 120)
    assert {s["brokerEpoch"] for s in world.statuses().values()} - {epoch}, "nothing was lost, so this showed nothing"
