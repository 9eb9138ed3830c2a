"""What people ask for in one run: Workflows, Jobs over them, what their steps do, and the ends that each Job may have.

Some Workflows are written here, for what the protocol has to bear; others are those that the reference interpreter is
tested with, drawn once per process. A step's outcome depends on its name, attempt and input alone, so however often
and wherever it is done, a Job has the ends that the reference gives, and others only where time decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from random import Random
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Run
from hypothesis import seed as seeded

from mastercontrol.api.names import API_VERSION, KIND_JOB, KIND_WORKFLOW, Phase
from mastercontrol.api.workflow import BlockSpec, StateSpec, WorkflowSpec, parse_spec
from mastercontrol.engine.ports import RawObject
from mastercontrol_worker.contract import Failed, StepError, StepMessage, Succeeded
from simulation.faults import NO_EMPHASIS, Emphasis
from unit.engine.reference import Ended, Env, Failure, Outcome, Script, TooAmbiguous, _Reference, plain
from unit.engine.test_reference import script_of, timeouts
from unit.engine.workflows import INPUT, workflows

NAMESPACE: Final = "shop"
POOLS: Final = ("p", "q")
SIGNALS: Final = {"go": {"by": "hand"}}
DRAWN: Final = 200
MOST_NESTED: Final = 2
SCRIPTS: Final = 20
Raw = dict[str, Any]

End = tuple[str, str]
"""How a Job ended: its phase, and its output or the code of its error."""


def _task(name: str, pool: str = "p", **more: Any) -> Raw:
    retry = {"limit": 2, "backoffSeconds": 1, "jitter": "none"}
    return {"name": name, "type": "Task", "pool": pool, "retry": retry, **more}


OTHER: Final[Raw] = {"states": [{"name": "child", "pool": "p", "retry": {"limit": 0}}]}
"""What the SubJob states of all Workflows run."""

WRITTEN: Final[dict[str, Raw]] = {
    "chain": {"states": [_task("a"), _task("b", "q"), _task("c")]},
    "late": {"states": [_task("a", timeoutSeconds=4), _task("b", "q", timeoutSeconds=4)]},
    "fan": {
        "states": [
            _task("a"),
            {
                "name": "fan",
                "type": "Parallel",
                "branches": [{"states": [_task(n), _task(f"{n}2", "q")]} for n in "xyz"],
            },
            _task("b"),
        ]
    },
    "beside": {
        "states": [
            {
                "name": "fan",
                "type": "Parallel",
                "branches": [{"states": [{"name": f"go{n}", "type": "Pass"}, _task(n)]} for n in "xyz"],
            }
        ]
    },
    "each": {
        "states": [
            _task("a"),
            {
                "name": "each",
                "type": "Map",
                "items": "${job.input.list}",
                "maxConcurrency": 2,
                "toleratedFailureCount": 1,
                "states": [_task("x"), _task("y", "q")],
            },
        ]
    },
    "waits": {
        "states": [
            {"name": "pause", "type": "Wait", "seconds": 2},
            _task("a"),
            {"name": "go", "type": "Signal", "signal": "go", "timeoutSeconds": 600},
            _task("b"),
            {"name": "pause2", "type": "Wait", "seconds": 1},
            _task("c", "q"),
        ]
    },
    "parent": {"states": [_task("a"), {"name": "sub", "type": "SubJob", "workflow": "other"}, _task("b")]},
    "caught": {
        "states": [
            _task("a", catch=[{"errors": ["A"], "next": "mend"}], retry={"limit": 0}),
            _task("b", "q", end=True),
            _task("mend", compensate={"states": [_task("undo0", "q")]}),
            _task("c", end=True),
        ],
        "onExit": {"states": [_task("tidy")]},
    },
    # What runs beside a branch that fails has to go: with a worker, before its time, or not even begun.
    "raced": {
        "states": [
            {
                "name": "race",
                "type": "Parallel",
                "catch": [{"errors": ["States.ALL"], "next": "mend"}],
                "branches": [
                    {"states": [_task("x", retry={"limit": 0})]},
                    {"states": [_task("y"), _task("y2", "q")]},
                    {"states": [{"name": "pause", "type": "Wait", "seconds": 2}, _task("z")]},
                ],
            },
            _task("mend", "q"),
            {
                "name": "scan",
                "type": "Map",
                "items": "${job.input.list}",
                "catch": [{"errors": ["Stop"], "next": "last"}],
                "states": [
                    {
                        "name": "which",
                        "type": "Choice",
                        "choices": [{"when": "input == 1", "next": "stop"}],
                        "default": "go",
                    },
                    {"name": "go", "type": "Pass"},
                    _task("v", end=True),
                    {"name": "stop", "type": "Fail", "code": "Stop"},
                ],
            },
            _task("last"),
        ]
    },
    "reports": {"states": [_task("a", heartbeatSeconds=3), _task("b", "q", heartbeatSeconds=5)]},
    "limited": {"concurrency": {"limit": 1}, "states": [_task("a"), _task("b", "q")]},
}


@cache
def corpus() -> tuple[Raw, ...]:
    """Random Workflows, the same in each process."""
    found: list[Raw] = []

    @seeded(2030)
    @settings(
        max_examples=DRAWN,
        database=None,
        phases=[Run.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(spec=workflows())
    def collect(spec: Raw) -> None:
        found.append(json.loads(json.dumps(spec)))

    collect()
    return tuple(spec for spec in found if _nested(spec) <= MOST_NESTED)


def _nested(spec: Any) -> int:
    """How many Parallel and Map states are inside of each other at most: with each, a Job has so many more steps."""
    if isinstance(spec, list):
        return max(map(_nested, spec), default=0)
    if not isinstance(spec, dict):
        return 0
    return max(map(_nested, spec.values()), default=0) + (spec.get("type") in {"Parallel", "Map"})


@dataclass(frozen=True)
class Planned:
    """A Workflow of this run, what its steps do, and the ends that its Jobs may have.

    `ends` None: too many depend on the order of events.
    """

    name: str
    spec: Raw
    script: Script
    ends: frozenset[End] | None


@lru_cache(maxsize=4096)
def plan(name: str, seed: int, bad: int) -> Planned:
    """One of the Workflows that there are, with what its steps do: of ten, `bad` go wrong."""
    spec = OTHER if name == "other" else WRITTEN[name] if name in WRITTEN else corpus()[int(name.split("-")[1])]
    child = _child_script(seed, bad)
    if name == "other":
        return Planned(name, spec, child, frozenset({_end(child("child", 1, None))}))
    parsed = parse_spec(spec)
    closing = parsed.on_exit.states if parsed.on_exit is not None else ()
    by_path = script_of(seed, bad, timeouts((*parsed.states, *closing)), frozenset(_reporting(spec)))

    def script(path: str, attempt: int, data: Any) -> Outcome:
        return by_path(path.rpartition(".")[2], attempt, data)

    try:
        ends = frozenset(map(_end, _Allowing(script, child).ends(parsed)))
    except TooAmbiguous:
        return Planned(name, spec, script, None)
    return Planned(name, spec, script, ends)


class Workload:
    """All that is asked for in one run."""

    def __init__(self, dice: Random, emphasis: Emphasis = NO_EMPHASIS) -> None:
        self._dice, self._emphasis = dice, emphasis
        seed, bad = dice.randrange(SCRIPTS), dice.choice((0, 1, 3, 5))
        bad = bad if emphasis.bad is None else emphasis.bad
        self.step_seconds = dice.choice((0.1, 1.0, 3.0))
        names = ["other", *(self._draw_name() for _ in range(dice.randint(1, 3)))]
        self.workflows = {name: plan(name, seed, bad) for name in names}
        self.jobs = dice.randint(2, 8)

    def _draw_name(self) -> str:
        if self._emphasis.workflows and self._dice.random() < 0.75:
            return self._dice.choice(self._emphasis.workflows)
        if self._dice.random() < 0.75:
            return self._dice.choice(sorted(WRITTEN))
        return f"random-{self._dice.randrange(len(corpus()))}"

    def draw(self) -> Planned:
        """The Workflow of the next Job."""
        return self._dice.choice([planned for name, planned in self.workflows.items() if name != "other"])

    def work(self, message: StepMessage, workflow: str) -> tuple[float, Succeeded | Failed, bool]:
        """What a handler does: for how many seconds, what then, and whether it reports meanwhile."""
        seconds = self.step_seconds * (0.2 + 1.6 * self._dice.random())
        outcome = self.workflows[workflow].script(message.step, message.attempt, message.input)
        match outcome:
            case Ended(output):
                return seconds, Succeeded(output), True
            case Failure("Timeout"):
                return 1000.0, Succeeded("too late"), True
            case Failure("States.HeartbeatTimeout"):
                return 1000.0, Succeeded("too late"), False
            case Failure(code, lasting):
                return seconds, Failed(StepError(code, "no", retryable=not lasting)), True

    def job(self, name: str, workflow: str) -> RawObject:
        """A Job that somebody creates. The steps of some overtake those of others."""
        priority = 5 * (sum(name.encode()) % 3 == 0)
        signals = [{"name": name, "payload": payload} for name, payload in SIGNALS.items()] * 8
        return {
            "apiVersion": API_VERSION,
            "kind": KIND_JOB,
            "metadata": {"namespace": NAMESPACE, "name": name},
            "spec": {"workflow": workflow, "input": INPUT, "signals": signals, "priority": priority},
        }


def workflow_object(planned: Planned) -> RawObject:
    """The Workflow as an object."""
    metadata = {"namespace": NAMESPACE, "name": planned.name}
    return {"apiVersion": API_VERSION, "kind": KIND_WORKFLOW, "metadata": metadata, "spec": planned.spec}


def pool_object(name: str) -> RawObject:
    """A WorkerPool as an object."""
    return {
        "apiVersion": API_VERSION,
        "kind": "WorkerPool",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {},
    }


def end_of(status: Mapping[str, Any]) -> End:
    """How a Job that has ended did, by its status."""
    if status["phase"] == Phase.SUCCEEDED:
        return status["phase"], json.dumps(plain(status.get("output")), sort_keys=True)
    return status["phase"], str(status.get("error", {}).get("code"))


def _end(outcome: Outcome) -> End:
    match outcome:
        case Ended(output):
            return Phase.SUCCEEDED, json.dumps(plain(output), sort_keys=True)
        case Failure(code):
            return Phase.FAILED, code


def _reporting(spec: Any) -> set[str]:
    """The states, at any depth, that have heartbeatSeconds."""
    if isinstance(spec, list):
        return set().union(*map(_reporting, spec))
    if not isinstance(spec, dict):
        return set()
    found = set().union(*map(_reporting, spec.values()))
    return found | ({spec["name"]} if "heartbeatSeconds" in spec else set())


def _child_script(seed: int, bad: int) -> Script:
    """What the step of a child does, whatever its input."""
    answer = script_of(seed, bad, {"child": None}, frozenset())("child", 1, None)
    return lambda _path, _attempt, _data: answer


class _Allowing(_Reference):
    """The reference, where whatever has a time limit may also run into it."""

    def __init__(self, script: Script, other: Script) -> None:
        super().__init__(script, SIGNALS)
        self.other = other

    def ends(self, spec: WorkflowSpec) -> Iterator[Outcome]:
        for outcome in self.block(BlockSpec("spec", spec.states), Env(INPUT, INPUT)):
            yield from self.close(spec, outcome, INPUT)

    def close(self, spec: WorkflowSpec, outcome: Outcome, data: Any) -> list[Outcome]:
        """How the job ends; what closes it may spoil a good end and is not followed beyond that."""
        if spec.on_exit is None or isinstance(outcome, Failure):
            return [outcome]
        told = {"phase": "Succeeded", "output": outcome.output, "error": None}
        ends = self.block(spec.on_exit, Env(told, data, "onExit"))
        return [end if isinstance(end, Failure) else outcome for end in ends]

    def _once(self, state: StateSpec, env: Env, attempt: int) -> list[Outcome]:
        if state.type == "SubJob":
            answer = self.other("child", 1, env.input)
            found: list[Outcome] = [Failure(answer.code) if isinstance(answer, Failure) else answer]
        else:
            found = super()._once(state, env, attempt)
        if state.timeout_seconds is not None and state.type in {"Task", "SubJob", "Signal"}:
            found.append(Failure("Timeout"))
        if state.heartbeat_seconds is not None:
            found.append(Failure("States.HeartbeatTimeout"))
        return found
