"""Cancel, deadlines, missing pools and a second leader: the job ends as its workflow says, or as it was told to.

MCP_REFERENCE_EXAMPLES sets how many workflows are tried (default 200).
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st

from mastercontrol.api.workflow import parse_spec
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import Definition
from unit.engine.builders import Run, parallel, state, step
from unit.engine.reference import TooAmbiguous, outcomes
from unit.engine.rivals import Rivals
from unit.engine.test_reference import EXAMPLES, SIGNALS, ending, expected, script_for
from unit.engine.workflows import INPUT, workflows


def played(spec: dict[str, Any], seed: int, bad: int, dice: random.Random, events: int) -> Rivals:
    """A job that was taken to its end, and asserted on."""
    parsed = parse_spec(spec)
    definition = compile_workflow("order", parsed)
    assert isinstance(definition, Definition), definition
    script = script_for(parsed, definition, seed, bad)
    allowed = {expected(o) for o in outcomes(parsed, INPUT, script, SIGNALS)}
    rivals = Rivals(Run("unused", input=INPUT), definition, script, SIGNALS, dice.randrange)
    status = rivals.play(events)
    assert rivals.may_end(status) or ending(status, rivals) in allowed, (status, allowed)
    return rivals


@given(
    spec=workflows(),
    seed=st.integers(0, 10_000),
    bad=st.sampled_from([0, 1, 3, 6]),
    accidents=st.randoms(use_true_random=False),
    events=st.sampled_from([10, 40, 120]),
)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
def test_a_job_ends_as_its_workflow_says_or_as_it_was_told_to(
    spec: dict[str, Any], seed: int, bad: int, accidents: random.Random, events: int
) -> None:
    try:
        rivals = played(spec, seed, bad, accidents, events)
    except TooAmbiguous:
        reject()
    assert rivals.job.status is not None
    event(f"ends {rivals.job.status.phase}")
    event(f"writes of the second leader: {min(rivals.rival_writes, 3)}")


CHAIN = [step("a"), parallel("fan", [step("b"), step("c")], [step("d"), state("Wait", "w", seconds=3)]), step("e")]


def outcomes_of_many(monkeypatch: pytest.MonkeyPatch | None = None) -> tuple[list[Rivals], int]:
    """The plays of many dice with one workflow, and how many of them went wrong."""
    if monkeypatch is not None:
        monkeypatch.setattr(Rivals, "fenced", False)
    good, wrong = [], 0
    for seed in range(300):
        try:
            good.append(played({"states": CHAIN}, seed, 0, random.Random(seed), 60))
        except AssertionError:
            wrong += 1
    return good, wrong


def test_it_all_happens() -> None:
    """Jobs are cancelled and run out of time, the second leader writes and is refused."""
    plays, wrong = outcomes_of_many()
    assert wrong == 0
    ends = {ending(p.job.status, p) for p in plays if p.job.status is not None}
    assert {end for _, end, _ in ends} >= {"Cancelled", "DeadlineExceeded"}
    assert sum(p.rival_writes for p in plays) > 100
    assert sum(p.refusals for p in plays) > 100


def test_a_store_without_the_fence_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _, wrong = outcomes_of_many(monkeypatch)
    assert wrong > 10
