"""What goes on beside the blows waits for an API server that is away, and says its own faults."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from chaos.load import jobs, sorts
from chaos.observe import Redeliveries, Submission, Watcher
from e2e.harness import Cluster

METRICS = """# HELP rabbitmq_global_messages_redelivered_total Redelivered
rabbitmq_global_messages_redelivered_total{protocol="amqp091",queue_type="rabbit_classic_queue"} 0
rabbitmq_global_messages_redelivered_total{protocol="amqp091",queue_type="rabbit_quorum_queue"} 7
"""


@dataclass
class FakeCluster(Cluster):
    away: int = 0
    answer: str = ""
    applied: list[str] = field(default_factory=list)

    def kubectl(self, *_: str, **given: Any) -> str:
        if self.away:
            self.away -= 1
            raise AssertionError("connection refused")
        self.applied += [job["metadata"]["name"] for job in yaml.safe_load_all(given.get("stdin") or "") if job]
        return self.answer


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster("config", "node")


def test_jobs_that_could_not_be_created_are_created_later_and_none_is_left_out(cluster: FakeCluster) -> None:
    cluster.away = 2
    wanted = list(jobs(sorts(), 120, "r"))
    submission = Submission(cluster, wanted, 1e-6)  # all are due at once
    submission.pause = 0
    for _ in range(4):
        submission.look()
    assert submission.created == 100, "not more than 50 at once"
    submission.look()
    assert submission.over
    assert cluster.applied == [job.name for job in wanted]


def test_redeliveries_are_those_of_all_kinds_of_queues_and_unknown_is_not_zero(cluster: FakeCluster) -> None:
    watch = Redeliveries(cluster)
    watch.pause = 0
    watch.look()
    cluster.answer = METRICS
    watch.look()
    cluster.away = 1
    watch.look()
    assert watch.seen == [7]


def test_a_fault_in_a_thread_is_raised_where_it_ends() -> None:
    broken = threading.Event()

    class Broken(Watcher):
        def look(self) -> None:
            broken.set()
            raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"), Broken():
        assert broken.wait(10)
