"""Every type of state and every rule of errors on the real API server and RabbitMQ: one job each, all at the same time.

One operator and one worker do them all; the cases are in `cases.py`.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from integration.operator.cases import ERRORS, STATES, Case
from integration.operator.conftest import GROUP, World, judged, made_world

HANDLERS = """
import time
from collections import Counter
import mastercontrol_worker as worker

seen = Counter()

def act(data, context):
    told = data if isinstance(data, dict) else {}
    pauses = told.get("sleep", [0])
    time.sleep(pauses[min(context.attempt, len(pauses)) - 1])
    seen[context.job.uid, context.step] += 1
    if seen[context.job.uid, context.step] <= told.get("failsFirst", 0):
        raise worker.StepFailure("told to")
    codes = told.get("codes", [told.get("code", "Broken")] * told.get("fails", 0))
    if context.attempt <= len(codes):
        raise worker.StepFailure("told to", code=codes[context.attempt - 1], retryable=told.get("retryable", True))
    return "x" * told["bytes"] if "bytes" in told else told.get("give")

for name in ("a", "b"):
    worker.step(name)(act)
"""

CASES = {**STATES, **ERRORS}


def _name(case: str) -> str:
    """What the objects of a case are called."""
    return f"case-{list(CASES).index(case)}"


def _objects(title: str, case: Case) -> list[dict[str, Any]]:
    flow = {"maxTransitions": case.max_transitions, "states": case.states}
    job = {"workflow": _name(title), "input": case.input, "signals": case.signals}
    meta = {"name": _name(title)}
    return [
        {"apiVersion": GROUP, "kind": kind, "metadata": meta, "spec": spec}
        for kind, spec in (("Workflow", flow), ("Job", job))
    ]


@pytest.fixture(scope="module")
def statuses(
    kubeconfig: str, amqp_url: str, management_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, dict[str, Any]]]:
    """How the jobs of all cases ended, by the name of the job."""
    folder = tmp_path_factory.mktemp("language")
    with (
        made_world(kubeconfig, amqp_url, management_url, folder) as world,
        judged(world, amqp_url, management_url),
    ):
        (world.folder / "language_handlers.py").write_text(textwrap.dedent(HANDLERS))
        world.environ["MCP_HISTORY_LIMIT"] = "50"
        world.operator()
        world.worker("one", "language_handlers")
        world.apply(*(each for title, case in CASES.items() for each in _objects(title, case)))
        yield _ended(world)


def _ended(world: World) -> dict[str, dict[str, Any]]:
    def look() -> dict[str, dict[str, Any]]:
        found = world.statuses()
        return found if all("completionTime" in status for status in found.values()) else {}

    try:
        ended: dict[str, dict[str, Any]] = world.wait("end of all jobs", 90, look)
    except AssertionError:
        # The others can be judged all the same; each of these says what it waits for.
        return world.statuses()
    return ended


@pytest.mark.parametrize("title", CASES)
def test_a_job_ends_as_its_workflow_says(title: str, statuses: dict[str, dict[str, Any]]) -> None:
    case, status = CASES[title], statuses[_name(title)]
    assert "completionTime" in status, f"it never ended: {json.dumps(status, indent=1)}"
    if case.error is None:
        assert (status["phase"], status.get("output")) == ("Succeeded", case.output), status
    else:
        assert (status["phase"], status["error"]["code"]) == ("Failed", case.error), status
    assert case.look(status), status
    assert [h["seq"] for h in status["history"]] == list(range(1, status["sequence"] + 1))
    # What failed keeps where it stood, for a retry.
    left = {"active"} if status["phase"] == "Failed" else {"active", "groups", "scopes"}
    assert not left & set(status), "something of it is left"
