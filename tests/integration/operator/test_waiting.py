"""What a job that waits says in one line, on the real API server: no worker, a Workflow with faults, a missing pool."""

from __future__ import annotations

import json
from typing import Any

from integration.operator.conftest import GROUP, World


def _workflow(name: str, *states: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": GROUP, "kind": "Workflow", "metadata": {"name": name}, "spec": {"states": list(states)}}


def _job(name: str, workflow: str) -> dict[str, Any]:
    return {"apiVersion": GROUP, "kind": "Job", "metadata": {"name": name}, "spec": {"workflow": workflow, "input": {}}}


def _conditions(world: World, target: str) -> dict[str, dict[str, Any]]:
    found = json.loads(world.kubectl("get", target, "-o", "json")).get("status", {}).get("conditions", [])
    return {c["type"]: c for c in found}


def _report_ready(world: World, pool: str, ready: int) -> None:
    """What the cluster's Deployment controller would write; here is none."""
    status = {"status": {"observedGeneration": 1, "replicas": 1, "readyReplicas": ready}}
    world.kubectl("patch", "deployment", f"mcp-worker-{pool}", "--subresource=status", "-p", json.dumps(status))


def test_a_job_says_that_no_worker_is_ready_and_takes_it_back(world: World) -> None:
    world.environ["MCP_NO_WORKER_SECONDS"] = "1"
    world.operator()
    world.wait("a Deployment", 30, lambda: "mcp-worker-one" in world.kubectl("get", "deployments", "-o", "name"))
    _report_ready(world, "one", 0)
    (name,) = world.jobs(1)
    world.wait("NoWorker", 30, lambda: _conditions(world, f"mcpjob/{name}").get("Waiting", {}).get("reason"))
    assert _conditions(world, f"mcpjob/{name}")["Waiting"]["reason"] == "NoWorker"
    text = "one waits for a worker of pool one (none is ready)"
    assert text in world.kubectl("describe", "mcpjob", name)
    assert text in world.kubectl("get", "mcpjob", name)
    _report_ready(world, "one", 1)
    world.wait("a worker", 30, lambda: world.statuses()[name].get("message") == "one is with pool one")
    assert "Waiting" not in _conditions(world, f"mcpjob/{name}")
    for pool in ("one", "two", "three"):
        world.worker(pool)
    world.wait_done([name], 60)


def test_a_workflow_says_all_its_faults_and_its_jobs_go_on_when_it_is_put_right(world: World) -> None:
    world.operator()
    for pool in ("one", "two", "three"):
        world.worker(pool)
    # The schema in the cluster does not look into branches, so all of this gets past it.
    inner = [{"name": "x", "pool": 5}, {"name": "y", "type": "Pass", "input": "${oops}"}, {"name": "y", "type": "Pas"}]
    fan = {"name": "fan", "type": "Parallel", "branches": [{"states": inner}]}
    world.apply(_workflow("flow", {"name": "a", "pool": "nobodys"}, fan), _job("held", "flow"))

    def said() -> dict[str, dict[str, Any]]:
        return _conditions(world, "mcpworkflow/flow")

    world.wait("a verdict", 30, said)
    assert (said()["Ready"]["status"], said()["Ready"]["reason"]) == ("False", "InvalidWorkflow")
    assert said()["Invalid"]["status"] == "True"
    message = said()["Invalid"]["message"]
    for fault in (
        "spec.states[1].branches[0].states[0].pool: write a text",
        "spec.states[1].branches[0].states[1].input, column 3: there is no variable 'oops'",
        "spec.states[1].branches[0].states[2].type: write one of",
        "spec.states[1].branches[0].states[2].name: 'y' stands twice",
        "spec.states[0].pool: there is no WorkerPool 'nobodys' in this namespace",
    ):
        assert fault in message, message
    assert message.count("spec.states[") == 5, message
    row = world.kubectl("get", "mcpworkflow", "flow").splitlines()[1].split()
    assert row[1:3] == ["False", "InvalidWorkflow"]
    world.wait("a job that waits", 30, lambda: "InvalidWorkflow" in str(world.statuses()["held"]))

    world.apply(_workflow("flow", {"name": "one", "pool": "one"}, {"name": "two", "pool": "late"}))
    world.wait("no faults", 30, lambda: said()["Ready"]["reason"] == "UnknownPool")
    assert "Invalid" not in said()
    world.wait("a job that waits for its pool", 30, lambda: "UnknownPool" in str(world.statuses()["held"]))
    spec = {"autoscaling": {"enabled": False}, "template": {"image": "none", "handlers": "chain_handlers"}}
    world.apply({"apiVersion": GROUP, "kind": "WorkerPool", "metadata": {"name": "late"}, "spec": spec})
    world.worker("late")
    world.wait("readiness", 30, lambda: said()["Ready"]["status"] == "True")
    world.wait("the end of the job", 60, lambda: world.statuses()["held"].get("state") == "Done")
    assert world.statuses()["held"]["output"]["path"] == ["one", "two"]
