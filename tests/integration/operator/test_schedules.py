"""The operator's process and a Schedule: from the minute to Done."""

from __future__ import annotations

import json

from integration.operator.conftest import World


def test_a_schedule_makes_a_job_that_runs_to_its_end(world: World) -> None:
    for pool in ("one", "two", "three"):
        world.worker(pool)
    operator = world.operator()
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"workflow": "chain", "input": {}}}}
    world.apply(
        {"apiVersion": "mastercontrol.dev/v1alpha1", "kind": "Schedule", "metadata": {"name": "s"}, "spec": spec}
    )

    def schedule() -> dict[str, object]:
        found: dict[str, object] = json.loads(world.kubectl("get", "mcps", "s", "-o", "json")).get("status", {})
        return found

    world.wait("a plan", 20, lambda: schedule().get("conditions"))
    names = list(world.wait("a job", 70, world.statuses))
    world.wait_done(names[:1], 60)
    world.wait("a report of the end", 20, lambda: schedule().get("lastSuccessfulTime"))
    assert operator.metric('mcp_schedule_runs_total{outcome="started"}') >= 1
