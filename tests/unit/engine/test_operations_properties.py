"""A job that failed and is helped along by its user comes to the end that it would have come to without the failure.

Whatever the workflow, however often it failed, and whatever goes wrong on the way. MCP_OPERATIONS_EXAMPLES sets how
many workflows are tried (default 150).
"""

from __future__ import annotations

import json
import os
import random
import re
from typing import Any

from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st

from mastercontrol.api.names import Phase
from mastercontrol.api.operation import Operation, OperationType
from mastercontrol.api.status import JobStatus
from mastercontrol.api.workflow import parse_spec
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import Definition, TaskState
from unit.engine.builders import Run
from unit.engine.chaos import Chaos, Dice
from unit.engine.reference import Ended, Failure, Outcome, Script, TooAmbiguous, outcomes, plain
from unit.engine.test_reference import OUTPUTS, SIGNALS, ending, expected
from unit.engine.workflows import INPUT, workflows

EXAMPLES = int(os.environ.get("MCP_OPERATIONS_EXAMPLES", "150"))
DOWN = Failure("States.Runtime", lasting=True)
"""What no rule catches or tries again, so that the job fails and a person has to help."""
MOST_HELP = 4


def mended_script(seed: int, bad: int) -> Script:
    """What each step does once all is mended: the same whichever attempt at its Parallel or Map it is in."""

    def script(path: str, attempt: int, data: Any) -> Outcome:
        said = json.dumps(plain(data), sort_keys=True)
        dice = random.Random(f"{seed} {unmarked(path)} {attempt} {said}")
        if dice.randrange(10) >= bad:
            return Ended(dice.choice(OUTPUTS))
        return dice.choice([Failure("A"), Failure("B"), Failure("A", lasting=True)])

    return script


def unmarked(path: str) -> str:
    """A path without the attempts at what it is in: these count anew when the job is retried."""
    return re.sub(r"#\d+", "", path)


class Helped(Chaos):
    """A world in which some steps do not work at first, and a person who retries, restarts or skips."""

    def __init__(self, run: Run, definition: Definition, script: Script, seed: int, dice: Dice) -> None:
        super().__init__(run, definition, self.broken_script, SIGNALS, dice)
        self.mended, self.seed, self.help = script, seed, 0

    def broken_script(self, path: str, attempt: int, data: Any) -> Outcome:
        dice = random.Random(f"{self.seed} down {self.help} {unmarked(path)} {json.dumps(plain(data))}")
        down = self.help < MOST_HELP - 1 and dice.randrange(5) < 2
        return DOWN if down else self.mended(path, attempt, data)

    @property
    def _ended(self) -> bool:
        return super()._ended and not self.job.asked

    def play_with_help(self, events: int, *, only_retry: bool) -> JobStatus:
        status = self.play(events)
        while self.help < MOST_HELP and status.phase is Phase.FAILED:
            self.help += 1
            before = status.sequence
            self._user(operations=(*self.job.spec.operations, self._operation(status, only_retry=only_retry)))
            status = self.play(events)
            assert status.operations_taken == self.help
            assert status.sequence > before, "no operation was refused"
        return status

    def _operation(self, status: JobStatus, *, only_retry: bool) -> Operation:
        kind = 0 if only_retry else self.dice(4)
        if kind == 1:
            return Operation(OperationType.RESTART)
        path = status.resumable[0]
        state = self.definition.find(path)
        # One whose own templates are wrong could not be left, whatever it had given.
        if kind in {2, 3} and isinstance(state, TaskState) and state.data.output is None and not state.data.assign:
            said = [json.loads(said) for at, said in self.published.values() if unmarked(at) == path]
            outcome = self.mended(path, 1, said[-1][2]) if said else None
            if isinstance(outcome, Ended):
                # By hand, what the worker would have done.
                return Operation(OperationType.SKIP, path, has_output=True, output=outcome.output)
        return Operation(OperationType.RETRY)


def without_tolerance(spec: Any) -> Any:
    """What is tolerated is no failure of the job, so nobody would mend it."""
    if isinstance(spec, list):
        return [without_tolerance(part) for part in spec]
    if isinstance(spec, dict):
        return {k: without_tolerance(v) for k, v in spec.items() if not k.startswith("tolerated")}
    return spec


@given(
    spec=workflows(closing=False),
    seed=st.integers(0, 10_000),
    bad=st.sampled_from([0, 0, 2]),
    only_retry=st.booleans(),
    accidents=st.randoms(use_true_random=False),
    events=st.sampled_from([0, 10, 40, 120]),
)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
def test_a_job_that_is_helped_along_ends_as_if_nothing_had_failed(
    spec: dict[str, Any], seed: int, bad: int, accidents: random.Random, events: int, *, only_retry: bool
) -> None:
    parsed = parse_spec(without_tolerance(spec))
    definition = compile_workflow("order", parsed)
    assert isinstance(definition, Definition), definition
    script = mended_script(seed, bad)
    try:
        allowed = {expected(o) for o in outcomes(parsed, INPUT, script, SIGNALS)}
    except TooAmbiguous:
        reject()
    world = Helped(Run("unused", input=INPUT), definition, script, seed, accidents.randrange)
    status = world.play_with_help(events, only_retry=only_retry)
    event(f"ends {status.phase} after {world.help} operations")
    assert ending(status, world) in allowed
