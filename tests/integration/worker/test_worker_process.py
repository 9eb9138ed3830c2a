"""Real worker processes on a real RabbitMQ: the order of result and acknowledgement, deaths, drains and lost links."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from integration.worker.harness import DEAD_QUEUE, QUEUE, Broker, Network, WorkerProcess, step, until
from mastercontrol_worker.contract import STEP_TIMEOUT, Failed, StepMessage, Succeeded
from processes import gone

StartWorker = Callable[..., WorkerProcess]


def runs(folder: Path) -> list[str]:
    return (folder / "runs").read_text().split()


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_a_step_is_answered_under_its_own_ids(broker: Broker, start: StartWorker) -> None:
    broker.declare()
    worker = start()
    message = step("double", 21, seq=7)
    traced = StepMessage(message.id, message.job, message.step, 1, 21, None, {"traceparent": "00-a-b-01"})
    broker.send(traced)
    _, properties, _ = broker.take("mcp.results")
    assert (properties.message_id, properties.type, properties.delivery_mode) == ("u-1:7:1", "double", 2)
    assert properties.headers == {"traceparent": "00-a-b-01"}
    broker.send(message)
    result = broker.result()
    assert (result.outcome, result.job, result.worker) == (Succeeded(42), message.job, worker.name)
    broker.until_empty()


def test_heartbeats_are_kept_while_a_handler_works(
    broker: Broker, start: StartWorker, network: Network, tmp_path: Path
) -> None:
    broker.declare()
    start(url=broker.url(port=network.port), MCP_HEARTBEAT_SECONDS="1")
    broker.send(step("sleep", 4.5))
    assert broker.result().outcome == Succeeded("slept")
    broker.until_empty()
    assert network.accepted == 1
    assert len(runs(tmp_path)) == 1


def test_a_step_is_not_acknowledged_while_its_result_is_not_confirmed(
    broker: Broker, start: StartWorker, tmp_path: Path
) -> None:
    broker.declare(results=False)  # a result has no queue: the broker returns it
    worker = start()
    broker.send(step("double", 1))
    worker.until_log("not confirmed")
    worker.signal(signal.SIGKILL)
    worker.exit_code()
    method, properties, _ = broker.take()
    assert (method.redelivered, properties.message_id) == (True, "u-1:1:1")
    assert len(runs(tmp_path)) == 1


def test_a_result_without_a_queue_is_sent_when_there_is_one(broker: Broker, start: StartWorker, tmp_path: Path) -> None:
    broker.declare(results=False)
    worker = start()
    broker.send(step("double", 1))
    worker.until_log("NO_ROUTE")
    broker.bind_results()
    assert broker.result().outcome == Succeeded(2)
    broker.until_empty()
    assert len(runs(tmp_path)) == 1


def test_a_killed_worker_s_step_is_done_by_another(broker: Broker, start: StartWorker, tmp_path: Path) -> None:
    broker.declare()
    first = start("w-1")
    broker.send(step("hold", 5))
    first.until_file("started")
    first.signal(signal.SIGKILL)
    first.exit_code()
    (tmp_path / "release").touch()
    second = start("w-2")
    result = broker.result()
    assert (result.outcome, result.worker) == (Succeeded(5), second.name)
    assert runs(tmp_path) == ["u-1:1:1"] * 2
    broker.until_empty()


def test_a_draining_worker_finishes_its_step_and_takes_no_other(
    broker: Broker, start: StartWorker, tmp_path: Path
) -> None:
    broker.declare()
    worker = start()
    broker.send(step("hold", 5))
    worker.until_file("started")
    worker.signal(signal.SIGTERM)
    worker.until_log("draining: 1 steps")
    broker.send(step("double", 1, seq=2))
    (tmp_path / "release").touch()
    assert worker.exit_code() == 0
    assert broker.result().outcome == Succeeded(5)
    method, properties, _ = broker.take()
    assert (properties.message_id, method.redelivered) == ("u-1:2:1", False)
    assert broker.messages() == 0


@pytest.mark.parametrize("name", ["hold", "async-sleep"])
def test_what_is_not_finished_within_the_grace_period_is_given_back(
    broker: Broker, start: StartWorker, name: str
) -> None:
    broker.declare()
    worker = start(MCP_GRACE_SECONDS="0.3")
    broker.send(step(name, 60))
    worker.until_file("started")
    worker.signal(signal.SIGTERM)
    assert worker.exit_code(10) == 0
    method, properties, _ = broker.take()
    assert (properties.message_id, method.redelivered) == ("u-1:1:1", True)
    assert broker.messages("mcp.results") == 0


def test_a_busy_worker_leaves_further_steps_to_others(broker: Broker, start: StartWorker, tmp_path: Path) -> None:
    broker.declare()
    first = start("w-1", MCP_CONCURRENCY="2")
    for seq in (1, 2):
        broker.send(step("hold", seq, seq=seq))
    until(lambda: (tmp_path / "runs").exists() and len(runs(tmp_path)) == 2, "both run")
    broker.send(step("double", 3, seq=3))
    second = start("w-2")
    result = broker.result()
    assert (result.outcome, result.worker) == (Succeeded(6), second.name)
    (tmp_path / "release").touch()
    assert {broker.result().worker for _ in range(2)} == {first.name}


def test_a_second_signal_ends_a_draining_worker_at_once(broker: Broker, start: StartWorker) -> None:
    broker.declare()
    worker = start(MCP_GRACE_SECONDS="3600")
    broker.send(step("hold"))
    worker.until_file("started")
    worker.signal(signal.SIGTERM)
    worker.until_log("draining: 1 steps")
    worker.signal(signal.SIGTERM)
    assert worker.exit_code(10) == 0
    assert broker.take()[0].redelivered


def test_an_idle_worker_ends_at_once(broker: Broker, start: StartWorker) -> None:
    broker.declare()
    worker = start(MCP_GRACE_SECONDS="3600")
    worker.until_log("connected to")
    worker.signal(signal.SIGTERM)
    assert worker.exit_code(10) == 0


def test_a_worker_without_a_broker_ends_when_told(broker: Broker, start: StartWorker, network: Network) -> None:
    network.refuse(on=True)
    worker = start(url=broker.url(port=network.port))
    worker.until_log("trying again")
    worker.signal(signal.SIGTERM)
    assert worker.exit_code(10) == 0


def test_a_worker_whose_broker_does_not_answer_ends_when_told(
    broker: Broker, start: StartWorker, network: Network
) -> None:
    network.mute()
    worker = start(url=broker.url(port=network.port))
    until(lambda: network.accepted, "a connection")
    worker.signal(signal.SIGTERM)
    assert worker.exit_code(10) == 0


def test_a_worker_that_still_loads_its_handlers_ends_when_told(start: StartWorker, tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text("import pathlib, time; pathlib.Path('started').touch(); time.sleep(60)")
    worker = start()
    worker.until_file("started")
    worker.signal(signal.SIGTERM)
    assert worker.exit_code(10) == 0


def test_a_worker_cut_off_while_it_drains_still_ends_in_time(
    broker: Broker, start: StartWorker, network: Network
) -> None:
    broker.declare()
    worker = start(url=broker.url(port=network.port), MCP_GRACE_SECONDS="0.5")
    broker.send(step("hold"))
    worker.until_file("started")
    network.silence()
    worker.signal(signal.SIGTERM)
    assert worker.exit_code(10) == 0
    network.cut()
    assert broker.take()[0].redelivered


def test_a_message_that_is_no_step_goes_to_the_dead_letters(broker: Broker, start: StartWorker) -> None:
    broker.declare()
    worker = start()
    broker.send_raw("u-1:1:1", "double", b"garbage")
    broker.send_raw("nonsense", "double", step("double").encode())
    broker.send(step("double", 1))
    assert broker.result().outcome == Succeeded(2)
    bodies = set()
    for _ in range(2):
        _, properties, body = broker.take(DEAD_QUEUE)
        assert properties.headers["x-first-death-reason"] == "rejected"
        bodies.add(body)
    assert b"garbage" in bodies
    assert "the body is not JSON" in worker.log
    assert "not a dispatch id: 'nonsense'" in worker.log
    broker.until_empty()


@pytest.mark.parametrize("how", ["closed by an administrator", "cut"])
def test_a_lost_connection_is_made_anew_and_the_running_step_is_not_run_twice(
    broker: Broker, start: StartWorker, network: Network, tmp_path: Path, how: str
) -> None:
    broker.declare()
    worker = start(url=broker.url(port=network.port))
    broker.send(step("hold", 5))
    worker.until_file("started")
    if how == "cut":
        network.cut()
    else:
        until(broker.close_worker_connections, "a connection to close")
    worker.until_log("trying again")
    worker.until_log("delivered again while it is at work")
    (tmp_path / "release").touch()
    assert broker.result().outcome == Succeeded(5)
    broker.until_empty()
    assert len(runs(tmp_path)) == 1


def test_a_step_finished_while_the_broker_is_away_is_answered_when_it_is_back(
    broker: Broker, start: StartWorker, network: Network, tmp_path: Path
) -> None:
    broker.declare()
    worker = start(url=broker.url(port=network.port))
    broker.send(step("hold", 5))
    worker.until_file("started")
    network.refuse(on=True)
    network.cut()
    worker.until_log("trying again")
    (tmp_path / "release").touch()
    network.refuse(on=False)
    assert broker.result().outcome == Succeeded(5)
    broker.until_empty()
    assert len(runs(tmp_path)) == 1


def test_a_silent_connection_is_noticed_by_its_heartbeat(broker: Broker, start: StartWorker, network: Network) -> None:
    broker.declare()
    worker = start(url=broker.url(port=network.port), MCP_HEARTBEAT_SECONDS="1")
    worker.until_log("connected to")
    network.silence()
    broker.send(step("double", 1))
    assert broker.result().outcome == Succeeded(2)
    assert network.accepted > 1


def test_a_worker_waits_for_its_queue_and_outlives_its_deletion(broker: Broker, start: StartWorker) -> None:
    worker = start()
    worker.until_log("404 NOT_FOUND")
    broker.declare()
    broker.send(step("double", 1))
    assert broker.result().outcome == Succeeded(2)
    broker.channel.queue_delete(QUEUE)
    worker.until_log("cancelled the consumer")
    broker.declare_pool()
    broker.send(step("double", 2, seq=2))
    assert broker.result().outcome == Succeeded(4)


def test_a_worker_needs_no_more_than_to_read_its_queue_and_write_results_and_waits_for_that(
    broker: Broker, start: StartWorker
) -> None:
    broker.declare()
    user = broker.vhost
    worker = start(url=broker.url(user, "pw"))
    worker.until_log("ACCESS_REFUSED")
    broker.management.call("PUT", f"/users/{user}", {"password": "pw", "tags": ""})
    try:
        broker.allow(user, "^$", r"^mcp\.results$", f"^{QUEUE}$".replace(".", r"\."))
        broker.send(step("double", 1))
        assert broker.result().outcome == Succeeded(2)
    finally:
        broker.management.call("DELETE", f"/users/{user}")


def test_a_hanging_handler_is_answered_at_its_deadline_and_the_worker_started_anew(
    broker: Broker, start: StartWorker
) -> None:
    broker.declare()
    worker = start(MCP_STUCK_SECONDS="0.2")
    broker.send(step("hold", deadline=soon(3)))
    worker.until_file("started")
    outcome = broker.result().outcome
    assert isinstance(outcome, Failed)
    assert outcome.error.code == STEP_TIMEOUT
    assert worker.exit_code(10) == 1
    assert broker.messages() == 0


def test_any_program_does_steps(broker: Broker, start: StartWorker) -> None:
    broker.declare()
    start(program=["cat"], MCP_CONCURRENCY="4")
    for seq in range(1, 21):
        broker.send(step("echo", {"n": seq}, seq=seq))
    results = [broker.result() for _ in range(20)]
    assert sorted(result.id for result in results) == sorted(f"u-1:{seq}:1" for seq in range(1, 21))
    assert all(isinstance(result.outcome, Succeeded) for result in results)
    broker.until_empty()


def test_a_program_that_is_given_back_is_killed(broker: Broker, start: StartWorker, tmp_path: Path) -> None:
    broker.declare()
    script = f"trap '' TERM; echo $$ >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/started; sleep 60"
    worker = start(program=["/bin/sh", "-c", script], MCP_GRACE_SECONDS="0.2")
    broker.send(step("any"))
    worker.until_file("started")
    worker.signal(signal.SIGTERM)
    assert worker.exit_code(10) == 0
    assert broker.take()[0].redelivered
    pid = int((tmp_path / "started").read_text())
    until(lambda: gone(pid), "it is gone")


def test_a_busy_worker_without_a_broker_is_still_alive(broker: Broker, start: StartWorker, network: Network) -> None:
    from mastercontrol_worker import health  # noqa: PLC0415

    broker.declare()
    worker = start(url=broker.url(port=network.port))
    broker.send(step("hold"))
    worker.until_file("started")
    network.refuse(on=True)
    network.cut()
    worker.until_log("trying again")
    assert health.ask(worker.name)
    worker.signal(signal.SIGKILL)
    worker.exit_code()
    assert not health.ask(worker.name)


def test_four_workers_share_many_steps_and_a_kill_loses_none(
    broker: Broker, start: StartWorker, tmp_path: Path
) -> None:
    broker.declare()
    workers = [start(f"w-{n}", MCP_CONCURRENCY="4") for n in range(3)]
    wanted = {f"u-1:{seq}:1" for seq in range(1, 301)}
    for seq in range(1, 301):
        broker.send(step("double", seq, seq=seq))
    got: set[str] = set()
    while got != wanted:
        got.add(broker.result().id)
        if len(got) == 50:
            workers[0].signal(signal.SIGKILL)
    broker.until_empty()
    assert set(runs(tmp_path)) == wanted
