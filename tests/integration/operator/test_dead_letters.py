"""Dead letters as a person meets them: a step that kills its workers, found with kubectl, redriven or discarded."""

from __future__ import annotations

import json
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from integration.operator.conftest import BIN, GROUP, World

HANDLERS = """
import os
import pathlib
import mastercontrol_worker as worker

HERE = pathlib.Path(__file__).parent

@worker.step("one")
def one(data, context):
    with (HERE / "done.txt").open("a") as done:
        print(context.step, file=done, flush=True)
    if (HERE / "poison").exists():
        os._exit(1)
    return data
"""
LIMIT = 1
WAIT = 60


class Person:
    """Somebody with kubectl, and a pool whose worker dies of each step until it is mended."""

    def __init__(self, world: World) -> None:
        self.world = world
        (world.folder / "chain_handlers.py").write_text(textwrap.dedent(HANDLERS))
        self.poison = world.folder / "poison"
        self.poison.touch()
        spec = {"deliveryLimit": LIMIT, "autoscaling": {"enabled": False}, "template": {"image": "none"}}
        states = [{"name": "one", "pool": "one"}]
        world.apply(
            {"apiVersion": GROUP, "kind": "WorkerPool", "metadata": {"name": "one"}, "spec": spec},
            {"apiVersion": GROUP, "kind": "Workflow", "metadata": {"name": "short"}, "spec": {"states": states}},
        )
        self.operator = world.operator()

    def submits(self, *names: str) -> None:
        spec = {"workflow": "short", "input": {"n": 1}}
        self.world.apply(*({"apiVersion": GROUP, "kind": "Job", "metadata": {"name": n}, "spec": spec} for n in names))

    def lets_workers_die(self, *names: str) -> None:
        """Kubelets start a worker that died again, until the jobs have failed."""
        worker = self.world.worker("one", MCP_CONCURRENCY="1")

        def all_failed() -> bool:
            nonlocal worker
            if worker.poll() is not None:
                worker = self.world.worker("one", MCP_CONCURRENCY="1")
            statuses = self.world.statuses()
            return all(statuses[name].get("phase") == "Failed" for name in names)

        self.world.wait("the failed jobs", WAIT, all_failed)
        worker.terminate()
        worker.wait(15)

    def mends(self) -> None:
        self.poison.unlink()
        self.world.worker("one")

    def pool(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.world.kubectl("get", "mcpworkerpool", "one", "-o", "json"))
        return found

    def annotations(self) -> dict[str, str]:
        found: dict[str, str] = self.pool()["metadata"].get("annotations") or {}
        return found

    def asks(self, verb: str, text: str) -> None:
        self.world.kubectl("annotate", "mcpworkerpool", "one", f"mastercontrol.dev/{verb}={text}")

    def waits_for_the_answer(self, verb: str) -> dict[str, Any]:
        self.world.wait("an answer", WAIT, lambda: f"mastercontrol.dev/{verb}" not in self.annotations())
        answer: dict[str, Any] = json.loads(self.annotations()["mastercontrol.dev/dead-letters-handled"])
        return answer

    def sees(self, letters: int) -> list[dict[str, Any]]:
        """Waits until the pool shows that many, in the count and in the list."""

        def shown() -> bool:
            status = self.pool()["status"]
            counts: tuple[object, object] = status.get("deadLetters"), len(status.get("newestDeadLetters", ()))
            return counts == (letters, letters)

        self.world.wait(f"{letters} dead letters", WAIT, shown)
        found: list[dict[str, Any]] = self.pool()["status"].get("newestDeadLetters", [])
        return found

    def events(self, kind: str, name: str, reason: str) -> list[str]:
        fields = f"regarding.kind={kind},regarding.name={name},reason={reason}"
        command = ("get", "events.events.k8s.io", f"--field-selector={fields}", "-o", "json")
        return [str(event["note"]) for event in json.loads(self.world.kubectl(*command))["items"]]

    def waits_for_events(self, kind: str, name: str, reason: str) -> list[str]:
        self.world.wait(f"an Event {reason}", WAIT, lambda: self.events(kind, name, reason))
        return self.events(kind, name, reason)

    @property
    def executed(self) -> int:
        return len(Path(self.world.folder / "done.txt").read_text().split())

    def types(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`mastercontrol dlq`, in this namespace."""
        command = [str(BIN / "mastercontrol"), "dlq", *words, "-n", self.world.namespace]
        return subprocess.run(command, env=self.world.environ, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def person(world: World) -> Person:
    return Person(world)


def test_a_poison_step_is_listed_and_redriven_and_its_job_succeeds(person: Person) -> None:
    person.submits("j")
    person.lets_workers_die("j")
    (letter,) = person.sees(1)
    uid = json.loads(person.world.kubectl("get", "mcpjob", "j", "-o", "json"))["metadata"]["uid"]
    assert letter.pop("time")
    assert letter == {
        "id": f"{uid}:1:1",
        "job": "j",
        "step": "one",
        "attempt": 1,
        "reason": "DeliveryLimitExceeded",
        "message": "handed out as often as the pool's deliveryLimit allows, and never answered",
    }
    assert person.executed == LIMIT + 1
    assert (
        f"{uid}:1:1 (step one of job j, attempt 1): handed out as often"
        in person.waits_for_events("WorkerPool", "one", "DeadLetter")[0]
    )
    sample = f'mcp_pool_dead_letters{{namespace="{person.world.namespace}",pool="one"}}'
    assert person.operator.metric(sample) == 1
    head, row = person.world.kubectl("get", "mcpworkerpool", "one").splitlines()
    assert head.split()[:5] == ["NAME", "READY", "BUSY", "BACKLOG", "DEAD"]
    assert row.split()[:5] == ["one", "0", "0", "0", "1"]

    person.mends()
    person.asks("redrive", f"{uid}:1:1")
    answer = person.waits_for_the_answer("redrive")
    assert (answer["asked"], answer["done"], answer["ids"], answer["refused"]) == ("redrive", 1, [f"{uid}:1:1"], [])
    person.world.kubectl("wait", "mcpjob", "j", "--for=condition=Complete", "--timeout=50s")
    assert person.executed == LIMIT + 2
    assert person.sees(0) == []
    assert person.waits_for_events("WorkerPool", "one", "Redriven") == [
        f"redriven: {uid}:1:1 (step one of job j, attempt 1)"
    ]
    assert person.waits_for_events("Job", "j", "Redriven") == [
        f"the dead letter {uid}:1:1 of pool one, step one, was redriven"
    ]
    retried = [h for h in person.world.statuses()["j"]["history"] if h.get("reason") == "Retried"]
    assert [h["message"] for h in retried] == ["redrive of dead letter 1:1"]


def test_all_are_redriven_but_those_whose_job_is_gone_which_are_discarded(person: Person) -> None:
    person.submits("a", "b", "c")
    person.lets_workers_die("a", "b", "c")
    by_job = {letter["job"]: letter["id"] for letter in person.sees(3)}
    person.world.kubectl("delete", "mcpjob", "b")
    person.mends()
    person.asks("redrive", "all")
    answer = person.waits_for_the_answer("redrive")
    assert set(answer["ids"]) == {by_job["a"], by_job["c"]}
    assert answer["refused"] == [{"id": by_job["b"], "why": "its job is gone; discard the letter"}]
    for name in ("a", "c"):
        person.world.kubectl("wait", "mcpjob", name, "--for=condition=Complete", "--timeout=50s")
    assert [letter["id"] for letter in person.sees(1)] == [by_job["b"]]
    assert "its job is gone" in person.waits_for_events("WorkerPool", "one", "RedriveRefused")[0]

    person.asks("discard", "all")
    assert person.waits_for_the_answer("discard")["ids"] == [by_job["b"]]
    assert person.sees(0) == []
    assert person.waits_for_events("WorkerPool", "one", "Discarded")


@pytest.mark.parametrize("moment", range(4))
def test_an_operator_that_dies_while_it_redrives_leaves_nothing_half_done(person: Person, moment: int) -> None:
    names = [f"j{n}" for n in range(8)]
    person.submits(*names)
    person.lets_workers_die(*names)
    person.sees(8)
    person.mends()
    person.asks("redrive", "all")
    if moment:  # how far it is then is the machine's choice; at least nothing, some Retries, or all of it
        person.world.wait(
            "some Retries",
            WAIT,
            lambda: sum(s.get("operationsTaken", 0) for s in person.world.statuses().values()) >= (0, 1, 4, 8)[moment],
        )
    person.operator.kill()
    person.operator = person.world.operator()
    person.waits_for_the_answer("redrive")
    assert person.sees(0) == []
    for name in names:
        person.world.kubectl("wait", "mcpjob", name, "--for=condition=Complete", "--timeout=50s")
    statuses = person.world.statuses()
    assert [statuses[name]["operationsTaken"] for name in names] == [1] * 8, "each was retried once"
    assert person.executed == 8 * (LIMIT + 2)


def test_the_command_lists_redrives_and_discards(person: Person) -> None:
    person.submits("a", "b")
    person.lets_workers_die("a", "b")
    by_job = {letter["job"]: letter["id"] for letter in person.sees(2)}
    listed = person.types("list", "one")
    assert listed.returncode == 0, listed.stderr
    head, *rows = listed.stdout.splitlines()
    assert head.split() == ["POOL", "ID", "JOB", "STEP", "ATTEMPT", "TIME", "WHY"]
    assert {tuple(row.split()[:5]) for row in rows} == {("one", by_job[job], job, "one", "1") for job in ("a", "b")}
    assert person.types("list").stdout == listed.stdout, "the other pools have none"

    person.mends()
    redriven = person.types("redrive", "one", by_job["a"], "no:1:1")
    assert redriven.returncode == 1, "not all was done"
    assert redriven.stdout == f"redriven: {by_job['a']}\n"
    assert redriven.stderr == "mastercontrol: not redriven: no:1:1: there is no such dead letter\n"
    person.world.kubectl("wait", "mcpjob", "a", "--for=condition=Complete", "--timeout=50s")

    discarded = person.types("discard", "one", "--all")
    assert (discarded.returncode, discarded.stdout) == (0, f"discarded: {by_job['b']}\n"), discarded.stderr
    assert person.sees(0) == []
    assert person.world.statuses()["b"]["phase"] == "Failed", "its job stays as it is"
    nothing = person.types("redrive", "one", "--all")
    assert (nothing.returncode, nothing.stdout) == (0, "redriven: none, as there are no dead letters\n")


def test_the_command_says_when_nobody_answers(person: Person) -> None:
    person.operator.kill()
    silent = person.types("discard", "one", "--all", "--timeout", "1")
    assert (silent.returncode, silent.stdout) == (1, "")
    assert silent.stderr == (
        "mastercontrol: no answer in 1 s: does an operator lead? What was asked for stands, and is done when one does\n"
    )
    unknown = person.types("list", "nobody")
    assert unknown.returncode == 1
    assert "there is no WorkerPool 'nobody'" in unknown.stderr
