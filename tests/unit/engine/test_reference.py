"""The engine agrees with a simple interpreter on every workflow, whatever goes wrong on the way.

MCP_REFERENCE_EXAMPLES sets how many workflows are tried (default 200).
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st

from mastercontrol.api.names import Phase
from mastercontrol.api.status import JobStatus
from mastercontrol.api.workflow import StateSpec, WorkflowSpec, parse_spec
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.concurrency import Concurrency
from mastercontrol.workflow.definition import Definition
from unit.engine.builders import Run
from unit.engine.chaos import Chaos
from unit.engine.reference import Ended, Failure, Outcome, Script, TooAmbiguous, outcomes, plain
from unit.engine.workflows import INPUT, workflows

EXAMPLES = int(os.environ.get("MCP_REFERENCE_EXAMPLES", "200"))
SIGNALS = {"go": {"by": "hand"}}
OUTPUTS: list[Any] = [1, "text", None, [1, 2], {"k": {"n": 1}}, [], {"list": ["a"]}]


def script_of(seed: int, bad: int, limits: dict[str, int | None], reporting: frozenset[str]) -> Script:
    """What each step does: always the same for the same step, attempt and input. Of ten, `bad` go wrong."""

    def script(path: str, attempt: int, data: Any) -> Outcome:
        dice = random.Random(f"{seed} {path} {attempt} {json.dumps(plain(data), sort_keys=True)}")
        if dice.randrange(10) >= bad:
            return Ended(dice.choice(OUTPUTS))
        wrong = [Failure("A"), Failure("B"), Failure("A", lasting=True)]
        if limits[path.rpartition(".")[2]] is not None:
            wrong.append(Failure("Timeout"))
        if path.rpartition(".")[2] in reporting:
            wrong.append(Failure("States.HeartbeatTimeout"))
        return dice.choice(wrong)

    return script


def script_for(parsed: WorkflowSpec, definition: Definition, seed: int, bad: int) -> Script:
    """What the steps of a workflow do."""
    closing = parsed.on_exit.states if parsed.on_exit is not None else ()
    reporting = frozenset(t.name for t in definition.tasks() if t.heartbeat_seconds is not None)
    return script_of(seed, bad, timeouts((*parsed.states, *closing)), reporting)


End = tuple[Phase, str, str]
"""How a job ended: its phase, its output or the code of its error, and what it closed with."""


def timeouts(states: Iterable[StateSpec]) -> dict[str, int | None]:
    """The time limits of all states, those inside of others included."""
    found: dict[str, int | None] = {}
    for state in states:
        found[state.name] = state.timeout_seconds
        for block in state.blocks:
            found |= timeouts(block.states)
        if state.compensate is not None:
            found |= timeouts(state.compensate.block.states)
    return found


def ending(status: JobStatus, chaos: Chaos) -> End:
    if status.phase is Phase.SUCCEEDED:
        return status.phase, json.dumps(plain(status.output), sort_keys=True), closed(*chaos.closing())
    assert status.error is not None
    return status.phase, status.error.code, closed(*chaos.closing())


def expected(outcome: Outcome) -> End:
    match outcome:
        case Ended(output):
            return Phase.SUCCEEDED, json.dumps(plain(output), sort_keys=True), closed(*outcome.closing)
        case Failure(code):
            return Phase.FAILED, code, closed(*outcome.closing)


def closed(*began: tuple[str, Any]) -> str:
    """Steps and their inputs, without where inside a block an error arose."""
    told = [(path, _without_place(plain(data)) if "onExit" in path else plain(data)) for path, data in began]
    return json.dumps(told, sort_keys=True)


def _without_place(told: Any) -> Any:
    return {**told, "error": {"code": told["error"]["code"]} if told["error"] else None}


@given(
    spec=workflows(),
    seed=st.integers(0, 10_000),
    bad=st.sampled_from([0, 1, 3, 6]),
    accidents=st.randoms(use_true_random=False),
    events=st.sampled_from([0, 10, 40, 120]),
    limited=st.booleans(),
)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
def test_the_engine_and_the_reference_come_to_the_same_end(
    spec: dict[str, Any], seed: int, bad: int, accidents: random.Random, events: int, *, limited: bool
) -> None:
    parsed = parse_spec(spec)
    definition = compile_workflow("order", parsed)
    assert isinstance(definition, Definition), definition
    script = script_for(parsed, definition, seed, bad)
    try:
        allowed = {expected(o) for o in outcomes(parsed, INPUT, script, SIGNALS)}
    except TooAmbiguous:
        reject()
    if limited:  # whether it waits for a place, and begins as under a limit, makes no difference to where it ends
        definition = replace(definition, concurrency=Concurrency(1))
    run = Run("unused", input=INPUT)
    chaos = Chaos(run, definition, script, SIGNALS, accidents.randrange)
    status = chaos.play(events)
    event(f"ends {status.phase}")
    assert ending(status, chaos) in allowed
