"""Whether a Job would begin in a turn, so that the turn has to ask the gate for a place first. Pure.

It says the same as `decide` does where no limit stands in the way: a place that is reserved for a Job which then does
not begin keeps others waiting.
"""

from __future__ import annotations

from collections.abc import Sequence

from mastercontrol.api.job import Job
from mastercontrol.engine.facts import Facts, Result
from mastercontrol.workflow.definition import Definition, State, TaskState


def would_begin(job: Job, results: Sequence[Result], facts: Facts) -> bool:
    """Whether this turn begins the Job if it has a place."""
    definition = facts.definition
    is_new = job.status is None or (job.status.sequence == 0 and not job.status.ended)
    if not is_new or job.deleting or job.spec.cancel or not isinstance(definition, Definition):
        return False
    state = definition.states[definition.start]
    if isinstance(state, TaskState) and any(answers_state(job, r, state) for r in results):
        return True
    if job.spec.suspend or facts.epoch is None:
        return False
    return not isinstance(state, TaskState) or facts.pool_known(state.pool)


def answers_first(job: Job, result: Result) -> bool:
    """Whether a result is that of the first dispatch of a Job."""
    return result.uid == job.uid and (result.seq, result.attempt) == (1, 1)


def answers_state(job: Job, result: Result, state: State) -> bool:
    """Whether it is, and for this state: one for another is of a Workflow that was edited before the first write."""
    return answers_first(job, result) and result.step in {None, state.name}
