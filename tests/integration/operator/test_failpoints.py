"""A process dies or stops at each point between two messages, and nothing is lost and nothing is applied twice.

What dies elsewhere dies in a moment that nobody has chosen; here it is chosen, by `MCP_FAILPOINT`. An operator and
workers live through all tests of this module. Each test puts a process with a failpoint into the place of one of them,
and a kubelet's successor into its place.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import all_states
from integration.operator.conftest import Operator, World, judged, made_world
from integration.worker.harness import Network
from mastercontrol.failpoints import KINDS
from mastercontrol_worker.failpoints import OF_THE_WORKER, WHEN

JOBS = 3
FAILS_ONCE = {"failTimes": 1}
"""Each of the three steps fails at its first attempt, so each has a dispatch that no result stands behind."""

HISTORY = [
    *((seq, f"InProgress.{step}") for seq, step in enumerate(("one", "one", "two", "two", "three", "three"), 1)),
    (7, "Done"),
]
DISPATCHES = {"one 1:1", "one 2:2", "two 3:1", "two 4:2", "three 5:1", "three 6:2"}

OPERATOR_PASSES = {
    # Of 3 jobs. Writes 1 to 3 are their beginnings, after their first steps were sent; 4 to 6 note a failed attempt,
    # 7 to 9 that it is sent again, 10 to 12 that step two is next. Messages 1 to 3 are first steps, 4 to 6 their second
    # attempts, 7 to 9 caused by a result. Results 1 to 3 are failures, 4 to 6 cause another message.
    "patch.before": (11, 2, 8),
    "patch.after": (11, 8, 5),
    "publish.before": (8, 2, 5),
    "publish.after": (2, 8, 5),
    "confirm.before": (5, 2, 8),
    "confirm.after": (8, 5, 2),
    "ack.before": (5, 2, 8),
    "ack.after": (5, 2, 8),
}
"""At which pass it is killed, stopped, and stopped and cut off."""

WORKER_PASSES = {
    "execute.before": (2, 5),
    "execute.after": (5, 2),
    "publish.before": (2, 5),
    "publish.after": (5, 2),
    "confirm.before": (1, 2),  # one word of the broker may be on several results
    "confirm.after": (2, 1),
    "ack.before": (5, 2),
    "ack.after": (2, 5),
}
"""At which pass it is killed, and stopped."""


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    # The name in the line may have blanks, so what comes after it counts.
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def has_died(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() == -signal.SIGKILL


LOST_THE_LEASE = 1
HARMED = {"kill": has_died, "stop": is_stopped}


@dataclass
class Stage:
    """An operator and three workers, and what takes their places."""

    world: World
    network: Network
    operator: Operator
    workers: dict[str, subprocess.Popen[bytes]]
    victims: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def build(cls, world: World, network: Network) -> Stage:
        world.environ |= {"MCP_LEASE_SECONDS": "3", "MCP_RENEW_DEADLINE_SECONDS": "2", "MCP_RETRY_SECONDS": "0.5"}
        workers = {pool: world.worker(pool, "handlers") for pool in all_states.POOLS}
        return cls(world, network, world.operator(), workers)

    def operator_reaches(self, point: str, action: str, at: int) -> tuple[Operator, list[str]]:
        """An operator in the place of the one that is there, harmed at its failpoint; and the jobs that it began.

        Its way to the broker is `network`.
        """
        url = urlsplit(self.world.environ["MCP_AMQP_URL"])
        through = url._replace(netloc=f"{url.netloc.rpartition(':')[0]}:{self.network.port}").geturl()
        environ = {"MCP_FAILPOINT": f"operator.{point}={action}@{at}", "MCP_AMQP_URL": through}
        victim = self.world.operator(**environ)
        self.victims.append(victim.process)
        self.operator.process.terminate()
        self.operator.process.wait(20)
        names = self.world.jobs(JOBS, FAILS_ONCE)

        def reached() -> bool:
            nonlocal victim
            if victim.process.poll() == LOST_THE_LEASE:  # this machine is too slow for so short a one
                victim = self.world.operator(**environ)
                self.victims.append(victim.process)
            return HARMED[action](victim.process)

        self.world.wait(f"operator to {action}", 30, reached)
        return victim, names

    def worker_reaches(self, point: str, action: str, at: int) -> tuple[subprocess.Popen[bytes], list[str]]:
        """A worker of pool `two` in the place of the one that is there, harmed at its failpoint; and the jobs."""
        # A broker takes a silent client for dead after two heartbeats.
        environ = {"MCP_FAILPOINT": f"worker.{point}={action}@{at}", "MCP_HEARTBEAT_SECONDS": "1"}
        victim = self.world.worker("two", "handlers", **environ)
        self.victims.append(victim)
        end(self.workers["two"])
        names = self.world.jobs(JOBS, FAILS_ONCE)
        self.world.wait(f"worker to {action}", 30, lambda: HARMED[action](victim))
        return victim, names

    def end_victims(self) -> None:
        """Where a test failed: what it left would take messages from the next one."""
        for process in self.victims:
            if process not in {self.operator.process, *self.workers.values()} and process.poll() is None:
                process.kill()
                process.wait(10)
        self.victims.clear()

    def wait_done(self, names: list[str]) -> None:
        def done() -> bool:
            self.operator = self.world.keep_running(self.operator)
            statuses = self.world.statuses()
            return all(statuses[name].get("state") == "Done" for name in names)

        self.world.wait("all jobs Done", 60, done)
        self.assert_each_once(names)

    def assert_each_once(self, names: list[str]) -> None:
        """Each transition once and in order, and each dispatch executed."""
        statuses = self.world.statuses()
        log = "\n".join(path.read_text() for path in self.world.folder.glob("worker-*.log"))
        for name in names:
            status = statuses[name]
            assert [(h["seq"], h["state"]) for h in status["history"]] == HISTORY, (name, status)
            assert (status["state"], status["sequence"]) == ("Done", len(HISTORY)), (name, status)
            assert status["output"]["path"] == ["one", "two", "three"], (name, status)
            # A dispatch id begins with the job's uid.
            executed = {re.sub(r" [^:]+:", " ", dispatch) for dispatch in all_states.executed(log, name)}
            assert executed == DISPATCHES, (name, executed)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    assert process.wait(20) in {0, -signal.SIGTERM}  # the latter where it had not begun to work


@pytest.fixture(scope="module")
def kept(
    kubeconfig: str, amqp_url: str, management_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    address = urlsplit(amqp_url)
    with (
        closing(Network(address.hostname or "127.0.0.1", address.port or 5672)) as network,
        made_world(kubeconfig, amqp_url, management_url, tmp_path_factory.mktemp("failpoints")) as world,
        judged(world, amqp_url, management_url),
    ):
        yield Stage.build(world, network)


@pytest.fixture
def stage(kept: Stage) -> Iterator[Stage]:
    yield kept
    kept.end_victims()


def _cases(passes: Mapping[str, tuple[int, ...]], column: int) -> list[tuple[str, int]]:
    return [(point, at[column]) for point, at in passes.items()]


def test_each_point_that_there_is_is_among_these() -> None:
    assert set(OPERATOR_PASSES) == {f"{kind}.{when}" for kind in KINDS for when in WHEN}
    assert set(WORKER_PASSES) == {f"{kind}.{when}" for kind in OF_THE_WORKER for when in WHEN}


@pytest.mark.parametrize(("point", "at"), _cases(OPERATOR_PASSES, 0))
def test_an_operator_is_killed(stage: Stage, point: str, at: int) -> None:
    _, names = stage.operator_reaches(point, "kill", at)
    stage.operator = stage.world.operator()
    stage.wait_done(names)


@pytest.mark.parametrize(("point", "at"), _cases(OPERATOR_PASSES, 1))
def test_an_operator_is_stopped_and_goes_on_when_another_leads(stage: Stage, point: str, at: int) -> None:
    victim, names = stage.operator_reaches(point, "stop", at)
    stage.operator = stage.world.operator()
    stage.world.wait("another leader", 30, lambda: stage.world.holder() == stage.operator.identity)
    assert is_stopped(victim.process)
    victim.process.send_signal(signal.SIGCONT)
    stage.wait_done(names)
    assert victim.process.wait(20) == LOST_THE_LEASE, stage.world.logs()
    stage.assert_each_once(names)


@pytest.mark.parametrize(("point", "at"), _cases(OPERATOR_PASSES, 2))
def test_an_operator_is_stopped_until_its_jobs_have_ended_without_it(stage: Stage, point: str, at: int) -> None:
    victim, names = stage.operator_reaches(point, "stop", at)
    stage.network.cut()  # what the broker does by itself once it has not heard of a client for long
    stage.operator = stage.world.operator()
    stage.wait_done(names)
    assert is_stopped(victim.process)
    victim.process.send_signal(signal.SIGCONT)
    assert victim.process.wait(20) == LOST_THE_LEASE, stage.world.logs()
    stage.assert_each_once(names)


@pytest.mark.parametrize(("point", "at"), _cases(WORKER_PASSES, 0))
def test_a_worker_is_killed(stage: Stage, point: str, at: int) -> None:
    _, names = stage.worker_reaches(point, "kill", at)
    stage.workers["two"] = stage.world.worker("two", "handlers")
    stage.wait_done(names)


@pytest.mark.parametrize(("point", "at"), _cases(WORKER_PASSES, 1))
def test_a_worker_is_stopped_until_its_steps_were_done_by_another(stage: Stage, point: str, at: int) -> None:
    victim, names = stage.worker_reaches(point, "stop", at)
    other = stage.world.worker("two", "handlers")
    stage.wait_done(names)
    assert is_stopped(victim)
    victim.send_signal(signal.SIGCONT)
    end(other)
    stage.workers["two"] = victim
    stage.wait_done(stage.world.jobs(1, FAILS_ONCE))
    stage.assert_each_once(names)
