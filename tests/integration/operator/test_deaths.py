"""Whatever dies, nothing is lost and nothing is applied twice: over a workflow that has every type of state.

The same with pods, nodes and volumes is in tests/e2e/test_deaths.py.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import all_states
from integration.conftest import Service
from integration.operator.conftest import GROUP, Operator, World

JOBS = 12


class Deadly:
    """A world in which processes do not live long. Kubelets start them again."""

    def __init__(self, world: World) -> None:
        self.world = world
        # A lease that is given up soon: what is shown is what happens at a take-over, not how long it takes.
        world.environ |= {
            "MCP_LEASE_SECONDS": "3",
            "MCP_RENEW_DEADLINE_SECONDS": "2",
            "MCP_RETRY_SECONDS": "0.5",
            "MCP_SWEEP_SECONDS": "3",
            "MCP_HISTORY_LIMIT": str(all_states.HISTORY),
        }
        self.operator: Operator = world.operator()
        self.workers = {pool: world.worker(pool, "handlers") for pool in all_states.POOLS}
        spec = {"states": all_states.STATES}
        world.apply({"apiVersion": GROUP, "kind": "Workflow", "metadata": {"name": all_states.NAME}, "spec": spec})
        self.names = [f"deadly-{i}" for i in range(JOBS)]

    def submit(self, names: list[str], *, approved: bool) -> None:
        """Create jobs, or send the signal to those that are there."""
        spec: dict[str, Any] = {"workflow": all_states.NAME, "input": {"sleepSeconds": 0.4}}
        spec |= {"signals": all_states.GO} if approved else {}
        self.world.apply(
            *({"apiVersion": GROUP, "kind": "Job", "metadata": {"name": name}, "spec": spec} for name in names)
        )

    def transitions(self) -> int:
        return sum(int(status.get("sequence", 0)) for status in self.world.statuses().values())

    def after_some_progress(self, act: Callable[[], object], transitions: int = 15) -> None:
        """Once jobs have moved so much, in a moment that nobody has chosen."""
        begin = self.transitions()
        self.world.wait(f"{transitions} transitions", 90, lambda: self.transitions() >= begin + transitions)
        assert not self.all_ended(), "all jobs had ended before anything died, so this would show nothing"
        act()

    def all_ended(self) -> bool:
        return all("completionTime" in status for status in self.world.statuses().values())

    def kill_operator(self) -> None:
        self.operator.kill()
        self.operator = self.world.operator()

    def kill_workers(self) -> None:
        for pool, process in self.workers.items():
            process.kill()
            process.wait(10)
            self.workers[pool] = self.world.worker(pool, "handlers")

    def kill_all(self) -> None:
        self.kill_workers()
        self.kill_operator()

    def kept_running(self) -> bool:
        """A leader that lost its Lease ends; something starts it again."""
        self.operator = self.world.keep_running(self.operator)
        return True

    def wait_for_the_end(self) -> None:
        self.world.wait("end of all jobs", 180, lambda: self.kept_running() and self.all_ended())

    def log_of_workers(self) -> str:
        return "\n".join(self.world.worker_logs())

    def assert_nothing_was_lost(self) -> None:
        for name, status in self.world.statuses().items():
            all_states.assert_each_transition_once(name, status)
            all_states.assert_each_dispatch_executed(name, self.log_of_workers())


def test_jobs_without_accidents_make_the_transitions_that_the_others_are_compared_with(world: World) -> None:
    deadly = Deadly(world)
    deadly.submit(deadly.names[:2], approved=True)
    deadly.wait_for_the_end()
    deadly.assert_nothing_was_lost()
    log = deadly.log_of_workers()
    assert all(set(all_states.executed(log, name).values()) == {1} for name in deadly.names[:2])


def test_operators_and_workers_are_killed_again_and_again(world: World) -> None:
    deadly = Deadly(world)
    deadly.submit(deadly.names[:6], approved=True)
    deadly.submit(deadly.names[6:], approved=False)
    deadly.after_some_progress(deadly.kill_operator)
    deadly.after_some_progress(deadly.kill_workers)
    deadly.after_some_progress(deadly.kill_operator)
    deadly.submit(deadly.names[6:], approved=True)
    deadly.after_some_progress(deadly.kill_all)
    deadly.after_some_progress(deadly.kill_operator)
    deadly.wait_for_the_end()
    deadly.assert_nothing_was_lost()


def test_the_broker_is_restarted_and_then_loses_all_its_data(world: World, rabbitmq: Service) -> None:
    deadly = Deadly(world)
    deadly.submit(deadly.names, approved=True)
    deadly.after_some_progress(lambda: rabbitmq.run("restart"))
    deadly.after_some_progress(lambda: rabbitmq.run("wipe"))
    deadly.after_some_progress(deadly.kill_operator)
    deadly.wait_for_the_end()
    deadly.assert_nothing_was_lost()


def test_the_broker_loses_its_data_while_no_operator_and_no_worker_lives(world: World, rabbitmq: Service) -> None:
    deadly = Deadly(world)
    deadly.submit(deadly.names, approved=True)

    def everything_dies() -> None:
        deadly.operator.kill()
        for process in deadly.workers.values():
            process.kill()
            process.wait(10)
        rabbitmq.run("wipe")
        deadly.operator = world.operator()
        # Their users are made again by the operator; until then a worker can't log in, and tries again.
        deadly.workers = {pool: world.worker(pool, "handlers") for pool in all_states.POOLS}

    deadly.after_some_progress(everything_dies)
    deadly.wait_for_the_end()
    deadly.assert_nothing_was_lost()


def test_an_operator_that_wakes_up_late_changes_nothing(world: World) -> None:
    """A process that was stopped while it led goes on in the middle of what it did: another one leads since."""
    deadly = Deadly(world)
    deadly.submit(deadly.names, approved=True)
    sleepers: list[Operator] = []

    def stop_the_leader() -> None:
        sleepers.append(deadly.operator)
        deadly.operator.process.send_signal(signal.SIGSTOP)
        deadly.operator = world.operator()

    deadly.after_some_progress(stop_the_leader)
    world.wait("another leader", 30, lambda: world.holder() == deadly.operator.identity)

    def wake_it_up() -> None:
        sleepers[0].process.send_signal(signal.SIGCONT)

    deadly.after_some_progress(wake_it_up, transitions=1)
    deadly.wait_for_the_end()
    deadly.assert_nothing_was_lost()
