"""Operations on jobs, by kubectl as a person types it: a failed job is retried, begun anew, a state is skipped."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from integration.operator.conftest import GROUP, World

HANDLERS = """
import pathlib
import mastercontrol_worker as worker

HERE = pathlib.Path(__file__).parent

def act(data, context):
    with (HERE / "done.txt").open("a") as done:
        print(context.step, file=done)
    if context.step == "two" and (HERE / "broken").exists():
        raise RuntimeError("the second step does not work")
    return [context.step, data]

for name in ("one", "two", "three"):
    worker.step(name)(act)
"""
ONCE = {"limit": 0}
STATES: list[dict[str, Any]] = [
    {"name": "one", "pool": "one"},
    {
        "name": "fan",
        "type": "Parallel",
        "branches": [
            {"states": [{"name": "two", "pool": "two", "retry": ONCE}]},
            {"states": [{"name": "three", "pool": "three"}, {"name": "go", "type": "Signal"}]},
        ],
    },
]
DONE = [["two", ["one", 7]], "yes"]


class Person:
    """Somebody with kubectl, and a job that has failed in a branch while the other one waits for a signal."""

    def __init__(self, world: World) -> None:
        self.world = world
        (world.folder / "chain_handlers.py").write_text(textwrap.dedent(HANDLERS))
        self.broken = world.folder / "broken"
        self.broken.touch()
        world.apply({"apiVersion": GROUP, "kind": "Workflow", "metadata": {"name": "fan"}, "spec": {"states": STATES}})
        for pool in ("one", "three"):
            world.worker(pool)
        spec = {"workflow": "fan", "input": 7}
        world.apply({"apiVersion": GROUP, "kind": "Job", "metadata": {"name": "j"}, "spec": spec})

    def fails(self) -> None:
        """The other branch is at its signal before the worker comes that fails."""
        self.world.wait("a job at its signal", 60, lambda: "fan[1].go" in self.paths())
        self.world.worker("two")
        self.waits_for("Failed")
        assert self.status()["resumable"] == ["fan[0].two", "fan[1].go"]

    def asks(self, **operation: Any) -> None:
        change = [{"op": "add", "path": "/spec/operations/-", "value": operation}]
        self.world.kubectl("patch", "mcpjob", "j", "--type=json", "-p", json.dumps(change))

    def signals(self) -> None:
        change = [{"op": "add", "path": "/spec/signals/-", "value": {"name": "go", "payload": "yes"}}]
        self.world.kubectl("patch", "mcpjob", "j", "--type=json", "-p", json.dumps(change))

    def waits_for(self, condition: str) -> None:
        self.world.kubectl("wait", "mcpjob", "j", f"--for=condition={condition}", "--timeout=50s")

    def status(self) -> dict[str, Any]:
        return self.world.statuses()["j"]

    def paths(self) -> list[str]:
        return [entry["path"] for entry in self.status().get("active", ())]

    def condition(self, kind: str) -> dict[str, Any]:
        return next(c for c in self.status()["conditions"] if c["type"] == kind)

    @property
    def executed(self) -> list[str]:
        return Path(self.world.folder / "done.txt").read_text().split()


@pytest.fixture
def person(world: World) -> Person:
    return Person(world)


def test_a_failed_job_is_retried_from_where_it_failed(person: Person) -> None:
    person.world.operator()
    person.fails()
    person.broken.unlink()
    person.asks(type="Retry", reason="ann: it works again")
    person.waits_for("Operated")
    person.signals()
    person.waits_for("Complete")
    status = person.status()
    assert status["output"] == DONE
    assert person.executed == ["one", "three", "two", "two"], "what was done was not done again"
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Complete": "True", "Operated": "True"}
    assert "error" not in status
    said = [(h["state"], h.get("message")) for h in status["history"] if h.get("reason") == "Retried"]
    assert said == [
        ("InProgress.fan", "ann: it works again"),
        ("InProgress.fan[0].two", "ann: it works again"),
        ("InProgress.fan[1].go", "ann: it works again"),
    ]
    assert [h["seq"] for h in status["history"]] == list(range(1, status["sequence"] + 1))


def test_a_retry_that_is_asked_for_while_the_operator_is_dead_is_done_by_the_next(person: Person) -> None:
    operator = person.world.operator()
    person.fails()
    operator.kill()
    person.broken.unlink()
    person.asks(type="Retry")
    person.signals()
    person.world.operator()
    person.waits_for("Complete")
    assert person.status()["output"] == DONE
    assert person.status()["operationsTaken"] == 1


def test_the_state_that_failed_is_skipped_with_what_was_done_by_hand(person: Person) -> None:
    person.world.operator()
    person.fails()
    person.asks(type="Skip", state="fan[0].two", output=["by", None], reason="bob")
    person.asks(type="Skip", state="fan[1].go", output="no need")
    person.waits_for("Complete")
    status = person.status()
    assert status["output"] == [["by", None], "no need"]
    assert [h.get("message") for h in status["history"] if h.get("reason") == "Skipped"] == ["bob", None]
    assert person.executed == ["one", "three", "two"]


def test_a_failed_job_begins_anew(person: Person) -> None:
    person.world.operator()
    person.fails()
    person.broken.unlink()
    person.asks(type="Restart")
    person.signals()
    person.waits_for("Complete")
    assert person.status()["output"] == DONE
    assert sorted(person.executed) == ["one", "one", "three", "three", "two", "two"]


def test_what_makes_no_sense_is_refused_where_the_user_looks(person: Person) -> None:
    person.world.operator()
    person.fails()
    person.asks(type="Skip", state="one")
    person.world.wait("a refusal", 30, lambda: person.status().get("operationsTaken") == 1)
    text = (
        "spec.operations[0], Skip one: the job is not in 'one'; write a state that it is in: fan[0].two, fan[1].go, fan"
    )
    condition = person.condition("Operated")
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "OperationRefused", text)
    assert person.status()["state"] == "Failed"

    def told() -> bool:
        return text in person.world.kubectl("describe", "mcpjob", "j").partition("Events:")[2]

    person.world.wait("an Event", 30, told)
