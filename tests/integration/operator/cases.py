"""The cases of `test_language.py`: one small workflow each, what its job is given, and how it has to end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

State = dict[str, Any]
Status = dict[str, Any]

QUICK = {"limit": 5, "backoffSeconds": 0.1, "jitter": "none"}
ONCE = {"limit": 0}


@dataclass(frozen=True)
class Case:
    """A workflow and a job of it. `output` or `error` (its code) is how it ends; `look` sees the rest of its status."""

    states: list[State]
    input: Any = field(default_factory=dict)
    signals: list[dict[str, Any]] = field(default_factory=list)
    output: Any = None
    error: str | None = None
    look: Callable[[Status], bool] = lambda _: True
    max_transitions: int = 100


def task(name: str, told: Any = None, **more: Any) -> State:
    """A step that does as it is told; without a retry of its own it is tried once."""
    state: State = {"name": name, "pool": "one", "retry": ONCE, **more}
    return state if told is None else {**state, "input": told}


def of(kind: str, name: str, **more: Any) -> State:
    return {"name": name, "type": kind, **more}


def fails(code: str, times: int = 99, **more: Any) -> dict[str, Any]:
    """What makes a step fail."""
    return {"fails": times, "code": code, **more}


def give(value: Any) -> dict[str, Any]:
    """What makes a step answer this."""
    return {"give": value}


def parallel(name: str, *branches: list[State], **more: Any) -> State:
    return of("Parallel", name, branches=[{"states": branch} for branch in branches], **more)


def each(name: str, items: Any, *states: State, **more: Any) -> State:
    return of("Map", name, items=items, states=list(states), **more)


def catching(following: str, *errors: str) -> list[dict[str, Any]]:
    return [{"errors": list(errors), "next": following}]


CAUGHT = of("Pass", "caught", output={"code": "${error.code}", "in": "${error.state}"}, end=True)
UNCAUGHT = of("Pass", "wrong", output="the wrong rule", end=True)


# -- what their statuses are asked


def entered(status: Status) -> list[str]:
    """Where the job was, one entry a transition."""
    return [h["state"].removeprefix("InProgress.") for h in status["history"]]


def attempts(status: Status) -> int:
    """The last attempt that was made at a step that failed."""
    return max((h.get("attempt", 1) for h in status["history"]), default=1)


def at_once(status: Status) -> int:
    """The most items of a Map that were begun and not done at the same time."""
    open_, most = 0, 0
    for line in entered(status):
        if "[" in line:
            open_ += 1 if line.endswith(".a") else -1
            most = max(most, open_)
    return most


def seconds(status: Status) -> float:
    """How long the job took."""
    begin, end = (dt.datetime.fromisoformat(status[name]) for name in ("startTime", "completionTime"))
    return (end - begin).total_seconds()


STATES = {
    "task: its result is the output": Case([task("a", give({"n": 1}))], output={"n": 1}),
    "task: the next one gets the output of the one before": Case(
        [task("a", give({"give": 7})), task("b")], output=7, look=lambda s: entered(s) == ["a", "b", "Done"]
    ),
    "task: input, output and assign are templates": Case(
        [
            task("a", {"give": "${job.input.n + 1}"}, output={"got": "${result}"}, assign={"v": "${result * 2}"}),
            of("Pass", "b", output=["${vars.v}", "${steps.a.output.got}", "v is ${vars.v}"]),
        ],
        {"n": 3},
        output=[8, 4, "v is 8"],
    ),
    "pass: computes without a worker": Case([of("Pass", "a", output="${input.n * 2}")], {"n": 21}, output=42),
    "choice: the first rule that holds": Case(
        [
            of(
                "Choice",
                "a",
                choices=[{"when": "input.n > 1", "next": "x"}, {"when": "input.n > 0", "next": "y"}],
                default="y",
            ),
            of("Pass", "x", output="first", end=True),
            of("Pass", "y", output="second", end=True),
        ],
        {"n": 2},
        output="first",
    ),
    "choice: a later rule": Case(
        [
            of(
                "Choice",
                "a",
                choices=[{"when": "input.n > 1", "next": "x"}, {"when": "input.n > 0", "next": "y"}],
                default="x",
            ),
            of("Pass", "x", output="first", end=True),
            of("Pass", "y", output="second", end=True),
        ],
        {"n": 1},
        output="second",
    ),
    "choice: no rule holds": Case(
        [
            of("Choice", "a", choices=[{"when": "has(input.n)", "next": "x"}], default="y"),
            of("Pass", "x", output="first", end=True),
            of("Pass", "y", output="default", end=True),
        ],
        output="default",
    ),
    "wait: seconds": Case([of("Wait", "a", seconds=1)], output={}, look=lambda s: 1 <= seconds(s) < 20),
    "wait: seconds from the input": Case(
        [of("Wait", "a", seconds="${input.n}")], {"n": 2}, output={"n": 2}, look=lambda s: 2 <= seconds(s) < 20
    ),
    "wait: until a time that is over": Case([of("Wait", "a", until="2020-01-01T00:00:00Z")], output={}),
    "wait: until a time from the input": Case(
        [of("Wait", "a", until="${input.until}", output="over")], {"until": "2020-01-01T00:00:00+02:00"}, output="over"
    ),
    "signal: its payload is the output": Case(
        [of("Signal", "a", signal="go")], signals=[{"name": "go", "payload": {"by": "ana"}}], output={"by": "ana"}
    ),
    "signal: one for each state that waits": Case(
        [of("Signal", "a", signal="go"), of("Signal", "b", signal="go", output=["${steps.a.output}", "${result}"])],
        signals=[{"name": "go", "payload": 1}, {"name": "other", "payload": 2}, {"name": "go", "payload": 3}],
        output=[1, 3],
    ),
    "signal: nobody sends it in time": Case([of("Signal", "a", timeoutSeconds=1)], error="Timeout"),
    "signal: nobody sends it in time, and that is caught": Case(
        [of("Signal", "a", timeoutSeconds=1, catch=catching("caught", "States.Timeout")), CAUGHT],
        output={"code": "Timeout", "in": "a"},
    ),
    "parallel: the outputs in the order of the branches": Case(
        [parallel("fan", [task("a", {"sleep": [0.5], "give": 1})], [of("Pass", "x", output=2)], [task("b", give(3))])],
        output=[1, 2, 3],
    ),
    "parallel: one that fails ends the others": Case(
        [parallel("fan", [of("Signal", "never")], [task("a", {"sleep": [30]})], [task("b", fails("Broken"))])],
        error="Broken",
        look=lambda s: seconds(s) < 25,
    ),
    "parallel: one that fails, and that is caught": Case(
        [
            parallel("fan", [of("Signal", "never")], [task("b", fails("Broken"))], catch=catching("caught", "Broken")),
            CAUGHT,
        ],
        output={"code": "Broken", "in": "fan"},
    ),
    "parallel: done again as a whole": Case(
        [parallel("fan", [task("a", give(1))], [task("b", {"failsFirst": 1, "give": 2})], retry=QUICK)],
        output=[1, 2],
    ),
    "map: item and index in scope": Case(
        [each("fan", "${input.list}", task("a", give(["${item}", "${index}"])))],
        {"list": ["x", "y", "z"]},
        output=[["x", 0], ["y", 1], ["z", 2]],
    ),
    "map: nothing to do": Case([each("fan", [], task("a"))], output=[]),
    "map: never more at once than maxConcurrency": Case(
        [each("fan", [1, 2, 3, 4, 5], task("a", give("${item}")), maxConcurrency=2)],
        output=[1, 2, 3, 4, 5],
        look=lambda s: at_once(s) == 2,  # as it says above
    ),
    "map: a tolerated count of failures": Case(
        [
            each(
                "fan",
                [0, 9, 0],
                task("a", {"fails": "${item}", "code": "Broken", "give": "fine"}),
                toleratedFailureCount=1,
                output="${result.map(r, type(r) == string ? r : r.error.code)}",
            )
        ],
        output=["fine", "Broken", "fine"],
    ),
    "map: more failures than the count": Case(
        [each("fan", [9, 9, 0], task("a", {"fails": "${item}"}), toleratedFailureCount=1)],
        error="States.ExceedToleratedFailureThreshold",
    ),
    "map: a tolerated percentage of failures": Case(
        [
            each(
                "fan",
                [9, 0, 9, 0],
                task("a", {"fails": "${item}", "give": 1}),
                toleratedFailurePercentage=50,
                output="${size(result)}",
            )
        ],
        output=4,
    ),
    "map: more failures than the percentage": Case(
        [each("fan", [9, 0, 9, 0], task("a", {"fails": "${item}"}), toleratedFailurePercentage=49)],
        error="States.ExceedToleratedFailureThreshold",
    ),
    "map: too many failures, and that is caught": Case(
        [
            each(
                "fan",
                [9],
                task("a", {"fails": "${item}"}),
                toleratedFailureCount=0,
                catch=catching("caught", "States.ExceedToleratedFailureThreshold"),
            ),
            CAUGHT,
        ],
        output={"code": "States.ExceedToleratedFailureThreshold", "in": "fan"},
    ),
    "succeed: the end, before the last state": Case(
        [
            of("Choice", "a", choices=[{"when": "true", "next": "x"}], default="b"),
            task("b", end=True),
            of("Succeed", "x", output="early"),
        ],
        output="early",
        look=lambda s: entered(s) == ["a", "x", "Done"],
    ),
    "fail: with its code and message": Case(
        [of("Fail", "a", code="${input.code}", message="it is ${input.code}")],
        {"code": "Late"},
        error="Late",
        look=lambda s: bool(s["error"]["message"] == "it is Late" and s["error"]["state"] == "a"),
    ),
    "loop: until its condition holds": Case(
        [
            task("a", give("${vars.?n.orValue(0) + 1}"), assign={"n": "${result}"}),
            of("Choice", "b", choices=[{"when": "vars.n < 3", "next": "a"}], default="x"),
            of("Pass", "x", output="${vars.n}"),
        ],
        output=3,
        look=lambda s: entered(s).count("a") == 3,  # rounds
    ),
    "loop: no more than maxTransitions": Case(
        [task("a"), of("Choice", "b", choices=[{"when": "false", "next": "x"}], default="a"), of("Succeed", "x")],
        error="MaxTransitionsExceeded",
        max_transitions=7,
        look=lambda s: bool(s["sequence"] <= 9),  # the last one, and the end
    ),
    "nesting: a Map in a Parallel in a Map": Case(
        [
            each(
                "out",
                [[1, 2], [3]],
                parallel(
                    "both", [each("in", "${item}", task("a", give("${item * 10}")))], [of("Pass", "x", output="-")]
                ),
            )
        ],
        output=[[[10, 20], "-"], [[30], "-"]],
    ),
}

ERRORS = {
    "retry: by name, as often as it says": Case(
        [
            task(
                "a", fails("Busy", 2, give="done"), retry={"rules": [{"errors": ["Busy"], **QUICK, "limit": 2}], **ONCE}
            )
        ],
        output="done",
        look=lambda s: attempts(s) == 3,  # two of them again
    ),
    "retry: the first rule that matches": Case(
        [task("a", fails("Busy"), retry={"rules": [{"errors": ["Busy"], "limit": 0}], **QUICK})],
        error="Busy",
        look=lambda s: attempts(s) == 1,
    ),
    "retry: the limit": Case(
        [task("a", fails("Busy"), retry={**QUICK, "limit": 2})],
        error="Busy",
        look=lambda s: attempts(s) == 3,  # the first and two more
    ),
    "retry: each rule counts for itself": Case(
        [
            task(
                "a",
                {"codes": ["Busy", "Slow", "Busy", "Slow"], "give": "done"},
                retry={
                    "rules": [{"errors": ["Busy"], **QUICK, "limit": 2}, {"errors": ["Slow"], **QUICK, "limit": 2}],
                    **ONCE,
                },
            )
        ],
        output="done",
    ),
    "retry: the back-off grows, without jitter": Case(
        [
            task(
                "a",
                fails("Busy", 2, give=1),
                retry={"limit": 2, "backoffSeconds": 0.5, "backoffRate": 3, "jitter": "none"},
            )
        ],
        output=1,
        look=lambda s: 2 <= seconds(s) < 25,  # 0.5 s and 1.5 s
    ),
    "retry: not what the handler calls not retryable": Case(
        [task("a", fails("Busy", retryable=False), retry=QUICK)], error="Busy", look=lambda s: attempts(s) == 1
    ),
    "retry: after a time-out": Case(
        [
            task(
                "a",
                {"sleep": [4, 0], "give": "in time"},
                timeoutSeconds=1,
                retry={"rules": [{"errors": ["States.Timeout"], **QUICK}], **ONCE},
            )
        ],
        output="in time",
        look=lambda s: attempts(s) == 2,  # the second is in time
    ),
    "catch: by name, the first rule that matches": Case(
        [
            task(
                "a",
                fails("Broken"),
                catch=[
                    *catching("wrong", "Busy"),
                    *catching("caught", "Slow", "Broken"),
                    *catching("wrong", "States.ALL"),
                ],
                end=True,
            ),
            CAUGHT,
            UNCAUGHT,
        ],
        output={"code": "Broken", "in": "a"},
    ),
    "catch: after the retries": Case(
        [task("a", fails("Busy"), retry={**QUICK, "limit": 1}, catch=catching("caught", "Busy")), CAUGHT],
        output={"code": "Busy", "in": "a"},
        look=lambda s: attempts(s) == 2,  # the first and one more
    ),
    "catch: the error is the input of what follows": Case(
        [
            task("a", fails("Broken"), catch=catching("b", "States.ALL")),
            of("Pass", "b", output=["${input.code}", "${input.message}", "${steps.a.output.code}"]),
        ],
        output=["Broken", "told to", "Broken"],
    ),
    "States.ALL": Case(
        [task("a", fails("Anything"), catch=catching("caught", "States.ALL")), CAUGHT],
        output={"code": "Anything", "in": "a"},
    ),
    "States.Timeout": Case(
        [task("a", {"sleep": [4]}, timeoutSeconds=1, catch=catching("caught", "States.Timeout")), CAUGHT],
        output={"code": "Timeout", "in": "a"},
    ),
    "States.TaskFailed: an error of a step": Case(
        [task("a", fails("Broken"), catch=catching("caught", "States.TaskFailed")), CAUGHT],
        output={"code": "Broken", "in": "a"},
    ),
    "States.TaskFailed: no time-out": Case(
        [
            task(
                "a",
                {"sleep": [4]},
                timeoutSeconds=1,
                catch=[*catching("wrong", "States.TaskFailed"), *catching("caught", "States.ALL")],
                end=True,
            ),
            CAUGHT,
            UNCAUGHT,
        ],
        output={"code": "Timeout", "in": "a"},
    ),
    "States.DataLimitExceeded": Case(
        [task("a", {"bytes": 70_000}, catch=catching("caught", "States.DataLimitExceeded")), CAUGHT],
        output={"code": "ResultTooLarge", "in": "a"},
    ),
    "States.QueryEvaluationError": Case(
        [task("a", {"give": "${input.nope}"}, catch=catching("caught", "States.QueryEvaluationError")), CAUGHT],
        output={"code": "States.QueryEvaluationError", "in": "a"},
    ),
    "nothing catches: States.Runtime": Case(
        [task("a", fails("States.Runtime"), retry=QUICK, catch=catching("wrong", "States.ALL")), UNCAUGHT],
        error="States.Runtime",
        look=lambda s: attempts(s) == 1,
    ),
    "nothing catches: too many transitions": Case(
        [
            parallel(
                "fan",
                [
                    task("a"),
                    of("Choice", "b", choices=[{"when": "false", "next": "x"}], default="a"),
                    of("Succeed", "x"),
                ],
                catch=catching("wrong", "States.ALL"),
            ),
            UNCAUGHT,
        ],
        error="MaxTransitionsExceeded",
        max_transitions=9,
    ),
    "nothing catches: an error in a Pass": Case(
        [of("Pass", "a", output="${input.nope}")], error="States.QueryEvaluationError"
    ),
    "nothing catches: too large for a status before any step": Case(
        [of("Pass", "a", output=["${input.x}"] * 6)],
        {"x": "x" * 50_000},
        error="StatusTooLarge",
        look=lambda s: [line["state"] for line in s["history"]] == ["Failed"],
    ),
    "an error in a Pass is caught by the Parallel around it": Case(
        [parallel("fan", [of("Pass", "a", output="${input.nope}")], catch=catching("caught", "States.ALL")), CAUGHT],
        output={"code": "States.QueryEvaluationError", "in": "fan"},
    ),
    "a Fail in a branch is caught by the Parallel around it": Case(
        [parallel("fan", [of("Fail", "a", code="Late")], catch=catching("caught", "Late")), CAUGHT],
        output={"code": "Late", "in": "fan"},
    ),
}
