"""A workflow that has every type of state, for the tests in which things die: integration and e2e run the same.

Its steps are those of `tests/e2e/image/handlers.py`: they do what their input asks for, and `path` tells who did them.
Nothing in it depends on time or dice, so each job makes the same transitions, whatever dies meanwhile: in another order
where branches run beside each other, but as many, and each of them once.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

NAME = "all-states"
POOLS = ("one", "two", "three")

Raw = dict[str, Any]

_EXECUTED = re.compile(rf"EXECUTED (\S+) (\S+) ({'|'.join(POOLS)})")

GO: list[Raw] = [{"name": "go", "payload": {"by": "ana"}}]
"""What the Signal state of a job waits for; it may be sent before the job is there."""

_RETRY: Raw = {"backoffSeconds": 0.5, "jitter": "none"}


def _step(name: str, told: Raw, **more: Any) -> Raw:
    """A Task of the pool of that name. It takes as long as the job says."""
    told = {"sleepSeconds": "${job.input.sleepSeconds}", **told}
    return {"name": name, "pool": name, "input": told, "retry": {**_RETRY, "limit": 3}, **more}


STATES: list[Raw] = [
    {"name": "begin", "type": "Pass", "assign": {"rounds": 0}},
    # Twice around, and each time the first attempt fails.
    _step("one", {"failTimes": 1, "code": "Busy"}, retry={"rules": [{"errors": ["Busy"], **_RETRY}], "limit": 0}),
    {"name": "count", "type": "Pass", "assign": {"rounds": "${vars.rounds + 1}"}},
    {
        "name": "isEnough",
        "type": "Choice",
        "choices": [{"when": "vars.rounds < 2", "next": "one"}],
        "default": "pause",
    },
    {"name": "pause", "type": "Wait", "seconds": 1},
    {"name": "approval", "type": "Signal", "signal": "go", "timeoutSeconds": 3600},
    {
        "name": "fan",
        "type": "Parallel",
        "branches": [
            {"states": [_step("two", {}, output="${result.path}")]},
            {"states": [{"name": "pause", "type": "Wait", "seconds": 1}, _step("three", {}, output="${result.path}")]},
        ],
    },
    {
        "name": "each",
        "type": "Map",
        "items": [1, 2, 3],
        "maxConcurrency": 2,
        "toleratedFailureCount": 1,
        "states": [
            {
                "name": "isOdd",
                "type": "Choice",
                "choices": [{"when": "item % 2 == 0", "next": "even"}],
                "default": "two",
            },
            _step("two", {"item": "${item}"}, output="${result.item}", end=True),
            {"name": "even", "type": "Fail", "code": "Even", "message": "${item} is even"},
        ],
    },
    _step(
        "three",
        {"failTimes": 99, "code": "Broken", "retryable": False},
        catch=[{"errors": ["Broken"], "next": "mended"}],
    ),
    {"name": "unexpected", "type": "Fail", "code": "Unexpected", "message": "a step that fails did not"},
    {
        "name": "mended",
        "type": "Pass",
        "output": {
            "rounds": "${vars.rounds}",
            "approved": "${steps.approval.output.by}",
            "fan": "${steps.fan.output}",
            "each": "${steps.each.output.map(r, type(r) == int ? r : r.error.code)}",
            "caught": "${error.code}",
        },
    },
    {"name": "done", "type": "Succeed"},
]

OUTPUT: Raw = {
    "rounds": 2,
    "approved": "ana",
    "fan": [["two"], ["three"]],
    "each": [1, "Even", 3],
    "caught": "Broken",
}

DISPATCHES = Counter({"one": 4, "two": 3, "three": 2})
"""The dispatches of a job, by step: two rounds of two attempts; a branch and two items; a branch and the end."""

ENTERED = Counter(
    {
        "begin": 1,
        "one": 4,  # entered twice, and after each failed attempt still there
        "count": 2,
        "isEnough": 2,
        "pause": 1,
        "approval": 1,
        "fan": 1,
        "fan[0].two": 1,
        "fan[0]": 1,
        "fan[1].pause": 1,
        "fan[1].three": 1,
        "fan[1]": 1,
        "each": 1,
        "each[0].isOdd": 1,
        "each[1].isOdd": 1,
        "each[2].isOdd": 1,
        "each[0].two": 1,
        "each[1].even": 1,
        "each[2].two": 1,
        "each[0]": 1,  # and no line for the end of each[1], whose last state is a Fail
        "each[2]": 1,
        "three": 1,
        "mended": 1,
        "done": 1,
        "Done": 1,
    }
)
"""The transitions of a job, by where they lead to. Their number is what `status.sequence` ends with."""

HISTORY = 50
"""The history limit that the operator needs for a status to hold all of them."""


def assert_each_transition_once(name: str, status: Raw) -> None:
    """What holds of every job, whatever died while it ran."""
    assert status["phase"] == "Succeeded", (name, status)
    assert status["output"] == OUTPUT, (name, status["output"])
    history = status["history"]
    assert [h["seq"] for h in history] == list(range(1, len(history) + 1)), (name, history)
    assert status["sequence"] == len(history), (name, status)
    assert Counter(h["state"].removeprefix("InProgress.") for h in history) == ENTERED, (name, history)
    assert not {"active", "groups", "scopes"} & set(status), (name, status)


def executed(log: str, job: str) -> dict[str, int]:
    """Which dispatches of a job are in a log of workers, and how often each was executed."""
    # The steps of one worker run in threads, so two of these may stand in one line.
    return Counter(f"{step} {dispatch}" for dispatch, of, step in _EXECUTED.findall(log) if of == job)


def assert_each_dispatch_executed(name: str, log: str) -> None:
    """Every step was executed, at least once, and no step was sent that the job did not ask for."""
    found = Counter(dispatch.partition(" ")[0] for dispatch in executed(log, name))
    assert found == DISPATCHES, (name, found)
