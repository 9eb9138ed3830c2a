"""A Workflow that is edited again and again under a hundred running jobs: each runs what it began with."""

from __future__ import annotations

import json
from typing import Any

from integration.operator.conftest import GROUP, World

State = dict[str, Any]

COUNT = 100
HOLD: State = {"name": "hold", "type": "Signal", "signal": "go", "output": "${steps.one.output}"}
GO = [{"name": "go", "payload": None}]


def task(name: str, **more: Any) -> State:
    return {"name": name, "pool": name, **more}


FIRST = [task("one"), HOLD, task("two"), task("three")]
HALT = {**HOLD, "name": "halt"}
RENAMED = [{"name": "erste", "type": "Pass"}, task("one"), HALT, task("three", next="two"), task("two")]
REORDERED = [task("three"), task("one"), task("two")]
INVALID = [task("one", input="${input.}"), task("two", input="${oops}")]
LAST = [task("two"), task("one")]


class Edited:
    """The Workflow `edited`, its jobs and its revisions."""

    def __init__(self, world: World) -> None:
        self.world = world

    def write(self, *states: State) -> str:
        """Edit it; its revision once the operator has looked at it, empty where it has faults."""
        body = {"apiVersion": GROUP, "kind": "Workflow", "metadata": {"name": "edited"}}
        self.world.apply({**body, "spec": {"states": list(states)}})
        self.world.wait("a verdict on this generation", 30, self._is_observed)
        return str(self._object()["status"].get("revision", ""))

    def jobs(self, names: list[str], signals: list[dict[str, Any]] | None = None) -> None:
        spec = {"workflow": "edited", "input": {}, "signals": signals or []}
        self.world.apply(
            *({"apiVersion": GROUP, "kind": "Job", "metadata": {"name": name}, "spec": spec} for name in names)
        )

    def wait_all(self, what: str, seconds: float, names: list[str], state: str) -> dict[str, dict[str, Any]]:
        def look() -> dict[str, dict[str, Any]]:
            found = self.world.statuses()
            return found if all(found[n].get("state") == state for n in names) else {}

        found: dict[str, dict[str, Any]] = self.world.wait(what, seconds, look)
        return found

    def revisions(self) -> set[str]:
        """The ControllerRevisions of this Workflow that are kept."""
        text = self.world.kubectl("get", "controllerrevisions", "-l", "mastercontrol.dev/workflow=edited", "-o", "json")
        return {item["metadata"]["name"] for item in json.loads(text)["items"]}

    def _is_observed(self) -> bool:
        found = self._object()
        return bool(found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"])

    def _object(self) -> dict[str, Any]:
        return dict(json.loads(self.world.kubectl("get", "mcpworkflow", "edited", "-o", "json")))


def test_a_hundred_jobs_end_as_they_began_whatever_becomes_of_their_workflow(world: World) -> None:
    world.environ["MCP_SWEEP_SECONDS"] = "2"
    world.operator()
    for pool in ("one", "two", "three"):
        world.worker(pool)
    edited = Edited(world)

    first = edited.write(*FIRST)
    names = [f"old-{i}" for i in range(COUNT)]
    edited.jobs(names)
    edited.wait_all("job that waits for its signal", 60, names, "InProgress.hold")

    renamed = edited.write(*RENAMED)
    edited.jobs(["renamed"])
    edited.wait_all("job of the next revision", 30, ["renamed"], "InProgress.halt")
    unused = edited.write(*REORDERED)
    assert edited.write(*INVALID) == ""
    edited.jobs(["held"])
    world.wait("a job that waits", 30, lambda: "InvalidWorkflow" in str(world.statuses()["held"]))
    last = edited.write(*LAST)
    assert len({first, renamed, unused, last}) == 4

    # The job that was held has ended with the last one by now; nobody ever began with the one in between.
    edited.wait_all("end of the job that was held", 30, ["held"], "Done")
    world.wait("end of the revision that no job needs", 30, lambda: unused not in edited.revisions())
    assert edited.revisions() == {first, renamed, last}
    assert {world.statuses()[name]["state"] for name in names} == {"InProgress.hold"}, "they went on by themselves"

    edited.jobs([*names, "renamed"], GO)
    edited.jobs(["new-0", "new-1"])
    found = edited.wait_all("end of all jobs", 120, [*names, "renamed", "new-0", "new-1"], "Done")
    for name in names:
        status = found[name]
        assert status["revision"] == first, name
        assert [h["state"] for h in status["history"]] == [
            "InProgress.one",
            "InProgress.hold",
            "InProgress.two",
            "InProgress.three",
            "Done",
        ], name
        assert [h["seq"] for h in status["history"]] == [1, 2, 3, 4, 5], name
        assert status["output"]["path"] == ["one", "two", "three"], name
    assert found["renamed"]["revision"] == renamed
    assert found["renamed"]["output"]["path"] == ["one", "three", "two"]
    for name in ("held", "new-0", "new-1"):
        assert found[name]["revision"] == last, name
        assert found[name]["output"]["path"] == ["two", "one"], name

    world.wait("end of all revisions but the last", 30, lambda: edited.revisions() == {last})
